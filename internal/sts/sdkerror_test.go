// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

func TestClassifySDKError(t *testing.T) {
	_, refused := http.Get("http://127.0.0.1:1/?hush")                                //nolint:bodyclose,noctx // it is refused
	file := &fs.PathError{Op: "open", Path: "/hush", Err: syscall.ENOENT}             // which implements net.Error
	answer := `get session token failed: {"RequestId":"R-1", "Code" : "%s","hush":1}` // as credentials-go formats it
	for _, c := range []struct {
		name  string
		err   error
		class sts.Class
		want  string
	}{
		{"a response of STS", fmt.Errorf(answer, "EntityNotExist.Role"), sts.Refused, "AssumeRole: EntityNotExist.Role (RequestId R-1): the role does not exist"},
		{"a throttling code", fmt.Errorf(answer, "Throttling.User"), sts.Throttled, "Throttling.User"},
		{"an unknown code", fmt.Errorf(answer, "Novelty"), sts.Transient, "Novelty (RequestId R-1): STS returned a code that this version does not know"},
		{"a server error", fmt.Errorf(answer, "InternalServerError"), sts.Transient, "support with RequestId R-1"},
		{"a malformed code", fmt.Errorf(answer, "hush hush"), sts.Transient, "the response did not come from STS"},
		{"a page of a gateway", errors.New("get session token failed: <html>hush</html>"), sts.Transient, "the response did not come from STS"},
		{"a partial response", errors.New("json.Unmarshal fail: unexpected end of JSON input, hush"), sts.Transient, "the response did not come from STS"},
		{"a network error", fmt.Errorf("refresh: %w", refused), sts.Transient, "AssumeRole: the connection was refused"},
		{"a file", file, sts.Transient, "AssumeRole: "},
		{"anything else", errors.New("hush"), sts.Transient, "AssumeRole: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := sts.ClassifySDKError("AssumeRole", c.err)
			if e == nil || (e.Class != c.class || !strings.Contains(e.Error(), c.want) || strings.Contains(e.Error(), "hush")) {
				t.Errorf("got %v: %v, want %v: %s", e.Class, e, c.class, c.want)
			}
		})
	}
}
