// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"path"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// readKey adds a Secret with an AccessKey, and a Deployment of the same name that reads it.
func readKey(s *Scan, namespace, name, id string) {
	s.AddSecret(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       map[string][]byte{"id": []byte(id), "secret": []byte(testSecret)},
	})
	env := func(variable, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key,
		}}}
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{
		Name: "main", Env: []corev1.EnvVar{env("AK", "id"), env("SK", "secret")}, Args: []string{"--ak=" + id, "--sk=" + testSecret},
	}}
	s.AddWorkload("Deployment", d, &d.Spec.Template)
}

// Every object has files and names of its own, which are not too long.
func TestGeneratedNamesAreDistinct(t *testing.T) {
	s, long := New(), strings.Repeat("a.", 126)
	objects := [][2]string{
		{"a-b", "c"}, {"a", "b-c"}, {"a", "b.c"}, {"shop", long + "a"}, {"shop", long + "b"}, {"shop", bounded("patch-deployment-"+long+"a", 240)},
		{strings.Repeat("n", 63), long + "a"}, {strings.Repeat("n", 63), long + "b"},
	}
	for i, o := range objects {
		readKey(s, o[0], o[1], testID[:20]+string(rune('a'+i))+"3Hd")
	}
	files, grants := s.Generate(), map[string]bool{}
	if want := 4*len(objects) + 1; len(files) != want {
		t.Errorf("%d files, want %d", len(files), want)
	}
	for name, content := range files {
		if len(path.Base(name)) > maxFileName {
			t.Errorf("file name of %d bytes", len(path.Base(name)))
		}
		if name != "README.md" && !strings.Contains(string(files["README.md"]), name) {
			t.Errorf("README.md does not name %s", name)
		}
		var object metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(content, &object); err != nil || !strings.HasPrefix(object.Kind, "Sts") {
			continue
		}
		if problems := validation.IsDNS1123Subdomain(object.Name); len(problems) > 0 {
			t.Errorf("%s %s: %v", object.Kind, object.Name, problems)
		}
		if object.Kind == "StsRoleGrant" {
			grants[object.Name] = true
		}
	}
	if len(grants) != len(objects) {
		t.Errorf("%d grants, want %d", len(grants), len(objects))
	}
}

func TestBounded(t *testing.T) {
	for _, name := range []string{strings.Repeat("a", 252), strings.Repeat("a", 253), strings.Repeat("a.", 200), strings.Repeat("a", 235) + "." + strings.Repeat("b", 40)} {
		got := bounded(name, maxObjectName)
		if len(name) < maxObjectName != (got == name) || len(validation.IsDNS1123Subdomain(got)) > 0 {
			t.Errorf("bounded(%q) = %q", name, got)
		}
	}
}

// Only a confirmed operator keeps its AccessKey. Others that look like it are migrated as all workloads.
func TestGenerateLeavesOperator(t *testing.T) {
	s := New()
	for i, namespace := range []string{"sts-system", "shop", "unlike"} {
		readKey(s, namespace, "sts-credential-operator", testID[:20]+string(rune('a'+i))+"3Hd")
		if namespace != "unlike" {
			s.AddOperatorCandidate(namespace, "sts-credential-operator", "sts-credential-operator")
		}
	}
	s.ConfirmOperators(func(namespace, serviceAccount string) bool {
		return namespace != "shop" && serviceAccount == "sts-credential-operator"
	})
	for _, f := range s.Report().Findings {
		if want := f.Object.Kind == "Secret" && f.Object.Namespace == "sts-system"; (f.Note == "identity of the operator") != want {
			t.Errorf("%s in namespace %s has note %q", f.Object, f.Object.Namespace, f.Note)
		}
	}
	files := s.Generate()
	for namespace, want := range map[string]bool{"sts-system": false, "shop": true, "unlike": true} {
		if _, found := files[namespace+"/patch-deployment-sts-credential-operator.yaml"]; found != want {
			t.Errorf("namespace %s has a patch: %t, want %t", namespace, found, want)
		}
	}
}

// The name of a variable may have characters that the key of a Secret may not.
func TestGenerateKeysForAnyVariable(t *testing.T) {
	s := New()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Env: []corev1.EnvVar{{Name: "my id!", Value: testID}, {Name: "my secret!", Value: testSecret}}}}
	s.AddWorkload("Deployment", d, &d.Spec.Template)
	files := s.Generate()
	if manifest := string(files["shop/stscredential-orders-sts.yaml"]); strings.Contains(manifest, "template") {
		t.Errorf("the Secret has keys of its own:\n%s", manifest)
	}
	for _, want := range []string{"name: my id!", "name: my secret!", "key: ALIBABA_CLOUD_ACCESS_KEY_ID", "key: ALIBABA_CLOUD_ACCESS_KEY_SECRET", "key: ALIBABA_CLOUD_SECURITY_TOKEN"} {
		if patch := string(files["shop/patch-deployment-orders.yaml"]); !strings.Contains(patch, want) {
			t.Errorf("%q is missing in:\n%s", want, patch)
		}
	}
}
