// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	// renewTimeout is how long renew --wait waits by default.
	renewTimeout = time.Minute
	// renewPollInterval is the time between two reads while renew waits.
	renewPollInterval = 500 * time.Millisecond
)

type renewFlags struct {
	selector  string
	all, wait bool
	timeout   time.Duration
}

// newRenew returns the command that requests new credentials before they are due.
func newRenew(o *options) *cobra.Command {
	var f renewFlags
	c := &cobra.Command{
		Use:   "renew NAME... | -l SELECTOR | --all",
		Short: "Renew credentials now",
		Long: "Renew credentials now, not only when they are due. The operator makes one STS call for each StsCredential. The old credentials " +
			"stay valid until they expire.\nOne command renews StsCredentials of one namespace, so that it cannot use up the STS calls of the account.",
		Args: func(c *cobra.Command, names []string) error { return f.check(c, names) },
		Example: `  # Renew, and wait until the Secret has new credentials
  kubectl stscred renew orders-reader --wait

  # Renew those with a label, after their role's permissions changed
  kubectl stscred renew -l team=shop

  # Renew all of a namespace
  kubectl stscred renew -n shop --all`,
		ValidArgsFunction: o.completeNames,
		RunE:              func(c *cobra.Command, names []string) error { return o.renew(c.Context(), names, f) },
	}
	c.Flags().StringVarP(&f.selector, "selector", "l", "", "Renew those whose labels match, such as team=shop.")
	c.Flags().BoolP("all-namespaces", "A", false, "Not supported.")
	_ = c.Flags().MarkHidden("all-namespaces")
	c.Flags().BoolVar(&f.all, "all", false, "Renew all StsCredentials of the namespace.")
	c.Flags().BoolVar(&f.wait, "wait", false, "Wait until new credentials are issued, or the renewal has failed.")
	c.Flags().DurationVar(&f.timeout, "timeout", renewTimeout, "How long --wait waits for all of them.")
	return c
}

// check requires names, a selector or --all, and only one of them.
func (f *renewFlags) check(c *cobra.Command, names []string) error {
	if c.Flags().Changed("all-namespaces") {
		return fmt.Errorf("%s works in one namespace, to spare the STS calls of the account. Write -n NAMESPACE instead of -A", c.CommandPath())
	}
	given := 0
	for _, is := range []bool{len(names) > 0, f.selector != "", f.all} {
		if is {
			given++
		}
	}
	if given != 1 {
		return fmt.Errorf("%s needs either names, -l SELECTOR or --all. Write: %s", c.CommandPath(), c.UseLine())
	}
	if f.timeout <= 0 {
		return fmt.Errorf("--timeout %s is not positive. Write a duration, such as 2m", f.timeout)
	}
	return nil
}

func (o *options) renew(ctx context.Context, names []string, f renewFlags) error {
	namespace, err := o.namespace(false)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if names, err = o.namesToRenew(ctx, namespace, f.selector); err != nil {
			return err
		}
	}
	api, err := o.client()
	if err != nil {
		return err
	}
	r := &renewal{options: o, api: api, request: o.Clock.Now().UTC().Format(time.RFC3339Nano)}
	var requested []*v1alpha1.StsCredential
	p := o.progress("Requesting renewals")
	for i, name := range names {
		p.update("Requesting renewals: %d of %d", i, len(names))
		c, err := r.annotate(ctx, types.NamespacedName{Namespace: namespace, Name: name})
		switch {
		case err != nil && (ctx.Err() != nil || unreachable(err)):
			p.stop()
			return err
		case err != nil:
			r.failed = append(r.failed, fmt.Sprintf("%s: %s", name, describe(err)))
		default:
			requested = append(requested, c)
		}
	}
	p.stop()
	r.report(ctx, requested, f)
	if len(r.failed) == 0 {
		return nil
	}
	for _, failure := range r.failed {
		_, _ = fmt.Fprintln(o.ErrOut, "error:", printable(failure))
	}
	return &ExitError{Status: ExitFindings}
}

// namesToRenew returns the names of the StsCredentials that a selector matches, those that expire first before others.
func (o *options) namesToRenew(ctx context.Context, namespace, selector string) (names []string, _ error) {
	credentials, err := o.credentials(ctx, namespace, selector)
	if err != nil {
		return nil, err
	}
	if len(credentials) == 0 {
		return nil, fmt.Errorf("nothing to renew: %s", none(namespace, listFlags{selector: selector}))
	}
	slices.SortStableFunc(credentials, byExpiry)
	for _, c := range credentials {
		names = append(names, c.Name)
	}
	return names, nil
}

// renewal is one run of renew.
type renewal struct {
	*options
	api     client.Client
	request string   // the value of the annotation
	failed  []string // one line for each StsCredential
}

// annotate requests a renewal, and returns the StsCredential as it was then.
func (r *renewal) annotate(ctx context.Context, key types.NamespacedName) (*v1alpha1.StsCredential, error) {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRenewRequestedAt, r.request)
	c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := r.api.Patch(ctx, c, client.RawPatch(types.MergePatchType, []byte(patch)))
	if apierrors.IsNotFound(err) && !notInstalled(err) {
		return nil, fmt.Errorf("there is no StsCredential of this name in namespace %q. See: kubectl stscred list -n %[1]s", key.Namespace)
	}
	if err == nil && c.Spec.Suspend {
		return nil, errors.New("the StsCredential is suspended, and is renewed when spec.suspend is false")
	}
	return c, err
}

// report prints what became of the requests.
func (r *renewal) report(ctx context.Context, requested []*v1alpha1.StsCredential, f renewFlags) {
	if !f.wait {
		for _, c := range requested {
			_, _ = fmt.Fprintf(r.Out, "%s: renewal requested\n", c.Name)
		}
		return
	}
	deadline := r.Clock.Now().Add(f.timeout)
	for i, before := range requested {
		p := r.progress("Waiting for new credentials: %d of %d", i+1, len(requested))
		after, err := r.await(ctx, before, deadline)
		p.stop()
		if err != nil {
			r.failed = append(r.failed, fmt.Sprintf("%s: %s", before.Name, describe(err)))
			continue
		}
		_, _ = fmt.Fprintf(r.Out, "%s %s: renewed, expires %s\n", r.style().good(), after.Name, until(after.Status.ExpiresAt, r.Clock.Now()))
	}
}

// await polls an StsCredential until it has other credentials than before, or its renewal has failed in a new way.
func (r *renewal) await(ctx context.Context, before *v1alpha1.StsCredential, deadline time.Time) (*v1alpha1.StsCredential, error) {
	for {
		c := &v1alpha1.StsCredential{}
		if err := r.api.Get(ctx, client.ObjectKeyFromObject(before), c); err != nil {
			return nil, err
		}
		failure := renewalFailure(c)
		switch {
		case c.Status.RequestID != before.Status.RequestID && failure == nil && c.Status.ExpiresAt != nil:
			return c, nil
		case failure != nil && isNew(failure, renewalFailure(before)):
			return nil, fmt.Errorf("%s: %s", failure.Reason, failure.Message)
		case !r.Clock.Now().Before(deadline) && failure != nil:
			return nil, fmt.Errorf("no new credentials yet. %s: %s", failure.Reason, failure.Message)
		case !r.Clock.Now().Before(deadline):
			return nil, fmt.Errorf("no new credentials yet, and no error. See: kubectl stscred doctor -n %s %s", c.Namespace, c.Name)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.Clock.After(renewPollInterval):
		}
	}
}

// renewalFailure returns the condition that says why there are no new credentials; nil if there is none.
func renewalFailure(c *v1alpha1.StsCredential) *metav1.Condition {
	if failing := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRenewalFailing); failing != nil {
		return failing
	}
	if ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Status == metav1.ConditionFalse {
		return ready
	}
	return nil
}

// isNew reports whether a failure is another one than before.
func isNew(failure, before *metav1.Condition) bool {
	return before == nil || failure.Type != before.Type || failure.Reason != before.Reason || failure.Message != before.Message
}
