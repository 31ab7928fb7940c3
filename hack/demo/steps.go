// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// What the samples name.
const (
	namespace = "shop"
	first     = "orders-reader" // in stscredential.yaml
	second    = "orders-tables" // in stscredential-policy.yaml, of the same role
)

// wantIssued is how many AssumeRole calls have to succeed in all: a first issue and two renewals of the first
// StsCredential, the first issue of the second, and the first issue and a renewal of the fourth.
const wantIssued = 6

// steps are the walk, in order.
var steps = []struct {
	title string
	do    func(*demo, context.Context) error
}{
	{"Without a grant nothing is issued", (*demo).withoutGrant},
	{"A cluster admin grants the role", (*demo).withGrant},
	{"The Secret holds a triple", (*demo).lookAtSecret},
	{"The triple works", (*demo).useTriple},
	{"A renewal on request", (*demo).renew},
	{"A program follows a renewal through the agent", (*demo).follow},
	{"A refusal says what to do", (*demo).refuseRole},
	{"A ServiceAccount needs no key and no grant", (*demo).keyless},
	{"The Secret goes with its StsCredential", (*demo).discard},
}

// walk goes through the steps, up to the first that fails.
func (d *demo) walk(ctx context.Context) error {
	for i, step := range steps {
		d.title("%d. %s", i+1, step.title)
		if err := step.do(d, ctx); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	if err := d.checkRights(); err != nil {
		return err
	}
	issued, refused := d.sts.asked()
	d.title("All %d steps came as they should", len(steps))
	d.note("STS counted %d AssumeRole calls: %d issued, %d refused", len(issued)+len(refused), len(issued), len(refused))
	if len(issued) != wantIssued {
		return &surprise{want: fmt.Sprint(wantIssued, " of them issued"), got: fmt.Sprint(len(issued))}
	}
	return nil
}

// checkRights looks for anything that the manager was not allowed to do. Some of it, such as events, fails unseen.
func (d *demo) checkRights() error {
	content, err := os.ReadFile(d.log)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, "forbidden") {
			return &surprise{want: "the rights of config/rbac are enough", got: line}
		}
	}
	return nil
}

func (d *demo) withoutGrant(ctx context.Context) error {
	if d.context != "" {
		d.cleanup.add("remove namespace "+namespace, func(ctx context.Context) error { return d.remove(ctx, shop()) })
	}
	if err := d.kubectlAll(ctx, []string{"create", "namespace", namespace}, []string{"apply", "-f", "config/samples/stscredential.yaml"}); err != nil {
		return err
	}
	want := condition{v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, []string{namespace, roleARN}}
	if err := d.expect(ctx, first, want); err != nil {
		return err
	}
	if err := d.show(ctx, first, v1alpha1.ConditionReady); err != nil {
		return err
	}
	if issued, refused := d.sts.asked(); len(issued)+len(refused) > 0 {
		return &surprise{want: "STS was not asked", got: fmt.Sprintf("%d calls", len(issued)+len(refused))}
	}
	d.ok("STS was not even asked")
	return nil
}

func (d *demo) withGrant(ctx context.Context) error {
	if err := d.kubectlAll(ctx,
		[]string{"apply", "-f", "config/samples/stsrolegrant.yaml"},
		[]string{"wait", "stscred/" + first, "-n", namespace, "--for=condition=Ready", "--timeout=60s"},
		[]string{"get", "stscred", "-n", namespace},
	); err != nil {
		return err
	}
	return d.expect(ctx, first, good...)
}

func (d *demo) lookAtSecret(ctx context.Context) error {
	c, err := d.credential(ctx, first)
	if err != nil {
		return err
	}
	if err := d.kubectl(ctx, "describe", "secret", c.Status.SecretName, "-n", namespace); err != nil {
		return err
	}
	t, err := d.readTriple(ctx, first)
	if err != nil {
		return err
	}
	if t.id != c.Status.AccessKeyID {
		return &surprise{want: "the AccessKey ID of the status, " + c.Status.AccessKeyID, got: t.id}
	}
	d.ok("it holds all three, and the AccessKey ID that the status names: %s", t.id)
	return nil
}

func (d *demo) useTriple(ctx context.Context) (err error) {
	if d.before, err = d.readTriple(ctx, first); err != nil {
		return err
	}
	d.note("GetCallerIdentity, called with the Secret's triple by the Go STS SDK:")
	return d.works(ctx, first, "the triple", d.before)
}

// works checks that STS knows a triple as the session of a StsCredential.
func (d *demo) works(ctx context.Context, name, what string, t triple) error {
	c, err := d.credential(ctx, name)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("acs:ram::%s:assumed-role/%s/%s", account, c.Status.RoleName, c.Status.SessionName)
	got, err := d.sts.whoAmI(t)
	if err != nil {
		got = err.Error()
	}
	if got != want {
		return &surprise{want: what + " acts as " + want, got: got}
	}
	d.ok("%s acts as %s", what, got)
	return nil
}

func (d *demo) renew(ctx context.Context) error {
	if err := d.requestRenewal(ctx, first); err != nil {
		return err
	}
	var after triple
	err := eventually(ctx, "status and Secret hold a new AccessKey ID", func(ctx context.Context) (string, bool) {
		c, err := d.credential(ctx, first)
		if err != nil {
			return err.Error(), false
		}
		if after, err = d.readTriple(ctx, first); err != nil {
			return err.Error(), false
		}
		got := fmt.Sprintf("status %s, Secret %s", c.Status.AccessKeyID, after.id)
		return got, after.id != d.before.id && after.id == c.Status.AccessKeyID
	})
	if err != nil {
		return err
	}
	d.ok("the AccessKey ID was %s", d.before.id)
	d.ok("in status and Secret it is now %s", after.id)
	if err := d.works(ctx, first, "the new triple", after); err != nil {
		return err
	}
	return d.works(ctx, first, "the old triple, until it expires,", d.before)
}

func (d *demo) discard(ctx context.Context) error {
	c, err := d.credential(ctx, first)
	if err != nil {
		return err
	}
	d.note("Kubernetes' garbage collector does it; it looks for new kinds, such as ours, every 30 s only")
	if err := d.kubectlAll(ctx,
		[]string{"delete", "stscred", first, "-n", namespace},
		[]string{"wait", "secret/" + c.Status.SecretName, "-n", namespace, "--for=delete", "--timeout=60s"},
		[]string{"get", "stscred,secret", "-n", namespace},
	); err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: c.Status.SecretName}}
	if err := d.gone(ctx, secret); err != nil {
		return err
	}
	d.ok("Secret %s was garbage collected", c.Status.SecretName)
	return nil
}

// good are the conditions of a credential without trouble.
var good = []condition{
	{kind: v1alpha1.ConditionReady, status: metav1.ConditionTrue, reason: v1alpha1.ReasonIssued},
	{kind: v1alpha1.ConditionRenewalFailing, status: metav1.ConditionUnknown},
}

// requestRenewal asks the operator for one, with a value that was not there before.
func (d *demo) requestRenewal(ctx context.Context, name string) error {
	value := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	return d.kubectl(ctx, "annotate", "stscred", name, "-n", namespace, "--overwrite", v1alpha1.AnnotationRenewRequestedAt+"="+value)
}

// show shows the StsCredentials and the message of one's condition.
func (d *demo) show(ctx context.Context, name, kind string) error {
	return d.kubectlAll(ctx,
		[]string{"get", "stscred", "-n", namespace},
		[]string{"get", "stscred", name, "-n", namespace, "-o", `jsonpath={.status.conditions[?(@.type=="` + kind + `")].message}`},
	)
}

func (d *demo) kubectlAll(ctx context.Context, commands ...[]string) error {
	for _, args := range commands {
		if err := d.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
