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

// floorCreated measures the plain loop with the creation of credentials in it. The loop knows nothing: no cache, no decision,
// no event, no look before the write.
func (s *site) floorCreated(ctx context.Context, n int) (issue, error) {
	calls, err := s.calls()
	if err != nil {
		return issue{}, err
	}
	return s.floor(ctx, n, func(ctx context.Context, i int) error {
		credential, err := s.create(ctx, i)
		if err != nil {
			return err
		}
		return s.issueTo(ctx, calls, credential)
	})
}

// floorWaiting measures the loop with credentials that exist.
func (s *site) floorWaiting(ctx context.Context, n int) (issue, error) {
	calls, err := s.calls()
	if err != nil {
		return issue{}, err
	}
	created := make([]*v1alpha1.StsCredential, n)
	if err := s.each(ctx, n, func(ctx context.Context, i int) (err error) {
		created[i], err = s.create(ctx, i)
		return err
	}); err != nil {
		return issue{}, err
	}
	return s.floor(ctx, n, func(ctx context.Context, i int) error {
		return s.issueTo(ctx, calls, created[i])
	})
}

// calls is the operator's own client of STS.
func (s *site) calls() (*sts.Client, error) {
	return sts.New(sts.Options{Endpoint: s.server.URL, Clock: clock.RealClock{}})
}

// floor runs one loop, from its start to the last Ready that an observer sees.
func (s *site) floor(ctx context.Context, n int, do func(context.Context, int) error) (r issue, err error) {
	before, watching, err := s.before(ctx)
	if err != nil {
		return r, err
	}
	defer watching.stop()
	idle, err := s.load()
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := s.each(ctx, n, do); err != nil {
		return r, err
	}
	end, err := watching.allReady(ctx, n)
	if err != nil {
		return r, err
	}
	if r.Load, err = s.load(); err != nil {
		return r, err
	}
	r.Load = r.Load.minus(idle)
	r.Took, r.STSCalls = end.Sub(start), s.assumed()
	r.Requests, err = s.since(ctx, before)
	// All of it is the bench's own.
	return r, err
}

// each has the workers do what is to be done with 0 to n-1.
func (s *site) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range s.workers {
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

// create asks for the ith credential, as a user does.
func (s *site) create(ctx context.Context, i int) (*v1alpha1.StsCredential, error) {
	credential := &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: credentialName(i)},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: roleARN},
	}
	return credential, s.admin.Create(ctx, credential)
}

// issueTo does what the operator has to: the call, the same Secret, the same status.
func (s *site) issueTo(ctx context.Context, calls *sts.Client, credential *v1alpha1.StsCredential) error {
	request := secret.Request{Request: credentials.Request{
		RoleARN: credential.Spec.RoleARN, SessionName: credential.SessionName(""), Duration: credential.Duration(),
	}}
	session, err := calls.AssumeRole(ctx, credentials.Credentials{AccessKeyID: s.key.ID, AccessKeySecret: s.key.Secret}, request.Request)
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
	if err := s.peer.Create(ctx, rendered); err != nil {
		return err
	}
	credential.Status = statusOf(credential, session)
	return s.peer.Status().Update(ctx, credential)
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
