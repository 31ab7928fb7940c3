// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// unavailable is the body of an answer without credentials, in the form that SDKs read.
type unavailable struct {
	Code    string `json:"Code"`
	Message string `json:"Message"`
}

// codeUnavailable is not "Success", which SDKs require.
const codeUnavailable = "Unavailable"

// handler serves one path. Requests for other paths get a status only.
type handler struct {
	store  *store
	config Config
	path   []byte
	// saturated reports whether connections are getting scarce.
	saturated func() bool
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	if r.ContentLength != 0 || h.saturated() {
		header.Set("Connection", "close") // no body is read, and no idle connection keeps others out
	}
	switch {
	case !h.config.isOwnHost(r.Host):
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case subtle.ConstantTimeCompare([]byte(r.URL.Path), h.path) != 1:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	header["Content-Type"], header["Cache-Control"] = jsonType, noStore
	current := h.store.current.Load()
	if problem := h.store.unavailable(current); problem != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(unavailable{codeUnavailable, problem})
		return
	}
	header["Content-Length"] = current.length
	_, _ = w.Write(current.body) // of HEAD, the server writes the headers only
}

// The values of headers, made once.
var jsonType, noStore = []string{"application/json"}, []string{"no-store"}

// isOwnHost reports whether a request's Host names this machine by address. A web page that a browser on this machine shows
// can make requests for a name that leads here (DNS rebinding), and such a name is refused. SDKs send the host of the URI.
func (c Config) isOwnHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	address, err := netip.ParseAddr(host)
	return err == nil && (c.AllowNonLoopback || isLoopback(address))
}
