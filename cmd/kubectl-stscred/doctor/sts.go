// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/json"
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
			return one(because(s, c, found.Message), fix(s, c, found.Message))
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
	onReason("sts-unreachable", StageSTS, "STS answers.", v1alpha1.ReasonSTSUnavailable, unreachableFix),
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

func durationFix(_ *Snapshot, c *v1alpha1.StsCredential, _ string) string {
	spec := object{"duration": shortDuration(time.Hour)}
	if c.RenewBefore() > time.Hour-5*time.Minute {
		spec["renewBefore"] = nil
	}
	return script(
		comment("Either raise the maximum in RAM, if the role may have longer sessions:"),
		commented(fmt.Sprintf("aliyun ram UpdateRole --RoleName %s --NewMaxSessionDuration %d", c.RoleName(), int(c.Duration().Seconds()))),
		comment("Or request at most the role's maximum, which is one hour by default:"),
		patchSpec(c, spec))
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
	return script(append(lines, comment("Set both variables to a valid AccessKey of a RAM user first."), writeKey(c.Namespace, key), retryNow(c))...)
}

func unreachableFix(s *Snapshot, _ *v1alpha1.StsCredential, _ string) string {
	namespace, _ := s.operatorAccount()
	return script(comment("The operator retries. If it persists, check --region, --sts-endpoint, the proxy and the certificate authorities:"),
		kubectl(namespace, "logs", "-l", "app.kubernetes.io/name=sts-credential-operator", "--tail=20"))
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
	return one(because(s, c, found.Message), fix)
}

// createAccessKey returns the command that creates the Secret with an AccessKey, from variables of the user's shell.
func createAccessKey(namespace string, key *v1alpha1.AccessKeyIdentity) string {
	return kubectl(namespace, "create", "secret", "generic", key.SecretName,
		`--from-literal=`+key.IDKey()+`="$ACCESS_KEY_ID"`, `--from-literal=`+key.SecretKey()+`="$ACCESS_KEY_SECRET"`)
}

// writeKey returns the command that writes an AccessKey to its Secret.
func writeKey(namespace string, key *v1alpha1.AccessKeyIdentity) string {
	return createAccessKey(namespace, key) + " --dry-run=client -o yaml | " + kubectl(namespace, "patch", "secret", key.SecretName, "--patch-file=/dev/stdin")
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

// TrustPolicy is the trust policy of a RAM role.
type TrustPolicy struct {
	Version   string           `json:"Version"`
	Statement []TrustStatement `json:"Statement"`
}

// TrustStatement allows a caller to assume the role.
type TrustStatement struct {
	Effect    string                       `json:"Effect"`
	Action    string                       `json:"Action"`
	Principal map[string][]string          `json:"Principal"`
	Condition map[string]map[string]string `json:"Condition,omitempty"`
}

// Caller is who assumes a role. Empty fields are not known.
type Caller struct {
	// Principal is the ARN of a RAM user or role. For a ServiceAccount it is not used.
	Principal string
	// ProviderARN and Issuer are those of the OIDC provider, for a ServiceAccount.
	ProviderARN, Issuer string
}

// Placeholders for what is not known.
const (
	UnknownPrincipal = "acs:ram::<account ID>:user/<user name>"
	UnknownProvider  = "acs:ram::<account ID>:oidc-provider/<name>"
	UnknownIssuer    = "<issuer URL>"
)

// TrustPolicyFor returns the trust policy that the role of an StsCredential needs, with placeholders for what is not known.
func TrustPolicyFor(c *v1alpha1.StsCredential, who Caller) TrustPolicy {
	statement := TrustStatement{Effect: "Allow", Action: "sts:AssumeRole"}
	equals := map[string]string{}
	if account := serviceAccountOf(c); account != "" {
		statement.Principal = map[string][]string{"Federated": {cmp.Or(who.ProviderARN, UnknownProvider)}}
		equals["oidc:iss"] = cmp.Or(who.Issuer, UnknownIssuer)
		equals["oidc:aud"] = "sts.aliyuncs.com"
		equals["oidc:sub"] = "system:serviceaccount:" + c.Namespace + ":" + account
	} else {
		statement.Principal = map[string][]string{"RAM": {cmp.Or(who.Principal, UnknownPrincipal)}}
		if c.Spec.ExternalID != "" {
			equals["sts:ExternalId"] = c.Spec.ExternalID
		}
		if c.Spec.SourceIdentity != "" {
			equals["sts:SourceIdentity"] = c.Spec.SourceIdentity
		}
	}
	if len(equals) > 0 {
		statement.Condition = map[string]map[string]string{"StringEquals": equals}
	}
	return TrustPolicy{Version: "1", Statement: []TrustStatement{statement}}
}

func serviceAccountOf(c *v1alpha1.StsCredential) string {
	if c.Spec.Identity == nil || c.Spec.Identity.ServiceAccount == nil {
		return ""
	}
	return c.Spec.Identity.ServiceAccount.Name
}

// ramPrincipal is a caller as a trust policy names it.
var ramPrincipal = regexp.MustCompile(`^acs:ram::[0-9]{1,32}:(?:user|role)/[A-Za-z0-9._@-]{1,128}$`)

// unknownCaller returns a sentence for a comment if a policy has placeholders; else nothing.
func unknownCaller(policy TrustPolicy) string {
	if !strings.Contains(compact(policy), "<") {
		return ""
	}
	return " Write who calls STS instead of the text in angle brackets: the operator logs its own ARN at its start."
}

// trusts says what a trust policy allows if no StsRoleGrant decides about it: with spec.identity, users of the namespace choose both
// the role and who assumes it.
func trusts(c *v1alpha1.StsCredential, policy TrustPolicy) string {
	if c.Spec.Identity == nil {
		return ""
	}
	text := " A RAM administrator decides: users of namespace " + c.Namespace + " chose this role, and can then assume it without a grant."
	for _, principals := range policy.Statement[0].Principal {
		if account := accountOf(principals[0]); account != "" && account != accountOf(c.Spec.RoleARN) {
			text += " Warning: the policy trusts another Alibaba Cloud account, " + account + "."
		}
	}
	return text
}

// accountOf returns the account in an ARN; empty if it has none.
func accountOf(arn string) string {
	account, _, _ := strings.Cut(strings.TrimPrefix(arn, "acs:ram::"), ":")
	if strings.Trim(account, "0123456789") != "" {
		return ""
	}
	return account
}

// IsPrincipal reports whether an ARN is one of a RAM user or role.
func IsPrincipal(arn string) bool { return ramPrincipal.MatchString(arn) }

// CallerOf returns what the cluster shows of the caller of an StsCredential: what STS's refusals name and, for the operator, the
// role that RRSA gives it.
func CallerOf(s *Snapshot, c *v1alpha1.StsCredential) Caller {
	var who Caller
	who.learn(c)
	if account := c.Spec.Identity; account != nil && account.ServiceAccount != nil {
		who.ProviderARN = cmp.Or(account.ServiceAccount.OIDCProviderARN, who.ProviderARN, s.operatorFlag("oidc-provider-arn"), s.operatorVariable("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"))
		for i := range s.Credentials {
			if other := (Caller{}); who.Issuer == "" && serviceAccountOf(&s.Credentials[i]) != "" {
				other.learn(&s.Credentials[i])
				who.Issuer = other.Issuer
			}
		}
		return who
	}
	if c.Spec.Identity != nil {
		return who
	}
	for i := range s.Credentials { // the operator is the same for all
		if who.Principal == "" && s.Credentials[i].Spec.Identity == nil {
			who.learn(&s.Credentials[i])
		}
	}
	if role := s.operatorVariable("ALIBABA_CLOUD_ROLE_ARN"); who.Principal == "" && IsPrincipal(role) {
		who.Principal = role
	}
	return who
}

// learn reads the statement in the condition of a refused call.
func (w *Caller) learn(c *v1alpha1.StsCredential) {
	found := problem(c)
	if found == nil || found.ObservedGeneration != c.Generation {
		return // with another spec, another identity may have been refused
	}
	start := strings.Index(found.Message, `{"Effect":"Allow"`)
	if start < 0 {
		return
	}
	var statement struct {
		Principal map[string][]string
		Condition map[string]map[string]string
	}
	if json.NewDecoder(strings.NewReader(found.Message[start:])).Decode(&statement) != nil {
		return
	}
	known := func(values []string) string {
		if len(values) == 0 || strings.ContainsAny(values[0], "<>") {
			return ""
		}
		return values[0]
	}
	if principal := known(statement.Principal["RAM"]); IsPrincipal(principal) {
		w.Principal = principal
	}
	w.ProviderARN = known(statement.Principal["Federated"])
	w.Issuer = known([]string{statement.Condition["StringEquals"]["oidc:iss"]})
}

// operatorVariable returns a variable of the operator's pods, such as a webhook injects.
func (s *Snapshot) operatorVariable(name string) string {
	for i := range s.OperatorPods {
		for _, container := range s.OperatorPods[i].Spec.Containers {
			for _, e := range container.Env {
				if e.Name == name && e.Value != "" {
					return e.Value
				}
			}
		}
	}
	return ""
}
