// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package integrations

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// customization is a path in the folder that Argo CD keeps for the kind.
func customization(elements ...string) string {
	folder := fromRoot("config", "argocd", "resource_customizations", "sts.alibabacloud.com", "StsCredential")
	return filepath.Join(append([]string{folder}, elements...)...)
}

// load decodes a YAML file of the customization.
func load(t *testing.T, into any, path ...string) {
	t.Helper()
	content, err := os.ReadFile(customization(path...))
	must(t, err)
	must(t, yaml.Unmarshal(content, into))
}

// runLua runs a script of the customization on an object, with the libraries that Argo CD opens.
func runLua(t *testing.T, object map[string]any, script ...string) map[string]any {
	t.Helper()
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}, {lua.OsLibName, lua.OpenOs}}
	for _, library := range libraries {
		must(t, l.CallByParam(lua.P{Fn: l.NewFunction(library.open), Protect: true}, lua.LString(library.name)))
	}
	l.SetGlobal("obj", toLua(l, object))
	must(t, l.DoFile(customization(script...)))
	result, ok := fromLua(l.Get(-1)).(map[string]any)
	if !ok {
		t.Fatalf("%v returns %v", script, l.Get(-1))
	}
	return result
}

func toLua(l *lua.LState, value any) lua.LValue {
	table := l.NewTable()
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			table.RawSetString(key, toLua(l, inner))
		}
	case []any:
		for _, inner := range v {
			table.Append(toLua(l, inner))
		}
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	default:
		return lua.LNil
	}
	return table
}

func fromLua(value lua.LValue) any {
	table, ok := value.(*lua.LTable)
	switch {
	case !ok && value.Type() == lua.LTBool:
		return lua.LVAsBool(value)
	case !ok && value.Type() == lua.LTNumber:
		return float64(lua.LVAsNumber(value))
	case !ok:
		return value.String()
	case table.Len() > 0:
		var list []any
		table.ForEach(func(_, inner lua.LValue) { list = append(list, fromLua(inner)) })
		return list
	}
	object := map[string]any{}
	table.ForEach(func(key, inner lua.LValue) { object[key.String()] = fromLua(inner) })
	return object
}

// The health script gives what its test data expect, in the format of Argo CD's own tests.
func TestArgoCDHealth(t *testing.T) {
	var suite struct {
		Tests []struct {
			HealthStatus struct{ Status, Message string }
			InputPath    string
		}
	}
	load(t, &suite, "health_test.yaml")
	if len(suite.Tests) < 6 {
		t.Fatalf("only %d tests", len(suite.Tests))
	}
	for _, test := range suite.Tests {
		t.Run(test.InputPath, func(t *testing.T) {
			var object map[string]any
			load(t, &object, test.InputPath)
			got := runLua(t, object, "health.lua")
			if got["status"] != test.HealthStatus.Status || got["message"] != test.HealthStatus.Message {
				t.Errorf("got %v, want %v", got, test.HealthStatus)
			}
		})
	}
}

// The action renew is offered and does what its test data expect, in the format of Argo CD's own tests.
func TestArgoCDActions(t *testing.T) {
	var suite struct {
		DiscoveryTests []struct {
			InputPath string
			Result    []struct {
				Name     string
				Disabled bool
			}
		}
		ActionTests []struct{ Action, InputPath, ExpectedOutputPath string }
	}
	load(t, &suite, "actions", "action_test.yaml")
	if len(suite.DiscoveryTests) != 2 || len(suite.ActionTests) != 1 {
		t.Fatalf("these tests were read: %+v", suite)
	}
	for _, test := range suite.DiscoveryTests {
		var object map[string]any
		load(t, &object, "actions", test.InputPath)
		got := runLua(t, object, "actions", "discovery.lua")
		for _, want := range test.Result {
			if action, _ := got[want.Name].(map[string]any); action["disabled"] != want.Disabled {
				t.Errorf("%s: got %v, want %+v", test.InputPath, got, want)
			}
		}
	}
	for _, test := range suite.ActionTests {
		var object, want map[string]any
		load(t, &object, "actions", test.InputPath)
		load(t, &want, "actions", test.ExpectedOutputPath)
		got := runLua(t, object, "actions", test.Action, "action.lua")
		at := []string{"metadata", "annotations", "sts.alibabacloud.com/renew-requested-at"}
		requested, _, _ := unstructured.NestedString(got, at...)
		if _, err := time.Parse(time.RFC3339, requested); err != nil {
			t.Errorf("the action requests a renewal at %q: %v", requested, err)
		}
		must(t, unstructured.SetNestedField(got, "0001-01-01T00:00:00Z", at...))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	}
}

// docs/gitops.md has the scripts of the customization.
func TestArgoCDPage(t *testing.T) {
	page, err := os.ReadFile(fromRoot("docs", "gitops.md"))
	must(t, err)
	_, block, _ := strings.Cut(string(page), "```yaml\napiVersion: v1\nkind: ConfigMap\n")
	block, _, _ = strings.Cut(block, "```")
	var configured struct{ Data map[string]string }
	must(t, yaml.Unmarshal([]byte(block), &configured))
	var actions struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string
			Action string `json:"action.lua"`
		}
	}
	must(t, yaml.Unmarshal([]byte(configured.Data["resource.customizations.actions.sts.alibabacloud.com_StsCredential"]), &actions))
	if len(actions.Definitions) != 1 || actions.Definitions[0].Name != "renew" {
		t.Fatalf("the page defines %+v", actions)
	}
	for file, text := range map[string]string{
		"health.lua":               configured.Data["resource.customizations.health.sts.alibabacloud.com_StsCredential"],
		"actions/discovery.lua":    actions.Discovery,
		"actions/renew/action.lua": actions.Definitions[0].Action,
	} {
		content, err := os.ReadFile(customization(file))
		must(t, err)
		if strings.TrimSpace(string(content)) != strings.TrimSpace(text) {
			t.Errorf("docs/gitops.md differs from %s:\n%s", file, text)
		}
	}
}
