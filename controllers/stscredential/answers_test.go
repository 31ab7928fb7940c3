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

// serve puts a handler in the place of STS, for a new operator process.
func (w *world) serve(handler http.HandlerFunc) {
	w.Helper()
	server := httptest.NewServer(handler)
	w.Cleanup(server.Close)
	w.server = server
	w.restart()
}

// rewriting has the answers to AssumeRole changed on their way.
func (w *world) rewriting(change func(answer map[string]any)) {
	w.Helper()
	w.serve(func(out http.ResponseWriter, in *http.Request) {
		if in.Header.Get("x-acs-action") != "AssumeRole" {
			w.emulator.ServeHTTP(out, in)
			return
		}
		recorded := httptest.NewRecorder()
		w.emulator.ServeHTTP(recorded, in)
		var answer map[string]any
		if err := json.Unmarshal(recorded.Body.Bytes(), &answer); err != nil {
			w.Errorf("the emulator answers %q: %v", recorded.Body, err)
		}
		change(answer)
		raw, err := json.Marshal(answer)
		if err != nil {
			w.Error(err)
		}
		maps.Copy(out.Header(), recorded.Header())
		out.Header().Del("Content-Length")
		out.WriteHeader(recorded.Code)
		_, _ = out.Write(raw)
	})
}

// in sets a field of a part of an answer.
func in(part, field string, value any) func(map[string]any) {
	return func(answer map[string]any) { answer[part].(map[string]any)[field] = value }
}

// An answer with a triple that works is used whatever else it holds: what cannot be believed or recorded is left out, and STS
// is not asked again before the renewal that is due.
func TestAnswersOutOfBoundsAreUsed(t *testing.T) {
	for name, change := range map[string]func(w *world) func(map[string]any){
		"expiration in 13 hours": func(w *world) func(map[string]any) {
			return in("Credentials", "Expiration", w.stsClock.Now().Add(13*time.Hour).UTC().Format(time.RFC3339))
		},
		"expiration in the year 9999": func(*world) func(map[string]any) {
			return in("Credentials", "Expiration", "9999-12-31T23:59:59Z")
		},
		"ARN of 600 bytes": func(*world) func(map[string]any) {
			return in("AssumedRoleUser", "Arn", role+"/"+strings.Repeat("x", 600))
		},
		"ID of 600 bytes": func(*world) func(map[string]any) {
			return in("AssumedRoleUser", "AssumedRoleId", strings.Repeat("1", 600))
		},
		"ARN of several lines": func(*world) func(map[string]any) { return in("AssumedRoleUser", "Arn", "a\nb") },
		"no user": func(*world) func(map[string]any) {
			return func(answer map[string]any) { delete(answer, "AssumedRoleUser") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rewriting(change(w))
			c := w.credential("orders")
			next := w.pass(c).RequeueAfter
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "holds credentials of "+role)
			w.wantWorking("orders")
			if c.Status.ExpiresAt == nil || c.Status.ExpiresAt.Sub(w.stsClock.Now()) > time.Hour || next < 15*time.Minute || next > 45*time.Minute {
				t.Errorf("expiresAt is %v at %v, next look in %v; want within an hour, and a renewal after about 40 minutes", c.Status.ExpiresAt, w.stsClock.Now(), next)
			}
			for range 5 {
				w.step(time.Second)
				w.pass(c)
			}
			w.wantCalls(1)
			w.step(next)
			w.pass(c)
			w.wantCalls(2)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
		})
	}
}

// An answer whose triple cannot be used or recorded is a broken one: nothing is written, and it is retried with a backoff.
func TestUnusableTriplesAreNotWritten(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"AccessKey ID of 300 bytes":     in("Credentials", "AccessKeyId", "STS."+strings.Repeat("x", 296)),
		"AccessKey ID of two words":     in("Credentials", "AccessKeyId", "STS.N xyz"),
		"AccessKey secret of two lines": in("Credentials", "AccessKeySecret", "x\ny"),
		"security token of two lines":   in("Credentials", "SecurityToken", "x\ny"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rewriting(change)
			c := w.credential("orders")
			for i := range 5 {
				next := w.pass(c).RequeueAfter
				w.wantCalls(i + 1)
				w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSTSUnavailable, "")
				w.pass(c)
				w.wantCalls(i + 1)
				w.step(next)
			}
			if w.secret("orders") != nil {
				t.Error("a Secret was written")
			}
		})
	}
}
