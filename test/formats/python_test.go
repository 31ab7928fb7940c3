// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
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

// pythonSDK starts a program that calls STS with one client of the V2 SDK for Python.
func (env *environment) pythonSDK() (ask func()) {
	env.Helper()
	return env.startLoop(env.python("sdk.py", env.endpoint()), caller)
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
	env.followed(env.pythonSDK())
}

// CLI: the profile in the home folder works, and is not read again.
func TestPythonSDKCommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	env.must(os.Symlink(env.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	record(t, row{"Python", pythonPackage(t, pythonCredentials), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.readOnce(env.pythonSDK)
}

// URI: the default chain finds the agent, and one client follows renewals.
func TestPythonSDKAgent(t *testing.T) {
	env := newAgentEnvironment(t)
	record(t, row{"Python", pythonPackage(t, pythonCredentials), documentAgent, "STS GetCallerIdentity", inACS3Header, byURI})
	env.followed(env.pythonSDK())
}

// The SDK assumes a role with an OIDC token, as RRSA has it do. STS refuses the token of another ServiceAccount.
func TestPythonSDKOIDC(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	writeToken := env.setOIDC()
	secure := env.serveHTTPS()
	record(t, row{"Python", pythonPackage(t, pythonCredentials), documentWorkloads, "STS AssumeRoleWithOIDC", inACS3Header, byItself})
	program := func() *exec.Cmd { return env.python("oidc.py", secure, env.endpoint()) }
	writeToken("orders")
	env.wantOutput(program(), caller)
	calls := env.emulator.Calls()
	if assumed := calls[len(calls)-2]; assumed.Action != "AssumeRoleWithOIDC" || assumed.Status != 200 {
		t.Errorf("STS got %s, answered %d %s; want AssumeRoleWithOIDC", assumed.Action, assumed.Status, assumed.Code)
	}
	env.wantRoleSession()
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
	secure := env.serveHTTPS()
	record(t, row{"Python", pythonPackage(t, pythonCore), documentPythonV1, "STS AssumeRole", inParameter, byItself})
	program := func() *exec.Cmd { return env.python("core_role.py", secure, role) }
	env.wantOutput(program(), caller)
	calls := env.emulator.Calls()
	if assumed := calls[len(calls)-2]; assumed.Action != "AssumeRole" || assumed.AccessKeyID != env.keys.AccessKeyID {
		t.Errorf("STS got %s by %s, want AssumeRole by %s", assumed.Action, assumed.AccessKeyID, env.keys.AccessKeyID)
	}
	env.wantRoleSession()
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
	ask := env.startLoop(env.python("list_tables_file.py", service.URL, env.file("external.json")), "orders")
	for range 2 {
		ask()
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
