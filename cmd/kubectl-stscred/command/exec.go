// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// leastValidity is how long credentials must be valid for a command to start.
const leastValidity = time.Minute

// The exit statuses of a command that cannot be started, as shells have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// newExec returns the command that runs a local program with the credentials in its environment.
func newExec(o *options) *cobra.Command {
	var formats []string
	c := &cobra.Command{
		Use:   "exec NAME -- COMMAND [ARG...]",
		Short: "Run a local command with the credentials in its environment",
		Long: "Run a local command with the credentials of an StsCredential in its environment, as the variables that Alibaba Cloud's SDKs and the " +
			"aliyun CLI read. The credentials are not printed, not written to a file and not part of a command line.\n" +
			"Other credentials are removed from the environment, so that the command cannot use them: AccessKeys, profiles, roles and URIs. " +
			"The node's role and the profiles of the aliyun CLI are disabled.\n" +
			"The command gets signals, and its exit status is that of kubectl stscred: 128 plus the number of a signal that ended it, 127 if it " +
			"is not found. It does not get renewed credentials.",
		Args: execArguments,
		Example: `  # Which identity do the credentials have?
  kubectl stscred exec orders-reader -- aliyun sts GetCallerIdentity

  # Terraform, with the variables of its provider as well
  kubectl stscred exec -n infra terraform --format Terraform -- terraform plan`,
		ValidArgsFunction: o.completeExec,
		RunE: func(c *cobra.Command, arguments []string) error {
			return o.exec(c.Context(), arguments[0], formats, arguments[1:])
		},
	}
	others := variableFormatNames()[1:]
	c.Flags().StringSliceVar(&formats, "format", nil, "Set the variables of these formats as well, separated by commas: "+enumerate(others)+".")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(others, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// execArguments requires a name, "--" and a command.
func execArguments(c *cobra.Command, arguments []string) error {
	if c.ArgsLenAtDash() != 1 || len(arguments) < 2 {
		return fmt.Errorf("%s needs %s, then -- and a command. Write: %s", c.CommandPath(), aName, c.UseLine())
	}
	return nil
}

// completeExec suggests a name before "--", and files after it.
func (o *options) completeExec(c *cobra.Command, arguments []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if c.ArgsLenAtDash() >= 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return o.completeName(c, arguments, typed)
}

func (o *options) exec(ctx context.Context, name string, formats, argv []string) error {
	for _, format := range formats {
		if !slices.Contains(variableFormatNames(), format) {
			return fmt.Errorf("--format %s has no environment variables. Write %s", format, enumerate(variableFormatNames()))
		}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return notStarted(argv[0], err)
	}
	issued, err := o.issued(ctx, name)
	if err != nil {
		return err
	}
	if left := issued.ExpiresAt.Sub(o.Clock.Now()); left < leastValidity {
		return fmt.Errorf("the credentials in Secret %q are valid until %s, and the command needs at least %s. Renew them: %s",
			issued.secretName, issued.ExpiresAt.Format(time.RFC3339), leastValidity, issued.renewCommand())
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = run(path, argv, childEnvironment(os.Environ(), formats, issued.Credentials))
	var exit *ExitError
	if err == nil || errors.As(err, &exit) {
		return err
	}
	return notStarted(argv[0], err)
}

// notStarted returns the error of a command that cannot be started. It contains no variable of the environment.
func notStarted(command string, err error) error {
	var cause *exec.Error
	if errors.As(err, &cause) {
		err = cause.Err
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	status := exitNotExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		status = exitNotFound
	}
	return &ExitError{Status: status, Err: fmt.Errorf("cannot run %q: %w. Check its name and PATH", command, err)}
}

func variableFormatNames() (names []string) {
	for _, format := range secret.VariableFormats() {
		names = append(names, string(format))
	}
	return names
}

// childEnvironment returns the inherited environment with the credentials, and without any other.
func childEnvironment(inherited, formats []string, issued credentials.Credentials) []string {
	set := map[string]string{
		// Some SDKs would ask for the node's role, and the aliyun CLI would use its current profile.
		"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
		"ALIBABA_CLOUD_IGNORE_PROFILE":        "TRUE",
		"ALIBABACLOUD_IGNORE_PROFILE":         "TRUE",
	}
	for _, format := range append([]string{string(v1alpha1.FormatSDK)}, formats...) {
		for name, value := range secret.Variables(v1alpha1.SecretFormat(format), issued) {
			set[name] = value
		}
	}
	environment := slices.DeleteFunc(slices.Clone(inherited), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		_, replaced := set[strings.ToUpper(name)]
		return replaced || namesCredentials(strings.ToUpper(name))
	})
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		environment = append(environment, name+"="+set[name])
	}
	return environment
}

// namesCredentials reports whether an Alibaba Cloud program takes credentials, or where to get them, from a variable.
func namesCredentials(name string) bool {
	for _, format := range secret.VariableFormats() {
		if _, ok := secret.Variables(format, credentials.Credentials{})[name]; ok {
			return true
		}
	}
	for _, prefix := range []string{"ALIBABA_CLOUD_", "ALIBABACLOUD_", "ALICLOUD_"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && slices.Contains(credentialVariables, rest) {
			return true
		}
	}
	return false
}

// credentialVariables are the variables of the SDKs, the aliyun CLI and Terraform's provider that select credentials, without
// their prefix.
var credentialVariables = []string{
	"ACCESS_KEY", "ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECRET_KEY", "SECURITY_TOKEN", "STS_TOKEN", "SESSION_TOKEN", "BEARER_TOKEN",
	"PROFILE", "PROFILE_MODE", "CONFIG_FILE", "CREDENTIALS_FILE", "SHARED_CREDENTIALS_FILE", "CREDENTIALS_URI",
	"ROLE_ARN", "ROLE_SESSION_NAME", "EXTERNAL_ID", "OIDC_PROVIDER_ARN", "OIDC_TOKEN_FILE", "OIDC_TOKEN",
	"ASSUME_ROLE_ARN", "ASSUME_ROLE_SESSION_NAME", "ASSUME_ROLE_EXTERNAL_ID", "ECS_METADATA", "ECS_ROLE_NAME",
}
