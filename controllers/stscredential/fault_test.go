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

// wantSilent insists that nothing secret was told anywhere.
func (w *world) wantSilent(c *v1alpha1.StsCredential) {
	w.Helper()
	hidden := []string{w.key.Secret}
	if s := w.secret(c.SecretName()); s != nil {
		hidden = append(hidden, string(s.Data[secret.KeyAccessKeySecret]), string(s.Data[secret.KeySecurityToken]))
	}
	said := w.log.String() + strings.Join(w.told(), "\n") + fmt.Sprintf("%+v", c.Status)
	for _, h := range hidden {
		if h != "" && strings.Contains(said, h) {
			w.Error("something secret was told")
		}
	}
	if strings.Contains(said, w.server.URL+"/?") {
		w.Error("a request's URL was told")
	}
}

// Every code of STS ends in its class: in what is told, how soon it is retried, and whether a person must act.
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
			w := newWorld(t)
			w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: tt.code})
			c := w.credential("orders")
			next := w.pass(c).RequeueAfter
			calls := w.emulator.Calls()
			message := tt.code + " (RequestId " + calls[len(calls)-1].RequestID + "): "
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, tt.reason, message)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, tt.reason, tt.next)
			acting, waiting := v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling
			if tt.retry == soon {
				acting, waiting = waiting, acting
			}
			w.wantCondition(c, acting, metav1.ConditionTrue, tt.reason, "")
			w.wantCondition(c, waiting, "", "", "")
			if next > tt.retry || next < tt.retry*4/5 {
				t.Errorf("next look in %v, want about %v", next, tt.retry)
			}
			w.wantCalls(tt.calls)
			w.pass(c)
			w.wantCalls(tt.calls)
			w.wantSilent(c)

			w.emulator.Clear()
			w.step(max(next, time.Minute))
			w.pass(c)
			w.wantCalls(tt.calls + 1)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantWorking("orders")
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
			w := newWorld(t)
			fault.Action = "AssumeRole"
			w.emulator.Inject(fault)
			c := w.credential("orders")
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSTSUnavailable, "")
			if w.secret("orders") != nil {
				t.Error("a Secret was written")
			}
			w.emulator.Clear()
			w.step(time.Second)
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			before := w.secret("orders")
			w.told()

			w.emulator.Inject(fault)
			w.step(45 * time.Minute)
			next := w.pass(c).RequeueAfter
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonSTSUnavailable, "")
			w.wantCondition(c, v1alpha1.ConditionReconciling, "", "", "")
			if w.secret("orders").ResourceVersion != before.ResourceVersion {
				t.Error("the Secret was written to")
			}
			if got := w.told(); len(got) != 1 || !strings.HasPrefix(got[0], "Warning STSUnavailable") {
				t.Errorf("events = %q, want one warning", got)
			}
			w.emulator.Clear()
			w.step(next)
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
			if got := w.told(); len(got) != 1 || !strings.HasPrefix(got[0], "Normal Issued") {
				t.Errorf("events = %q, want one of the recovery", got)
			}
			if id := w.wantWorking("orders"); id == string(before.Data[secret.KeyAccessKeyID]) {
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
			w := newWorld(t)
			c := w.credential("orders")
			fault := stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: tt.code}
			w.emulator.Inject(fault)
			var waits []time.Duration
			for range 8 {
				next := w.pass(c).RequeueAfter
				waits = append(waits, next)
				w.step(next)
			}
			if waits[0] > tt.first || waits[7] > tt.last || waits[7] < tt.last*4/5 {
				t.Errorf("waits %v, want from %v to %v", waits, tt.first, tt.last)
			}
			w.emulator.Clear()
			w.step(tt.last)
			w.pass(c)

			w.emulator.Inject(fault)
			w.step(59*time.Minute + 30*time.Second)
			if next := w.pass(c).RequeueAfter; next > 10*time.Second {
				t.Errorf("half a minute before expiry the next try is in %v", next)
			}
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.step(30 * time.Second)
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, c.Status.Conditions[0].Reason, tt.code)
			w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
		})
	}
}

// A throttling answer slows every caller of the account, not only the one that met it.
func TestThrottlingSlowsAll(t *testing.T) {
	w := newWorld(t)
	w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "Throttling.User", Times: 1})
	first, second := w.credential("first"), w.credential("second")
	w.pass(first)
	next := w.pass(second).RequeueAfter
	w.wantCalls(1)
	if next <= 0 || next > 5*time.Second {
		t.Errorf("the second caller is to come back in %v", next)
	}
	w.step(next + time.Second)
	w.pass(second)
	w.step(time.Second) // and even then they do not come all at once
	w.pass(first)
	w.wantCalls(3)
}

// An identity that STS calls stale is fetched anew at once: the new one is used in the same pass.
func TestStaleIdentityIsFetchedAnew(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	old := w.key
	w.key = w.emulator.AddUser(account, "sts-operator")
	w.emulator.DeleteKey(old.ID)
	w.step(45 * time.Minute)
	w.pass(c)
	w.wantCalls(3)
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
	calls := w.emulator.Calls()
	if got := calls[len(calls)-1]; got.AccessKeyID != w.key.ID || got.Code != "" {
		t.Errorf("the last call was %+v, want one with the new key", got)
	}
}

func TestNoIdentity(t *testing.T) {
	w := newWorld(t)
	w.key = stsemulator.AccessKey{}
	c := w.credential("orders")
	w.pass(c)
	w.wantCalls(0)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, "")
	if w.secret("orders") != nil {
		t.Error("a Secret was written")
	}
}
