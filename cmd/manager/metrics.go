// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"path/filepath"

	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stscredential/sts-credential-operator/internal/guard"
)

// metricsOptions returns how to serve metrics. It returns an error if the certificate of --metrics-cert-dir cannot be read:
// controller-runtime would use a self-signed one instead.
func metricsOptions(s *settings) (metricsserver.Options, error) {
	options := metricsserver.Options{BindAddress: s.metricsAddress, SecureServing: s.metricsSecure, CertDir: s.metricsCertDir}
	if s.metricsSecure {
		options.FilterProvider = guard.Filter
	}
	if s.metricsCertDir != "" {
		if _, err := tls.LoadX509KeyPair(filepath.Join(s.metricsCertDir, "tls.crt"), filepath.Join(s.metricsCertDir, "tls.key")); err != nil {
			return options, fmt.Errorf("--metrics-cert-dir: %w", err)
		}
	}
	return options, nil
}
