// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// reader makes a ServiceAccount that may get these URLs, and a token of it.
func (s *site) reader(name string, urls ...string) (token string) {
	s.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	s.must(s.api.Create(s.Context(), account))
	if len(urls) > 0 {
		s.must(s.api.Create(s.Context(), &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: urls, Verbs: []string{"get"}}},
		}))
		s.must(s.api.Create(s.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}},
		}))
	}
	request := &authenticationv1.TokenRequest{}
	s.must(s.api.SubResource("token").Create(s.Context(), account, request))
	return request.Status.Token
}

// Metrics are for those who may read them, over HTTPS; the operator's stand beside controller-runtime's.
func TestMetricsAreGuarded(t *testing.T) {
	s := newSite(t)
	s.must(s.api.Create(t.Context(), &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"default"}}, RoleARNs: []v1alpha1.RoleARNPattern{role},
	}}))
	s.must(s.api.Create(t.Context(), &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "orders"}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role},
	}))
	prometheus, stranger := s.reader("prometheus", "/metrics"), s.reader("stranger")
	url := "https://127.0.0.1:" + freePort(t) + "/metrics"
	address, directory := strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/metrics"), t.TempDir()
	first := s.certificate(directory)
	manager := s.start("--metrics-bind-address="+address, "--metrics-cert-dir="+directory)
	var body string
	s.eventually("the credential is told of to whom may read it", func() bool {
		status, read := s.get(url, prometheus)
		body = read
		return status == http.StatusOK && strings.Contains(read, `stscredential_ready{name="orders",namespace="default"} 1`)
	})
	for _, want := range []string{
		"\ncontroller_runtime_reconcile_total{", "\nworkqueue_depth{", "\ngo_goroutines ",
		`stscredential_sts_requests_total{action="AssumeRole",code="OK"} 1`, `stscredential_sts_requests_total{action="GetCallerIdentity",code="OK"} 1`,
		`stscredential_sts_request_duration_seconds_count{action="AssumeRole"} 1`, `stscredential_renewals_total{result="Issued"} 1`,
		"stscredential_budget_wait_seconds_count 1", "stscredential_budget_limit_calls_per_second 20\n",
		"stscredential_expired_seconds_total 0", "stscredential_clock_skew_seconds 0",
		`stscredential_expiration_timestamp_seconds{name="orders",namespace="default"} `, `stscredential_renewal_timestamp_seconds{name="orders",namespace="default"} `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics lack %q:\n%s", want, body)
		}
	}
	for _, refused := range []struct {
		name, token string
		want        int
	}{
		{"nobody", "", http.StatusUnauthorized},
		{"a made-up token", "made-up", http.StatusUnauthorized},
		{"somebody without the right", stranger, http.StatusForbidden},
	} {
		if status, read := s.get(url, refused.token); status != refused.want || strings.Contains(read, "stscredential") {
			t.Errorf("%s is answered %d, want %d", refused.name, status, refused.want)
		}
	}
	s.wantServed(address, first)
	s.wantServed(address, s.certificate(directory))
	s.stop(manager)
	s.wantSilent()
}

// certificate writes a certificate for 127.0.0.1 and its key to a directory, and returns the certificate.
func (s *site) certificate(directory string) *x509.Certificate {
	s.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(directory, "tls.key"), key, 0o600))
	s.must(os.WriteFile(filepath.Join(directory, "tls.crt"), certificate, 0o600))
	parsed, err := cert.ParseCertsPEM(certificate)
	s.must(err)
	return parsed[0]
}

// wantServed waits until an address serves a certificate.
func (s *site) wantServed(address string, want *x509.Certificate) {
	s.Helper()
	s.eventually("the certificate is served", func() bool {
		connection, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false
		}
		defer func() { _ = connection.Close() }()
		return connection.ConnectionState().PeerCertificates[0].Equal(want)
	})
}

// A certificate that cannot be read is an error: the manager does not serve another one instead.
func TestMetricsCertificateIsRead(t *testing.T) {
	directory := t.TempDir()
	s := &settings{metricsSecure: true, metricsCertDir: directory}
	if _, err := metricsOptions(s); err == nil || !strings.Contains(err.Error(), "--metrics-cert-dir: open "+directory) {
		t.Errorf("metricsOptions = %v", err)
	}
	(&site{T: t}).certificate(directory)
	if options, err := metricsOptions(s); err != nil || options.CertDir != directory || options.FilterProvider == nil {
		t.Errorf("metricsOptions = %+v, %v", options, err)
	}
}
