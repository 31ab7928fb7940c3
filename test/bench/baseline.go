// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// baselineCreated measures the plain loop, including the creation of credentials. The loop has no cache, decides nothing, records
// no events, and reads nothing before it writes.
func (env *environment) baselineCreated(ctx context.Context, n int) (issuance, error) {
	calls, err := env.calls()
	if err != nil {
		return issuance{}, err
	}
	return env.baseline(ctx, n, func(ctx context.Context, i int) error {
		credential, err := env.create(ctx, i)
		if err != nil {
			return err
		}
		return env.issueTo(ctx, calls, credential)
	})
}

// baselineWaiting measures the loop with credentials that exist before.
func (env *environment) baselineWaiting(ctx context.Context, n int) (issuance, error) {
	calls, err := env.calls()
	if err != nil {
		return issuance{}, err
	}
	created := make([]*v1alpha1.StsCredential, n)
	if err := env.each(ctx, n, func(ctx context.Context, i int) (err error) {
		created[i], err = env.create(ctx, i)
		return err
	}); err != nil {
		return issuance{}, err
	}
	return env.baseline(ctx, n, func(ctx context.Context, i int) error {
		return env.issueTo(ctx, calls, created[i])
	})
}

// calls returns the operator's STS client.
func (env *environment) calls() (*sts.Client, error) {
	return sts.New(sts.Options{Endpoint: env.server.URL, Clock: clock.RealClock{}})
}

// baseline runs one loop, and measures from its start to the last Ready that an observer receives.
func (env *environment) baseline(ctx context.Context, n int, do func(context.Context, int) error) (r issuance, err error) {
	before, watching, err := env.before(ctx)
	if err != nil {
		return r, err
	}
	defer watching.stop()
	idle, err := env.load()
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := env.each(ctx, n, do); err != nil {
		return r, err
	}
	end, err := watching.allReady(ctx, n)
	if err != nil {
		return r, err
	}
	if r.Load, err = env.load(); err != nil {
		return r, err
	}
	r.Load = r.Load.minus(idle)
	r.Took, r.STSCalls = end.Sub(start), env.assumeRoleCalls()
	r.Requests, err = env.since(ctx, before)
	// The loop runs in this process, so all of its requests are the benchmark's own.
	return r, err
}

// each lets the workers call do with 0 to n-1.
func (env *environment) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range env.workers {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// create creates the ith StsCredential, as a user does.
func (env *environment) create(ctx context.Context, i int) (*v1alpha1.StsCredential, error) {
	credential := &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: credentialName(i)},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: roleARN},
	}
	return credential, env.admin.Create(ctx, credential)
}

// issueTo does what the operator must do: the call, the same Secret, the same status.
func (env *environment) issueTo(ctx context.Context, calls *sts.Client, credential *v1alpha1.StsCredential) error {
	request := secret.Request{Request: credentials.Request{
		RoleARN: credential.Spec.RoleARN, SessionName: credential.SessionName(""), Duration: credential.Duration(),
	}}
	session, err := calls.AssumeRole(ctx, credentials.Credentials{AccessKeyID: env.key.ID, AccessKeySecret: env.key.Secret}, request.Request)
	if err != nil {
		return err
	}
	layout, err := secret.NewLayout(credential.Spec.Secret, "cn-hangzhou")
	if err != nil {
		return err
	}
	rendered, err := secret.Render(credential, layout, session, request, secret.WriteOptions{At: session.IssuedAt})
	if err != nil {
		return err
	}
	if err := env.loopClient.Create(ctx, rendered); err != nil {
		return err
	}
	credential.Status = statusOf(credential, session)
	return env.loopClient.Status().Update(ctx, credential)
}

// statusOf is the status that the operator writes.
func statusOf(c *v1alpha1.StsCredential, session credentials.Credentials) v1alpha1.StsCredentialStatus {
	renewAt := metav1.NewTime(session.IssuedAt.Add(session.ExpiresAt.Sub(session.IssuedAt) * 2 / 3).Truncate(time.Second))
	return v1alpha1.StsCredentialStatus{
		ObservedGeneration: c.Generation,
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonIssued, ObservedGeneration: c.Generation,
			LastTransitionTime: metav1.NewTime(session.IssuedAt),
			Message: fmt.Sprintf("Secret %s holds credentials of %s until %s",
				c.SecretName(), session.AssumedRoleARN, session.ExpiresAt.Format(time.RFC3339)),
		}},
		RoleName: c.RoleName(), SessionName: c.SessionName(""), SecretName: c.SecretName(), GrantName: namespace,
		IssuedAt: &metav1.Time{Time: session.IssuedAt}, ExpiresAt: &metav1.Time{Time: session.ExpiresAt}, RenewAt: &renewAt,
		AccessKeyID: session.AccessKeyID, RequestID: session.RequestID,
		AssumedRole: &v1alpha1.AssumedRole{ARN: session.AssumedRoleARN, ID: session.AssumedRoleID},
	}
}

func credentialName(i int) string { return fmt.Sprintf("credential-%05d", i) }
