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

// Annotations that users may set.
const (
	// AnnotationRenewRequestedAt on a StsCredential asks for one renewal now, once for each new value.
	AnnotationRenewRequestedAt = "sts.alibabacloud.com/renew-requested-at"
)
