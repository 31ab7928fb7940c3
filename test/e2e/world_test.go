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

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/node"
	"github.com/stscredential/sts-credential-operator/test/docs"
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
	// firstImage is the chart's default.
	firstImage  = "sts-credential-operator:dev"
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

// world is a cluster, an emulated STS that its pods reach, and the tools of a user.
type world struct {
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
	// life is how long STS lets the credentials of dock live.
	life time.Duration
}

func newWorld(t *testing.T, options node.Options, life time.Duration) *world {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	w := &world{T: t, ctx: ctx, home: t.TempDir(), life: life}
	out, err := exec.CommandContext(ctx, "go", "tool", "-modfile="+filepath.Join(root, "hack/tools/helm/go.mod"), "-n", "helm").Output()
	w.must(err)
	w.helmCLI = strings.TrimSpace(string(out))
	w.cluster, err = node.Start(ctx, options)
	w.must(err)
	t.Cleanup(w.end)
	scheme := runtime.NewScheme()
	w.must(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	w.api, err = client.New(w.cluster.Config(), client.Options{Scheme: scheme})
	w.must(err)
	w.serveSTS()
	w.importImages()
	return w
}

// in is the same world, in a part of the test.
func (w *world) in(t *testing.T) *world {
	part := *w
	part.T = t
	return &part
}

// end stops the cluster. After a failure it says first what the cluster looks like.
func (w *world) end() {
	if w.Failed() {
		for _, args := range [][]string{
			{"get", "pods,deployments,statefulsets,stscredentials,stsrolegrants,leases", "-A", "-o", "wide"},
			{"get", "events", "-A", "--sort-by=.lastTimestamp"},
			{"describe", "stscredentials", "-A"},
			{"-n", "sts-system", "logs", "-l", "app.kubernetes.io/name=sts-credential-operator", "--prefix", "--tail=30"},
			{"-n", restartsSystem, "logs", "-l", "app.kubernetes.io/name=sts-credential-operator", "--prefix", "--tail=60"},
			{"-n", dockSystem, "logs", "-l", "app.kubernetes.io/name=sts-credential-operator", "--prefix", "--tail=60"},
			{"-n", dock, "logs", "-l", "sts.alibabacloud.com/agent", "--all-containers", "--prefix", "--tail=60"},
		} {
			out, err := w.run(w.cluster.Kubectl(), args...)
			w.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if err := w.cluster.Stop(); err != nil {
		w.Errorf("stop the cluster: %v", err)
	}
	w.Logf("the logs of the node, of the control plane and of the pods that were there at the end: %s", filepath.Join(w.cluster.Dir(), "logs"))
}

// serveSTS serves the emulator where pods reach it, with the operator's two identities and the roles that trust them.
func (w *world) serveSTS() {
	w.sts = stsemulator.New(stsemulator.Options{})
	w.key = w.sts.AddUser(account, "sts-operator")
	w.trustCluster()
	for _, name := range []string{"orders-reader", "orders-brief", depot, dock} {
		w.sts.AddRole(stsemulator.Role{ARN: role(name), Trust: []stsemulator.Statement{{RAM: []string{operator, keyless}}}})
	}
	for name, life := range map[string]time.Duration{"orders-brief": briefly, depot: briefly, dock: w.life} {
		w.sts.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, RoleARN: role(name), Duration: life})
	}
	w.url = "http://" + w.serve(func(s *http.Server, l net.Listener) error { return s.Serve(l) })
	// The SDK asks for tokens of ServiceAccounts by HTTPS only.
	certificate, key, err := cert.GenerateSelfSignedCertKey("sts", []net.IP{w.cluster.Host().AsSlice()}, nil)
	w.must(err)
	w.authority = filepath.Join(w.home, "sts.crt")
	keyFile := filepath.Join(w.home, "sts.key")
	w.must(errors.Join(os.WriteFile(w.authority, certificate, 0o600), os.WriteFile(keyFile, key, 0o600)))
	w.secureURL = "https://" + w.serve(func(s *http.Server, l net.Listener) error { return s.ServeTLS(l, w.authority, keyFile) })
}

// serve serves the emulator until the end of the test, and returns the address.
func (w *world) serve(serve func(*http.Server, net.Listener) error) string {
	listener, err := new(net.ListenConfig).Listen(w.ctx, "tcp", netip.AddrPortFrom(w.cluster.Host(), 0).String())
	w.must(err)
	server := &http.Server{Handler: w.sts, ReadHeaderTimeout: time.Minute}
	w.Cleanup(func() { _ = server.Close() })
	go func() { _ = serve(server, listener) }()
	return listener.Addr().String()
}

// trustCluster registers the cluster as an OIDC provider, and lets a role trust the operator's ServiceAccount.
func (w *world) trustCluster() {
	cluster, err := kubernetes.NewForConfig(w.cluster.Config())
	w.must(err)
	published, err := cluster.RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(w.ctx)
	w.must(err)
	p := stsemulator.OIDCProvider{ARN: provider, Issuer: "https://kubernetes.default.svc", ClientIDs: []string{"sts.aliyuncs.com"}}
	w.must(json.Unmarshal(published, &p.JWKS))
	w.sts.AddOIDCProvider(p)
	subject := []string{"system:serviceaccount:" + system + ":sts-credential-operator"}
	w.sts.AddRole(stsemulator.Role{ARN: keyless, Trust: []stsemulator.Statement{
		{Federated: []string{provider}, StringEquals: map[string][]string{"oidc:sub": subject}},
	}})
}

func role(name string) string { return "acs:ram::" + account + ":role/" + name }

// importImages gives the node the operator's image, under two tags, and the workload's.
func (w *world) importImages() {
	if path := os.Getenv(archiveVariable); path != "" {
		archive, err := os.Open(path)
		w.must(err)
		defer func() { _ = archive.Close() }()
		w.must(w.cluster.ImportImage(w.ctx, archive))
	} else {
		manager, err := w.cluster.Build(w.ctx, "cmd/manager")
		w.must(err)
		agent, err := w.cluster.Build(w.ctx, "cmd/agent")
		w.must(err)
		w.must(w.cluster.ImportFiles(w.ctx, image, []string{"/manager"}, map[string]string{"/manager": manager, "/stscred-agent": agent}))
	}
	for _, tag := range []string{nextImage, "docker.io/library/" + firstImage} {
		w.must(w.cluster.Run(w.ctx, "ctr", "--namespace", "k8s.io", "images", "tag", image, tag))
	}
	w.must(w.cluster.ImportProgram(w.ctx, whoamiImage, "test/e2e/whoami"))
	w.must(w.cluster.ImportProgram(w.ctx, refreshImage, "test/formats/refresh"))
	w.importNode()
}

// importNode gives the node this machine's Node.js with a program and the SDK that it uses.
func (w *world) importNode() {
	program, err := exec.LookPath("node")
	w.must(err)
	modules := filepath.Join(root, "test/formats/node/node_modules")
	if _, err := os.Stat(modules); err != nil {
		w.Fatalf("%v: run make test/formats/node/node_modules", err)
	}
	files := map[string]string{
		"/node": program, "/app/refresh.js": filepath.Join(root, "test/formats/node/refresh.js"), "/app/node_modules": modules,
	}
	needed, err := exec.CommandContext(w.ctx, "ldd", program).Output()
	w.must(err)
	for _, library := range regexp.MustCompile(`(?m)(/\S+) \(0x`).FindAllStringSubmatch(string(needed), -1) {
		files[library[1]] = library[1]
	}
	for name, path := range files {
		files[name], err = filepath.EvalSymlinks(path)
		w.must(err)
	}
	w.must(w.cluster.ImportFiles(w.ctx, refreshNodeImage, []string{"/node", "/app/refresh.js"}, files))
}

// run runs a user's program and returns what it printed. Its error holds what it said on stderr.
func (w *world) run(program string, args ...string) (string, error) {
	cmd := exec.CommandContext(w.ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.cluster.Kubeconfig(), "KUBECACHEDIR="+w.home, "HELM_CACHE_HOME="+w.home,
		"HELM_CONFIG_HOME="+w.home, "HELM_DATA_HOME="+w.home, "NO_PROXY=*", "no_proxy=*")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// play plays a page as it stands, but for the chart, which is first installed as an earlier release, and the emulated STS.
func (w *world) play(path string) {
	w.Helper()
	page, err := docs.Read(root, path)
	w.must(err)
	dir := w.TempDir()
	w.must(docs.Scratch(root, dir))
	w.must(page.Play(w.ctx, docs.Shell{
		Dir: dir, Patience: patience,
		Env: append(os.Environ(), "KUBECONFIG="+w.cluster.Kubeconfig(), "HOME="+w.home, "NO_PROXY=*", "no_proxy=*",
			"PATH="+filepath.Dir(w.helmCLI)+":"+filepath.Dir(w.cluster.Kubectl())+":"+os.Getenv("PATH"),
			"ALIBABA_CLOUD_ACCESS_KEY_ID="+w.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+w.key.Secret),
		Change: strings.NewReplacer(
			"helm install sts charts/sts-credential-operator", "helm install sts "+w.previousChart()+" --set=stsEndpoint="+w.url+" '"+strings.Join(lifeValues, "' '")+"'",
			`"--region=cn-hangzhou"`, `"--sts-endpoint=`+w.url+`"`,
			"https://sts.cn-hangzhou.aliyuncs.com", w.url,
		).Replace,
	}, "e2e"))
}

func (w *world) kubectl(args ...string) string {
	w.Helper()
	out, err := w.run(w.cluster.Kubectl(), args...)
	w.must(err)
	return out
}

func (w *world) helm(args ...string) string {
	w.Helper()
	out, err := w.run(w.helmCLI, append([]string{"--namespace=sts-system"}, args...)...)
	w.must(err)
	return out
}

// apply applies a file of testdata.
func (w *world) apply(name string) {
	w.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	w.must(err)
	path := filepath.Join(w.TempDir(), name)
	w.must(os.WriteFile(path, bytes.ReplaceAll(content, []byte("STS_ENDPOINT"), []byte(w.url)), 0o600))
	w.kubectl("apply", "-f", path)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// eventually tries until it succeeds.
func (w *world) eventually(what string, try func() error) {
	w.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || w.ctx.Err() != nil {
			w.Fatalf("not in time: %s: %v", what, err)
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
