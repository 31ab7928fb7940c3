// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// defaultRegion is the region of the STS endpoint if nothing names another, as for the operator.
const defaultRegion = "cn-hangzhou"

// whoamiFlags are flags of the same names and meaning as the operator's.
type whoamiFlags struct {
	region, endpoint string
	vpc              bool
	timeout          time.Duration
}

// callerIdentity is what whoami prints with -o json. Fields are added, never renamed.
type callerIdentity struct {
	metav1.TypeMeta `json:",inline"`
	Namespace       string `json:"namespace"`
	Name            string `json:"name"`
	ARN             string `json:"arn"`
	AccountID       string `json:"accountID"`
	PrincipalID     string `json:"principalID"`
	IdentityType    string `json:"identityType"`
	// Endpoint is the URL that was called.
	Endpoint  string      `json:"endpoint"`
	ExpiresAt metav1.Time `json:"expiresAt"`
}

// newWhoami returns the command that asks STS whose credentials a Secret holds.
func newWhoami(o *options) *cobra.Command {
	var f whoamiFlags
	c := &cobra.Command{
		Use:   "whoami NAME",
		Short: "Ask STS which identity the credentials have",
		Long: "Call GetCallerIdentity with the credentials of an StsCredential, from this machine, and print the identity. The call shows that STS " +
			"accepts the credentials; it needs no permission in RAM.\n" +
			"HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply, and SSL_CERT_FILE and SSL_CERT_DIR add certificate authorities.",
		Args: oneArgument(aName),
		Example: `  # By the public endpoint of a region
  kubectl stscred whoami orders-reader --region cn-shanghai

  # By an endpoint of a private network
  kubectl stscred whoami orders-reader --sts-endpoint https://sts.example.com`,
		ValidArgsFunction: o.completeName,
	}
	output := outputFlag(c)
	c.RunE = func(c *cobra.Command, arguments []string) error {
		f.apply(c, o.Getenv)
		return o.whoami(c.Context(), arguments[0], f, *output)
	}
	c.Flags().StringVar(&f.region, "region", "", "Region of the STS endpoint. The default is ALIBABA_CLOUD_STS_REGION, else "+defaultRegion+".")
	c.Flags().BoolVar(&f.vpc, "vpc-endpoint", false, "Use the region's VPC endpoint. The default is ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED, else false.")
	c.Flags().StringVar(&f.endpoint, "sts-endpoint", "", "URL of the STS endpoint, such as https://sts.example.com; overrides --region and --vpc-endpoint.")
	c.Flags().DurationVar(&f.timeout, "sts-timeout", 10*time.Second, "Timeout of the call to STS.")
	return c
}

// apply sets flags that are not given from the environment.
func (f *whoamiFlags) apply(c *cobra.Command, getenv func(string) string) {
	f.region = cmp.Or(f.region, getenv("ALIBABA_CLOUD_STS_REGION"), defaultRegion)
	if !c.Flags().Changed("vpc-endpoint") {
		f.vpc, _ = strconv.ParseBool(getenv("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"))
	}
}

func (o *options) whoami(ctx context.Context, name string, f whoamiFlags, output outputFormat) error {
	client, err := sts.New(sts.Options{
		Region: f.region, VPC: f.vpc, Endpoint: f.endpoint, Timeout: f.timeout, Clock: o.Clock, UserAgent: "kubectl-stscred/" + o.Version,
	})
	if err != nil {
		return err
	}
	issued, err := o.issued(ctx, name)
	if err != nil {
		return err
	}
	p := o.progress("Calling STS at %s", client.Endpoint())
	caller, err := client.GetCallerIdentity(ctx, issued.Credentials)
	p.stop()
	if err != nil {
		return o.explainCall(issued, client, err)
	}
	identity := callerIdentity{
		TypeMeta:  metav1.TypeMeta{APIVersion: "stscred.alibabacloud.com/v1", Kind: "CallerIdentity"},
		Namespace: issued.credential.Namespace, Name: name,
		ARN: caller.ARN, AccountID: caller.Account, PrincipalID: caller.PrincipalID, IdentityType: caller.IdentityType,
		Endpoint: client.URL(), ExpiresAt: metav1.NewTime(issued.ExpiresAt),
	}
	return o.print(output, identity, func(w io.Writer, wide bool) error {
		lines := [][2]string{
			{"ARN", identity.ARN}, {"Account", identity.AccountID}, {"Principal", identity.PrincipalID},
			{"Expires", until(&identity.ExpiresAt, o.Clock.Now())},
		}
		if wide {
			lines = append(lines, [2]string{"Type", identity.IdentityType}, [2]string{"Endpoint", identity.Endpoint})
		}
		return printLines(w, lines)
	})
}

// printLines prints names and values in two columns.
func printLines(w io.Writer, lines [][2]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		_, _ = fmt.Fprintf(t, "%s:\t%s\n", line[0], line[1])
	}
	return t.Flush()
}

// explainCall adds to an error of STS the next step for a user. The client's own next steps are for the operator's identity.
func (o *options) explainCall(issued *issuedCredentials, client *sts.Client, err error) error {
	var failed *sts.Error
	if !errors.As(err, &failed) || failed.Code == "" {
		return err
	}
	nextStep := failed.NextStep
	expired := !issued.ExpiresAt.After(client.Now())
	switch {
	case strings.HasPrefix(failed.Code, "InvalidTimeStamp"):
		nextStep = fmt.Sprintf("the clock of this machine differs from STS's by %s. Correct it (NTP)", client.Skew().Abs().Round(time.Second))
	case expired:
		nextStep = fmt.Sprintf("the credentials in Secret %q expired at %s. Renew them: %s",
			issued.secretName, issued.ExpiresAt.Format(time.RFC3339), issued.renewCommand())
	case failed.Reason == sts.ReasonIdentityUnavailable:
		nextStep = fmt.Sprintf("STS does not accept the credentials in Secret %q. Renew them: %s", issued.secretName, issued.renewCommand())
	}
	copied := *failed
	copied.NextStep = nextStep
	return &copied
}
