// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

var podChecks = []credentialCheck{
	{name: "pods-outlive-credentials", stage: StagePods, needs: canCheckPods, find: findOutliving, healthy: "All pods that read the Secret follow renewals, or are restarted."},
	{name: "token-not-read", stage: StagePods, needs: podsRead, find: findWithoutToken, healthy: "All pods that read the AccessKey ID read the security token."},
	{name: "temporary-key-literal", stage: StagePods, needs: podsRead, find: findLiteral, healthy: "No container has a temporary AccessKey ID as text."},
	{name: "node-role-used", stage: StagePods, needs: podsRead, find: findNodeRole, healthy: "No pod that uses the agent can act as the node's RAM role."},
	{name: "agent-missing", stage: StagePods, needs: podsRead, find: findWithoutAgent, healthy: "All pods with the agent's label have the agent."},
	{name: "agent-format-missing", stage: StagePods, needs: podsRead, find: findWithoutURI, healthy: "The Secret has what the agent serves."},
}

// podsRead reports whether pods could be read.
func podsRead(s *Snapshot, _ *v1alpha1.StsCredential) bool { return !s.unread("pods") }

// canCheckPods reports whether pods can be compared with the credentials in the Secret.
func canCheckPods(s *Snapshot, c *v1alpha1.StsCredential) bool {
	return podsRead(s, c) && usable(s, c) && !c.Spec.Suspend
}

// podGroup are pods of one workload, or one pod of none.
type podGroup struct {
	workload consumers.Workload // zero for a pod of no known workload
	pods     []string
}

// name is how a message names the group.
func (g podGroup) name() string {
	if g.workload == (consumers.Workload{}) {
		return "Pod " + g.pods[0]
	}
	return g.workload.String()
}

// resource is how kubectl names the group.
func (g podGroup) resource() (resource, name string) {
	switch g.workload.Kind {
	case "":
		return "pod", g.pods[0]
	case "Rollout":
		return "rollouts.argoproj.io", g.workload.Name
	case "CloneSet":
		return "clonesets.apps.kruise.io", g.workload.Name
	}
	return strings.ToLower(g.workload.Kind), g.workload.Name
}

// builtIn reports whether kubectl rollout restart and strategic patches work.
func (g podGroup) builtIn() bool {
	return slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet"}, g.workload.Kind)
}

// restart returns the command that replaces the pods.
func (g podGroup) restart(namespace string) string {
	resource, name := g.resource()
	switch {
	case g.builtIn():
		return kubectl(namespace, "rollout", "restart", resource+"/"+name)
	case g.workload.Kind == "Rollout":
		return kubectl(namespace, "patch", resource, name, "--type=merge", "-p", `"{\"spec\":{\"restartAt\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"}}"`)
	}
	return kubectl(namespace, append([]string{"delete", "pod"}, g.pods...)...)
}

// grouped are pods by workload, by name.
func grouped(pods []*podView) (groups []*podGroup, of map[string][]*podView) {
	all, of := map[string]*podGroup{}, map[string][]*podView{}
	for _, p := range pods {
		key := p.Workload.String()
		if p.Workload == (consumers.Workload{}) {
			key = "Pod " + p.Name
		}
		if all[key] == nil {
			all[key] = &podGroup{workload: p.Workload}
		}
		all[key].pods = append(all[key].pods, p.Name)
		of[all[key].name()] = append(of[all[key].name()], p)
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		slices.Sort(all[key].pods)
		groups = append(groups, all[key])
	}
	return groups, of
}

// podView is a pod with how it reads Secrets.
type podView struct {
	consumers.Pod
	pod *corev1.Pod
}

// podsIn are the running pods of a namespace that are not being deleted. Pods is not changed after the first call.
func (s *Snapshot) podsIn(namespace string) []*podView {
	if s.views == nil {
		s.views = map[string][]*podView{}
		for i := range s.Pods {
			if view := viewOf(&s.Pods[i]); view != nil {
				s.views[view.pod.Namespace] = append(s.views[view.pod.Namespace], view)
			}
		}
	}
	return s.views[namespace]
}

// viewOf returns nil for a pod that does not run or is being deleted.
func viewOf(p *corev1.Pod) *podView {
	if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return nil
	}
	stripped, err := consumers.Strip(p)
	kept, ok := stripped.(*corev1.Pod)
	if err != nil || !ok {
		return nil
	}
	view := &podView{consumers.PodOf(kept), p}
	if len(validation.IsDNS1123Subdomain(view.Workload.Name)) > 0 {
		view.Workload = consumers.Workload{} // the API server accepts any text as the name of an owner
	}
	return view
}

// findOutliving finds pods that cannot read renewed credentials and that nobody restarts: some use superseded credentials now,
// the others will after the next renewal.
func findOutliving(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	stale := s.stalePods(c)
	var left []*podView
	for _, p := range s.podsIn(c.Namespace) {
		read, reads := p.Reads[c.SecretName()]
		if reads && read.How&(consumers.Env|consumers.EnvFrom|consumers.SubPath) != 0 && !restarted(c, p.Workload) && (!p.Ends || slices.Contains(stale, p.Name)) {
			left = append(left, p)
		}
	}
	groups, _ := grouped(left)
	var findings []Finding
	for _, g := range groups {
		superseded := slices.DeleteFunc(slices.Clone(g.pods), func(name string) bool { return !slices.Contains(stale, name) })
		f := Finding{Object: objectOf(c)}
		if len(superseded) > 0 {
			f.Message = fmt.Sprintf("%s uses superseded credentials, or none, from Secret %s: %s. It reads the Secret through env, envFrom or subPath, "+
				"and nothing restarts it.", g.name(), c.SecretName(), consumers.Listed(superseded))
		} else {
			f.Message = fmt.Sprintf("%s reads Secret %s through env, envFrom or subPath, and nothing restarts it after a renewal: %s.",
				g.name(), c.SecretName(), consumers.Listed(g.pods))
			if c.Status.ExpiresAt != nil {
				f.Message += " Its credentials stop working at " + c.Status.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z") + "."
			}
		}
		f.Fix = s.outlivingFix(c, g, len(superseded) > 0)
		findings = append(findings, f)
	}
	return findings
}

// restarted reports whether spec.rollout restarts a workload.
func restarted(c *v1alpha1.StsCredential, w consumers.Workload) bool {
	if w == (consumers.Workload{}) {
		return false
	}
	return c.Spec.Rollout.Mode == v1alpha1.RolloutAuto || slices.ContainsFunc(c.Spec.Rollout.Targets, func(t v1alpha1.RolloutTarget) bool {
		return t.Kind == w.Kind && t.Name == w.Name
	})
}

// stalePods are the names of the pods that use superseded credentials.
func (s *Snapshot) stalePods(c *v1alpha1.StsCredential) (names []string) {
	existing, _ := s.secretOf(c)
	if existing == nil {
		return nil
	}
	stripped, err := secret.Strip(existing.DeepCopy())
	kept, ok := stripped.(*corev1.Secret)
	if err != nil || !ok {
		return nil
	}
	record, _ := secret.Read(kept)
	if record == nil {
		return nil
	}
	var pods []consumers.Pod
	for _, p := range s.podsIn(c.Namespace) {
		pods = append(pods, p.Pod)
	}
	found := consumers.Evaluate(s.now(), c.SecretName(), consumers.IssuanceOf(c.Name, &record.Record, 0),
		consumers.RestartPolicy{Duration: c.Duration()}, pods)
	for _, pod := range found.Stale {
		names = append(names, pod.Name)
	}
	return names
}

// outlivingFix returns how a workload follows renewals.
func (s *Snapshot) outlivingFix(c *v1alpha1.StsCredential, g *podGroup, stale bool) string {
	if g.workload == (consumers.Workload{}) {
		return script(comment("Mount the Secret as a volume, or let a Deployment control the pod. The pod must be created again:"), g.restart(c.Namespace))
	}
	rollout := s.patchSpec(c, object{"rollout": object{"mode": string(v1alpha1.RolloutAuto)}})
	volume := "Or mount the Secret as a volume, or let the agent serve it (label " + v1alpha1.LabelAgent + "), so that no restart is needed."
	if len(s.Operators) > 0 && s.operatorFlag("rollouts") != "true" {
		lines := []string{s.enable("rollouts.enabled=true", "rollouts"), rollout, comment(volume)}
		if stale {
			lines = append(lines, comment("Until then:"), g.restart(c.Namespace))
		}
		return script(lines...)
	}
	return script(comment("The operator then restarts the workloads that read the Secret in this way, after each renewal:"), rollout, comment(volume))
}

// tokenVariables are the variables that programs read the security token from, by that of the AccessKey ID.
var tokenVariables = map[string]string{
	"ALIBABA_CLOUD_ACCESS_KEY_ID": "ALIBABA_CLOUD_SECURITY_TOKEN",
	"TABLESTORE_ACCESS_KEY_ID":    "TABLESTORE_SESSION_TOKEN",
	"OSS_ACCESS_KEY_ID":           "OSS_SESSION_TOKEN",
	"ALICLOUD_ACCESS_KEY":         "ALICLOUD_SECURITY_TOKEN",
	"ALIYUN_LOG_CLI_ACCESSID":     "ALIYUN_LOG_CLI_STS_TOKEN",
}

// tokenKeys are the keys of a Secret for the token, by that for the AccessKey ID.
var tokenKeys = func() map[string]string {
	keys := map[string]string{"accessKeyId": "securityToken", "AccessKeyId": "SecurityToken"}
	maps.Copy(keys, tokenVariables)
	return keys
}()

// findWithoutToken finds containers that read the AccessKey ID of the Secret and not its token.
func findWithoutToken(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	groups, of := grouped(s.podsIn(c.Namespace))
	var findings []Finding
	for _, g := range groups {
		for _, container := range containersOf(of[g.name()][0].pod) {
			if id := idWithoutToken(c, container); id != nil {
				findings = append(findings, Finding{
					Object: objectOf(c), Message: fmt.Sprintf("Container %s of %s reads the AccessKey ID from Secret %s, and not the security token. "+
						"Services refuse a temporary AccessKey without its token: \"The security token you provided is invalid.\"", container.Name, g.name(), c.SecretName()),
					Fix: tokenFix(c, g, container.Name, *id),
				})
			}
		}
	}
	return findings
}

// containersOf are the containers of a pod, without init containers.
func containersOf(pod *corev1.Pod) (all []*corev1.Container) {
	for i := range pod.Spec.Containers {
		all = append(all, &pod.Spec.Containers[i])
	}
	return all
}

// idWithoutToken returns the variable of a container with the AccessKey ID of the Secret, if it does not read the token.
func idWithoutToken(c *v1alpha1.StsCredential, container *corev1.Container) *corev1.EnvVar {
	var id *corev1.EnvVar
	for i := range container.Env {
		e := &container.Env[i]
		ref := keyRef(e, c.SecretName())
		switch {
		case ref == "":
		case tokenKeys[ref] != "" && id == nil:
			id = e
		case slices.Contains(slices.Collect(maps.Values(tokenKeys)), ref):
			return nil
		}
	}
	if id == nil || readsFiles(container) {
		return nil
	}
	for _, from := range container.EnvFrom {
		if from.SecretRef != nil && from.SecretRef.Name == c.SecretName() {
			return nil
		}
	}
	return id
}

// readsFiles reports whether a container may read the token from a file.
func readsFiles(container *corev1.Container) bool {
	return slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
		return !strings.HasPrefix(m.MountPath, "/var/run/secrets/kubernetes.io/")
	})
}

// keyRef returns the key of a Secret that a variable reads; empty if it reads none.
func keyRef(e *corev1.EnvVar, secretName string) string {
	if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil || e.ValueFrom.SecretKeyRef.Name != secretName {
		return ""
	}
	return e.ValueFrom.SecretKeyRef.Key
}

// findLiteral finds containers with a temporary AccessKey ID as text, which is never renewed, and often lacks its token. They are
// of no StsCredential: the first of the namespace reports them.
func findLiteral(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	inNamespace := 0
	for i := range s.Credentials {
		if other := &s.Credentials[i]; other.Namespace == c.Namespace {
			inNamespace++
			if other.Name < c.Name {
				return nil
			}
		}
	}
	groups, of := grouped(s.podsIn(c.Namespace))
	var findings []Finding
	for _, g := range groups {
		for _, container := range containersOf(of[g.name()][0].pod) {
			for i := range container.Env {
				if e := &container.Env[i]; strings.HasPrefix(e.Value, "STS.") {
					findings = append(findings, literalFinding(c, g, container, e, inNamespace == 1))
				}
			}
		}
	}
	return findings
}

// literalFinding is the finding for a variable with a temporary AccessKey ID. The only StsCredential of a namespace can replace it.
func literalFinding(c *v1alpha1.StsCredential, g *podGroup, container *corev1.Container, id *corev1.EnvVar, only bool) Finding {
	token := slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool { return strings.Contains(strings.ToUpper(e.Name), "TOKEN") })
	f := Finding{Object: objectOf(c), Message: fmt.Sprintf("Container %s of %s has a temporary AccessKey ID as text, in %s. It is never renewed.",
		container.Name, g.name(), id.Name)}
	if !token {
		f.Message += " It has no security token, so that services refuse it: \"The security token you provided is invalid.\""
	}
	f.Fix = script(comment("Let the container read the Secret of an StsCredential instead of the text:"), kubectl(c.Namespace, "get", "stscredentials"))
	if only && id.Name == secret.KeyAccessKeyID && g.builtIn() && (c.Spec.Secret.Formats == nil || slices.Contains(c.Spec.Secret.Formats, v1alpha1.FormatSDK)) {
		resource, name := g.resource()
		var env []object
		for _, key := range []string{secret.KeyAccessKeyID, secret.KeyAccessKeySecret, secret.KeySecurityToken} {
			env = append(env, object{"name": key, "value": nil, "valueFrom": object{"secretKeyRef": object{"name": c.SecretName(), "key": key}}})
		}
		f.Fix = script(comment("If the container may use the role "+c.RoleName()+":"), strategicPatch(c.Namespace, resource, name, object{"spec": object{"template": object{
			"spec": object{"containers": []object{{"name": container.Name, "env": env}}},
		}}}))
	}
	return f
}

// tokenFix adds the token beside the AccessKey ID.
func tokenFix(c *v1alpha1.StsCredential, g *podGroup, container string, id corev1.EnvVar) string {
	key := tokenKeys[id.ValueFrom.SecretKeyRef.Key]
	variable := cmp.Or(tokenVariables[id.Name], "ALIBABA_CLOUD_SECURITY_TOKEN")
	return envFix(c.Namespace, g, container, object{"name": variable, "valueFrom": object{"secretKeyRef": object{"name": c.SecretName(), "key": key}}})
}

// envFix sets a variable in a container of a workload.
func envFix(namespace string, g *podGroup, container string, variable object) string {
	resource, name := g.resource()
	patch := object{"spec": object{"template": object{"spec": object{"containers": []object{{"name": container, "env": []object{variable}}}}}}}
	if g.builtIn() {
		return strategicPatch(namespace, resource, name, patch)
	}
	return script(comment("Add to container "+container+" in the template of "+g.name()+", and create its pods again:"),
		commented(compact(variable)), kubectl(namespace, "get", resource, name, "-o", "yaml"))
}

// Variables of the SDKs.
const (
	variableURI = "ALIBABA_CLOUD_CREDENTIALS_URI"
)

// findNodeRole finds containers that use the agent and that SDKs give the node's RAM role instead: the metadata service of ECS
// comes before the credentials URI in the chain of every SDK. Containers with an AccessKey, OIDC or a profile in the environment
// use these first. Where the nodes are known, one must be of ECS.
func findNodeRole(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if len(s.Nodes) > 0 && !slices.ContainsFunc(s.Nodes, func(n corev1.Node) bool { return strings.Contains(n.Spec.ProviderID, ".i-") }) {
		return nil
	}
	groups, of := grouped(s.podsIn(c.Namespace))
	var findings []Finding
	for _, g := range groups {
		pod := of[g.name()][0]
		if _, reads := pod.Reads[c.SecretName()]; !reads {
			continue
		}
		for _, container := range containersOf(pod.pod) {
			if usesNodeRole(container) {
				findings = append(findings, Finding{
					Object: objectOf(c), Message: fmt.Sprintf("Container %s of %s can act as the node's RAM role: SDKs ask the metadata service of ECS "+
						"before %s, and %s is not true.", container.Name, g.name(), variableURI, variableNoECS),
					Fix: envFix(c.Namespace, g, container.Name, object{"name": variableNoECS, "value": "true"}),
				})
			}
		}
	}
	return findings
}

func usesNodeRole(container *corev1.Container) bool {
	uri, earlier, disabled := false, len(container.EnvFrom) > 0, false
	for _, e := range container.Env {
		switch {
		case e.Name == variableURI:
			uri = true
		case e.Name == variableNoECS:
			disabled = e.Value == "true" || e.ValueFrom != nil
		case strings.HasPrefix(e.Name, "ALIBABA_CLOUD_ACCESS_KEY_"), strings.HasPrefix(e.Name, "ALIBABA_CLOUD_OIDC_"),
			e.Name == "ALIBABA_CLOUD_CREDENTIALS_FILE", e.Name == "ALIBABA_CLOUD_CONFIG_FILE", e.Name == "ALIBABA_CLOUD_PROFILE":
			earlier = true
		}
	}
	return uri && !earlier && !disabled
}

// agentGroups are the workloads whose pods name the Secret in the agent's label.
func (s *Snapshot) agentGroups(c *v1alpha1.StsCredential, which func(*podView) bool) []*podGroup {
	var pods []*podView
	for _, p := range s.podsIn(c.Namespace) {
		if p.pod.Labels[v1alpha1.LabelAgent] == c.SecretName() && which(p) {
			pods = append(pods, p)
		}
	}
	groups, _ := grouped(pods)
	return groups
}

// findWithoutAgent finds pods with the agent's label and without the agent.
func findWithoutAgent(s *Snapshot, c *v1alpha1.StsCredential) (findings []Finding) {
	for _, g := range s.agentGroups(c, func(p *podView) bool {
		return !slices.ContainsFunc(p.pod.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == v1alpha1.AgentContainer })
	}) {
		findings = append(findings, Finding{
			Object: objectOf(c), Message: fmt.Sprintf("%s has the label %s and no agent: %s. The injection is not enabled for namespace %s, or was enabled after "+
				"the pods were created.", g.name(), v1alpha1.LabelAgent, consumers.Listed(g.pods), c.Namespace),
			Fix: script(comment("As a cluster administrator, check that the injection is enabled (chart: agent.injection.enabled) and includes the namespace. Then create the pods again:"),
				g.restart(c.Namespace)),
		})
	}
	return findings
}

// findWithoutURI finds a Secret that the agent should serve, and cannot.
func findWithoutURI(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	groups := s.agentGroups(c, func(*podView) bool { return true })
	if c.WritesURI() || len(groups) == 0 {
		return nil
	}
	formats := []v1alpha1.SecretFormat{}
	if c.Spec.Secret.Formats == nil {
		formats = v1alpha1.DefaultFormats()
	}
	formats = append(append(formats, c.Spec.Secret.Formats...), v1alpha1.FormatURI)
	return []Finding{{
		Object: objectOf(c), Message: fmt.Sprintf("%s uses the agent with Secret %s, which lacks the key that the agent serves (credentials.json, format URI).",
			groups[0].name(), c.SecretName()),
		Fix: s.patchSpec(c, object{"secret": object{"formats": formats}}),
	}}
}
