// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/explain"
)

// stsCheck is a check for codes of STS: a code, or a prefix of several if it ends in '*'.
func stsCheck(name string, fix func(s *Snapshot, c *v1alpha1.StsCredential, message string) string, codes ...string) credentialCheck {
	return credentialCheck{
		name: name, stage: StageSTS, healthy: "STS does not answer " + strings.Join(codes, " or ") + ".",
		find: func(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
			found := problem(c)
			if found == nil || !codeMatches(codeIn(found.Message), codes) {
				return nil
			}
			return []Finding{{Object: objectOf(c), Message: because(s, c, found.Message), Fix: fix(s, c, found.Message)}}
		},
	}
}

// stsChecks judge what STS answered last. The first that matches applies.
var stsChecks = []credentialCheck{
	stsCheck("duration-too-long", durationFix, "InvalidParameter.DurationSeconds"),
	stsCheck("role-not-found", missingRoleFix, "EntityNotExist.Role"),
	stsCheck("role-not-trusted", noPermissionFix, "NoPermission"),
	stsCheck("oidc-not-trusted", oidcFix, "AuthenticationFail*"),
	stsCheck("throttled", explainedFix, "Throttling*"),
	stsCheck("access-key-refused", accessKeyFix, "InvalidAccessKeyId*", "SignatureDoesNotMatch", "IncompleteSignature"),
	stsCheck("sts-error", explainedFix, "*"),
	{name: "sts-unreachable", stage: StageSTS, find: findUnreachable, healthy: "STS answers."},
	{name: "call-waits", stage: StageSTS, find: findWaiting, healthy: "No call to STS waits for long."},
}

// codeInMessage is how a message quotes a code: "AssumeRole: NoPermission (RequestId …): …".
var codeInMessage = regexp.MustCompile(`(?:AssumeRole|AssumeRoleWithOIDC|GetCallerIdentity): ([A-Z][A-Za-z0-9._-]*)(?: \(RequestId [A-Za-z0-9-]+\))?: `)

// codeIn returns the code of STS in a message; empty if there is none.
func codeIn(message string) string {
	if m := codeInMessage.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	return ""
}

func codeMatches(code string, patterns []string) bool {
	for _, pattern := range patterns {
		prefix, family := strings.CutSuffix(pattern, "*")
		if code != "" && (code == pattern || family && strings.HasPrefix(code, prefix)) {
			return true
		}
	}
	return false
}

// causes returns the causes of a code as comments, the most likely first.
func causes(code string) (lines []string) {
	entry, _ := explain.Find(code)
	for i, cause := range entry.Causes {
		lines = append(lines, comment(fmt.Sprintf("Cause %d: %s", i+1, cause)))
	}
	return lines
}

// explainedFix lists the causes and next steps of the code.
func explainedFix(_ *Snapshot, _ *v1alpha1.StsCredential, message string) string {
	code := codeIn(message)
	lines := causes(code)
	if entry, found := explain.Find(code); found {
		for _, step := range entry.Steps {
			lines = append(lines, comment(step))
		}
	}
	return script(append(lines, "kubectl stscred explain "+code)...)
}

func durationFix(s *Snapshot, c *v1alpha1.StsCredential, _ string) string {
	spec := object{"duration": shortDuration(time.Hour)}
	if c.RenewBefore() > time.Hour-5*time.Minute {
		spec["renewBefore"] = nil
	}
	return script(
		comment("Either raise the maximum in RAM, if the role may have longer sessions:"),
		commented(fmt.Sprintf("aliyun ram UpdateRole --RoleName %s --NewMaxSessionDuration %d", c.RoleName(), int(c.Duration().Seconds()))),
		comment("Or request at most the role's maximum, which is one hour by default:"),
		s.patchSpec(c, spec))
}

func missingRoleFix(s *Snapshot, c *v1alpha1.StsCredential, _ string) string {
	policy := TrustPolicyFor(c, CallerOf(s, c))
	return script(
		comment("If the name is wrong, correct spec.roleARN. Otherwise create the role with the trust policy that it needs."+
			unknownCaller(policy)+trusts(c, policy)),
		"aliyun ram CreateRole --RoleName "+c.RoleName()+" --AssumeRolePolicyDocument "+quoted(compact(policy)))
}

// noPermissionFix orders the causes by what the other StsCredentials show.
func noPermissionFix(s *Snapshot, c *v1alpha1.StsCredential, message string) string {
	who := CallerOf(s, c)
	policy := TrustPolicyFor(c, who)
	trust := "aliyun ram UpdateRole --RoleName " + c.RoleName() + " --NewAssumeRolePolicyDocument " + quoted(compact(policy))
	attachCause := "the caller may not call sts:AssumeRole."
	attach := "aliyun ram AttachPolicyToUser --PolicyType System --PolicyName AliyunSTSAssumeRoleAccess --UserName "
	if _, role, ok := strings.Cut(who.Principal, ":role/"); ok {
		attach = "aliyun ram AttachPolicyToRole --PolicyType System --PolicyName AliyunSTSAssumeRoleAccess --RoleName " + role
	} else if _, user, ok := strings.Cut(who.Principal, ":user/"); ok {
		attach += user
	} else {
		attachCause += " Set USER_NAME to the name of the RAM user that calls STS."
		attach += `"$USER_NAME"`
	}
	rootCause := "the caller is the main account's own AccessKey, which cannot assume roles. Use the AccessKey of a RAM user."
	if strings.Contains(message, "main account's own AccessKey cannot assume roles") {
		return script(comment("Cause: "+rootCause), "kubectl stscred explain NoPermission")
	}
	trustCause := "the trust policy of the role does not name the caller. This replaces the whole policy: keep the statements that others need." +
		unknownCaller(policy) + trusts(c, policy)
	if c.Spec.ExternalID == "" {
		trustCause += " If the policy requires an external ID, set spec.externalID instead."
	}
	if s.callerWorks(c) {
		return script(comment("Cause 1, since the same caller assumes another role: "+trustCause), trust,
			comment("Cause 2: "+attachCause+" A custom policy may name single roles."), commented(attach))
	}
	return script(comment("Cause 1: "+trustCause), trust, comment("Cause 2: "+attachCause), attach, comment("Cause 3: "+rootCause))
}

// callerWorks reports whether the same caller assumes another role.
func (s *Snapshot) callerWorks(c *v1alpha1.StsCredential) bool {
	if c.Spec.Identity != nil {
		return false
	}
	for i := range s.Credentials {
		other := &s.Credentials[i]
		if other.Spec.Identity == nil && other.Spec.RoleARN != c.Spec.RoleARN && problem(other) == nil &&
			meta.IsStatusConditionTrue(other.Status.Conditions, v1alpha1.ConditionReady) {
			return true
		}
	}
	return false
}

func oidcFix(s *Snapshot, c *v1alpha1.StsCredential, message string) string {
	lines := causes(codeIn(message))
	if code := codeIn(message); code == "AuthenticationFail.NoPermission" && !strings.Contains(message, "is not registered in RAM") {
		policy := TrustPolicyFor(c, CallerOf(s, c))
		lines = append(lines, comment("This replaces the whole trust policy: keep the statements that others need."+trusts(c, policy)),
			"aliyun ram UpdateRole --RoleName "+c.RoleName()+" --NewAssumeRolePolicyDocument "+quoted(compact(policy)))
		return script(lines...)
	}
	return script(append(lines, comment("Compare with the OIDC provider in RAM:"),
		"kubectl get --raw /.well-known/openid-configuration", "kubectl get --raw /openid/v1/jwks")...)
}

func accessKeyFix(s *Snapshot, c *v1alpha1.StsCredential, message string) string {
	lines := causes(codeIn(message))
	if c.Spec.Identity == nil || c.Spec.Identity.AccessKey == nil {
		namespace, _ := s.operatorAccount()
		return script(append(lines, comment("As a cluster administrator, correct the AccessKey of the operator, and restart it:"), kubectl(namespace, "get", "deployments"))...)
	}
	key := c.Spec.Identity.AccessKey
	lines = append(lines, comment("Set both variables to a valid AccessKey of a RAM user first."),
		kubectl(c.Namespace, "create", "secret", "generic", key.SecretName, `--from-literal=`+key.IDKey()+`="$ACCESS_KEY_ID"`,
			`--from-literal=`+key.SecretKey()+`="$ACCESS_KEY_SECRET"`)+" --dry-run=client -o yaml | "+
			kubectl(c.Namespace, "patch", "secret", key.SecretName, "--patch-file=/dev/stdin"), retryNow(c))
	return script(lines...)
}

// findUnreachable finds that STS does not answer.
func findUnreachable(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	found := problemOf(c, v1alpha1.ReasonSTSUnavailable)
	if found == nil {
		return nil
	}
	namespace, _ := s.operatorAccount()
	return []Finding{{
		Object: objectOf(c), Message: because(s, c, found.Message),
		Fix: script(comment("The operator retries. If it persists, check --region, --sts-endpoint, the proxy and the certificate authorities:"),
			kubectl(namespace, "logs", "-l", "app.kubernetes.io/name=sts-credential-operator", "--tail=20")),
	}}
}

// findWaiting finds calls that wait for the call budget, or for the pace of the object, for more than a minute.
func findWaiting(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	found := problemOf(c, v1alpha1.ReasonExpired, v1alpha1.ReasonIssuing)
	if found == nil || !strings.Contains(found.Message, "the call to STS waits") || s.now().Sub(found.LastTransitionTime.Time) < pendingFor {
		return nil
	}
	fix := comment("Change the spec and request renewals less often. The operator makes the call by itself.") + "\n" +
		kubectl(c.Namespace, "get", "stscredential", c.Name)
	if strings.Contains(found.Message, "call budget") {
		fix = comment("As a cluster administrator: raise --sts-qps within the account's quota of 100 calls a second.") + "\n" + s.enable("sts.qps=40", "of your own with --sts-qps=40")
	}
	return []Finding{{Object: objectOf(c), Message: because(s, c, found.Message), Fix: fix}}
}

// shortDuration writes a duration without zero minutes and seconds: 1h, 45m.
func shortDuration(d time.Duration) string {
	short := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(short, zero) {
			short = short[:len(short)-2]
		}
	}
	return short
}
