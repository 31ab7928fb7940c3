// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// state is one that a StsCredential can be in, how to bring it about, and what Argo CD and Flux should make of it.
type state struct {
	name   string
	spec   string // beside the role, which is of the state's name unless it is named here
	before string // a command
	after  string // a command, once Ready has the reason Issued
	reason string // of Ready; empty: before the first look
	health string // as Argo CD calls it
	status status.Status
}

// states are brought about by an operator at work, all but two: Expired and Issuing last too short a time. Those are
// what the operator writes while it is throttled, but for the reason and, of Issuing, for Ready being Unknown.
var states = []state{
	{name: "new", health: "Progressing", status: status.InProgressStatus},
	{name: "issued", reason: "Issued", health: "Healthy", status: status.CurrentStatus},
	{name: "failing", reason: "Issued", after: "kubectl delete stsrolegrant failing", health: "Healthy", status: status.CurrentStatus},
	{name: "suspended", spec: "suspend: true", reason: "Suspended", health: "Suspended", status: status.FailedStatus},
	{name: "invalid", spec: `policy: {Version: "2", Statement: []}`, reason: "InvalidSpec", health: "Degraded", status: status.FailedStatus},
	{name: "ungranted", reason: "RoleNotGranted", before: "kubectl delete stsrolegrant ungranted", health: "Degraded", status: status.FailedStatus},
	{name: "conflict", reason: "SecretConflict", before: "kubectl -n shop create secret generic conflict", health: "Degraded", status: status.FailedStatus},
	{name: "unwritable", reason: "SecretWriteFailed", spec: "secret: {name: unwritable}", health: "Degraded", status: status.FailedStatus,
		before: "kubectl -n shop create quota secrets --hard=count/secrets=$(kubectl -n shop get secrets --no-headers | wc -l)"},
	{name: "keyless", spec: "identity: {accessKey: {secretName: nowhere}}", reason: "IdentityUnavailable", health: "Degraded", status: status.FailedStatus},
	{name: "refused", reason: "RoleRefused", health: "Degraded", status: status.FailedStatus},
	{name: "throttled", reason: "Throttled", health: "Progressing", status: status.InProgressStatus},
	{name: "unavailable", reason: "STSUnavailable", health: "Progressing", status: status.InProgressStatus},
	{name: "expired", reason: "Expired", health: "Progressing", status: status.InProgressStatus},
	{name: "issuing", reason: "Issuing", health: "Progressing", status: status.InProgressStatus},
}

// healthOf runs docs/gitops.md's script as Argo CD does.
func healthOf(t *testing.T, script string, object *unstructured.Unstructured) (health, message string) {
	t.Helper()
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString} {
		must(t, l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)))
	}
	l.SetGlobal("obj", luaValue(l, object.Object))
	must(t, l.DoString(script))
	answer, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returns %v", l.Get(-1))
	}
	return answer.RawGetString("status").String(), answer.RawGetString("message").String()
}

func luaValue(l *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case map[string]any:
		table := l.NewTable()
		for key, inner := range v {
			table.RawSetString(key, luaValue(l, inner))
		}
		return table
	case []any:
		table := l.NewTable()
		for _, inner := range v {
			table.Append(luaValue(l, inner))
		}
		return table
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	}
	return lua.LNil
}

// health insists on what Argo CD's script and Flux's library make of each state.
func (s *stage) health(t *testing.T) {
	page, err := Read(s.root, "docs/gitops.md")
	must(t, err)
	var script string
	for _, b := range page.Blocks {
		var configured corev1.ConfigMap
		if b.Language == "yaml" && yaml.Unmarshal([]byte(b.Text), &configured) == nil && configured.Name == "argocd-cm" {
			script = configured.Data["resource.customizations.health.sts.alibabacloud.com_StsCredential"]
		}
	}
	if script == "" {
		t.Fatal("docs/gitops.md has no health script")
	}
	wantAllReasons(t)
	for _, want := range states {
		t.Run(want.name, func(t *testing.T) {
			object := s.inState(t, want)
			health, message := healthOf(t, script, object)
			if health != want.health || want.reason != "" && !strings.HasPrefix(message, want.reason+": ") {
				t.Errorf("the script says %s, %q; want %s", health, message, want.health)
			}
			result, err := status.Compute(object)
			must(t, err)
			if result.Status != want.status {
				t.Errorf("kstatus says %s, want %s", result.Status, want.status)
			}
			object.SetGeneration(object.GetGeneration() + 1)
			if health, _ := healthOf(t, script, object); health != "Progressing" {
				t.Errorf("the script says %s of a spec that was not looked at yet", health)
			}
		})
	}
}

func wantAllReasons(t *testing.T) {
	t.Helper()
	var documented []string
	for _, s := range states {
		documented = append(documented, s.reason)
	}
	for _, reason := range constants(t, "api/v1alpha1/conditions.go", "Reason") {
		if reason == "PodsOutliveCredentials" {
			break // those that follow are of other conditions and of events
		}
		if !strings.Contains(strings.Join(documented, " "), reason) {
			t.Errorf("no state has the reason %s", reason)
		}
	}
}

// inState brings the state about and returns the object.
func (s *stage) inState(t *testing.T, want state) *unstructured.Unstructured {
	t.Helper()
	switch want.name {
	case "new":
		return s.object(t, "kubectl create --dry-run=server -o json -f -", manifest(want))
	case "expired", "issuing":
		return pretended(t, s.object(t, "kubectl -n shop get stscredential throttled -o json", ""), want.reason)
	case "throttled":
		s.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "Throttling.User", RoleARN: account + "role/throttled"})
	case "unavailable":
		s.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultBadGateway, RoleARN: account + "role/unavailable"})
	}
	if want.name != "refused" {
		s.addRole(account+"role/"+want.name, stsemulator.Statement{RAM: []string{account + "user/sts-operator"}})
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "manifest.yaml"), []byte(manifest(want)), 0o600))
	first := want.reason
	if want.after != "" {
		first = "Issued"
	}
	wait := "kubectl -n shop wait stscredential/%s --timeout=60s --for=jsonpath='{.status.conditions[?(@.type==\"%s\")].reason}'=%s"
	commands := []string{
		fmt.Sprintf("kubectl apply -f - <<<'{apiVersion: sts.alibabacloud.com/v1alpha1, kind: StsRoleGrant, metadata: {name: %s}, spec: {namespaces: {names: [shop]}, roleARNs: [%q]}}'",
			want.name, account+"role/"+want.name),
		want.before, "kubectl apply -f " + filepath.Join(dir, "manifest.yaml"), fmt.Sprintf(wait, want.name, "Ready", first), want.after,
	}
	if want.after != "" {
		commands = append(commands, fmt.Sprintf(wait, want.name, "RenewalFailing", "RoleNotGranted"))
	}
	for _, command := range commands {
		s.do(command)
	}
	defer s.do("kubectl -n shop delete quota --all")
	return s.object(t, "kubectl -n shop get stscredential "+want.name+" -o json", "")
}

func manifest(want state) string {
	return "apiVersion: sts.alibabacloud.com/v1alpha1\nkind: StsCredential\nmetadata: {name: " + want.name + ", namespace: shop}\n" +
		"spec:\n  roleARN: " + account + "role/" + want.name + "\n  " + want.spec + "\n"
}

// pretended is an object with another reason.
func pretended(t *testing.T, object *unstructured.Unstructured, reason string) *unstructured.Unstructured {
	t.Helper()
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	must(t, err)
	for _, condition := range conditions {
		c := condition.(map[string]any)
		c["reason"] = reason
		if reason == "Issuing" && c["type"] == "Ready" {
			c["status"] = "Unknown"
		}
	}
	must(t, unstructured.SetNestedSlice(object.Object, conditions, "status", "conditions"))
	return object
}

func (s *stage) object(t *testing.T, command, input string) *unstructured.Unstructured {
	t.Helper()
	output, err := s.shell.bash(t.Context(), command, input)
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, output)
	}
	object := &unstructured.Unstructured{}
	must(t, object.UnmarshalJSON([]byte(output[strings.Index(output, "{"):])))
	return object
}
