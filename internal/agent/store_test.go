//go:build unix

// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// What the operator writes is what the agent serves.
func TestFormatURIIsServed(t *testing.T) {
	layout, err := secret.NewLayout(v1alpha1.SecretSpec{Formats: []v1alpha1.SecretFormat{v1alpha1.FormatURI}}, "")
	if err != nil {
		t.Fatal(err)
	}
	given := secret.Placeholder()
	given.IssuedAt, given.ExpiresAt = begin, begin.Add(time.Hour)
	rendered, err := secret.Render(&v1alpha1.StsCredential{}, layout, given, secret.Request{Request: credentials.Request{}}, secret.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if expires, err := parse(rendered.Data[fileName]); err != nil || !expires.Equal(given.ExpiresAt) {
		t.Errorf("expires at %v, %v", expires, err)
	}
}

// Credentials are served as long as they are valid for another minute. A file that the operator no longer renews is not served
// after that, and a renewed one at once.
func TestStaleFileIsNotServed(t *testing.T) {
	env := newEnvironment(t)
	env.swap(1, issuance(1, begin.Add(time.Hour)))
	env.start()
	for _, tt := range []struct {
		after  time.Duration
		status int
	}{
		{0, http.StatusOK},
		{59 * time.Minute, http.StatusOK},
		{59*time.Minute + time.Nanosecond, http.StatusServiceUnavailable},
		{time.Hour, http.StatusServiceUnavailable},
		{1000 * time.Hour, http.StatusServiceUnavailable},
	} {
		env.step(begin.Add(tt.after).Sub(env.now()))
		got := env.get()
		if got.status != tt.status || (tt.status == http.StatusOK) != (got.number() == 1) {
			t.Errorf("after %v: %d %s", tt.after, got.status, got.body)
		}
		if tt.status == http.StatusOK {
			continue
		}
		var body unavailable
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || body.Code != "Unavailable" ||
			!strings.Contains(body.Message, "expire at 2026-01-01T13:00:00Z") || !strings.Contains(body.Message, "conditions of the StsCredential") {
			t.Errorf("after %v: %s", tt.after, got.body)
		}
	}
	env.swap(2, issuance(2, env.now().Add(time.Minute)))
	env.eventually("renewed", func(a answer) bool { return a.number() == 2 })
}

// Without valid credentials, the answer names the cause and the next step, and neither it nor the log contains a value.
func TestUnavailable(t *testing.T) {
	valid := issuance(1, begin.Add(time.Hour))
	for _, tt := range []struct {
		name  string
		given func(*environment)
		want  string
	}{
		{"no directory", func(env *environment) { env.dir = filepath.Join(env.dir, "none") }, "cannot be opened (no such file or directory). Mount the Secret there, or set STSCRED_DIR"},
		{"a file for a directory", func(env *environment) {
			env.dir = filepath.Join(env.dir, "file")
			env.must(os.WriteFile(env.dir, []byte(valid), 0o600))
		}, "cannot be opened (not a directory). Mount"},
		{"an empty volume", func(*environment) {}, "credentials.json is missing in"},
		{"a Secret without the format", func(env *environment) {
			env.must(os.WriteFile(filepath.Join(env.dir, "ALIBABA_CLOUD_ACCESS_KEY_SECRET"), []byte("hush"), 0o600))
		}, "Add URI to spec.secret.formats of the StsCredential"},
		{"a directory", func(env *environment) { env.must(os.Mkdir(filepath.Join(env.dir, fileName), 0o700)) }, "is not a regular file"},
		{"a FIFO", func(env *environment) { env.must(syscall.Mkfifo(filepath.Join(env.dir, fileName), 0o600)) }, "is not a regular file"},
		{"an empty file", func(env *environment) { env.swap(1, "") }, "incomplete or not what format URI writes"},
		{"half a file", func(env *environment) { env.swap(1, valid[:len(valid)/2]) }, "incomplete or"},
		{"all but the last brace", func(env *environment) { env.swap(1, valid[:len(valid)-1]) }, "incomplete or"},
		{"two files in one", func(env *environment) { env.swap(1, valid+valid) }, "incomplete or"},
		{"no JSON", func(env *environment) { env.swap(1, "hush hush") }, "incomplete or"},
		{"null", func(env *environment) { env.swap(1, "null") }, "incomplete or"},
		{"no token", func(env *environment) { env.swap(1, strings.Replace(valid, "SecurityToken", "Other", 1)) }, "incomplete or"},
		{"no secret", func(env *environment) { env.swap(1, strings.Replace(valid, "hush-1", "", 1)) }, "incomplete or"},
		{"an error's code", func(env *environment) { env.swap(1, strings.Replace(valid, "Success", "Fail", 1)) }, "incomplete or"},
		{"no expiration", func(env *environment) { env.swap(1, strings.Replace(valid, "Expiration", "Expires", 1)) }, "incomplete or"},
		{"an expiration without a time", func(env *environment) { env.swap(1, strings.Replace(valid, "2026-01-01T13:00:00Z", "hush", 1)) }, "incomplete or"},
		{"larger than the limit", func(env *environment) { env.swap(1, valid+strings.Repeat(" ", maxFile)) }, "larger than 65536 bytes"},
		{"expired", func(env *environment) { env.swap(1, issuance(1, begin)) }, "expire at 2026-01-01T12:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			tt.given(env)
			env.start()
			got := env.get()
			if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, `{"Code":"Unavailable","Message":"`) || !strings.Contains(got.body, tt.want) {
				t.Errorf("%d %s, want %q", got.status, got.body, tt.want)
			}
			if all := got.body + env.logged(); strings.Contains(all, "hush") || strings.Contains(all, "STS.") {
				t.Errorf("a value is logged: %s", all)
			}
		})
	}
}

// The largest file is served.
func TestLargestFile(t *testing.T) {
	env := newEnvironment(t)
	content := issuance(1, begin.Add(time.Hour))
	env.swap(1, content+strings.Repeat(" ", maxFile-len(content)))
	env.start()
	if got := env.get(); got.number() != 1 || len(got.body) != maxFile {
		t.Errorf("%d, %d bytes", got.status, len(got.body))
	}
}

// A planted link in the volume cannot lead out of it, so the agent shows no other file.
func TestPlantedLinksLeadNowhere(t *testing.T) {
	outside := filepath.Join(t.TempDir(), fileName)
	if err := os.WriteFile(outside, []byte(issuance(1, begin.Add(time.Hour))), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(*environment){
		"an absolute link": func(env *environment) { env.must(os.Symlink(outside, filepath.Join(env.dir, fileName))) },
		"a relative link": func(env *environment) {
			relative, err := filepath.Rel(env.dir, outside)
			env.must(err)
			env.must(os.Symlink(relative, filepath.Join(env.dir, fileName)))
		},
		"the link of the version": func(env *environment) { env.link(filepath.Dir(outside)); env.link(filepath.Dir(outside)) },
		"a link within the version": func(env *environment) {
			env.must(os.Mkdir(filepath.Join(env.dir, "..2026"), 0o700))
			env.must(os.Symlink(outside, filepath.Join(env.dir, "..2026", fileName)))
			env.link("..2026")
		},
		"a chain of links": func(env *environment) {
			env.must(os.Symlink(filepath.Dir(outside), filepath.Join(env.dir, "a")))
			env.must(os.Symlink("a", filepath.Join(env.dir, "b")))
			env.must(os.Symlink(filepath.Join("b", fileName), filepath.Join(env.dir, fileName)))
		},
		"itself": func(env *environment) { env.must(os.Symlink(fileName, filepath.Join(env.dir, fileName))) },
		"the agent's environment": func(env *environment) {
			env.must(os.Symlink("/proc/self/environ", filepath.Join(env.dir, fileName)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			plant(env)
			env.start()
			if got := env.get(); got.status != http.StatusServiceUnavailable || strings.Contains(got.body, "hush") {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

// An unusable file changes nothing while the earlier credentials are valid.
func TestHalfWrittenFileKeepsTheEarlierAnswer(t *testing.T) {
	env := newEnvironment(t)
	file := filepath.Join(env.dir, fileName) // a volume that is not the kubelet's
	env.must(os.WriteFile(file, []byte(issuance(1, begin.Add(time.Hour))), 0o600))
	env.start()
	env.eventually("the first file", func(a answer) bool { return a.number() == 1 })
	second := issuance(2, begin.Add(2*time.Hour))
	for _, half := range []string{second[:1], second[:len(second)/2], second[:len(second)-1]} {
		warned := strings.Count(env.logged(), "incomplete")
		env.put(file, half)
		env.waitFor("the log", func() bool { return strings.Count(env.logged(), "incomplete") == warned+1 })
		if got := env.get(); got.number() != 1 {
			t.Errorf("while the file is %d bytes long: %d %s", len(half), got.status, got.body)
		}
		// Another whole file, so that the agent warns of the next half again, and then the first one.
		env.put(file, issuance(3, begin.Add(time.Hour)))
		env.eventually("another whole file", func(a answer) bool { return a.number() == 3 })
		env.put(file, issuance(1, begin.Add(time.Hour)))
		env.eventually("the first file again", func(a answer) bool { return a.number() == 1 })
	}
	env.must(os.Remove(file))
	env.waitFor("the log", func() bool { return strings.Contains(env.logged(), "is missing") })
	if got := env.get(); got.number() != 1 {
		t.Errorf("without a file: %d %s", got.status, got.body)
	}
	env.step(time.Hour)
	if got := env.get(); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "is missing") {
		t.Errorf("once they expired: %d %s", got.status, got.body)
	}
	env.put(file, second)
	env.eventually("the whole file", func(a answer) bool { return a.number() == 2 })
	env.must(os.WriteFile(file, []byte(second[:9]), 0o600))
	env.waitFor("the log", func() bool { return strings.Count(env.logged(), "incomplete") > 3 })
	env.must(os.WriteFile(file, []byte(second), 0o600))
	env.step(time.Hour - time.Minute + 1)
	env.eventually("the same file again, expired", func(a answer) bool { return strings.Contains(a.body, "expire at 2026-01-01T14:00:00Z") })
}

// put replaces a file at once, so that the agent reads no state in between.
func (env *environment) put(file, content string) {
	env.Helper()
	staged := filepath.Join(env.TempDir(), fileName)
	env.must(os.WriteFile(staged, []byte(content), 0o600))
	env.must(os.Rename(staged, file))
}

func (env *environment) waitFor(what string, holds func() bool) {
	env.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			env.Fatalf("%s: not in time; the log is\n%s", what, env.logged())
		}
	}
}
