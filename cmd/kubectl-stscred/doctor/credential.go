// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// credentialChecks are the checks of one StsCredential, its Secret and its pods, in the order of the stages. The checks of the
// credentials come before those of the pods.
var credentialChecks = slices.Concat(specChecks, grantChecks, identityChecks, stsChecks, secretChecks, lastChecks, podChecks, rolloutChecks)

// harmless are the cluster checks whose findings keep no credentials from being issued.
var harmless = []string{"operator-version", "crd-version", "grant-unused", "temporary-key-literal", "clock-skew-local"}

// explains reports whether a finding about the cluster is why the credentials of an StsCredential are not issued.
func explains(f Finding, c *v1alpha1.StsCredential) bool {
	if slices.Contains(harmless, f.Check) || problem(c) == nil {
		return false
	}
	message := problem(c).Message
	switch f.Check {
	case "clock-skew-node":
		return strings.HasPrefix(codeIn(message), "InvalidTimeStamp") || strings.HasSuffix(codeIn(message), ".Expired")
	case "renewals-late":
		return strings.Contains(message, "call budget")
	}
	return f.Stage == StageCluster || f.Stage == StageIdentity && c.Spec.Identity == nil
}

// problem returns the condition that says why credentials are not issued or not renewed; nil if nothing is wrong. Without a
// status it is an empty condition.
func problem(c *v1alpha1.StsCredential) *metav1.Condition {
	if failing := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRenewalFailing); failing != nil && failing.Status == metav1.ConditionTrue {
		return failing
	}
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return &metav1.Condition{}
	case ready.Status == metav1.ConditionTrue:
		return nil
	}
	return ready
}

// problemOf returns the problem if it has one of the reasons; else nil.
func problemOf(c *v1alpha1.StsCredential, reasons ...string) *metav1.Condition {
	if found := problem(c); found != nil && slices.Contains(reasons, found.Reason) {
		return found
	}
	return nil
}

// usable reports whether the Secret holds valid credentials for the spec.
func usable(s *Snapshot, c *v1alpha1.StsCredential) bool {
	return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) &&
		(c.Status.ExpiresAt == nil || s.now().Before(c.Status.ExpiresAt.Time))
}

// now is the time of the API server, or of the user's machine if that is unknown.
func (s *Snapshot) now() time.Time {
	if s.ServerTime.IsZero() {
		return s.LocalTime
	}
	return s.ServerTime
}

// because adds to the message of a condition until when the credentials work.
func because(s *Snapshot, c *v1alpha1.StsCredential, message string) string {
	message = sentence(message)
	expires := c.Status.ExpiresAt
	switch {
	case expires == nil:
		return message
	case s.now().Before(expires.Time):
		return message + " The current credentials expire at " + expires.UTC().Format(time.RFC3339) + "."
	}
	return message + " The credentials expired at " + expires.UTC().Format(time.RFC3339) + "."
}

// sentence returns text that begins with a capital letter and ends with a full stop. Names at the beginning stay as they are.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	first, _, _ := strings.Cut(text, " ")
	if !strings.ContainsAny(first, "./:") && strings.ToLower(first) == first {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "…") {
		text += "."
	}
	return text
}

// pendingFor is how long an StsCredential may be without an answer of the operator.
const pendingFor = time.Minute

// lastChecks find what no other check explains.
var lastChecks = []credentialCheck{
	{name: "not-reconciled", stage: StageSecret, find: findNotReconciled, healthy: "The operator reconciles the StsCredential."},
	{name: "not-ready", stage: StageSecret, find: findNotReady, healthy: "The StsCredential is ready."},
}

// findNotReconciled finds StsCredentials that the operator does not look at.
func findNotReconciled(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if problem(c) == nil || problem(c).Type != "" || s.now().Sub(c.CreationTimestamp.Time) < pendingFor || !c.DeletionTimestamp.IsZero() {
		return nil
	}
	selector, namespaces := s.operatorFlag("selector"), s.operatorFlag("namespaces")
	fix := []string{"# Check that the operator runs, and that --namespaces and --selector include the StsCredential."}
	cause := "The operator has not reconciled it for more than a minute."
	switch {
	case selector != "" && !matches(selector, c.Labels):
		cause = "The operator reconciles only StsCredentials with the labels " + selector + " (--selector)."
		fix = []string{comment("Set labels that match the selector.")}
		if set, err := labels.ConvertSelectorToLabelsMap(selector); err == nil {
			command := []string{"label", "stscredential", c.Name, "--overwrite"}
			for _, name := range slices.Sorted(maps.Keys(set)) {
				command = append(command, word(name+"="+set[name]))
			}
			fix = []string{kubectl(c.Namespace, command...)}
		}
	case namespaces != "" && !slices.Contains(strings.Split(namespaces, ","), c.Namespace):
		cause = "The operator reconciles only the namespaces " + namespaces + " (--namespaces)."
		fix = []string{"# Ask a cluster administrator to add the namespace (chart: namespaces)."}
	}
	fix = append(fix, kubectl(c.Namespace, "get", "stscredential", c.Name, "-o", "yaml"))
	return []Finding{{Object: objectOf(c), Message: cause, Fix: script(fix...)}}
}

// findNotReady finds what no other check explains, if it has lasted for a minute.
func findNotReady(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	found := problem(c)
	if found == nil || found.Type == "" {
		return nil
	}
	if found.Type == v1alpha1.ConditionReady && found.Status == metav1.ConditionUnknown && s.now().Sub(found.LastTransitionTime.Time) < pendingFor {
		return nil
	}
	if found.ObservedGeneration != c.Generation && s.now().Sub(found.LastTransitionTime.Time) < pendingFor {
		return nil
	}
	return []Finding{{
		Object: objectOf(c), Message: because(s, c, found.Reason+": "+found.Message),
		Fix: script("# "+found.Reason+": see what it means, and follow the message.", "kubectl stscred explain "+found.Reason),
	}}
}
