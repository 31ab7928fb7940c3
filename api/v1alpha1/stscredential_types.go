// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// StsCredential keeps valid short-lived Alibaba Cloud credentials in a Secret of its namespace. The operator assumes the RAM
// role in spec.roleARN, writes the AccessKey ID, the AccessKey secret and the security token to the Secret, and renews them
// before they expire.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=stscred,categories=alibabacloud
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.status.roleName`
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.status.secretName`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Renew",type=string,JSONPath=`.status.renewAt`,priority=1
// +kubebuilder:printcolumn:name="AccessKeyID",type=string,JSONPath=`.status.accessKeyID`,priority=1
// +kubebuilder:printcolumn:name="Session",type=string,JSONPath=`.status.sessionName`,priority=1
// +kubebuilder:printcolumn:name="Stale",type=integer,JSONPath=`.status.consumers.stale`,priority=1
// +kubebuilder:validation:XValidation:rule="!has(self.spec.identity) || !has(self.spec.identity.accessKey) || (has(self.spec.secret) && has(self.spec.secret.name)) || self.spec.identity.accessKey.secretName != self.metadata.name || (oldSelf.hasValue() && has(oldSelf.value().spec.identity) && has(oldSelf.value().spec.identity.accessKey) && oldSelf.value().spec.identity.accessKey.secretName == self.metadata.name)",optionalOldSelf=true,fieldPath=".spec.identity.accessKey.secretName",message="identity.accessKey.secretName must differ from the name of the StsCredential, where secret.name is left out: the credentials would be written over the AccessKey"
type StsCredential struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of a Kubernetes object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state: the RAM role, the duration, the session policy, and the Secret for the credentials.
	// +required
	Spec StsCredentialSpec `json:"spec"`

	// status is the observed state of the credentials in the Secret. The operator writes it.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status StsCredentialStatus `json:"status,omitzero"`
}

// StsCredentialList is a list of StsCredentials.
//
// +kubebuilder:object:root=true
type StsCredentialList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []StsCredential `json:"items"`
}

// StsCredentialSpec is the desired state of an StsCredential.
//
// +kubebuilder:validation:XValidation:rule="!has(self.renewBefore) || !self.renewBefore.matches('^([0-9]{1,5}(h|m|s)){1,3}$') || (has(self.duration) && !self.duration.matches('^([0-9]{1,5}(h|m|s)){1,3}$')) || duration(self.renewBefore) <= duration(has(self.duration) ? self.duration : '1h') - duration('5m')",fieldPath=".renewBefore",message="renewBefore must be at least 5m shorter than duration (which is 1h when left out): lower renewBefore or raise duration"
// +kubebuilder:validation:XValidation:rule="!has(self.identity) || !has(self.identity.accessKey) || !has(self.secret) || !has(self.secret.name) || self.identity.accessKey.secretName != self.secret.name",fieldPath=".identity.accessKey.secretName",message="identity.accessKey.secretName must differ from secret.name: the credentials would be written over the AccessKey"
// +kubebuilder:validation:XValidation:rule="!has(self.identity) || !has(self.identity.serviceAccount) || !has(self.externalID)",fieldPath=".externalID",message="externalID cannot be used with identity.serviceAccount, because AssumeRoleWithOIDC does not support it. Remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.identity) || !has(self.identity.serviceAccount) || !has(self.sourceIdentity)",fieldPath=".sourceIdentity",message="sourceIdentity cannot be used with identity.serviceAccount, because AssumeRoleWithOIDC does not support it. Remove it"
type StsCredentialSpec struct {
	// roleARN is the RAM role to assume, acs:ram::<account ID>:role/<role name>, as the RAM console shows it.
	// An StsRoleGrant must allow the role for this namespace, unless identity is set.
	// +kubebuilder:validation:MaxLength=160
	// +kubebuilder:validation:XValidation:rule="self.matches('^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._-]{1,64}$')",message="roleARN must look like acs:ram::1234567890123456:role/my-role: copy the ARN of a role from the RAM console"
	// +required
	RoleARN string `json:"roleARN"`

	// sessionName is the session name that ActionTrail shows: 2 to 64 of A-Z, a-z, 0-9, '.', '@', '_' and '-'. With the
	// operator's identity, it must start with "[<cluster name>.]<namespace>." unless the StsRoleGrant allows SessionName.
	// Defaults to "[<cluster name>.]<namespace>.<name>", shortened with a hash if it is too long.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9.@_-]{2,64}$')",message="sessionName must be 2 to 64 characters of A-Z, a-z, 0-9, '.', '@', '_' and '-'"
	// +optional
	SessionName string `json:"sessionName,omitempty"`

	// duration is the requested lifetime of the credentials: 15m to 12h, such as 45m, 1h or 1h30m. It must not exceed the
	// role's MaxSessionDuration, which is 1h unless raised in RAM. Defaults to 1h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s)){1,3}$') && duration(self) >= duration('15m') && duration(self) <= duration('12h')",message="duration must be from 15m to 12h, in whole hours, minutes and seconds such as 45m, 1h or 1h30m"
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`

	// policy is a session policy in RAM's grammar, an object with Version and Statement as the RAM console shows it. The
	// credentials have only permissions that both the role and this policy allow. At most 2048 characters in compact form.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Policy *runtime.RawExtension `json:"policy,omitempty"`

	// externalID is the external ID that the role's trust policy requires (sts:ExternalId): 2 to 1224 of A-Z, a-z, 0-9 and
	// any of "_+=,.@:/-". It is not secret.
	// +kubebuilder:validation:MaxLength=1224
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_+=,.@:/-]{2,}$')",message="externalID must be 2 to 1224 characters of A-Z, a-z, 0-9 and any of _+=,.@:/-"
	// +optional
	ExternalID string `json:"externalID,omitempty"`

	// sourceIdentity is kept by STS through chained roles and shown in ActionTrail: 2 to 64 of A-Z, a-z, 0-9 and any of
	// "_+=,.@-", not starting with acs:, aliyun: or alibabacloud:. With the operator's identity, the StsRoleGrant must allow
	// SourceIdentity.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_+=,.@-]{2,64}$')",message="sourceIdentity must be 2 to 64 characters of A-Z, a-z, 0-9 and any of _+=,.@-"
	// +optional
	SourceIdentity string `json:"sourceIdentity,omitempty"`

	// identity is the identity that calls STS: a ServiceAccount or an AccessKey of this namespace, which the role's trust
	// policy must allow. Defaults to the operator's own identity, which requires an StsRoleGrant.
	// +optional
	Identity *IdentitySpec `json:"identity,omitempty"`

	// renewBefore is how long before their expiration the credentials are renewed: at least 1m, and at least 5m shorter than
	// duration. It is reduced in proportion if STS issues a shorter lifetime than duration. Defaults to a third of the
	// lifetime, or a half if rollout restarts workloads; with the format URI at least 20m, if the lifetime is 25m or more.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s)){1,3}$') && duration(self) >= duration('1m')",message="renewBefore must be at least 1m, in whole hours, minutes and seconds such as 20m or 1h30m"
	// +optional
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// secret is the Secret for the credentials: its name, labels, annotations and keys.
	// +optional
	Secret SecretSpec `json:"secret,omitzero"`

	// rollout selects the workloads to restart after each renewal. Defaults to none.
	// +optional
	Rollout RolloutSpec `json:"rollout,omitzero"`

	// suspend stops all calls to STS and all writes to the Secret while it is true. The credentials then expire.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// RolloutSpec selects the workloads of the namespace to restart after each renewal. The operator must run with --rollouts.
type RolloutSpec struct {
	// mode is Auto or Never. Auto restarts the workloads whose pods read the Secret through environment variables or subPath
	// mounts, which never change in a running container. Never restarts only targets. Defaults to Never.
	// +kubebuilder:validation:Enum=Never;Auto
	// +optional
	Mode RolloutMode `json:"mode,omitempty"`

	// targets are workloads to restart after each renewal, regardless of how they read the Secret: at most 32.
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +optional
	Targets []RolloutTarget `json:"targets,omitempty"`
}

// RolloutMode is whether the operator selects workloads to restart by how their pods read the Secret.
type RolloutMode string

const (
	// RolloutNever restarts only targets.
	RolloutNever RolloutMode = "Never"
	// RolloutAuto restarts the workloads whose pods cannot read renewed credentials.
	RolloutAuto RolloutMode = "Auto"
)

// RolloutTarget is a workload in the namespace of the StsCredential.
type RolloutTarget struct {
	// kind is Deployment, StatefulSet, DaemonSet, Rollout (argoproj.io) or CloneSet (apps.kruise.io).
	// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet;Rollout;CloneSet
	// +required
	Kind string `json:"kind"`

	// name is the name of the workload.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="rollout.targets: name must be a workload's name: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	// +required
	Name string `json:"name"`
}

// IdentitySpec is an identity that calls STS. Exactly one of its fields must be set.
//
// +kubebuilder:validation:XValidation:rule="has(self.serviceAccount) != has(self.accessKey)",message="identity needs exactly one of serviceAccount and accessKey; leave identity out to use the operator's own"
type IdentitySpec struct {
	// serviceAccount calls STS with tokens of a ServiceAccount of this namespace (AssumeRoleWithOIDC), without an AccessKey.
	// The operator must run with --service-account-identity.
	// +optional
	ServiceAccount *ServiceAccountIdentity `json:"serviceAccount,omitempty"`

	// accessKey calls STS with a RAM user's AccessKey in a Secret of this namespace.
	// +optional
	AccessKey *AccessKeyIdentity `json:"accessKey,omitempty"`
}

// ServiceAccountIdentity is a ServiceAccount whose tokens an OIDC provider in RAM accepts.
type ServiceAccountIdentity struct {
	// name is the name of the ServiceAccount, in the namespace of the StsCredential.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="serviceAccount.name must be a ServiceAccount's name: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	// +required
	Name string `json:"name"`

	// oidcProviderARN is the OIDC provider in RAM for this cluster, acs:ram::<account ID>:oidc-provider/<provider name>.
	// Defaults to the operator's --oidc-provider-arn.
	// +kubebuilder:validation:MaxLength=192
	// +kubebuilder:validation:XValidation:rule="self.matches('^acs:ram::[0-9]{1,32}:oidc-provider/[A-Za-z0-9._-]{1,128}$')",message="oidcProviderARN must look like acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1: copy the ARN of an OIDC provider from the RAM console"
	// +optional
	OIDCProviderARN string `json:"oidcProviderARN,omitempty"`
}

// AccessKeyIdentity is a Secret with a RAM user's AccessKey.
type AccessKeyIdentity struct {
	// secretName is the name of the Secret, in the namespace of the StsCredential. It must differ from the Secret for the
	// credentials.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="accessKey.secretName must be a Secret's name: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	// +required
	SecretName string `json:"secretName"`

	// accessKeyIDKey is the key in the Secret that holds the AccessKey ID. Defaults to accessKeyId.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._A-Za-z0-9]+$')",message="accessKey.accessKeyIDKey must be a key of a Secret: letters, digits, '-', '_' and '.'"
	// +optional
	AccessKeyIDKey string `json:"accessKeyIDKey,omitempty"`

	// accessKeySecretKey is the key in the Secret that holds the AccessKey secret. Defaults to accessKeySecret.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._A-Za-z0-9]+$')",message="accessKey.accessKeySecretKey must be a key of a Secret: letters, digits, '-', '_' and '.'"
	// +optional
	AccessKeySecretKey string `json:"accessKeySecretKey,omitempty"`
}
