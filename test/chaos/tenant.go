// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/hack/process"
	"github.com/stscredential/sts-credential-operator/test/chaos/observer"
)

// The namespace of the hostile tenant, and the one whose credentials must be issued and renewed on time.
const (
	hostileNamespace = "hostile"
	quietNamespace   = "quiet"
)

// hostileUser has the ClusterRole edit in the hostile namespace, and no other rights.
const hostileUser = "mallory"

// The quotas that docs/security.md recommends, by resource.
const (
	credentialQuota = "count/stscredentials.sts.alibabacloud.com"
	secretQuota     = "count/secrets"
	podQuota        = "count/pods"
)

// Limits of the operator, whatever the tenant does.
const (
	// peakBound is the largest RSS of a process.
	peakBound = 200 << 20
	// promptBound is the longest time between the creation of an StsCredential and its Secret, also across a restart, and
	// between the moment when a third of the life is left and the renewed Secret.
	promptBound = 30 * time.Second
	// promptWithoutWatchList is the same if the API server does not stream lists: each start reads every object page by page, which
	// takes a time in proportion to the bytes that tenants have stored.
	promptWithoutWatchList = 50 * time.Second
)

// promptness returns the bound for an API server with the feature WatchList or without.
func promptness(watchList bool) time.Duration {
	if watchList {
		return promptBound
	}
	return promptWithoutWatchList
}

// restarts of the operator during one attack.
const restarts = 5

// editors is the number of connections over which the tenant edits.
const editors = 8

// attack is one run of the hostile tenant, with a separate operator.
type attack struct {
	*environment
	long      bool
	prompt    time.Duration // see promptness
	note      func(string, ...any)
	throws    *rand.Rand
	quota     corev1.ResourceList
	mallory   client.Client
	memory    string // the value of GOMEMLIMIT in the manifests
	profiles  string // a folder for heap profiles; empty: none
	operator  *replica
	measured  *measurement
	objects   []client.Object // that are edited: first those of plain
	plain     []string        // StsCredentials that get a Secret
	hoarded   []*hoard
	edits     atomic.Int64
	quiet     int
	largest   []string // fields with the size that the API server accepted
	editsLast time.Duration
}

// attacked runs the scenario with WatchList in the API server, and without.
func (c *chaos) attacked(ctx context.Context, root string) error {
	for _, watchList := range []bool{true, false} {
		if err := c.attack(ctx, root, watchList); err != nil {
			return fmt.Errorf("hostile tenant: %w", err)
		}
	}
	return nil
}

// attack runs the scenario once.
func (c *chaos) attack(ctx context.Context, root string, watchList bool) (err error) {
	c.note("a hostile tenant, WatchList %t: starting a control plane and building the operator", watchList)
	env, err := newEnvironment(ctx, root, attackOptions(watchList))
	if env == nil {
		return err
	}
	defer func() { err = errors.Join(err, env.end(os.Stderr, err == nil && len(env.observer.Violations()) == 0)) }()
	if err != nil {
		return err
	}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	go env.observe(looking)
	env.observer.Begins(fmt.Sprintf("a hostile tenant, WatchList %t", watchList))
	a := &attack{environment: env, long: c.long, prompt: promptness(watchList), note: c.note, throws: dice(c.seed, 3)}
	if c.profiles != "" {
		a.profiles = filepath.Join(c.profiles, fmt.Sprintf("watchlist-%t", watchList))
	}
	for _, step := range []func(context.Context) error{a.build, a.prepare, a.run} {
		if err := step(ctx); err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	return c.report(a, watchList)
}

// attackOptions returns the options of the environment. A third of a session's life must be longer than a start of the operator, as
// it is with real sessions, which live for 15 minutes and more.
func attackOptions(watchList bool) environmentOptions {
	options := environmentOptions{
		lifetime: lifetime, recovery: promptness(watchList), namespaces: []string{hostileNamespace, quietNamespace}, observed: quietNamespace,
		plane: controlplane.Options{
			ControllerManager: true,
			// Without the garbage collector, which would delete objects whose owners do not exist.
			Controllers: []string{"namespace-controller", "serviceaccount-controller", "resourcequota-controller", "clusterrole-aggregation-controller"},
			// Old versions of large objects would fill etcd.
			EtcdFlags:      []string{"--quota-backend-bytes=17179869184"},
			APIServerFlags: []string{"--etcd-compaction-interval=20s", fmt.Sprintf("--feature-gates=WatchList=%t", watchList)},
		},
	}
	if !watchList {
		options.lifetime = 3 * time.Minute
	}
	options.calm = options.lifetime / 4
	return options
}

// build builds the operator, with heap profiles only for -profiles.
func (a *attack) build(ctx context.Context) error {
	if a.profiles == "" {
		return build(ctx, a.root, a.manager.released)
	}
	return errors.Join(os.MkdirAll(a.profiles, 0o700), build(ctx, a.root, a.manager.released, "-tags", "pprof"))
}

// run lets the tenant fill its quotas, and edit objects while the operator issues, renews and is restarted.
func (a *attack) run(ctx context.Context) (err error) {
	pprof, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	a.operator, err = a.fleet.runWith(ctx, a.processEnv(pprof), "operator", a.manager.released, a.kube.direct,
		"--leader-elect=false", "--track-consumers", "--rollouts", "--max-concurrent-reconciles=32", "--zap-log-level=info")
	if err != nil {
		return err
	}
	measuring, stop := context.WithCancel(ctx)
	defer stop()
	a.measured = measure(measuring, a.operator, a.profiles, pprof)
	if err := a.fill(ctx); err != nil {
		return err
	}
	editing, stopEditing := context.WithCancel(ctx)
	began := time.Now()
	done := a.edit(editing)
	err = a.amidEdits(ctx)
	a.editsLast = time.Since(began)
	stopEditing()
	<-done
	return errors.Join(err, a.operator.end())
}

// amidEdits creates the quiet credentials, half of them before the restarts and the others just before each of them.
func (a *attack) amidEdits(ctx context.Context) error {
	all := a.of(20, 100)
	if err := a.ask(ctx, all/2); err != nil {
		return err
	}
	pause(ctx, a.lifetime/6)
	for i := range restarts {
		if err := a.ask(ctx, all/2/restarts); err != nil {
			return err
		}
		a.measured.read(ctx)
		if i%2 == 0 {
			a.operator.kill(ctx)
		} else {
			a.operator.restart(ctx, func(p *process.Process) { _ = p.Stop() })
		}
		if err := a.operator.wait(ctx); err != nil {
			return err
		}
		took := a.issued(ctx)
		a.note("restart %d of %d, all issued after %s, peak so far %.0f MiB, %d edits", i+1, restarts, took.Round(time.Second/10), a.measured.peak()/(1<<20), a.edits.Load())
		pause(ctx, a.lifetime*time.Duration(a.of(3, 10))/30)
	}
	pause(ctx, a.lifetime/3)
	return ctx.Err()
}

// issued waits until all quiet credentials are issued, at most for the limit. A restart before that would measure two starts as one.
func (a *attack) issued(ctx context.Context) time.Duration {
	began := time.Now()
	for ctx.Err() == nil && time.Since(began) < a.prompt {
		if p := a.observer.Punctuality(quietNamespace, time.Now()); p.Issued == p.Kept {
			break
		}
		pause(ctx, observeInterval)
	}
	return time.Since(began)
}

// of chooses a number by the form of the run.
func (a *attack) of(short, long int) int {
	if a.long {
		return long
	}
	return short
}

// ask creates quiet StsCredentials.
func (a *attack) ask(ctx context.Context, n int) error {
	for range n {
		if err := a.create(ctx, quietNamespace, fmt.Sprintf("c%03d", a.quiet), roles[a.quiet%len(roles)]); err != nil {
			return err
		}
		a.quiet++
	}
	return nil
}

// processEnv returns the variables of the Go runtime from the manifests, and the address of profiles.
func (a *attack) processEnv(pprof string) []string {
	return []string{"GOMEMLIMIT=" + cmp.Or(a.memory, "off"), "PPROF_ADDRESS=" + pprof}
}

// prepare installs the operator's manifests with rollouts, the quota and the rights of the tenant.
func (a *attack) prepare(ctx context.Context) error {
	if err := errors.Join(a.installRollouts(ctx), a.readManifest(ctx), a.readQuota()); err != nil {
		return err
	}
	if err := a.api.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: hostileNamespace, Name: hostileUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: hostileUser}},
	}); err != nil {
		return err
	}
	config, err := a.plane.UserConfig(hostileUser)
	if err != nil {
		return err
	}
	if a.mallory, err = client.New(config, client.Options{Scheme: a.api.Scheme()}); err != nil {
		return err
	}
	if err := within(ctx, time.Minute, func() error {
		return errors.Join(
			a.mallory.Create(ctx, plainCredential("probe"), client.DryRunAll),
			a.mallory.Create(ctx, hostilePod("probe", nil), client.DryRunAll),
		)
	}); err != nil {
		return err
	}
	// A quota counts objects that etcd refuses because of their size, until it is computed again. So find the sizes before.
	for _, h := range a.hoards() {
		if err := a.try(ctx, h); err != nil {
			return err
		}
		a.hoarded = append(a.hoarded, h)
	}
	return a.applyQuota(ctx)
}

// within tries until something succeeds.
func within(ctx context.Context, limit time.Duration, try func() error) (err error) {
	for end := time.Now().Add(limit); ; pause(ctx, 200*time.Millisecond) {
		if err = try(); err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

// installRollouts applies config/default with the component rollouts. Its Deployment starts no pods here.
func (a *attack) installRollouts(ctx context.Context) error {
	dir := filepath.Join(a.dir, "overlay")
	relative, err := filepath.Rel(dir, a.root)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [%[1]s/config/default]\ncomponents: [%[1]s/config/components/rollouts]\n", relative)
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600)); err != nil {
		return err
	}
	return a.plane.Kubectl(ctx, dir, "apply", "-k", ".")
}

// readManifest finds GOMEMLIMIT in the Deployment.
func (a *attack) readManifest(ctx context.Context) error {
	var d appsv1.Deployment
	if err := a.api.Get(ctx, types.NamespacedName{Namespace: "sts-system", Name: "sts-credential-operator"}, &d); err != nil {
		return err
	}
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		if e.Name != "GOMEMLIMIT" {
			continue
		}
		if e.ValueFrom != nil {
			return errors.New("the Deployment does not set GOMEMLIMIT to a plain value")
		}
		a.memory = e.Value
	}
	a.note("GOMEMLIMIT of the Deployment: %q", a.memory)
	return nil
}

var yamlBlock = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```")

// recommendedQuota is the ResourceQuota of a page.
func recommendedQuota(page string) (*corev1.ResourceQuota, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	for _, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(block[2], "kind: ResourceQuota") {
			continue
		}
		q := &corev1.ResourceQuota{}
		if err := yaml.UnmarshalStrict([]byte(block[2]), q); err != nil {
			return nil, err
		}
		return q, nil
	}
	return nil, fmt.Errorf("%s has no ResourceQuota", page)
}

// readQuota finds the quota that docs/security.md recommends.
func (a *attack) readQuota() error {
	q, err := recommendedQuota(filepath.Join(a.root, "docs", "security.md"))
	if err != nil {
		return err
	}
	a.quota = q.Spec.Hard
	for _, resource := range []corev1.ResourceName{credentialQuota, secretQuota, podQuota} {
		if _, ok := a.quota[resource]; !ok {
			return fmt.Errorf("the ResourceQuota of docs/security.md has no %s", resource)
		}
	}
	return nil
}

// applyQuota limits the tenant.
func (a *attack) applyQuota(ctx context.Context) error {
	// The quota controller discovers the CRDs when it starts. Otherwise it would take minutes.
	if err := errors.Join(a.plane.Kill("kube-controller-manager"), a.plane.Restart(ctx, "kube-controller-manager")); err != nil {
		return err
	}
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: hostileNamespace, Name: "sts"}, Spec: corev1.ResourceQuotaSpec{Hard: a.quota}}
	if err := a.api.Create(ctx, q); err != nil {
		return err
	}
	return within(ctx, time.Minute, func() error {
		var existing corev1.ResourceQuota
		if err := a.api.Get(ctx, client.ObjectKeyFromObject(q), &existing); err != nil || len(existing.Status.Hard) == len(a.quota) {
			return err
		}
		return errors.New("the quota is not in force")
	})
}

// share is how many objects of a resource the tenant creates: its quota, or a part of it in the short form.
func (a *attack) share(resource corev1.ResourceName) int {
	hard := a.quota[resource]
	return int(hard.Value()) / a.of(5, 1)
}

// hoard is the tenant's large objects of one kind.
type hoard struct {
	kind    string
	n       int // the number to create
	ways    []way
	sized   []sizedWay
	objects []client.Object
}

// sizedWay is a way with the largest size in KiB that the API server accepts.
type sizedWay struct {
	way
	size int
}

// hoards returns the hoards of all kinds, and names the small StsCredentials beside them.
func (a *attack) hoards() []*hoard {
	credentials := a.share(credentialQuota)
	for i := range credentials / 2 {
		a.plain = append(a.plain, fmt.Sprintf("plain-%03d", i))
	}
	return []*hoard{
		{kind: "StsCredential", n: credentials - len(a.plain), ways: credentialWays()},
		{kind: "Pod", n: a.share(podQuota), ways: podWays(a.plain)},
		{kind: "Secret", n: a.share(secretQuota) - len(a.plain), ways: secretWays()}, // the others are the operator's
	}
}

// try finds the largest size that the API server accepts of each way, and leaves the objects there.
func (a *attack) try(ctx context.Context, h *hoard) error {
	for _, w := range h.ways {
		o, size, err := a.largestOf(ctx, fmt.Sprintf("large-%03d", len(h.objects)), w, sizes)
		if err != nil {
			return err
		}
		if o != nil {
			h.objects = append(h.objects, o)
		}
		if size > 0 {
			h.sized = append(h.sized, sizedWay{w, size})
		}
		a.largest = append(a.largest, fmt.Sprintf("%s by its %s: %d KiB", h.kind, w.field, size))
	}
	return nil
}

// fill creates as many objects as the quotas allow, each as large as the API server accepts.
func (a *attack) fill(ctx context.Context) error {
	for _, name := range a.plain {
		c := plainCredential(name)
		if err := a.mallory.Create(ctx, c); err != nil {
			return err
		}
		a.objects = append(a.objects, c)
	}
	for _, h := range a.hoarded {
		if err := a.complete(ctx, h); err != nil {
			return err
		}
		a.objects = append(a.objects, h.objects...)
	}
	for _, line := range a.largest {
		a.note("the largest %s", line)
	}
	if !a.long {
		return nil
	}
	// The quotas are full.
	for _, extra := range []client.Object{plainCredential("extra"), hostilePod("extra", nil)} {
		if err := a.mallory.Create(ctx, extra); !apierrors.IsForbidden(err) {
			return fmt.Errorf("another %T is not refused by the quota: %w", extra, err)
		}
	}
	return nil
}

// complete creates the other objects of a hoard, in turn in each of the ways, until there are enough or the quota is full. The quota
// also counts objects whose creation was stored and then reported as failed.
func (a *attack) complete(ctx context.Context, h *hoard) error {
	created := make([]client.Object, max(0, h.n-len(h.objects)))
	working, ctx := errgroup.WithContext(ctx)
	working.SetLimit(4)
	for i := range created {
		w := h.sized[i%len(h.sized)]
		working.Go(func() (err error) {
			created[i], _, err = a.largestOf(ctx, fmt.Sprintf("large-%03d", h.n-1-i), w.way, []int{w.size})
			switch {
			case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
				return nil
			case err == nil && created[i] == nil:
				err = fmt.Errorf("the API server refuses what it accepted before: %s by its %s", h.kind, w.field)
			}
			return err
		})
	}
	err := working.Wait()
	h.objects = append(h.objects, slices.DeleteFunc(created, func(o client.Object) bool { return o == nil })...)
	return err
}

// largestOf creates an object of the first of the sizes, in KiB, that the API server accepts. It returns none, and 0, if it
// accepts none.
func (a *attack) largestOf(ctx context.Context, name string, w way, sizes []int) (client.Object, int, error) {
	for _, size := range sizes {
		o := w.build(name, size*kib)
		err := a.mallory.Create(ctx, o)
		switch {
		case err == nil && w.field == "managed fields" && !claims(o, size*kib/2):
			return metadataOf(o), 0, nil // the API server did not keep them
		case err == nil:
			return metadataOf(o), size, nil
		case ctx.Err() != nil:
			return nil, 0, ctx.Err()
		case apierrors.IsForbidden(err) || apierrors.IsAlreadyExists(err):
			return nil, 0, err
		}
	}
	return nil, 0, nil
}

// claims reports whether the managed fields of an object are as large as that.
func claims(o client.Object, size int) bool {
	n := 0
	for _, m := range o.GetManagedFields() {
		if m.FieldsV1 != nil {
			n += len(m.FieldsV1.GetRawBytes())
		}
	}
	return n >= size
}

// metadataOf is an object of the same kind and name without all else.
func metadataOf(o client.Object) client.Object {
	m := metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()}
	switch o.(type) {
	case *v1alpha1.StsCredential:
		return &v1alpha1.StsCredential{ObjectMeta: m}
	case *corev1.Pod:
		return &corev1.Pod{ObjectMeta: m}
	default:
		return &corev1.Secret{ObjectMeta: m}
	}
}

// edit patches the tenant's objects as fast as the API server accepts it, until ctx ends. The channel is closed then.
func (a *attack) edit(ctx context.Context) (done chan struct{}) {
	done = make(chan struct{})
	var working errgroup.Group
	for e := range editors {
		throws := dice(a.throws.Uint64(), uint64(e))
		objects := a.objects
		if e%2 == 0 {
			objects = a.objects[:len(a.plain)] // which are small: the API server accepts many more edits of these
		}
		working.Go(func() error {
			for ctx.Err() == nil {
				if a.editOne(ctx, throws, objects) == nil {
					a.edits.Add(1)
				}
			}
			return nil
		})
	}
	go func() { _ = working.Wait(); close(done) }()
	return done
}

// editOne makes one edit to one of the objects.
func (a *attack) editOne(ctx context.Context, throws *rand.Rand, objects []client.Object) error {
	target := objects[throws.IntN(len(objects))]
	value := fmt.Sprintf("%d", throws.Uint64())
	merge := map[string]any{"metadata": map[string]any{"labels": map[string]any{"edit": value}}}
	switch target.(type) {
	case *v1alpha1.StsCredential:
		merge = credentialEdit(throws, value)
	case *corev1.Pod:
		merge = map[string]any{"metadata": map[string]any{"annotations": map[string]any{ownPrefix + "restarted-for": "c=" + value}}}
	}
	raw, err := json.Marshal(merge)
	if err != nil {
		return err
	}
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: hostileNamespace, Name: target.GetName()}}
	gvk, err := a.api.GroupVersionKindFor(target)
	if err != nil {
		return err
	}
	o.SetGroupVersionKind(gvk)
	return a.mallory.Patch(ctx, o, client.RawPatch(types.MergePatchType, raw))
}

// credentialEdit is a change to an StsCredential that the operator cannot ignore.
func credentialEdit(throws *rand.Rand, value string) map[string]any {
	switch throws.IntN(4) {
	case 0:
		return map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1alpha1.AnnotationRenewRequestedAt: value}}}
	case 1:
		return map[string]any{"spec": map[string]any{"duration": []string{"15m", "30m", "1h"}[throws.IntN(3)]}}
	case 2:
		return map[string]any{"spec": map[string]any{"suspend": throws.IntN(2) == 0}}
	default:
		return map[string]any{"spec": map[string]any{"secret": map[string]any{"labels": map[string]any{"edit": value}}}}
	}
}

// attackRow is the result of one run.
type attackRow struct {
	watchList       bool
	peak            float64
	processes       int
	quiet           observer.Punctuality
	edits, requests float64 // a second
	violations      int
}

// judge compares a run with the limits.
func (a *attack) judge(watchList bool) attackRow {
	now := time.Now()
	row := attackRow{
		watchList: watchList, peak: a.measured.peak(), processes: a.measured.processes(), quiet: a.observer.Punctuality(quietNamespace, now),
		edits: float64(a.edits.Load()) / a.editsLast.Seconds(), requests: a.measured.requestRate(),
	}
	for _, wrong := range row.wrong() {
		a.observer.Violate(now, wrong)
	}
	if a.fleet.exits > 0 {
		a.observer.Violate(now, fmt.Sprintf("the operator ended by itself %d times", a.fleet.exits))
	}
	row.violations = len(a.observer.Violations())
	return row
}

// wrong returns what exceeds its limit.
func (r attackRow) wrong() (all []string) {
	q := r.quiet
	for _, bound := range []struct {
		exceeded bool
		what     string
	}{
		{r.peak > peakBound, fmt.Sprintf("the operator's peak RSS is %s, above %s", mebibytes(r.peak), mebibytes(peakBound))},
		{r.processes <= restarts, fmt.Sprintf("only %d processes were measured", r.processes)},
		{q.Issued < q.Kept || q.Kept == 0, fmt.Sprintf("%d of %d credentials in another namespace were issued", q.Issued, q.Kept)},
		{q.Slowest > promptness(r.watchList), fmt.Sprintf("a credential in another namespace was issued after %s", q.Slowest.Round(time.Second/10))},
		{q.Renewed < q.Kept/2, fmt.Sprintf("%d renewals in another namespace are too few for %d credentials", q.Renewed, q.Kept)},
		{q.Latest > promptness(r.watchList), fmt.Sprintf("a credential in another namespace was renewed %s after a third of its life was left", q.Latest.Round(time.Second/10))},
	} {
		if bound.exceeded {
			all = append(all, bound.what)
		}
	}
	return all
}
