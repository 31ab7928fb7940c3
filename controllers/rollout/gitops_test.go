// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// manifest writes a Deployment as it might stand in Git, and returns what runs kubectl with it.
func (w *world) manifest(d *appsv1.Deployment) (kubectl func(args ...string)) {
	w.Helper()
	fromGit := &appsv1.Deployment{TypeMeta: d.TypeMeta, Spec: *d.Spec.DeepCopy()}
	fromGit.APIVersion, fromGit.Kind, fromGit.Namespace, fromGit.Name = "apps/v1", "Deployment", d.Namespace, d.Name
	content, err := json.Marshal(fromGit)
	w.must(err)
	dir := w.TempDir()
	file, kubeconfig := filepath.Join(dir, "deployment.json"), filepath.Join(dir, "kubeconfig")
	w.must(os.WriteFile(file, content, 0o600))
	w.must(plane.WriteKubeconfig(kubeconfig))
	return func(args ...string) {
		w.Helper()
		command := exec.CommandContext(w.ctx, filepath.Join(plane.Assets(), "kubectl"), append(args, "--filename="+file, "--kubeconfig="+kubeconfig)...)
		if output, err := command.CombinedOutput(); err != nil {
			w.Fatalf("kubectl %v: %v: %s", args, err, output)
		}
	}
}

// restarted is a world in which a Deployment, of which a tool applies a manifest, was restarted after a renewal.
func restarted(t *testing.T, apply ...string) (w *world, d *appsv1.Deployment, kubectl func(args ...string)) {
	w = restarting(t)
	c := w.credential("orders", automatic)
	w.pass(c)
	d = w.deployment("env", byEnvFrom("orders"))
	kubectl = w.manifest(d)
	kubectl(apply...)
	pod := w.podOf(d, "a")
	w.step(halfway)
	w.pass(c)
	if len(w.stamps("Deployment", "env")) == 0 {
		t.Fatal("it was not restarted")
	}
	w.step(time.Minute)
	w.gone(pod)
	w.podOf(d, "b")
	return w, d, kubectl
}

// Tools that apply leave the stamp on a workload, on the client's side as on the server's.
func TestStampsSurviveApplying(t *testing.T) {
	for name, apply := range map[string][]string{
		"by the client": {"apply"},
		"by the server": {"apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, kubectl := restarted(t, apply...)
			before := w.stamps("Deployment", "env")
			kubectl(apply...)
			w.wantStamps("Deployment", "env", before)
		})
	}
}

// A tool that takes the stamp away restarts the workload once, by doing so, and the operator does not answer.
func TestNoLoopWithToolsThatRevert(t *testing.T) {
	w, d, kubectl := restarted(t, "apply")
	kubectl("replace")
	w.wantStamps("Deployment", "env", map[string]string{})
	w.podOf(d, "c")
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(d), d))
	reverted := d.ResourceVersion
	c := w.credentialNamed(w.ctx, w.namespace, "orders")
	for range 3 {
		w.pass(c)
		w.step(10 * time.Minute)
	}
	if now := w.version(d); now != reverted {
		t.Error("the operator wrote to the workload again")
	}
	w.wantConsumers(c, 2, 0, time.Time{})
	w.wantCalls(2)
}
