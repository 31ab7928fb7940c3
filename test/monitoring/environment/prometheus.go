// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package environment is shared by the tests of the alerts and of the dashboard, and by the program that draws its picture. It has
// the files, a real Prometheus, and an operator for it to scrape.
package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Programs returns the folder with prometheus and promtool, which are downloaded on first use. root is the root of the repository.
func Programs(ctx context.Context, root string) (folder string, err error) {
	find := exec.CommandContext(ctx, filepath.Join(root, "hack", "monitoring", "prometheus.sh"))
	find.Stderr = os.Stderr
	output, err := find.Output()
	if err != nil {
		return "", fmt.Errorf("find prometheus: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}

// Prometheus is the URL of a running Prometheus.
type Prometheus string

// Sample is a value of a series at a time.
type Sample struct {
	Time  float64 // seconds since 1970
	Value float64
}

// UnmarshalJSON reads [1700000000.1,"1"].
func (s *Sample) UnmarshalJSON(content []byte) (err error) {
	var value string
	if err = json.Unmarshal(content, &[]any{&s.Time, &value}); err == nil {
		s.Value, err = strconv.ParseFloat(value, 64)
	}
	return err
}

// Series is a labelled series with the samples of a range, or with the one of an instant.
type Series struct {
	Metric map[string]string
	Value  Sample
	Values []Sample
}

// Query evaluates an expression that gives series, now.
func (p Prometheus) Query(ctx context.Context, expr string) ([]Series, error) {
	return p.query(ctx, "query", url.Values{"query": {expr}})
}

// QueryRange evaluates it at each step from start to end.
func (p Prometheus) QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) ([]Series, error) {
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	return p.query(ctx, "query_range", url.Values{
		"query": {expr}, "start": {seconds(start)}, "end": {seconds(end)}, "step": {inSeconds(step)},
	})
}

func (p Prometheus) query(ctx context.Context, kind string, values url.Values) ([]Series, error) {
	var data struct{ Result []Series }
	if err := p.Get(ctx, "/api/v1/"+kind+"?"+values.Encode(), &data); err != nil {
		return nil, fmt.Errorf("%s: %w", values.Get("query"), err)
	}
	return data.Result, nil
}

// Get reads the data that a path of the HTTP API answers.
func (p Prometheus) Get(ctx context.Context, path string, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(p)+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Status, Error string
		Warnings      []string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if answer.Status != "success" || len(answer.Warnings) > 0 {
		return fmt.Errorf("%s: %s %v", response.Status, answer.Error, answer.Warnings)
	}
	return json.Unmarshal(answer.Data, data)
}
