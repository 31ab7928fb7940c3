// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// State is what is known of a stage.
type State string

// The states.
const (
	StateGood    State = "Good"
	StateBad     State = "Bad"
	StateUnknown State = "Unknown" // it could not be checked
)

// Link is one stage of the chain from the grant to the pods of one StsCredential.
type Link struct {
	Stage Stage `json:"stage"`
	State State `json:"state"`
	// Message is what was seen, or why nothing could be seen. It is empty if there are findings.
	Message  string    `json:"message,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
}

// Chain is what status prints with -o json. Fields are added, never renamed.
type Chain struct {
	metav1.TypeMeta `json:",inline"`
	Namespace       string   `json:"namespace"`
	Name            string   `json:"name"`
	Good            bool     `json:"good"` // whether all stages are
	Links           []Link   `json:"links"`
	Unread          []Unread `json:"unread"`
}

// CheckOne runs the checks of one StsCredential, without those of the cluster.
func CheckOne(s *Snapshot, c *v1alpha1.StsCredential) Report {
	r := newReport(s)
	r.checkCredential(s, c, nil)
	return r
}

// NewChain returns the stages of one StsCredential, from a report about it. The stage of the cluster is in it only if
// something is wrong there.
func NewChain(r Report, c *v1alpha1.StsCredential, now time.Time) Chain {
	chain := Chain{
		TypeMeta:  metav1.TypeMeta{APIVersion: r.APIVersion, Kind: "StatusReport"},
		Namespace: c.Namespace, Name: c.Name, Good: true, Links: []Link{}, Unread: slices.Concat([]Unread{}, r.Unread),
	}
	broken := Stage("")
	for _, stage := range Stages() {
		link := newLink(r, c, stage, broken, now)
		if link.State == StateBad {
			broken = cmp.Or(broken, stage)
		}
		if stage == StageCluster && link.State != StateBad {
			continue
		}
		chain.Good = chain.Good && link.State == StateGood
		chain.Links = append(chain.Links, link)
	}
	return chain
}

// newLink judges a stage; broken is the first stage before it that is bad.
func newLink(r Report, c *v1alpha1.StsCredential, stage, broken Stage, now time.Time) Link {
	link := Link{Stage: stage}
	for _, f := range r.Findings {
		if f.Stage == stage && concerns(f, c) {
			link.Findings = append(link.Findings, f)
		}
	}
	failed := failure(c)
	switch {
	case len(link.Findings) > 0:
		link.State = StateBad
	case len(r.Findings) == 0 && failed != nil && stageOf(failed.Reason) == stage:
		link.State, link.Message = StateBad, failed.Reason+": "+failed.Message
	case works(r, c, stage, broken, now):
		link.State, link.Message = StateGood, describeGood(c, stage, now)
	case broken != "":
		link.State, link.Message = StateUnknown, fmt.Sprintf("not known before %q is repaired", broken)
	default:
		link.State, link.Message = StateUnknown, describeUnknown(c, stage)
	}
	return link
}

// works reports whether a stage without findings is known to work, by its checks or by what the operator wrote to the status.
func works(r Report, c *v1alpha1.StsCredential, stage, broken Stage, now time.Time) bool {
	checked := slices.ContainsFunc(r.Healthy, func(h Healthy) bool { return h.Stage == stage && h.Object == objectOf(c) })
	ready := isReady(c, now)
	switch stage {
	case StagePods:
		return checked || allPodsCurrent(c)
	case StageSTS, StageSecret:
		return ready
	default:
		return ready || checked && broken == ""
	}
}

// failure returns the condition that says what is wrong; nil if nothing is.
func failure(c *v1alpha1.StsCredential) *metav1.Condition {
	if meta.IsStatusConditionFalse(c.Status.Conditions, v1alpha1.ConditionReady) {
		return meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	}
	for _, kind := range []string{v1alpha1.ConditionRenewalFailing, v1alpha1.ConditionRolloutFailing, v1alpha1.ConditionPodsStale} {
		if meta.IsStatusConditionTrue(c.Status.Conditions, kind) {
			return meta.FindStatusCondition(c.Status.Conditions, kind)
		}
	}
	return nil
}

// stageOf returns the stage that a condition with this reason is about.
func stageOf(reason string) Stage {
	switch reason {
	case v1alpha1.ReasonRoleNotGranted, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonSuspended:
		return StageGrant
	case v1alpha1.ReasonIdentityUnavailable:
		return StageIdentity
	case v1alpha1.ReasonRoleRefused, v1alpha1.ReasonThrottled, v1alpha1.ReasonSTSUnavailable, v1alpha1.ReasonExpired:
		return StageSTS
	case v1alpha1.ReasonSecretConflict, v1alpha1.ReasonSecretWriteFailed:
		return StageSecret
	}
	return StagePods
}

// concerns reports whether a finding is about an StsCredential, or about what it needs.
func concerns(f Finding, c *v1alpha1.StsCredential) bool {
	usesOperatorIdentity := c.Spec.Identity == nil
	return f.Object == objectOf(c) || f.Stage == StageCluster ||
		f.Stage == StageIdentity && usesOperatorIdentity && !isCredential(f.Object)
}

// isCredential reports whether a finding's object is an StsCredential.
func isCredential(object string) bool {
	const kind = "StsCredential "
	return len(object) > len(kind) && object[:len(kind)] == kind
}

// isReady reports whether the operator says that the Secret holds valid credentials for the current spec. It has then checked
// all stages but the pods.
func isReady(c *v1alpha1.StsCredential, now time.Time) bool {
	return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) && c.Status.ObservedGeneration == c.Generation &&
		c.Status.ExpiresAt != nil && now.Before(c.Status.ExpiresAt.Time)
}

// allPodsCurrent reports whether the operator counts pods, and none is stale.
func allPodsCurrent(c *v1alpha1.StsCredential) bool {
	return c.Status.Consumers != nil && c.Status.Consumers.Stale == 0
}

// describeGood says what works in a good stage.
func describeGood(c *v1alpha1.StsCredential, stage Stage, now time.Time) string {
	role := cmp.Or(c.Status.RoleName, c.Spec.RoleARN)
	switch stage {
	case StageGrant:
		switch {
		case c.Spec.Identity != nil:
			return "not needed: spec.identity is set, so the trust policy of the role decides"
		case c.Status.GrantName == "":
			return "allows role " + role
		}
		return fmt.Sprintf("StsRoleGrant %q allows role %s", c.Status.GrantName, role)
	case StageIdentity:
		return caller(c.Spec.Identity)
	case StageSTS:
		if c.Status.IssuedAt == nil || c.Status.ExpiresAt == nil {
			return "credentials are issued"
		}
		return fmt.Sprintf("issued at %s, expire at %s (in %s)", format(c.Status.IssuedAt), format(c.Status.ExpiresAt),
			duration.HumanDuration(c.Status.ExpiresAt.Sub(now)))
	case StageSecret:
		return fmt.Sprintf("Secret %q holds the credentials", c.SecretName())
	case StagePods:
		if consumers := c.Status.Consumers; consumers != nil {
			return fmt.Sprintf("%d pods read the Secret, %d of them superseded credentials", consumers.Pods, consumers.Stale)
		}
		return "all pods that read the Secret have the current credentials"
	case StageCluster:
	}
	return ""
}

// describeUnknown says why a stage could not be checked.
func describeUnknown(c *v1alpha1.StsCredential, stage Stage) string {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case stage == StagePods:
		return "pods could not be read, and the operator does not count them"
	case ready == nil:
		return "the operator has not reconciled the StsCredential yet"
	case ready.Status != metav1.ConditionTrue:
		return ready.Message
	case c.Status.ObservedGeneration != c.Generation:
		return "the operator has not reconciled the current spec yet"
	}
	return "could not be checked"
}

// caller names who calls STS.
func caller(identity *v1alpha1.IdentitySpec) string {
	switch {
	case identity == nil:
		return "the operator calls STS"
	case identity.ServiceAccount != nil:
		return fmt.Sprintf("ServiceAccount %q calls STS", identity.ServiceAccount.Name)
	case identity.AccessKey != nil:
		return fmt.Sprintf("the AccessKey in Secret %q calls STS", identity.AccessKey.SecretName)
	}
	return ""
}

func format(t *metav1.Time) string { return t.UTC().Format(time.RFC3339) }
