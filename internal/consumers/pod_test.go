// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func podFrom(t *testing.T, text string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return pod
}

// at returns a time of the day of all tests.
func at(t *testing.T, clock string) time.Time {
	t.Helper()
	if clock == "" {
		return time.Time{}
	}
	moment, err := time.Parse(time.RFC3339, "2026-11-22T"+clock+"Z")
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

// The pods here started at 10:00 and their containers, as a rule, at 10:05.
func TestHowPodsRead(t *testing.T) {
	const running = `
status:
  startTime: "2026-11-22T10:00:00Z"
  containerStatuses: [{name: main, state: {running: {startedAt: "2026-11-22T10:05:00Z"}}}]
`
	for _, tt := range []struct {
		name, given string
		how         How
		since       string // empty: holds nothing for good
	}{
		{"not at all", "spec: {containers: [{name: main}]}" + running, 0, ""},
		{"another Secret", "spec: {containers: [{name: main, envFrom: [{secretRef: {name: other}}]}]}" + running, 0, ""},
		{"a ConfigMap of its name", "spec: {containers: [{name: main, envFrom: [{configMapRef: {name: orders}}]}]}" + running, 0, ""},
		{"to pull images", "spec: {imagePullSecrets: [{name: orders}], containers: [{name: main}]}" + running, 0, ""},
		{"a variable", "spec: {containers: [{name: main, env: [{name: ID, valueFrom: {secretKeyRef: {name: orders, key: id}}}]}]}" + running, Env, "10:05:00"},
		{"an optional variable", "spec: {containers: [{name: main, env: [{name: ID, valueFrom: {secretKeyRef: {name: orders, key: id, optional: true}}}]}]}" + running, Env, "10:05:00"},
		{"all variables", "spec: {containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]}" + running, EnvFrom, "10:05:00"},
		{"all variables, optional", "spec: {containers: [{name: main, envFrom: [{secretRef: {name: orders, optional: true}}]}]}" + running, EnvFrom, "10:05:00"},
		{"a volume", "spec: {volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v}]}]}" + running, Volume, ""},
		{"an optional volume", "spec: {volumes: [{name: v, secret: {secretName: orders, optional: true}}], containers: [{name: main}]}" + running, Volume, ""},
		{"a projected volume", "spec: {volumes: [{name: v, projected: {sources: [{configMap: {name: a}}, {secret: {name: orders}}]}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v}]}]}" + running, Volume, ""},
		{"a file of a volume", "spec: {volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v, subPath: id}]}]}" + running, SubPath | Volume, "10:00:00"},
		{"a file named by a variable", "spec: {volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v, subPathExpr: $(F)}]}]}" + running, SubPath | Volume, "10:00:00"},
		{"a file of a projected volume", "spec: {volumes: [{name: v, projected: {sources: [{secret: {name: orders}}]}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v, subPath: id}]}]}" + running, SubPath | Volume, "10:00:00"},
		{"a file and the whole volume", "spec: {volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b, subPath: id}]}]}" + running, SubPath | Volume, "10:00:00"},
		{"a file of another volume", "spec: {volumes: [{name: v, secret: {secretName: orders}}, {name: w, emptyDir: {}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /w, subPath: id}]}]}" + running, Volume, ""},
		{"through the agent", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {initContainers: [{name: stscred-agent, restartPolicy: Always}], volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main}]}" + running, Agent | Volume, ""},
		{"through the agent, without its volume", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {initContainers: [{name: stscred-agent, restartPolicy: Always}], containers: [{name: main}]}" + running, Agent, ""},
		{"through the agent and by variables", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {initContainers: [{name: stscred-agent, restartPolicy: Always}], volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]}" + running, Agent | EnvFrom | Volume, "10:05:00"},
		{"through the agent and a file of the volume", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {initContainers: [{name: stscred-agent, restartPolicy: Always}], volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v, subPath: id}]}]}" + running, Agent | SubPath | Volume, "10:00:00"},
		{"by variables, and another through the agent", "metadata: {labels: {sts.alibabacloud.com/agent: other}}\nspec: {initContainers: [{name: stscred-agent, restartPolicy: Always}], containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]}" + running, EnvFrom, "10:05:00"},
		{"with the label and without the agent", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {containers: [{name: main}]}" + running, 0, ""},
		{"with the label, by variables and without the agent", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]}" + running, EnvFrom, "10:05:00"},
		{"with the label, a volume and without the agent", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {volumes: [{name: v, secret: {secretName: orders}}], initContainers: [{name: other}], containers: [{name: main}]}" + running, Volume, ""},
		{"with the label and a container that only has the agent's name", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {containers: [{name: stscred-agent}]}" + running, 0, ""},
		{"with the agent and without the label", "spec: {initContainers: [{name: stscred-agent, restartPolicy: Always}], containers: [{name: main}]}" + running, 0, ""},
		{"variables and a volume", "spec: {volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, envFrom: [{secretRef: {name: orders}}], volumeMounts: [{name: v, mountPath: /v}]}]}" + running, EnvFrom | Volume, "10:05:00"},
		{"before it runs", "spec: {containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]}", EnvFrom, ""},
		{"while it waits for a restart", `
spec: {containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]}
status:
  containerStatuses: [{name: main, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, startedAt: "2026-11-22T10:05:00Z"}}}]
`, EnvFrom, ""},
		{"after it has ended", `
spec: {containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}, {name: other}]}
status:
  containerStatuses: [{name: main, state: {terminated: {exitCode: 0, startedAt: "2026-11-22T10:05:00Z"}}}]
`, EnvFrom, ""},
		{"by the older of two containers", `
spec: {containers: [{name: young, envFrom: [{secretRef: {name: orders}}]}, {name: old, envFrom: [{secretRef: {name: orders}}]}, {name: older}]}
status:
  containerStatuses:
    - {name: young, state: {running: {startedAt: "2026-11-22T10:09:00Z"}}}
    - {name: old, state: {running: {startedAt: "2026-11-22T10:08:00Z"}}}
    - {name: older, state: {running: {startedAt: "2026-11-22T10:07:00Z"}}}
`, EnvFrom, "10:08:00"},
		{"to be prepared", `
spec: {initContainers: [{name: init, envFrom: [{secretRef: {name: orders}}]}], containers: [{name: main}]}
status:
  initContainerStatuses: [{name: init, state: {terminated: {exitCode: 0, startedAt: "2026-11-22T10:01:00Z"}}}]
`, EnvFrom, "10:01:00"},
		{"while it is prepared", `
spec: {initContainers: [{name: init, envFrom: [{secretRef: {name: orders}}]}], containers: [{name: main}]}
status:
  initContainerStatuses: [{name: init, state: {running: {startedAt: "2026-11-22T10:01:00Z"}}}]
`, EnvFrom, "10:01:00"},
		{"in a sidecar", `
spec: {initContainers: [{name: side, restartPolicy: Always, envFrom: [{secretRef: {name: orders}}]}], containers: [{name: main}]}
status:
  initContainerStatuses: [{name: side, state: {running: {startedAt: "2026-11-22T10:02:00Z"}}}]
`, EnvFrom, "10:02:00"},
		{"in a sidecar that has ended, and will be started again", `
spec: {initContainers: [{name: side, restartPolicy: Always, envFrom: [{secretRef: {name: orders}}]}], containers: [{name: main}]}
status:
  initContainerStatuses: [{name: side, state: {terminated: {exitCode: 1, startedAt: "2026-11-22T10:02:00Z"}}}]
`, EnvFrom, ""},
		{"to be debugged", `
spec: {ephemeralContainers: [{name: debug, envFrom: [{secretRef: {name: orders}}]}], containers: [{name: main}]}
status:
  ephemeralContainerStatuses: [{name: debug, state: {running: {startedAt: "2026-11-22T10:30:00Z"}}}]
`, EnvFrom, "10:30:00"},
		{"when it was debugged", `
spec: {ephemeralContainers: [{name: debug, envFrom: [{secretRef: {name: orders}}]}], containers: [{name: main}]}
status:
  ephemeralContainerStatuses: [{name: debug, state: {terminated: {exitCode: 0, startedAt: "2026-11-22T10:30:00Z"}}}]
`, EnvFrom, ""},
		{"a file, since a restart of its container", `
spec: {volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v, subPath: id}]}]}
status:
  startTime: "2026-11-22T10:00:00Z"
  containerStatuses: [{name: main, state: {running: {startedAt: "2026-11-22T11:00:00Z"}}}]
`, SubPath | Volume, "10:00:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := podFrom(t, tt.given)
			pod.CreationTimestamp = metav1.NewTime(at(t, "10:00:00"))
			if pod.Status.StartTime == nil {
				pod.Status.StartTime = &pod.CreationTimestamp
			}
			r, reads := strippedPod(t, pod).Reads["orders"]
			if reads != (tt.how != 0) || r.How != tt.how || !r.Since.Equal(at(t, tt.since)) {
				t.Errorf("got %v %+v, want %v since %s", reads, r, tt.how, tt.since)
			}
			if refreshes := tt.how&^(Volume|Agent) == 0; r.How.refreshes() != refreshes {
				t.Errorf("refreshes by itself: %v", !refreshes)
			}
		})
	}
}

// The time of a container's start is by the API server's clock, however wrong that of the node is.
func TestStartsAreByTheAPIServersClock(t *testing.T) {
	const text = `
metadata: {creationTimestamp: "2026-11-22T10:00:00Z"}
spec: {containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]}
status:
  conditions: [{type: PodScheduled, status: %q, lastTransitionTime: "2026-11-22T%sZ"}]
  startTime: "2026-11-22T%sZ"
  containerStatuses: [{name: main, state: {running: {startedAt: "2026-11-22T%sZ"}}}]
`
	for _, tt := range []struct{ name, scheduled, at, taken, started, want string }{
		{"right", "True", "10:00:00", "10:00:01", "10:00:06", "10:00:05"},
		{"ten minutes ahead", "True", "10:00:00", "10:10:01", "10:10:06", "10:00:05"},
		{"ten minutes behind", "True", "10:00:00", "09:50:01", "09:50:06", "10:00:05"},
		{"the container was started again later", "True", "10:00:00", "09:50:00", "11:50:00", "12:00:00"},
		{"the pod waited for a node", "True", "12:00:00", "12:00:00", "12:00:05", "12:00:05"},
		{"the pod waited for a node that is behind", "True", "12:00:00", "11:50:00", "11:50:05", "12:00:05"},
		{"not known when it was given to a node", "False", "12:00:00", "10:00:00", "10:00:05", "10:00:05"},
		{"given to a node before it was there, which nothing can be", "True", "09:00:00", "10:00:00", "10:00:05", "10:00:05"},
		{"the clock was set back in between", "True", "10:00:00", "10:10:00", "10:05:00", "10:00:00"},
	} {
		pod := strippedPod(t, podFrom(t, fmt.Sprintf(text, tt.scheduled, tt.at, tt.taken, tt.started)))
		if got := pod.Reads["orders"]; !got.Since.Equal(at(t, tt.want)) || !got.Ran.Equal(at(t, tt.want)) {
			t.Errorf("%s: since %v, ran %v, want %s", tt.name, got.Since, got.Ran, tt.want)
		}
		want := at(t, "10:00:00")
		if tt.scheduled == "True" && tt.at > "10:00:00" {
			want = at(t, tt.at)
		}
		if !pod.Created.Equal(want) || !pod.Started.Equal(want) {
			t.Errorf("%s: created %v, started %v", tt.name, pod.Created, pod.Started)
		}
	}
}

// Whether a container can start without the Secret is known, and when the first did.
func TestReadsThatAreOptional(t *testing.T) {
	const status = `
metadata: {creationTimestamp: "2026-11-22T10:00:00Z"}
status:
  startTime: "2026-11-22T10:00:00Z"
  containerStatuses: [{name: main, state: {running: {startedAt: "2026-11-22T10:05:00Z"}}}]
`
	for _, tt := range []struct {
		spec     string
		optional bool
		since    string
	}{
		{spec: "containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]", since: "10:05:00"},
		{spec: "containers: [{name: main, envFrom: [{secretRef: {name: orders, optional: true}}]}]", since: "10:05:00", optional: true},
		{spec: "containers: [{name: main, env: [{name: A, valueFrom: {secretKeyRef: {name: orders, key: a}}}]}]", since: "10:05:00"},
		{spec: "containers: [{name: main, env: [{name: A, valueFrom: {secretKeyRef: {name: orders, key: a, optional: true}}}]}]", since: "10:05:00", optional: true},
		{spec: "volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v, subPath: a}]}]", since: "10:00:00"},
		{spec: "volumes: [{name: v, secret: {secretName: orders, optional: true}}], containers: [{name: main, volumeMounts: [{name: v, mountPath: /v, subPath: a}]}]", since: "10:00:00", optional: true},
		{spec: "volumes: [{name: v, projected: {sources: [{secret: {name: orders, optional: true}}]}}], containers: [{name: main}]", optional: true},
		{spec: "volumes: [{name: v, secret: {secretName: orders}}], containers: [{name: main}]"},
		{spec: "containers: [{name: main, envFrom: [{secretRef: {name: orders}}, {secretRef: {name: orders, optional: true}}]}]", since: "10:05:00", optional: true},
	} {
		got := strippedPod(t, podFrom(t, "spec: {"+tt.spec+"}"+status)).Reads["orders"]
		if got.Optional != tt.optional || !got.Since.Equal(at(t, tt.since)) || !got.Ran.Equal(at(t, "10:05:00")) {
			t.Errorf("%s: %+v", tt.spec, got)
		}
	}
}

// Whether a pod ends by itself is known, and the time by which it does.
func TestPodsThatEnd(t *testing.T) {
	for _, tt := range []struct {
		spec     string
		ends     bool
		deadline string
	}{
		{"restartPolicy: Always", false, ""},
		{"restartPolicy: OnFailure", true, ""},
		{"restartPolicy: Never", true, ""},
		{"restartPolicy: Never, activeDeadlineSeconds: 3600", true, "11:00:00"},
		{"restartPolicy: Always, activeDeadlineSeconds: 60", true, "10:01:00"},
	} {
		got := strippedPod(t, podFrom(t, "spec: {"+tt.spec+"}\nmetadata: {creationTimestamp: \"2026-11-22T10:00:00Z\"}"))
		if got.Ends != tt.ends || !got.Deadline.Equal(at(t, tt.deadline)) {
			t.Errorf("%s: ends %v, by %v", tt.spec, got.Ends, got.Deadline)
		}
	}
}

// The API server accepts any text as the name of a Secret in a volume. It does not make the pod a reader of another Secret.
func TestForgedNamesOfSecrets(t *testing.T) {
	for _, name := range []string{
		"none 2 1,orders 2 1", "none 2 1 1,orders 2 1 1", "orders 2 1 1,", " orders", "orders\t", "orders\n2", "orders,orders", "Orders", strings.Repeat("o", 254), "",
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{
			{Name: "a", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}},
			{Name: "b", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: name}}},
			}}}},
		}}}
		if got := strippedPod(t, pod).Reads; len(got) != 0 {
			t.Errorf("%q: reads %v", name, got)
		}
	}
	longest := strings.Repeat("o", 253)
	pod := podFrom(t, "spec: {volumes: [{name: v, secret: {secretName: "+longest+"}}]}")
	if got := strippedPod(t, pod).Reads; got[longest].How != Volume {
		t.Errorf("a name of 253 bytes: reads %v", got)
	}
}

// strippedPod strips a pod twice, as informers may, and reads what is left.
func strippedPod(t *testing.T, pod *corev1.Pod) Pod {
	t.Helper()
	once, err := Strip(pod.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	twice, err := Strip(once)
	if err != nil || !reflect.DeepEqual(once, twice) {
		t.Fatalf("stripping twice: %v, %v", twice, err)
	}
	return PodOf(twice.(*corev1.Pod))
}

func TestWorkloadOfPods(t *testing.T) {
	const owned = "metadata: {labels: {%s: abc, app: a}, ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: u, controller: true}]}"
	for _, tt := range []struct {
		name, given string
		want        Workload
	}{
		{"without a workload", "metadata: {}", Workload{}},
		{"a Deployment's", fmt.Sprintf(owned, "pod-template-hash", "apps/v1", "ReplicaSet", "orders-v1-abc"), Workload{"Deployment", "orders-v1"}},
		{"a Rollout's", fmt.Sprintf(owned, "rollouts-pod-template-hash", "apps/v1", "ReplicaSet", "orders-abc"), Workload{"Rollout", "orders"}},
		{"a ReplicaSet's", fmt.Sprintf(owned, "x", "apps/v1", "ReplicaSet", "orders-abc"), Workload{}},
		{"a ReplicaSet's of another name", fmt.Sprintf(owned, "pod-template-hash", "apps/v1", "ReplicaSet", "orders"), Workload{}},
		{"a StatefulSet's", fmt.Sprintf(owned, "x", "apps/v1", "StatefulSet", "orders"), Workload{"StatefulSet", "orders"}},
		{"a DaemonSet's", fmt.Sprintf(owned, "x", "apps/v1", "DaemonSet", "orders"), Workload{"DaemonSet", "orders"}},
		{"a CloneSet's", fmt.Sprintf(owned, "x", "apps.kruise.io/v1alpha1", "CloneSet", "orders"), Workload{"CloneSet", "orders"}},
		{"a StatefulSet's of another group", fmt.Sprintf(owned, "x", "apps.kruise.io/v1beta1", "StatefulSet", "orders"), Workload{}},
		{"a Job's", fmt.Sprintf(owned, "x", "batch/v1", "Job", "orders"), Workload{}},
		{"not controlled", "metadata: {ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: orders, uid: u}]}", Workload{}},
	} {
		if got := strippedPod(t, podFrom(t, tt.given)).Workload; got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A user cannot create a pod that counts as stripped, to fill the memory or to choose what it reads.
func TestForgedPods(t *testing.T) {
	pod := podFrom(t, `
kind: Pod
metadata:
  annotations: {padding: "`+strings.Repeat("x", 1000)+`"}
  labels: {a: b}
spec: {containers: [{name: main}]}
status: {reason: StrippedPod, message: '{"Reads":{"orders":{"How":1}}}'}
`)
	stripped, _ := Strip(pod)
	if got := PodOf(stripped.(*corev1.Pod)); len(got.Reads) != 0 {
		t.Errorf("reads %v", got.Reads)
	}
	if kept := stripped.(*corev1.Pod); len(kept.Annotations)+len(kept.Labels)+len(kept.Spec.Containers) != 0 {
		t.Errorf("kept %+v", kept)
	}
	other := &corev1.Secret{}
	if same, err := Strip(other); same != other || err != nil {
		t.Errorf("another object becomes %v, %v", same, err)
	}
}

func TestSame(t *testing.T) {
	base := `
metadata: {name: a}
spec: {containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}]}
status:
  startTime: "2026-11-22T10:00:00Z"
  containerStatuses: [{name: main, ready: %s, state: {running: {startedAt: "2026-11-22T10:0%d:00Z"}}}]
`
	strip := func(text string, change func(*corev1.Pod)) *corev1.Pod {
		pod := podFrom(t, text)
		change(pod)
		stripped, _ := Strip(pod)
		return stripped.(*corev1.Pod)
	}
	nothing := func(*corev1.Pod) {}
	was := strip(fmt.Sprintf(base, "false", 5), nothing)
	for _, tt := range []struct {
		name string
		now  *corev1.Pod
		want bool
	}{
		{"ready now", strip(fmt.Sprintf(base, "true", 5), nothing), true},
		{"restarted", strip(fmt.Sprintf(base, "false", 6), nothing), false},
		{"being deleted", strip(fmt.Sprintf(base, "false", 5), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }), false},
		{"not accepted by the kubelet", strip(fmt.Sprintf(base, "false", 5), func(p *corev1.Pod) { p.Status.StartTime = nil }), false},
	} {
		if Same(was, tt.now) != tt.want {
			t.Errorf("%s: same = %v", tt.name, !tt.want)
		}
	}
}

// The memory of a pod in the cache. docs/rollouts.md has the numbers; the bound here is for other compilers.
func TestMemoryOfPods(t *testing.T) {
	const n, bound = 2000, 2500
	size := func(make func(i int) any) uint64 {
		all := []any{}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			all = append(all, make(i))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(all)
		return (after.HeapAlloc - before.HeapAlloc) / n
	}
	wire, err := json.Marshal(podFrom(t, typicalPod))
	if err != nil {
		t.Fatal(err)
	}
	whole := func(i int) *corev1.Pod {
		pod := &corev1.Pod{}
		if err := json.Unmarshal(wire, pod); err != nil {
			t.Fatal(err)
		}
		pod.Name = fmt.Sprint("orders-abc-", i)
		return pod
	}
	stripped := size(func(i int) any { s, _ := Strip(whole(i)); return s })
	none := size(func(i int) any {
		pod := whole(i)
		pod.Spec.Containers[0].EnvFrom = nil
		s, _ := Strip(pod)
		return s
	})
	full := size(func(i int) any { return whole(i) })
	t.Logf("bytes per pod: %d stripped, %d of them where it reads no Secret, %d whole", stripped, none, full)
	if stripped > bound || none > stripped {
		t.Errorf("a stripped pod takes %d bytes, one that reads nothing %d", stripped, none)
	}
}

const typicalPod = `
metadata:
  namespace: shop
  labels: {app: orders, pod-template-hash: abc, team: shop}
  annotations: {prometheus.io/scrape: "true", kubectl.kubernetes.io/restartedAt: "2026-11-22T10:00:00Z"}
  resourceVersion: "123456"
  uid: 0f5ae0a8-6f5c-4d2b-9f2e-2f0b6b1f2a11
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: orders-abc, uid: 0f5ae0a8-6f5c-4d2b-9f2e-2f0b6b1f2a12, controller: true}]
  creationTimestamp: "2026-11-22T10:00:00Z"
spec:
  volumes: [{name: token, projected: {sources: [{serviceAccountToken: {path: token, expirationSeconds: 3607}}, {configMap: {name: kube-root-ca.crt}}]}}]
  containers:
    - name: main
      image: registry.example.com/shop/orders:1.2.3
      args: [serve, --listen=:8080]
      env: [{name: A, value: b}, {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
      envFrom: [{secretRef: {name: orders}}]
      resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
      volumeMounts: [{name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]
      livenessProbe: {httpGet: {path: /healthz, port: 8080}}
  nodeName: node-1
  serviceAccountName: orders
  tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}]
status:
  phase: Running
  startTime: "2026-11-22T10:00:00Z"
  podIP: 10.0.0.1
  conditions: [{type: Ready, status: "True"}, {type: ContainersReady, status: "True"}, {type: Initialized, status: "True"}, {type: PodScheduled, status: "True"}]
  containerStatuses: [{name: main, ready: true, image: registry.example.com/shop/orders:1.2.3, imageID: "sha256:0123", containerID: "containerd://0123", state: {running: {startedAt: "2026-11-22T10:05:00Z"}}}]
`
