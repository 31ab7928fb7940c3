// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Names that users of a namespace choose freely must not become commands in a fix.
func TestFixesQuoteWhatUsersChoose(t *testing.T) {
	const hostile = "x'; touch pwned; echo '"
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "StatefulSet", Name: hostile, Controller: ptr.To(true),
	}}}}
	groups := (&Snapshot{Pods: []corev1.Pod{pod}}).groupsIn("shop", func(*podView) bool { return true })
	if got := groups[0].restart("shop"); got != "kubectl -n shop delete pod p" {
		t.Errorf("restart: %s", got)
	}
	d := appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "d", Annotations: map[string]string{"meta.helm.sh/release-name": hostile}}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: ManagerContainer}}
	for _, got := range []string{(&Snapshot{Operators: []appsv1.Deployment{d}}).enable("a", "b"), setFlag(&d, "sts-endpoint", hostile)} {
		if !strings.Contains(got, `x'\''; touch pwned; echo '\''`) {
			t.Errorf("not quoted: %s", got)
		}
	}
}

// refusedCaller returns an StsCredential whose call STS refused for a caller of another account.
func refusedCaller(name string) v1alpha1.StsCredential {
	c := v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Generation: 1}}
	c.Spec.RoleARN = "acs:ram::1234567890123456:role/admin"
	c.Spec.Identity = &v1alpha1.IdentitySpec{AccessKey: &v1alpha1.AccessKeyIdentity{SecretName: "key"}}
	c.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRoleRefused, ObservedGeneration: 1,
		Message: `AssumeRole: NoPermission (RequestId 1): not authorized. {"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"RAM":["acs:ram::6666666666666666:user/stranger"]}}`,
	}}
	return c
}

// With an AccessKey of another account, a user of a namespace would let a fix open any role to that account.
func TestFixWarnsOfOtherAccounts(t *testing.T) {
	c := refusedCaller("orders")
	fix := noPermissionFix(&Snapshot{}, &c, c.Status.Conditions[0].Message)
	plain := strings.ReplaceAll(fix, "\n# ", " ")
	for _, want := range []string{"A RAM administrator decides", "another Alibaba Cloud account, 6666666666666666"} {
		if !strings.Contains(plain, want) {
			t.Errorf("%q is missing in:\n%s", want, fix)
		}
	}
}

// An StsCredential that the operator no longer reconciles keeps its condition after spec.identity is removed. Its caller is not the
// operator.
func TestCallerIsOfTheCurrentSpec(t *testing.T) {
	stale, other := refusedCaller("a"), refusedCaller("b")
	stale.Spec.Identity, other.Spec.Identity, other.Status.Conditions = nil, nil, nil
	stale.Generation = 2
	if got := CallerOf(&Snapshot{Credentials: []v1alpha1.StsCredential{stale, other}}, &other).Principal; got != "" {
		t.Errorf("caller %q", got)
	}
}
