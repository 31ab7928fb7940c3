// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// wantNoLeak requires that nothing secret was logged or reported.
func (env *environment) wantNoLeak(c *v1alpha1.StsCredential) {
	env.Helper()
	hidden := []string{env.OperatorKey.Secret}
	if s := env.Secret(c.SecretName()); s != nil {
		hidden = append(hidden, string(s.Data[secret.KeyAccessKeySecret]), string(s.Data[secret.KeySecurityToken]))
	}
	said := env.log.String() + strings.Join(env.RecordedEvents(), "\n") + fmt.Sprintf("%+v", c.Status)
	for _, h := range hidden {
		if h != "" && strings.Contains(said, h) {
			env.Error("something secret was reported")
		}
	}
	if strings.Contains(said, env.Server.URL+"/?") {
		env.Error("a request's URL was reported")
	}
}

// Every code of STS ends in its class: in the reported reason, how soon it is retried, and whether a person must act.
func TestErrorCodes(t *testing.T) {
	const (
		soon   = time.Second
		slowly = time.Minute
	)
	for _, tt := range []struct {
		code, reason, next string
		retry              time.Duration
		calls              int
	}{
		{"InvalidParameter.DurationSeconds", v1alpha1.ReasonRoleRefused, "MaxSessionDuration", slowly, 1},
		{"InvalidParameter.RoleArn", v1alpha1.ReasonInvalidSpec, "ARN", slowly, 1},
		{"InvalidParameter.RoleSessionName", v1alpha1.ReasonInvalidSpec, "session name", slowly, 1},
		{"InvalidParameter.ExternalId", v1alpha1.ReasonInvalidSpec, "spec.externalID", slowly, 1},
		{"InvalidParameter.PolicyGrammar", v1alpha1.ReasonInvalidSpec, "policy", slowly, 1},
		{"InvalidParameter.PolicySize", v1alpha1.ReasonInvalidSpec, "2048", slowly, 1},
		{"NoPermission", v1alpha1.ReasonRoleRefused, "Add " + operator + " to the trust policy of " + role, slowly, 1},
		{"EntityNotExist.Role", v1alpha1.ReasonRoleRefused, "Create it", slowly, 1},
		{"AuthenticationFail.NoPermission", v1alpha1.ReasonRoleRefused, "OIDC", slowly, 1},
		{"AuthenticationFail.OIDCToken.AudienceNotMatch", v1alpha1.ReasonRoleRefused, "audience", slowly, 1},
		{"AuthenticationFail.OIDCToken.InvalidSignature", v1alpha1.ReasonRoleRefused, "issuer", slowly, 1},
		{"AuthenticationFail.OIDCToken.Invalid", v1alpha1.ReasonRoleRefused, "issuer", slowly, 1},
		{"AuthenticationFail.OIDCToken.Expired", v1alpha1.ReasonIdentityUnavailable, "token", slowly, 2},
		{"InvalidAccessKeyId.NotFound", v1alpha1.ReasonIdentityUnavailable, "AccessKey", slowly, 2},
		{"InvalidAccessKeyId.Inactive", v1alpha1.ReasonIdentityUnavailable, "Enable it", slowly, 2},
		{"InvalidSecurityToken.Expired", v1alpha1.ReasonIdentityUnavailable, "token", slowly, 2},
		{"InvalidSecurityToken.Malformed", v1alpha1.ReasonIdentityUnavailable, "token", slowly, 2},
		{"InvalidSecurityToken.MismatchWithAccessKey", v1alpha1.ReasonIdentityUnavailable, "token", slowly, 2},
		{"SignatureDoesNotMatch", v1alpha1.ReasonIdentityUnavailable, "secret", slowly, 1},
		{"InvalidTimeStamp.Expired", v1alpha1.ReasonIdentityUnavailable, "clock", slowly, 1},
		{"InvalidTimeStamp.Format", v1alpha1.ReasonIdentityUnavailable, "clock", slowly, 1},
		{"SignatureNonceUsed", v1alpha1.ReasonSTSUnavailable, "the operator retries", soon, 1},
		{"Throttling", v1alpha1.ReasonThrottled, "throttles", soon, 1},
		{"Throttling.User", v1alpha1.ReasonThrottled, "throttles", soon, 1},
		{"Throttling.Api", v1alpha1.ReasonThrottled, "throttles", soon, 1},
		{"InternalError", v1alpha1.ReasonSTSUnavailable, "the operator retries", soon, 1},
		{"ServiceUnavailable", v1alpha1.ReasonSTSUnavailable, "the operator retries", soon, 1},
	} {
		t.Run(tt.code, func(t *testing.T) {
			env := newEnvironment(t)
			env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: tt.code})
			c := env.CreateCredential("orders")
			next := env.reconcile(c).RequeueAfter
			calls := env.Emulator.Calls()
			message := tt.code + " (RequestId " + calls[len(calls)-1].RequestID + "): "
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, tt.reason, message)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, tt.reason, tt.next)
			acting, waiting := v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling
			if tt.retry == soon {
				acting, waiting = waiting, acting
			}
			env.WantCondition(c, acting, metav1.ConditionTrue, tt.reason, "")
			env.WantCondition(c, waiting, "", "", "")
			if next > tt.retry || next < tt.retry*4/5 {
				t.Errorf("requeue after %v, want about %v", next, tt.retry)
			}
			env.WantCalls(tt.calls)
			env.reconcile(c)
			env.WantCalls(tt.calls)
			env.wantNoLeak(c)

			env.Emulator.Clear()
			env.Step(max(next, time.Minute))
			env.reconcile(c)
			env.WantCalls(tt.calls + 1)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.wantWorking("orders")
		})
	}
}

// Whatever STS answers that is not a whole session, nothing is written, what the Secret holds is kept, and it heals.
func TestBrokenAnswers(t *testing.T) {
	partial := func(missing string) stsemulator.Fault {
		return stsemulator.Fault{Kind: stsemulator.FaultPartial, Missing: missing}
	}
	for _, fault := range []stsemulator.Fault{
		{Kind: stsemulator.FaultEmpty}, {Kind: stsemulator.FaultBadGateway}, {Kind: stsemulator.FaultBadExpiration},
		{Kind: stsemulator.FaultReset}, {Kind: stsemulator.FaultHang},
		partial("AccessKeyId"), partial("AccessKeySecret"), partial("SecurityToken"), partial("Expiration"), partial("Credentials"),
	} {
		t.Run(string(fault.Kind)+fault.Missing, func(t *testing.T) {
			env := newEnvironment(t)
			fault.Action = "AssumeRole"
			env.Emulator.Inject(fault)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSTSUnavailable, "")
			if env.Secret("orders") != nil {
				t.Error("a Secret was written")
			}
			env.Emulator.Clear()
			env.Step(time.Second)
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			before := env.Secret("orders")
			env.RecordedEvents()

			env.Emulator.Inject(fault)
			env.Step(45 * time.Minute)
			next := env.reconcile(c).RequeueAfter
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonSTSUnavailable, "")
			env.WantCondition(c, v1alpha1.ConditionReconciling, "", "", "")
			if env.Secret("orders").ResourceVersion != before.ResourceVersion {
				t.Error("the Secret was written to")
			}
			if got := env.RecordedEvents(); len(got) != 1 || !strings.HasPrefix(got[0], "Warning STSUnavailable") {
				t.Errorf("events = %q, want one warning", got)
			}
			env.Emulator.Clear()
			env.Step(next)
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
			if got := env.RecordedEvents(); len(got) != 1 || !strings.HasPrefix(got[0], "Normal Issued") {
				t.Errorf("events = %q, want one of the recovery", got)
			}
			if id := env.wantWorking("orders"); id == string(before.Data[secret.KeyAccessKeyID]) {
				t.Error("not renewed")
			}
		})
	}
}

// Retries thin out, and come sooner again when little life is left.
func TestRetryTimes(t *testing.T) {
	for _, tt := range []struct {
		code  string
		first time.Duration
		last  time.Duration
	}{{"InternalError", time.Second, time.Minute}, {"NoPermission", time.Minute, 10 * time.Minute}} {
		t.Run(tt.code, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			fault := stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: tt.code}
			env.Emulator.Inject(fault)
			var waits []time.Duration
			for range 8 {
				next := env.reconcile(c).RequeueAfter
				waits = append(waits, next)
				env.Step(next)
			}
			if waits[0] > tt.first || waits[7] > tt.last || waits[7] < tt.last*4/5 {
				t.Errorf("waits %v, want from %v to %v", waits, tt.first, tt.last)
			}
			env.Emulator.Clear()
			env.Step(tt.last)
			env.reconcile(c)

			env.Emulator.Inject(fault)
			env.Step(59*time.Minute + 30*time.Second)
			if next := env.reconcile(c).RequeueAfter; next > 10*time.Second {
				t.Errorf("half a minute before expiry the next try is in %v", next)
			}
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.Step(30 * time.Second)
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, c.Status.Conditions[0].Reason, tt.code)
			env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
		})
	}
}

// A throttling answer slows every caller of the account, not only the one that met it.
func TestThrottlingSlowsAll(t *testing.T) {
	env := newEnvironment(t)
	env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "Throttling.User", Times: 1})
	first, second := env.CreateCredential("first"), env.CreateCredential("second")
	env.reconcile(first)
	next := env.reconcile(second).RequeueAfter
	env.WantCalls(1)
	if next <= 0 || next > 5*time.Second {
		t.Errorf("the second caller is to come back in %v", next)
	}
	env.Step(next + time.Second)
	env.reconcile(second)
	env.Step(time.Second) // and even then they do not come all at once
	env.reconcile(first)
	env.WantCalls(3)
}

// An identity that STS calls stale is fetched anew at once: the new one is used in the same reconcile.
func TestStaleIdentityIsFetchedAnew(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	old := env.OperatorKey
	env.OperatorKey = env.Emulator.AddUser(account, "sts-operator")
	env.Emulator.DeleteKey(old.ID)
	env.Step(45 * time.Minute)
	env.reconcile(c)
	env.WantCalls(3)
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
	calls := env.Emulator.Calls()
	if got := calls[len(calls)-1]; got.AccessKeyID != env.OperatorKey.ID || got.Code != "" {
		t.Errorf("the last call was %+v, want one with the new key", got)
	}
}

func TestNoIdentity(t *testing.T) {
	env := newEnvironment(t)
	env.OperatorKey = stsemulator.AccessKey{}
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCalls(0)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, "")
	if env.Secret("orders") != nil {
		t.Error("a Secret was written")
	}
}
