// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// requests are numbers of requests to the API server by verb and resource, such as "PATCH stscredentials/status".
type requests map[string]int

// counted are the resources that the operator works with. Requests for others come from the API server itself.
var counted = []string{"secrets", "stscredentials", "stscredentials/status", "events", "namespaces", "stsrolegrants", "serviceaccounts/token"}

// name joins verb, resource and subresource; empty for what is not counted. Watches are not: their number does not depend on the
// load, and the API server counts them when they end.
func name(verb, resource, subresource string) string {
	if subresource != "" {
		resource += "/" + subresource
	}
	if !slices.Contains(counted, resource) || verb == "WATCH" {
		return ""
	}
	return verb + " " + resource
}

// minus subtracts what was counted before, and removes what is 0 then.
func (r requests) minus(before requests) requests {
	left := maps.Clone(r)
	for k, n := range before {
		left[k] -= n
	}
	maps.DeleteFunc(left, func(_ string, n int) bool { return n == 0 })
	return left
}

// sum returns the number of requests with one of these verbs, or of all if no verb is given.
func (r requests) sum(verbs ...string) (sum int) {
	for k, n := range r {
		verb, _, _ := strings.Cut(k, " ")
		if len(verbs) == 0 || slices.Contains(verbs, verb) {
			sum += n
		}
	}
	return sum
}

// writes are the verbs that change something.
var writes = []string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}

// requestCounts returns the requests that the API server has answered, without those of the benchmark.
func (env *environment) requestCounts(ctx context.Context) (requests, error) {
	text, err := env.raw.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	all, err := parseRequests(text)
	if err != nil {
		return nil, err
	}
	return all.minus(env.ownRequests.snapshot()), nil
}

// parseRequests reads apiserver_request_total in the API server's metrics.
func parseRequests(metrics []byte) (requests, error) {
	const metric = "apiserver_request_total"
	var lines bytes.Buffer
	for line := range bytes.Lines(metrics) {
		if bytes.HasPrefix(line, []byte(metric+"{")) {
			lines.Write(line)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&lines)
	if err != nil {
		return nil, err
	}
	all := requests{}
	for _, series := range families[metric].GetMetric() {
		labels := map[string]string{}
		for _, l := range series.Label {
			labels[l.GetName()] = l.GetValue()
		}
		if key := name(labels["verb"], labels["resource"], labels["subresource"]); key != "" {
			all[key] += int(series.GetUntyped().GetValue()) // the comment with the type of the metric is filtered out above
		}
	}
	return all, nil
}

// ledger counts the requests of the benchmark itself, where they leave this process.
type ledger struct {
	mu     sync.Mutex
	counts requests
}

func (l *ledger) snapshot() requests {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

// count wraps a transport.
func (l *ledger) count(next http.RoundTripper) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		if key := nameOf(r); key != "" {
			l.mu.Lock()
			l.counts[key]++
			l.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

type tripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// nameOf returns the name under which the API server counts a request. Its path is /api/v1 or /apis/<group>/<version>,
// namespaces/<name> or nothing, the resource, and optionally a name and a subresource.
func nameOf(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	root := 3
	if parts[0] == "api" {
		root = 2
	}
	if len(parts) <= root {
		return ""
	}
	if parts = parts[root:]; parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	subresource := ""
	if len(parts) > 2 {
		subresource = parts[2]
	}
	return name(verbOf(r, len(parts) == 1), parts[0], subresource)
}

// verbOf returns the method of a request, or the API server's verb if it watches, lists or deletes a collection.
func verbOf(r *http.Request, collection bool) string {
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Has("watch"):
		return "WATCH"
	case r.Method == http.MethodGet && collection:
		return "LIST"
	case r.Method == http.MethodDelete && collection:
		return "DELETECOLLECTION"
	}
	return r.Method
}
