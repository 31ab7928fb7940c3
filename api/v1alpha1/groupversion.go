// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the API of sts-credential-operator: StsCredential, which keeps short-lived Alibaba Cloud
// credentials in a Secret, and StsRoleGrant, with which cluster administrators allow namespaces to assume roles.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=sts.alibabacloud.com
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "sts.alibabacloud.com", Version: "v1alpha1"}

// SchemeGroupVersion is GroupVersion, under the name that generated code uses.
var SchemeGroupVersion = GroupVersion

// AddToScheme adds this package's kinds to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &StsCredential{}, &StsCredentialList{}, &StsRoleGrant{}, &StsRoleGrantList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
