// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
)

// postSpec creates an StsCredential as the user with edit from the JSON of its spec, so that nothing between is in the way. fields says
// what becomes of fields that are unknown or stand twice: Strict, Warn or Ignore.
func (env *environment) postSpec(name, spec, fields string) error {
	env.Helper()
	raw := fmt.Sprintf(`{"apiVersion":%q,"kind":"StsCredential","metadata":{"namespace":%q,"name":%q},"spec":%s}`,
		v1alpha1.GroupVersion, env.Namespace, name, spec)
	theirs, err := cluster.UserConfig(env.Namespace + "-edit")
	env.Must(err)
	path := []string{"/apis", v1alpha1.GroupVersion.String(), "namespaces", env.Namespace, "stscredentials"}
	return kubernetes.NewForConfigOrDie(theirs).RESTClient().Post().AbsPath(path...).Param("fieldValidation", fields).
		SetHeader("Content-Type", "application/json").Body([]byte(raw)).Do(env.Context()).Error()
}

// What the schema refuses, so that it is never stored.
func TestThreatSchema(t *testing.T) {
	env := newEnvironment(t)
	env.user("edit")
	var tries []string // specs
	for _, arn := range []string{
		"*", "acs:ram::*:role/orders-reader", "acs:ram::" + account + ":role/*", "acs:ram::" + account + ":role/orders-*",
		role[:len(role)-1] + "?", "acs:ram::" + account + ":role/[o]rders-reader", "acs:ram::" + account + ":role/%2A",
		role + `\n`, `\n` + role, role + " ", role + `\u0000`, role + `\u200b`, strings.ToUpper(role), "ACS:ram::" + account + ":role/orders-reader",
		"acs:ram::" + account + ":role/../payments", "acs:ram::" + account + ":role/a/../payments", "acs:ram::" + account + ":role/", role + "/x",
		"acs:ram:cn-hangzhou:" + account + ":role/orders-reader", "acs:ram::" + account + ":user/orders-reader", "acs:ram::system:role/x",
		"acs:sts::" + account + ":assumed-role/orders-reader/x", `acs:ram::` + account + `:role/orders\\-reader`, "acs:ram::" + account + ":role/оrders-reader",
		role + strings.Repeat("r", 64), "",
	} {
		tries = append(tries, `{"roleARN":"`+arn+`"}`)
	}
	with := func(format string, values ...string) {
		for _, v := range values {
			tries = append(tries, fmt.Sprintf(`{"roleARN":%q,`+format+`}`, role, v))
		}
	}
	with(`"sessionName":"%s"`, "*", "a", "shop/orders", `shop.orders\n`, "shop orders", "shöp.orders", strings.Repeat("a", 65), "shop.%2e")
	with(`"secret":{"name":"%s"}`, "other/orders", "../orders", "Orders", `orders\n`, "*", ".")
	with(`"secret":{"namespace":"kube-system","type":"%s"}`, "kubernetes.io/service-account-token")
	with(`"identity":{"serviceAccount":{"name":"%s"}}`, "other/orders", "other:orders", "system:serviceaccount:other:orders", "../orders", "orders/token", `orders\n`, "*", "Orders", "")
	with(`"identity":{"serviceAccount":{"name":"orders","namespace":"%s"}}`, "other")
	with(`"identity":{"serviceAccount":{"name":"orders","audience":"%s"}}`, "https://kubernetes.default.svc")
	with(`"identity":{"serviceAccount":{"name":"orders","oidcProviderARN":"%s"}}`, "*", "https://example.com", "acs:ram::*:oidc-provider/x", "acs:ram::1:oidc-provider/x/y", `acs:ram::1:oidc-provider/x\n`)
	with(`"identity":{"accessKey":{"secretName":"%s"}}`, "other/ram-user", "../ram-user", `ram-user\n`, "*", "")
	with(`"identity":{"accessKey":{"secretName":"ram-user","namespace":"%s"}}`, "other")
	with(`"identity":{"accessKey":{"secretName":"ram-user","accessKeyIDKey":"%s"}}`, "../x", "a/b", `x\n`)
	with(`"identity":{"accessKey":{"secretName":"ram-user"},"serviceAccount":{"name":"%s"}}`, "both")
	with(`"identity":{%s}`, "")
	with(`"stsEndpoint":"%s"`, "https://example.com")
	with(`"duration":"%s"`, "13h", "720m1s", "-1h", "1e3h", "14m", "99999h")
	for i, spec := range tries {
		err := env.postSpec(fmt.Sprint("try-", i), spec, metav1.FieldValidationStrict)
		if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
			t.Errorf("%s: %v, want it refused", spec, err)
		}
	}
	if err := env.postSpec("good", fmt.Sprintf(`{"roleARN":%q}`, role), metav1.FieldValidationStrict); err != nil {
		t.Errorf("refused what is right: %v", err)
	}
}

// Labels and annotations on the Secret on which Kubernetes, the operator or its record act are refused. Those of Helm, Argo CD
// and others are not: whoever may write Secrets here can set them anyhow, and what they do is between them and their tools.
func TestThreatLabels(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	of := func(kind string, key string) func(*v1alpha1.StsCredential) {
		return func(c *v1alpha1.StsCredential) {
			if kind == "labels" {
				c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{key: "x"}
				return
			}
			c.Spec.Secret.Annotations = map[string]v1alpha1.AnnotationValue{key: "x"}
		}
	}
	for _, kind := range []string{"labels", "annotations"} {
		for _, key := range []string{
			"kubernetes.io/service-account.name", "kubernetes.io/service-account.uid", "kubernetes.io/enforce-mountable-secrets",
			"bootstrap.kubernetes.io/x", "node.kubernetes.io/x", "a.b.kubernetes.io/x", "k8s.io/x", "apps.k8s.io/x", "kubectl.kubernetes.io/last-applied-configuration",
			"sts.alibabacloud.com/credential-uid", "sts.alibabacloud.com/credential", "sts.alibabacloud.com/expires-at", "sts.alibabacloud.com/adopt",
			"x.sts.alibabacloud.com/x", "app.kubernetes.io/managed-by", "Kubernetes.io/x", "kubernetes.io/x\n", "kubernetes.io//x", "a,sts.alibabacloud.com/adopt", "",
		} {
			err := user.Create(env.Context(), env.NewCredential("try", of(kind, key)))
			if !apierrors.IsInvalid(err) {
				t.Errorf("%s %q: %v, want it refused", kind, key, err)
			}
		}
	}
	for i, key := range []string{"app.kubernetes.io/part-of", "argocd.argoproj.io/instance", "meta.helm.sh/release-name", "reflector.v1.k8s.emberstack.com/reflection-allowed", "team"} {
		env.Must(user.Create(env.Context(), env.NewCredential(fmt.Sprint("allowed-", i), of("annotations", key))))
	}
	c := env.NewCredential("line-break", func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Annotations = map[string]v1alpha1.AnnotationValue{"x": "y\nsts.alibabacloud.com/adopt: x"}
	})
	env.Must(user.Create(env.Context(), c))
	env.reconcile(c)
	if s := env.Secret("line-break"); s.Annotations["sts.alibabacloud.com/adopt"] != "" || s.Type != corev1.SecretTypeOpaque {
		t.Errorf("type %s, annotations %v", s.Type, s.Annotations)
	}
}

// A policy goes to STS as it is stored, or not at all: there is no second reading of it.
func TestThreatPolicy(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	statement := func(inner string) string {
		return fmt.Sprintf(`{"roleARN":%q,"policy":{"Version":"1","Statement":[%s]}}`, role, inner)
	}
	for i, tt := range []struct {
		name, spec string
		sent       bool
	}{
		{"a key twice", statement(`{"Effect":"Deny","Effect":"Allow","Action":"ots:Get*","Resource":"*"}`), true},
		{"the whole policy twice", fmt.Sprintf(`{"roleARN":%q,"policy":{"Version":"2"},"policy":{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}}`, role), true},
		{"a key in another case", statement(`{"effect":"Allow","Action":"ots:Get*","Resource":"*"}`), false},
		{"both cases of a key", statement(`{"effect":"Deny","Effect":"Allow","Action":"ots:Get*","Resource":"*"}`), false},
		{"an unknown element", statement(`{"Effect":"Allow","Action":"ots:Get*","Resource":"*","Conditions":{}}`), false},
		{"an unknown element beside Statement", fmt.Sprintf(`{"roleARN":%q,"policy":{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}],"Id":"x"}}`, role), false},
		{"a principal", statement(`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Principal":{"RAM":["*"]}}`), false},
		{"null for a statement", statement(`null`), false},
		{"null for a resource", statement(`{"Effect":"Allow","Action":"ots:Get*","Resource":null}`), false},
		{"null for a condition", statement(`{"Effect":"Allow","Action":"ots:Get*","Resource":"*","Condition":null}`), false},
		{"no statement", statement(``), false},
		{"a statement that is no list", fmt.Sprintf(`{"roleARN":%q,"policy":{"Version":"1","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}}`, role), false},
		{"a number for the version", fmt.Sprintf(`{"roleARN":%q,"policy":{"Version":1,"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}}`, role), false},
		{"more than STS takes", statement(`{"Effect":"Allow","Action":["` + strings.Repeat("a", 2048) + `"],"Resource":"*"}`), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := env.Calls()
			name := fmt.Sprint("try-", i)
			env.Must(env.postSpec(name, tt.spec, metav1.FieldValidationIgnore))
			c := env.NewCredential(name)
			env.Must(user.Get(env.Context(), client.ObjectKeyFromObject(c), c))
			env.reconcile(c)
			if !tt.sent {
				env.WantCalls(before)
				env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "spec.policy")
			} else {
				stored, err := rampolicy.Compact(c.Spec.Policy.Raw)
				calls := env.Emulator.Calls()
				if err != nil || len(calls) == 0 || calls[len(calls)-1].Policy != stored {
					t.Errorf("stored %s, sent %+v, %v", c.Spec.Policy.Raw, calls, err)
				}
				if err := env.postSpec("strict", tt.spec, metav1.FieldValidationStrict); !apierrors.IsBadRequest(err) {
					t.Errorf("with strict validation, which is kubectl's: %v", err)
				}
			}
		})
	}
	for _, policy := range []string{`[]`, `"x"`, `{}`, `1`, `true`} {
		if err := env.postSpec("shape", fmt.Sprintf(`{"roleARN":%q,"policy":%s}`, role, policy), metav1.FieldValidationStrict); !apierrors.IsInvalid(err) {
			t.Errorf("policy %s: %v, want it refused", policy, err)
		}
	}
}

// null is, as everywhere in Kubernetes, a field that is left out: no policy at all. docs/security.md warns of it.
func TestThreatNullPolicy(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	env.Must(env.postSpec("orders", fmt.Sprintf(`{"roleARN":%q,"policy":null}`, role), metav1.FieldValidationStrict))
	stored := &unstructured.Unstructured{Object: map[string]any{"apiVersion": v1alpha1.GroupVersion.String(), "kind": "StsCredential"}}
	env.Must(user.Get(env.Context(), client.ObjectKey{Namespace: env.Namespace, Name: "orders"}, stored))
	if policy, there, _ := unstructured.NestedFieldNoCopy(stored.Object, "spec", "policy"); there {
		t.Errorf("stored policy %v: docs/security.md says that null is dropped", policy)
	}
}

// createOrStore creates StsCredentials as a user does. What the schema refuses is stored as it was before the schema did.
func (env *environment) createOrStore(user client.Client, credentials ...*v1alpha1.StsCredential) {
	env.Helper()
	var refused []*v1alpha1.StsCredential
	for _, c := range credentials {
		if err := user.Create(env.Context(), c); apierrors.IsInvalid(err) {
			refused = append(refused, c)
		} else {
			env.Must(err)
		}
	}
	if len(refused) > 0 {
		env.storeUnbounded(refused...)
	}
}

// Objects as large as the API server takes make no call, and are reported.
func TestThreatHugeObjects(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	var all []*v1alpha1.StsCredential
	for name, policy := range map[string]string{
		"list": `{"Version":"1","Statement":[{"Effect":"Allow","Action":["` + strings.Repeat(`a","`, 50_000) + `a"],"Resource":"*"}]}`,
		"text": `{"Version":"1","Statement":[{"Effect":"Allow","Action":"` + strings.Repeat("a", 500_000) + `","Resource":"*"}]}`,
	} {
		all = append(all, env.NewCredential(name, func(c *v1alpha1.StsCredential) { c.Spec.Policy = &runtime.RawExtension{Raw: []byte(policy)} }))
	}
	env.createOrStore(user, all...)
	for _, c := range all {
		env.reconcile(c)
		env.WantCalls(0)
		env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "")
	}
	for name, change := range map[string]func(*v1alpha1.StsCredential){
		"a policy of 4 MiB": func(c *v1alpha1.StsCredential) {
			c.Spec.Policy = policyOf(strings.Repeat("a", 4<<20))
		},
		"annotations of 300 KiB": func(c *v1alpha1.StsCredential) {
			c.Annotations = map[string]string{"x": strings.Repeat("a", 300<<10)}
		},
	} {
		if err := user.Create(env.Context(), env.NewCredential("orders", change)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// What a user wrote may stand in messages, but a condition takes 32 KiB at most, and an event 1 KiB.
func TestThreatLongMessages(t *testing.T) {
	for _, tt := range []struct{ name, policy string }{
		{"a long key", `{"Version":"1","` + strings.Repeat("a", 500_000) + `":1,"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`},
		{"a long operator", `{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"` + strings.Repeat("a", 500_000) + `":1}}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			user := env.user("edit")
			c := env.NewCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Policy = &runtime.RawExtension{Raw: []byte(tt.policy)} })
			env.createOrStore(user, c)
			env.reconcile(c)
			env.WantCalls(0)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "")
		})
	}
}
