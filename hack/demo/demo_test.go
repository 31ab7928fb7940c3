// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		context   string
		want      options
		fails     bool
	}{
		"nothing":            {},
		"once":               {arguments: []string{"--once"}, want: options{once: true}},
		"a context":          {context: "kind", want: options{context: "kind"}},
		"a context, and yes": {arguments: []string{"--yes", "--once"}, context: "kind", want: options{once: true, yes: true, context: "kind"}},
		"no flag":            {arguments: []string{"once"}, fails: true},
		"an unknown flag":    {arguments: []string{"--twice"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(test.arguments, func(string) string { return test.context })
			if (err != nil) != test.fails {
				t.Fatalf("error %v", err)
			}
			if err == nil && got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	for answer, yes := range map[string]bool{
		"y\n": true, "Yes\n": true, " y \n": true, "y": true,
		"\n": false, "": false, "n\n": false, "yesterday\n": false, "no\ny\n": false,
	} {
		var out bytes.Buffer
		err := confirm(strings.NewReader(answer), &out, "Go on?")
		if yes != (err == nil) || !yes && !errors.Is(err, errDeclined) {
			t.Errorf("%q: error %v", answer, err)
		}
		if !strings.HasPrefix(out.String(), "Go on? [y/N] ") {
			t.Errorf("%q: asked %q", answer, out.String())
		}
	}
}

func TestNoTerminal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if isTerminal(file) || isTerminal(null) {
		t.Error("neither a file nor the null device is a terminal")
	}
}

func TestShell(t *testing.T) {
	for want, words := range map[string][]string{
		"kubectl get stscred -n shop":       {"kubectl", "get", "stscred", "-n", "shop"},
		"kubectl -o 'jsonpath={.a[\"b\"]}'": {"kubectl", "-o", `jsonpath={.a["b"]}`},
		`echo 'it'\''s' ''`:                 {"echo", "it's", ""},
		"echo '$HOME' 'a b' '*'":            {"echo", "$HOME", "a b", "*"},
	} {
		if got := shell(words...); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestScreen(t *testing.T) {
	write := func(s *screen) {
		s.title("%d. %s", 1, "100% plain")
		s.command("kubectl get '%s'")
		s.output("a\nb %d\n")
		s.output("\n")
		s.ok("it is %s", "so")
		s.fail("it is %s", "not")
		_, _ = io.WriteString(s, "building\n")
	}
	var plain, coloured bytes.Buffer
	write(&screen{out: &plain})
	write(&screen{out: &coloured, colour: true})
	want := "\n1. 100% plain\n  $ kubectl get '%s'\n    a\n    b %d\n  ✓ it is so\n  ✗ it is not\n  building\n"
	if plain.String() != want {
		t.Errorf("got %q, want %q", plain.String(), want)
	}
	uncoloured := coloured.String()
	for _, look := range []string{bold, dim, red, green, cyan, "0"} {
		uncoloured = strings.ReplaceAll(uncoloured, "\x1b["+look+"m", "")
	}
	if uncoloured != want || uncoloured == coloured.String() {
		t.Errorf("coloured it is %q", coloured.String())
	}
}

func TestLastLines(t *testing.T) {
	for _, test := range []struct {
		text string
		n    int
		want string
	}{
		{"", 3, ""},
		{"a\n", 3, "a"},
		{"a\nb\nc\n", 2, "b\nc"},
	} {
		if got := lastLines(test.text, test.n); got != test.want {
			t.Errorf("last %d of %q: %q", test.n, test.text, got)
		}
	}
}

func TestCondition(t *testing.T) {
	conditions := []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Reason: "RoleRefused", Message: "NoPermission: add user/x"}}
	for name, test := range map[string]struct {
		want condition
		met  bool
	}{
		"as it is":         {condition{"Ready", metav1.ConditionFalse, "RoleRefused", []string{"NoPermission", "user/x"}}, true},
		"another status":   {condition{kind: "Ready", status: metav1.ConditionTrue, reason: "RoleRefused"}, false},
		"another reason":   {condition{kind: "Ready", status: metav1.ConditionFalse, reason: "Expired"}, false},
		"another message":  {condition{"Ready", metav1.ConditionFalse, "RoleRefused", []string{"NoPermission", "user/y"}}, false},
		"absent":           {condition{kind: "Stalled", status: metav1.ConditionUnknown}, true},
		"not yet there":    {condition{kind: "Stalled", status: metav1.ConditionTrue}, false},
		"not to be there":  {condition{kind: "Ready", status: metav1.ConditionUnknown}, false},
		"there, no reason": {condition{kind: "Ready", status: metav1.ConditionFalse}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := test.want.met(conditions); ok != test.met {
				t.Errorf("want %s, got %s: %t", test.want, got, ok)
			}
		})
	}
}

func TestEventually(t *testing.T) {
	looks := 0
	err := eventually(t.Context(), "third time lucky", func(context.Context) (string, bool) {
		looks++
		return "", looks == 3
	})
	if err != nil || looks != 3 {
		t.Errorf("%d looks, error %v", looks, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = eventually(ctx, "a wonder", func(context.Context) (string, bool) {
		cancel()
		return "context canceled", false
	})
	var surprised *surprise
	if !errors.As(err, &surprised) || surprised.want != "a wonder" || surprised.got != "no answer" {
		t.Errorf("error %v", err)
	}
}

func TestCleanup(t *testing.T) {
	var done []string
	var c cleanup
	for _, what := range []string{"a", "b", "c"} {
		c.add("undo "+what, func(context.Context) error {
			done = append(done, what)
			if what == "b" {
				return errors.New("it sticks")
			}
			return nil
		})
	}
	err := c.run(t.Context())
	if got := strings.Join(done, ""); got != "cba" {
		t.Errorf("undone in the order %s", got)
	}
	if err == nil || err.Error() != "undo b: it sticks" {
		t.Errorf("error %v", err)
	}
	if err := c.run(t.Context()); err != nil || len(done) != 3 {
		t.Errorf("a second time: %v, %v", done, err)
	}
}

func TestManagerEnvironment(t *testing.T) {
	d := demo{managerKubeconfig: "/k", sts: &emulatedSTS{key: stsemulator.AccessKey{ID: "id", Secret: "secret"}}}
	got := d.managerEnvironment([]string{"HOME=/h", "KUBECONFIG=/mine", "ALIBABA_CLOUD_SECURITY_TOKEN=mine", "ALIBABA_CLOUD_ACCESS_KEY_ID=mine"})
	want := []string{"HOME=/h", "KUBECONFIG=/k", "ALIBABA_CLOUD_ACCESS_KEY_ID=id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET=secret"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRemoveFolder(t *testing.T) {
	for name, keepLog := range map[string]bool{"all of it": false, "all but the log": true} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "demo")
			d := demo{dir: dir, log: filepath.Join(dir, "manager.log")}
			if err := os.MkdirAll(filepath.Join(dir, "control-plane"), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{d.log, filepath.Join(dir, "kubeconfig")} {
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.removeFolder(keepLog); err != nil {
				t.Fatal(err)
			}
			left, _ := filepath.Glob(filepath.Join(dir, "*"))
			if keepLog != slices.Equal(left, []string{d.log}) || !keepLog && len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}
