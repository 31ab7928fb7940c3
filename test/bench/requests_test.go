// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
)

const exposition = `# HELP apiserver_request_total Counter
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="POST",version="v1"} 10
apiserver_request_total{code="409",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="POST",version="v1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="sts.alibabacloud.com",resource="stscredentials",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 7
apiserver_request_total{code="201",component="apiserver",dry_run="",group="sts.alibabacloud.com",resource="stscredentials",scope="resource",subresource="",verb="POST",version="v1alpha1"} 9
apiserver_request_total{code="0",component="apiserver",dry_run="",group="",resource="secrets",scope="cluster",subresource="",verb="WATCH",version="v1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 40
apiserver_request_slo_duration_seconds_count{resource="secrets",verb="POST"} 12
`

func TestRequestsOfOthersAreCounted(t *testing.T) {
	all, err := parseRequests([]byte(exposition))
	if err != nil {
		t.Fatal(err)
	}
	got := all.minus(requests{"POST stscredentials": 9, "POST secrets": 2})
	want := requests{"POST secrets": 10, "PATCH stscredentials/status": 7}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got.sum() != 17 || got.sum("PATCH") != 7 {
		t.Errorf("sums %d and %d, want 17 and 7", got.sum(), got.sum("PATCH"))
	}
	if text := got.String(); text != "7 PATCH stscredentials/status, 10 POST secrets" {
		t.Errorf("printed as %q", text)
	}
}

// The benchmark must count its own requests under the names of the API server. Otherwise they would count as the operator's.
func TestOwnRequestsAreNamedAsTheAPIServerDoes(t *testing.T) {
	const ours = "/apis/sts.alibabacloud.com/v1alpha1"
	for _, tt := range []struct{ method, url, want string }{
		{"POST", "/api/v1/namespaces/bench/secrets", "POST secrets"},
		{"GET", "/api/v1/namespaces/bench/secrets", "LIST secrets"},
		{"GET", "/api/v1/namespaces/bench/secrets/a", "GET secrets"},
		{"GET", "/api/v1/secrets", "LIST secrets"},
		{"DELETE", "/api/v1/namespaces/bench/secrets", "DELETECOLLECTION secrets"},
		{"POST", "/api/v1/namespaces", "POST namespaces"},
		{"GET", "/api/v1/namespaces/bench", "GET namespaces"},
		{"PATCH", ours + "/namespaces/bench/stscredentials/a/status", "PATCH stscredentials/status"},
		{"GET", ours + "/namespaces/bench/stscredentials?watch=true", ""},
		{"POST", ours + "/stsrolegrants", "POST stsrolegrants"},
		{"GET", "/metrics", ""},
		{"GET", "/version", ""},
	} {
		l := &ledger{counts: requests{}}
		sent := l.count(tripper(func(*http.Request) (*http.Response, error) { return nil, nil }))
		if _, err := sent.RoundTrip(httptest.NewRequestWithContext(t.Context(), tt.method, tt.url, http.NoBody)); err != nil { //nolint:bodyclose // there is none
			t.Fatal(err)
		}
		want := requests{}
		if tt.want != "" {
			want[tt.want] = 1
		}
		if got := l.snapshot(); !maps.Equal(got, want) {
			t.Errorf("%s %s is counted as %v, want %v", tt.method, tt.url, got, want)
		}
	}
}
