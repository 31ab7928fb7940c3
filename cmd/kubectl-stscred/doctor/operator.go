// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// ManagerContainer is the container of the operator in its Deployment.
const ManagerContainer = "manager"

var operatorChecks = []clusterCheck{
	{name: "operator-missing", stage: StageCluster, needs: operatorsRead, find: findNoOperator, healthy: "The operator is installed."},
	{name: "operator-not-running", stage: StageCluster, needs: hasOperator, find: findNotRunning, healthy: "The operator runs."},
	{name: "operator-not-leading", stage: StageCluster, needs: hasOperator, find: findNotLeading,
		healthy: "A replica of the operator leads."},
	{name: "renewals-late", stage: StageSTS, needs: hasOperator, find: findLateRenewals,
		healthy: "Renewals are not late for want of calls to STS."},
}

// operatorsUnread begins the name of what could not be read.
const operatorsUnread = "deployments of the operator"

// operatorsRead reports whether the Deployments of all namespaces could be read.
func operatorsRead(s *Snapshot) bool {
	return !slices.ContainsFunc(s.Unread, func(u Unread) bool { return u.Resource == operatorsUnread })
}

func hasOperator(s *Snapshot) bool { return len(s.Operators) > 0 }

// manager returns the operator's container.
func manager(spec *corev1.PodSpec) *corev1.Container {
	for i := range spec.Containers {
		if spec.Containers[i].Name == ManagerContainer {
			return &spec.Containers[i]
		}
	}
	return &corev1.Container{}
}

// managerFlag returns the value of a flag of the operator; "true" for --name.
func managerFlag(d *appsv1.Deployment, name string) (value string, set bool) {
	container := manager(&d.Spec.Template.Spec)
	for i, argument := range container.Args {
		key, value, assigned := strings.Cut(strings.TrimLeft(argument, "-"), "=")
		switch {
		case key != name || !strings.HasPrefix(argument, "-"):
		case assigned:
			return expand(value, container.Env), true
		case i+1 < len(container.Args) && !strings.HasPrefix(container.Args[i+1], "-"):
			return expand(container.Args[i+1], container.Env), true
		default:
			return "true", true
		}
	}
	return "", false
}

// LeaseName returns the name of the lease of the operator's leader election.
func LeaseName(d *appsv1.Deployment) string {
	name, _ := managerFlag(d, "leader-election-id")
	return cmp.Or(name, "sts-credential-operator")
}

// operatorVersion returns the tag of the operator's image; empty if it has none.
func operatorVersion(d *appsv1.Deployment) string {
	image, _, _ := strings.Cut(manager(&d.Spec.Template.Spec).Image, "@")
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return tag
}

// nameOf names a Deployment in a finding.
func nameOf(d *appsv1.Deployment) string { return "Deployment " + d.Namespace + "/" + d.Name }

// onDeployment returns a command about the operator's Deployment.
func onDeployment(d *appsv1.Deployment, command, arguments string) string {
	return strings.TrimSpace(fmt.Sprintf("kubectl -n %s %s deployment/%s %s", d.Namespace, command, d.Name, arguments))
}

func findNoOperator(s *Snapshot) []Finding {
	if len(s.Operators) > 0 {
		return nil
	}
	return []Finding{{
		Object: "cluster", Message: "No Deployment in the cluster has the label app.kubernetes.io/name=sts-credential-operator and " +
			"a container " + ManagerContainer + ": the operator is not installed.",
		Fix: "# In a checkout of the repository. With Helm: helm install sts charts/sts-credential-operator -n sts-system " +
			"--create-namespace --set image.registry=<the registry of its image>\n" +
			"kubectl apply --server-side -k config/default",
	}}
}

// findNotRunning finds operators without a ready replica. If the operator's identity is why, the checks of the identity say so.
func findNotRunning(s *Snapshot) (findings []Finding) {
	for i := range s.Operators {
		d := &s.Operators[i]
		switch {
		case ptr.Deref(d.Spec.Replicas, 1) == 0:
			findings = append(findings, Finding{
				Object: nameOf(d), Message: "The operator is scaled to 0 replicas: credentials are not " +
					"renewed.", Fix: onDeployment(d, "scale", "--replicas=2"),
			})
		case d.Status.ReadyReplicas == 0 && len(identityFindings(s, d)) == 0:
			reason, fix := s.whyNotReady(d)
			findings = append(findings, Finding{
				Object: nameOf(d), Message: fmt.Sprintf("The operator has 0 of %d replicas ready: "+
					"%s", ptr.Deref(d.Spec.Replicas, 1), reason), Fix: fix,
			})
		}
	}
	return findings
}

// podsOf are the pods of an operator.
func (s *Snapshot) podsOf(d *appsv1.Deployment) (pods []*corev1.Pod) {
	for i := range s.OperatorPods {
		p := &s.OperatorPods[i]
		if p.Namespace != d.Namespace || d.Spec.Selector == nil {
			continue
		}
		matches := true
		for key, value := range d.Spec.Selector.MatchLabels {
			matches = matches && p.Labels[key] == value
		}
		if matches {
			pods = append(pods, p)
		}
	}
	return pods
}

// whyNotReady returns why no replica is ready, with the fix.
func (s *Snapshot) whyNotReady(d *appsv1.Deployment) (reason, fix string) {
	for _, p := range s.podsOf(d) {
		for _, status := range p.Status.ContainerStatuses {
			if reason, fix := whyNotRunning(d, p, &status); reason != "" {
				return reason, fix
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return fmt.Sprintf("pod %s cannot be scheduled: %s", p.Name, sentence(c.Message)),
					"# Add a node, or lower resources.requests of the operator. This shows what is free:\nkubectl describe nodes"
			}
		}
	}
	for _, c := range d.Status.Conditions {
		if c.Status == corev1.ConditionFalse || c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return sentence(c.Reason + ": " + c.Message), onDeployment(d, "rollout restart", "")
		}
	}
	return "the Deployment does not say why.", onDeployment(d, "rollout restart", "")
}

// whyNotRunning returns why a container does not run; empty if it does.
func whyNotRunning(d *appsv1.Deployment, p *corev1.Pod, status *corev1.ContainerStatus) (reason, fix string) {
	waiting := status.State.Waiting
	if waiting == nil {
		return "", ""
	}
	logs := fmt.Sprintf("kubectl -n %s logs %s -c %s --previous", p.Namespace, p.Name, status.Name)
	switch waiting.Reason {
	case "CrashLoopBackOff":
		last := "it exited."
		if t := status.LastTerminationState.Terminated; t != nil {
			last = fmt.Sprintf("it exited with code %d (%s). %s", t.ExitCode, t.Reason, lastLine(t.Message))
			if t.Reason == "OOMKilled" {
				return fmt.Sprintf("pod %s crashed %d times, last because it used more memory than its limit.", p.Name, status.RestartCount),
					"# With Helm: set resources.limits.memory and goMemLimit.\n" + onDeployment(d, "set "+
						"resources", "-c "+ManagerContainer+" --limits=memory=512Mi") +
						"\n" + onDeployment(d, "set env", "-c "+ManagerContainer+" GOMEMLIMIT=360MiB")
			}
		}
		return strings.TrimSpace(fmt.Sprintf("pod %s crashed %d times; last, %s", p.Name, status.RestartCount, last)),
			"# The log says why. Correct it, and restart the operator:\n# " + logs + "\n" + onDeployment(d, "rollout restart", "")
	case "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull":
		return fmt.Sprintf("pod %s cannot pull image %q: %s", p.Name, status.Image, sentence(waiting.Reason)),
			"# Set the image of your registry first. With Helm: image.registry, image.repository and image.tag.\n" +
				onDeployment(d, "set image", ManagerContainer+`="$IMAGE"`)
	case "ContainerCreating", "PodInitializing":
		return "", ""
	}
	return fmt.Sprintf("pod %s waits: %s", p.Name, sentence(waiting.Reason+": "+waiting.Message)),
		"# Correct what the message names, and restart the operator:\n" + onDeployment(d, "rollout restart", "")
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}

// leaseTolerance is how long after the end of its duration a lease counts as held: the API server's answer takes time.
const leaseTolerance = 15 * time.Second

// findNotLeading finds operators of which a replica is ready and none holds the lease.
func findNotLeading(s *Snapshot) (findings []Finding) {
	for i := range s.Operators {
		d := &s.Operators[i]
		elects, set := managerFlag(d, "leader-elect")
		if d.Status.ReadyReplicas == 0 || set && elects == "false" || s.leaseUnread(d) {
			continue
		}
		message := fmt.Sprintf("No replica leads: lease %s does not exist.", LeaseName(d))
		if lease := s.leaseOf(d); lease != nil {
			message = notHeld(lease, s.ServerTime)
		}
		if message != "" {
			findings = append(findings, Finding{Object: nameOf(d), Message: message, Fix: "# The log of the replicas says why none " +
				"leads. A restart elects one:\n" +
				onDeployment(d, "rollout restart", "")})
		}
	}
	return findings
}

func (s *Snapshot) leaseUnread(d *appsv1.Deployment) bool {
	return s.ServerTime.IsZero() || slices.ContainsFunc(s.Unread, func(u Unread) bool {
		return strings.HasPrefix(u.Resource, fmt.Sprintf("lease %q", LeaseName(d)))
	})
}

func (s *Snapshot) leaseOf(d *appsv1.Deployment) *coordinationv1.Lease {
	for i := range s.Leases {
		if s.Leases[i].Namespace == d.Namespace && s.Leases[i].Name == LeaseName(d) {
			return &s.Leases[i]
		}
	}
	return nil
}

// notHeld says why nobody leads; empty if somebody does.
func notHeld(lease *coordinationv1.Lease, now time.Time) string {
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if holder == "" || lease.Spec.RenewTime == nil {
		return fmt.Sprintf("No replica leads: lease %s has no holder.", lease.Name)
	}
	duration := time.Duration(ptr.Deref(lease.Spec.LeaseDurationSeconds, 15)) * time.Second
	if age := now.Sub(lease.Spec.RenewTime.Time); age > duration+leaseTolerance {
		return fmt.Sprintf("No replica leads: lease %s was renewed %s ago, by %s.", lease.Name, age.Round(time.Second), holder)
	}
	return ""
}

// lateBy is how late a renewal without an error is a finding.
const lateBy = 5 * time.Minute

// lateCount is the number of late renewals from which the budget is the cause: the operator is busy with many.
const lateCount = 2

// findLateRenewals finds renewals that are due and were not tried, as when the budget of calls is exhausted.
func findLateRenewals(s *Snapshot) []Finding {
	if s.ServerTime.IsZero() || len(findNotRunning(s))+len(findNotLeading(s)) > 0 || len(s.Operators) > 1 {
		return nil
	}
	var late []string
	for i := range s.Credentials {
		c := &s.Credentials[i]
		if c.Status.RenewAt != nil && !c.Spec.Suspend && s.ServerTime.Sub(c.Status.RenewAt.Time) > lateBy && len(c.Status.Conditions) == 1 {
			late = append(late, c.Namespace+"/"+c.Name)
		}
	}
	d := &s.Operators[0]
	if len(late) < lateCount || len(identityFindings(s, d)) > 0 {
		return nil
	}
	qps, _ := managerFlag(d, "sts-qps")
	return []Finding{{
		Object: nameOf(d),
		Message: fmt.Sprintf("%d StsCredentials are due for more than %s and no attempt failed, such as %s: the operator's budget "+
			"of %s calls to STS per second is exhausted.",
			len(late), lateBy, late[0], cmp.Or(qps, "20")),
		Fix: "# All clusters share the account's quota of 100 calls per second. With Helm: sts.qps and " +
			"sts.burst.\n" + setFlag(d, "sts-qps", "40"),
	}}
}

// setFlag returns the command that sets a flag of the operator.
func setFlag(d *appsv1.Deployment, name, value string) string {
	index := slices.IndexFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == ManagerContainer })
	arguments := d.Spec.Template.Spec.Containers[index].Args
	change := operation{Op: "add", Path: fmt.Sprintf("/spec/template/spec/containers/%d/args/-", index), Value: "--" + name + "=" + value}
	for i, argument := range arguments {
		if key, _, _ := strings.Cut(strings.TrimLeft(argument, "-"), "="); key == name {
			change.Op, change.Path = "replace", fmt.Sprintf("/spec/template/spec/containers/%d/args/%d", index, i)
		}
	}
	if len(arguments) == 0 {
		change.Path, change.Value = strings.TrimSuffix(change.Path, "/-"), []any{change.Value}
	}
	return onDeployment(d, "patch", "--type=json -p "+quoted(compact([]operation{change})))
}

// Variables of the operator's identity.
const (
	variableID       = "ALIBABA_CLOUD_ACCESS_KEY_ID"
	variableSecret   = "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
	variableToken    = "ALIBABA_CLOUD_SECURITY_TOKEN" //nolint:gosec // the name of a variable
	variableNoECS    = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
	variableECS      = "ALIBABA_CLOUD_ECS_METADATA"
	injectionLabel   = "pod-identity.alibabacloud.com/injection"
	helmChartLabel   = "helm.sh/chart"
	usualSecretName  = "sts-operator"
	temporaryPattern = "STS."
)

// furtherSources are variables of sources other than the AccessKey.
var furtherSources = []string{
	"ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_CONFIG_FILE", "ALIBABA_CLOUD_CREDENTIALS_FILE",
	"ALIBABA_CLOUD_CREDENTIALS_URI",
}

var operatorIdentityChecks = []clusterCheck{
	operatorIdentityCheck("operator-secret-missing", "The Secrets that the operator needs exist."),
	operatorIdentityCheck("operator-token-missing", "The operator has no temporary AccessKey without its token."),
	operatorIdentityCheck("operator-identity-incomplete", "The operator's AccessKey is complete, if there is one."),
	operatorIdentityCheck("operator-identity-missing", "The operator has an identity, or needs none."),
	operatorIdentityCheck("operator-rrsa-not-injected", "RRSA is injected into the operator, if it is configured."),
	operatorIdentityCheck("operator-node-role", "The operator does not act as the RAM role of its node by accident."),
}

func operatorIdentityCheck(name, healthy string) clusterCheck {
	return clusterCheck{name: name, stage: StageIdentity, needs: hasOperator, find: ofIdentity(name), healthy: healthy}
}

// OperatorSecretNames returns the Secrets that the operator's environment comes from.
func OperatorSecretNames(d *appsv1.Deployment) (names []string) {
	container := manager(&d.Spec.Template.Spec)
	for _, from := range container.EnvFrom {
		if from.SecretRef != nil {
			names = append(names, from.SecretRef.Name)
		}
	}
	for _, e := range container.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			names = append(names, e.ValueFrom.SecretKeyRef.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ofIdentity returns the function that finds one thing that is wrong with the operators' identities.
func ofIdentity(check string) func(*Snapshot) []Finding {
	return func(s *Snapshot) (findings []Finding) {
		for i := range s.Operators {
			for _, f := range identityFindings(s, &s.Operators[i]) {
				if f.Check == check {
					findings = append(findings, f)
				}
			}
		}
		return findings
	}
}

// environment is what is known of the operator's environment.
type environment struct {
	values map[string]string // masked, as in the Snapshot
	// unknown: some of it could not be read.
	unknown bool
	// missing is the Secret that must exist for the pods to start, and does not; or an optional one.
	missing, missingOptional string
	// from is the Secret with the AccessKey, if there is one.
	from string
}

func (e *environment) has(variable string) bool { return e.values[variable] != "" }

// environmentOf resolves the operator's environment, with what a webhook injected into its pods.
func environmentOf(s *Snapshot, d *appsv1.Deployment) *environment {
	e := &environment{values: map[string]string{}}
	container := manager(&d.Spec.Template.Spec)
	for _, from := range container.EnvFrom {
		switch {
		case from.SecretRef != nil:
			e.addSecret(s, d.Namespace, from.SecretRef.Name, from.Prefix, ptr.Deref(from.SecretRef.Optional, false))
		case from.ConfigMapRef != nil:
			e.unknown = true
		}
	}
	e.addVariables(s, d.Namespace, container.Env)
	for _, p := range s.podsOf(d) {
		e.addVariables(s, d.Namespace, manager(&p.Spec).Env)
	}
	return e
}

func (e *environment) addSecret(s *Snapshot, namespace, name, prefix string, optional bool) {
	secret, known := s.OperatorSecrets[types.NamespacedName{Namespace: namespace, Name: name}]
	switch {
	case !known:
		e.unknown = true
	case secret == nil && optional:
		e.missingOptional = name
	case secret == nil:
		e.missing = name
	default:
		e.from = name
		for key, value := range secret.Data {
			e.values[prefix+key] = string(value)
		}
	}
}

func (e *environment) addVariables(s *Snapshot, namespace string, variables []corev1.EnvVar) {
	for _, v := range variables {
		switch ref := v.ValueFrom; {
		case ref == nil:
			e.values[v.Name] = v.Value
		case ref.SecretKeyRef == nil:
			e.values[v.Name] = "x"
		default:
			secret, known := s.OperatorSecrets[types.NamespacedName{Namespace: namespace, Name: ref.SecretKeyRef.Name}]
			switch {
			case !known:
				e.unknown = true
			case secret == nil && !ptr.Deref(ref.SecretKeyRef.Optional, false):
				e.missing = ref.SecretKeyRef.Name
			case secret != nil:
				e.values[v.Name] = string(secret.Data[ref.SecretKeyRef.Key])
			}
		}
	}
}

// identityFindings returns what is wrong with the identity of one operator: at most one finding, the first cause.
func identityFindings(s *Snapshot, d *appsv1.Deployment) []Finding {
	e := environmentOf(s, d)
	f := Finding{Object: nameOf(d)}
	id, secret := e.has(variableID), e.has(variableSecret)
	switch {
	case e.missing != "":
		f.Check, f.Message = "operator-secret-missing", fmt.Sprintf("Secret %s, which the operator's pods need, does not exist: "+
			"they do not start.", e.missing)
		f.Fix = createKey(d, e.missing)
	case strings.HasPrefix(e.values[variableID], temporaryPattern) && !e.has(variableToken):
		f.Check = "operator-token-missing"
		f.Message = fmt.Sprintf("%s is a temporary AccessKey ID (STS.…) and %s is not set: the operator does not start, because "+
			"STS refuses such a key.", variableID, variableToken)
		f.Fix = replaceKey(d, e)
	case id != secret:
		f.Check, f.Message = "operator-identity-incomplete", fmt.Sprintf("The operator's AccessKey is incomplete: %s is not "+
			"set.", map[bool]string{true: variableSecret, false: variableID}[id])
		f.Fix = replaceKey(d, e)
	case id, e.unknown, slices.ContainsFunc(furtherSources, e.has), !s.needsOperatorIdentity():
		return nil
	default:
		return withoutSource(s, d, e, f)
	}
	return []Finding{f}
}

// withoutSource returns the finding about an operator for which no source is configured.
func withoutSource(s *Snapshot, d *appsv1.Deployment, e *environment, f Finding) []Finding {
	disabled, set := e.values[variableNoECS]
	namespace := s.Namespaces[d.Namespace]
	injected := d.Spec.Template.Labels[injectionLabel] == "on" || namespace != nil && namespace.Labels[injectionLabel] == "on"
	switch {
	case injected && len(s.podsOf(d)) == 0:
		return nil // what the webhook injects is in the pods
	case injected:
		f.Check, f.Message = "operator-rrsa-not-injected", "RRSA is configured for the operator, and ack-pod-identity-webhook "+
			"injected nothing into its pods."
		f.Fix = fmt.Sprintf("# Check that the add-on ack-pod-identity-webhook runs, and that the ServiceAccount names the role:\n# "+
			"kubectl -n %s get serviceaccount %s -o yaml\n%s",
			d.Namespace, d.Spec.Template.Spec.ServiceAccountName, onDeployment(d, "rollout restart", ""))
	case strings.EqualFold(disabled, "true"):
		f.Check, f.Message = "operator-identity-missing", "The operator has no identity to call STS with: neither an AccessKey nor "+
			"RRSA is configured."
		if e.from != "" {
			f.Message = fmt.Sprintf("The operator has no identity to call STS with: Secret %s has the keys %s, and not %s and "+
				"%s.", e.from, s.keysOf(d, e.from), variableID, variableSecret)
		} else if e.missingOptional != "" {
			f.Message = fmt.Sprintf("The operator has no identity to call STS with: Secret %s does not exist, and RRSA is not "+
				"configured.", e.missingOptional)
		}
		f.Fix = replaceKey(d, e)
	case !set && !e.has(variableECS) && d.Labels[helmChartLabel] == "":
		f.Check = "operator-node-role"
		f.Message = fmt.Sprintf("The operator has no identity of its own, and %s is not set: it acts as the RAM role of its node, "+
			"which every pod of the node can use.", variableNoECS)
		f.Fix = "# If that is on purpose, set the variable to false.\n" + onDeployment(d, "set "+
			"env", "-c "+ManagerContainer+" "+variableNoECS+"=true") + "\n" + replaceKey(d, e)
	default:
		return nil // the node's role, on purpose
	}
	return []Finding{f}
}

// keysOf returns the names of the keys of an operator's Secret.
func (s *Snapshot) keysOf(d *appsv1.Deployment, name string) string {
	secret := s.OperatorSecrets[types.NamespacedName{Namespace: d.Namespace, Name: name}]
	keys := slices.Sorted(maps.Keys(secret.Data))
	if len(keys) == 0 {
		return "(none)"
	}
	return strings.Join(keys[:min(len(keys), 5)], ", ")
}

// needsOperatorIdentity reports whether an StsCredential uses the operator's identity.
func (s *Snapshot) needsOperatorIdentity() bool {
	for i := range s.Credentials {
		if s.Credentials[i].Spec.Identity == nil {
			return true
		}
	}
	return false
}

// literals are the arguments that take an AccessKey from the user's shell, so that no value is printed.
const literals = `--from-literal=` + variableID + `="$` + variableID + `" --from-literal=` + variableSecret + `="$` + variableSecret + `"`

// setVariables says what the commands need.
const setVariables = "# Set both variables to the AccessKey of the operator's RAM user first.\n"

func createKey(d *appsv1.Deployment, name string) string {
	return fmt.Sprintf("%skubectl -n %s create secret generic %s \\\n  %s", setVariables, d.Namespace, name, literals)
}

// replaceKey writes an AccessKey to the Secret of the operator, and restarts it.
func replaceKey(d *appsv1.Deployment, e *environment) string {
	name := usualSecretName
	switch {
	case e.from != "":
		name = e.from
	case e.missingOptional != "":
		return createKey(d, e.missingOptional) + "\n" + onDeployment(d, "rollout restart", "")
	}
	fix := fmt.Sprintf("%skubectl -n %s create secret generic %s \\\n  %s \\\n  --dry-run=client -o yaml | kubectl apply "+
		"--server-side --force-conflicts -f -\n", setVariables, d.Namespace, name, literals)
	if e.from == "" {
		fix += onDeployment(d, "set env", "-c "+ManagerContainer+" --from=secret/"+name) + "\n"
	}
	return fix + onDeployment(d, "rollout restart", "")
}
