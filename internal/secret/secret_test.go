// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	yamlserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	issued = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

	input = credentials.Request{
		RoleARN: "acs:ram::1234567890123456:role/orders-reader", SessionName: "shop.orders", Duration: time.Hour,
		Policy: `{"Statement":[{"Action":"ots:Get*","Effect":"Allow","Resource":"*"}],"Version":"1"}`, ExternalID: "ext", SourceIdentity: "alice",
	}
	session = credentials.Credentials{
		AccessKeyID: "STS.NExample", AccessKeySecret: "secret", SecurityToken: "token",
		IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		AssumedRoleARN: "acs:ram::1234567890123456:role/orders-reader/shop.orders", AssumedRoleID: "300:shop.orders", RequestID: "6894B13B",
	}
)

func credential() *v1alpha1.StsCredential {
	return &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "11111111-2222-3333-4444-555555555555"},
		Spec: v1alpha1.StsCredentialSpec{Secret: v1alpha1.SecretSpec{
			Name:        "orders-sts",
			Labels:      map[string]v1alpha1.LabelValue{"team": "shop", "tier": "backend"},
			Annotations: map[string]v1alpha1.AnnotationValue{"example.com/note": "kept by the operator"},
		}},
	}
}

func rendered() *corev1.Secret {
	return render(credential(), session, secret.Request{Request: input}, "2026-01-01")
}

// render is secret.Render of what cannot fail.
func render(c *v1alpha1.StsCredential, s credentials.Credentials, request secret.Request, renewRequest string) *corev1.Secret {
	layout, errLayout := secret.NewLayout(c.Spec.Secret, "cn-shanghai")
	out, err := secret.Render(c, layout, s, request, secret.WriteOptions{RenewRequest: renewRequest})
	if err := errors.Join(errLayout, err); err != nil {
		panic(err)
	}
	return out
}

// stripped is a Secret as the cache holds it.
func stripped(t *testing.T, s *corev1.Secret) *corev1.Secret {
	t.Helper()
	out, err := secret.Strip(s.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	return out.(*corev1.Secret)
}

func TestRenderGolden(t *testing.T) {
	sameAsGolden(t, "secret.yaml", rendered())
}

// sameAsGolden compares a Secret with a file of testdata.
func sameAsGolden(t *testing.T, file string, s *corev1.Secret) {
	t.Helper()
	var out bytes.Buffer
	encoder := yamlserializer.NewSerializerWithOptions(yamlserializer.DefaultMetaFactory, nil, nil, yamlserializer.SerializerOptions{Yaml: true})
	if err := encoder.Encode(s, &out); err != nil {
		t.Fatal(err)
	}
	got := out.Bytes()
	golden := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("rendered Secret differs from %s; a released record must stay readable:\n%s", golden, got)
	}
}

// Frozen: operators in the field compare with these. A change here makes every credential be issued anew on upgrade; add
// a version instead.
func TestRequestHashGolden(t *testing.T) {
	const (
		minimal        = "v1:9db6af20bc9304b3fa96d21e76860e1414faa893e093bf067fab4ffc073a6887"
		whole          = "v1:692c5110b2a0a42f3ec378303adea8a703cfc65c38c2e2b46eb0cf1be87555e7"
		serviceAccount = "v1:4977f93dfe1968e1b211c70b7fbcb8eb5c994c6e5a6d98435844a248afc5e21e"
		accessKey      = "v1:8e8737c3b3225d3b40641ffa21b228c4af3ac6959dfcfe199062f07bf0b3ddd1"
		imposed        = minimal + ".71a11b6ce776ac2de6429ae7fc03a0122a26979d1a6319b0e4651f91c753f6a5"
	)
	least := credentials.Request{RoleARN: "acs:ram::1:role/a", SessionName: "shop.a", Duration: time.Hour}
	account := &v1alpha1.ServiceAccountIdentity{Name: "orders", OIDCProviderARN: "acs:ram::1:oidc-provider/c1"}
	key := &v1alpha1.AccessKeyIdentity{SecretName: "ram-user"}
	for _, tt := range []struct {
		name  string
		given secret.Request
		want  string
	}{
		{"minimal", secret.Request{Request: least}, minimal},
		{"whole", secret.Request{Request: input}, whole},
		{"with an imposed policy", secret.Request{Request: least, ImposedPolicy: input.Policy}, imposed},
		{"as a ServiceAccount", secret.Request{Request: least, Identity: &v1alpha1.IdentitySpec{ServiceAccount: account}}, serviceAccount},
		{"with an AccessKey", secret.Request{Request: least, Identity: &v1alpha1.IdentitySpec{AccessKey: key}}, accessKey},
	} {
		if got := tt.given.Hash(); got != tt.want {
			t.Errorf("%s: Hash = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestReadBack(t *testing.T) {
	record, intact := secret.Read(stripped(t, rendered()))
	if record == nil || !intact {
		t.Fatalf("Read = %+v, %v, want an intact record", record, intact)
	}
	if record.Credential != "shop/orders" || !record.IssuedAt.Equal(session.IssuedAt) || !record.ExpiresAt.Equal(session.ExpiresAt) ||
		record.RequestID != session.RequestID || record.AccessKeyID != session.AccessKeyID || record.AssumedRoleARN != session.AssumedRoleARN ||
		record.AssumedRoleID != session.AssumedRoleID || record.HandledRenewRequest != "2026-01-01" {
		t.Errorf("record = %+v", record)
	}
	if record.RequestChanged(secret.Request{Request: input}) || record.PolicyChanged(secret.Request{Request: input}) || record.LayoutChanged(layout(t, credential().Spec.Secret)) {
		t.Errorf("a fresh record differs from what was asked: %+v", record)
	}
}

func TestReadEdited(t *testing.T) {
	for _, tt := range []struct {
		name   string
		edit   func(*corev1.Secret)
		whole  bool
		intact bool
	}{
		{"untouched", func(*corev1.Secret) {}, true, true},
		{"a key of somebody else's", func(s *corev1.Secret) { s.Data["other"] = []byte("x") }, true, true},
		{"an annotation of somebody else's", func(s *corev1.Secret) { s.Annotations["other"] = "x" }, true, true},
		{"edited data", func(s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") }, true, false},
		{"missing data", func(s *corev1.Secret) { delete(s.Data, secret.KeyAccessKeyID) }, true, false},
		{"later expiry", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/expires-at"] = "2026-01-01T23:00:00Z" }, true, false},
		{"expiry later than STS issues", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/expires-at"] = "2099-01-01T00:00:00Z" }, false, false},
		{"a value without end", func(s *corev1.Secret) {
			s.Annotations["sts.alibabacloud.com/assumed-role"] = strings.Repeat("x", 40000)
		}, false, false},
		{"keys disowned", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/managed-keys"] = secret.KeyAccessKeyID }, true, false},
		{"another credential's name", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/credential"] = "a/b" }, true, false},
		{"another hash", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/data-hash"] = "v1:00" }, true, false},
		{"a newer operator's hash beside ours", func(s *corev1.Secret) {
			s.Annotations["sts.alibabacloud.com/data-hash"] = "v2:00 " + s.Annotations["sts.alibabacloud.com/data-hash"]
		}, true, true},
		{"no annotations", func(s *corev1.Secret) { s.Annotations = nil }, false, false},
		{"no access key id", func(s *corev1.Secret) { delete(s.Annotations, "sts.alibabacloud.com/access-key-id") }, false, false},
		{"unreadable time", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/issued-at"] = "today" }, false, false},
		{"expired before issued", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/expires-at"] = "2020-01-01T00:00:00Z" }, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := rendered()
			tt.edit(s)
			record, intact := secret.Read(stripped(t, s))
			if (record != nil) != tt.whole || intact != tt.intact {
				t.Errorf("Read = %+v, intact %v, want whole %v, intact %v", record, intact, tt.whole, tt.intact)
			}
		})
	}
}

func TestRequestComparison(t *testing.T) {
	record := func(hash string) *secret.Record { return &secret.Record{Record: credentials.Record{RequestHash: hash}} }
	other := input
	other.Duration = 2 * time.Hour
	own := secret.Request{Request: input}.Hash()
	imposed := secret.Request{Request: input, ImposedPolicy: "policy"}.Hash()
	for _, tt := range []struct {
		name                     string
		recorded                 string
		in                       credentials.Request
		imposed                  string
		requestChanged, policied bool
	}{
		{"the same", own, input, "", false, false},
		{"another spec", own, other, "", true, false},
		{"a policy imposed since", own, input, "policy", false, true},
		{"the same policy imposed", imposed, input, "policy", false, false},
		{"the policy imposed no more", imposed, input, "", false, true},
		{"another policy imposed", imposed, input, "other", false, true},
		{"a newer operator wrote its hash beside ours", "v2:abc " + own, input, "", false, false},
		{"only a hash of an unknown version", "v2:abc", input, "", true, false},
	} {
		now := secret.Request{Request: tt.in, ImposedPolicy: tt.imposed}
		if got := record(tt.recorded).RequestChanged(now); got != tt.requestChanged {
			t.Errorf("%s: RequestChanged = %v", tt.name, got)
		}
		if got := record(tt.recorded).PolicyChanged(now); got != tt.policied {
			t.Errorf("%s: PolicyChanged = %v", tt.name, got)
		}
	}
}

func TestStrip(t *testing.T) {
	once := stripped(t, rendered())
	if once.Data != nil || strings.Contains(once.String(), session.SecurityToken) {
		t.Errorf("stripped Secret still holds data: %v", once)
	}
	if twice := stripped(t, once); !equality.Semantic.DeepEqual(once, twice) {
		t.Errorf("stripping twice changed the Secret: %v", twice)
	}
	polluted := rendered()
	polluted.Annotations["example.com/other"], polluted.Labels["example.com/other"] = strings.Repeat("x", 1<<18), "x"
	polluted.Annotations["example.com/note"] = strings.Repeat("x", 1<<18)
	if size := stripped(t, polluted).Size(); size > 16<<10 {
		t.Errorf("%d bytes are kept of what others wrote", size)
	}
	namespace := &corev1.Namespace{}
	if out, err := secret.Strip(namespace); out != any(namespace) || err != nil {
		t.Errorf("Strip(Namespace) = %v, %v, want it as it was", out, err)
	}
}

func TestOwned(t *testing.T) {
	controlledBy := func(apiVersion, kind, name string) func(*corev1.Secret) {
		return func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: "other", Controller: ptr.To(true)}}
		}
	}
	for _, tt := range []struct {
		name string
		edit func(*corev1.Secret)
		want bool
	}{
		{"as written", func(*corev1.Secret) {}, true},
		{"label stripped", func(s *corev1.Secret) { s.Labels = nil }, true},
		{"owner stripped", func(s *corev1.Secret) { s.OwnerReferences = nil }, true},
		{"another type", func(s *corev1.Secret) { s.Type = corev1.SecretTypeTLS }, false},
		{"orphaned by a predecessor's deletion", func(s *corev1.Secret) { s.OwnerReferences = nil; s.Labels[secret.UIDLabel] = "gone" }, true},
		{"orphaned by another's deletion", func(s *corev1.Secret) {
			s.OwnerReferences = nil
			s.Labels[secret.UIDLabel] = "gone"
			s.Annotations["sts.alibabacloud.com/credential"] = "shop/payments"
		}, false},
		{"both stripped", func(s *corev1.Secret) { s.Labels, s.OwnerReferences = nil, nil }, true}, // its record names it
		{"all stripped", func(s *corev1.Secret) { s.Labels, s.OwnerReferences, s.Annotations = nil, nil, nil }, false},
		{"a label alone", func(s *corev1.Secret) { s.OwnerReferences, s.Annotations = nil, nil }, false},
		{"an object of this name that is gone", controlledBy("sts.alibabacloud.com/v1alpha1", "StsCredential", "orders"), true},
		{"another StsCredential", controlledBy("sts.alibabacloud.com/v1alpha1", "StsCredential", "payments"), false},
		{"another controller of this name", controlledBy("example.com/v1", "StsCredential", "orders"), false},
		{"another kind", controlledBy("sts.alibabacloud.com/v1alpha1", "Other", "orders"), false},
		{"copied label, other controller", controlledBy("apps/v1", "Deployment", "x"), false},
		{"its owner consents", consented("orders", func(s *corev1.Secret) { s.OwnerReferences, s.Labels, s.Annotations = nil, nil, map[string]string{} }), true},
		{"its owner consents to another", consented("payments", func(s *corev1.Secret) { s.OwnerReferences, s.Annotations = nil, map[string]string{} }), false},
		{"a consent to another beside its record", consented("payments", func(s *corev1.Secret) { s.OwnerReferences = nil }), true},
		{"its owner consents, its type is another", consented("orders", func(s *corev1.Secret) { s.OwnerReferences, s.Type = nil, corev1.SecretTypeTLS }), false},
		{"its owner consents, its controller is another", consented("orders", controlledBy("apps/v1", "Deployment", "x")), false},
		{"its owner consents to another, its controller is this", consented("payments", func(*corev1.Secret) {}), true},
	} {
		s := rendered()
		tt.edit(s)
		if got := secret.Owned(s, credential()); got != tt.want {
			t.Errorf("%s: Owned = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// consented makes an edit of a Secret whose owner then consents to an StsCredential.
func consented(to string, edit func(*corev1.Secret)) func(*corev1.Secret) {
	return func(s *corev1.Secret) {
		edit(s)
		s.Annotations[v1alpha1.AnnotationAdopt] = to
	}
}

// What is written to an adopted Secret can be taken out again, to the last trace.
func TestRelease(t *testing.T) {
	theirs := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "orders-sts", ResourceVersion: "41", Labels: map[string]string{"theirs": "x"},
			Annotations:     map[string]string{"theirs": "x", v1alpha1.AnnotationAdopt: "orders"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "9"}},
		},
		Data: map[string][]byte{"theirs": []byte("x")},
		Type: corev1.SecretTypeOpaque,
	}
	want := secret.ForAdopted(rendered())
	written := apply(t, theirs, secret.Patch(stripped(t, theirs), want))
	if _, intact := secret.Read(stripped(t, written)); !intact || !secret.Adopted(written) || len(written.Data) != 4 {
		t.Fatalf("after the write: %v", written)
	}
	if owners := written.OwnerReferences; len(owners) != 1 || owners[0].Name != "other" {
		t.Errorf("owners = %v", owners)
	}
	frame := secret.ForAdopted(secret.Metadata(credential()))
	if again := secret.Patch(stripped(t, written), frame); again != nil {
		t.Errorf("a second patch is not empty: %s", again)
	}
	written.ResourceVersion = "42"
	patch := secret.RemovalPatch(stripped(t, written))
	if !strings.Contains(string(patch), `"resourceVersion":"42"`) {
		t.Errorf("patch does not insist on what was seen: %s", patch)
	}
	released := apply(t, written, patch)
	released.ResourceVersion = theirs.ResourceVersion
	if !equality.Semantic.DeepEqual(released, theirs) {
		t.Errorf("left: %v", released)
	}
	if again := secret.RemovalPatch(stripped(t, released)); again != nil {
		t.Errorf("a second release is not empty: %s", again)
	}
}

func TestCredentialName(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*corev1.Secret)
		want string
	}{
		{"by its controller", func(s *corev1.Secret) { s.Annotations = nil }, "orders"},
		{"by its record", func(s *corev1.Secret) { s.OwnerReferences = nil }, "orders"},
		{"a copy in another namespace", func(s *corev1.Secret) { s.OwnerReferences = nil; s.Namespace = "other" }, ""},
		{"nobody's", func(s *corev1.Secret) { s.OwnerReferences, s.Annotations = nil, nil }, ""},
		{"by its owner's consent", consented("payments", func(s *corev1.Secret) { s.OwnerReferences, s.Annotations = nil, map[string]string{} }), "payments"},
		{"by its owner's consent, a copy", consented("payments", func(s *corev1.Secret) { s.OwnerReferences, s.Name = nil, "copy" }), "payments"},
		{"by its owner's consent, a copy in another namespace", consented("payments", func(s *corev1.Secret) { s.OwnerReferences, s.Namespace = nil, "other" }), "payments"},
		{"by its record, whatever is consented to", consented("payments", func(s *corev1.Secret) { s.OwnerReferences = nil }), "orders"},
		{"by its controller, whatever is consented to", consented("payments", func(*corev1.Secret) {}), "orders"},
	} {
		s := rendered()
		tt.edit(s)
		if got := secret.CredentialName(s); got != tt.want {
			t.Errorf("%s: CredentialName = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// apply does to a Secret what the API server does with a patch.
func apply(t *testing.T, s *corev1.Secret, patch []byte) *corev1.Secret {
	t.Helper()
	if patch == nil {
		return s.DeepCopy()
	}
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, corev1.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	var out corev1.Secret
	if err := json.Unmarshal(after, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestPatch(t *testing.T) {
	renewed := session
	renewed.AccessKeyID, renewed.RequestID = "STS.NNext", ""
	next := func(c *v1alpha1.StsCredential) *corev1.Secret {
		return render(c, renewed, secret.Request{Request: input}, "")
	}
	for _, tt := range []struct {
		name  string
		given func(*corev1.Secret)
		want  func() *corev1.Secret
		check func(t *testing.T, got *corev1.Secret)
	}{
		{"nothing to do", func(*corev1.Secret) {}, func() *corev1.Secret { return secret.Metadata(credential()) },
			func(t *testing.T, got *corev1.Secret) {
				if !equality.Semantic.DeepEqual(got, rendered()) {
					t.Errorf("changed: %v", got)
				}
			}},
		{"renewal keeps what others added", func(s *corev1.Secret) {
			s.Data["other"], s.Annotations["other"], s.Labels["other"] = []byte("x"), "x", "x"
			s.OwnerReferences = append([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "9"}}, s.OwnerReferences...)
		}, func() *corev1.Secret { return next(credential()) }, func(t *testing.T, got *corev1.Secret) {
			if string(got.Data["other"]) != "x" || got.Annotations["other"] != "x" || got.Labels["other"] != "x" || len(got.OwnerReferences) != 2 {
				t.Errorf("lost what others added: %v", got)
			}
			if string(got.Data[secret.KeyAccessKeyID]) != "STS.NNext" {
				t.Errorf("data not renewed: %v", got)
			}
			if _, left := got.Annotations["sts.alibabacloud.com/request-id"]; left {
				t.Error("the last issue's request id stands in the record of this one")
			}
		}},
		{"keys no longer written go", func(s *corev1.Secret) {
			s.Annotations["sts.alibabacloud.com/managed-keys"] += ",OLD_KEY"
			s.Data["OLD_KEY"] = []byte("x")
		}, func() *corev1.Secret { return next(credential()) }, func(t *testing.T, got *corev1.Secret) {
			if _, left := got.Data["OLD_KEY"]; left || len(got.Data) != 3 {
				t.Errorf("data = %v", got.Data)
			}
		}},
		{"labels and annotations follow the spec", func(s *corev1.Secret) { s.Labels["team"] = "edited"; delete(s.Labels, secret.UIDLabel) },
			func() *corev1.Secret {
				c := credential()
				c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "other"}
				c.Spec.Secret.Annotations = nil
				return secret.Metadata(c)
			}, func(t *testing.T, got *corev1.Secret) {
				if got.Labels["team"] != "other" || got.Labels["tier"] != "" || got.Annotations["example.com/note"] != "" ||
					got.Annotations["sts.alibabacloud.com/managed-annotations"] != "" || got.Labels[secret.UIDLabel] == "" {
					t.Errorf("metadata = %v %v", got.Labels, got.Annotations)
				}
			}},
		{"a retained Secret loses its owner", func(s *corev1.Secret) {
			s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "9"})
		}, func() *corev1.Secret {
			c := credential()
			c.Spec.Secret.DeletionPolicy = v1alpha1.DeletionPolicyRetain
			return secret.Metadata(c)
		}, func(t *testing.T, got *corev1.Secret) {
			if len(got.OwnerReferences) != 1 || got.OwnerReferences[0].Name != "other" {
				t.Errorf("owners = %v", got.OwnerReferences)
			}
		}},
		{"the owner of a predecessor is replaced", func(s *corev1.Secret) { s.OwnerReferences[0].UID = "gone" },
			func() *corev1.Secret { return secret.Metadata(credential()) }, func(t *testing.T, got *corev1.Secret) {
				if len(got.OwnerReferences) != 1 || got.OwnerReferences[0].UID != credential().UID {
					t.Errorf("owners = %v", got.OwnerReferences)
				}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := rendered()
			seen.ResourceVersion = "42"
			tt.given(seen)
			want := tt.want()
			patch := secret.Patch(stripped(t, seen), want)
			if patch != nil && !strings.Contains(string(patch), `"resourceVersion":"42"`) {
				t.Errorf("patch does not insist on what was seen: %s", patch)
			}
			got := apply(t, seen, patch)
			got.ResourceVersion = ""
			tt.check(t, got)
			got.ResourceVersion = "43"
			if again := secret.Patch(stripped(t, got), want); want.Data == nil && again != nil {
				t.Errorf("a second patch is not empty: %s", again)
			}
			if _, intact := secret.Read(stripped(t, got)); want.Data != nil && !intact {
				t.Error("the patched Secret is not intact")
			}
		})
	}
}

func TestRenewRequest(t *testing.T) {
	if got := secret.RenewRequest("2026-01-01"); got != "2026-01-01" {
		t.Errorf("RenewRequest = %q, want it as it is", got)
	}
	long := secret.RenewRequest(strings.Repeat("x", 129))
	if len(long) != 64 || long == secret.RenewRequest(strings.Repeat("x", 130)) {
		t.Errorf("RenewRequest of a long value = %q, want its hash", long)
	}
}
