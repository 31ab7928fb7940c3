// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// Packages of the SDKs for Python.
const (
	pythonCredentials = "alibabacloud-credentials"
	pythonCore        = "aliyun-python-sdk-core"
	pythonTablestore  = "tablestore"
	pythonOSS1        = "oss2"
	pythonOSS2        = "alibabacloud-oss-v2"
	pythonLog         = "aliyun-log-cli"
)

// pythonPackage is a Python package with the version that the tests use.
func pythonPackage(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("python", "requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `==(\S+)`).FindSubmatch(content)
	if version == nil {
		t.Fatalf("requirements.txt has no package %s", name)
	}
	return fmt.Sprintf("%s %s", name, version[1])
}

// python is a program of the folder python, or of a package there, with what is in the environment. What the program
// writes to its standard error is logged if the test fails.
func (env *environment) python(program string, arguments ...string) *exec.Cmd {
	env.Helper()
	programs := filepath.Join("python", "venv", "bin")
	if !exists(filepath.Join(programs, "python")) {
		env.Fatal("the Python packages are not installed: run make test-formats")
	}
	file := filepath.Join("python", program)
	if !exists(file) {
		file = filepath.Join(programs, program)
	}
	// A test's context ends before its cleanup, in which the program ends.
	arguments = append([]string{"-I", file}, arguments...)
	command := exec.CommandContext(context.WithoutCancel(env.Context()), filepath.Join(programs, "python"), arguments...)
	output := &bytes.Buffer{}
	command.Stderr = output
	env.Cleanup(func() {
		if env.Failed() {
			env.Logf("%s:\n%s", program, output)
		}
	})
	return command
}

// converse starts a program that makes one call for each line of its input, and returns a function that has it make a
// call and returns the program's answer.
func (env *environment) converse(command *exec.Cmd) (ask func() string) {
	env.Helper()
	in, err := command.StdinPipe()
	env.must(err)
	out, err := command.StdoutPipe()
	env.must(err)
	env.must(command.Start())
	env.Cleanup(func() {
		_ = in.Close()
		if err := command.Wait(); err != nil {
			env.Error(err)
		}
	})
	answers := bufio.NewScanner(out)
	return func() string {
		env.Helper()
		_, err := fmt.Fprintln(in)
		env.must(err)
		if !answers.Scan() {
			env.Fatal("the program ended")
		}
		return answers.Text()
	}
}

// pythonSDK starts a program that asks STS with one client of the V2 SDK for Python.
func (env *environment) pythonSDK() (ask func()) {
	env.Helper()
	answer := env.converse(env.python("sdk.py", env.endpoint()))
	return func() {
		env.Helper()
		if got := answer(); got != caller {
			env.Fatalf("the program is %q, want %s", got, caller)
		}
	}
}

// wantOutput insists that a program ends well, and prints the text.
func (env *environment) wantOutput(command *exec.Cmd, text string) {
	env.Helper()
	output, err := command.Output()
	if err != nil || !strings.Contains(string(output), text) {
		env.Errorf("%s prints %q and ends with %v, want %q", filepath.Base(command.Args[2]), output, err, text)
	}
}

// wantFailure insists that a program fails with an error of the service.
func (env *environment) wantFailure(command *exec.Cmd, code string) {
	env.Helper()
	command.Stderr = nil
	output, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		output = append(output, failed.Stderr...)
	}
	if err == nil || !strings.Contains(string(output), code) {
		env.Errorf("the program ends with %v, want %s:\n%s", err, code, output)
	}
}

// wantRefused insists that the service refuses a program if one of these variables has another value.
func (env *environment) wantRefused(start func() *exec.Cmd, code string, variables ...string) {
	env.Helper()
	for _, variable := range variables {
		env.wantFailure(with(start(), variable, "another"), code)
	}
}

// wantRefusedBySTS insists that STS refuses a program with an error code, and that the program fails.
func (env *environment) wantRefusedBySTS(command *exec.Cmd, code string) {
	env.Helper()
	env.wantFailure(command, "")
	calls := env.emulator.Calls()
	if last := calls[len(calls)-1]; last.Code != code {
		env.Errorf("STS answered %d %s to %s, want %s", last.Status, last.Code, last.Action, code)
	}
}

// with sets a variable of a program.
func with(command *exec.Cmd, variable, value string) *exec.Cmd {
	command.Env = append(os.Environ(), variable+"="+value)
	return command
}

// secureSTS serves STS over HTTPS too, which some programs require, and has Python programs trust it. It returns host
// and port.
func (env *environment) secureSTS() string {
	env.Helper()
	server := httptest.NewTLSServer(env.emulator)
	env.Cleanup(server.Close)
	file := filepath.Join(env.TempDir(), "ca.pem")
	env.must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	env.Setenv("SSL_CERT_FILE", file)
	env.Setenv("ALIBABA_CLOUD_CA_BUNDLE", file) // of the V1.0 SDK
	return strings.TrimPrefix(server.URL, "https://")
}

// SDK: alibabacloud-credentials finds the environment, and the STS SDK signs with it.
func TestPythonSDKEnvironment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Python", pythonPackage(t, pythonCredentials), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.restarted(func() {
		env.pythonSDK()()
		env.wantCaller(env.accessKeyID())
	})
}

// External: one client uses the new session once the old one is close to its end.
func TestPythonSDKExternalProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatExternal)
	env.must(os.Symlink(filepath.Dir(env.externalProfile()), filepath.Join(os.Getenv("HOME"), ".aliyun")))
	record(t, row{"Python", pythonPackage(t, pythonCredentials), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byFile})
	ask := env.pythonSDK()
	for range 3 {
		ask()
		env.wantCaller(env.accessKeyID())
		env.renew()
	}
}

// CLI: the profile in the home folder works, and is not read again.
func TestPythonSDKCommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	env.must(os.Symlink(env.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	ask, first := env.pythonSDK(), env.accessKeyID()
	for range 2 {
		ask()
		env.wantCaller(first)
		env.renew()
	}
}

// URI: the default chain finds the agent, and one client follows renewals.
func TestPythonSDKAgent(t *testing.T) {
	env, address := newAgentEnvironment(t)
	record(t, row{"Python", pythonPackage(t, pythonCredentials), documentAgent, "STS GetCallerIdentity", inACS3Header, byURI})
	env.followed(address, env.pythonSDK())
}

// The SDK assumes a role with an OIDC token, as RRSA has it do. STS refuses the token of another ServiceAccount.
func TestPythonSDKOIDC(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	const provider, issuer = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1", "https://oidc.example.com"
	tokens, err := stsemulator.NewIssuer(issuer)
	env.must(err)
	env.emulator.AddOIDCProvider(tokens.Provider(provider, "sts.aliyuncs.com"))
	env.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{
		Federated: []string{provider}, StringEquals: map[string][]string{"oidc:sub": {"system:serviceaccount:shop:orders"}},
	}}})
	file := filepath.Join(t.TempDir(), "token")
	writeToken := func(serviceAccount string) {
		token, err := tokens.Token("system:serviceaccount:shop:"+serviceAccount, "sts.aliyuncs.com", time.Now())
		env.must(err)
		env.must(os.WriteFile(file, []byte(token), 0o600))
	}
	for variable, value := range map[string]string{
		"ROLE_ARN": role, "OIDC_PROVIDER_ARN": provider, "OIDC_TOKEN_FILE": file, "ROLE_SESSION_NAME": "shop.orders",
	} {
		t.Setenv("ALIBABA_CLOUD_"+variable, value)
	}
	secure := env.secureSTS()
	record(t, row{"Python", pythonPackage(t, pythonCredentials), documentWorkloads, "STS AssumeRoleWithOIDC", inACS3Header, byItself})
	program := func() *exec.Cmd { return env.python("oidc.py", secure, env.endpoint()) }
	writeToken("orders")
	env.wantOutput(program(), caller)
	calls := env.emulator.Calls()
	if assumed := calls[len(calls)-2]; assumed.Action != "AssumeRoleWithOIDC" || assumed.Status != 200 {
		t.Errorf("STS saw %s, answered %d %s; want AssumeRoleWithOIDC", assumed.Action, assumed.Status, assumed.Code)
	}
	env.wantCaller(calls[len(calls)-1].AccessKeyID)
	writeToken("payments")
	env.wantRefusedBySTS(program(), "AuthenticationFail.NoPermission")
}

// SDK: the V1.0 SDK's StsTokenCredential is given the variables.
func TestPythonV1Environment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Python", pythonPackage(t, pythonCore), documentPythonV1, "STS GetCallerIdentity", inParameter, byRestart})
	program := func() *exec.Cmd { return env.python("core.py", env.endpoint()) }
	env.restarted(func() {
		env.wantOutput(program(), caller)
		env.wantCaller(env.accessKeyID())
	})
	env.wantRefusedBySTS(with(program(), "ALIBABA_CLOUD_SECURITY_TOKEN", "another"), "InvalidSecurityToken.Malformed")
	env.wantRefusedBySTS(with(program(), "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "another"), "SignatureDoesNotMatch")
}

// The V1.0 SDK leaves the token out if it finds the key in the environment itself, even beside a StsTokenCredential.
func TestPythonV1LeavesTheTokenOut(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	env.setEnvironment()
	t.Setenv("ALIYUN_ACCESS_KEY_ID", os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_ID"))
	t.Setenv("ALIYUN_ACCESS_KEY_SECRET", os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))
	for _, arguments := range [][]string{{env.endpoint()}, {env.endpoint(), "environment"}} {
		env.wantRefusedBySTS(env.python("core.py", arguments...), "MissingSecurityToken")
	}
}

// The V1.0 SDK's RamRoleArnCredential assumes the role by itself, with the key of a RAM user and so without a Secret of
// the operator.
func TestPythonV1AssumesRole(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	t.Setenv("ACCESS_KEY_ID", env.keys.AccessKeyID)
	t.Setenv("ACCESS_KEY_SECRET", env.keys.AccessKeySecret)
	secure := env.secureSTS()
	record(t, row{"Python", pythonPackage(t, pythonCore), documentPythonV1, "STS AssumeRole", inParameter, byItself})
	program := func() *exec.Cmd { return env.python("core_role.py", secure, role) }
	env.wantOutput(program(), caller)
	calls := env.emulator.Calls()
	if assumed := calls[len(calls)-2]; assumed.Action != "AssumeRole" || assumed.AccessKeyID != env.keys.AccessKeyID {
		t.Errorf("STS saw %s by %s, want AssumeRole by %s", assumed.Action, assumed.AccessKeyID, env.keys.AccessKeyID)
	}
	env.wantCaller(calls[len(calls)-1].AccessKeyID)
	env.wantRefusedBySTS(with(program(), "ACCESS_KEY_SECRET", "another"), "SignatureDoesNotMatch")
}

// Tablestore: the SDK's constructor is given the variables.
func TestPythonTablestoreEnvironment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatTablestore)
	service := newVerifyingService(env, tablestoreWire)
	record(t, row{"Python", pythonPackage(t, pythonTablestore), documentTablestore, "Tablestore ListTable", inTablestore, byRestart})
	program := func() *exec.Cmd { return env.python("list_tables.py", service.URL) }
	env.restarted(func() {
		env.wantOutput(program(), "orders")
		service.wantVerified(env, tablestoreWire)
	})
	env.wantRefused(program, "OTSAuthFailed", "TABLESTORE_SESSION_TOKEN", "TABLESTORE_ACCESS_KEY_SECRET")
}

// External: with a provider that reads the file, one client follows renewals.
func TestPythonTablestoreFile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatExternal)
	service := newVerifyingService(env, tablestoreWire)
	record(t, row{"Python", pythonPackage(t, pythonTablestore), documentWorkloads, "Tablestore ListTable", inTablestore, byFile})
	answer := env.converse(env.python("list_tables_file.py", service.URL, env.file("external.json")))
	for range 2 {
		if got := answer(); got != "orders" {
			t.Errorf("the tables are %q, want orders", got)
		}
		service.wantVerified(env, tablestoreWire)
		env.renew()
	}
}

// OSS: the providers for the environment of both SDKs for Python read the format.
func TestPythonOSSEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		module    string
		arguments []string
	}{
		"oss2 V1":             {pythonOSS1, []string{"V1"}},
		"oss2 V4":             {pythonOSS1, []string{"V4"}},
		"alibabacloud-oss-v2": {pythonOSS2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t, v1alpha1.FormatOSS)
			service := newVerifyingService(env, ossWire)
			record(t, row{"Python", pythonPackage(t, test.module), documentWorkloads, "OSS ListBuckets", inOSS, byRestart})
			file := map[string]string{pythonOSS1: "oss_v1.py", pythonOSS2: "oss_v2.py"}[test.module]
			program := func() *exec.Cmd { return env.python(file, append([]string{service.URL}, test.arguments...)...) }
			env.restarted(func() {
				env.wantOutput(program(), "orders")
				service.wantVerified(env, ossWire)
			})
			env.wantRefused(program, "SignatureDoesNotMatch", "OSS_SESSION_TOKEN", "OSS_ACCESS_KEY_SECRET")
		})
	}
}

// LogService: the Log Service CLI reads the variables.
func TestPythonLogServiceCLI(t *testing.T) {
	env, service := newEnvironment(t, v1alpha1.FormatLogService), newService(t)
	t.Setenv("ALIYUN_LOG_CLI_ENDPOINT", service.URL)
	record(t, row{"Python", pythonPackage(t, pythonLog), documentWorkloads, "Log Service ListProject", inACS3Header, byRestart})
	env.restarted(func() {
		_ = env.python("aliyunlog", "log", "list_project").Run() // the stand-in answers with an error
		service.wantSession(env, "x-acs-security-token", "Authorization")
	})
}
