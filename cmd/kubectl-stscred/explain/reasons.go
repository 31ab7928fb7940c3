// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import "github.com/stscredential/sts-credential-operator/api/v1alpha1"

// Sections of the documentation that several entries name.
const (
	conditionsPage = documentation + "troubleshooting.md#conditions"
	reasonsPage    = documentation + "troubleshooting.md#reasons"
	blockedPage    = documentation + "rollouts.md#blocked-restarts"
)

// Steps of several reasons.
const (
	runDoctor      = "Find the cause, and what repairs it: kubectl stscred doctor NAME."
	explainCode    = "Look up the error code in the message: kubectl stscred explain CODE."
	nothingToDo    = "Nothing."
	enableRollouts = "Ask a cluster administrator to enable --rollouts (chart: rollouts.enabled=true)."
)

var conditions = ofKind(KindCondition, []Entry{
	{
		Name: v1alpha1.ConditionReady, Meaning: "True while the Secret holds valid credentials for the current spec.",
		Steps: []string{"If it is not True, look up its reason: kubectl stscred explain REASON.", runDoctor}, Docs: conditionsPage,
	},
	{
		Name: v1alpha1.ConditionRenewalFailing, Meaning: "The credentials are valid, but the last renewal failed. They expire at status.expiresAt.",
		Steps: []string{"Look up its reason: kubectl stscred explain REASON.", runDoctor}, Docs: documentation + "runbooks/StsCredentialRenewalFailing.md",
	},
	{
		Name: v1alpha1.ConditionReconciling, Meaning: "Ready is not True, and the operator retries.",
		Steps: []string{"Wait. If it persists, look up its reason: kubectl stscred explain REASON."}, Docs: conditionsPage,
	},
	{
		Name: v1alpha1.ConditionStalled, Meaning: "Ready is False, and somebody must act.", Steps: []string{runDoctor}, Docs: conditionsPage,
	},
	{
		Name:    v1alpha1.ConditionPodsStale,
		Meaning: "Running pods use superseded credentials or none, cannot read the current ones, and spec.rollout does not restart them.",
		Causes:  []string{"A container reads the Secret through env, envFrom or subPath, which never change in a running container."},
		Steps:   []string{"Restart the workload, mount the Secret as a volume, use the agent, or set spec.rollout.", runDoctor},
		Docs:    documentation + "runbooks/StsCredentialStalePods.md",
	},
	{
		Name: v1alpha1.ConditionRolloutFailing, Meaning: "Workloads that spec.rollout selects are not restarted, or not in time.",
		Steps: []string{"Look up its reason: kubectl stscred explain REASON.", runDoctor}, Docs: blockedPage,
	},
})

var reasons = append(ofKind(KindReason, []Entry{
	{Name: v1alpha1.ReasonIssued, Meaning: "The Secret holds valid credentials for the current spec.", Steps: []string{nothingToDo}, Docs: reasonsPage},
	{
		Name: v1alpha1.ReasonInvalidSpec, Meaning: "A value of the spec is invalid, by the operator's checks or by STS.",
		Causes: []string{"The field that the message names has an invalid value."},
		Steps:  []string{"Correct what the message names.", explainCode}, Docs: reasonsPage,
	},
	{
		Name: v1alpha1.ReasonSuspended, Meaning: "spec.suspend is true, and the Secret holds no valid credentials for this spec.",
		Steps: []string{`Resume it: kubectl patch stscredential NAME --type=merge -p '{"spec":{"suspend":false}}'.`},
		Docs:  documentation + "usage.md#renew-change-suspend",
	},
	{
		Name: v1alpha1.ReasonRoleNotGranted, Meaning: "No StsRoleGrant allows the namespace to make this request.", Causes: []string{
			"No grant names both the namespace and the role.",
			"spec.roleARN differs from the grant in upper and lower case, or in the account ID.",
			"The grant has a limit: a maximum duration, session names with the namespace's prefix, no source identity, or a policy of its own.",
		},
		Steps: []string{"Print the manifest that is missing: kubectl stscred doctor NAME.", "Ask a cluster administrator for it, or correct spec.roleARN."},
		Docs:  documentation + "grants.md",
	},
	{
		Name: v1alpha1.ReasonSecretConflict, Meaning: "A Secret of that name exists and does not belong to this StsCredential. The operator does not change it.",
		Causes: []string{
			"The Secret existed before.", "It belongs to another StsCredential or controller.",
			"It is a copy of a Secret that the operator wrote, for example from a backup.", "It holds the AccessKey of an StsCredential.",
		},
		Steps: []string{"Choose another spec.secret.name, delete the Secret, or let its owner consent to its adoption."},
		Docs:  documentation + "usage.md#secret-ownership",
	},
	{
		Name: v1alpha1.ReasonSecretWriteFailed, Meaning: "The API server refused the Secret, or admission changed it.", Causes: []string{
			"The ResourceQuota of the namespace is exhausted.", "An admission policy or webhook denies the Secret, or changes it.",
			"The Secret has immutable: true.", "The namespace is being deleted.",
		},
		Steps: []string{"Correct what the message names. The operator retries by itself.", runDoctor}, Docs: reasonsPage,
	},
	{
		Name: v1alpha1.ReasonIdentityUnavailable, Meaning: "The caller has no credentials for STS, or STS does not know or accept them.", Causes: []string{
			"The Secret, key or ServiceAccount of spec.identity does not exist.", "The operator has no identity, or may not request the ServiceAccount's tokens.",
			"STS refuses the AccessKey: it is disabled, deleted, or its secret is wrong.",
		},
		Steps: []string{"Correct what the message names.", explainCode}, Docs: documentation + "identity.md",
	},
	{
		Name: v1alpha1.ReasonRoleRefused, Meaning: "STS refused the request.",
		Causes: []string{"The trust policy of the role, a missing permission, a missing role, or the duration: the error code says which."},
		Steps:  []string{explainCode}, Docs: documentation + "runbooks/StsCredentialRoleRefused.md",
	},
	{
		Name: v1alpha1.ReasonThrottled, Meaning: "STS throttles the account, which makes too many calls.",
		Causes: []string{"Several clusters or programs share the account's 100 calls per second.", "--sts-qps is too high."},
		Steps:  []string{waitForRetry, "If it persists, lower --sts-qps or ask Alibaba Cloud for a higher quota."},
		Docs:   documentation + "budget.md#throttling-by-sts",
	},
	{
		Name: v1alpha1.ReasonSTSUnavailable, Meaning: "STS did not answer, or its response was incomplete.", Causes: []string{
			"No connection to the endpoint: proxy, firewall, NetworkPolicy or DNS.", "The endpoint is that of another region.", "A failure of STS.",
		},
		Steps: []string{waitForRetry, "If it persists, check --region, --sts-endpoint, the proxy and the certificate authorities."},
		Docs:  documentation + "private-networks.md",
	},
	{
		Name: v1alpha1.ReasonExpired, Meaning: "The credentials have expired, and the renewal waits for the call budget.",
		Causes: []string{"The call budget of the account is too small for the number of credentials."},
		Steps:  []string{"Wait. If it persists, raise --sts-qps within the account's quota."}, Docs: documentation + "runbooks/StsCredentialExpired.md",
	},
	{
		Name: v1alpha1.ReasonIssuing, Meaning: "No credentials are issued yet, and no error is known.",
		Steps: []string{"Wait. If it takes minutes, see the message for what it waits for.", runDoctor}, Docs: reasonsPage,
	},
	{
		Name: v1alpha1.ReasonPodsOutliveCredentials, Meaning: "Pods started before the credentials in the Secret were written, and cannot read them.",
		Causes: []string{"A container reads the Secret through env, envFrom or subPath."},
		Steps:  []string{"Restart the workload, mount the Secret as a volume, use the agent, or set spec.rollout.", runDoctor},
		Docs:   documentation + "rollouts.md#when-a-pod-is-stale",
	},
	{
		Name: v1alpha1.ReasonRolloutUnfinished, Meaning: "Pods that should have been replaced still run, and their credentials are about to expire.",
		Causes: []string{"New pods do not become ready.", "A PodDisruptionBudget or maxUnavailable: 0 blocks the rollout.", "The rollout takes too long for spec.duration."},
		Steps:  []string{"See why: kubectl rollout status KIND/NAME.", "Or raise spec.duration."}, Docs: documentation + "rollouts.md#when-and-how-often",
	},
	{
		Name: v1alpha1.ReasonRolloutsDisabled, Meaning: "spec.rollout selects workloads, but the operator runs without --rollouts, or may not watch pods.",
		Steps: []string{enableRollouts, "Or remove spec.rollout."}, Docs: documentation + "rollouts.md#enable-the-feature",
	},
	{
		Name: v1alpha1.ReasonRolloutForbidden, Meaning: "The operator may not get or patch the workload.",
		Causes: []string{"The Role or ClusterRole for --rollouts is missing in the namespace."},
		Steps:  []string{"Ask a cluster administrator for the rights that --rollouts requires."}, Docs: documentation + "rollouts.md#enable-the-feature",
	},
	{
		Name: v1alpha1.ReasonTargetNotFound, Meaning: "A workload of spec.rollout.targets does not exist, or its kind is not installed.",
		Causes: []string{"Its name or kind is mistyped.", "It was deleted."}, Steps: []string{"Correct spec.rollout.targets, or create the workload."}, Docs: blockedPage,
	},
	{
		Name: v1alpha1.ReasonWorkloadPaused, Meaning: "The workload is paused, so a restart would replace no pod.",
		Steps: []string{"Resume it: kubectl rollout resume deployment/NAME."}, Docs: blockedPage,
	},
	{
		Name: v1alpha1.ReasonStrategyUnsuited, Meaning: "The workload's update strategy does not replace all pods.",
		Causes: []string{"updateStrategy is OnDelete.", "A partition keeps pods.", "A CloneSet updates in place."},
		Steps:  []string{"Change the strategy, or delete the pods."}, Docs: blockedPage,
	},
	{
		Name: v1alpha1.ReasonRolloutRefused, Meaning: "The API server refused the patch of the workload, or did not answer.",
		Causes: []string{"An admission policy or webhook denies it."}, Steps: []string{"Correct what the message names."}, Docs: blockedPage,
	},
}), ofKind(KindEvent, []Entry{
	{Name: v1alpha1.ReasonRestarted, Meaning: "A workload was restarted after a renewal.", Steps: []string{nothingToDo}, Docs: documentation + "rollouts.md#how-a-restart-works"},
	{
		Name: v1alpha1.ReasonFrequentRestarts, Meaning: "With this spec.duration, workloads are restarted many times a day.",
		Steps: []string{"Raise spec.duration, such as to 12h, and the maximum session duration of the role."},
		Docs:  documentation + "rollouts.md#when-and-how-often",
	},
})...)

func ofKind(kind Kind, entries []Entry) []Entry {
	for i := range entries {
		entries[i].Kind = kind
	}
	return entries
}
