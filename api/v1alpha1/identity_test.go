// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

func TestStsCredentialAskerRules(t *testing.T) {
	check(t, credentialKind, role, askerRows)
}

const provider = "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1"

var askerRows = []row{
	{"a ServiceAccount", "identity: {serviceAccount: {name: orders}}", ""},
	{"a ServiceAccount and its provider", "identity: {serviceAccount: {name: orders, oidcProviderARN: '" + provider + "'}}", ""},
	{"an AccessKey", "identity: {accessKey: {secretName: ram-user}}", ""},
	{"an AccessKey under other keys", "identity: {accessKey: {secretName: ram-user, accessKeyIDKey: ACCESS_KEY_ID, accessKeySecretKey: key.secret-1}}", ""},
	{"an AccessKey with external ID and source identity", "{identity: {accessKey: {secretName: ram-user}}, externalID: ext, sourceIdentity: alice}", ""},
	{"nobody", "identity: {}", "spec.identity: identity needs exactly one of serviceAccount and accessKey"},
	{"both", "identity: {serviceAccount: {name: orders}, accessKey: {secretName: ram-user}}", "spec.identity: exactly one of serviceAccount and accessKey"},
	{"OIDC takes no external ID", "{identity: {serviceAccount: {name: orders}}, externalID: ext}", "spec.externalID: externalID cannot be used with identity.serviceAccount"},
	{"OIDC takes no source identity", "{identity: {serviceAccount: {name: orders}}, sourceIdentity: alice}", "spec.sourceIdentity: sourceIdentity cannot be used with identity.serviceAccount"},

	{"a ServiceAccount without a name", "identity: {serviceAccount: {}}", "spec.identity.serviceAccount.name: Required value"},
	{"a ServiceAccount's name of 253", "identity: {serviceAccount: {name: " + times(253, "a") + "}}", ""},
	{"a ServiceAccount's name of 254", "identity: {serviceAccount: {name: " + times(254, "a") + "}}", "spec.identity.serviceAccount.name: Too long"},
	{"another namespace's ServiceAccount", "identity: {serviceAccount: {name: other/orders}}", "spec.identity.serviceAccount.name: serviceAccount.name must be a ServiceAccount's name"},
	{"a subject", "identity: {serviceAccount: {name: 'system:serviceaccount:shop:orders'}}", "spec.identity.serviceAccount.name: serviceAccount.name must be a ServiceAccount's name"},
	{"a path", "identity: {serviceAccount: {name: ../orders}}", "spec.identity.serviceAccount.name: serviceAccount.name must be a ServiceAccount's name"},
	{"a provider's name alone", "identity: {serviceAccount: {name: orders, oidcProviderARN: ack-rrsa-c1}}", "spec.identity.serviceAccount.oidcProviderARN: copy the ARN of an OIDC provider"},
	{"a role as provider", "identity: {serviceAccount: {name: orders, oidcProviderARN: 'acs:ram::1:role/r'}}", "spec.identity.serviceAccount.oidcProviderARN: must look like"},
	{"a provider's name of 128", "identity: {serviceAccount: {name: orders, oidcProviderARN: 'acs:ram::1:oidc-provider/" + times(128, "p") + "'}}", ""},
	{"a provider of 193", "identity: {serviceAccount: {name: orders, oidcProviderARN: 'acs:ram::1:oidc-provider/" + times(168, "p") + "'}}", "spec.identity.serviceAccount.oidcProviderARN: Too long"},

	{"an AccessKey without a Secret", "identity: {accessKey: {}}", "spec.identity.accessKey.secretName: Required value"},
	{"a Secret's name of 253", "identity: {accessKey: {secretName: " + times(253, "a") + "}}", ""},
	{"a Secret's name of 254", "identity: {accessKey: {secretName: " + times(254, "a") + "}}", "spec.identity.accessKey.secretName: Too long"},
	{"another namespace's Secret", "identity: {accessKey: {secretName: other/ram-user}}", "spec.identity.accessKey.secretName: accessKey.secretName must be a Secret's name"},
	{"another Secret than is written", "{identity: {accessKey: {secretName: ram-user}}, secret: {name: orders}}", ""},
	{"the Secret that is written", "{identity: {accessKey: {secretName: ram-user}}, secret: {name: ram-user}}", "spec.identity.accessKey.secretName: must differ from secret.name"},
	{"a key of 253", "identity: {accessKey: {secretName: s, accessKeyIDKey: " + times(253, "a") + ", accessKeySecretKey: " + times(253, "a") + "}}", ""},
	{"an ID's key of 254", "identity: {accessKey: {secretName: s, accessKeyIDKey: " + times(254, "a") + "}}", "spec.identity.accessKey.accessKeyIDKey: Too long"},
	{"a secret's key of 254", "identity: {accessKey: {secretName: s, accessKeySecretKey: " + times(254, "a") + "}}", "spec.identity.accessKey.accessKeySecretKey: Too long"},
	{"an ID's key with a slash", "identity: {accessKey: {secretName: s, accessKeyIDKey: a/b}}", "spec.identity.accessKey.accessKeyIDKey: must be a key of a Secret"},
	{"an empty secret's key", "identity: {accessKey: {secretName: s, accessKeySecretKey: ''}}", "spec.identity.accessKey.accessKeySecretKey: must be a key of a Secret"},
}

func TestAccessKeyKeys(t *testing.T) {
	if a := (&v1alpha1.AccessKeyIdentity{}); a.IDKey() != "accessKeyId" || a.SecretKey() != "accessKeySecret" {
		t.Errorf("default keys are %s and %s", a.IDKey(), a.SecretKey())
	}
	if a := (&v1alpha1.AccessKeyIdentity{AccessKeyIDKey: "id", AccessKeySecretKey: "secret"}); a.IDKey() != "id" || a.SecretKey() != "secret" {
		t.Errorf("keys are %s and %s", a.IDKey(), a.SecretKey())
	}
}
