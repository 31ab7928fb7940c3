// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
)

// A real API server with the CRDs of the Prometheus operator accepts the overlay with Prometheus with strict validation, and so
// config/default and config/prometheus.
func TestManifests(t *testing.T) {
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	must(t, err)
	t.Cleanup(func() { _ = plane.Stop() })
	crds, err := environment.CRDs(t.Context())
	must(t, err)
	kubectl := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(plane.Assets(), "kubectl"), args...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "KUBECONFIG="+plane.Kubeconfig(), "KUBECACHEDIR="+t.TempDir())
		output, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
		}
		return string(output)
	}
	var files []string
	for _, kind := range []string{"servicemonitors", "prometheusrules"} {
		files = append(files, "-f", filepath.Join(crds, "monitoring.coreos.com_"+kind+".yaml"))
	}
	kubectl(append([]string{"apply", "--server-side"}, files...)...)
	kubectl(append([]string{"wait", "--for=condition=Established", "--timeout=60s"}, files...)...)
	output := kubectl("apply", "--server-side", "--validate=strict", "-k", "config/overlays/with-prometheus")
	for _, want := range []string{"servicemonitor", "prometheusrule", "service/", "clusterrole", "configmap", "deployment"} {
		if !strings.Contains(output, want) {
			t.Errorf("the overlay has no %s:\n%s", want, output)
		}
	}
	const who = "--as=system:serviceaccount:monitoring:prometheus"
	kubectl("create", "clusterrolebinding", "sts-credential-operator-metrics-reader",
		"--clusterrole=sts-credential-operator-metrics-reader", "--serviceaccount=monitoring:prometheus")
	if got := kubectl("auth", "can-i", "get", "/metrics", who); !strings.HasPrefix(got, "yes") {
		t.Errorf("Prometheus may not read the metrics: %s", got)
	}
	dashboard := kubectl("-n", "sts-system", "get", "configmap", "sts-credential-operator-dashboard", "-o", `jsonpath={.data.sts-credential-operator\.json}`)
	if dashboard != read(t, environment.DashboardFile) {
		t.Error("the ConfigMap holds another dashboard than the chart")
	}
}
