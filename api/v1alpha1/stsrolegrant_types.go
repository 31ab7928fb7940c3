// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// StsRoleGrant lets namespaces assume RAM roles with the operator's identity. It is written by cluster admins; without a
// grant no role is assumed. Grants add up: a request needs one that covers the whole of it.
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

	// spec says which namespaces may assume which roles, and within which limits.
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

// StsRoleGrantSpec says which namespaces may assume which roles, and within which limits.
type StsRoleGrantSpec struct {
	// namespaces that the grant is for: those named and those whose labels match.
	// +required
	Namespaces GrantNamespaces `json:"namespaces"`

	// roleARNs that may be assumed, 1 to 64, matched whole and case-sensitively. '*' in the role's name stands for any
	// number of A-Z, a-z, 0-9, '.', '_' and '-'; a role name of '*' alone is refused.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +required
	RoleARNs []RoleARNPattern `json:"roleARNs"`

	// allow lifts limits: SessionName lets the namespaces choose session names freely, SourceIdentity lets them set
	// sourceIdentity.
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	// +optional
	Allow []GrantAllowance `json:"allow,omitempty"`

	// maxDuration caps spec.duration of the StsCredentials: 15m to 12h. A longer one is refused, never cut. No cap when
	// left out.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s)){1,3}$') && duration(self) >= duration('15m') && duration(self) <= duration('12h')",message="maxDuration must be from 15m to 12h, in whole hours, minutes and seconds such as 45m, 1h or 1h30m"
	// +optional
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`

	// policy is imposed as the session policy, in RAM's own grammar. A StsCredential with a policy of its own is then not
	// covered by this grant. At most 2048 characters when compacted.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Policy *runtime.RawExtension `json:"policy,omitempty"`
}

// GrantNamespaces chooses namespaces by name or by label; either matches.
//
// +kubebuilder:validation:XValidation:rule="has(self.names) || has(self.selector)",message="namespaces needs names, a selector, or both: a grant to every namespace must list what they share"
type GrantNamespaces struct {
	// names of namespaces, 1 to 256.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Names []NamespaceName `json:"names,omitempty"`

	// selector of namespaces by their labels. An empty selector, which would match every namespace, is refused.
	// +optional
	Selector *GrantSelector `json:"selector,omitempty"`
}

// NamespaceName is the name of a namespace: at most 63 characters.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a namespace's name must be lower-case letters, digits and '-'; patterns are not supported, use selector"
type NamespaceName string

// RoleARNPattern is the ARN of a RAM role in which '*' may stand within the role's name.
//
// +kubebuilder:validation:MaxLength=160
// +kubebuilder:validation:XValidation:rule="self.matches('^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._*-]{1,64}$') && !self.matches('/[*]+$')",message="each of roleARNs must look like acs:ram::1234567890123456:role/shop-*, with '*' only in the role's name and not alone there"
type RoleARNPattern string

// GrantSelector matches labels as a Kubernetes label selector does; all requirements must hold.
//
// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",message="selector must not be empty: it would match every namespace; name a label"
type GrantSelector struct {
	// matchLabels: labels and their values, at most 32 with keys of up to 253 characters.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="matchLabels: a key must be a label key of up to 253 characters such as team or example.com/team"
	// +optional
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// matchExpressions: requirements on labels, at most 32.
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	MatchExpressions []GrantSelectorRequirement `json:"matchExpressions,omitempty"`
}

// GrantSelectorRequirement relates a label to values.
//
// +kubebuilder:validation:XValidation:rule="(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",message="operators In and NotIn need values; Exists and DoesNotExist take none"
type GrantSelectorRequirement struct {
	// key of the label: at most 253 characters.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",message="key must be a label key such as team or example.com/team"
	// +required
	Key string `json:"key"`

	// operator: In, NotIn, Exists or DoesNotExist.
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	// +required
	Operator metav1.LabelSelectorOperator `json:"operator"`

	// values for In and NotIn, at most 64.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	Values []LabelValue `json:"values,omitempty"`
}

// GrantAllowance is a limit that a grant lifts.
//
// +kubebuilder:validation:Enum=SessionName;SourceIdentity
type GrantAllowance string

const (
	// AllowSessionName lets a StsCredential choose a sessionName that does not start with its namespace.
	AllowSessionName GrantAllowance = "SessionName"
	// AllowSourceIdentity lets a StsCredential set sourceIdentity.
	AllowSourceIdentity GrantAllowance = "SourceIdentity"
)
