// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// StsCredential keeps valid short-lived Alibaba Cloud credentials in a Secret of its namespace: the operator assumes
// the RAM role that it names, writes AccessKeyId, AccessKeySecret and SecurityToken to the Secret, and replaces them
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

	// spec says which RAM role to assume, for how long, with which session policy, and where to write the credentials.
	// +required
	Spec StsCredentialSpec `json:"spec"`

	// status tells what the Secret holds and whether it works. Written by the operator.
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

// StsCredentialSpec says which RAM role to assume and where to write the credentials.
//
// +kubebuilder:validation:XValidation:rule="!has(self.renewBefore) || !self.renewBefore.matches('^([0-9]{1,5}(h|m|s)){1,3}$') || (has(self.duration) && !self.duration.matches('^([0-9]{1,5}(h|m|s)){1,3}$')) || duration(self.renewBefore) <= duration(has(self.duration) ? self.duration : '1h') - duration('5m')",fieldPath=".renewBefore",message="renewBefore must be at least 5m shorter than duration (which is 1h when left out): lower renewBefore or raise duration"
// +kubebuilder:validation:XValidation:rule="!has(self.identity) || !has(self.identity.accessKey) || !has(self.secret) || !has(self.secret.name) || self.identity.accessKey.secretName != self.secret.name",fieldPath=".identity.accessKey.secretName",message="identity.accessKey.secretName must differ from secret.name: the credentials would be written over the AccessKey"
// +kubebuilder:validation:XValidation:rule="!has(self.identity) || !has(self.identity.serviceAccount) || !has(self.externalID)",fieldPath=".externalID",message="externalID cannot be used with identity.serviceAccount, since AssumeRoleWithOIDC takes none: remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.identity) || !has(self.identity.serviceAccount) || !has(self.sourceIdentity)",fieldPath=".sourceIdentity",message="sourceIdentity cannot be used with identity.serviceAccount, since AssumeRoleWithOIDC takes none: remove it"
type StsCredentialSpec struct {
	// roleARN is the RAM role to assume, acs:ram::<account ID>:role/<role name>, as the RAM console shows it.
	// A StsRoleGrant must allow it to this namespace, unless identity says who asks.
	// +kubebuilder:validation:MaxLength=160
	// +kubebuilder:validation:XValidation:rule="self.matches('^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._-]{1,64}$')",message="roleARN must look like acs:ram::1234567890123456:role/my-role: copy the ARN of a role from the RAM console"
	// +required
	RoleARN string `json:"roleARN"`

	// sessionName names the session in ActionTrail: 2 to 64 of A-Z, a-z, 0-9, '.', '@', '_' and '-'. It must start with
	// "[<cluster name>.]<namespace>." with the operator's identity, unless the StsRoleGrant allows SessionName. Left out, it is
	// "[<cluster name>.]<namespace>.<name>", shortened with a hash when that is too long.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9.@_-]{2,64}$')",message="sessionName must be 2 to 64 characters of A-Z, a-z, 0-9, '.', '@', '_' and '-'"
	// +optional
	SessionName string `json:"sessionName,omitempty"`

	// duration is how long credentials are asked for: 15m to 12h, such as 45m, 1h or 1h30m. 1h when left out. The role's
	// MaxSessionDuration, 1h unless raised in RAM, is the limit.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s)){1,3}$') && duration(self) >= duration('15m') && duration(self) <= duration('12h')",message="duration must be from 15m to 12h, in whole hours, minutes and seconds such as 45m, 1h or 1h30m"
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`

	// policy is a session policy in RAM's own grammar, an object with Version and Statement as the RAM console shows it.
	// The session may do what the role may and this allows. At most 2048 characters when compacted.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Policy *runtime.RawExtension `json:"policy,omitempty"`

	// externalID is the external ID that the role's trust policy asks for (sts:ExternalId): 2 to 1224 of A-Z, a-z, 0-9 and
	// any of "_+=,.@:/-". It is no secret.
	// +kubebuilder:validation:MaxLength=1224
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_+=,.@:/-]{2,}$')",message="externalID must be 2 to 1224 characters of A-Z, a-z, 0-9 and any of _+=,.@:/-"
	// +optional
	ExternalID string `json:"externalID,omitempty"`

	// sourceIdentity is kept by STS through chained roles and shown in ActionTrail: 2 to 64 of A-Z, a-z, 0-9 and any of
	// "_+=,.@-", not starting with acs:, aliyun: or alibabacloud:. With the operator's identity the StsRoleGrant must allow SourceIdentity.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_+=,.@-]{2,64}$')",message="sourceIdentity must be 2 to 64 characters of A-Z, a-z, 0-9 and any of _+=,.@-"
	// +optional
	SourceIdentity string `json:"sourceIdentity,omitempty"`

	// identity is who asks STS: a ServiceAccount or an AccessKey of this namespace. The role's trust policy is then what
	// authorises. The operator's own identity when left out, which needs a StsRoleGrant.
	// +optional
	Identity *IdentitySpec `json:"identity,omitempty"`

	// renewBefore is how long before expiry the credentials are replaced: at least 1m, and at least 5m shorter than
	// duration. When left out a third of the lifetime, and half of it where rollout restarts workloads. A lifetime shorter
	// than duration shrinks it in proportion.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s)){1,3}$') && duration(self) >= duration('1m')",message="renewBefore must be at least 1m, in whole hours, minutes and seconds such as 20m or 1h30m"
	// +optional
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// secret says where the credentials are written and how that Secret is labelled.
	// +optional
	Secret SecretSpec `json:"secret,omitzero"`

	// rollout says which workloads are restarted after each renewal. None when left out.
	// +optional
	Rollout RolloutSpec `json:"rollout,omitzero"`

	// suspend set to true leaves the Secret alone and makes no call to STS. Credentials then expire at their time.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// RolloutSpec says which workloads of the namespace are restarted after each renewal. The operator must run with --rollouts.
type RolloutSpec struct {
	// mode: Auto restarts the workloads whose pods read the Secret through environment variables or subPath mounts, which
	// never change in a running container. Never, the default, restarts only targets.
	// +kubebuilder:validation:Enum=Never;Auto
	// +optional
	Mode RolloutMode `json:"mode,omitempty"`

	// targets are restarted after each renewal, however they read the Secret: at most 32.
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +optional
	Targets []RolloutTarget `json:"targets,omitempty"`
}

// RolloutMode says whether the operator finds by itself what to restart.
type RolloutMode string

const (
	// RolloutNever restarts only targets.
	RolloutNever RolloutMode = "Never"
	// RolloutAuto restarts the workloads whose pods cannot refresh what they read.
	RolloutAuto RolloutMode = "Auto"
)

// RolloutTarget is a workload in the namespace of the StsCredential.
type RolloutTarget struct {
	// kind: Deployment, StatefulSet, DaemonSet, Rollout (argoproj.io) or CloneSet (apps.kruise.io).
	// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet;Rollout;CloneSet
	// +required
	Kind string `json:"kind"`

	// name of the workload.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="rollout.targets: name must be a workload's name: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	// +required
	Name string `json:"name"`
}

// IdentitySpec is who asks STS: exactly one of its fields.
//
// +kubebuilder:validation:XValidation:rule="has(self.serviceAccount) != has(self.accessKey)",message="identity needs exactly one of serviceAccount and accessKey; leave identity out to use the operator's own"
type IdentitySpec struct {
	// serviceAccount asks with tokens of a ServiceAccount of this namespace (AssumeRoleWithOIDC): no key is kept anywhere.
	// The operator must run with --service-account-identity.
	// +optional
	ServiceAccount *ServiceAccountIdentity `json:"serviceAccount,omitempty"`

	// accessKey asks with a RAM user's AccessKey in a Secret of this namespace.
	// +optional
	AccessKey *AccessKeyIdentity `json:"accessKey,omitempty"`
}

// ServiceAccountIdentity is a ServiceAccount whose tokens an OIDC provider in RAM accepts.
type ServiceAccountIdentity struct {
	// name of the ServiceAccount, in the namespace of the StsCredential.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="serviceAccount.name must be a ServiceAccount's name: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	// +required
	Name string `json:"name"`

	// oidcProviderARN is the OIDC provider in RAM that stands for this cluster,
	// acs:ram::<account ID>:oidc-provider/<provider name>. The operator's --oidc-provider-arn when left out.
	// +kubebuilder:validation:MaxLength=192
	// +kubebuilder:validation:XValidation:rule="self.matches('^acs:ram::[0-9]{1,32}:oidc-provider/[A-Za-z0-9._-]{1,128}$')",message="oidcProviderARN must look like acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1: copy the ARN of an OIDC provider from the RAM console"
	// +optional
	OIDCProviderARN string `json:"oidcProviderARN,omitempty"`
}

// AccessKeyIdentity is a Secret with a RAM user's AccessKey.
type AccessKeyIdentity struct {
	// secretName is the Secret, in the namespace of the StsCredential. It must differ from the Secret that the credentials
	// are written to.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="accessKey.secretName must be a Secret's name: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	// +required
	SecretName string `json:"secretName"`

	// accessKeyIDKey is the key in the Secret that holds the AccessKey ID. accessKeyId when left out.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._A-Za-z0-9]+$')",message="accessKey.accessKeyIDKey must be a key of a Secret: letters, digits, '-', '_' and '.'"
	// +optional
	AccessKeyIDKey string `json:"accessKeyIDKey,omitempty"`

	// accessKeySecretKey is the key in the Secret that holds the AccessKey secret. accessKeySecret when left out.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._A-Za-z0-9]+$')",message="accessKey.accessKeySecretKey must be a key of a Secret: letters, digits, '-', '_' and '.'"
	// +optional
	AccessKeySecretKey string `json:"accessKeySecretKey,omitempty"`
}
