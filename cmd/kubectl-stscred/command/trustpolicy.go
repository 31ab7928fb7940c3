// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

// newTrustPolicy returns the command that prints the trust policy of a role.
func newTrustPolicy(o *options) *cobra.Command {
	var given doctor.Caller
	c := &cobra.Command{
		Use:   "trust-policy NAME",
		Short: "Print the trust policy that the role of an StsCredential needs",
		Long: "Print the trust policy that the role of an StsCredential needs, as JSON to paste into RAM. With spec.identity.serviceAccount it names the OIDC " +
			"provider, the issuer and the ServiceAccount; otherwise the RAM user or role that calls STS.\n" +
			"The status of an StsCredential does not name the caller. It is taken from the refusal of STS, if there is one, or from the operator's pods. " +
			"Otherwise write it with a flag: the operator logs it at its start (identity … arn).",
		Args: oneArgument(aName),
		Example: `  # The policy for the role of an StsCredential that STS refuses
  kubectl stscred trust-policy orders-reader

  # The caller is a RAM user
  kubectl stscred trust-policy orders-reader --principal acs:ram::1234567890123456:user/sts-operator

  # Create the role
  aliyun ram CreateRole --RoleName orders-reader --AssumeRolePolicyDocument "$(kubectl stscred trust-policy orders-reader)"`,
		ValidArgsFunction: o.completeName,
		RunE:              func(c *cobra.Command, names []string) error { return o.trustPolicy(c.Context(), names[0], given) },
	}
	c.Flags().StringVar(&given.Principal, "principal", "", "ARN of the RAM user or role that calls STS, such as acs:ram::1234567890123456:user/sts-operator.")
	c.Flags().StringVar(&given.ProviderARN, "oidc-provider-arn", "", "ARN of the OIDC provider, with spec.identity.serviceAccount.")
	c.Flags().StringVar(&given.Issuer, "issuer", "", "Issuer URL of the OIDC provider. Default: the issuer of the cluster.")
	return c
}

func (o *options) trustPolicy(ctx context.Context, name string, given doctor.Caller) error {
	if given.Principal != "" && !doctor.IsPrincipal(given.Principal) {
		return fmt.Errorf("--principal %q is not the ARN of a RAM user or role. Write acs:ram::<account ID>:user/<name> or acs:ram::<account ID>:role/<name>", given.Principal)
	}
	c, err := o.credential(ctx, name)
	if err != nil {
		return err
	}
	who, err := o.caller(ctx, c)
	if err != nil {
		return err
	}
	who.Principal, who.ProviderARN = cmp.Or(given.Principal, who.Principal), cmp.Or(given.ProviderARN, who.ProviderARN)
	who.Issuer = cmp.Or(given.Issuer, who.Issuer)
	if err := checkCaller(c, who); err != nil {
		return err
	}
	encoder := json.NewEncoder(o.Out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(doctor.TrustPolicyFor(c, who))
}

// checkCaller returns an error that names the flag for what is not known.
func checkCaller(c *v1alpha1.StsCredential, who doctor.Caller) error {
	switch account := c.Spec.Identity != nil && c.Spec.Identity.ServiceAccount != nil; {
	case account && who.ProviderARN == "":
		return fmt.Errorf("the OIDC provider of the cluster is not known. Write --oidc-provider-arn %s", doctor.UnknownProvider)
	case account && who.Issuer == "":
		return fmt.Errorf("the issuer of the cluster is not known. Write --issuer URL, as RAM shows it for the OIDC provider")
	case !account && who.Principal == "":
		return fmt.Errorf("the caller of STS is not known: the status does not name it. Write --principal %s; the operator logs it at its start (identity, arn)", doctor.UnknownPrincipal)
	}
	return nil
}

// caller returns what the cluster shows of the caller of STS.
func (o *options) caller(ctx context.Context, c *v1alpha1.StsCredential) (doctor.Caller, error) {
	g, err := o.newGatherer(scope{namespace: c.Namespace, name: c.Name})
	if err != nil {
		return doctor.Caller{}, err
	}
	g.LocalTime, g.Credentials = o.Clock.Now(), []v1alpha1.StsCredential{*c}
	var others v1alpha1.StsCredentialList
	// What the user may not read is not known.
	if g.reader.List(ctx, &others, client.InNamespace(c.Namespace), client.Limit(pageSize)) == nil {
		g.Credentials = append(g.Credentials, others.Items...)
	}
	g.findOperators(ctx)
	for i := range g.Operators {
		g.readOperatorPods(ctx, &g.Operators[i])
	}
	who := doctor.CallerOf(g.Snapshot, c)
	if who.Issuer == "" {
		who.Issuer = o.clusterIssuer(ctx)
	}
	return who, ctx.Err()
}

// maxDiscovery bounds the issuer's discovery document, in bytes.
const maxDiscovery = 64 << 10

// clusterIssuer returns the issuer of the cluster's ServiceAccount tokens; empty if the user may not read it.
func (o *options) clusterIssuer(ctx context.Context) string {
	discovery, err := o.config.ToDiscoveryClient()
	if err != nil {
		return ""
	}
	body, err := discovery.RESTClient().Get().AbsPath("/.well-known/openid-configuration").Stream(ctx)
	if err != nil {
		return ""
	}
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(body, maxDiscovery))
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err != nil || json.Unmarshal(raw, &document) != nil || !strings.HasPrefix(document.Issuer, "https://") {
		return ""
	}
	return document.Issuer
}
