// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// sdkKeys are the keys of the format SDK.
var sdkKeys = []string{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"}

// secretOf returns the Secret of an StsCredential.
func (e *environment) secretOf(c *v1alpha1.StsCredential) *corev1.Secret {
	e.Helper()
	s := &corev1.Secret{}
	e.must(e.api.Get(e.Context(), client.ObjectKey{Namespace: c.Namespace, Name: c.SecretName()}, s))
	return s
}

// start starts the plugin in an empty folder, which is its home as well, and returns the folder.
func (e *environment) start(out *bytes.Buffer, variables []string, arguments ...string) (*exec.Cmd, string) {
	e.Helper()
	process, dir := exec.CommandContext(e.Context(), e.plugin, arguments...), e.TempDir()
	process.Dir, process.Stdout, process.Stderr = dir, out, out
	process.Env = append([]string{"KUBECONFIG=" + e.plane.Kubeconfig(), "HOME=" + dir, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH")}, variables...)
	e.must(process.Start())
	return process, dir
}

// runWith runs the plugin to its end with these variables.
func (e *environment) runWith(variables []string, arguments ...string) result {
	e.Helper()
	var out bytes.Buffer
	process, _ := e.start(&out, variables, arguments...)
	_ = process.Wait()
	return result{out: out.String(), status: process.ProcessState.ExitCode()}
}

// withoutValues requires that a text has no part of the credentials.
func (e *environment) withoutValues(s *corev1.Secret, where, text string) {
	e.Helper()
	for key, value := range s.Data {
		if strings.Contains(text, string(value)) {
			e.Errorf("%s has the value of %s", where, key)
		}
	}
}

// The command has the credentials and no others in its environment, and they are nowhere else.
func TestExecEnvironment(t *testing.T) {
	e := newEnvironment(t)
	s := e.secretOf(e.credential("orders"))
	inherited := []string{
		"KEEP=this", "ALIBABA_CLOUD_REGION_ID=cn-shanghai", "ALIBABA_CLOUD_ACCESS_KEY_ID=LTAIother", "ALIBABA_CLOUD_PROFILE=other",
		"ALIBABA_CLOUD_CREDENTIALS_URI=http://127.0.0.1:1", "ALIBABA_CLOUD_ROLE_ARN=" + role, "ALICLOUD_ACCESS_KEY=other",
		"OSS_ACCESS_KEY_ID=other", "ALIBABA_CLOUD_ECS_METADATA=other",
	}
	got := e.runWith(inherited, "exec", "orders", "-n", e.namespace, "--", "env")
	if got.status != 0 {
		e.Fatal(got)
	}
	lines := strings.Split(got.out, "\n")
	for _, key := range sdkKeys {
		if !slices.Contains(lines, key+"="+string(s.Data[key])) {
			e.Errorf("the command does not have %s of the Secret", key)
		}
	}
	e.wantAll(got.out, "KEEP=this\n", "ALIBABA_CLOUD_REGION_ID=cn-shanghai\n", "ALIBABA_CLOUD_ECS_METADATA_DISABLED=true\n", "ALIBABA_CLOUD_IGNORE_PROFILE=TRUE\n")
	for _, unwanted := range []string{"LTAIother", "=other", "CREDENTIALS_URI", "ALIBABA_CLOUD_ROLE_ARN", "ALICLOUD_", "OSS_"} {
		if strings.Contains(got.out, unwanted) {
			e.Errorf("the command has %s", unwanted)
		}
	}
	e.wantAll(e.runWith(nil, "exec", "orders", "-n", e.namespace, "--format", "Terraform,OSS", "--", "env").out,
		"ALICLOUD_ACCESS_KEY="+string(s.Data[sdkKeys[0]])+"\n", "OSS_SESSION_TOKEN="+string(s.Data[sdkKeys[2]])+"\n", sdkKeys[0]+"=")
}

// While a command runs, no command line has a value; when it ends, no file was written, and its answer to a signal is the status.
func TestExecLeavesNoTrace(t *testing.T) {
	e := newEnvironment(t)
	s := e.secretOf(e.credential("orders"))
	var out bytes.Buffer
	process, dir := e.start(&out, nil, "exec", "orders", "-n", e.namespace, "--", "sh", "-c", `trap 'exit 5' TERM; : >started; while :; do sleep 0.05; done`)
	e.eventually("the command starts", func() bool {
		_, err := os.Stat(filepath.Join(dir, "started"))
		return err == nil
	})
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	e.must(err)
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil { // the process may have ended
			e.withoutValues(s, path, string(line))
		}
	}
	e.must(process.Process.Signal(syscall.SIGTERM))
	var exit *exec.ExitError
	if err := process.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 5 {
		e.Errorf("%v, want exit status 5", err)
	}
	entries, err := os.ReadDir(dir)
	e.must(err)
	if len(entries) != 1 || out.Len() > 0 {
		e.Errorf("files %v, output %q", entries, out.String())
	}
}

// The exit status is the command's, as a shell sees it.
func TestExecStatus(t *testing.T) {
	e := newEnvironment(t)
	s := e.secretOf(e.credential("orders"))
	plain := filepath.Join(e.TempDir(), "plain")
	e.must(os.WriteFile(plain, nil, 0o600))
	for _, tc := range []struct {
		name    string
		command []string
		status  int
		message string
	}{
		{"success", []string{"true"}, 0, ""},
		{"its own", []string{"sh", "-c", "exit 7"}, 7, ""},
		{"a signal", []string{"sh", "-c", "kill -TERM $$"}, 128 + int(syscall.SIGTERM), ""},
		{"not found", []string{"no-such-program"}, 127, `cannot run "no-such-program"`},
		{"not executable", []string{plain}, 126, "permission denied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &environment{T: t, cluster: e.cluster, namespace: e.namespace}
			shell := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `"$@"; echo "status $?"`, "sh", e.plugin, "exec", "orders", "-n", e.namespace, "--"}, tc.command...)...)
			shell.Env = append(os.Environ(), "KUBECONFIG="+e.plane.Kubeconfig())
			out, err := shell.CombinedOutput()
			e.must(err)
			e.wantAll(string(out), "status "+strconv.Itoa(tc.status)+"\n", tc.message)
			e.withoutValues(s, "the output", string(out))
		})
	}
}

// What cannot be used is explained with the next step, and nothing is run.
func TestExecRefuses(t *testing.T) {
	e := newEnvironment(t)
	c := e.credential("orders")
	e.wantAll(e.admin("exec", "orders", "env").err, "then -- and a command")
	e.wantAll(e.runWith(nil, "exec", "absent", "-n", e.namespace, "--", "env").out, `error: there is no StsCredential "absent" in namespace "`+e.namespace+`"`)

	before := c.DeepCopy()
	c.Spec.Suspend = true
	e.must(e.api.Patch(e.Context(), c, client.MergeFrom(before)))
	e.eventually("it is suspended", func() bool {
		e.must(e.api.Get(e.Context(), client.ObjectKeyFromObject(c), c))
		return c.Status.ObservedGeneration == c.Generation
	})
	s := e.secretOf(c)
	s.Annotations["sts.alibabacloud.com/expires-at"] = time.Now().UTC().Add(30 * time.Second).Format(time.RFC3339)
	e.must(e.api.Update(e.Context(), s))
	got := e.runWith(nil, "exec", "orders", "-n", e.namespace, "--", "env")
	e.wantAll(got.out, "are valid until", "kubectl stscred renew -n "+e.namespace+" orders --wait")
	e.withoutValues(s, "the error", got.out)
	if got.status != 1 {
		e.Errorf("exit status %d", got.status)
	}

	e.must(e.api.Delete(e.Context(), s))
	e.wantAll(e.runWith(nil, "exec", "orders", "-n", e.namespace, "--", "env").out, `Secret "orders" does not exist`, "kubectl stscred status -n "+e.namespace+" orders")
}

// Credentials that only a template writes are found as well.
func TestExecWithTemplate(t *testing.T) {
	e := newEnvironment(t)
	e.credential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Formats = []v1alpha1.SecretFormat{}
		c.Spec.Secret.Template.Data = map[string]v1alpha1.TemplateText{
			"app.ini": "[app]\nid={{ .AccessKeyID }}\nsecret={{ .AccessKeySecret | b64enc }}\ntoken={{ .SecurityToken | quote }}\n",
		}
	})
	got := e.runWith(nil, "exec", "orders", "-n", e.namespace, "--", "env")
	e.wantAll(got.out, "ALIBABA_CLOUD_ACCESS_KEY_ID=STS.", "ALIBABA_CLOUD_SECURITY_TOKEN=")
}

// whoami calls STS by the flags and the proxy of the user's machine.
func TestWhoami(t *testing.T) {
	e := newEnvironment(t)
	c := e.credential("orders")
	sts := httptest.NewServer(e.emulator)
	defer sts.Close()
	arn := "acs:ram::" + account + ":assumed-role/orders-reader/" + c.Status.SessionName
	got := e.admin("whoami", "orders", "--sts-endpoint", sts.URL)
	if got.status != 0 {
		e.Fatal(got)
	}
	e.wantAll(got.out, arn, account, c.Status.ExpiresAt.UTC().Format(time.RFC3339))
	e.wantAll(e.admin("whoami", "orders", "--sts-endpoint", sts.URL, "-o", "json").out,
		`"kind": "CallerIdentity"`, `"arn": "`+arn+`"`, `"accountID": "`+account+`"`, `"expiresAt": "`)

	var calls atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		e.emulator.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	got = e.runWith([]string{"HTTP_PROXY=" + proxy.URL}, "whoami", "orders", "-n", e.namespace, "--sts-endpoint", "http://sts.example.com")
	e.wantAll(got.out, arn)
	if calls.Load() != 1 {
		e.Errorf("the proxy got %d calls", calls.Load())
	}
}

// What STS refuses is explained by its code and the next step, without a value of the Secret.
func TestWhoamiRefused(t *testing.T) {
	e := newEnvironment(t)
	s := e.secretOf(e.credential("orders"))
	other := httptest.NewServer(stsemulator.New(stsemulator.Options{})) // which did not issue them
	defer other.Close()
	got := e.admin("whoami", "orders", "--sts-endpoint", other.URL)
	e.wantAll(got.err, "error: GetCallerIdentity: InvalidSecurityToken.Malformed (RequestId ", "Renew them: kubectl stscred renew -n "+e.namespace+" orders --wait")
	if got.status != 1 || got.out != "" {
		e.Error(got)
	}
	e.withoutValues(s, "the error", got.String())
	e.wantAll(e.admin("whoami", "orders", "--region", "Hangzhou").err, "Write a region ID such as cn-hangzhou")
}

// exec and whoami get the StsCredential and its Secret, and need no other right.
func TestExecLeastPrivilege(t *testing.T) {
	e := newEnvironment(t)
	e.credential("orders")
	sts := httptest.NewServer(e.emulator)
	defer sts.Close()
	credentials, secrets := grant{verb: "get", group: v1alpha1.GroupVersion.Group, resource: "stscredentials"}, grant{verb: "get", resource: "secrets"}
	both, noSecret, noCredential := e.user("both", credentials, secrets), e.user("no-secret", credentials), e.user("no-credential", secrets)
	for _, words := range [][]string{
		{"whoami", "orders", "-n", e.namespace, "--sts-endpoint", sts.URL},
		{"exec", "orders", "-n", e.namespace, "--", "/bin/true"},
	} {
		e.eventually(words[0]+" works with two rights", func() bool { return e.run(both, words...).status == 0 })
		e.wantAll(e.run(noSecret, words...).err, "may not get secrets in namespace")
		e.wantAll(e.run(noCredential, words...).err, "may not get stscredentials.sts.alibabacloud.com in namespace")
	}
}
