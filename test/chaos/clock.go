// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// stepper is the source that is added to the operator so that its wall clock can be changed.
//
//go:embed stepper.go.txt
var stepper []byte

// clockFile has the offset of the operator's clock in seconds.
func (env *environment) clockFile() string { return filepath.Join(env.dir, "clock") }

// step sets the offset of the operator's clock. It takes effect within a tenth of a second.
func (env *environment) step(off time.Duration) error {
	file := env.clockFile()
	if err := os.WriteFile(file+".new", []byte(strconv.Itoa(int(off/time.Second))), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// build builds the operator from the repository at root.
func build(ctx context.Context, root, to string, flags ...string) error {
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", to}, flags...), "./cmd/manager")...)
	cmd.Dir = root
	if len(flags) > 0 {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // no use for a C compiler in another standard library
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the operator: %w\n%s", err, output)
	}
	return nil
}

// buildStepped builds the operator with a wall clock that can be changed. A static Go program reads the time from the kernel without
// a library in between, so the standard library is built with an offset in time.Now. The whole process gets the changed time, as
// after a change of its node's clock, and timers continue, as they do there.
func (env *environment) buildStepped(ctx context.Context, to string) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		return err
	}
	stepped, err := withOffset(string(source))
	if err != nil {
		return err
	}
	// A fixed folder, so that the build cache can be used again.
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "sts-credential-operator", "chaos")
	timeFile, mainFile, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "stepper.go"), filepath.Join(dir, "overlay.json")
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {original: timeFile, filepath.Join(env.root, "cmd", "manager", "stepper.go"): mainFile}})
	if err != nil {
		return err
	}
	if err := errors.Join(
		os.MkdirAll(dir, 0o700),
		os.WriteFile(timeFile, []byte(stepped), 0o600),
		os.WriteFile(mainFile, stepper, 0o600),
		os.WriteFile(overlay, replaced, 0o600),
	); err != nil {
		return err
	}
	return build(ctx, env.root, to, "-overlay", overlay)
}

// withOffset is package time's source with an offset in Now.
func withOffset(source string) (string, error) {
	for _, change := range [][2]string{
		{"\tsec, nsec, mono := runtimeNow()\n", "\tsec, nsec, mono := runtimeNow()\n\tsec += wallOffset.Load()\n"},
		{"\t\"math/bits\"\n", "\t\"math/bits\"\n\t\"sync/atomic\"\n"},
	} {
		if strings.Count(source, change[0]) != 1 {
			return "", fmt.Errorf("time.go of this Go version has %d times %q, want one: adapt withOffset", strings.Count(source, change[0]), change[0])
		}
		source = strings.Replace(source, change[0], change[1], 1)
	}
	return source + "\nvar wallOffset atomic.Int64\n\n// SetWallOffset sets the wall clock off by so many seconds.\nfunc SetWallOffset(seconds int64) { wallOffset.Store(seconds) }\n", nil
}
