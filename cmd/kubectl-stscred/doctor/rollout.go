// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
)

var rolloutChecks = []credentialCheck{
	{name: "rollout-blocked", stage: StagePods, find: findBlockedRollout, healthy: "Restarts of workloads are not blocked."},
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
	return []Finding{{Object: objectOf(c), Message: sentence(failing.Reason + ": " + failing.Message), Fix: s.rolloutFix(c, failing.Reason, failing.Message, g)}}
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
		return s.targetFix(c, g.workload)
	case v1alpha1.ReasonWorkloadPaused:
		if g.workload.Kind == "Deployment" {
			return script(kubectl(c.Namespace, "rollout", "resume", resource+"/"+name),
				comment("The operator restarts it within five minutes. This restarts it at once:"), g.restart(c.Namespace))
		}
		return mergePatch(c.Namespace, resource, name, object{"spec": object{"updateStrategy": object{"paused": false}}})
	case v1alpha1.ReasonStrategyUnsuited:
		return strategyFix(c.Namespace, message, g)
	case v1alpha1.ReasonRolloutUnfinished:
		lines := []string{comment("See why new pods do not become ready, or what keeps the old ones:"), kubectl(c.Namespace, "describe", resource, name)}
		return script(append(lines, comment("Or delete the old pods, which the message names."))...)
	}
	return script(comment("Correct what the message names. The operator retries after five minutes."), kubectl(c.Namespace, "get", resource, name, "-o", "yaml"))
}

// targetFix removes a target that does not exist.
func (s *Snapshot) targetFix(c *v1alpha1.StsCredential, missing consumers.Workload) string {
	i := slices.IndexFunc(c.Spec.Rollout.Targets, func(t v1alpha1.RolloutTarget) bool { return t.Kind == missing.Kind && t.Name == missing.Name })
	if i < 0 {
		return script(comment("Correct spec.rollout.targets."), kubectl(c.Namespace, "edit", "stscredential", c.Name))
	}
	targets := []object{}
	for j, t := range c.Spec.Rollout.Targets {
		if j != i {
			targets = append(targets, object{"kind": t.Kind, "name": t.Name})
		}
	}
	return script(comment("Correct the kind or name of the target, create the workload, or remove the target:"),
		s.patchSpec(c, object{"rollout": object{"targets": targets}}))
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
