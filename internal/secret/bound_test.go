// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// maxCached is the bound in docs/security.md of a Secret in the operator's cache, in bytes.
const maxCached = 48 << 10

// largeSecrets are Secrets with as much of one kind as the API server takes, and more.
func largeSecrets() map[string]func() *corev1.Secret {
	of := func(change func(*corev1.Secret)) func() *corev1.Secret {
		return func() *corev1.Secret {
			s := rendered()
			change(s)
			return s
		}
	}
	annotated := func(length int, keys ...string) func() *corev1.Secret {
		return of(func(s *corev1.Secret) {
			for _, key := range keys {
				s.Annotations["sts.alibabacloud.com/"+key] = strings.Repeat("x", length)
			}
		})
	}
	unknown := make([]string, 28)
	for i := range unknown {
		unknown[i] = fmt.Sprint("unknown-", i)
	}
	record := []string{
		"credential", "issued-at", "expires-at", "request-id", "access-key-id", "assumed-role", "assumed-role-id", "request-hash", "layout-hash",
		"data-hash", "managed-keys", "handled-renew-request", "adopted", "written-at", "replaced", "managed-labels", "managed-annotations", "adopt",
	}
	return map[string]func() *corev1.Secret{
		"unknown annotations under the operator's prefix": annotated(9_000, unknown...),
		"all annotations of the record":                   annotated(14_000, record...),
		"one annotation of the record":                    annotated(250_000, "assumed-role"),
		"the consent":                                     annotated(250_000, "adopt"),
		"a list of keys":                                  annotated(250_000, "managed-keys"),
		"data": of(func(s *corev1.Secret) {
			s.Data["x"] = make([]byte, 1<<20)
		}),
		"data that the record names": of(func(s *corev1.Secret) {
			s.Annotations["sts.alibabacloud.com/managed-keys"] += ",x"
			s.Data["x"] = make([]byte, 1<<20)
		}),
		"type":       of(func(s *corev1.Secret) { s.Type = corev1.SecretType(strings.Repeat("x", 1<<20)) }),
		"finalizers": of(func(s *corev1.Secret) { s.Finalizers = slicesOf(10_000, "example.com/") }),
		"labels": of(func(s *corev1.Secret) {
			for _, key := range slicesOf(3_000, "example.com/") {
				s.Labels[key] = strings.Repeat("x", 63)
			}
		}),
		"owners of others": of(func(s *corev1.Secret) {
			for i, name := range slicesOf(1_000, strings.Repeat("x", 1_000)) {
				s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: types.UID(fmt.Sprint(i))})
			}
		}),
		"owners that are StsCredentials": of(func(s *corev1.Secret) {
			for i, name := range slicesOf(1_000, strings.Repeat("x", 1_000)) {
				s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: "sts.alibabacloud.com/v1", Kind: "StsCredential", Name: name, UID: types.UID(fmt.Sprint(i))})
			}
		}),
		"a controller with a long name": of(func(s *corev1.Secret) {
			long := strings.Repeat("x", 250_000)
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/" + long, Kind: long, Name: long, UID: types.UID(long), Controller: ptr.To(true)}}
		}),
		"labels and annotations that the spec may name": of(func(s *corev1.Secret) {
			keys := slicesOf(32, strings.Repeat("x", 180)+"/")
			for _, key := range keys {
				s.Labels[key], s.Annotations[key] = strings.Repeat("x", 63), strings.Repeat("x", 4_096)
			}
			s.Annotations["sts.alibabacloud.com/managed-labels"] = strings.Join(keys, ",")
			s.Annotations["sts.alibabacloud.com/managed-annotations"] = strings.Join(keys, ",")
		}),
	}
}

func slicesOf(n int, prefix string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%060d", prefix, i)
	}
	return all
}

// What the cache keeps of a Secret does not grow with what people write to it.
func TestStrippedSecretIsBounded(t *testing.T) {
	const copies = 32
	for name, large := range largeSecrets() {
		var kept [copies]*corev1.Secret
		before := heap()
		for i := range kept {
			kept[i] = stripped(t, freshStrings(large()))
		}
		if held := (heap() - before) / copies; held > maxCached {
			t.Errorf("%s: the cache holds %d bytes, want at most %d", name, held, maxCached)
		}
		if held := kept[0].Size(); held > maxCached {
			t.Errorf("%s: the stripped Secret has %d bytes, want at most %d", name, held, maxCached)
		}
		runtime.KeepAlive(kept)
	}
}

// freshStrings gives a Secret memory of its own, as one has that was read from the API server.
func freshStrings(s *corev1.Secret) *corev1.Secret {
	raw, err := s.Marshal()
	if err != nil {
		panic(err)
	}
	fresh := &corev1.Secret{}
	if err := fresh.Unmarshal(raw); err != nil {
		panic(err)
	}
	return fresh
}

// heap is what lives on it after a collection, in bytes.
func heap() int {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// A value that is too long makes a record that is not valid, and is corrected as an edited one is.
func TestOverlongRecordIsNone(t *testing.T) {
	for _, key := range []string{"credential", "access-key-id", "assumed-role", "request-hash", "managed-keys", "replaced"} {
		s := rendered()
		s.Annotations["sts.alibabacloud.com/"+key] += strings.Repeat("x", 10_000)
		if record, intact := secret.Read(stripped(t, s)); record != nil || intact {
			t.Errorf("%s of 10,000 bytes: record = %v, intact = %v, want none", key, record, intact)
		}
	}
	s := rendered()
	s.Annotations["sts.alibabacloud.com/data-hash"] = "no hash"
	s.Annotations["sts.alibabacloud.com/managed-keys"] += ",x"
	s.Data["x"] = make([]byte, 1<<20)
	if _, intact := secret.Read(stripped(t, s)); intact {
		t.Error("a Secret whose data is too long to be hashed is taken for what was written")
	}
}

// Annotations from the spec are compared, long ones by their hash, whatever somebody writes in their place.
func TestLongAnnotationsAreCorrected(t *testing.T) {
	c := credential()
	long := strings.Repeat("é", 1_024)
	c.Spec.Secret.Annotations["example.com/note"] = "short"
	c.Spec.Secret.Annotations["example.com/long"] = v1alpha1.AnnotationValue(long)
	frame := secret.Metadata(c)
	written := apply(t, rendered(), secret.Patch(stripped(t, rendered()), frame))
	if written.Annotations["example.com/long"] != long {
		t.Fatalf("annotations = %v", written.Annotations)
	}
	seen := stripped(t, written)
	if again := secret.Patch(seen, frame); again != nil {
		t.Errorf("a second patch is not empty: %s", again)
	}
	for _, edited := range []string{"", long + "x", long[:len(long)-2], seen.Annotations["example.com/long"]} {
		s := written.DeepCopy()
		s.Annotations["example.com/long"] = edited
		if patched := apply(t, s, secret.Patch(stripped(t, s), frame)); patched.Annotations["example.com/long"] != long {
			t.Errorf("edited to %.40q: left as it is", edited)
		}
	}
	if held := seen.Annotations["example.com/long"]; unsafe.Sizeof(held)+uintptr(len(held)) > 128 {
		t.Errorf("%d bytes are kept of a long annotation", len(held))
	}
}

// A key that would be an instruction in a patch is not put into one.
func TestPatchHasNoForeignInstructions(t *testing.T) {
	s := rendered()
	for _, list := range []string{"managed-keys", "managed-labels", "managed-annotations"} {
		s.Annotations["sts.alibabacloud.com/"+list] = "$patch,$retainKeys,$setElementOrder/x"
	}
	if got := apply(t, s, secret.Patch(stripped(t, s), rendered())); len(got.Data) == 0 {
		t.Errorf("data = %v", got.Data)
	}
}

// Owners that others set are kept, though the cache does not hold them.
func TestPatchKeepsForeignOwners(t *testing.T) {
	s := rendered()
	s.OwnerReferences[0].UID = "gone"
	for i := range 100 {
		s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: fmt.Sprint("other-", i), UID: types.UID(fmt.Sprint(i))})
	}
	seen := stripped(t, s)
	if len(seen.OwnerReferences) != 1 {
		t.Errorf("the cache holds %d owners", len(seen.OwnerReferences))
	}
	got := apply(t, s, secret.Patch(seen, secret.Metadata(credential())))
	if len(got.OwnerReferences) != 101 || metav1.GetControllerOf(got).UID != credential().UID {
		t.Errorf("%d owners, controller %v", len(got.OwnerReferences), metav1.GetControllerOf(got))
	}
}
