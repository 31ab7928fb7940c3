// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// A record whose history STS cannot have issued, with times that a status cannot hold, does not keep consumers from being
// reported.
func TestThreatForgedHistoryIsEvaluated(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	layout, err := secret.NewLayout(c.Spec.Secret, "")
	env.Must(err)
	request := secret.Request{Request: credentials.Request{RoleARN: c.Spec.RoleARN, SessionName: c.SessionName(""), Duration: c.Duration()}}
	forged, err := secret.Render(c, layout, credentials.Credentials{
		AccessKeyID: "STS.Nforged", AccessKeySecret: "forged", SecurityToken: "forged", RequestID: "forged",
		IssuedAt: env.OperatorClock.Now(), ExpiresAt: env.OperatorClock.Now().Add(time.Hour),
	}, request, secret.WriteOptions{})
	env.Must(err)
	forged.Annotations["sts.alibabacloud.com/replaced"] = "2020-01-01T00:00:00Z/9999-12-31T23:59:00-01:00,2020-01-01T00:00:00Z/2030-01-01T00:00:00Z"
	env.Must(api.Create(env.Context(), secret.ForAdopted(forged)))
	env.reconcile(c)
	env.createPod("env", nil, corev1.PodTemplateSpec{Spec: byEnvFrom("orders")}, nil)
	env.reconcile(c)
	env.WantCalls(0)
	if got := c.Status.Consumers; got == nil || got.Pods != 1 {
		t.Errorf("consumers = %+v, want one pod", got)
	}
}
