// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// FuzzRecord: whatever somebody writes into an annotation, or into a key, it is seen, no record claims what no session
// can be, and one patch puts it right.
func FuzzRecord(f *testing.F) {
	original := rendered()
	names := slices.Sorted(maps.Keys(original.Annotations))
	for i, name := range names {
		f.Add(uint(i), original.Annotations[name])
	}
	for i := range names {
		f.Add(uint(i), "")
	}
	f.Add(uint(2), "2099-01-01T00:00:00Z")
	f.Add(uint(4), "9999-12-31T23:59:59.999999999+23:59")
	f.Add(uint(5), ",,ALIBABA_CLOUD_ACCESS_KEY_ID,no-such-key,")
	f.Add(uint(6), "v1:0 v2:0 v1:1")
	f.Add(uint(len(names)), "another value of a key")
	f.Fuzz(func(t *testing.T, which uint, value string) {
		s := original.DeepCopy()
		s.ResourceVersion = "7"
		edited := edit(s, names, which%uint(len(names)+1), value)
		seen := stripped(t, s)
		record, intact := secret.Read(seen)
		if intact && edited {
			t.Errorf("%d set to %q is taken for what was written", which, value)
		}
		if record != nil && (!record.ExpiresAt.After(record.IssuedAt) || record.ExpiresAt.Sub(record.IssuedAt) > 12*time.Hour+10*time.Minute || record.AccessKeyID == "") {
			t.Errorf("a record of what no session can be: %v to %v", record.IssuedAt, record.ExpiresAt)
		}
		_ = secret.CredentialName(s)
		patched := applied(t, s, secret.Patch(seen, rendered()))
		if _, intact := secret.Read(stripped(t, patched)); !intact || string(patched.Data["ALIBABA_CLOUD_SECURITY_TOKEN"]) != session.SecurityToken {
			t.Errorf("after %d was set to %q, a renewal left %v", which, value, patched.Annotations)
		}
	})
}

// edit sets an annotation or, behind the last, a key, and reports whether that changes what the record covers.
func edit(s *corev1.Secret, names []string, which uint, value string) (changed bool) {
	if which == uint(len(names)) {
		key := "ALIBABA_CLOUD_SECURITY_TOKEN"
		changed = value != string(s.Data[key])
		s.Data[key] = []byte(value)
		return changed
	}
	name := names[which]
	changed = s.Annotations[name] != value && len(name) > len("sts.alibabacloud.com/") && name[:len("sts.alibabacloud.com/")] == "sts.alibabacloud.com/" &&
		name != "sts.alibabacloud.com/managed-labels" && name != "sts.alibabacloud.com/managed-annotations"
	switch name {
	case "sts.alibabacloud.com/data-hash": // what it says beside this version's hash is another version's
		changed = false
	case "sts.alibabacloud.com/secret": // a hash of its own covers it, and a patch of annotations puts it right
		changed = false
	}
	s.Annotations[name] = value
	return changed
}

// applied is the Secret after a patch.
func applied(t *testing.T, s *corev1.Secret, patch []byte) *corev1.Secret {
	t.Helper()
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, corev1.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	patched := &corev1.Secret{}
	if err := json.Unmarshal(after, patched); err != nil {
		t.Fatal(err)
	}
	return patched
}
