// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// nodeSession is what the metadata service gives now; nil: no role is attached.
var nodeSession atomic.Pointer[func() credentials.Credentials]

// answerAsMetadataService is version 2 of the ECS metadata service, called as a proxy. It requires its own token. It refuses and
// records all other requests.
func answerAsMetadataService(w http.ResponseWriter, r *http.Request) {
	session := nodeSession.Load()
	path, isRole := strings.CutPrefix(r.URL.Path, "/latest/meta-data/ram/security-credentials/")
	switch {
	case r.Method == http.MethodConnect:
		tunnels.note(r.Host)
		w.WriteHeader(http.StatusBadGateway)
	case r.URL.Host != "100.100.100.200" || session == nil:
		http.NotFound(w, r)
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
		_, _ = w.Write([]byte("metadata-token"))
	case r.Header.Get("X-aliyun-ecs-metadata-token") != "metadata-token":
		w.WriteHeader(http.StatusForbidden)
	case isRole && path == "":
		_, _ = w.Write([]byte("operator"))
	default:
		s := (*session)()
		_ = json.NewEncoder(w).Encode(map[string]string{
			"Code": "Success", "AccessKeyId": s.AccessKeyID, "AccessKeySecret": s.AccessKeySecret,
			"SecurityToken": s.SecurityToken, "Expiration": s.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z"),
		})
	}
}

// tunnels are the hosts that were called through the proxy.
var tunnels hosts

type hosts struct {
	mu   sync.Mutex
	seen []string
}

func (h *hosts) note(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, host)
}

func (h *hosts) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}

// take returns the hosts and forgets them.
func (h *hosts) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.seen
	h.seen = nil
	return seen
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
	give := func() credentials.Credentials { // expired, so that each read makes a request
		return credentials.Credentials{AccessKeyID: triple.AccessKeyID, AccessKeySecret: triple.AccessKeySecret, SecurityToken: triple.SecurityToken}
	}
	nodeSession.Store(&give)
	defer nodeSession.Store(nil)
	if keys, err := fetch(); err != nil || keys != triple {
		t.Errorf("with a role: %v", err)
	}
	nodeSession.Store(nil)
	_, err := fetch()
	checkError(t, err)
	var unavailable *identity.UnavailableError
	if !errors.As(err, &unavailable) || unavailable.Class != sts.Transient || unavailable.Source != "the node's RAM role" {
		t.Errorf("when it fails later: %v", err)
	}
}

// A node's role must not take the place of an identity that is set up and fails.
func TestNodeRoleIsNoFallback(t *testing.T) {
	_, server := newSTS(t)
	environment(t, map[string]string{"OIDC_PROVIDER_ARN": provider, "ROLE_ARN": roleARN, "OIDC_TOKEN_FILE": "/not/there"})
	t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "")
	give := func() credentials.Credentials {
		return credentials.Credentials{AccessKeyID: "node", AccessKeySecret: "s", SecurityToken: "t"}
	}
	nodeSession.Store(&give)
	defer nodeSession.Store(nil)
	operator, _ := operatorOn(t, server)
	if keys, err := operator.Credentials(context.Background()); err == nil {
		t.Errorf("got the keys of %s", keys.AccessKeyID)
	}
}
