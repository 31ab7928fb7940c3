// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package guard_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/stscredential/sts-credential-operator/internal/guard"
)

// cluster answers reviews: it knows callers whose token is "<name>-token", and lets prometheus get /metrics.
type cluster struct {
	asked []string
	down  bool
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	if strings.HasSuffix(r.URL.Path, "/tokenreviews") {
		c.asked = append(c.asked, "who")
		review := &authenticationv1.TokenReview{}
		_ = json.NewDecoder(r.Body).Decode(review)
		name, known := strings.CutSuffix(review.Spec.Token, "-token")
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: known, User: authenticationv1.UserInfo{
			Username: name, Groups: []string{"everybody"}, Extra: map[string]authenticationv1.ExtraValue{"from": {"here"}},
		}}
		_ = json.NewEncoder(w).Encode(review)
		return
	}
	c.asked = append(c.asked, "may")
	review := &authorizationv1.SubjectAccessReview{}
	_ = json.NewDecoder(r.Body).Decode(review)
	s := review.Spec
	review.Status.Allowed = s.User == "prometheus" && s.NonResourceAttributes.Path == "/metrics" && s.NonResourceAttributes.Verb == "get" &&
		len(s.Groups) == 1 && len(s.Extra["from"]) == 1
	_ = json.NewEncoder(w).Encode(review)
}

func TestFilter(t *testing.T) {
	c := &cluster{}
	api := httptest.NewServer(c)
	t.Cleanup(api.Close)
	filter, err := guard.Filter(&rest.Config{Host: api.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, api.Client())
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := filter(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) }))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, path, header string
		down                       bool
		want                       int
		asked                      string
	}{
		{name: "no token", header: "", want: http.StatusUnauthorized},
		{name: "an empty token", header: "Bearer ", want: http.StatusUnauthorized},
		{name: "another scheme", header: "Basic cHJvbWV0aGV1cy10b2tlbg==", want: http.StatusUnauthorized},
		{name: "an unknown token", header: "Bearer made-up", want: http.StatusUnauthorized, asked: "who"},
		{name: "the same once more", header: "Bearer made-up", want: http.StatusUnauthorized},
		{name: "a client without rights", header: "Bearer stranger-token", want: http.StatusForbidden, asked: "who may"},
		{name: "Prometheus, while the API server is down", header: "Bearer prometheus-token", down: true, want: http.StatusInternalServerError},
		{name: "Prometheus", header: "Bearer prometheus-token", want: http.StatusOK, asked: "who may"},
		{name: "Prometheus, remembered", header: "Bearer prometheus-token", down: true, want: http.StatusOK},
		{name: "another path", path: "/debug", header: "Bearer prometheus-token", want: http.StatusForbidden, asked: "who may"},
		{name: "another verb", method: http.MethodPost, header: "Bearer prometheus-token", want: http.StatusForbidden, asked: "who may"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.asked, c.down = nil, tt.down
			if tt.method == "" {
				tt.method = http.MethodGet
			}
			if tt.path == "" {
				tt.path = "/metrics"
			}
			request := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, http.NoBody)
			if tt.header != "" {
				request.Header.Set("Authorization", tt.header)
			}
			answer := httptest.NewRecorder()
			guarded.ServeHTTP(answer, request)
			if answer.Code != tt.want || (answer.Body.String() == "metrics") != (tt.want == http.StatusOK) {
				t.Errorf("answered %d %q, want %d", answer.Code, answer.Body, tt.want)
			}
			if asked := strings.Join(c.asked, " "); asked != tt.asked {
				t.Errorf("the API server was asked %q, want %q", asked, tt.asked)
			}
		})
	}
}
