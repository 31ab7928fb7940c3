// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/docs"
)

const (
	agentName  = "stscred-agent"
	agentLabel = "sts.alibabacloud.com/agent"
	// agentValues switch the injection on in three namespaces: shop and web, which enforce the restricted Pod Security Standard, and
	// node, which enforces none. The image is that of the components in config.
	agentValues = "identity: {existingSecret: ram-user}\n" +
		"agent: {injection: {enabled: true, namespaces: [shop, web, node], image: 'sts-credential-operator:dev'}}\n"
)

// newInjectingCluster is a cluster whose API server adds the agent to labelled pods.
func newInjectingCluster(t *testing.T) *cluster {
	t.Helper()
	c := startCluster(t, controlplane.Options{Controllers: []string{
		"serviceaccount-controller", "resourcequota-controller", "deployment-controller", "replicaset-controller", "statefulset-controller", "job-controller",
	}})
	if !c.serves("admissionregistration.k8s.io/v1") {
		t.Skip("this Kubernetes has no MutatingAdmissionPolicy")
	}
	c.namespaces("shop", "web", "other")
	c.must(c.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "node"}}))
	c.eventually("a ServiceAccount in node", func() bool { return c.has(&corev1.ServiceAccount{}, "node", "default") })
	c.wantPrinted(c.helm(agentValues, "install", release, chart, "--create-namespace", "--values=-"),
		"✔ agent: new pods with the label sts.alibabacloud.com/agent: <Secret> get it, by MutatingAdmissionPolicy v1\n")
	c.injects()
	return c
}

// serves reports whether the API server serves MutatingAdmissionPolicy in a version.
func (c *cluster) serves(apiVersion string) bool {
	c.Helper()
	version, err := schema.ParseGroupVersion(apiVersion)
	c.must(err)
	_, err = c.api.RESTMapper().RESTMapping(version.WithKind("MutatingAdmissionPolicy").GroupKind(), version.Version)
	if err != nil && !meta.IsNoMatchError(err) {
		c.Fatal(err)
	}
	return err == nil
}

// injects waits until the API server has read the policy.
func (c *cluster) injects() {
	c.Helper()
	c.eventually("the policy", func() bool {
		pod, err := c.admit("shop", "metadata: {labels: {sts.alibabacloud.com/agent: orders}}\nspec: {containers: [{name: app, image: a}]}")
		return err == nil && len(pod.Spec.InitContainers) == 1
	})
}

// admit returns the pod that the API server makes of one in YAML.
func (c *cluster) admit(namespace, given string) (*corev1.Pod, error) {
	c.Helper()
	pod := &corev1.Pod{}
	c.must(yaml.UnmarshalStrict([]byte(given), pod))
	return pod, c.admitPod(namespace, pod)
}

// admitPod has the API server admit a pod, and changes it as the API server does. Whatever the namespace wants of containers, the
// pod's own have.
func (c *cluster) admitPod(namespace string, pod *corev1.Pod) error {
	pod.Namespace, pod.Name = namespace, "pod"
	if namespace != "node" {
		restrict(&pod.Spec)
	}
	return c.dryRun(pod)
}

func restrict(spec *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			if containers[i].SecurityContext != nil {
				continue
			}
			containers[i].SecurityContext = &corev1.SecurityContext{
				RunAsNonRoot: ptr.To(true), AllowPrivilegeEscalation: ptr.To(false),
				Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			}
		}
	}
}

// agent is the sidecar as the policy is meant to add it.
func agent(port int32) corev1.Container {
	return corev1.Container{
		Name: agentName, Image: fullName + ":dev", ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"/stscred-agent"},
		RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
		Env:           []corev1.EnvVar{podUID, {Name: "STSCRED_LISTEN", Value: "127.0.0.1:" + strconv.Itoa(int(port))}},
		Ports:         []corev1.ContainerPort{{Name: agentName, ContainerPort: port, Protocol: corev1.ProtocolTCP}},
		StartupProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/stscred-agent", "check"}}},
			PeriodSeconds: 1, TimeoutSeconds: 5, FailureThreshold: 300, SuccessThreshold: 1,
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true), RunAsNonRoot: ptr.To(true),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		VolumeMounts: []corev1.VolumeMount{{Name: agentName, MountPath: "/var/run/secrets/sts.alibabacloud.com", ReadOnly: true}},
	}
}

var podUID = corev1.EnvVar{Name: "STSCRED_TOKEN", ValueFrom: &corev1.EnvVarSource{
	FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.uid"},
}}

// agentVolume is the Secret as the policy is meant to add it.
func agentVolume(secret string) corev1.Volume {
	return corev1.Volume{Name: agentName, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: secret, DefaultMode: ptr.To[int32](0o644), Items: []corev1.KeyToPath{{Key: "credentials.json", Path: "credentials.json"}},
	}}}
}

// wantAgent compares the sidecar and the volume of a pod with what is meant. Kubernetes adds the mount of its own token.
func wantAgent(t *testing.T, pod *corev1.Pod, want corev1.Container, secret string) {
	t.Helper()
	if len(pod.Spec.InitContainers) == 0 || pod.Spec.InitContainers[0].Name != agentName {
		t.Fatalf("the agent is not the first of the init containers %v", names(pod.Spec.InitContainers))
	}
	got := pod.Spec.InitContainers[0]
	got.VolumeMounts = slices.DeleteFunc(slices.Clone(got.VolumeMounts), func(m corev1.VolumeMount) bool {
		return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount"
	})
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the agent: want -, got +\n%s", diff.Diff(want, got))
	}
	volumes := slices.DeleteFunc(slices.Clone(pod.Spec.Volumes), func(v corev1.Volume) bool { return v.Name != agentName })
	if !reflect.DeepEqual(volumes, []corev1.Volume{agentVolume(secret)}) {
		t.Errorf("the agent's volumes: %v", volumes)
	}
}

func names(containers []corev1.Container) (all []string) {
	for _, c := range containers {
		all = append(all, c.Name)
	}
	return all
}

// environment is what each container of a pod has in env, as name=value, except the agent.
func environmentOf(pod *corev1.Pod) map[string][]string {
	all := map[string][]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == agentName {
			continue
		}
		all[c.Name] = []string{}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
				e.Value = e.ValueFrom.FieldRef.FieldPath
			}
			all[c.Name] = append(all[c.Name], e.Name+"="+e.Value)
		}
	}
	return all
}

const (
	envToken   = "STSCRED_TOKEN=metadata.uid"
	envURI     = "ALIBABA_CLOUD_CREDENTIALS_URI=http://127.0.0.1:7171/v1/$(STSCRED_TOKEN)/credentials"
	envNoRole  = "ALIBABA_CLOUD_ECS_METADATA_DISABLED=true"
	envNoProxy = "NO_PROXY=127.0.0.1"
	envnoproxy = "no_proxy=127.0.0.1"
)

// The policy adds the agent to labelled pods, whatever they bring along, and touches no others.
func TestInjection(t *testing.T) {
	c := newInjectingCluster(t)
	all := []string{envToken, envURI, envNoRole}
	for _, tt := range []struct {
		name, namespace, given string
		want                   map[string][]string
		agent                  func(*corev1.Container)
	}{
		{name: "a plain pod", given: "spec: {containers: [{name: app, image: a}]}", want: map[string][]string{"app": all}},
		{
			name: "init containers and volumes of its own", given: `spec: {volumes: [{name: tmp, emptyDir: {}}], initContainers: [{name: migrate, image: a}, {name: mesh, image: a, restartPolicy: Always}],
  containers: [{name: app, image: a}, {name: log, image: a, env: [{name: A, value: b}]}]}`,
			want: map[string][]string{"migrate": all, "mesh": all, "app": all, "log": append(slices.Clone(all), "A=b")},
		},
		{
			name: "its own variables are kept", given: `spec: {containers: [{name: uri, image: a, env: [{name: ALIBABA_CLOUD_CREDENTIALS_URI, value: "http://127.0.0.1:1"}]},
  {name: token, image: a, env: [{name: STSCRED_TOKEN, value: mine}, {name: A, value: b}]}, {name: role, image: a, env: [{name: ALIBABA_CLOUD_ECS_METADATA_DISABLED, value: "false"}]}]}`,
			want: map[string][]string{
				"uri":   {envToken, envNoRole, "ALIBABA_CLOUD_CREDENTIALS_URI=http://127.0.0.1:1"},
				"token": {"STSCRED_TOKEN=mine", "A=b", envURI, envNoRole},
				"role":  {envToken, envURI, "ALIBABA_CLOUD_ECS_METADATA_DISABLED=false"},
			},
		},
		{
			name: "proxies of its own", given: `spec: {containers: [{name: http, image: a, env: [{name: HTTP_PROXY, value: p}]}, {name: https, image: a, env: [{name: https_proxy, value: p}]},
  {name: all, image: a, env: [{name: all_proxy, value: p}]}, {name: upper, image: a, env: [{name: HTTP_PROXY, value: p}, {name: NO_PROXY, value: .svc}]},
  {name: lower, image: a, env: [{name: HTTP_PROXY, value: p}, {name: no_proxy, value: .svc}]}]}`,
			want: map[string][]string{
				"http":  {envToken, envURI, envNoRole, envNoProxy, envnoproxy, "HTTP_PROXY=p"},
				"https": {envToken, envURI, envNoRole, envNoProxy, envnoproxy, "https_proxy=p"},
				"all":   {envToken, envURI, envNoRole, envNoProxy, envnoproxy, "all_proxy=p"},
				"upper": {envToken, envURI, envNoRole, "HTTP_PROXY=p", "NO_PROXY=.svc"},
				"lower": {envToken, envURI, envNoRole, "HTTP_PROXY=p", "no_proxy=.svc"},
			},
		},
		{
			name:  "a NO_PROXY that may be in envFrom",
			given: "spec: {containers: [{name: app, image: a, env: [{name: HTTP_PROXY, value: p}], envFrom: [{configMapRef: {name: proxy}}]}]}",
			want:  map[string][]string{"app": {envToken, envURI, envNoRole, "HTTP_PROXY=p"}},
		},
		{
			name: "another port", given: `{metadata: {annotations: {sts.alibabacloud.com/agent-port: "7272"}}, spec: {containers: [{name: app, image: a}]}}`,
			want:  map[string][]string{"app": {envToken, strings.Replace(envURI, "7171", "7272", 1), envNoRole}},
			agent: func(c *corev1.Container) { *c = agent(7272) },
		},
		{
			name: "the node's network", namespace: "node", given: "spec: {hostNetwork: true, containers: [{name: app, image: a}]}", want: map[string][]string{"app": all},
			agent: func(c *corev1.Container) { c.Ports = hostPort(7171) },
		},
		{
			name: "the node's network and another port", namespace: "node",
			given: `{metadata: {annotations: {sts.alibabacloud.com/agent-port: "7272"}}, spec: {hostNetwork: true, containers: [{name: app, image: a}]}}`,
			want:  map[string][]string{"app": {envToken, strings.Replace(envURI, "7171", "7272", 1), envNoRole}},
			agent: func(c *corev1.Container) { *c = agent(7272); c.Ports = hostPort(7272) },
		},
		{
			name: "a pod of root", namespace: "node", given: "spec: {securityContext: {runAsUser: 0}, containers: [{name: app, image: a}]}", want: map[string][]string{"app": all},
			agent: func(c *corev1.Container) { c.SecurityContext.RunAsUser = ptr.To[int64](65532) },
		},
		{name: "a pod of another user", given: "spec: {securityContext: {runAsUser: 1000}, containers: [{name: app, image: a}]}", want: map[string][]string{"app": all}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := labelled(t, tt.given, "orders.reader-1")
			c := &cluster{T: t, api: c.api}
			namespace := cmpOr(tt.namespace, "shop")
			c.must(c.admitPod(namespace, pod))
			want := agent(7171)
			if tt.agent != nil {
				tt.agent(&want)
			}
			wantAgent(t, pod, want, "orders.reader-1")
			if got := environmentOf(pod); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("variables: want -, got +\n%s", diff.Diff(tt.want, got))
			}
			again := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: *pod.Spec.DeepCopy()}
			c.must(c.admitPod(namespace, again))
			if !reflect.DeepEqual(again.Spec, pod.Spec) {
				t.Errorf("a pod that has the agent is changed: first -, then +\n%s", diff.Diff(pod.Spec, again.Spec))
			}
		})
	}
}

func hostPort(port int32) []corev1.ContainerPort {
	return []corev1.ContainerPort{{Name: agentName, HostIP: "127.0.0.1", HostPort: port, ContainerPort: port, Protocol: corev1.ProtocolTCP}}
}

func cmpOr(given, otherwise string) string {
	if given == "" {
		return otherwise
	}
	return given
}

func labelled(t *testing.T, given, secret string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(given), pod); err != nil {
		t.Fatal(err)
	}
	pod.Labels = map[string]string{agentLabel: secret}
	return pod
}

// Pods that the policy does not match stay as they are, and what cannot work is refused.
func TestInjectionLeavesOut(t *testing.T) {
	c := newInjectingCluster(t)
	for _, tt := range []struct{ name, namespace, secret, given, refused string }{
		{name: "no label", namespace: "shop", given: "spec: {containers: [{name: app, image: a}]}"},
		{name: "another namespace", namespace: "other", secret: "orders", given: "spec: {containers: [{name: app, image: a}]}"},
		{name: "Windows", namespace: "node", secret: "orders", given: "spec: {os: {name: windows}, containers: [{name: app, image: a}]}"},
		{name: "Windows by its node", namespace: "node", secret: "orders", given: "spec: {nodeSelector: {kubernetes.io/os: windows}, containers: [{name: app, image: a}]}"},
		{name: "a label without a name", namespace: "shop", secret: "", given: "{metadata: {labels: {sts.alibabacloud.com/agent: ''}}, spec: {containers: [{name: app, image: a}]}}", refused: "secret.secretName: Required value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &cluster{T: t, api: c.api}
			pod := &corev1.Pod{}
			c.must(yaml.UnmarshalStrict([]byte(tt.given), pod))
			if tt.secret != "" {
				metav1.SetMetaDataLabel(&pod.ObjectMeta, agentLabel, tt.secret)
			}
			err := c.admitPod(tt.namespace, pod)
			if tt.refused != "" {
				if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want it refused with %q", err, tt.refused)
				}
				t.Log(err)
				return
			}
			c.must(err)
			if len(pod.Spec.InitContainers) > 0 || len(pod.Spec.Containers[0].Env) > 0 {
				t.Errorf("the pod was changed: %+v", pod.Spec)
			}
		})
	}
}

// Containers that another policy adds afterwards get the variables too.
func TestInjectionIntoLaterContainers(t *testing.T) {
	c := newInjectingCluster(t)
	mesh := &unstructured.Unstructured{}
	c.must(yaml.Unmarshal([]byte(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: zz-mesh}
spec:
  reinvocationPolicy: Never
  matchConstraints:
    objectSelector: {matchLabels: {mesh: "on"}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  mutations:
    - patchType: JSONPatch
      jsonPatch:
        expression: "[JSONPatch{op: 'add', path: '/spec/containers/-', value: Object.spec.containers{name: 'mesh', image: 'm'}}]"
`), &mesh.Object))
	c.must(c.api.Create(t.Context(), mesh))
	c.must(c.api.Create(t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "zz-mesh"},
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: "zz-mesh"}}))
	var pod *corev1.Pod
	c.eventually("a pod with both", func() bool {
		pod = labelled(t, "spec: {containers: [{name: app, image: a}]}", "orders")
		pod.Labels["mesh"] = "on"
		c.must(c.admitPod("node", pod))
		return len(pod.Spec.Containers) == 2
	})
	wantAgent(t, pod, agent(7171), "orders")
	all := []string{envToken, envURI, envNoRole}
	if got := environmentOf(pod); !reflect.DeepEqual(got, map[string][]string{"app": all, "mesh": all}) || len(pod.Spec.InitContainers) != 1 {
		t.Errorf("variables %v, init containers %v", got, names(pod.Spec.InitContainers))
	}
}

// Pods of workloads get the agent in namespaces that enforce the restricted Pod Security Standard, with a quota of everything.
func TestInjectionIntoWorkloads(t *testing.T) {
	c := newInjectingCluster(t)
	c.must(c.api.Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "all"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
		"requests.cpu": resource.MustParse("1"), "requests.memory": resource.MustParse("1Gi"), "limits.cpu": resource.MustParse("2"), "limits.memory": resource.MustParse("1Gi"),
	}}}))
	const template = `{metadata: {labels: {app: %s, sts.alibabacloud.com/agent: orders}}, spec: {restartPolicy: %s, automountServiceAccountToken: false,
    containers: [{name: app, image: a, resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 10m, memory: 16Mi}}, securityContext: {runAsNonRoot: true,
      allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}}]}}`
	for _, workload := range []struct{ apiVersion, kind, name, spec, restart string }{
		{"apps/v1", "Deployment", "deployment", "selector: {matchLabels: {app: deployment}}", "Always"},
		{"apps/v1", "StatefulSet", "statefulset", "selector: {matchLabels: {app: statefulset}}", "Always"},
		{"batch/v1", "Job", "job", "backoffLimit: 1", "Never"},
	} {
		object := &unstructured.Unstructured{}
		c.must(yaml.Unmarshal(fmt.Appendf(nil, "{apiVersion: %s, kind: %s, metadata: {namespace: web, name: %s}, spec: {%s, template: %s}}",
			workload.apiVersion, workload.kind, workload.name, workload.spec, fmt.Sprintf(template, workload.name, workload.restart)), &object.Object))
		c.must(c.api.Create(t.Context(), object, client.FieldValidation("Strict")))
	}
	for _, name := range []string{"deployment", "statefulset", "job"} {
		var pods corev1.PodList
		c.eventually("a pod of the "+name, func() bool {
			c.must(c.api.List(t.Context(), &pods, client.InNamespace("web"), client.MatchingLabels{"app": name}))
			return len(pods.Items) == 1
		})
		wantAgent(t, &pods.Items[0], agent(7171), "orders")
		if mounts := pods.Items[0].Spec.InitContainers[0].VolumeMounts; len(mounts) != 1 {
			t.Errorf("the agent of the %s has the mounts %v", name, mounts)
		}
	}
}

// An API server that serves the beta version takes the policy in that version.
func TestInjectionBeta(t *testing.T) {
	c := startCluster(t, controlplane.Options{APIServerFlags: []string{"--runtime-config=admissionregistration.k8s.io/v1beta1=true"}})
	if !c.serves("admissionregistration.k8s.io/v1beta1") {
		t.Skip("this Kubernetes has no MutatingAdmissionPolicy")
	}
	c.namespaces("shop")
	out, err := helm(t, agentValues, "template", release, chart, "--kube-version=1.34.0", "--api-versions=admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy",
		"--show-only=templates/agent.yaml", "--values=-")
	c.must(err)
	for key, object := range parse(t, out) {
		if got := object.GetAPIVersion(); got != "admissionregistration.k8s.io/v1beta1" {
			t.Errorf("%s is of %s", key, got)
		}
		c.must(c.api.Create(t.Context(), object, client.FieldValidation("Strict")))
	}
	c.injects()
}

// The chart and the component of config install the same policy, and its v1beta1 variant differs in the version alone.
func TestInjectionSameAsKustomize(t *testing.T) {
	chart := rendered(t, "agent: {injection: {enabled: true, image: 'sts-credential-operator:dev'}}")
	component, beta := kustomized(t, "default", "agent-injection"), kustomized(t, "default", "agent-injection-v1beta1")
	for _, key := range []string{"MutatingAdmissionPolicy " + fullName + "-agent", "MutatingAdmissionPolicyBinding " + fullName + "-agent"} {
		got, want, old := chart.get(t, key).Object, component.get(t, key).Object, beta.get(t, key).Object
		if !reflect.DeepEqual(got["spec"], want["spec"]) || got["apiVersion"] != want["apiVersion"] {
			t.Errorf("%s: config -, the chart +\n%s", key, diff.Diff(want["spec"], got["spec"]))
		}
		if !reflect.DeepEqual(old["spec"], want["spec"]) || old["apiVersion"] != "admissionregistration.k8s.io/v1beta1" {
			t.Errorf("%s in agent-injection-v1beta1: %v", key, old)
		}
	}
}

// agentDeployment has what the component agent-sidecar needs.
const agentDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: node}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders, sts.alibabacloud.com/agent: orders}}
    spec:
      containers: [{name: app, image: a, env: []}]
`

// The component for clusters without the API makes a pod that the policy would not change.
func TestSidecarComponentSameAsInjection(t *testing.T) {
	out := built(t, "resources: [deployment.yaml]\ncomponents: [COMPONENTS/agent-sidecar]\nimages: [{name: sts-credential-operator, newTag: v1}]\n",
		map[string]string{"deployment.yaml": agentDeployment})
	var deployment appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(parse(t, out).get(t, "Deployment node/orders").Object, &deployment); err != nil {
		t.Fatal(err)
	}
	c := newInjectingCluster(t)
	pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
	c.must(c.admitPod("node", pod))
	want := agent(7171)
	want.Image = fullName + ":v1"
	wantAgent(t, pod, want, "orders")
	injected := labelled(t, "spec: {containers: [{name: app, image: a}]}", "orders")
	c.must(c.admitPod("node", injected))
	if !reflect.DeepEqual(environmentOf(pod), environmentOf(injected)) || len(pod.Spec.InitContainers) != 1 {
		t.Errorf("the component gives the variables %v, the policy %v", environmentOf(pod), environmentOf(injected))
	}
}

// A port that is none is refused with a message that fits into an event, whatever the pod's network.
func TestInjectionRefusesPorts(t *testing.T) {
	c := newInjectingCluster(t)
	const maxEvent = 1024
	for _, port := range []string{"abc", "", "1e3", " 7171", "7171 ", "+7171", "07171", "0x1c03", "0", "-1", "65536", "99999", "9223372036854775808"} {
		for _, hostNetwork := range []bool{false, true} {
			pod := labelled(t, "spec: {containers: [{name: app, image: a}]}", "orders")
			pod.Annotations = map[string]string{"sts.alibabacloud.com/agent-port": port}
			pod.Spec.HostNetwork = hostNetwork
			err := c.admitPod("node", pod)
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.initContainers[0].ports[0].containerPort: Invalid value: ") || len(err.Error()) > maxEvent {
				t.Errorf("port %q, hostNetwork %v: %v", port, hostNetwork, err)
			}
		}
	}
	for _, port := range []int32{1, 65535} {
		pod := labelled(t, "spec: {containers: [{name: app, image: a}]}", "orders")
		pod.Annotations = map[string]string{"sts.alibabacloud.com/agent-port": strconv.Itoa(int(port))}
		c.must(c.admitPod("node", pod))
		wantAgent(t, pod, agent(port), "orders")
	}
}

// A pod with very many variables is within the API server's budget for the policy.
func TestInjectionIntoLargePods(t *testing.T) {
	c := newInjectingCluster(t)
	pod := labelled(t, "spec: {containers: []}", "orders")
	for i := range 100 {
		container := corev1.Container{Name: fmt.Sprintf("app-%d", i), Image: "a"}
		for j := range 300 {
			container.Env = append(container.Env, corev1.EnvVar{Name: fmt.Sprintf("A_%d", j), Value: "b"})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, container)
	}
	c.must(c.admitPod("node", pod))
	wantAgent(t, pod, agent(7171), "orders")
}

// The check on the page of the agent prints what it says.
func TestInjectionPage(t *testing.T) {
	c := newInjectingCluster(t)
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	c.must(c.api.Patch(t.Context(), shop, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": null}}}`))))
	page, err := docs.Read(root, "docs/agent.md")
	c.must(err)
	c.must(page.Play(t.Context(), c.reader(), "TestInjectionPage"))
}

// The patch on the page of the agent sets the image of the policy.
func TestInjectionImagePatch(t *testing.T) {
	page, err := docs.Read(root, "docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(page.Blocks, func(b docs.Block) bool { return b.Run == "TestInjectionImagePatch" })
	if i < 0 {
		t.Fatal("the page has no such block")
	}
	out := built(t, page.Blocks[i].Text+"components: [COMPONENTS/agent-injection]\n", nil)
	if !strings.Contains(out, "expression: '''registry.example.com/sts-credential-operator:v1.2.3'''") || strings.Contains(out, "sts-credential-operator:dev") {
		t.Errorf("the image is not patched:\n%s", out)
	}
}

// built is what kustomize makes of a kustomization, in which COMPONENTS is the folder of the components, and further files.
func built(t *testing.T, kustomization string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	absolute, err := filepath.Abs(root + "/config/components")
	if err != nil {
		t.Fatal(err)
	}
	components, err := filepath.Rel(dir, absolute)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"kustomization.yaml": strings.ReplaceAll(kustomization, "COMPONENTS", components)}
	maps.Copy(all, files)
	for name, content := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := command(t, "", "go", "tool", "-modfile="+root+"/hack/tools/go.mod", "kustomize", "build", dir)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
