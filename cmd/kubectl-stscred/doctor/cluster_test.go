// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// healthyCluster is a cluster with an operator in which nothing is wrong.
func healthyCluster() *Snapshot {
	return &Snapshot{
		LocalTime: now, ServerTime: now, PluginVersion: "v1.0.0", AllNamespaces: true,
		CRDs: map[string]*unstructured.Unstructured{},
		Operators: []appsv1.Deployment{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sts-system", Name: "sts-credential-operator"},
			Spec: appsv1.DeploymentSpec{
				Replicas: ptr.To[int32](2), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "sts"}},
				Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: ManagerContainer, Image: "registry.example.com:5000/sts-credential-operator:v1.0.0", Args: []string{"--leader-elect"},
					Env:     []corev1.EnvVar{{Name: variableNoECS, Value: "true"}},
					EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: usualSecretName}, Optional: ptr.To(true)}}},
				}}}},
			},
			Status: appsv1.DeploymentStatus{ReadyReplicas: 2},
		}},
		OperatorSecrets: map[types.NamespacedName]*corev1.Secret{operatorSecret: {Data: map[string][]byte{variableID: []byte("LTAIxxxx"), variableSecret: []byte("xxxx")}}},
		Leases: []coordinationv1.Lease{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sts-system", Name: "sts-credential-operator"},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("pod-1"), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: &metav1.MicroTime{Time: now}},
		}},
		Namespaces: map[string]*corev1.Namespace{"shop": {ObjectMeta: metav1.ObjectMeta{Name: "shop"}}},
		Grants:     []v1alpha1.StsRoleGrant{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: v1alpha1.StsRoleGrantSpec{Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"shop"}}}}},
		Credentials: []v1alpha1.StsCredential{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"},
			Status:     v1alpha1.StsCredentialStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}},
		}},
	}
}

var operatorSecret = types.NamespacedName{Namespace: "sts-system", Name: usualSecretName}

// onAlibabaCloud adds a node of a region.
func onAlibabaCloud(s *Snapshot, region string) {
	s.Nodes = append(s.Nodes, corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelTopologyRegion: region}},
		Spec:       corev1.NodeSpec{ProviderID: region + ".i-abc"},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	})
}

func kubeletLease(s *Snapshot, at time.Time) {
	s.NodeLeases = append(s.NodeLeases, coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}, Spec: coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: at}}})
}

func container(s *Snapshot) *corev1.Container {
	return &s.Operators[0].Spec.Template.Spec.Containers[0]
}

// waiting makes the operator wait for a reason.
func waiting(s *Snapshot, status corev1.ContainerStatus) {
	s.Operators[0].Status.ReadyReplicas = 0
	s.OperatorPods = []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sts-system", Name: "pod-1", Labels: map[string]string{"app": "sts"}},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{status}},
	}}
}

func TestClusterChecks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		given   func(*Snapshot)
		want    string // the check; empty if there is no finding
		message string // a part of it
		fix     string // a part of it
	}{
		{name: "healthy", given: func(*Snapshot) {}},
		{name: "no CRD", given: func(s *Snapshot) { s.CRDs["stscredentials.sts.alibabacloud.com"] = nil }, want: "crd-missing", message: "stscredentials.sts.alibabacloud.com is missing", fix: "kubectl apply --server-side --force-conflicts -k config/crd"},
		{name: "nothing is installed", given: func(s *Snapshot) { s.CRDs["stscredentials.sts.alibabacloud.com"], s.Operators = nil, nil }, want: "operator-missing", fix: "config/default"},
		{name: "this machine is ahead", given: func(s *Snapshot) { s.LocalTime = now.Add(2 * time.Minute) }, want: "clock-skew-local", message: "2m0s ahead of that"},
		{name: "this machine is a little behind", given: func(s *Snapshot) { s.LocalTime = now.Add(-time.Minute) }},
		{name: "a node is ahead", given: func(s *Snapshot) { kubeletLease(s, now.Add(10*time.Minute)) }, want: "clock-skew-node", message: "10m0s ahead of"},
		{name: "a ready node is behind", given: func(s *Snapshot) { onAlibabaCloud(s, "cn-hangzhou"); kubeletLease(s, now.Add(-10*time.Minute)) }, want: "clock-skew-node", message: "10m0s behind"},
		{name: "a node that is gone has an old lease", given: func(s *Snapshot) { kubeletLease(s, now.Add(-time.Hour)) }},
		{name: "no replicas", given: func(s *Snapshot) { s.Operators[0].Spec.Replicas = ptr.To[int32](0) }, want: "operator-not-running", message: "scaled to 0", fix: "--replicas=2"},
		{name: "crash loop", given: func(s *Snapshot) {
			waiting(s, corev1.ContainerStatus{Name: ManagerContainer, RestartCount: 7, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: "x\n--sts-qps must be more than 0"}}})
		}, want: "operator-not-running", message: "pod pod-1 crashed 7 times; last, it exited with code 1 (Error). --sts-qps must be more than 0", fix: "--previous"},
		{name: "out of memory", given: func(s *Snapshot) {
			waiting(s, corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled"}}})
		}, want: "operator-not-running", message: "more memory than its limit", fix: "--limits=memory=512Mi"},
		{name: "no image", given: func(s *Snapshot) {
			waiting(s, corev1.ContainerStatus{Image: "x:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}})
		}, want: "operator-not-running", message: `cannot pull image "x:1"`, fix: "set image"},
		{name: "no lease", given: func(s *Snapshot) { s.Leases = nil }, want: "operator-not-leading", message: "does not exist", fix: "rollout restart"},
		{name: "old lease", given: func(s *Snapshot) { s.Leases[0].Spec.RenewTime = &metav1.MicroTime{Time: now.Add(-time.Hour)} }, want: "operator-not-leading", message: "renewed 1h0m0s ago, by pod-1"},
		{name: "released lease", given: func(s *Snapshot) { s.Leases[0].Spec.HolderIdentity = ptr.To("") }, want: "operator-not-leading", message: "has no holder"},
		{name: "the lease could not be read", given: func(s *Snapshot) {
			s.Leases, s.Unread = nil, []Unread{{Resource: `lease "sts-credential-operator" in namespace "sts-system"`}}
		}},
		{name: "no leader election", given: func(s *Snapshot) { s.Leases = nil; container(s).Args = []string{"--leader-elect=false"} }},
		{name: "no Secret", given: func(s *Snapshot) { s.OperatorSecrets[operatorSecret] = nil }, want: "operator-identity-missing", message: "Secret sts-operator does not exist", fix: "create secret generic sts-operator"},
		{name: "no Secret, and nobody needs it", given: func(s *Snapshot) {
			s.OperatorSecrets[operatorSecret] = nil
			s.Credentials[0].Spec.Identity = &v1alpha1.IdentitySpec{ServiceAccount: &v1alpha1.ServiceAccountIdentity{Name: "x"}}
		}},
		{name: "no Secret, which pods wait for", given: func(s *Snapshot) {
			s.OperatorSecrets[operatorSecret] = nil
			container(s).EnvFrom[0].SecretRef.Optional = nil
			s.Operators[0].Status.ReadyReplicas = 0
		}, want: "operator-secret-missing"},
		{name: "other keys", given: func(s *Snapshot) {
			s.OperatorSecrets[operatorSecret].Data = map[string][]byte{"accessKeyId": []byte("x"), "accessKeySecret": []byte("x")}
		}, want: "operator-identity-missing", message: "has the keys accessKeyId, accessKeySecret, and not"},
		{name: "half a key", given: func(s *Snapshot) { delete(s.OperatorSecrets[operatorSecret].Data, variableSecret) }, want: "operator-identity-incomplete", message: variableSecret + " is not set"},
		{name: "no token", given: func(s *Snapshot) {
			s.OperatorSecrets[operatorSecret].Data[variableID] = []byte("STS.xxxx")
			s.Operators[0].Status.ReadyReplicas = 0
		}, want: "operator-token-missing", message: "temporary AccessKey ID"},
		{name: "the node's role by accident", given: func(s *Snapshot) {
			s.OperatorSecrets[operatorSecret], container(s).Env = nil, nil
		}, want: "operator-node-role", fix: variableNoECS + "=true"},
		{name: "the node's role on purpose", given: func(s *Snapshot) {
			s.OperatorSecrets[operatorSecret] = nil
			container(s).Env[0].Value = "false"
		}},
		{name: "the node's role by the chart", given: func(s *Snapshot) {
			container(s).Env, container(s).EnvFrom = nil, nil
			s.Operators[0].Labels = map[string]string{helmChartLabel: "sts-credential-operator-1.0.0"}
		}},
		{name: "RRSA", given: func(s *Snapshot) {
			s.OperatorSecrets[operatorSecret] = nil
			container(s).Env = append(container(s).Env, corev1.EnvVar{Name: "ALIBABA_CLOUD_OIDC_TOKEN_FILE", Value: "/token"})
		}},
		{name: "RRSA is not injected", given: func(s *Snapshot) {
			s.OperatorSecrets[operatorSecret] = nil
			s.Operators[0].Spec.Template.Labels = map[string]string{injectionLabel: "on"}
			waiting(s, corev1.ContainerStatus{})
			s.Operators[0].Status.ReadyReplicas = 2
		}, want: "operator-rrsa-not-injected"},
		{name: "the region of the nodes", given: func(s *Snapshot) { onAlibabaCloud(s, "cn-hangzhou") }},
		{name: "another region by default", given: func(s *Snapshot) { onAlibabaCloud(s, "cn-beijing") }, want: "sts-region", message: "in region cn-hangzhou, and the nodes are in cn-beijing", fix: "ALIBABA_CLOUD_STS_REGION=cn-beijing"},
		{name: "another region by flag", given: func(s *Snapshot) {
			onAlibabaCloud(s, "cn-beijing")
			container(s).Args = []string{"--leader-elect", "--region=cn-shanghai", "--vpc-endpoint"}
		}, want: "sts-region", message: "only from its own region", fix: `"replace","path":"/spec/template/spec/containers/0/args/1","value":"--region=cn-beijing"`},
		{name: "another region by endpoint", given: func(s *Snapshot) {
			onAlibabaCloud(s, "cn-beijing")
			container(s).Args = []string{"--sts-endpoint=https://sts-vpc.cn-shanghai.aliyuncs.com"}
		}, want: "sts-region", fix: "https://sts-vpc.cn-beijing.aliyuncs.com"},
		{name: "an endpoint of its own", given: func(s *Snapshot) {
			onAlibabaCloud(s, "cn-beijing")
			container(s).Args = []string{"--sts-endpoint=https://sts.example.com"}
		}},
		{name: "a grant without namespace", given: func(s *Snapshot) { s.Grants[0].Spec.Namespaces.Names[0] = "warehouse" }, want: "grant-unused", message: `there is no namespace "warehouse"`, fix: "kubectl delete stsrolegrant shop"},
		{name: "a grant for a similar namespace", given: func(s *Snapshot) { s.Grants[0].Spec.Namespaces.Names[0] = "shpo" }, want: "grant-unused", message: "Similar namespaces: shop", fix: `{"spec":{"namespaces":{"names":["shop"]}}}`},
		{name: "not all namespaces are known", given: func(s *Snapshot) { s.Grants[0].Spec.Namespaces.Names[0], s.AllNamespaces = "shpo", false }},
		{name: "late renewals", given: func(s *Snapshot) {
			s.Credentials[0].Status.RenewAt = &metav1.Time{Time: now.Add(-10 * time.Minute)}
			s.Credentials = append(s.Credentials, s.Credentials[0])
		}, want: "renewals-late", message: "2 StsCredentials", fix: `{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--sts-qps=40"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := healthyCluster()
			tt.given(s)
			var found []Finding
			for _, check := range clusterChecks {
				if check.needs == nil || check.needs(s) {
					for _, f := range check.find(s) {
						f.Check = check.name
						found = append(found, f)
					}
				}
			}
			if tt.want == "" {
				if len(found) > 0 {
					t.Errorf("found %+v, want nothing", found)
				}
				return
			}
			if len(found) != 1 || found[0].Check != tt.want || !strings.Contains(found[0].Message, tt.message) || !strings.Contains(found[0].Fix, tt.fix) {
				t.Errorf("found %+v, want one of %s with %q and %q", found, tt.want, tt.message, tt.fix)
			}
		})
	}
}

func TestMissingFields(t *testing.T) {
	schema := map[string]any{"properties": map[string]any{"apiVersion": map[string]any{}, "kind": map[string]any{}, "spec": map[string]any{
		"properties": map[string]any{"roleARNs": map[string]any{}, "namespaces": map[string]any{"properties": map[string]any{"names": map[string]any{}}}},
	}}}
	got := missingFields(schema, reflect.TypeFor[v1alpha1.StsRoleGrant](), "")
	if want := []string{"spec.namespaces.selector", "spec.allow", "spec.maxDuration", "spec.policy"}; !slices.Equal(got, want) {
		t.Errorf("missingFields = %v, want %v", got, want)
	}
}

func TestOneEditApart(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"shop", "shop", false},
		{"shpo", "shop", true},
		{"sho", "shop", true},
		{"shops", "shop", true},
		{"chop", "shop", true},
		{"store", "shop", false},
		{"opsh", "shop", false},
	} {
		if got := oneEditApart(tt.a, tt.b); got != tt.want {
			t.Errorf("oneEditApart(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}
