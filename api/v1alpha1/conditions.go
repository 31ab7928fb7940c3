// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Conditions of a StsCredential. Ready is positive; the others are abnormal while True and absent otherwise, as kstatus
// expects, so that `kubectl wait`, Flux and Argo CD read them without a plug-in.
const (
	// ConditionReady is True while the Secret holds credentials, for the current spec, that work now. A renewal that
	// fails early does not change it.
	ConditionReady = "Ready"
	// ConditionRenewalFailing is True while Ready is True and the last attempt to renew failed, with the reasons of Ready.
	ConditionRenewalFailing = "RenewalFailing"
	// ConditionReconciling is True while Ready is not and the operator goes on trying by itself.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True while Ready is False and a person must act.
	ConditionStalled = "Stalled"
	// ConditionPodsStale is True while running pods use superseded credentials or none, cannot read what the Secret holds
	// now, and nobody is asked to restart them. Pods that end by themselves, as those of Jobs do, count once a quarter of the
	// life of what they hold is left. Only with --track-consumers.
	ConditionPodsStale = "PodsStale"
	// ConditionRolloutFailing is True while workloads that spec.rollout asks to restart are not restarted, or not in time.
	ConditionRolloutFailing = "RolloutFailing"
)

// Reasons of the condition Ready, and of RenewalFailing except for Issued, Suspended, Expired and Issuing. Where several
// apply, the one that stands first here is told.
const (
	// ReasonIssued (Ready True): the Secret holds credentials for the current spec that work now.
	ReasonIssued = "Issued"
	// ReasonInvalidSpec: the spec, or STS on seeing it, says that it can never work as it is written.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonSuspended: spec.suspend is true and the Secret holds no valid credentials for this spec.
	ReasonSuspended = "Suspended"
	// ReasonRoleNotGranted: no StsRoleGrant lets this namespace make this request.
	ReasonRoleNotGranted = "RoleNotGranted"
	// ReasonSecretConflict: a Secret of the target's name exists and belongs to somebody else.
	ReasonSecretConflict = "SecretConflict"
	// ReasonSecretWriteFailed: the API server refused the Secret (quota, admission, immutable, namespace ending).
	ReasonSecretWriteFailed = "SecretWriteFailed"
	// ReasonIdentityUnavailable: the operator has no identity to call STS with, or STS does not know or accept it.
	ReasonIdentityUnavailable = "IdentityUnavailable"
	// ReasonRoleRefused: STS said no (trust policy, permission, missing role, duration).
	ReasonRoleRefused = "RoleRefused"
	// ReasonThrottled: STS asks to call later, since the account makes too many calls.
	ReasonThrottled = "Throttled"
	// ReasonSTSUnavailable: STS did not answer, or not with a whole answer.
	ReasonSTSUnavailable = "STSUnavailable"
	// ReasonExpired: what the Secret holds has expired and nothing else is known to be wrong.
	ReasonExpired = "Expired"
	// ReasonIssuing (Ready Unknown): nothing is issued yet and nothing is wrong.
	ReasonIssuing = "Issuing"
)

// ReasonPodsOutliveCredentials is the reason of PodsStale.
const ReasonPodsOutliveCredentials = "PodsOutliveCredentials"

// Reasons of RolloutFailing. Where several apply, the one that stands first here is told.
const (
	// ReasonRolloutUnfinished: less than a tenth of the life of their credentials is left to pods that should be replaced, or
	// they have held nothing that works for half an hour.
	ReasonRolloutUnfinished = "RolloutUnfinished"
	// ReasonRolloutsDisabled: the operator runs without --rollouts, or without the right to watch pods.
	ReasonRolloutsDisabled = "RolloutsDisabled"
	// ReasonRolloutForbidden: the operator may not read or patch the workload.
	ReasonRolloutForbidden = "RolloutForbidden"
	// ReasonTargetNotFound: a workload of spec.rollout.targets does not exist, or its kind is not installed in the cluster.
	ReasonTargetNotFound = "TargetNotFound"
	// ReasonWorkloadPaused: the workload is paused, so that a changed template would replace no pod.
	ReasonWorkloadPaused = "WorkloadPaused"
	// ReasonStrategyUnsuited: the workload's update strategy replaces no pod, or not all, when the template's annotations
	// change.
	ReasonStrategyUnsuited = "StrategyUnsuited"
	// ReasonRolloutRefused: the API server refused the patch of the workload, or did not answer.
	ReasonRolloutRefused = "RolloutRefused"
)

// Reasons of events that tell of restarts.
const (
	// ReasonRestarted: a workload was restarted after a renewal.
	ReasonRestarted = "Restarted"
	// ReasonFrequentRestarts: with this spec.duration, spec.rollout restarts workloads many times a day.
	ReasonFrequentRestarts = "FrequentRestarts"
)

// Annotations that users may set.
const (
	// AnnotationRenewRequestedAt on a StsCredential asks for one renewal now, once for each new value.
	AnnotationRenewRequestedAt = "sts.alibabacloud.com/renew-requested-at"
	// AnnotationAdopt on a Secret that is not the operator's is its owner's consent that the StsCredential of this name, in the
	// same namespace, writes to it.
	AnnotationAdopt = "sts.alibabacloud.com/adopt"
)

// FinalizerAdoptedSecret keeps a StsCredential until what it wrote to an adopted Secret is taken out again.
const FinalizerAdoptedSecret = "sts.alibabacloud.com/adopted-secret"
