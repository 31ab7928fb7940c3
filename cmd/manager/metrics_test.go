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

// reader creates a ServiceAccount that may get these URLs, and returns its token.
func (env *environment) reader(name string, urls ...string) (token string) {
	env.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	env.must(env.api.Create(env.Context(), account))
	if len(urls) > 0 {
		env.must(env.api.Create(env.Context(), &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: urls, Verbs: []string{"get"}}},
		}))
		env.must(env.api.Create(env.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}},
		}))
	}
	request := &authenticationv1.TokenRequest{}
	env.must(env.api.SubResource("token").Create(env.Context(), account, request))
	return request.Status.Token
}

// Metrics of the operator and of controller-runtime are served over HTTPS, and only to clients that are authorized.
func TestMetricsAreGuarded(t *testing.T) {
	env := newEnvironment(t)
	env.must(env.api.Create(t.Context(), &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"default"}}, RoleARNs: []v1alpha1.RoleARNPattern{role},
	}}))
	env.must(env.api.Create(t.Context(), &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "orders"}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role},
	}))
	prometheus, stranger := env.reader("prometheus", "/metrics"), env.reader("stranger")
	url := "https://127.0.0.1:" + freePort(t) + "/metrics"
	address, directory := strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/metrics"), t.TempDir()
	first := env.certificate(directory)
	manager := env.start("--metrics-bind-address="+address, "--metrics-cert-dir="+directory)
	var body string
	env.eventually("the metrics of the credential are served to an authorized client", func() bool {
		status, read := env.get(url, prometheus)
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
		if status, read := env.get(url, refused.token); status != refused.want || strings.Contains(read, "stscredential") {
			t.Errorf("%s is answered %d, want %d", refused.name, status, refused.want)
		}
	}
	env.wantServed(address, first)
	env.wantServed(address, env.certificate(directory))
	env.stop(manager)
	env.wantSilent()
}

// certificate writes a certificate for 127.0.0.1 and its key to a directory, and returns the certificate.
func (env *environment) certificate(directory string) *x509.Certificate {
	env.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	env.must(err)
	env.must(os.WriteFile(filepath.Join(directory, "tls.key"), key, 0o600))
	env.must(os.WriteFile(filepath.Join(directory, "tls.crt"), certificate, 0o600))
	parsed, err := cert.ParseCertsPEM(certificate)
	env.must(err)
	return parsed[0]
}

// wantServed waits until an address serves a certificate.
func (env *environment) wantServed(address string, want *x509.Certificate) {
	env.Helper()
	env.eventually("the certificate is served", func() bool {
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
	(&environment{T: t}).certificate(directory)
	if options, err := metricsOptions(s); err != nil || options.CertDir != directory || options.FilterProvider == nil {
		t.Errorf("metricsOptions = %+v, %v", options, err)
	}
}
