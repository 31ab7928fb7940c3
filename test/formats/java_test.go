// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// mavenArtifact is an artifact with the version that the tests use.
func mavenArtifact(t *testing.T, artifact string) string {
	t.Helper()
	jars, _ := filepath.Glob(filepath.Join("java", "target", "lib", artifact+"-[0-9]*.jar"))
	if len(jars) != 1 {
		t.Fatalf("java/target/lib has %d versions of %s: run make test-formats", len(jars), artifact)
	}
	version := strings.TrimPrefix(filepath.Base(jars[0]), artifact+"-")
	return artifact + " " + strings.TrimSuffix(version, ".jar")
}

// setUser sets the variables with the AccessKey of the RAM user that may assume the role.
func (env *environment) setUser(idVariable, secretVariable string) {
	env.Setenv(idVariable, env.keys.AccessKeyID)
	env.Setenv(secretVariable, env.keys.AccessKeySecret)
}

// wantAssumedRole insists that STS has just let the RAM user assume the role.
func (env *environment) wantAssumedRole() {
	env.Helper()
	for _, call := range env.emulator.Calls() {
		byProgram := call.AccessKeyID == env.keys.AccessKeyID && strings.Contains(call.UserAgent, "Java")
		if byProgram && call.Action == "AssumeRole" && call.Status == 200 {
			return
		}
	}
	env.Errorf("the program did not assume the role: %+v", env.emulator.Calls())
}

// javaSDK starts a program that calls STS with one client and the default chain of credentials-java.
func (env *environment) javaSDK() (ask func()) {
	env.Helper()
	return env.startLoop(env.java("V2DefaultChain", env.endpoint()), caller)
}

// javaV1 starts the same with the SDK V1.0.
func (env *environment) javaV1() (ask func()) {
	env.Helper()
	return env.startLoop(env.java("V1DefaultChain", env.endpoint()), caller)
}

// Tablestore: the Java SDK's provider for the environment. With another key or token the service refuses.
func TestJavaTablestoreEnvironment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatTablestore)
	service := newVerifyingService(env, tablestoreWire)
	record(t, row{"Java", mavenArtifact(t, "tablestore"), documentTablestore, "Tablestore ListTable", inTablestore, byRestart})
	env.restarted(func() {
		env.wantOutput(env.java("TablestoreListTable", service.URL), "orders")
		service.wantVerified(env, tablestoreWire)
	})
	env.wantFailure(with(env.java("TablestoreListTable", service.URL), "TABLESTORE_ACCESS_KEY_SECRET", "another"), "")
}

// SDK: the constructor of the V1.0 SDK is given the variables.
func TestJavaV1Environment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Java", mavenArtifact(t, "aliyun-java-sdk-core"), documentJavaV1, "STS GetCallerIdentity", inParameter, byRestart})
	env.restarted(func() {
		env.wantOutput(env.java("V1BasicSession", env.endpoint()), caller)
		env.wantCaller(env.accessKeyID())
	})
}

// SDK: the V1.0 SDK's default chain takes the token from the environment.
func TestJavaV1DefaultChain(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Java", mavenArtifact(t, "aliyun-java-sdk-core"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	env.restarted(func() {
		env.javaV1()()
		env.wantCaller(env.accessKeyID())
	})
}

// Without the operator: the V1.0 SDK assumes the role with the AccessKey of a RAM user.
func TestJavaV1AssumeRoleProvider(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	env.setUser("MPAAS_AK_ENV", "MPAAS_SK_ENV")
	sdk := mavenArtifact(t, "aliyun-java-sdk-core")
	record(t, row{"Java", sdk, documentJavaV1, "STS AssumeRole, GetCallerIdentity", inParameter, byItself})
	endpoint := env.serveHTTPS()
	env.wantOutput(env.java("V1AssumeRoleProvider", endpoint, env.endpoint(), role), caller)
	env.wantAssumedRole()
	env.wantRoleSession()
}

// Without the operator: the SDK V2 of STS.
func TestJavaAssumeRole(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	env.setUser("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
	record(t, row{"Java", mavenArtifact(t, "sts20150401"), documentTablestore, "STS AssumeRole", "none: a RAM user's key", byItself})
	env.wantOutput(env.java("V2AssumeRole", env.endpoint(), role), "role/orders-reader/shop.orders")
}

// mpaasTemplate has the names that the program for mPaaS reads, as in docs/workloads.md.
var mpaasTemplate = map[string]v1alpha1.TemplateText{
	"ACCESS_KEY_ID": "{{ .AccessKeyID }}", "ACCESS_KEY_SECRET": "{{ .AccessKeySecret }}", "SECURITY_TOKEN": "{{ .SecurityToken }}",
	"RAM_ROLE_ARN": "{{ .RoleARN }}",
}

// A template with the names of mPaaS's document: the Config of the V2 SDK gets the three values.
func TestJavaMpaasTemplate(t *testing.T) {
	env := newTemplatedEnvironment(t, mpaasTemplate)
	service := newVerifyingService(env, openAPIWire)
	record(t, row{"Java", mavenArtifact(t, "tea-openapi"), documentMPaaS, "mPaaS QueryMcubeVhost", inACS3Header, byRestart})
	endpoint := strings.TrimPrefix(service.URL, "http://")
	env.restarted(func() {
		env.wantOutput(env.java("MpaasSecret", endpoint), "h5.example.com")
		service.wantVerified(env, openAPIWire)
	})
	env.wantFailure(with(env.java("MpaasSecret", endpoint), "SECURITY_TOKEN", "another"), "")
}

// Without the operator: the program for mPaaS assumes the role with the V1.0 SDK.
func TestJavaMpaasAssumeRole(t *testing.T) {
	env := newTemplatedEnvironment(t, mpaasTemplate)
	service := newVerifyingService(env, openAPIWire)
	env.setUser("MPAAS_AK_ENV", "MPAAS_SK_ENV")
	sdk := mavenArtifact(t, "aliyun-java-sdk-core")
	record(t, row{"Java", sdk, documentMPaaS, "STS AssumeRole, mPaaS QueryMcubeVhost", inACS3Header, byItself})
	endpoint := env.serveHTTPS()
	env.wantOutput(env.java("MpaasAssumeRole", endpoint, strings.TrimPrefix(service.URL, "http://"), role), "h5.example.com")
	env.wantAssumedRole()
	if token := service.header.Get(inACS3Header); token == "" || token == env.session.SecurityToken {
		t.Errorf("%s is %q, want that of a session of the program's own", inACS3Header, token)
	}
}

// SDK: credentials-java finds the environment, and the SDK of STS signs with it.
func TestJavaSDKEnvironment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.restarted(func() {
		env.javaSDK()()
		env.wantCaller(env.accessKeyID())
	})
}

// External: credentials-java supports no profile of this mode, and says so.
func TestJavaSDKRefusesExternalProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatExternal)
	env.must(os.Symlink(filepath.Dir(env.externalProfile()), filepath.Join(os.Getenv("HOME"), ".aliyun")))
	env.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), documentWorkloads, "profile of mode External", "nowhere: refused", "never"})
	command := env.java("V2DefaultChain", env.endpoint())
	command.Stdin, command.Stderr = strings.NewReader("\n"), nil
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Unsupported profile mode 'External'") {
		t.Errorf("%v: %s", err, out)
	}
}

// External: with a provider that reads the file, a client goes with each renewal.
func TestJavaSDKFile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatExternal)
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byFile})
	env.followed(env.startLoop(env.java("V2FileProvider", env.endpoint(), env.file("external.json")), caller))
}

// CLI: the profile in the home folder works, and is not read again.
func TestJavaSDKCommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	env.must(os.Symlink(env.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.readOnce(env.javaSDK)
}

// CLI: the same for the V1.0 SDK.
func TestJavaV1CommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	env.must(os.Symlink(env.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	record(t, row{"Java", mavenArtifact(t, "aliyun-java-sdk-core"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	env.readOnce(env.javaV1)
}

// URI: the default chain of credentials-java finds the agent, and one client follows renewals.
func TestJavaSDKAgent(t *testing.T) {
	env := newAgentEnvironment(t)
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), documentAgent, "STS GetCallerIdentity", inACS3Header, byURI})
	env.followed(env.javaSDK())
}

// URI: the same for the V1.0 SDK.
func TestJavaV1Agent(t *testing.T) {
	env := newAgentEnvironment(t)
	record(t, row{"Java", mavenArtifact(t, "aliyun-java-sdk-core"), documentAgent, "STS GetCallerIdentity", inParameter, byURI})
	env.followed(env.javaV1())
}

// OIDC, without a Secret: credentials-java gives STS the token of a ServiceAccount, as with RRSA.
func TestJavaSDKOIDC(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	env.setOIDC()("orders")
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), "RRSA", "STS AssumeRoleWithOIDC, GetCallerIdentity", inACS3Header, byItself})
	endpoint := env.serveHTTPS()
	env.startLoop(env.java("V2DefaultChain", env.endpoint(), endpoint), caller)()
	env.wantRoleSession()
}

// OSS: the provider for the environment of the OSS SDK for Java, with both versions of the signature.
func TestJavaOSSEnvironment(t *testing.T) {
	for _, version := range []string{"V1", "V4"} {
		t.Run(version, func(t *testing.T) {
			env := newEnvironment(t, v1alpha1.FormatOSS)
			service := newVerifyingService(env, ossWire)
			record(t, row{"Java", mavenArtifact(t, "aliyun-sdk-oss"), documentWorkloads, "OSS ListBuckets, signature " + version, inOSS, byRestart})
			env.restarted(func() {
				env.wantOutput(env.java("OssListBuckets", service.URL, version), "orders")
				service.wantVerified(env, ossWire)
			})
		})
	}
}

// OSS: the same for the OSS SDK V2 for Java.
func TestJavaOSSV2Environment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatOSS)
	service := newVerifyingService(env, ossWire)
	record(t, row{"Java", mavenArtifact(t, "alibabacloud-oss-v2"), documentWorkloads, "OSS ListBuckets", inOSS, byRestart})
	env.restarted(func() {
		env.wantOutput(env.java("Oss2ListBuckets", service.URL), "1")
		service.wantVerified(env, ossWire)
	})
	env.wantFailure(with(env.java("Oss2ListBuckets", service.URL), "OSS_ACCESS_KEY_SECRET", "another"), "")
}
