// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// node is a program of the folder node with what is in the environment.
func (env *environment) node(program, argument string) *exec.Cmd {
	env.Helper()
	if !exists(filepath.Join("node", "node_modules")) {
		env.Fatal("the npm packages are not installed: run make test-formats")
	}
	// A test's context ends before its cleanup, in which the program is let go.
	command := exec.CommandContext(context.WithoutCancel(env.Context()), "node", filepath.Join("node", program), argument)
	command.Stderr = os.Stderr
	return command
}

// nodeSDK starts a program that asks STS with one client of the Node.js SDK on each request.
func (env *environment) nodeSDK() (ask func()) {
	env.Helper()
	command := env.node("sdk.js", env.endpoint())
	in, err := command.StdinPipe()
	env.must(err)
	out, err := command.StdoutPipe()
	env.must(err)
	env.must(command.Start())
	env.Cleanup(func() {
		env.must(in.Close())
		env.must(command.Wait())
	})
	answers := bufio.NewScanner(out)
	return func() {
		env.Helper()
		_, err := fmt.Fprintln(in)
		env.must(err)
		for answers.Scan() {
			if answers.Text() == caller {
				return
			}
			env.Log(answers.Text())
		}
		env.Fatal("the program ended")
	}
}

// SDK: @alicloud/credentials finds the environment, and @alicloud/sts20150401 signs with it.
func TestNodeSDKEnvironment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Node.js", npmPackage(t, "@alicloud/credentials"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.restarted(func() {
		env.nodeSDK()()
		env.wantCaller(env.accessKeyID())
	})
}

// External: a program that lives on uses the new session once the old one is close to its end.
func TestNodeSDKExternalProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatExternal)
	record(t, row{"Node.js", npmPackage(t, "@alicloud/credentials"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byFile})
	env.must(os.Symlink(filepath.Dir(env.externalProfile()), filepath.Join(os.Getenv("HOME"), ".aliyun")))
	ask := env.nodeSDK()
	for range 2 {
		ask()
		env.wantCaller(env.accessKeyID())
		env.renew()
	}
}

// CLI: the profile in the home folder works, and is not read again.
func TestNodeSDKCommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	record(t, row{"Node.js", npmPackage(t, "@alicloud/credentials"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.must(os.Symlink(env.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	ask, first := env.nodeSDK(), env.accessKeyID()
	for range 2 {
		ask()
		env.wantCaller(first)
		env.renew()
	}
}

// SDK: the V1.0 client @alicloud/pop-core reads no environment itself; its constructor is given the variables.
func TestNodeV1Environment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Node.js", npmPackage(t, "@alicloud/pop-core"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	env.restarted(func() {
		env.must(env.node("pop-core.js", env.server.URL).Run())
		env.wantCaller(env.accessKeyID())
	})
}

// Tablestore: the Node.js SDK's constructor is given the variables, and sends the token.
func TestNodeTablestoreEnvironment(t *testing.T) {
	record(t, row{"Node.js", npmPackage(t, "tablestore"), documentTablestore, "Tablestore ListTable", inTablestore, byRestart})
	env := newEnvironment(t, v1alpha1.FormatTablestore)
	service := newVerifyingService(env, tablestoreWire)
	env.restarted(func() {
		env.must(env.node("tablestore.js", service.URL).Run())
		service.wantVerified(env, tablestoreWire)
	})
}
