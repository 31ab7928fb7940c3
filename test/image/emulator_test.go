// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bufio"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// maxEmulator bounds the emulator's image, in bytes.
const maxEmulator = 20_000_000

func readEmulator(t *testing.T) *archive {
	t.Helper()
	return readArchiveOf(t, "EMULATOR_ARCHIVE", "emulator-check")
}

func TestEmulatorImage(t *testing.T) {
	image := readEmulator(t)
	config := image.config.Config
	t.Logf("%.1f MB", float64(image.size)/1e6)
	if image.size >= maxEmulator {
		t.Errorf("the image has %d bytes, want less than %d", image.size, maxEmulator)
	}
	if config.User != "65532:65532" || len(config.Entrypoint) == 0 || config.Entrypoint[0] != "/stsemulator" || len(config.Cmd) > 0 {
		t.Errorf("user %q, entry point %q, command %q", config.User, config.Entrypoint, config.Cmd)
	}
	if got := config.Labels["org.opencontainers.image.title"]; got != "sts-emulator" {
		t.Errorf("label title is %q", got)
	}
	if got := config.Labels["org.opencontainers.image.version"]; got != os.Getenv("VERSION") {
		t.Errorf("label version is %q, want %q", got, os.Getenv("VERSION"))
	}
	if got := slices.Sorted(maps.Keys(image.programs)); !slices.Equal(got, []string{"stsemulator"}) {
		t.Fatalf("%q can be executed", got)
	}
	wantStatic(t, "stsemulator", image.programs["stsemulator"])
	if image.files["seed.yaml"] == nil || image.files["etc/ssl/certs/ca-certificates.crt"] == nil {
		t.Error("the seed or the CA certificates are not there")
	}
}

// The command of docs/emulator.md starts the image, and the emulator answers AssumeRole. The container uses the host's network
// instead of published ports, because the engine that the tests start has no bridge, and ports that nobody else uses.
func TestEmulatorRuns(t *testing.T) {
	image := readEmulator(t)
	if image.config.Architecture != runtime.GOARCH {
		t.Skipf("an image for %s does not run here", image.config.Architecture)
	}
	load := exec.CommandContext(t.Context(), "docker", "load", "--input", os.Getenv("EMULATOR_ARCHIVE"))
	if output, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	command := exec.CommandContext(t.Context(), "docker", emulatorArguments(t, "sha256:"+image.id)...)
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	address := regexp.MustCompile(`http=(\S+)`).FindStringSubmatch(line)
	if err != nil || address == nil {
		t.Fatalf("the emulator prints %q (%v)", line, err)
	}
	client, err := sts.New(sts.Options{Endpoint: "http://" + address[1], Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := client.AssumeRole(t.Context(), credentials.Credentials{AccessKeyID: "testid", AccessKeySecret: "testsecret"},
		credentials.Request{RoleARN: "acs:ram::1234567890123456:role/tests", SessionName: "orders", Duration: 12 * time.Hour})
	if err != nil || issued.SecurityToken == "" {
		t.Errorf("AssumeRole: %v, token of %d bytes", err, len(issued.SecurityToken))
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("the emulator ends with %v", err)
	}
}

// emulatorArguments are those of docker on the page, for this image and without published ports.
func emulatorArguments(t *testing.T, image string) (arguments []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "emulator.md"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^docker (run .*) sts-emulator:dev$`).FindSubmatch(page)
	if line == nil {
		t.Fatal("docs/emulator.md has no command that runs the image")
	}
	for _, argument := range strings.Fields(string(line[1])) {
		if argument != "--publish" && !strings.HasPrefix(argument, "127.0.0.1:") {
			arguments = append(arguments, argument)
		}
	}
	return append(arguments, "--network=host", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
		image, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0")
}
