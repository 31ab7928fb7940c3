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

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// writeManifest writes a Deployment as it might stand in Git, and returns what runs kubectl with it.
func (env *environment) writeManifest(d *appsv1.Deployment) (kubectl func(args ...string)) {
	env.Helper()
	fromGit := &appsv1.Deployment{TypeMeta: d.TypeMeta, Spec: *d.Spec.DeepCopy()}
	fromGit.APIVersion, fromGit.Kind, fromGit.Namespace, fromGit.Name = "apps/v1", "Deployment", d.Namespace, d.Name
	content, err := json.Marshal(fromGit)
	env.Must(err)
	file := filepath.Join(env.TempDir(), "deployment.json")
	env.Must(os.WriteFile(file, content, 0o600))
	return func(args ...string) {
		env.Helper()
		args = append(args, "--filename="+file, "--kubeconfig="+cluster.Kubeconfig())
		command := exec.CommandContext(env.Context(), filepath.Join(cluster.Assets(), "kubectl"), args...)
		if output, err := command.CombinedOutput(); err != nil {
			env.Fatalf("kubectl %v: %v: %s", args, err, output)
		}
	}
}

// restarted returns an environment in which a Deployment, of which a tool applies a manifest, was restarted after a renewal.
func restarted(t *testing.T, apply ...string) (env *environment, d *appsv1.Deployment, kubectl func(args ...string)) {
	env = newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	d = env.createDeployment("env", byEnvFrom("orders"))
	kubectl = env.writeManifest(d)
	kubectl(apply...)
	pod := env.createPodOf(d, "a")
	env.Step(halfway)
	env.reconcile(c)
	if len(env.restartAnnotations("Deployment", "env")) == 0 {
		t.Fatal("it was not restarted")
	}
	env.Step(time.Minute)
	env.deletePod(pod)
	env.createPodOf(d, "b")
	return env, d, kubectl
}

// Tools that apply leave the restart annotation on a workload, on the client's side as on the server's.
func TestRestartAnnotationsSurviveApply(t *testing.T) {
	for name, apply := range map[string][]string{
		"by the client": {"apply"},
		"by the server": {"apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller"},
	} {
		t.Run(name, func(t *testing.T) {
			env, _, kubectl := restarted(t, apply...)
			before := env.restartAnnotations("Deployment", "env")
			kubectl(apply...)
			env.wantRestartAnnotations("Deployment", "env", before)
		})
	}
}

// A tool that removes the restart annotation restarts the workload once, by doing so, and the operator does not restart it again.
func TestNoLoopWithToolsThatRevert(t *testing.T) {
	env, d, kubectl := restarted(t, "apply")
	kubectl("replace")
	env.wantRestartAnnotations("Deployment", "env", map[string]string{})
	env.createPodOf(d, "c")
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(d), d))
	reverted := d.ResourceVersion
	c := &v1alpha1.StsCredential{}
	env.Must(api.Get(env.Context(), client.ObjectKey{Namespace: env.Namespace, Name: "orders"}, c))
	for range 3 {
		env.reconcile(c)
		env.Step(10 * time.Minute)
	}
	if now := env.resourceVersion(d); now != reverted {
		t.Error("the operator wrote to the workload again")
	}
	env.wantConsumers(c, 2, 0, time.Time{})
	env.WantCalls(2)
}
