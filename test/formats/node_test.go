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
func (w *world) node(program, argument string) *exec.Cmd {
	w.Helper()
	if !exists(filepath.Join("node", "node_modules")) {
		w.Fatal("the npm packages are not installed: run make test-formats")
	}
	// A test's context ends before its cleanup, in which the program is let go.
	command := exec.CommandContext(context.WithoutCancel(w.Context()), "node", filepath.Join("node", program), argument)
	command.Stderr = os.Stderr
	return command
}

// nodeSDK starts a program that asks STS with one client of the Node.js SDK each time that it is told to.
func (w *world) nodeSDK() (ask func()) {
	w.Helper()
	command := w.node("sdk.js", w.endpoint())
	in, err := command.StdinPipe()
	w.must(err)
	out, err := command.StdoutPipe()
	w.must(err)
	w.must(command.Start())
	w.Cleanup(func() {
		w.must(in.Close())
		w.must(command.Wait())
	})
	answers := bufio.NewScanner(out)
	return func() {
		w.Helper()
		_, err := fmt.Fprintln(in)
		w.must(err)
		for answers.Scan() {
			if answers.Text() == caller {
				return
			}
			w.Log(answers.Text())
		}
		w.Fatal("the program ended")
	}
}

// SDK: @alicloud/credentials finds the environment, and @alicloud/sts20150401 signs with it.
func TestNodeSDKEnvironment(t *testing.T) {
	w := newWorld(t, v1alpha1.FormatSDK)
	w.environment()
	w.nodeSDK()()
	w.wantCaller(w.accessKeyID())
}

// External: a program that lives on uses the new session once the old one is close to its end.
func TestNodeSDKExternalProfile(t *testing.T) {
	w := newWorld(t, v1alpha1.FormatExternal)
	w.must(os.Symlink(filepath.Dir(w.externalProfile()), filepath.Join(os.Getenv("HOME"), ".aliyun")))
	ask := w.nodeSDK()
	for range 2 {
		ask()
		w.wantCaller(w.accessKeyID())
		w.renew()
	}
}

// CLI: the profile in the home folder works, and is not read again.
func TestNodeSDKCommandLineProfile(t *testing.T) {
	w := newWorld(t, v1alpha1.FormatCLI)
	w.must(os.Symlink(w.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	ask, first := w.nodeSDK(), w.accessKeyID()
	for range 2 {
		ask()
		w.wantCaller(first)
		w.renew()
	}
}

// SDK: the V1.0 client @alicloud/pop-core reads no environment itself; its constructor is given the variables.
func TestNodeV1Environment(t *testing.T) {
	w := newWorld(t, v1alpha1.FormatSDK)
	w.environment()
	w.must(w.node("pop-core.js", w.server.URL).Run())
	w.wantCaller(w.accessKeyID())
}

// Tablestore: the Node.js SDK's constructor is given the variables, and sends the token.
func TestNodeTablestoreEnvironment(t *testing.T) {
	w, service := newWorld(t, v1alpha1.FormatTablestore), newService(t)
	w.environment()
	w.must(w.node("tablestore.js", service.URL).Run())
	service.wantSession(w, "x-ots-ststoken", "x-ots-accesskeyid")
}
