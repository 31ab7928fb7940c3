// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// setup is a namespace with a RAM role and a grant of its own, in which one thing is wrong with an StsCredential.
type setup struct {
	*environment
	role     stsemulator.Role
	grant    *v1alpha1.StsRoleGrant
	ramCalls string // folder with a file for each call of the aliyun command
}

func newSetup(t *testing.T, name string) *setup {
	t.Helper()
	s := &setup{environment: &environment{T: t, cluster: shared, namespace: "setup-" + name}, ramCalls: t.TempDir()}
	s.role = stsemulator.Role{
		ARN: "acs:ram::" + account + ":role/" + name, MaxSessionDuration: 12 * time.Hour, Trust: trustOf("sts-operator", "app"),
	}
	s.emulator.AddRole(s.role)
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
	s.grant = &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(s.namespace)}},
		RoleARNs:   []v1alpha1.RoleARNPattern{v1alpha1.RoleARNPattern(s.role.ARN)},
	}}
	s.Cleanup(func() { // those of fixes
		var grants v1alpha1.StsRoleGrantList
		_ = s.api.List(context.Background(), &grants)
		for i := range grants.Items {
			if slices.Equal(grants.Items[i].Spec.RoleARNs, s.grant.Spec.RoleARNs) {
				_ = s.api.Delete(context.Background(), &grants.Items[i])
			}
		}
	})
	return s
}

// granted creates the grant.
func (s *setup) granted(change ...func(*v1alpha1.StsRoleGrantSpec)) {
	s.Helper()
	for _, f := range change {
		f(&s.grant.Spec)
	}
	s.create(s.grant)
}

// asks creates an StsCredential for the role of the set-up.
func (s *setup) asks(change ...func(*v1alpha1.StsCredential)) *v1alpha1.StsCredential {
	s.Helper()
	ofRole := func(c *v1alpha1.StsCredential) { c.Spec.RoleARN = s.role.ARN }
	return s.credential("orders", append([]func(*v1alpha1.StsCredential){ofRole}, change...)...)
}

// issued creates a grant, and an StsCredential that becomes ready.
func (s *setup) issued(change ...func(*v1alpha1.StsCredential)) *v1alpha1.StsCredential {
	s.Helper()
	s.granted()
	c := s.asks(change...)
	s.eventually("orders is ready", func() bool {
		s.must(s.api.Get(s.Context(), client.ObjectKeyFromObject(c), c))
		return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady)
	})
	return c
}

// renewed requests new credentials until they are issued, as a person does who does not wait for the operator's next attempt.
func renewed(s *setup) {
	s.Helper()
	s.eventually("orders is renewed", func() bool { return s.admin("renew", "orders", "--wait", "--timeout", "5s").status == 0 })
}

// secret creates a Secret.
func (s *setup) secret(name string, data map[string]string) {
	s.Helper()
	s.create(&corev1.Secret{ObjectMeta: s.meta(name), StringData: data})
}

// accessKey makes an StsCredential use the AccessKey in Secret ram-user.
func accessKey(c *v1alpha1.StsCredential) {
	c.Spec.Identity = &v1alpha1.IdentitySpec{AccessKey: &v1alpha1.AccessKeyIdentity{SecretName: "ram-user"}}
}

// restarts makes the operator restart workloads after renewals.
func restarts(c *v1alpha1.StsCredential) { c.Spec.Rollout.Mode = v1alpha1.RolloutAuto }

// fromSecret is a variable with the key of the same name of Secret orders.
func fromSecret(key string) corev1.EnvVar {
	return corev1.EnvVar{Name: key, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "orders"}, Key: key,
	}}}
}

// fromSecretAll are the variables that an SDK needs.
func fromSecretAll() (env []corev1.EnvVar) {
	for _, key := range sdkKeys {
		env = append(env, fromSecret(key))
	}
	return env
}

// workload creates a Deployment with one pod that runs. A new pod replaces it when the template changes.
func (s *setup) workload(template corev1.PodTemplateSpec) {
	s.Helper()
	d := s.deployment("web", template)
	d.Spec.Replicas = ptr.To[int32](1)
	s.create(d)
	name := client.ObjectKeyFromObject(d)
	go func() {
		for ; s.Context().Err() == nil; time.Sleep(100 * time.Millisecond) {
			_ = s.roll(name) // an error is retried
		}
	}()
	s.eventually("web runs", func() bool {
		s.must(s.api.Get(s.Context(), name, d))
		return d.Status.AvailableReplicas == 1
	})
}

// roll does for a Deployment what the controllers and kubelets of a cluster do.
func (s *setup) roll(name client.ObjectKey) error {
	d := &appsv1.Deployment{}
	if err := s.api.Get(s.Context(), name, d); err != nil || d.Spec.Paused || d.DeletionTimestamp != nil {
		return err
	}
	template, err := json.Marshal(d.Spec.Template)
	if err != nil {
		return err
	}
	digest := fnv.New32a()
	_, _ = digest.Write(template)
	hash := strconv.Itoa(int(digest.Sum32()))
	owned := metav1.ObjectMeta{
		Namespace: d.Namespace, Name: d.Name + "-" + hash, Labels: maps.Clone(d.Spec.Template.Labels), Annotations: d.Spec.Template.Annotations,
	}
	owned.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	replicaSet := &appsv1.ReplicaSet{ObjectMeta: owned, Spec: appsv1.ReplicaSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: owned.Labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: owned.Labels}, Spec: d.Spec.Template.Spec},
	}}
	replicaSet.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	if err := s.api.Create(s.Context(), replicaSet); apierrors.IsAlreadyExists(err) {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.api.DeleteAllOf(s.Context(), &corev1.Pod{}, client.InNamespace(d.Namespace), client.GracePeriodSeconds(0)); err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: owned, Spec: d.Spec.Template.Spec}
	owner := metav1.NewControllerRef(replicaSet, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	pod.OwnerReferences = []metav1.OwnerReference{*owner}
	if err := s.api.Create(s.Context(), pod); err != nil {
		return err
	}
	if err := s.runs(pod); err != nil {
		return err
	}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	return s.api.Status().Update(s.Context(), d)
}

// runs says in the status of a pod that its containers run.
func (s *setup) runs(p *corev1.Pod) error {
	now := metav1.Now()
	p.Status.Phase, p.Status.StartTime = corev1.PodRunning, &now
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for _, c := range p.Spec.Containers {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return s.api.Status().Update(s.Context(), p)
}

// refuses waits until the API server refuses new Secrets with a message.
func (s *setup) refuses(message string) {
	s.Helper()
	s.eventually("Secrets are refused", func() bool {
		err := s.api.Create(s.Context(), &corev1.Secret{ObjectMeta: s.meta("x")}, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), message)
	})
}

// commandAliyun records the calls of Alibaba Cloud CLI.
const commandAliyun = "#!/bin/sh\nprintf '%s\\0' \"$@\" >\"$(mktemp \"$RAM_CALLS/XXXXXX\")\"\n"

// repair runs a fix as a person does who sets the variables and writes the caller for which it asks, and applies its calls of RAM
// to the emulator.
func (s *setup) repair(fix string) {
	s.Helper()
	s.Log(fix)
	fix = strings.ReplaceAll(fix, doctor.UnknownPrincipal, "acs:ram::"+account+":user/sts-operator")
	key := s.emulator.AddUser(account, "app")
	s.shell(fmt.Sprintf("export RAM_CALLS=%s ACCESS_KEY_ID=%s ACCESS_KEY_SECRET=%s\n%s", s.ramCalls, key.ID, key.Secret, fix))
	files, err := os.ReadDir(s.ramCalls)
	s.must(err)
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(s.ramCalls, file.Name()))
		s.must(err)
		s.ram(strings.Split(string(bytes.TrimSuffix(raw, []byte{0})), "\x00"))
	}
}

// ram applies a call of Alibaba Cloud CLI to the emulator, which knows no policies of users.
func (s *setup) ram(words []string) {
	s.Helper()
	changed := s.role
	for i := 2; i+1 < len(words); i += 2 {
		switch words[i] {
		case "--RoleName":
			changed.ARN = "acs:ram::" + account + ":role/" + words[i+1]
		case "--AssumeRolePolicyDocument", "--NewAssumeRolePolicyDocument":
			changed.Trust = s.trust(words[i+1])
		}
	}
	if changed.ARN != s.role.ARN {
		s.Errorf("%v is about another role", words)
	}
	s.role = changed // the next call must not bring the former trust policy back
	s.emulator.AddRole(changed)
}

// trust reads a trust policy as RAM does.
func (s *setup) trust(document string) (statements []stsemulator.Statement) {
	s.Helper()
	var policy struct {
		Version   string
		Statement []struct {
			Effect, Action string
			Principal      struct{ RAM, Federated []string }
			Condition      struct{ StringEquals map[string]string }
		}
	}
	s.must(json.Unmarshal([]byte(document), &policy))
	for _, from := range policy.Statement {
		if policy.Version != "1" || from.Effect != "Allow" || from.Action != "sts:AssumeRole" {
			s.Errorf("RAM refuses this trust policy: %s", document)
		}
		to := stsemulator.Statement{RAM: from.Principal.RAM, Federated: from.Principal.Federated, StringEquals: map[string][]string{}}
		for key, value := range from.Condition.StringEquals {
			to.StringEquals[key] = []string{value}
		}
		statements = append(statements, to)
	}
	return statements
}

// setRole changes the role in RAM.
func (s *setup) setRole(change func(*stsemulator.Role)) {
	change(&s.role)
	s.emulator.AddRole(s.role)
}

// brokenCredentials are set-ups in which one thing is wrong with one StsCredential.
var brokenCredentials = []struct {
	name  string
	given func(*setup)
	want  string       // the only finding
	first func(*setup) // what the fix asks of a cluster administrator before its commands
	after func(*setup) // what the test does after the fix, as a person does
}{
	{name: "no-grant", given: func(s *setup) { s.asks() }, want: "role-not-granted"},
	{name: "role-in-other-case", given: func(s *setup) {
		s.granted()
		s.asks(func(c *v1alpha1.StsCredential) {
			c.Spec.RoleARN = strings.Replace(c.Spec.RoleARN, "role/role-", "role/Role-", 1)
		})
	}, want: "role-not-granted"},
	{name: "role-of-other-account", given: func(s *setup) {
		s.granted()
		s.asks(func(c *v1alpha1.StsCredential) {
			c.Spec.RoleARN = strings.Replace(c.Spec.RoleARN, account, "1234567890123457", 1)
		})
	}, want: "role-not-granted"},
	{name: "namespace-not-covered", given: func(s *setup) {
		s.granted(func(g *v1alpha1.StsRoleGrantSpec) { g.Namespaces.Names = []v1alpha1.NamespaceName{"default"} })
		s.asks()
	}, want: "role-not-granted"},
	{name: "duration-above-grant", given: func(s *setup) {
		s.granted(func(g *v1alpha1.StsRoleGrantSpec) { g.MaxDuration = duration("30m") })
		s.asks()
	}, want: "role-not-granted"},
	{name: "session-name-not-allowed", given: func(s *setup) {
		s.granted()
		s.asks(func(c *v1alpha1.StsCredential) { c.Spec.SessionName = "billing" })
	}, want: "role-not-granted"},
	{name: "source-identity-not-allowed", given: func(s *setup) {
		s.granted()
		s.asks(func(c *v1alpha1.StsCredential) { c.Spec.SourceIdentity = "alice" })
	}, want: "role-not-granted"},
	{name: "template-without-braces", given: func(s *setup) {
		s.granted()
		s.asks(func(c *v1alpha1.StsCredential) {
			c.Spec.Secret.Formats = []v1alpha1.SecretFormat{}
			c.Spec.Secret.Template = v1alpha1.SecretTemplate{Data: map[string]v1alpha1.TemplateText{"id": ".AccessKeyID"}}
		})
	}, want: "spec-invalid"},
	{name: "suspended", given: func(s *setup) {
		s.granted()
		s.asks(func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	}, want: "suspended"},
	{name: "not-trusted", given: func(s *setup) {
		s.setRole(func(r *stsemulator.Role) { r.Trust = trustOf("alice") })
		s.granted()
		s.asks()
	}, want: "role-not-trusted", after: renewed},
	{name: "external-id-not-trusted", given: func(s *setup) {
		s.setRole(func(r *stsemulator.Role) { r.Trust[0].StringEquals = map[string][]string{"sts:ExternalId": {"other"}} })
		s.granted()
		s.asks(func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "orders" })
	}, want: "role-not-trusted", after: renewed},
	{name: "no-role", given: func(s *setup) {
		s.emulator.RemoveRole(s.role.ARN)
		s.granted()
		s.asks()
	}, want: "role-not-found", after: renewed},
	{name: "duration-above-role", given: func(s *setup) {
		s.setRole(func(r *stsemulator.Role) { r.MaxSessionDuration = time.Hour })
		s.granted()
		s.asks(func(c *v1alpha1.StsCredential) { c.Spec.Duration = duration("2h") })
	}, want: "duration-too-long"},
	{name: "no-access-key", given: func(s *setup) { s.asks(accessKey) }, want: "access-key-missing"},
	{name: "empty-access-key", given: func(s *setup) {
		s.secret("ram-user", map[string]string{"user": "alice"})
		s.asks(accessKey)
	}, want: "access-key-missing"},
	{name: "access-key-under-other-keys", given: func(s *setup) {
		key := s.emulator.AddUser(account, "app")
		s.secret("ram-user", map[string]string{"id": key.ID, "password": key.Secret, "endpoint": "oss-cn-hangzhou.aliyuncs.com.cn"})
		s.asks(accessKey)
	}, want: "access-key-missing"},
	{name: "inactive-access-key", given: func(s *setup) {
		key := s.emulator.AddUser(account, "app")
		s.emulator.SetKeyActive(key.ID, false)
		s.secret("ram-user", map[string]string{"accessKeyId": key.ID, "accessKeySecret": key.Secret})
		s.asks(accessKey)
	}, want: "access-key-refused"},
	{name: "foreign-secret", given: func(s *setup) {
		s.granted()
		s.secret("orders", map[string]string{"password": "x"})
		s.asks()
	}, want: "secret-conflict"},
	{name: "secret-of-other-type", given: func(s *setup) {
		s.granted()
		data := map[string]string{"username": "alice"}
		s.create(&corev1.Secret{ObjectMeta: s.meta("orders"), Type: corev1.SecretTypeBasicAuth, StringData: data})
		s.asks()
	}, want: "secret-conflict"},
	{name: "copied-secret", given: func(s *setup) {
		other := s.issued(func(c *v1alpha1.StsCredential) { c.Name = "billing" })
		copied := s.secretOf(other)
		copied.ObjectMeta = metav1.ObjectMeta{Namespace: s.namespace, Name: "orders", Labels: copied.Labels, Annotations: copied.Annotations}
		s.create(copied)
		s.asks()
	}, want: "secret-conflict"},
	{name: "immutable-secret", given: func(s *setup) {
		existing := s.secretOf(s.issued())
		existing.Immutable = ptr.To(true)
		s.must(s.api.Update(s.Context(), existing))
		s.admin("renew", "orders")
	}, want: "secret-write-failed"},
	{name: "quota", given: func(s *setup) {
		s.create(&corev1.ResourceQuota{ObjectMeta: s.meta("few"), Spec: corev1.ResourceQuotaSpec{
			Hard: corev1.ResourceList{"count/secrets": resource.MustParse("0")},
		}})
		s.refuses("exceeded quota")
		s.granted()
		s.asks()
	}, want: "secret-write-failed", after: renewed},
	{name: "admission-policy", given: func(s *setup) {
		s.denySecrets()
		s.granted()
		s.asks()
	}, want: "secret-write-failed", after: renewed},
	{name: "pods-outlive", given: func(s *setup) {
		s.issued()
		s.workload(podOf(corev1.Container{Name: "main", Env: fromSecretAll()}))
	}, want: "pods-outlive-credentials"},
	{name: "pods-with-superseded-credentials", given: func(s *setup) {
		s.issued()
		s.workload(podOf(corev1.Container{Name: "main", Env: fromSecretAll()}))
		time.Sleep(1100 * time.Millisecond) // times of Kubernetes have seconds
		renewed(s)
	}, want: "pods-outlive-credentials"},
	{name: "pod-of-no-workload", given: func(s *setup) {
		s.issued()
		s.create(&corev1.Pod{ObjectMeta: s.meta("web"), Spec: podOf(corev1.Container{Name: "main", Env: fromSecretAll()}).Spec})
	}, want: "pods-outlive-credentials"},
	{name: "no-token", given: func(s *setup) {
		s.issued(restarts)
		s.workload(podOf(corev1.Container{Name: "main", Env: fromSecretAll()[:2]}))
	}, want: "token-not-read"},
	{name: "key-as-text", given: func(s *setup) {
		s.issued(restarts)
		env := []corev1.EnvVar{{Name: sdkKeys[0], Value: "STS.abc"}, {Name: sdkKeys[1], Value: "x"}}
		s.workload(podOf(corev1.Container{Name: "main", Env: env}))
	}, want: "temporary-key-literal"},
	{name: "node-role", given: func(s *setup) {
		s.issued()
		template := podOf(corev1.Container{
			Name: "main", Env: []corev1.EnvVar{{Name: "ALIBABA_CLOUD_CREDENTIALS_URI", Value: "http://127.0.0.1:7171/"}},
			VolumeMounts: []corev1.VolumeMount{{Name: "sts", MountPath: "/sts"}},
		})
		source := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "orders"}}
		template.Spec.Volumes = []corev1.Volume{{Name: "sts", VolumeSource: source}}
		s.workload(template)
	}, want: "node-role-used"},
	{name: "no-agent", given: func(s *setup) {
		s.issued(func(c *v1alpha1.StsCredential) { c.Spec.Secret.Formats = []v1alpha1.SecretFormat{v1alpha1.FormatURI} })
		template := podOf(corev1.Container{Name: "main"})
		template.Labels[v1alpha1.LabelAgent] = "orders"
		s.workload(template)
	}, want: "agent-missing", first: func(s *setup) {
		const policy = "config/components/agent-injection/policy.yaml"
		s.shell("kubectl apply -f " + policy)
		s.Cleanup(func() {
			name := metav1.ObjectMeta{Name: "sts-credential-operator-agent"}
			_ = s.api.Delete(context.Background(), &admissionregistrationv1.MutatingAdmissionPolicy{ObjectMeta: name})
			_ = s.api.Delete(context.Background(), &admissionregistrationv1.MutatingAdmissionPolicyBinding{ObjectMeta: name})
		})
		pod := &corev1.Pod{ObjectMeta: s.meta("x"), Spec: podOf(corev1.Container{Name: "main"}).Spec}
		pod.Labels = map[string]string{v1alpha1.LabelAgent: "orders"}
		s.eventually("the agent is injected", func() bool {
			fresh := pod.DeepCopy()
			return s.api.Create(s.Context(), fresh, client.DryRunAll) == nil && len(fresh.Spec.InitContainers) > 0
		})
	}},
	{name: "no-target", given: func(s *setup) {
		s.issued(func(c *v1alpha1.StsCredential) {
			c.Spec.Rollout.Targets = []v1alpha1.RolloutTarget{{Kind: "Deployment", Name: "ghost"}}
		})
	}, want: "rollout-blocked"},
	{name: "paused-target", given: func(s *setup) {
		s.issued(restarts)
		s.workload(podOf(corev1.Container{Name: "main", Env: fromSecretAll()}))
		s.shell("kubectl -n " + s.namespace + " rollout pause deployment/web")
		time.Sleep(1100 * time.Millisecond) // times of Kubernetes have seconds
		renewed(s)
	}, want: "rollout-blocked"},
}

// denySecrets lets no Secret be written in the namespace.
func (s *setup) denySecrets() {
	s.Helper()
	rule := admissionregistrationv1.NamedRuleWithOperations{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
	}}
	here := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}}
	name := metav1.ObjectMeta{Name: s.namespace}
	s.create(&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: name, Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{rule}},
		Validations:      []admissionregistrationv1.Validation{{Expression: "false", Message: "use a vault"}},
	}})
	binding := admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: s.namespace, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: here},
	}
	s.create(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: name, Spec: binding})
	s.refuses("use a vault")
}

// For each broken set-up, doctor finds the one thing that is wrong, and nothing after the fix that it prints.
func TestDoctorRepairsCredentials(t *testing.T) {
	e := newEnvironment(t)
	e.installed()
	e.must(os.WriteFile(filepath.Join(e.dir, "aliyun"), []byte(commandAliyun), 0o700))
	for _, tt := range brokenCredentials {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, tt.name)
			tt.given(s)
			fix := s.wantOnly(tt.want, "-n", s.namespace)
			if tt.first != nil {
				tt.first(s)
			}
			s.repair(fix)
			if tt.after != nil {
				tt.after(s)
			}
			s.clean("-n", s.namespace)
		})
	}
}

// The role of an StsCredential that STS refuses trusts the operator with the policy that the command prints.
func TestTrustPolicyIsAccepted(t *testing.T) {
	s := newSetup(t, "trust-policy")
	s.setRole(func(r *stsemulator.Role) { r.Trust = trustOf("alice") })
	s.granted()
	s.asks(func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "orders" })
	var got result
	s.eventually("the policy is known", func() bool {
		got = s.admin("trust-policy", "orders")
		return got.status == 0
	})
	s.setRole(func(r *stsemulator.Role) { r.Trust = s.trust(got.out) })
	if got := s.admin("renew", "orders", "--wait"); got.status != 0 {
		t.Errorf("with the trust policy: %s", got)
	}
}
