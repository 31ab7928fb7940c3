// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

const (
	doctorPrints = "Apply the fix that doctor prints: kubectl stscred doctor NAME."
	pluginPage   = documentation + "kubectl-plugin.md"
)

// checks are the checks of doctor, in the order in which they run.
var checks = joinChecks(clusterChecks, credentialChecks)

// clusterChecks are about the API, the operator, its identity and the grants.
var clusterChecks = []Entry{
	{Name: "crd-missing", Meaning: "The kinds of the operator are not installed.", Docs: documentation + "install.md"},
	{Name: "crd-version", Meaning: "The CRDs are older than the operator: the API server drops fields that they lack.", Docs: documentation + "install.md"},
	{Name: "clock-skew-local", Meaning: "The clock of this machine differs from that of the API server by more than a minute.", Docs: documentation + "runbooks/StsCredentialClockSkew.md"},
	{Name: "clock-skew-node", Meaning: "The clock of a node differs from that of the API server by more than a minute.", Docs: documentation + "runbooks/StsCredentialClockSkew.md"},
	{Name: "operator-missing", Meaning: "The operator is not installed.", Docs: documentation + "install.md"},
	{Name: "operator-not-running", Meaning: "No replica of the operator is ready.", Docs: documentation + "runbooks/StsCredentialOperatorDown.md"},
	{Name: "operator-not-leading", Meaning: "No replica of the operator holds the lease of the leader election.", Docs: documentation + "runbooks/StsCredentialOperatorDown.md"},
	{Name: "renewals-late", Meaning: "Renewals are late without an error: the operator's budget of calls to STS is exhausted.", Docs: documentation + "runbooks/StsCredentialBudgetExhausted.md"},
	{Name: "operator-secret-missing", Meaning: "The operator's pods need a Secret that does not exist.", Docs: documentation + "identity.md#with-a-ram-user"},
	{Name: "operator-token-missing", Meaning: "The operator has a temporary AccessKey ID without its security token.", Docs: documentation + "identity.md#sources"},
	{Name: "operator-identity-incomplete", Meaning: "The operator has only one half of an AccessKey.", Docs: documentation + "identity.md#with-a-ram-user"},
	{Name: "operator-identity-missing", Meaning: "The operator has no identity to call STS with.", Docs: documentation + "identity.md#with-the-operators-identity"},
	{Name: "operator-rrsa-not-injected", Meaning: "RRSA is configured for the operator and not injected into its pods.", Docs: documentation + "identity.md#with-rrsa-on-ack"},
	{Name: "operator-node-role", Meaning: "The operator acts as the RAM role of its node, and nothing says that this is on purpose.", Docs: documentation + "identity.md#with-the-nodes-ram-role"},
	{Name: "sts-region", Meaning: "The operator calls STS in a region in which the cluster has no nodes.", Docs: documentation + "identity.md#sts-endpoint"},
	{Name: "grant-unused", Meaning: "An StsRoleGrant matches no namespace.", Docs: documentation + "grants.md"},
}

// credentialChecks are about one StsCredential, its Secret and its pods.
var credentialChecks = []Entry{
	{Name: "spec-invalid", Meaning: "The operator's checks reject the spec.", Docs: reasonsPage},
	{Name: "suspended", Meaning: "spec.suspend is true, so credentials are not renewed.", Docs: documentation + "usage.md#renew-change-suspend"},
	{Name: "role-not-granted", Meaning: "No StsRoleGrant allows the namespace to make the request.", Docs: documentation + "grants.md"},
	{Name: "access-key-missing", Meaning: "The Secret of spec.identity.accessKey has no AccessKey under the keys that the spec names.", Docs: keyPage},
	{Name: "identity-unavailable", Meaning: "The caller has no credentials for STS.", Docs: documentation + "identity.md"},
	{Name: "duration-too-long", Meaning: "spec.duration exceeds the maximum session duration of the role.", Docs: durationPage},
	{Name: "role-not-found", Meaning: "The role does not exist in RAM.", Docs: ramUserPage},
	{Name: "role-not-trusted", Meaning: "The caller may not assume the role. doctor orders the three causes by what other StsCredentials show.", Docs: permissionPage},
	{Name: "oidc-not-trusted", Meaning: "The role or its OIDC provider does not accept the ServiceAccount's token.", Docs: oidcPage},
	{Name: "throttled", Meaning: "STS throttles the account.", Docs: documentation + "budget.md#throttling-by-sts"},
	{Name: "access-key-refused", Meaning: "STS does not accept the AccessKey of the caller.", Docs: keyPage},
	{Name: "sts-error", Meaning: "STS refused the call with another code, which the finding names.", Docs: codesPage},
	{Name: "sts-unreachable", Meaning: "STS did not answer.", Docs: documentation + "private-networks.md"},
	{Name: "call-waits", Meaning: "The call to STS has waited for more than a minute, for the call budget or for the pace of one object.", Docs: budgetPage},
	{Name: "secret-conflict", Meaning: "A Secret of that name does not belong to the StsCredential.", Docs: documentation + "usage.md#secret-ownership"},
	{Name: "namespace-terminating", Meaning: "The namespace is being deleted.", Docs: reasonsPage},
	{Name: "secret-write-failed", Meaning: "The API server refuses the Secret, or admission changes it.", Docs: reasonsPage},
	{Name: "secret-missing", Meaning: "The StsCredential is ready, and its Secret does not exist.", Docs: documentation + "usage.md#the-secret"},
	{Name: "credentials-expired", Meaning: "The credentials have expired, and the operator does not renew them.", Docs: documentation + "runbooks/StsCredentialExpired.md"},
	{Name: "not-reconciled", Meaning: "The operator has not looked at the StsCredential.", Docs: documentation + "operations.md#sharding"},
	{Name: "not-ready", Meaning: "The StsCredential is not ready, for a reason that has no check of its own.", Docs: reasonsPage},
	{Name: "pods-outlive-credentials", Meaning: "Pods read the Secret through env, envFrom or subPath, and nothing restarts them after a renewal.", Docs: documentation + "rollouts.md#find-stale-pods"},
	{Name: "token-not-read", Meaning: "A container reads the temporary AccessKey ID and not the security token.", Docs: documentation + "troubleshooting.md#the-security-token-you-provided-is-invalid"},
	{Name: "temporary-key-literal", Meaning: "A container has a temporary AccessKey ID as text. It is never renewed.", Docs: documentation + "usage.md#read-the-secret"},
	{Name: "node-role-used", Meaning: "A container with the agent can act as the node's RAM role, which SDKs try before the agent.", Docs: documentation + "agent.md#add-the-agent-yourself"},
	{Name: "agent-missing", Meaning: "A pod has the agent's label and no agent.", Docs: documentation + "agent.md#if-a-pod-does-not-start"},
	{Name: "agent-format-missing", Meaning: "The Secret that the agent should serve does not have the format URI.", Docs: documentation + "agent.md#label-a-workload"},
	{Name: "rollout-blocked", Meaning: "Something blocks the restarts of spec.rollout.", Docs: blockedPage},
}

// joinChecks adds kind and next step.
func joinChecks(all ...[]Entry) (joined []Entry) {
	for _, entries := range all {
		for _, e := range entries {
			e.Kind, e.Steps = KindCheck, []string{doctorPrints}
			if e.Docs == "" {
				e.Docs = pluginPage
			}
			joined = append(joined, e)
		}
	}
	return joined
}
