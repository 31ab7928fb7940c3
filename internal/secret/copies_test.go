// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

const (
	nameAnnotation = "sts.alibabacloud.com/secret"
	hashAnnotation = "sts.alibabacloud.com/data-hash"
)

// writtenByVersion1 is a Secret as the operator wrote it before records named their Secret.
func writtenByVersion1(t *testing.T) *corev1.Secret {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "secret-v1.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s := &corev1.Secret{}
	if err := yaml.UnmarshalStrict(raw, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// version1 computes the data hash as operators do that know version 1 alone, apart from the code under test.
func version1(s *corev1.Secret) string {
	const prefix = "sts.alibabacloud.com/"
	covered := map[string]any{"data": map[string][]byte{}, "record": map[string]string{}}
	for key := range strings.SplitSeq(s.Annotations[prefix+"managed-keys"], ",") {
		covered["data"].(map[string][]byte)[key] = s.Data[key]
	}
	for _, name := range []string{
		"credential", "issued-at", "expires-at", "request-id", "access-key-id", "assumed-role", "assumed-role-id", "request-hash", "layout-hash",
		"managed-keys", "handled-renew-request", "adopted", "written-at", "replaced",
	} {
		if value, set := s.Annotations[prefix+name]; set {
			covered["record"].(map[string]string)[prefix+name] = value
		}
	}
	raw, _ := json.Marshal(covered) //nolint:errchkjson // of strings, it cannot fail
	sum := sha256.Sum256(raw)
	return "v1:" + hex.EncodeToString(sum[:])
}

// An operator of before finds its hash in what this one writes, and this one finds its own in what that one wrote.
func TestVersionsReadEachOther(t *testing.T) {
	old, now := writtenByVersion1(t), rendered()
	if got := version1(old); old.Annotations[hashAnnotation] != got {
		t.Fatalf("the test computes %s for what version 1 wrote, want %s", got, old.Annotations[hashAnnotation])
	}
	if record, intact := secret.Read(stripped(t, old)); record == nil || !intact {
		t.Errorf("what version 1 wrote is read as %+v, %v", record, intact)
	}
	for name, s := range map[string]*corev1.Secret{"rendered": now, "adopted": secret.ForAdopted(rendered())} {
		hash, second, _ := strings.Cut(s.Annotations[hashAnnotation], " ")
		if want := version1(s); hash != want || !strings.HasPrefix(second, "v2:") {
			t.Errorf("%s: the data hash is %s, want %s and one of version 2", name, s.Annotations[hashAnnotation], want)
		}
	}
	delete(now.Annotations, nameAnnotation)
	now.Annotations[hashAnnotation], _, _ = strings.Cut(now.Annotations[hashAnnotation], " ")
	if !equality.Semantic.DeepEqual(old, now) {
		t.Errorf("besides name and hash, something else changed: %v", now)
	}
}

// A record of version 1 gets the Secret's name by a patch of annotations, and so becomes the one that is written today.
func TestRecordOfVersion1IsCompleted(t *testing.T) {
	for name, tt := range map[string]struct {
		given func(*corev1.Secret)
	}{
		"written by version 1": {func(*corev1.Secret) {}},
		"renewed after a rollback": {func(s *corev1.Secret) {
			s.Annotations[nameAnnotation] = "shop/orders-sts"
		}},
		"its name edited": {func(s *corev1.Secret) {
			s.Annotations = maps.Clone(rendered().Annotations)
			s.Annotations[nameAnnotation] = "shop/other"
		}},
		"its first hash edited": {func(s *corev1.Secret) {
			s.Annotations = maps.Clone(rendered().Annotations)
			_, second, _ := strings.Cut(s.Annotations[hashAnnotation], " ")
			s.Annotations[hashAnnotation] = "v1:0 " + second
		}},
		"its second hash edited": {func(s *corev1.Secret) {
			s.Annotations = maps.Clone(rendered().Annotations)
			s.Annotations[hashAnnotation] = version1(s) + " v2:0"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := writtenByVersion1(t)
			seen.ResourceVersion = "7"
			tt.given(seen)
			if record, intact := secret.Read(stripped(t, seen)); record == nil || !intact {
				t.Fatalf("Read = %+v, %v", record, intact)
			}
			patch := secret.Patch(stripped(t, seen), secret.Metadata(credential()))
			got := apply(t, seen, patch)
			got.ResourceVersion = ""
			if !equality.Semantic.DeepEqual(got, rendered()) {
				t.Errorf("%s made it %v", patch, got)
			}
			if strings.Contains(string(patch), `"data"`) {
				t.Errorf("the data was written: %s", patch)
			}
		})
	}
	edited := writtenByVersion1(t)
	edited.Data[secret.KeySecurityToken] = []byte("x")
	if patch := secret.Patch(stripped(t, edited), secret.Metadata(credential())); patch != nil {
		t.Errorf("an edited Secret gets %s", patch)
	}
}

// standing is how a Secret stands to the StsCredential shop/orders, which wants the Secret shop/orders-sts.
type standing struct{ owned, removable, adopted bool }

// Each way in which a Secret can come to be: what may be written to, and what may be deleted or taken out again.
func TestStanding(t *testing.T) {
	ours := standing{owned: true, removable: true}
	drifted := standing{owned: true}
	consent := standing{owned: true, adopted: true}
	nobodys := standing{}
	unowned := func(s *corev1.Secret) { s.OwnerReferences = nil }
	named := func(name string) func(*corev1.Secret) { return func(s *corev1.Secret) { s.Name = name } }
	moved := func(namespace string) func(*corev1.Secret) { return func(s *corev1.Secret) { s.Namespace = namespace } }
	consents := func(to string) func(*corev1.Secret) {
		return func(s *corev1.Secret) { metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationAdopt, to) }
	}
	annotate := func(key, value string) func(*corev1.Secret) {
		return func(s *corev1.Secret) { s.Annotations[key] = value }
	}
	edited := func(s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") }
	unlabelled := func(s *corev1.Secret) { s.Labels = nil }
	controller := func(s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "flagger.app/v1beta1", Kind: "Canary", Name: "orders", UID: "c", Controller: ptr.To(true)}}
	}
	sed := func(s *corev1.Secret) { // kubectl get -o yaml | sed s/orders-sts/copy/g
		s.Name, s.Annotations[nameAnnotation] = "copy", "shop/copy"
	}
	for _, tt := range []struct {
		name  string
		edits []func(*corev1.Secret)
		want  standing
		copy  string
	}{
		{"as written", nil, ours, ""},
		{"retained", edits(unowned), ours, ""},
		{"retained, its label stripped", edits(unowned, unlabelled), ours, ""},
		{"with a key of somebody else's", edits(func(s *corev1.Secret) { s.Data["mine"] = []byte("keep") }), ours, ""},
		{"its data edited", edits(edited), drifted, ""},
		{"retained, its data edited", edits(unowned, edited), drifted, ""},
		{"its name in the record edited", edits(annotate(nameAnnotation, "shop/other")), drifted, "shop/other"},
		{"its name in the record taken away", edits(func(s *corev1.Secret) { delete(s.Annotations, nameAnnotation) }), drifted, ""},
		{"retained, its name in the record taken away", edits(unowned, func(s *corev1.Secret) { delete(s.Annotations, nameAnnotation) }), nobodys, ""},
		{"its second hash edited", edits(annotate(hashAnnotation, "v1:0 v2:0")), drifted, ""},
		{"the record of another StsCredential", edits(annotate("sts.alibabacloud.com/credential", "shop/payments")), drifted, ""},
		{"retained, the record of another StsCredential", edits(unowned, annotate("sts.alibabacloud.com/credential", "shop/payments")), nobodys, ""},

		{"a consent on the operator's Secret", edits(consents("orders")), ours, ""},
		{"a consent to another on the operator's Secret", edits(consents("payments")), ours, ""},
		{"retained, a consent", edits(unowned, consents("orders")), ours, ""},
		{"retained, a consent to another", edits(unowned, consents("payments")), ours, ""},
		{"another's by its record, with a consent to this one", edits(unowned, annotate("sts.alibabacloud.com/credential", "shop/payments"), consents("orders")), nobodys, ""},
		{"handed over", edits(unowned, annotate("sts.alibabacloud.com/credential", ""), consents("orders")), consent, ""},
		{"marked as adopted, though controlled", edits(annotate("sts.alibabacloud.com/adopted", "true")), drifted, ""},
		{"adopted", edits(func(s *corev1.Secret) { secret.ForAdopted(s) }), standing{true, true, true}, ""},
		{"adopted, its data edited", edits(func(s *corev1.Secret) { secret.ForAdopted(s) }, edited), consent, ""},
		{"adopted, the mark taken away, the consent left", edits(func(s *corev1.Secret) { secret.ForAdopted(s) }, func(s *corev1.Secret) { delete(s.Annotations, "sts.alibabacloud.com/adopted") }, consents("orders")), consent, ""},
		{"adopted, a consent to another since", edits(func(s *corev1.Secret) { secret.ForAdopted(s) }, consents("payments")), standing{true, true, true}, ""},
		{"adopted, its owner made this its controller", edits(func(s *corev1.Secret) { secret.ForAdopted(s); s.OwnerReferences = rendered().OwnerReferences }), standing{true, true, true}, ""},

		{"a copy with its owner", edits(named("copy")), nobodys, "shop/orders-sts"},
		{"a copy with its owner, its data edited", edits(named("copy"), edited), drifted, "shop/orders-sts"},
		{"a copy with its owner, all names replaced", edits(sed), drifted, ""},
		{"a copy without owner", edits(named("copy"), unowned), nobodys, "shop/orders-sts"},
		{"a copy without owner, all names replaced", edits(sed, unowned), drifted, ""},
		{"a copy without owner and label", edits(named("copy"), unowned, unlabelled), nobodys, "shop/orders-sts"},
		{"a copy without record", edits(named("copy"), unowned, func(s *corev1.Secret) { s.Annotations = nil }), nobodys, ""},
		{"a copy that Flagger made", edits(named("orders-sts-primary"), controller), nobodys, "shop/orders-sts"},
		{"a copy whose owner consents", edits(named("copy"), unowned, consents("orders")), consent, "shop/orders-sts"},
		{"a copy with its owner and a consent", edits(named("copy"), consents("orders")), nobodys, "shop/orders-sts"},
		{"restored into another namespace", edits(moved("dr")), nobodys, "shop/orders-sts"},
		{"restored into another namespace without owner", edits(moved("dr"), unowned), nobodys, "shop/orders-sts"},
		{"restored into another namespace without owner, with a consent", edits(moved("dr"), unowned, consents("orders")), consent, "shop/orders-sts"},
		{"of another type", edits(func(s *corev1.Secret) { s.Type = corev1.SecretTypeTLS }), nobodys, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := rendered()
			for _, edit := range tt.edits {
				edit(raw)
			}
			c := credential()
			c.Namespace = raw.Namespace
			for form, s := range map[string]*corev1.Secret{"as it is": raw.DeepCopy(), "stripped": stripped(t, raw)} {
				got := standing{secret.Owned(s, c), secret.Removable(s, c), secret.Owned(s, c) && secret.Adopted(s)}
				if got != tt.want || secret.Original(s) != tt.copy {
					t.Errorf("%s: %+v, copy of %q; want %+v, copy of %q", form, got, secret.Original(s), tt.want, tt.copy)
				}
			}
		})
	}
}

func edits(all ...func(*corev1.Secret)) []func(*corev1.Secret) { return all }

// What version 1 wrote names no Secret: it is trusted under the name that the spec wants, and never deleted elsewhere.
func TestStandingOfVersion1(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*corev1.Secret)
		want standing
	}{
		{"as written", func(*corev1.Secret) {}, standing{owned: true, removable: true}},
		{"edited", func(s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") }, standing{owned: true}},
		{"retained", func(s *corev1.Secret) { s.OwnerReferences = nil }, standing{owned: true, removable: true}},
		{"retained, a consent to another", func(s *corev1.Secret) {
			s.OwnerReferences = nil
			s.Annotations[v1alpha1.AnnotationAdopt] = "payments"
		}, standing{owned: true, removable: true}},
		{"retained and edited", func(s *corev1.Secret) { s.OwnerReferences = nil; s.Data[secret.KeySecurityToken] = []byte("x") }, standing{}},
		{"under a former name", func(s *corev1.Secret) { s.Name = "former" }, standing{owned: true}},
		{"renewed after a rollback", func(s *corev1.Secret) { s.Annotations[nameAnnotation] = "shop/orders-sts" }, standing{owned: true, removable: true}},
		{"restored into another namespace", func(s *corev1.Secret) { s.Namespace = "dr" }, standing{}},
	} {
		s := writtenByVersion1(t)
		tt.edit(s)
		c := credential()
		c.Namespace = s.Namespace
		if got := (standing{secret.Owned(s, c), secret.Removable(s, c), secret.Adopted(s)}); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// What a copied record lists as the operator's keys and labels is its owner's once the copy is adopted.
func TestAdoptedCopyKeepsWhatItListed(t *testing.T) {
	copied := rendered()
	copied.Name, copied.OwnerReferences, copied.ResourceVersion = "copy", nil, "7"
	copied.Annotations[v1alpha1.AnnotationAdopt] = "orders"
	copied.Annotations["sts.alibabacloud.com/managed-keys"] += ",mine"
	copied.Data["mine"] = []byte("keep")
	c := credential()
	c.Spec.Secret = v1alpha1.SecretSpec{Name: "copy"}
	want := secret.ForAdopted(render(c, session, secret.Request{Request: input}, ""))
	got := apply(t, copied, secret.Patch(stripped(t, copied), want))
	if string(got.Data["mine"]) != "keep" || got.Labels["team"] != "shop" {
		t.Errorf("data %v, labels %v", got.Data, got.Labels)
	}
	if record, intact := secret.Read(stripped(t, got)); record == nil || !intact || !secret.Removable(got, c) || !secret.Adopted(got) {
		t.Errorf("the adopted copy is %v", got.ObjectMeta)
	}
}
