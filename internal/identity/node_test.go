// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/internal/stsemulator"
)

// nodeKeys is what the metadata service gives now; nil: no role is attached.
var nodeKeys atomic.Pointer[func() sts.Keys]

// answerAsMetadataService is ECS's metadata service, asked as a proxy.
func answerAsMetadataService(w http.ResponseWriter, r *http.Request) {
	keys := nodeKeys.Load()
	path, isRole := strings.CutPrefix(r.URL.Path, "/latest/meta-data/ram/security-credentials/")
	switch {
	case r.URL.Host != "100.100.100.200" || keys == nil:
		http.NotFound(w, r)
	case r.Method == http.MethodPut:
		_, _ = w.Write([]byte("metadata-token"))
	case isRole && path == "":
		_, _ = w.Write([]byte("operator"))
	default:
		k := (*keys)()
		_ = json.NewEncoder(w).Encode(map[string]string{
			"Code": "Success", "AccessKeyId": k.AccessKeyID, "AccessKeySecret": k.AccessKeySecret,
			"SecurityToken": k.SecurityToken, "Expiration": "2000-01-01T00:00:00Z", // so that each look asks again
		})
	}
}

func TestNodeRole(t *testing.T) {
	emulator, server := newSTS(t)
	user := emulator.AddUser(account, "operator")
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/operator"}}}})
	triple := tripleFor(t, server, user)
	environment(t, nil)
	t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "")

	fetch := identity.Chain{Endpoint: "127.0.0.1"}.NewFetch()
	if _, err := fetch(); err == nil || !strings.Contains(err.Error(), "RAM role") {
		t.Errorf("without a role: %v", err)
	}
	give := func() sts.Keys { return triple }
	nodeKeys.Store(&give)
	defer nodeKeys.Store(nil)
	if keys, err := fetch(); err != nil || keys != triple {
		t.Errorf("with a role: %v", err)
	}
	nodeKeys.Store(nil)
	_, err := fetch()
	checkError(t, err)
	var unavailable *identity.UnavailableError
	if !errors.As(err, &unavailable) || unavailable.Class != sts.Transient || unavailable.Source != "the node's RAM role" {
		t.Errorf("when it fails later: %v", err)
	}
}

// A node's role must not take the place of an identity that is set up and fails.
func TestTheNodeDoesNotStandIn(t *testing.T) {
	_, server := newSTS(t)
	environment(t, map[string]string{"OIDC_PROVIDER_ARN": provider, "ROLE_ARN": roleARN, "OIDC_TOKEN_FILE": "/not/there"})
	t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "")
	give := func() sts.Keys { return sts.Keys{AccessKeyID: "node", AccessKeySecret: "s", SecurityToken: "t"} }
	nodeKeys.Store(&give)
	defer nodeKeys.Store(nil)
	operator, _ := operatorOn(t, server)
	if keys, err := operator.Keys(context.Background()); err == nil {
		t.Errorf("got the keys of %s", keys.AccessKeyID)
	}
}
