// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

func TestKubectlGetCredentials(t *testing.T) {
	create(t, object(t, credentialKind, "orders-reader", role, ""))
	create(t, object(t, credentialKind, "unseen", role, ""))
	writeStatus(t, "orders-reader")
	kubectl := kubectl(t)
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"as usual", []string{"get", "stscred"}, []string{
			"NAME READY REASON ROLE SECRET EXPIRES AGE",
			"orders-reader True Issued orders-reader orders-sts 2099-01-02T16:04:05Z AGE",
			"unseen AGE",
		}},
		{"wide", []string{"get", "stscred", "-o", "wide"}, []string{
			"NAME READY REASON ROLE SECRET EXPIRES AGE RENEW ACCESSKEYID SESSION STALE",
			"orders-reader True Issued orders-reader orders-sts 2099-01-02T16:04:05Z AGE 2099-01-02T15:44:05Z STS.NTx default.orders-reader 2",
			"unseen AGE",
		}},
	} {
		t.Run(test.name, func(t *testing.T) { prints(t, kubectl(t, test.args...), test.want) })
	}
}

func TestKubectlGetGrants(t *testing.T) {
	create(t, object(t, grantKind, "shop", grant, "{maxDuration: 1h, namespaces: {names: [shop], selector: {matchLabels: {a: b}}}}"))
	kubectl := kubectl(t)
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"as usual", []string{"get", "stsrolegrants"}, []string{
			"NAME NAMESPACES ROLES MAXDURATION AGE",
			`shop ["shop"] ["acs:ram::1234567890123456:role/orders-reader"] 1h AGE`,
		}},
		{"wide", []string{"get", "stsrolegrant", "-o", "wide"}, []string{
			"NAME NAMESPACES SELECTOR ROLES MAXDURATION AGE",
			`shop ["shop"] {"matchLabels":{"a":"b"}} ["acs:ram::1234567890123456:role/orders-reader"] 1h AGE`,
		}},
		{"with all of Alibaba Cloud's", []string{"get", "alibabacloud", "-o", "name"}, []string{"stsrolegrant.sts.alibabacloud.com/shop"}},
	} {
		t.Run(test.name, func(t *testing.T) { prints(t, kubectl(t, test.args...), test.want) })
	}
}

func TestKubectlExplain(t *testing.T) {
	kubectl := kubectl(t)
	for _, test := range []struct {
		name, field string
		want        []string
	}{
		{"a field", "stscredential.spec.duration", []string{"duration is the requested lifetime of the credentials: 15m to 12h"}},
		{"a field by the short name", "stscred.spec.roleARN", []string{"roleARN is the RAM role to assume"}},
		{"a grant's field", "stsrolegrant.spec.maxDuration", []string{"maxDuration is the maximum of spec.duration"}},
		{"what is required", "stscredential.spec", []string{"roleARN <string> -required-"}},
		{"a whole spec", "stscredential.spec", fields(t, credentialKind)},
		{"a grant's whole spec", "stsrolegrant.spec", fields(t, grantKind)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := kubectl(t, "explain", test.field)
			for _, want := range test.want {
				if !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
					t.Errorf("lacks %q:\n%s", want, got)
				}
			}
		})
	}
}

// fields are how kubectl explain shows a spec's fields: the name and type, then the description.
func fields(t *testing.T, kind string) []string {
	spec := schema(t, kind)["properties"].(map[string]any)["spec"].(map[string]any)
	var lines []string
	for name, field := range spec["properties"].(map[string]any) {
		description := field.(map[string]any)["description"].(string)
		lines = append(lines, strings.Join(strings.Fields(description), " "), " "+name+" <")
	}
	return lines
}

// writeStatus writes a status as the operator does.
func writeStatus(t *testing.T, name string) {
	t.Helper()
	expiry := time.Date(2099, 1, 2, 16, 4, 5, 0, time.UTC)
	c := read(t, name)
	c.Status = v1alpha1.StsCredentialStatus{
		ObservedGeneration: 1,
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonIssued,
			LastTransitionTime: metav1.NewTime(expiry.Add(-time.Hour)),
		}},
		RoleName: c.RoleName(), SessionName: c.SessionName(""), SecretName: "orders-sts", AccessKeyID: "STS.NTx",
		ExpiresAt: &metav1.Time{Time: expiry}, RenewAt: &metav1.Time{Time: expiry.Add(-20 * time.Minute)},
		Consumers: &v1alpha1.Consumers{Pods: 5, Stale: 2},
	}
	if err := admin.Status().Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// kubectl returns a function that runs kubectl as the cluster's admin and returns what it prints.
func kubectl(t *testing.T) func(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, cluster.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, args ...string) string {
		t.Helper()
		args = append([]string{"--kubeconfig", config, "--cache-dir", dir}, args...)
		out, err := exec.CommandContext(t.Context(), cluster.ControlPlane.KubectlPath, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
}

// prints compares a table with the wanted lines, in which one blank stands between columns and AGE for any age.
func prints(t *testing.T, got string, want []string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(got) {
		cells := strings.Fields(line)
		for i, cell := range cells {
			if _, err := time.ParseDuration(cell); err == nil && cell != "1h" {
				cells[i] = "AGE"
			}
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
