// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package doctor finds what keeps StsCredentials and their workloads from working, and what repairs it. Its checks are pure:
// they take a Snapshot of the cluster.
package doctor

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Stage is a part of the way from the StsCredential to the pods. Stages are checked in the order of Stages.
type Stage string

// The stages.
const (
	StageCluster  Stage = "cluster"  // the API and the operator
	StageGrant    Stage = "grant"    // may the namespace assume the role
	StageIdentity Stage = "identity" // who calls STS
	StageSTS      Stage = "sts"      // what STS answers
	StageSecret   Stage = "secret"   // the Secret and its write
	StagePods     Stage = "pods"     // the pods that read the Secret, and their restarts
)

// Stages returns all stages, in order.
func Stages() []Stage {
	return []Stage{StageCluster, StageGrant, StageIdentity, StageSTS, StageSecret, StagePods}
}

// Finding is one thing that is wrong.
type Finding struct {
	// Check that found it, such as "grant-missing". Stable: programs may compare it.
	Check string `json:"check"`
	Stage Stage  `json:"stage"`
	// Object that it is about, such as "StsCredential shop/orders-reader".
	Object string `json:"object"`
	// Message is what fails and its cause, with what was seen. One sentence or two.
	Message string `json:"message"`
	// Fix is what repairs it: commands or a document to paste, with a comment where a decision is needed. Never empty.
	Fix string `json:"fix"`
}

// Healthy is the result of a check that found nothing.
type Healthy struct {
	Check   string `json:"check"`
	Stage   Stage  `json:"stage"`
	Object  string `json:"object,omitempty"`
	Message string `json:"message"`
}

// Unread is what could not be read, such as nodes for want of rights. Checks that need it find nothing.
type Unread struct {
	// Resource such as "nodes" or "secrets in namespace shop".
	Resource string `json:"resource"`
	// Reason is the answer of the API server.
	Reason string `json:"reason"`
	// Consequence is what is not checked therefore.
	Consequence string `json:"consequence"`
	// Requested: the user asked for it. Without -A, objects outside the namespace are not requested.
	Requested bool `json:"requested"`
}

// Report is what doctor prints with -o json. Fields are added, never renamed.
type Report struct {
	metav1.TypeMeta `json:",inline"`
	Findings        []Finding `json:"findings"`
	Healthy         []Healthy `json:"healthy"`
	Unread          []Unread  `json:"unread"`
}

// Snapshot is the state of the cluster that the checks judge. A field whose objects could not be read is empty, and Unread
// says so.
type Snapshot struct {
	// LocalTime is the time of the user's machine when the API server answered with ServerTime (its Date header).
	LocalTime, ServerTime time.Time
	// PluginVersion is the version of the plugin, such as v1.2.3.
	PluginVersion string
	// CRDs are the CustomResourceDefinitions of the API group, by name. A key without value means that it is not installed.
	CRDs map[string]*unstructured.Unstructured
	// Operators are the Deployments of the operator, of all namespaces that can be read.
	Operators []appsv1.Deployment
	// OperatorPods are the pods of the Deployments.
	OperatorPods []corev1.Pod
	// OperatorSecrets are the Secrets that the operator's environment comes from, with masked values. A key without value means
	// that the Secret was looked for and does not exist.
	OperatorSecrets map[types.NamespacedName]*corev1.Secret
	// Leases are the leases of the operator's leader election.
	Leases []coordinationv1.Lease
	// NodeLeases are the leases of the kubelets.
	NodeLeases []coordinationv1.Lease
	Nodes      []corev1.Node
	Grants     []v1alpha1.StsRoleGrant
	// Namespaces by name: all, or those of the StsCredentials.
	Namespaces map[string]*corev1.Namespace
	// AllNamespaces: Namespaces and Credentials are those of the whole cluster.
	AllNamespaces bool
	Credentials   []v1alpha1.StsCredential
	// Secrets of the namespaces of the StsCredentials that an StsCredential writes or reads, by namespace and name. Those that
	// it writes are stripped as by secret.Strip, the values of others are masked. A key without value means that it was looked
	// for and does not exist.
	Secrets map[types.NamespacedName]*corev1.Secret
	// Quotas of the namespaces of the StsCredentials.
	Quotas []corev1.ResourceQuota
	// Pods of the namespaces of the StsCredentials.
	Pods []corev1.Pod
	// views are Pods by namespace, with how they read Secrets; see podsIn.
	views map[string][]*podView
	// Workloads are the targets of spec.rollout, by kind, namespace and name joined by slashes. A key without value means that
	// it does not exist.
	Workloads map[string]*unstructured.Unstructured
	Unread    []Unread
}

// clusterCheck judges what is not about one StsCredential.
type clusterCheck struct {
	name  string
	stage Stage
	// needs reports whether what the check needs was read.
	needs func(s *Snapshot) bool
	find  func(s *Snapshot) []Finding
	// healthy is the message if nothing is found.
	healthy string
}

// credentialCheck judges one StsCredential, which is the object of its findings.
type credentialCheck struct {
	name    string
	stage   Stage
	needs   func(s *Snapshot, c *v1alpha1.StsCredential) bool
	find    func(s *Snapshot, c *v1alpha1.StsCredential) []Finding
	healthy string
}

// newReport returns a report without results.
func newReport(s *Snapshot) Report {
	return Report{
		TypeMeta: metav1.TypeMeta{APIVersion: "stscred.alibabacloud.com/v1", Kind: "DoctorReport"},
		Findings: []Finding{}, Healthy: []Healthy{}, Unread: slices.Concat([]Unread{}, s.Unread),
	}
}

// Check runs all checks.
func Check(s *Snapshot) Report {
	r := newReport(s)
	for _, check := range clusterChecks {
		if check.needs != nil && !check.needs(s) {
			continue
		}
		found := check.find(s)
		if len(found) == 0 {
			r.Healthy = append(r.Healthy, Healthy{Check: check.name, Stage: check.stage, Message: check.healthy})
		}
		r.add(check.name, check.stage, found)
	}
	ofCluster := slices.Clone(r.Findings)
	for i := range s.Credentials {
		r.checkCredential(s, &s.Credentials[i], ofCluster)
	}
	order := Stages()
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Stage), slices.Index(order, b.Stage))
	})
	return r
}

// checkCredential runs the checks of one StsCredential. One cause has one finding: after a finding about its credentials, or one
// of the cluster that explains why it has none, only its pods are checked.
func (r *Report) checkCredential(s *Snapshot, c *v1alpha1.StsCredential, ofCluster []Finding) {
	explained := slices.ContainsFunc(ofCluster, func(f Finding) bool { return explains(f, c) })
	for _, check := range credentialChecks {
		if explained && check.stage != StagePods || check.needs != nil && !check.needs(s, c) {
			continue
		}
		found := check.find(s, c)
		if len(found) == 0 {
			r.Healthy = append(r.Healthy, Healthy{Check: check.name, Stage: check.stage, Object: objectOf(c), Message: check.healthy})
		}
		for i := range found {
			found[i].Object = objectOf(c)
		}
		r.add(check.name, check.stage, found)
		explained = explained || len(found) > 0
	}
}

// add appends the findings of a check.
func (r *Report) add(check string, stage Stage, found []Finding) {
	for _, f := range found {
		f.Check, f.Stage = cmp.Or(f.Check, check), cmp.Or(f.Stage, stage)
		r.Findings = append(r.Findings, f)
	}
}

// CheckNames returns the names of all checks, in the order in which they run.
func CheckNames() (names []string) {
	for _, check := range clusterChecks {
		names = append(names, check.name)
	}
	for _, check := range credentialChecks {
		names = append(names, check.name)
	}
	return names
}

// one returns one finding. The runner of the checks adds the rest.
func one(message, fix string) []Finding { return []Finding{{Message: message, Fix: fix}} }

// onReason is a check for a reason of an StsCredential that has a problem. An empty fix says that another check judges it.
func onReason(name string, stage Stage, healthy, reason string, fix func(s *Snapshot, c *v1alpha1.StsCredential, message string) string) credentialCheck {
	return credentialCheck{name: name, stage: stage, healthy: healthy, find: func(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
		found := problemOf(c, reason)
		if found == nil {
			return nil
		}
		text := fix(s, c, found.Message)
		if text == "" {
			return nil
		}
		return one(because(s, c, found.Message), text)
	}}
}

// objectOf names an StsCredential in a finding.
func objectOf(c *v1alpha1.StsCredential) string { return "StsCredential " + c.Namespace + "/" + c.Name }
