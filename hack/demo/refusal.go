// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

func (d *demo) refuseRole(ctx context.Context) error {
	d.note("the role's administrator removes the operator from its trust policy:")
	if err := d.trust(ctx); err != nil {
		return err
	}
	if err := d.refuseFirst(ctx); err != nil {
		return err
	}
	if err := d.refuseSecond(ctx); err != nil {
		return err
	}
	d.note("the administrator does what the messages say, and both are asked to try at once:")
	if err := d.trust(ctx, userARN); err != nil {
		return err
	}
	for _, name := range []string{first, second} {
		if err := d.requestRenewal(ctx, name); err != nil {
			return err
		}
		if err := d.expect(ctx, name, good...); err != nil {
			return err
		}
	}
	return d.kubectl(ctx, "get", "stscred", "-n", namespace)
}

// refuseFirst: what the Secret holds is still good, so Ready stays True.
func (d *demo) refuseFirst(ctx context.Context) error {
	held, err := d.readTriple(ctx, first)
	if err != nil {
		return err
	}
	if err := d.requestRenewal(ctx, first); err != nil {
		return err
	}
	if err := d.expectRefusal(ctx, first, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue); err != nil {
		return err
	}
	if err := d.expect(ctx, first, good[0]); err != nil {
		return err
	}
	if err := d.show(ctx, first, v1alpha1.ConditionRenewalFailing); err != nil {
		return err
	}
	if now, err := d.readTriple(ctx, first); err != nil || now != held {
		return &surprise{want: "the Secret is as it was", got: fmt.Sprintf("AccessKey ID %s, error %v", now.id, err)}
	}
	return d.works(ctx, first, "what the Secret holds", held)
}

// refuseSecond: there never was a Secret, so Ready is False.
func (d *demo) refuseSecond(ctx context.Context) error {
	d.note("another StsCredential of that role never had a Secret:")
	if err := d.kubectl(ctx, "apply", "-f", "config/samples/stscredential-policy.yaml"); err != nil {
		return err
	}
	if err := d.expectRefusal(ctx, second, v1alpha1.ConditionReady, metav1.ConditionFalse); err != nil {
		return err
	}
	return d.show(ctx, second, v1alpha1.ConditionReady)
}

// expectRefusal waits for a condition that tells of STS's last refusal: its code, its RequestId, and whom the role has
// to trust.
func (d *demo) expectRefusal(ctx context.Context, name, kind string, status metav1.ConditionStatus) error {
	want := condition{kind: kind, status: status, reason: v1alpha1.ReasonRoleRefused, mentions: []string{userARN}}
	if err := d.expect(ctx, name, want); err != nil {
		return err
	}
	_, refused := d.sts.asked()
	if len(refused) == 0 {
		return &surprise{want: "STS has refused a call", got: "it has not"}
	}
	last := refused[len(refused)-1]
	want.mentions = []string{last.Code, last.RequestID}
	return d.expect(ctx, name, want)
}
