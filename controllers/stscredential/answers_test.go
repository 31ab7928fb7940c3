// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// replaceSTS puts a handler in the place of STS, for a new operator process.
func (env *environment) replaceSTS(handler http.HandlerFunc) {
	env.Helper()
	server := httptest.NewServer(handler)
	env.Cleanup(server.Close)
	env.Server = server
	env.restartOperator()
}

// rewriteAnswers has the answers to AssumeRole changed on their way.
func (env *environment) rewriteAnswers(change func(answer map[string]any)) {
	env.Helper()
	env.replaceSTS(func(out http.ResponseWriter, in *http.Request) {
		if in.Header.Get("x-acs-action") != "AssumeRole" {
			env.Emulator.ServeHTTP(out, in)
			return
		}
		recorded := httptest.NewRecorder()
		env.Emulator.ServeHTTP(recorded, in)
		var answer map[string]any
		if err := json.Unmarshal(recorded.Body.Bytes(), &answer); err != nil {
			env.Errorf("the emulator answers %q: %v", recorded.Body, err)
		}
		change(answer)
		raw, err := json.Marshal(answer)
		if err != nil {
			env.Error(err)
		}
		maps.Copy(out.Header(), recorded.Header())
		out.Header().Del("Content-Length")
		out.WriteHeader(recorded.Code)
		_, _ = out.Write(raw)
	})
}

// setField sets a field of a part of an answer.
func setField(part, field string, value any) func(map[string]any) {
	return func(answer map[string]any) { answer[part].(map[string]any)[field] = value }
}

// An answer with working credentials is used whatever else it holds: what cannot be believed or recorded is left out, and STS
// is not asked again before the renewal that is due.
func TestAnswersOutOfBoundsAreUsed(t *testing.T) {
	for name, change := range map[string]func(env *environment) func(map[string]any){
		"expiration in 13 hours": func(env *environment) func(map[string]any) {
			return setField("Credentials", "Expiration", env.STSClock.Now().Add(13*time.Hour).UTC().Format(time.RFC3339))
		},
		"expiration in the year 9999": func(*environment) func(map[string]any) {
			return setField("Credentials", "Expiration", "9999-12-31T23:59:59Z")
		},
		"ARN of 600 bytes": func(*environment) func(map[string]any) {
			return setField("AssumedRoleUser", "Arn", role+"/"+strings.Repeat("x", 600))
		},
		"ID of 600 bytes": func(*environment) func(map[string]any) {
			return setField("AssumedRoleUser", "AssumedRoleId", strings.Repeat("1", 600))
		},
		"ARN of several lines": func(*environment) func(map[string]any) { return setField("AssumedRoleUser", "Arn", "a\nb") },
		"no user": func(*environment) func(map[string]any) {
			return func(answer map[string]any) { delete(answer, "AssumedRoleUser") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			env.rewriteAnswers(change(env))
			c := env.CreateCredential("orders")
			next := env.reconcile(c).RequeueAfter
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "holds credentials of "+role)
			env.wantWorking("orders")
			if c.Status.ExpiresAt == nil || c.Status.ExpiresAt.Sub(env.STSClock.Now()) > time.Hour || next < 15*time.Minute || next > 45*time.Minute {
				t.Errorf("expiresAt is %v at %v, requeue after %v; want within an hour, and a renewal after about 40 minutes", c.Status.ExpiresAt, env.STSClock.Now(), next)
			}
			for range 5 {
				env.Step(time.Second)
				env.reconcile(c)
			}
			env.WantCalls(1)
			env.Step(next)
			env.reconcile(c)
			env.WantCalls(2)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
		})
	}
}

// An answer whose credentials cannot be used or recorded is a broken one: nothing is written, and it is retried with a backoff.
func TestUnusableTriplesAreNotWritten(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"AccessKey ID of 300 bytes":     setField("Credentials", "AccessKeyId", "STS."+strings.Repeat("x", 296)),
		"AccessKey ID of two words":     setField("Credentials", "AccessKeyId", "STS.N xyz"),
		"AccessKey secret of two lines": setField("Credentials", "AccessKeySecret", "x\ny"),
		"security token of two lines":   setField("Credentials", "SecurityToken", "x\ny"),
	} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			env.rewriteAnswers(change)
			c := env.CreateCredential("orders")
			for i := range 5 {
				next := env.reconcile(c).RequeueAfter
				env.WantCalls(i + 1)
				env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSTSUnavailable, "")
				env.reconcile(c)
				env.WantCalls(i + 1)
				env.Step(next)
			}
			if env.Secret("orders") != nil {
				t.Error("a Secret was written")
			}
		})
	}
}
