// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

type listFlags struct {
	all      bool
	selector string
	within   time.Duration
	output   *outputFormat
}

// newList returns the command that lists StsCredentials by expiry.
func newList(o *options) *cobra.Command {
	var f listFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List StsCredentials by expiry",
		Long: "List StsCredentials by expiry. Those that never had credentials come first, then those whose credentials expire first.\n" +
			"The time until the expiration is counted by the clock of this machine.",
		Args: noArguments,
		Example: `  # The StsCredentials of the current namespace
  kubectl stscred list

  # All that expire within two hours, or have no credentials
  kubectl stscred list -A --expiring-within 2h

  # With session, AccessKey ID and pods, of those with a label
  kubectl stscred list -l team=shop -o wide`,
		RunE: func(c *cobra.Command, _ []string) error { return o.list(c.Context(), f) },
	}
	c.Flags().BoolVarP(&f.all, "all-namespaces", "A", false, "List the StsCredentials of all namespaces.")
	c.Flags().StringVarP(&f.selector, "selector", "l", "", "List only those whose labels match, such as team=shop.")
	c.Flags().DurationVar(&f.within, "expiring-within", 0,
		"List only those whose credentials expire within this time, such as 2h, or have expired or are missing.")
	f.output = outputFlag(c)
	return c
}

func (o *options) list(ctx context.Context, f listFlags) error {
	if f.within < 0 {
		return fmt.Errorf("--expiring-within %s lies in the past. Write a positive duration, such as 2h", f.within)
	}
	namespace, err := o.namespace(f.all)
	if err != nil {
		return err
	}
	credentials, err := o.credentials(ctx, namespace, f.selector)
	if err != nil {
		return err
	}
	now := o.Clock.Now()
	if f.within > 0 {
		credentials = slices.DeleteFunc(credentials, func(c v1alpha1.StsCredential) bool {
			return c.Status.ExpiresAt != nil && c.Status.ExpiresAt.After(now.Add(f.within))
		})
	}
	slices.SortStableFunc(credentials, byExpiry)
	list, err := asList(credentials)
	if err != nil {
		return err
	}
	return o.print(*f.output, list, func(w io.Writer, wide bool) error {
		if len(credentials) == 0 {
			_, err := fmt.Fprintln(o.ErrOut, none(namespace, f))
			return err
		}
		return printTable(w, credentialTable(credentials, namespace == "", now), wide)
	})
}

// none says that nothing was found, and where.
func none(namespace string, f listFlags) string {
	text := "No StsCredential"
	if f.selector != "" {
		text += " with labels " + f.selector
	}
	if f.within > 0 {
		text += " that expires within " + duration.HumanDuration(f.within)
	}
	if namespace == "" {
		return text + " in any namespace."
	}
	return text + fmt.Sprintf(" in namespace %q.", namespace)
}

// credentials reads all StsCredentials of a namespace, or of all if it is empty, that a label selector matches.
func (o *options) credentials(ctx context.Context, namespace, selector string) (all []v1alpha1.StsCredential, _ error) {
	reader, err := o.client()
	if err != nil {
		return nil, err
	}
	matches, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("--selector %q is not a label selector: %w. Write -l name=value", selector, err)
	}
	p := o.progress("Reading StsCredentials")
	defer p.stop()
	var page v1alpha1.StsCredentialList
	err = listAll(ctx, reader, &page, func() error {
		all = append(all, page.Items...)
		p.update("Reading StsCredentials: %d", len(all))
		return nil
	}, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: matches})
	return all, err
}

// byExpiry orders StsCredentials without credentials before others, and these by expiration; then by namespace and name.
func byExpiry(a, b v1alpha1.StsCredential) int {
	return cmp.Or(expiry(&a).Compare(expiry(&b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// expiry is when the credentials expire; the zero time if there are none.
func expiry(c *v1alpha1.StsCredential) time.Time {
	if c.Status.ExpiresAt == nil {
		return time.Time{}
	}
	return c.Status.ExpiresAt.Time
}

// credentialTable is what list prints.
func credentialTable(credentials []v1alpha1.StsCredential, withNamespace bool, now time.Time) *metav1.Table {
	table := &metav1.Table{}
	for i, name := range []string{"Name", "Ready", "Reason", "Role", "Secret", "Expires", "Next renewal", "Session", "AccessKey ID", "Stale pods"} {
		column := metav1.TableColumnDefinition{Name: name, Type: "string"}
		if i > 5 {
			column.Priority = 1
		}
		table.ColumnDefinitions = append(table.ColumnDefinitions, column)
	}
	if withNamespace {
		table.ColumnDefinitions = slices.Insert(table.ColumnDefinitions, 0, metav1.TableColumnDefinition{Name: "Namespace", Type: "string"})
	}
	for i := range credentials {
		cells := credentialCells(&credentials[i], now)
		if withNamespace {
			cells = slices.Insert(cells, 0, any(credentials[i].Namespace))
		}
		table.Rows = append(table.Rows, metav1.TableRow{Cells: cells})
	}
	return table
}

func credentialCells(c *v1alpha1.StsCredential, now time.Time) []any {
	ready, reason := string(metav1.ConditionUnknown), "-"
	if condition := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); condition != nil {
		ready, reason = string(condition.Status), condition.Reason
	}
	if failing := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRenewalFailing); failing != nil {
		reason += ", renewal failing: " + failing.Reason
	}
	stale := "-"
	if consumers := c.Status.Consumers; consumers != nil {
		stale = fmt.Sprintf("%d of %d", consumers.Stale, consumers.Pods)
	}
	return []any{
		c.Name, ready, reason, cmp.Or(c.Status.RoleName, "-"), c.SecretName(), until(c.Status.ExpiresAt, now), until(c.Status.RenewAt, now),
		cmp.Or(c.Status.SessionName, "-"), cmp.Or(c.Status.AccessKeyID, "-"), stale,
	}
}

// until is a time and how far away it is: 2026-01-02T15:04:05Z (in 54m).
func until(t *metav1.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	text := t.UTC().Format(time.RFC3339)
	if left := t.Sub(now); left >= 0 {
		return text + " (in " + duration.HumanDuration(left) + ")"
	}
	return text + " (" + duration.HumanDuration(now.Sub(t.Time)) + " ago)"
}
