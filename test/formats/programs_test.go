// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// programTimeout is the limit for one program in the folders java, node and python. Each takes a few seconds.
const programTimeout = 2 * time.Minute

// command returns a program with the environment of the test. What the program writes to its standard error is logged if the test
// fails.
func (env *environment) command(program string, arguments ...string) *exec.Cmd {
	env.Helper()
	// A test's context ends before its cleanup, in which the program ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(env.Context()), programTimeout)
	env.Cleanup(cancel)
	command := exec.CommandContext(ctx, program, arguments...)
	output := &bytes.Buffer{}
	command.Stderr = output
	env.Cleanup(func() {
		if env.Failed() && output.Len() > 0 {
			env.Logf("%s:\n%s", program, output)
		}
	})
	return command
}

// java returns a program of the folder java. It trusts the emulated STS by HTTPS, if serveHTTPS has started that.
func (env *environment) java(program string, arguments ...string) *exec.Cmd {
	env.Helper()
	jars, _ := filepath.Glob(filepath.Join("java", "target", "lib", "*.jar"))
	classpath := strings.Join(append([]string{filepath.Join("java", "target", "classes")}, jars...), string(filepath.ListSeparator))
	options := []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Duser.home=" + os.Getenv("HOME"), "-cp", classpath}
	if env.trustStore != "" {
		options = append(options, "-Djavax.net.ssl.trustStore="+env.trustStore, "-Djavax.net.ssl.trustStorePassword="+trustStorePassword)
	}
	return env.command("java", append(append(options, "formats."+program), arguments...)...)
}

// node returns a program of the folder node.
func (env *environment) node(program, argument string) *exec.Cmd {
	env.Helper()
	if !exists(filepath.Join("node", "node_modules")) {
		env.Fatal("the npm packages are not installed: run make test-formats")
	}
	return env.command("node", filepath.Join("node", program), argument)
}

// python returns a program of the folder python, or of a package there.
func (env *environment) python(program string, arguments ...string) *exec.Cmd {
	env.Helper()
	programs := filepath.Join("python", "venv", "bin")
	if !exists(filepath.Join(programs, "python")) {
		env.Fatal("the Python packages are not installed: run make test-formats")
	}
	file := filepath.Join("python", program)
	if !exists(file) {
		file = filepath.Join(programs, program)
	}
	return env.command(filepath.Join(programs, "python"), append([]string{"-I", file}, arguments...)...)
}

// startLoop starts a program that makes one call for each line of its input. The function that it returns requests a call, and
// insists that the program prints a line with the text.
func (env *environment) startLoop(command *exec.Cmd, text string) (ask func()) {
	env.Helper()
	in, err := command.StdinPipe()
	env.must(err)
	out, err := command.StdoutPipe()
	env.must(err)
	env.must(command.Start())
	env.Cleanup(func() {
		_ = in.Close()
		if err := command.Wait(); err != nil {
			env.Error(err)
		}
	})
	answers := bufio.NewScanner(out)
	return func() {
		env.Helper()
		_, err := fmt.Fprintln(in)
		env.must(err)
		for answers.Scan() {
			if strings.Contains(answers.Text(), text) {
				return
			}
			env.Log(answers.Text()) // SDKs log to the standard output, too
		}
		env.Fatalf("the program ended before it printed %s", text)
	}
}

// wantOutput insists that a program succeeds and prints the text.
func (env *environment) wantOutput(command *exec.Cmd, text string) {
	env.Helper()
	output, err := command.Output()
	if err != nil || !strings.Contains(string(output), text) {
		env.Errorf("the program prints %q and ends with %v, want %q", output, err, text)
	}
}

// wantFailure insists that a program fails and prints the text.
func (env *environment) wantFailure(command *exec.Cmd, text string) {
	env.Helper()
	command.Stderr = nil
	output, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		output = append(output, failed.Stderr...)
	}
	if err == nil || !strings.Contains(string(output), text) {
		env.Errorf("the program ends with %v, want %s:\n%s", err, text, output)
	}
}

// wantRefused insists that the service refuses a program if one of these variables has another value.
func (env *environment) wantRefused(start func() *exec.Cmd, code string, variables ...string) {
	env.Helper()
	for _, variable := range variables {
		env.wantFailure(with(start(), variable, "another"), code)
	}
}

// wantRefusedBySTS insists that STS refuses a program with an error code, and that the program fails.
func (env *environment) wantRefusedBySTS(command *exec.Cmd, code string) {
	env.Helper()
	env.wantFailure(command, "")
	calls := env.emulator.Calls()
	if last := calls[len(calls)-1]; last.Code != code {
		env.Errorf("STS answered %d %s to %s, want %s", last.Status, last.Code, last.Action, code)
	}
}

// with sets a variable of a program.
func with(command *exec.Cmd, variable, value string) *exec.Cmd {
	command.Env = append(os.Environ(), variable+"="+value)
	return command
}

// restarted runs a program before and after a renewal, each time with the variables that a new container gets.
func (env *environment) restarted(run func()) {
	env.Helper()
	for range 2 {
		env.setEnvironment()
		run()
		env.renew()
	}
}

// readOnce insists that a program keeps the session that it read when it started, and reads the renewed one when it is started
// again.
func (env *environment) readOnce(start func() (ask func())) {
	env.Helper()
	for range 2 {
		ask, first := start(), env.accessKeyID()
		ask()
		env.wantCaller(first)
		env.renew()
		ask()
		env.wantCaller(first)
	}
}

// followed insists that one program uses each renewed session.
func (env *environment) followed(ask func()) {
	env.Helper()
	for range 3 {
		ask()
		env.wantCaller(env.accessKeyID())
		env.renew()
	}
}
