// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// completionTimeout limits how long a shell waits for suggestions.
const completionTimeout = 3 * time.Second

// completeName suggests the StsCredentials of the namespace for the first argument.
func (o *options) completeName(c *cobra.Command, arguments []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(arguments) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.completeNames(c, arguments, typed)
}

// completeNames suggests the StsCredentials of the namespace that are not among the arguments.
func (o *options) completeNames(c *cobra.Command, arguments []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	namespace, err := o.namespace(false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, directive := o.completeObjects(c.Context(), v1alpha1.GroupVersion.WithKind("StsCredentialList"), client.InNamespace(namespace))
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(arguments, name) }), directive
}

// completeNamespaces suggests namespaces.
func (o *options) completeNamespaces(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return o.completeObjects(c.Context(), corev1.SchemeGroupVersion.WithKind("NamespaceList"))
}

// completeContexts suggests the contexts of the kubeconfig.
func (o *options) completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	config, err := o.config.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeObjects suggests the names of a kind's objects: those of one page, without an error if they cannot be read.
func (o *options) completeObjects(ctx context.Context, kind schema.GroupVersionKind, opts ...client.ListOption) (
	names []cobra.Completion, _ cobra.ShellCompDirective,
) {
	reader, err := o.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	if err := reader.List(ctx, list, append(opts, client.Limit(pageSize))...); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// noArguments is for commands without arguments.
func noArguments(c *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no arguments, not %q. Write: %s", c.CommandPath(), strings.Join(arguments, " "), c.UseLine())
}

// oneArgument is for commands with exactly one argument, such as the name of an StsCredential.
func oneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, arguments []string) error {
		switch len(arguments) {
		case 0:
			return fmt.Errorf("%s needs %s. Write: %s", c.CommandPath(), what, c.UseLine())
		case 1:
			return nil
		}
		return fmt.Errorf("%s takes only %s, not also %q. Write: %s", c.CommandPath(), what, strings.Join(arguments[1:], " "), c.UseLine())
	}
}

// atMostOneArgument is for commands with an optional argument.
func atMostOneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, arguments []string) error {
		if len(arguments) == 0 {
			return nil
		}
		return oneArgument(what)(c, arguments)
	}
}

// aName is the argument of commands about one StsCredential.
const aName = "the name of an StsCredential"
