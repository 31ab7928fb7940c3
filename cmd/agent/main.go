// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command agent serves the credentials of a mounted Secret to the Alibaba Cloud SDKs in the same pod.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/agent"
)

// version and commit are set when the agent is built.
var (
	version = "dev"
	commit  = "unknown"
)

const usage = `Usage: stscred-agent [serve|check|version] [flags]

serve     Serve the credentials of a mounted Secret on loopback, for ALIBABA_CLOUD_CREDENTIALS_URI (default).
check     Ask the agent that runs with the same settings: exit status 0 if it serves valid credentials, otherwise 1.
version   Print version, commit and platform.

Flags of serve and check:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stscred-agent:", err)
		os.Exit(1)
	}
}

// gcPercent keeps the garbage below 1 MiB: many pods have an agent, and an answer makes little of it.
const gcPercent = 25

// run runs the subcommand that the arguments name.
func run(ctx context.Context, arguments []string, getenv func(string) string, stdout, stderr io.Writer) error {
	command := "serve"
	if len(arguments) > 0 && !strings.HasPrefix(arguments[0], "-") {
		command, arguments = arguments[0], arguments[1:]
	}
	config, err := parse(arguments, getenv, stderr)
	if err != nil {
		return err
	}
	switch command {
	case "serve":
		if getenv("GOGC") == "" {
			debug.SetGCPercent(gcPercent)
		}
		return agent.Run(ctx, config)
	case "check":
		return agent.Check(ctx, config)
	case "version":
		_, err := fmt.Fprintf(stdout, "stscred-agent %s, commit %s, %s %s/%s\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	}
	return fmt.Errorf("unknown command %q. Write serve, check or version", command)
}

// parse returns the settings: a flag, else its environment variable, else the default.
func parse(arguments []string, getenv func(string) string, stderr io.Writer) (agent.Config, error) {
	config := agent.Config{
		Now: time.Now, //nolint:forbidigo // this is where time enters; the agent has no package of Kubernetes for its clock
		Log: slog.New(slog.NewTextHandler(stderr, nil)),
	}
	flags := flag.NewFlagSet("stscred-agent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&config.Dir, "dir", cmp.Or(getenv(agent.EnvDir), agent.DefaultDir),
		"Directory of the mounted Secret. Environment variable "+agent.EnvDir+".")
	flags.StringVar(&config.Listen, "listen", cmp.Or(getenv(agent.EnvListen), agent.DefaultListen),
		"IP address and port to listen on. Environment variable "+agent.EnvListen+".")
	token := flags.String("token", "",
		"Path segment that a caller must know: 16 to 128 letters, digits, '.', '_' and '-'. Environment variable "+agent.EnvToken+".")
	flags.BoolVar(&config.AllowNonLoopback, "allow-non-loopback", false,
		"Allow an address to listen on that is not loopback, so that other pods and machines can call the agent.")
	if err := flags.Parse(arguments); err != nil {
		return config, err
	}
	if flags.NArg() > 0 {
		return config, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	config.Token = cmp.Or(*token, getenv(agent.EnvToken)) // no default, so that --help does not print it
	return config, nil
}
