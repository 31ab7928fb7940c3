// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
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
	{name: "rollout-blocked", stage: StagePods, find: findBlockedRollout, healthy: "Restarts of workloads are not blocked."},
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
	pods     []*podView         // by name; none if only the workload is known
}

// name is how a message names the group.
func (g *podGroup) name() string {
	if g.workload == (consumers.Workload{}) {
		return "Pod " + g.pods[0].Name
	}
	return g.workload.String()
}

func (g *podGroup) podNames() (names []string) {
	for _, p := range g.pods {
		names = append(names, p.Name)
	}
	return names
}

// resource is how kubectl names the group.
func (g *podGroup) resource() (resource, name string) {
	switch g.workload.Kind {
	case "":
		return "pod", g.pods[0].Name
	case "Rollout":
		return "rollouts.argoproj.io", g.workload.Name
	case "CloneSet":
		return "clonesets.apps.kruise.io", g.workload.Name
	}
	return strings.ToLower(g.workload.Kind), g.workload.Name
}

// builtIn reports whether kubectl rollout restart and strategic patches work.
func (g *podGroup) builtIn() bool {
	return slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet"}, g.workload.Kind)
}

// restart returns the command that replaces the pods.
func (g *podGroup) restart(namespace string) string {
	resource, name := g.resource()
	switch {
	case g.builtIn():
		return kubectl(namespace, "rollout", "restart", resource+"/"+name)
	case g.workload.Kind == "Rollout":
		return kubectl(namespace, "patch", resource, name, "--type=merge", "-p", `"{\"spec\":{\"restartAt\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"}}"`)
	}
	return kubectl(namespace, append([]string{"delete", "pod"}, g.podNames()...)...)
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
			p := &s.Pods[i]
			stripped, _ := consumers.Strip(p) // a pod of a pod
			kept, _ := stripped.(*corev1.Pod)
			if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
				continue
			}
			view := &podView{consumers.PodOf(kept), p}
			if len(validation.IsDNS1123Subdomain(view.Workload.Name)) > 0 {
				view.Workload = consumers.Workload{} // the API server accepts any text as the name of an owner
			}
			s.views[p.Namespace] = append(s.views[p.Namespace], view)
		}
	}
	return s.views[namespace]
}

// groupsIn are the pods of a namespace that which selects, by workload.
func (s *Snapshot) groupsIn(namespace string, which func(*podView) bool) (groups []*podGroup) {
	all := map[string]*podGroup{}
	for _, p := range s.podsIn(namespace) {
		if !which(p) {
			continue
		}
		key := (&podGroup{p.Workload, []*podView{p}}).name()
		if all[key] == nil {
			all[key] = &podGroup{workload: p.Workload}
		}
		all[key].pods = append(all[key].pods, p)
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		slices.SortFunc(all[key].pods, func(a, b *podView) int { return cmp.Compare(a.Name, b.Name) })
		groups = append(groups, all[key])
	}
	return groups
}

// inContainers calls find for the containers of one pod of each workload in a namespace.
func (s *Snapshot) inContainers(namespace string, find func(g *podGroup, container *corev1.Container) []Finding) (findings []Finding) {
	for _, g := range s.groupsIn(namespace, func(*podView) bool { return true }) {
		containers := g.pods[0].pod.Spec.Containers
		for i := range containers {
			findings = append(findings, find(g, &containers[i])...)
		}
	}
	return findings
}

// findOutliving finds pods that cannot read renewed credentials and that nobody restarts: some use superseded credentials now,
// the others will after the next renewal.
func findOutliving(s *Snapshot, c *v1alpha1.StsCredential) (findings []Finding) {
	stale := s.stalePods(c)
	for _, g := range s.groupsIn(c.Namespace, func(p *podView) bool {
		read, reads := p.Reads[c.SecretName()]
		return reads && read.How&(consumers.Env|consumers.EnvFrom|consumers.SubPath) != 0 && !restarted(c, p.Workload) && (!p.Ends || slices.Contains(stale, p.Name))
	}) {
		superseded := slices.DeleteFunc(g.podNames(), func(name string) bool { return !slices.Contains(stale, name) })
		f := Finding{Fix: s.outlivingFix(c, g, len(superseded) > 0)}
		if len(superseded) > 0 {
			f.Message = fmt.Sprintf("%s uses superseded credentials, or none, from Secret %s: %s. It reads the Secret through env, envFrom or subPath, "+
				"and nothing restarts it.", g.name(), c.SecretName(), consumers.Listed(superseded))
		} else {
			f.Message = fmt.Sprintf("%s reads Secret %s through env, envFrom or subPath, and nothing restarts it after a renewal: %s.",
				g.name(), c.SecretName(), consumers.Listed(g.podNames()))
			if c.Status.ExpiresAt != nil {
				f.Message += " Its credentials stop working at " + format(c.Status.ExpiresAt) + "."
			}
		}
		findings = append(findings, f)
	}
	return findings
}

// restarted reports whether spec.rollout restarts a workload.
func restarted(c *v1alpha1.StsCredential, w consumers.Workload) bool {
	return w != (consumers.Workload{}) && (c.Spec.Rollout.Mode == v1alpha1.RolloutAuto || indexOfTarget(c, w) >= 0)
}

// indexOfTarget returns the index of a workload in spec.rollout.targets; -1 if it is none.
func indexOfTarget(c *v1alpha1.StsCredential, w consumers.Workload) int {
	return slices.IndexFunc(c.Spec.Rollout.Targets, func(t v1alpha1.RolloutTarget) bool { return t.Kind == w.Kind && t.Name == w.Name })
}

// stalePods are the names of the pods that use superseded credentials.
func (s *Snapshot) stalePods(c *v1alpha1.StsCredential) (names []string) {
	existing, _ := s.secretOf(c)
	if existing == nil {
		return nil
	}
	record, _ := secret.Read(existing)
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
	rollout := patchSpec(c, object{"rollout": object{"mode": string(v1alpha1.RolloutAuto)}})
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
	return s.inContainers(c.Namespace, func(g *podGroup, container *corev1.Container) []Finding {
		id := idWithoutToken(c, container)
		if id == nil {
			return nil
		}
		variable := object{
			"name":      cmp.Or(tokenVariables[id.Name], "ALIBABA_CLOUD_SECURITY_TOKEN"),
			"valueFrom": object{"secretKeyRef": object{"name": c.SecretName(), "key": tokenKeys[id.ValueFrom.SecretKeyRef.Key]}},
		}
		return one(fmt.Sprintf("Container %s of %s reads the AccessKey ID from Secret %s, and not the security token. "+
			"Services refuse a temporary AccessKey without its token: \"The security token you provided is invalid.\"", container.Name, g.name(), c.SecretName()),
			envFix(c.Namespace, g, container.Name, variable))
	})
}

// idWithoutToken returns the variable of a container with the AccessKey ID of the Secret, if it does not read the token. It may
// read the token from a file.
func idWithoutToken(c *v1alpha1.StsCredential, container *corev1.Container) *corev1.EnvVar {
	var id *corev1.EnvVar
	for i := range container.Env {
		e := &container.Env[i]
		if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil || e.ValueFrom.SecretKeyRef.Name != c.SecretName() {
			continue
		}
		switch key := e.ValueFrom.SecretKeyRef.Key; {
		case tokenKeys[key] != "" && id == nil:
			id = e
		case slices.Contains(slices.Collect(maps.Values(tokenKeys)), key):
			return nil
		}
	}
	if slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
		return !strings.HasPrefix(m.MountPath, "/var/run/secrets/kubernetes.io/")
	}) || slices.ContainsFunc(container.EnvFrom, func(from corev1.EnvFromSource) bool {
		return from.SecretRef != nil && from.SecretRef.Name == c.SecretName()
	}) {
		return nil
	}
	return id
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
	return s.inContainers(c.Namespace, func(g *podGroup, container *corev1.Container) (findings []Finding) {
		for i := range container.Env {
			if e := &container.Env[i]; strings.HasPrefix(e.Value, "STS.") {
				findings = append(findings, literalFinding(c, g, container, e, inNamespace == 1))
			}
		}
		return findings
	})
}

// literalFinding is the finding for a variable with a temporary AccessKey ID. The only StsCredential of a namespace can replace it.
func literalFinding(c *v1alpha1.StsCredential, g *podGroup, container *corev1.Container, id *corev1.EnvVar, only bool) Finding {
	f := Finding{Message: fmt.Sprintf("Container %s of %s has a temporary AccessKey ID as text, in %s. It is never renewed.", container.Name, g.name(), id.Name)}
	if !slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool { return strings.Contains(strings.ToUpper(e.Name), "TOKEN") }) {
		f.Message += " It has no security token, so that services refuse it: \"The security token you provided is invalid.\""
	}
	f.Fix = script(comment("Let the container read the Secret of an StsCredential instead of the text:"), kubectl(c.Namespace, "get", "stscredentials"))
	if only && id.Name == secret.KeyAccessKeyID && g.builtIn() && (c.Spec.Secret.Formats == nil || slices.Contains(c.Spec.Secret.Formats, v1alpha1.FormatSDK)) {
		var env []object
		for _, key := range []string{secret.KeyAccessKeyID, secret.KeyAccessKeySecret, secret.KeySecurityToken} {
			env = append(env, object{"name": key, "value": nil, "valueFrom": object{"secretKeyRef": object{"name": c.SecretName(), "key": key}}})
		}
		f.Fix = script(comment("If the container may use the role "+c.RoleName()+":"), envFix(c.Namespace, g, container.Name, env...))
	}
	return f
}

// envFix sets variables in a container of a workload.
func envFix(namespace string, g *podGroup, container string, variables ...object) string {
	resource, name := g.resource()
	if g.builtIn() {
		return strategicPatch(namespace, resource, name, object{"spec": object{"template": object{
			"spec": object{"containers": []object{{"name": container, "env": variables}}},
		}}})
	}
	return script(comment("Add to container "+container+" in the template of "+g.name()+", and create its pods again:"),
		commented(compact(variables[0])), kubectl(namespace, "get", resource, name, "-o", "yaml"))
}

// variableURI is the variable that SDKs take the address of the agent from.
const variableURI = "ALIBABA_CLOUD_CREDENTIALS_URI"

// findNodeRole finds containers that use the agent and that SDKs give the node's RAM role instead: the metadata service of ECS
// comes before the credentials URI in the chain of every SDK. Containers with an AccessKey, OIDC or a profile in the environment
// use these first. Where the nodes are known, one must be of ECS.
func findNodeRole(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if len(s.Nodes) > 0 && !slices.ContainsFunc(s.Nodes, func(n corev1.Node) bool { return strings.Contains(n.Spec.ProviderID, ".i-") }) {
		return nil
	}
	return s.inContainers(c.Namespace, func(g *podGroup, container *corev1.Container) []Finding {
		if _, reads := g.pods[0].Reads[c.SecretName()]; !reads || !usesNodeRole(container) {
			return nil
		}
		return one(fmt.Sprintf("Container %s of %s can act as the node's RAM role: SDKs ask the metadata service of ECS "+
			"before %s, and %s is not true.", container.Name, g.name(), variableURI, variableNoECS),
			envFix(c.Namespace, g, container.Name, object{"name": variableNoECS, "value": "true"}))
	})
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

// usesAgent reports whether a pod names the Secret of an StsCredential in the agent's label.
func usesAgent(p *podView, c *v1alpha1.StsCredential) bool {
	return p.pod.Labels[v1alpha1.LabelAgent] == c.SecretName()
}

// findWithoutAgent finds pods with the agent's label and without the agent.
func findWithoutAgent(s *Snapshot, c *v1alpha1.StsCredential) (findings []Finding) {
	for _, g := range s.groupsIn(c.Namespace, func(p *podView) bool {
		return usesAgent(p, c) && !slices.ContainsFunc(p.pod.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == v1alpha1.AgentContainer })
	}) {
		findings = append(findings, one(fmt.Sprintf("%s has the label %s and no agent: %s. The injection is not enabled for namespace %s, or was enabled after "+
			"the pods were created.", g.name(), v1alpha1.LabelAgent, consumers.Listed(g.podNames()), c.Namespace),
			script(comment("As a cluster administrator, check that the injection is enabled (chart: agent.injection.enabled) and includes the namespace. Then create the pods again:"),
				g.restart(c.Namespace)))...)
	}
	return findings
}

// findWithoutURI finds a Secret that the agent should serve, and cannot.
func findWithoutURI(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	groups := s.groupsIn(c.Namespace, func(p *podView) bool { return usesAgent(p, c) })
	if c.WritesURI() || len(groups) == 0 {
		return nil
	}
	formats := c.Spec.Secret.Formats
	if formats == nil {
		formats = v1alpha1.DefaultFormats()
	}
	return one(fmt.Sprintf("%s uses the agent with Secret %s, which lacks the key that the agent serves (credentials.json, format URI).", groups[0].name(), c.SecretName()),
		patchSpec(c, object{"secret": object{"formats": slices.Concat(formats, []v1alpha1.SecretFormat{v1alpha1.FormatURI})}}))
}

// workloadInMessage is a workload that a message names.
var workloadInMessage = regexp.MustCompile(`(Deployment|StatefulSet|DaemonSet|Rollout|CloneSet) ([a-z0-9][a-z0-9.-]*[a-z0-9]|[a-z0-9])`)

// findBlockedRollout finds why spec.rollout restarts no workload, by the condition.
func findBlockedRollout(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	failing := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRolloutFailing)
	if failing == nil || !meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionRolloutFailing) || !usable(s, c) {
		return nil
	}
	g := &podGroup{}
	if m := workloadInMessage.FindStringSubmatch(failing.Message); m != nil {
		g.workload = consumers.Workload{Kind: m[1], Name: m[2]}
	}
	return one(sentence(failing.Reason+": "+failing.Message), s.rolloutFix(c, failing.Reason, failing.Message, g))
}

// rolloutFix returns the fix for a reason of RolloutFailing. g is the workload that the message names, if it names one.
func (s *Snapshot) rolloutFix(c *v1alpha1.StsCredential, reason, message string, g *podGroup) string {
	switch reason {
	case v1alpha1.ReasonRolloutsDisabled:
		return script(s.enable("rollouts.enabled=true", "rollouts"), comment("Or remove spec.rollout:"), commented(removeField(c.Namespace, c.Name, "/spec/rollout")))
	case v1alpha1.ReasonRolloutForbidden:
		return script(s.enable("rollouts.enabled=true", "rollouts"), comment("It also grants the rights in the namespace."))
	}
	if g.workload == (consumers.Workload{}) {
		return script(comment("Correct what the message names."), "kubectl stscred explain "+reason)
	}
	resource, name := g.resource()
	switch reason {
	case v1alpha1.ReasonTargetNotFound:
		i := indexOfTarget(c, g.workload)
		if i < 0 {
			return script(comment("Correct spec.rollout.targets."), kubectl(c.Namespace, "edit", "stscredential", c.Name))
		}
		return script(comment("Correct the kind or name of the target, create the workload, or remove the target:"),
			patchSpec(c, object{"rollout": object{"targets": slices.Delete(slices.Clone(c.Spec.Rollout.Targets), i, i+1)}}))
	case v1alpha1.ReasonWorkloadPaused:
		if g.workload.Kind == "Deployment" {
			return script(kubectl(c.Namespace, "rollout", "resume", resource+"/"+name),
				comment("The operator restarts it within five minutes. This restarts it at once:"), g.restart(c.Namespace))
		}
		return mergePatch(c.Namespace, resource, name, object{"spec": object{"updateStrategy": object{"paused": false}}})
	case v1alpha1.ReasonStrategyUnsuited:
		return strategyFix(c.Namespace, message, g)
	case v1alpha1.ReasonRolloutUnfinished:
		return script(comment("See why new pods do not become ready, or what keeps the old ones:"), kubectl(c.Namespace, "describe", resource, name),
			comment("Or delete the old pods, which the message names."))
	}
	return script(comment("Correct what the message names. The operator retries after five minutes."), kubectl(c.Namespace, "get", resource, name, "-o", "yaml"))
}

// strategyFix lets a workload replace its pods.
func strategyFix(namespace, message string, g *podGroup) string {
	resource, name := g.resource()
	strategy := object{"type": "RollingUpdate", "rollingUpdate": nil}
	switch {
	case g.workload.Kind == "CloneSet" && strings.Contains(message, "partition"):
		strategy = object{"partition": 0}
	case g.workload.Kind == "CloneSet":
		strategy = object{"type": "ReCreate"}
	case strings.Contains(message, "partition"):
		strategy = object{"rollingUpdate": object{"partition": 0}}
	}
	return script(comment("Or delete the pods yourself after each renewal."),
		mergePatch(namespace, resource, name, object{"spec": object{"updateStrategy": strategy}}))
}
