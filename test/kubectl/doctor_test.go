// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

// report is what doctor -o json prints.
type report struct {
	Findings []struct{ Check, Object, Message, Fix string }
	Unread   []struct{ Resource string }
}

// doctor runs doctor with -o json as a cluster admin.
func (e *environment) doctor(arguments ...string) (r report, got result) {
	e.Helper()
	got = e.run(e.plane.Kubeconfig(), append([]string{"doctor", "-o", "json"}, arguments...)...)
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		e.Fatalf("%v: %s", err, got)
	}
	return r, got
}

// shell runs what doctor prints as a user pastes it: from the repository's root, with kubectl and the plugin on the PATH.
func (e *environment) shell(script string) {
	e.Helper()
	root, err := controlplane.RepositoryRoot()
	e.must(err)
	process := exec.CommandContext(e.Context(), "bash", "-euo", "pipefail", "-c", script)
	process.Dir = root
	process.Env = e.shellVariables()
	if output, err := process.CombinedOutput(); err != nil {
		e.Fatalf("%v: %s\n%s", err, script, output)
	}
}

// shellVariables returns the environment of a cluster admin's shell, with kubectl and the plugin on the PATH.
func (e *environment) shellVariables() []string {
	return append(os.Environ(), "KUBECONFIG="+e.plane.Kubeconfig(), "PATH="+e.plane.Assets()+":"+filepath.Dir(e.plugin)+":"+os.Getenv("PATH"),
		"ALIBABA_CLOUD_ACCESS_KEY_ID=LTAI5tExampleExample0000", "ALIBABA_CLOUD_ACCESS_KEY_SECRET=abcdefghijklmnopqrstuvwxyz0123")
}

// ready says in the status of the operator's Deployment that its pods are ready, as the controllers and nodes of a cluster would.
func (e *environment) ready() {
	e.Helper()
	d := &appsv1.Deployment{}
	if err := e.api.Get(e.Context(), client.ObjectKey{Namespace: "sts-system", Name: "sts-credential-operator"}, d); err != nil {
		return // a set-up deletes it
	}
	replicas := ptr.Deref(d.Spec.Replicas, 1)
	if d.Status.ReadyReplicas == replicas {
		return
	}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas}
	_ = e.api.Status().Update(e.Context(), d) // a conflict is retried
}

// forgetRestart removes the time of the operator's last restart, because kubectl refuses to restart a Deployment twice in a second.
func (e *environment) forgetRestart() {
	e.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "sts-system", Name: "sts-credential-operator"}}
	none := []byte(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":null}}}}}`)
	e.must(client.IgnoreNotFound(e.api.Patch(e.Context(), d, client.RawPatch(types.MergePatchType, none))))
}

// lease lets a replica renew the lease at a time.
func (e *environment) lease(at time.Time) {
	e.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "sts-system", Name: "sts-credential-operator"}}
	exists := e.api.Get(e.Context(), client.ObjectKeyFromObject(lease), lease) == nil
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: ptr.To("sts-credential-operator-1"), LeaseDurationSeconds: ptr.To[int32](3600), RenewTime: &metav1.MicroTime{Time: at}}
	if exists {
		e.must(e.api.Update(e.Context(), lease))
		return
	}
	e.must(e.api.Create(e.Context(), lease))
}

// installed brings the operator's objects into the state in which doctor finds nothing.
func (e *environment) installed() {
	e.Helper()
	e.shell(`kubectl -n sts-system delete deployment sts-credential-operator --ignore-not-found
kubectl -n sts-system delete secret sts-operator --ignore-not-found
kubectl apply --server-side --force-conflicts -k ` + e.overlay() + `
kubectl -n sts-system create secret generic sts-operator --from-literal=ALIBABA_CLOUD_ACCESS_KEY_ID="$ALIBABA_CLOUD_ACCESS_KEY_ID" \
  --from-literal=ALIBABA_CLOUD_ACCESS_KEY_SECRET="$ALIBABA_CLOUD_ACCESS_KEY_SECRET"`)
	e.lease(time.Now())
	e.clean("-A")
}

// clean waits until doctor finds nothing, while the operator becomes ready.
func (e *environment) clean(arguments ...string) {
	e.Helper()
	var got result
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		e.ready()
		if _, got = e.doctor(arguments...); got.status == 0 {
			return
		}
		if time.Now().After(deadline) {
			e.Fatalf("doctor %v is not clean: %s", arguments, got)
		}
	}
}

// brokenSetups are set-ups in which one thing is wrong with the cluster. They follow each other in one cluster: the fix of each
// leaves a state in which doctor finds nothing. The last two change how the Deployment reads its Secret.
var brokenSetups = []struct {
	name   string
	given  func(*environment)
	want   string             // the only finding
	repair func(*environment) // what the test does after the fix, as a person or a node would
}{
	{name: "scaled-down", given: kubectl("-n sts-system scale deployment/sts-credential-operator --replicas=0"), want: "operator-not-running"},
	{name: "no-operator", given: kubectl("-n sts-system delete deployment sts-credential-operator"), want: "operator-missing"},
	{name: "old-lease", given: func(e *environment) { e.lease(time.Now().Add(-2 * time.Hour)) }, want: "operator-not-leading",
		repair: func(e *environment) { e.lease(time.Now()) }},
	{name: "no-lease", given: kubectl("-n sts-system delete lease sts-credential-operator"), want: "operator-not-leading",
		repair: func(e *environment) { e.lease(time.Now()) }},
	{name: "no-secret", given: kubectl("-n sts-system delete secret sts-operator"), want: "operator-identity-missing"},
	{name: "secret-with-other-keys", given: kubectl(`-n sts-system patch secret sts-operator --type=json -p '[{"op":"replace","path":"/data","value":{"accessKeyId":"eA=="}}]'`), want: "operator-identity-missing"},
	{name: "half-a-key", given: kubectl(`-n sts-system patch secret sts-operator --type=json -p '[{"op":"remove","path":"/data/ALIBABA_CLOUD_ACCESS_KEY_SECRET"}]'`), want: "operator-identity-incomplete"},
	{name: "no-token", given: kubectl(`-n sts-system patch secret sts-operator -p '{"stringData":{"ALIBABA_CLOUD_ACCESS_KEY_ID":"STS.abc"}}'`), want: "operator-token-missing"},
	{name: "other-region", given: func(e *environment) {
		e.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelTopologyRegion: "cn-beijing"}}, Spec: corev1.NodeSpec{ProviderID: "cn-beijing.i-abc"}})
	}, want: "sts-region"},
	{name: "grant-for-nobody", given: func(e *environment) {
		e.create(&v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: "nobody"}, Spec: v1alpha1.StsRoleGrantSpec{
			Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"warehouse"}}, RoleARNs: []v1alpha1.RoleARNPattern{role},
		}})
	}, want: "grant-unused"},
	{name: "old-crd", given: kubectl(`patch crd stsrolegrants.sts.alibabacloud.com --type=json ` +
		`-p '[{"op":"remove","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/maxDuration"}]'`), want: "crd-version"},
	{name: "required-secret", given: func(e *environment) {
		e.shell(`kubectl -n sts-system patch deployment sts-credential-operator --type=json -p '[{"op":"remove","path":"/spec/template/spec/containers/0/envFrom/0/secretRef/optional"}]'` +
			"\nkubectl -n sts-system delete secret sts-operator")
	}, want: "operator-secret-missing"},
	{name: "nodes-role", given: func(e *environment) {
		const optional = `[{"op":"add","path":"/spec/template/spec/containers/0/envFrom/0/secretRef/optional","value":true}]`
		e.shell("kubectl -n sts-system patch deployment sts-credential-operator --type=json -p '" + optional + "'\n" +
			"kubectl -n sts-system set env deployment/sts-credential-operator ALIBABA_CLOUD_ECS_METADATA_DISABLED-\n" +
			"kubectl -n sts-system delete secret sts-operator")
	}, want: "operator-node-role"},
}

// kubectl returns a step that runs one command.
func kubectl(arguments string) func(*environment) {
	return func(e *environment) { e.shell("kubectl " + arguments) }
}

// For each broken set-up, doctor finds the one thing that is wrong, and nothing after the fix that it prints.
func TestDoctorRepairsTheCluster(t *testing.T) {
	e := newEnvironment(t)
	e.credential("orders")
	e.installed()
	for _, tt := range brokenSetups {
		repaired := t.Run(tt.name, func(t *testing.T) {
			e := &environment{T: t, cluster: shared, namespace: e.namespace}
			tt.given(e)
			fix := e.wantOnly(tt.want, "-A")
			e.forgetRestart()
			e.shell(fix)
			if tt.repair != nil {
				tt.repair(e)
			}
			e.clean("-A")
		})
		if !repaired {
			e.installed()
		}
	}
}

// wantOnly waits until doctor finds one thing, and nothing else, and returns its fix.
func (e *environment) wantOnly(check string, arguments ...string) (fix string) {
	e.Helper()
	var got result
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		e.ready()
		var r report
		if r, got = e.doctor(arguments...); got.status == 1 && len(r.Findings) == 1 && r.Findings[0].Check == check {
			return r.Findings[0].Fix
		}
		if time.Now().After(deadline) {
			e.Fatalf("doctor finds not only %s: %s", check, got)
		}
	}
}

// doctor checks a namespace with exactly the rights that the page names. Without one of them it says which, and exits with 2.
func TestDoctorLeastPrivilege(t *testing.T) {
	e := newEnvironment(t)
	e.credential("orders")
	var rights []grant
	for _, r := range rightsOfPage(t) {
		if r.command == "doctor" {
			rights = append(rights, r.grant)
		}
	}
	var got result
	user := e.user("exact", rights...)
	e.eventually("doctor works with the rights of the page", func() bool {
		got = e.run(user, "doctor", "-n", e.namespace)
		return got.status == 0 && strings.Contains(got.String(), "0 findings in 1 StsCredential.")
	})
	for i, missing := range rights {
		user := e.user("without-"+missing.verb+"-"+missing.resource, slices.Delete(slices.Clone(rights), i, i+1)...)
		want := "may not " + missing.verb + " " + strings.TrimSuffix(missing.resource+"."+missing.group, ".")
		e.eventually("doctor says: "+want, func() bool {
			got = e.run(user, "doctor", "-n", e.namespace)
			return got.status == 2 && strings.Contains(got.String(), want)
		})
	}
}

// A user with rights in one namespace sees what is wrong there, and what could not be looked at.
func TestDoctorWithRightsInOneNamespace(t *testing.T) {
	e := newEnvironment(t)
	e.credential("orders")
	kubeconfig := e.user("tenant", grant{verb: "list", group: v1alpha1.GroupVersion.Group, resource: "stscredentials"}, grant{verb: "get", resource: "secrets"},
		grant{verb: "list", resource: "pods"})
	var got result
	e.eventually("doctor works", func() bool {
		got = e.run(kubeconfig, "doctor", "-n", e.namespace)
		return got.status == 0
	})
	e.wantAll(got.String(), "0 findings in 1 StsCredential.", "Could not look at:", "deployments of the operator:", "nodes:", "stsrolegrants:", "Ask for this right. Not checked:")
	if got := e.run(kubeconfig, "doctor", "-A"); got.status != 2 {
		t.Errorf("doctor -A without rights: %s", got)
	}
}
