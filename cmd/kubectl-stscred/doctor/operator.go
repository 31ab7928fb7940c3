// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
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
