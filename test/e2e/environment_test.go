// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/hack/node"
	"github.com/stscredential/sts-credential-operator/test/docs"
	"github.com/stscredential/sts-credential-operator/test/fixture"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	// e2eVariable lets the test run, which needs root, Debian's packages and minutes: make e2e sets it.
	e2eVariable = "E2E"
	// archiveVariable names the archive with the operator's image. Without it an image is made of the manager alone.
	archiveVariable = "IMAGE_ARCHIVE"

	root      = "../.."
	image     = "docker.io/library/sts-credential-operator:e2e"
	nextImage = "docker.io/library/sts-credential-operator:e2e-next"
	// firstImage is what the pages install.
	firstImage  = "docker.io/library/sts-credential-operator:dev"
	whoamiImage = "localhost/whoami:e2e"
	// The workloads of test/formats: programs that take what the default chains of the SDKs find.
	refreshImage     = "localhost/refresh:e2e"
	refreshNodeImage = "localhost/refresh-node:e2e"

	account  = "1234567890123456"
	operator = "acs:ram::" + account + ":user/sts-operator"
	// keyless is the role that the operator has by RRSA, and provider the one that stands for the cluster in RAM.
	keyless  = "acs:ram::" + account + ":role/sts-operator"
	provider = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1"

	// patience is how long something may take to come true on a busy machine.
	patience = 2 * time.Minute
)

// environment is a cluster, an emulated STS that its pods reach, and the tools of a user.
type environment struct {
	*testing.T
	ctx     context.Context // until an interrupt
	cluster *node.Cluster
	api     client.Client
	sts     *stsemulator.Emulator
	key     stsemulator.AccessKey // the operator's
	// STS by HTTP and by HTTPS, and the file with the certificate to trust for the latter.
	url, secureURL, authority string
	helmCLI                   string
	home                      string // Helm's and kubectl's
	// life is the lifetime of the credentials of the release with the agent.
	life time.Duration
}

func newEnvironment(t *testing.T, options node.Options, life time.Duration) *environment {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	env := &environment{T: t, ctx: ctx, home: t.TempDir(), life: life}
	out, err := exec.CommandContext(ctx, "go", "tool", "-modfile="+filepath.Join(root, "hack/tools/helm/go.mod"), "-n", "helm").Output()
	env.must(err)
	env.helmCLI = strings.TrimSpace(string(out))
	env.cluster, err = node.Start(ctx, options)
	env.must(err)
	t.Cleanup(env.end)
	env.api, err = fixture.NewClient(env.cluster.Config())
	env.must(err)
	env.serveSTS()
	env.importImages()
	return env
}

// in returns the same environment for a subtest.
func (env *environment) in(t *testing.T) *environment {
	part := *env
	part.T = t
	return &part
}

// end stops the cluster. After a failure it says first what the cluster looks like.
func (env *environment) end() {
	if env.Failed() {
		for _, args := range [][]string{
			{"get", "pods,deployments,statefulsets,stscredentials,stsrolegrants,leases", "-A", "-o", "wide"},
			{"get", "events", "-A", "--sort-by=.lastTimestamp"},
			{"describe", "stscredentials", "-A"},
			{"-n", "sts-system", "logs", "-l", "app.kubernetes.io/name=sts-credential-operator", "--prefix", "--tail=30"},
			{"-n", restartsSystem, "logs", "-l", "app.kubernetes.io/name=sts-credential-operator", "--prefix", "--tail=60"},
			{"-n", agentSystem, "logs", "-l", "app.kubernetes.io/name=sts-credential-operator", "--prefix", "--tail=60"},
			{"-n", agentNamespace, "logs", "-l", "sts.alibabacloud.com/agent", "--all-containers", "--prefix", "--tail=60"},
		} {
			out, err := env.run(env.cluster.Kubectl(), args...)
			env.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if err := env.cluster.Stop(); err != nil {
		env.Errorf("stop the cluster: %v", err)
	}
	env.Logf("the logs of the node, of the control plane and of the pods that were there at the end: %s", filepath.Join(env.cluster.Dir(), "logs"))
}

// serveSTS serves the emulator where pods reach it, with the operator's two identities and the roles that trust them.
func (env *environment) serveSTS() {
	env.sts = stsemulator.New(stsemulator.Options{})
	env.key = env.sts.AddUser(account, "sts-operator")
	env.trustCluster()
	for _, name := range []string{"orders-reader", "orders-brief", restartsNamespace, agentNamespace} {
		env.sts.AddRole(stsemulator.Role{ARN: role(name), Trust: []stsemulator.Statement{{RAM: []string{operator, keyless}}}})
	}
	for name, life := range map[string]time.Duration{"orders-brief": briefly, restartsNamespace: briefly, agentNamespace: env.life} {
		env.sts.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, RoleARN: role(name), Duration: life})
	}
	env.url = "http://" + env.serve(func(s *http.Server, l net.Listener) error { return s.Serve(l) })
	// The SDK asks for tokens of ServiceAccounts by HTTPS only.
	certificate, key, err := cert.GenerateSelfSignedCertKey("sts", []net.IP{env.cluster.Host().AsSlice()}, nil)
	env.must(err)
	env.authority = filepath.Join(env.home, "sts.crt")
	keyFile := filepath.Join(env.home, "sts.key")
	env.must(errors.Join(os.WriteFile(env.authority, certificate, 0o600), os.WriteFile(keyFile, key, 0o600)))
	env.secureURL = "https://" + env.serve(func(s *http.Server, l net.Listener) error { return s.ServeTLS(l, env.authority, keyFile) })
}

// serve serves the emulator until the end of the test, and returns the address.
func (env *environment) serve(serve func(*http.Server, net.Listener) error) string {
	listener, err := new(net.ListenConfig).Listen(env.ctx, "tcp", netip.AddrPortFrom(env.cluster.Host(), 0).String())
	env.must(err)
	server := &http.Server{Handler: env.sts, ReadHeaderTimeout: time.Minute}
	env.Cleanup(func() { _ = server.Close() })
	go func() { _ = serve(server, listener) }()
	return listener.Addr().String()
}

// trustCluster registers the cluster as an OIDC provider, and lets a role trust the operator's ServiceAccount.
func (env *environment) trustCluster() {
	cluster, err := kubernetes.NewForConfig(env.cluster.Config())
	env.must(err)
	published, err := cluster.RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(env.ctx)
	env.must(err)
	p := stsemulator.OIDCProvider{ARN: provider, Issuer: "https://kubernetes.default.svc", ClientIDs: []string{"sts.aliyuncs.com"}}
	env.must(json.Unmarshal(published, &p.JWKS))
	env.sts.AddOIDCProvider(p)
	subject := []string{"system:serviceaccount:" + system + ":sts-credential-operator"}
	env.sts.AddRole(stsemulator.Role{ARN: keyless, Trust: []stsemulator.Statement{
		{Federated: []string{provider}, StringEquals: map[string][]string{"oidc:sub": subject}},
	}})
}

func role(name string) string { return "acs:ram::" + account + ":role/" + name }

// importImages gives the node the operator's image, under two tags, and the workload's.
func (env *environment) importImages() {
	if path := os.Getenv(archiveVariable); path != "" {
		archive, err := os.Open(path)
		env.must(err)
		defer func() { _ = archive.Close() }()
		env.must(env.cluster.ImportImage(env.ctx, archive))
	} else {
		manager, err := env.cluster.Build(env.ctx, "cmd/manager")
		env.must(err)
		agent, err := env.cluster.Build(env.ctx, "cmd/agent")
		env.must(err)
		env.must(env.cluster.ImportFiles(env.ctx, image, []string{"/manager"}, map[string]string{"/manager": manager, "/stscred-agent": agent}))
	}
	for _, tag := range []string{nextImage, firstImage} {
		env.must(env.cluster.Run(env.ctx, "ctr", "--namespace", "k8s.io", "images", "tag", image, tag))
	}
	env.must(env.cluster.ImportProgram(env.ctx, whoamiImage, "test/e2e/whoami"))
	env.must(env.cluster.ImportProgram(env.ctx, refreshImage, "test/formats/refresh"))
	env.importNode()
}

// importNode gives the node this machine's Node.js with a program and the SDK that it uses.
func (env *environment) importNode() {
	program, err := exec.LookPath("node")
	env.must(err)
	modules := filepath.Join(root, "test/formats/node/node_modules")
	if _, err := os.Stat(modules); err != nil {
		env.Fatalf("%v: run make test/formats/node/node_modules", err)
	}
	files := map[string]string{
		"/node": program, "/app/refresh.js": filepath.Join(root, "test/formats/node/refresh.js"), "/app/node_modules": modules,
	}
	needed, err := exec.CommandContext(env.ctx, "ldd", program).Output()
	env.must(err)
	for _, library := range regexp.MustCompile(`(?m)(/\S+) \(0x`).FindAllStringSubmatch(string(needed), -1) {
		files[library[1]] = library[1]
	}
	for name, path := range files {
		files[name], err = filepath.EvalSymlinks(path)
		env.must(err)
	}
	env.must(env.cluster.ImportFiles(env.ctx, refreshNodeImage, []string{"/node", "/app/refresh.js"}, files))
}

// run runs a user's program and returns what it printed. Its error holds what it said on stderr.
func (env *environment) run(program string, args ...string) (string, error) {
	cmd := exec.CommandContext(env.ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+env.cluster.Kubeconfig(), "KUBECACHEDIR="+env.home, "HELM_CACHE_HOME="+env.home,
		"HELM_CONFIG_HOME="+env.home, "HELM_DATA_HOME="+env.home, "NO_PROXY=*", "no_proxy=*")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// play plays a page as it stands, but for the chart, which is first installed as an earlier release, and the emulated STS.
func (env *environment) play(path string) {
	env.Helper()
	page, err := docs.Read(root, path)
	env.must(err)
	dir := env.TempDir()
	env.must(docs.Scratch(root, dir))
	env.must(page.Play(env.ctx, docs.Shell{
		Dir: dir, Patience: patience,
		Env: append(os.Environ(), "KUBECONFIG="+env.cluster.Kubeconfig(), "HOME="+env.home, "NO_PROXY=*", "no_proxy=*",
			"PATH="+filepath.Dir(env.helmCLI)+":"+filepath.Dir(env.cluster.Kubectl())+":"+os.Getenv("PATH"),
			"ALIBABA_CLOUD_ACCESS_KEY_ID="+env.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+env.key.Secret),
		Change: strings.NewReplacer(
			"helm install sts charts/sts-credential-operator", "helm install sts "+env.previousChart()+" --set=stsEndpoint="+env.url+" '"+strings.Join(lifeValues, "' '")+"'",
			"image.registry=registry.example.com", "image.registry=docker.io/library",
			`"--region=cn-hangzhou"`, `"--sts-endpoint=`+env.url+`"`,
			"https://sts.cn-hangzhou.aliyuncs.com", env.url,
		).Replace,
	}, "e2e"))
}

func (env *environment) kubectl(args ...string) string {
	env.Helper()
	out, err := env.run(env.cluster.Kubectl(), args...)
	env.must(err)
	return out
}

func (env *environment) helm(args ...string) string {
	env.Helper()
	out, err := env.run(env.helmCLI, append([]string{"--namespace=sts-system"}, args...)...)
	env.must(err)
	return out
}

// apply applies a file of testdata.
func (env *environment) apply(name string) {
	env.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	env.must(err)
	path := filepath.Join(env.TempDir(), name)
	env.must(os.WriteFile(path, bytes.ReplaceAll(content, []byte("STS_ENDPOINT"), []byte(env.url)), 0o600))
	env.kubectl("apply", "-f", path)
}

func (env *environment) must(err error) {
	env.Helper()
	if err != nil {
		env.Fatal(err)
	}
}

// eventually tries until it succeeds.
func (env *environment) eventually(what string, try func() error) {
	env.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || env.ctx.Err() != nil {
			env.Fatalf("not in time: %s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func contains(text string, parts ...string) error {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return fmt.Errorf("no %q in:\n%s", part, text)
		}
	}
	return nil
}
