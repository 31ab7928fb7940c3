// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

// newStatus returns the command that shows the chain from the grant to the pods of one StsCredential.
func newStatus(o *options) *cobra.Command {
	var output *outputFormat
	c := &cobra.Command{
		Use:   "status NAME",
		Short: "Show the chain from the grant to the pods of an StsCredential",
		Long: "Show the chain of an StsCredential: grant, identity, STS, Secret and pods. A line begins with ✓ if the stage works, with ✗ if it\n" +
			"does not, and with ? if it could not be checked. Below ✗ is what repairs it. The exit status is 0 if all stages work, otherwise 1.",
		Args: oneArgument(aName),
		Example: `  # Why do these credentials not work?
  kubectl stscred status orders-reader

  # The same for a program
  kubectl stscred status -n shop orders-reader -o json`,
		ValidArgsFunction: o.completeName,
		RunE: func(c *cobra.Command, names []string) error {
			return o.status(c.Context(), names[0], *output)
		},
	}
	output = outputFlag(c)
	return c
}

func (o *options) status(ctx context.Context, name string, output outputFormat) error {
	c, err := o.credential(ctx, name)
	if err != nil {
		return err
	}
	snapshot, err := o.gatherOne(ctx, c)
	if err != nil {
		return err
	}
	chain := doctor.NewChain(doctor.CheckOne(snapshot, c), c, o.Clock.Now())
	err = o.print(output, chain, func(w io.Writer, wide bool) error {
		_, err := io.WriteString(w, drawChain(chain, c, o.style(), wide))
		return err
	})
	if err == nil && !chain.Good {
		return &ExitError{Status: ExitFindings}
	}
	return err
}

// credential reads an StsCredential of the namespace.
func (o *options) credential(ctx context.Context, name string) (*v1alpha1.StsCredential, error) {
	namespace, err := o.namespace(false)
	if err != nil {
		return nil, err
	}
	reader, err := o.client()
	if err != nil {
		return nil, err
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	c := &v1alpha1.StsCredential{}
	err = reader.Get(ctx, key, c)
	return c, explainNotFound(err, key)
}

// explainNotFound says which StsCredential does not exist, if that is the error.
func explainNotFound(err error, key client.ObjectKey) error {
	if apierrors.IsNotFound(err) && !notInstalled(err) {
		return fmt.Errorf("there is no StsCredential %q in namespace %q. See: kubectl stscred list -n %[2]s", key.Name, key.Namespace)
	}
	return err
}

// drawChain returns the lines of status. Wide also lists what could not be read.
func drawChain(chain doctor.Chain, c *v1alpha1.StsCredential, s style, wide bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", s.paint(bold, printableLine("StsCredential "+c.Namespace+"/"+c.Name+", role "+c.Spec.RoleARN)))
	for _, link := range chain.Links {
		mark := map[doctor.State]string{doctor.StateGood: s.good(), doctor.StateBad: s.bad(), doctor.StateUnknown: s.unknown()}[link.State]
		if len(link.Findings) == 0 {
			fmt.Fprintf(&b, "%s %-8s  %s\n", mark, link.Stage, printableLine(link.Message))
		}
		for _, f := range link.Findings {
			f = printableFinding(f)
			fmt.Fprintf(&b, "%s %-8s  %s\n", mark, link.Stage, f.Message)
			b.WriteString(indented(f.Fix, 12))
		}
	}
	if len(chain.Unread) > 0 && !wide {
		var resources []string
		for _, u := range chain.Unread {
			resources = append(resources, u.Resource)
		}
		fmt.Fprintf(&b, "Not looked at: %s. With -o wide: why.\n", strings.Join(resources, ", "))
		return b.String()
	}
	for _, u := range chain.Unread {
		u = printableUnread(u)
		fmt.Fprintf(&b, "Not looked at: %s. %s\n  Not checked therefore: %s\n", u.Resource, u.Reason, u.Consequence)
	}
	return b.String()
}
