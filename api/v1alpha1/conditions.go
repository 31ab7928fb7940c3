// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Conditions of an StsCredential. Ready is positive. The others are abnormal: they are True or absent, as kstatus expects, so
// that `kubectl wait`, Flux and Argo CD understand them.
const (
	// ConditionReady is True while the Secret holds valid credentials for the current spec. A failed early renewal does not
	// change it.
	ConditionReady = "Ready"
	// ConditionRenewalFailing is True while Ready is True and the last attempt to renew failed, with the reasons of Ready.
	ConditionRenewalFailing = "RenewalFailing"
	// ConditionReconciling is True while Ready is not True and the operator retries.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True while Ready is False and a user must act.
	ConditionStalled = "Stalled"
	// ConditionPodsStale is True while running pods use superseded credentials or none, cannot read the current ones, and
	// spec.rollout does not restart them. Pods that terminate by themselves, such as those of Jobs, count when a quarter of the
	// lifetime of their credentials is left. Only with --track-consumers.
	ConditionPodsStale = "PodsStale"
	// ConditionRolloutFailing is True while workloads that spec.rollout selects are not restarted, or not in time.
	ConditionRolloutFailing = "RolloutFailing"
)

// Reasons of the condition Ready, and of RenewalFailing except for Issued, Suspended, Expired and Issuing. The first
// reason that applies is reported.
const (
	// ReasonIssued (Ready True): the Secret holds valid credentials for the current spec.
	ReasonIssued = "Issued"
	// ReasonInvalidSpec: the operator or STS rejects a value of the spec.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonSuspended: spec.suspend is true and the Secret holds no valid credentials for this spec.
	ReasonSuspended = "Suspended"
	// ReasonRoleNotGranted: no StsRoleGrant allows the request.
	ReasonRoleNotGranted = "RoleNotGranted"
	// ReasonSecretConflict: a Secret of that name exists and does not belong to this StsCredential.
	ReasonSecretConflict = "SecretConflict"
	// ReasonSecretWriteFailed: the API server refused the Secret (quota, admission, immutable, terminating namespace).
	ReasonSecretWriteFailed = "SecretWriteFailed"
	// ReasonIdentityUnavailable: the identity has no credentials to call STS, or STS does not accept them.
	ReasonIdentityUnavailable = "IdentityUnavailable"
	// ReasonRoleRefused: STS refused the request (trust policy, permission, missing role, duration).
	ReasonRoleRefused = "RoleRefused"
	// ReasonThrottled: STS throttles the account, which makes too many calls.
	ReasonThrottled = "Throttled"
	// ReasonSTSUnavailable: STS did not answer, or its response was incomplete.
	ReasonSTSUnavailable = "STSUnavailable"
	// ReasonExpired: the credentials in the Secret have expired, and no other error is known.
	ReasonExpired = "Expired"
	// ReasonIssuing (Ready Unknown): no credentials are issued yet, and no error is known.
	ReasonIssuing = "Issuing"
)

// ReasonPodsOutliveCredentials is the reason of PodsStale.
const ReasonPodsOutliveCredentials = "PodsOutliveCredentials"

// Reasons of RolloutFailing. The first reason that applies is reported.
const (
	// ReasonRolloutUnfinished: pods that should be replaced have less than a tenth of the lifetime of their credentials left,
	// or no valid credentials for half an hour.
	ReasonRolloutUnfinished = "RolloutUnfinished"
	// ReasonRolloutsDisabled: the operator runs without --rollouts, or without the right to watch pods.
	ReasonRolloutsDisabled = "RolloutsDisabled"
	// ReasonRolloutForbidden: the operator may not read or patch the workload.
	ReasonRolloutForbidden = "RolloutForbidden"
	// ReasonTargetNotFound: a workload of spec.rollout.targets does not exist, or its kind is not installed in the cluster.
	ReasonTargetNotFound = "TargetNotFound"
	// ReasonWorkloadPaused: the workload is paused, so a changed template replaces no pod.
	ReasonWorkloadPaused = "WorkloadPaused"
	// ReasonStrategyUnsuited: the workload's update strategy replaces no pod, or not all, when the template's annotations
	// change.
	ReasonStrategyUnsuited = "StrategyUnsuited"
	// ReasonRolloutRefused: the API server refused the patch of the workload, or did not answer.
	ReasonRolloutRefused = "RolloutRefused"
)

// Reasons of events about restarts.
const (
	// ReasonRestarted: a workload was restarted after a renewal.
	ReasonRestarted = "Restarted"
	// ReasonFrequentRestarts: with this spec.duration, spec.rollout restarts workloads many times a day.
	ReasonFrequentRestarts = "FrequentRestarts"
)

// Annotations that users may set.
const (
	// AnnotationRenewRequestedAt on an StsCredential requests one renewal, for each new value.
	AnnotationRenewRequestedAt = "sts.alibabacloud.com/renew-requested-at"
	// AnnotationAdopt on a Secret that the operator does not own allows the StsCredential of this name, in the same namespace,
	// to write to it.
	AnnotationAdopt = "sts.alibabacloud.com/adopt"
)

// The agent in a pod.
const (
	// LabelAgent on a pod names the Secret that stscred-agent serves in it, by format URI. A pod with the label and the agent is
	// not stale and is not restarted for the Secret, unless a container also reads it through env, envFrom or subPath.
	LabelAgent = "sts.alibabacloud.com/agent"
	// AnnotationAgentPort on a pod template sets the port of the agent on 127.0.0.1. The default is 7171.
	AnnotationAgentPort = "sts.alibabacloud.com/agent-port"
	// AgentContainer is the name of the init container (a native sidecar) that runs the agent.
	AgentContainer = "stscred-agent"
)

// FinalizerAdoptedSecret keeps an StsCredential until its keys are removed from an adopted Secret.
const FinalizerAdoptedSecret = "sts.alibabacloud.com/adopted-secret"
