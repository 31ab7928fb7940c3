// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// StsRoleGrant allows namespaces to assume RAM roles with the operator's identity. Cluster administrators create it; without a
// grant, no role is assumed. Grants are not combined: one of them must allow the whole request.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=alibabacloud
// +kubebuilder:printcolumn:name="Namespaces",type=string,JSONPath=`.spec.namespaces.names`
// +kubebuilder:printcolumn:name="Selector",type=string,JSONPath=`.spec.namespaces.selector`,priority=1
// +kubebuilder:printcolumn:name="Roles",type=string,JSONPath=`.spec.roleARNs`
// +kubebuilder:printcolumn:name="MaxDuration",type=string,JSONPath=`.spec.maxDuration`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type StsRoleGrant struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of a Kubernetes object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the namespaces, the roles that they may assume, and the limits.
	// +required
	Spec StsRoleGrantSpec `json:"spec"`
}

// StsRoleGrantList is a list of StsRoleGrants.
//
// +kubebuilder:object:root=true
type StsRoleGrantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []StsRoleGrant `json:"items"`
}

// StsRoleGrantSpec is the namespaces, the roles that they may assume, and the limits.
type StsRoleGrantSpec struct {
	// namespaces selects the namespaces of the grant, by name and by label.
	// +required
	Namespaces GrantNamespaces `json:"namespaces"`

	// roleARNs are the roles that may be assumed, 1 to 64, case-sensitive. '*' in the role's name matches any number of A-Z,
	// a-z, 0-9, '.', '_' and '-'; a role name of '*' alone is invalid.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +required
	RoleARNs []RoleARNPattern `json:"roleARNs"`

	// allow is what the namespaces may also set: SessionName allows any session name, SourceIdentity allows sourceIdentity.
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	// +optional
	Allow []GrantAllowance `json:"allow,omitempty"`

	// maxDuration is the maximum of spec.duration of the StsCredentials: 15m to 12h. A longer duration is refused, never
	// shortened. Defaults to no maximum.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s)){1,3}$') && duration(self) >= duration('15m') && duration(self) <= duration('12h')",message="maxDuration must be from 15m to 12h, in whole hours, minutes and seconds such as 45m, 1h or 1h30m"
	// +optional
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`

	// policy is the session policy for all credentials of this grant, in RAM's grammar. The grant then does not allow
	// StsCredentials with their own policy. At most 2048 characters in compact form.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Policy *runtime.RawExtension `json:"policy,omitempty"`
}

// GrantNamespaces selects namespaces by name or by label.
//
// +kubebuilder:validation:XValidation:rule="has(self.names) || has(self.selector)",message="namespaces needs names, a selector, or both. To grant a role to every namespace, name a label that all of them have"
type GrantNamespaces struct {
	// names are names of namespaces, 1 to 256.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Names []NamespaceName `json:"names,omitempty"`

	// selector selects namespaces by label. An empty selector, which would match every namespace, is invalid.
	// +optional
	Selector *GrantSelector `json:"selector,omitempty"`
}

// NamespaceName is the name of a namespace: at most 63 characters.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a namespace's name must be lower-case letters, digits and '-'; patterns are not supported, use selector"
type NamespaceName string

// RoleARNPattern is the ARN of a RAM role, with '*' as a wildcard in the role's name.
//
// +kubebuilder:validation:MaxLength=160
// +kubebuilder:validation:XValidation:rule="self.matches('^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._*-]{1,64}$') && !self.matches('/[*]+$')",message="each of roleARNs must look like acs:ram::1234567890123456:role/shop-*, with '*' only in the role's name and not alone there"
type RoleARNPattern string

// GrantSelector is a Kubernetes label selector. All requirements must match.
//
// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",message="selector must not be empty: it would match every namespace. Name a label"
type GrantSelector struct {
	// matchLabels are labels with their values, at most 32 with keys of up to 253 characters.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="matchLabels: a key must be a label key of up to 253 characters such as team or example.com/team"
	// +optional
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// matchExpressions are requirements for labels, at most 32.
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	MatchExpressions []GrantSelectorRequirement `json:"matchExpressions,omitempty"`
}

// GrantSelectorRequirement is a requirement for a label.
//
// +kubebuilder:validation:XValidation:rule="(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",message="operators In and NotIn need values; Exists and DoesNotExist take none"
type GrantSelectorRequirement struct {
	// key is the key of the label: at most 253 characters.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",message="key must be a label key such as team or example.com/team"
	// +required
	Key string `json:"key"`

	// operator is In, NotIn, Exists or DoesNotExist.
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	// +required
	Operator metav1.LabelSelectorOperator `json:"operator"`

	// values are the values for In and NotIn, at most 64.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	Values []LabelValue `json:"values,omitempty"`
}

// GrantAllowance is a field that a grant allows.
//
// +kubebuilder:validation:Enum=SessionName;SourceIdentity
type GrantAllowance string

const (
	// AllowSessionName allows a sessionName that does not start with the namespace.
	AllowSessionName GrantAllowance = "SessionName"
	// AllowSourceIdentity allows sourceIdentity.
	AllowSourceIdentity GrantAllowance = "SourceIdentity"
)
