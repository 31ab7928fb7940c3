// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// The termination grace period of a pod is longer than its work in progress can take, with the release of the lease.
func TestPodsMayFinishTheirWork(t *testing.T) {
	for _, path := range []string{"config/manager/manager.yaml", "charts/sts-credential-operator/values.yaml"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", path))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^ *terminationGracePeriodSeconds: ([0-9]+)$`).FindSubmatch(raw)
		if m == nil {
			t.Fatalf("%s sets no terminationGracePeriodSeconds", path)
		}
		seconds, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		if given := time.Duration(seconds) * time.Second; given < gracePeriod+5*time.Second {
			t.Errorf("%s gives a pod %v to end, of which work may take %v", path, given, gracePeriod)
		}
	}
}
