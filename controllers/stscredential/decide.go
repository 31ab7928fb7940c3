// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

// decider compares the existing Secret with the spec and the renew request.
type decider struct {
	early *renewal.Early
	sts   STSClock
}

// decide returns whether to renew.
func (d decider) decide(t target, e existing) renewal.Decision {
	c := t.credential
	facts := renewal.Facts{
		Suspended:    c.Spec.Suspend,
		Duration:     c.Duration(),
		RenewBefore:  c.RenewBefore(),
		Restarts:     c.Restarts(),
		Served:       c.WritesURI(),
		RenewRequest: t.renewRequest,
		Seed:         string(c.UID),
	}
	if e.record != nil {
		request := t.stsRequest()
		facts.RenewEarly = d.early.Requested(client.ObjectKeyFromObject(c), e.record.RequestID)
		facts.Record = &e.record.Record
		facts.Foreign = e.record.Credential != c.Namespace+"/"+c.Name
		facts.Edited = !e.intact
		facts.RequestChanged = t.specRefused || e.record.RequestChanged(request)
		facts.PolicyChanged = t.granted && e.record.PolicyChanged(request)
		facts.LayoutChanged = e.record.LayoutChanged(t.layout)
	}
	return renewal.Decide(d.sts.Now(), facts)
}

// suspended returns an error if spec.suspend is true and the Secret holds no valid credentials for this spec.
func suspended(t target, d renewal.Decision) error {
	if !t.credential.Spec.Suspend || d.Usable {
		return nil
	}
	return newError(v1alpha1.ReasonSuspended, "the Secret holds no valid credentials for this spec: spec.suspend is true. Set it to false")
}

// lifeLeft returns the remaining lifetime of usable credentials in the Secret; 0 if there are none.
func lifeLeft(e existing, d renewal.Decision, now time.Time) time.Duration {
	if !d.Usable {
		return 0
	}
	return e.record.ExpiresAt.Sub(now)
}
