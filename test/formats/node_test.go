// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// nodeSDK starts a program that calls STS with one client of the Node.js SDK.
func (env *environment) nodeSDK() (ask func()) {
	env.Helper()
	return env.startLoop(env.node("sdk.js", env.endpoint()), caller)
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
	env.followed(env.nodeSDK())
}

// CLI: the profile in the home folder works, and is not read again.
func TestNodeSDKCommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	record(t, row{"Node.js", npmPackage(t, "@alicloud/credentials"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.must(os.Symlink(env.volume, filepath.Join(os.Getenv("HOME"), ".aliyun")))
	env.readOnce(env.nodeSDK)
}

// SDK: the V1.0 client @alicloud/pop-core reads no environment itself; its constructor is given the variables.
func TestNodeV1Environment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Node.js", npmPackage(t, "@alicloud/pop-core"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	env.restarted(func() {
		env.wantOutput(env.node("pop-core.js", env.server.URL), caller)
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
