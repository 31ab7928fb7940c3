// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StsCredentialStatus is the observed state of an StsCredential.
type StsCredentialStatus struct {
	// observedGeneration is the generation of the spec that the status describes; -1 before the first reconcile.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready and, only while they are True, RenewalFailing, Reconciling, Stalled, PodsStale and RolloutFailing.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// roleName is the name of the role in spec.roleARN.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	RoleName string `json:"roleName,omitempty"`

	// sessionName is the session name in effect.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	SessionName string `json:"sessionName,omitempty"`

	// secretName is the name of the Secret for the credentials.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// issuedAt is when STS issued the credentials in the Secret, by STS's clock.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	// +optional
	IssuedAt *metav1.Time `json:"issuedAt,omitempty"`

	// expiresAt is when the credentials in the Secret expire, by STS's clock.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// renewAt is when the operator renews the credentials.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	// +optional
	RenewAt *metav1.Time `json:"renewAt,omitempty"`

	// accessKeyID is the AccessKey ID of the credentials, as ActionTrail shows it. It is not secret.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	AccessKeyID string `json:"accessKeyID,omitempty"`

	// assumedRole is the identity of the credentials.
	// +optional
	AssumedRole *AssumedRole `json:"assumedRole,omitempty"`

	// requestID is the RequestId of the STS call that issued the credentials in the Secret.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	RequestID string `json:"requestID,omitempty"`

	// grantName is the StsRoleGrant that allows the role.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	GrantName string `json:"grantName,omitempty"`

	// consumers are the pods that read the Secret. Set only if the operator runs with --track-consumers or --rollouts.
	// +optional
	Consumers *Consumers `json:"consumers,omitempty"`
}

// Consumers are the running pods of the namespace that read the Secret.
type Consumers struct {
	// pods is the number of pods that read the Secret.
	// +required
	Pods int32 `json:"pods"`

	// stale is the number of those pods that use superseded credentials or none: they read the Secret through environment
	// variables or subPath mounts, and started before the credentials in it were written. Pods that terminate by themselves,
	// such as those of Jobs, count when a quarter of the lifetime of their credentials is left.
	// +required
	Stale int32 `json:"stale"`

	// staleExpireAt is when the first of the stale pods' credentials expire, by STS's clock; absent if unknown.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	// +optional
	StaleExpireAt *metav1.Time `json:"staleExpireAt,omitempty"`
}

// AssumedRole is the identity of a session, as STS names it.
type AssumedRole struct {
	// arn is acs:ram::<account ID>:role/<role name>/<session name>.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	ARN string `json:"arn,omitempty"`

	// id is <role ID>:<session name>.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	ID string `json:"id,omitempty"`
}
