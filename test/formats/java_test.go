// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// What the programs of the folder java may take. Each takes a few seconds, most of which Java needs to start.
const javaTimeout = 2 * time.Minute

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

// java is a program of the folder java with what is in the environment. It trusts the emulated STS by HTTPS, if that has been started.
func (env *environment) java(program string, arguments ...string) *exec.Cmd {
	env.Helper()
	jars, _ := filepath.Glob(filepath.Join("java", "target", "lib", "*.jar"))
	classpath := strings.Join(append([]string{filepath.Join("java", "target", "classes")}, jars...), string(filepath.ListSeparator))
	options := []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Duser.home=" + os.Getenv("HOME"), "-cp", classpath}
	if env.trustStore != "" {
		options = append(options, "-Djavax.net.ssl.trustStore="+env.trustStore, "-Djavax.net.ssl.trustStorePassword="+trustStorePassword)
	}
	// A test's context ends before its cleanup, in which the program is let go.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(env.Context()), javaTimeout)
	env.Cleanup(cancel)
	command := exec.CommandContext(ctx, "java", append(append(options, "formats."+program), arguments...)...)
	command.Stderr = os.Stderr
	return command
}

// runJava runs a program to its end and returns what it printed.
func (env *environment) runJava(program string, arguments ...string) (output string) {
	env.Helper()
	out, err := env.java(program, arguments...).Output()
	if err != nil {
		env.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// javaFails insists that a program fails. What it prints is expected, and so is not shown.
func (env *environment) javaFails(program string, arguments ...string) {
	env.Helper()
	command := env.java(program, arguments...)
	command.Stderr = nil
	if out, err := command.CombinedOutput(); err == nil {
		env.Errorf("%s succeeds with the wrong credentials: %s", program, out)
	}
}

// javaLoop starts a program that asks STS with one client on each request.
func (env *environment) javaLoop(program string, arguments ...string) (ask func()) {
	env.Helper()
	command := env.java(program, arguments...)
	in, err := command.StdinPipe()
	env.must(err)
	out, err := command.StdoutPipe()
	env.must(err)
	env.must(command.Start())
	env.Cleanup(func() {
		env.must(in.Close())
		env.must(command.Wait())
	})
	answers := bufio.NewScanner(out)
	return func() {
		env.Helper()
		_, err := fmt.Fprintln(in)
		env.must(err)
		for answers.Scan() {
			if strings.Contains(answers.Text(), caller) {
				return
			}
			env.Log(answers.Text())
		}
		env.Fatal("the program ended")
	}
}

const trustStorePassword = "changeit"

// serveHTTPS has the emulated STS listen with HTTPS as well, for providers that use nothing else, and returns host and port.
func (env *environment) serveHTTPS() (endpoint string) {
	env.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		env.emulator.ServeHTTP(&issuanceWriter{ResponseWriter: w, issued: &env.issued}, r)
	}))
	env.Cleanup(server.Close)
	folder := env.TempDir()
	certificate := filepath.Join(folder, "sts.pem")
	env.must(os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	env.trustStore = filepath.Join(folder, "sts.p12")
	out, err := exec.CommandContext(env.Context(), "keytool", "-importcert", "-noprompt", "-alias", "sts", "-file", certificate,
		"-keystore", env.trustStore, "-storetype", "PKCS12", "-storepass", trustStorePassword).CombinedOutput()
	if err != nil {
		env.Fatalf("keytool: %v\n%s", err, out)
	}
	return strings.TrimPrefix(server.URL, "https://")
}

// issuanceWriter keeps the sessions that STS issues to programs, so that services accept them.
type issuanceWriter struct {
	http.ResponseWriter
	issued *issuedSessions
}

func (w *issuanceWriter) Write(response []byte) (int, error) {
	var issuance struct {
		Credentials struct{ AccessKeyId, AccessKeySecret, SecurityToken string } //nolint:revive // STS's names
	}
	if err := json.Unmarshal(response, &issuance); err == nil && issuance.Credentials.SecurityToken != "" {
		c := issuance.Credentials
		w.issued.add(credentials.Credentials{AccessKeyID: c.AccessKeyId, AccessKeySecret: c.AccessKeySecret, SecurityToken: c.SecurityToken})
	}
	return w.ResponseWriter.Write(response)
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

// wantRoleSession insists that STS has just answered a session of the role.
func (env *environment) wantRoleSession() {
	env.Helper()
	calls := env.emulator.Calls()
	last := calls[len(calls)-1]
	if last.Action != "GetCallerIdentity" || last.CallerARN != caller || !strings.HasPrefix(last.AccessKeyID, "STS.") || last.Status != 200 {
		env.Errorf("STS saw %s by %s, answered %d %s; want GetCallerIdentity by %s", last.Action, last.CallerARN, last.Status, last.Code, caller)
	}
}

// Tablestore: the Java SDK's provider for the environment. With another key or token the service refuses.
func TestJavaTablestoreEnvironment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatTablestore)
	service := newVerifyingService(env, tablestoreWire)
	record(t, row{"Java", mavenArtifact(t, "tablestore"), documentTablestore, "Tablestore ListTable", inTablestore, byRestart})
	env.restarted(func() {
		if tables := env.runJava("TablestoreListTable", service.URL); !strings.Contains(tables, "orders") {
			t.Errorf("the tables are %q", tables)
		}
		service.wantVerified(env, tablestoreWire)
	})
	env.Setenv("TABLESTORE_ACCESS_KEY_SECRET", "other")
	env.javaFails("TablestoreListTable", service.URL)
}

// SDK: the constructor of the V1.0 SDK is given the variables.
func TestJavaV1Environment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Java", mavenArtifact(t, "aliyun-java-sdk-core"), documentJavaV1, "STS GetCallerIdentity", inParameter, byRestart})
	env.restarted(func() {
		env.runJava("V1BasicSession", env.endpoint())
		env.wantCaller(env.accessKeyID())
	})
}

// SDK: the V1.0 SDK's default chain takes the token from the environment.
func TestJavaV1DefaultChain(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Java", mavenArtifact(t, "aliyun-java-sdk-core"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	env.restarted(func() {
		env.javaLoop("V1DefaultChain", env.endpoint())()
		env.wantCaller(env.accessKeyID())
	})
}

// Without the operator: the V1.0 SDK assumes the role with the AccessKey of a RAM user.
func TestJavaV1AssumeRoleProvider(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	env.setUser("MPAAS_AK_ENV", "MPAAS_SK_ENV")
	sdk := mavenArtifact(t, "aliyun-java-sdk-core")
	record(t, row{"Java", sdk, documentJavaV1, "STS AssumeRole, GetCallerIdentity", inParameter, byItself})
	env.runJava("V1AssumeRoleProvider", env.serveHTTPS(), env.endpoint(), role)
	env.wantAssumedRole()
	env.wantRoleSession()
}

// Without the operator: the SDK V2 of STS.
func TestJavaAssumeRole(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	env.setUser("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
	record(t, row{"Java", mavenArtifact(t, "sts20150401"), documentTablestore, "STS AssumeRole", "none: a RAM user's key", byItself})
	if arn := env.runJava("V2AssumeRole", env.endpoint(), role); !strings.Contains(arn, "role/orders-reader/shop.orders") {
		t.Errorf("the role's session is %q", arn)
	}
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
		if answer := env.runJava("MpaasSecret", endpoint); !strings.Contains(answer, "h5.example.com") {
			t.Errorf("the answer is %q", answer)
		}
		service.wantVerified(env, openAPIWire)
	})
	env.Setenv("SECURITY_TOKEN", "other")
	env.javaFails("MpaasSecret", endpoint)
}

// Without the operator: the program for mPaaS assumes the role with the V1.0 SDK.
func TestJavaMpaasAssumeRole(t *testing.T) {
	env := newTemplatedEnvironment(t, mpaasTemplate)
	service := newVerifyingService(env, openAPIWire)
	env.setUser("MPAAS_AK_ENV", "MPAAS_SK_ENV")
	sdk := mavenArtifact(t, "aliyun-java-sdk-core")
	record(t, row{"Java", sdk, documentMPaaS, "STS AssumeRole, mPaaS QueryMcubeVhost", inACS3Header, byItself})
	env.runJava("MpaasAssumeRole", env.serveHTTPS(), strings.TrimPrefix(service.URL, "http://"), role)
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
		env.javaLoop("V2DefaultChain", env.endpoint())()
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
	ask := env.javaLoop("V2FileProvider", env.endpoint(), env.file("external.json"))
	for range 3 {
		ask()
		env.wantCaller(env.accessKeyID())
		env.renew()
	}
}

// CLI: the profile in the home folder works, and is not read again.
func TestJavaSDKCommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	env.must(os.Symlink(env.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	ask, first := env.javaLoop("V2DefaultChain", env.endpoint()), env.accessKeyID()
	for range 2 {
		ask()
		env.wantCaller(first)
		env.renew()
	}
}

// CLI: the same for the V1.0 SDK.
func TestJavaV1CommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	env.must(os.Symlink(env.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	record(t, row{"Java", mavenArtifact(t, "aliyun-java-sdk-core"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	ask, first := env.javaLoop("V1DefaultChain", env.endpoint()), env.accessKeyID()
	for range 2 {
		ask()
		env.wantCaller(first)
		env.renew()
	}
}

// URI: the default chain of credentials-java finds the agent, and one client follows renewals.
func TestJavaSDKAgent(t *testing.T) {
	env, address := newAgentEnvironment(t)
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), documentAgent, "STS GetCallerIdentity", inACS3Header, byURI})
	env.followed(address, env.javaLoop("V2DefaultChain", env.endpoint()))
}

// URI: the same for the V1.0 SDK.
func TestJavaV1Agent(t *testing.T) {
	env, address := newAgentEnvironment(t)
	record(t, row{"Java", mavenArtifact(t, "aliyun-java-sdk-core"), documentAgent, "STS GetCallerIdentity", inParameter, byURI})
	env.followed(address, env.javaLoop("V1DefaultChain", env.endpoint()))
}

// OIDC, without a Secret: credentials-java gives STS the token of a ServiceAccount, as with RRSA.
func TestJavaSDKOIDC(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	env.setOIDC()
	record(t, row{"Java", mavenArtifact(t, "credentials-java"), "RRSA", "STS AssumeRoleWithOIDC, GetCallerIdentity", inACS3Header, byItself})
	env.javaLoop("V2DefaultChain", env.endpoint(), env.serveHTTPS())()
	env.wantRoleSession()
}

// setOIDC registers an OIDC provider, has the role trust a ServiceAccount, and sets the variables that RRSA injects.
func (env *environment) setOIDC() {
	env.Helper()
	const (
		provider = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1"
		issuer   = "https://oidc.example.com/c1"
		subject  = "system:serviceaccount:shop:orders"
		audience = "sts.aliyuncs.com"
	)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	env.must(err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	env.must(err)
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}}
	env.emulator.AddOIDCProvider(stsemulator.OIDCProvider{ARN: provider, Issuer: issuer, ClientIDs: []string{audience}, JWKS: keys})
	env.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{
		Federated: []string{provider}, StringEquals: map[string][]string{"oidc:iss": {issuer}, "oidc:aud": {audience}, "oidc:sub": {subject}},
	}}})
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: issuer, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}).Serialize()
	env.must(err)
	file := filepath.Join(env.TempDir(), "token")
	env.must(os.WriteFile(file, []byte(token), 0o400))
	env.Setenv("ALIBABA_CLOUD_ROLE_ARN", role)
	env.Setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", provider)
	env.Setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file)
}

// OSS: the provider for the environment of the OSS SDK for Java, with both versions of the signature.
func TestJavaOSSEnvironment(t *testing.T) {
	for _, version := range []string{"V1", "V4"} {
		t.Run(version, func(t *testing.T) {
			env := newEnvironment(t, v1alpha1.FormatOSS)
			service := newVerifyingService(env, ossWire)
			record(t, row{"Java", mavenArtifact(t, "aliyun-sdk-oss"), documentWorkloads, "OSS ListBuckets, signature " + version, inOSS, byRestart})
			env.restarted(func() {
				env.runJava("OssListBuckets", service.URL, version)
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
		env.runJava("Oss2ListBuckets", service.URL)
		service.wantVerified(env, ossWire)
	})
	env.Setenv("OSS_ACCESS_KEY_SECRET", "other")
	env.javaFails("Oss2ListBuckets", service.URL)
}
