// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"fmt"
	"io"
	"net/http"

	"sigs.k8s.io/yaml"
)

// Admin returns the admin endpoint, which has all the powers of the Go API and asks nobody who they are: serve it on
// a port of its own, on loopback. Bodies are JSON; durations are written "90s".
//
//	GET    /healthz           answers 200
//	GET    /calls             lists the calls; DELETE forgets them
//	POST   /faults            injects {"kind", "code", "action", "roleARN", "accessKeyID", "times", "message",
//	                          "missing", "callsPerSecond", "duration"}; GET lists, DELETE clears
//	POST   /users             adds {"account", "name" or "root": true} and answers the AccessKey, which
//	                          "accessKeyId" and "accessKeySecret" can determine
//	PATCH  /access-keys/{id}  {"active": false} disables the key; DELETE deletes it
//	PUT    /roles             {"arn", "maxSessionDuration", "trust": [{"ram", "federated", "stringEquals"}]}
//	DELETE /roles?arn=…       removes the role
//	PUT    /oidc-providers    {"arn", "issuer", "clientIDs", "jwks" or "jwksURL"}
func (e *Emulator) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, e.Calls())
	})
	mux.HandleFunc("DELETE /calls", func(w http.ResponseWriter, _ *http.Request) {
		e.ForgetCalls()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /faults", e.listFaults)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		e.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /faults", accept(func(d faultDocument) (any, error) { return nil, d.inject(e) }))
	mux.HandleFunc("POST /users", accept(func(d userDocument) (any, error) { return d.add(e) }))
	mux.HandleFunc("PUT /roles", accept(func(d roleDocument) (any, error) { return nil, d.add(e) }))
	mux.HandleFunc("DELETE /roles", func(w http.ResponseWriter, r *http.Request) {
		e.RemoveRole(r.URL.Query().Get("arn"))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT /oidc-providers", accept(func(d providerDocument) (any, error) { return nil, d.add(e) }))
	mux.HandleFunc("PATCH /access-keys/{id}", e.patchKey)
	mux.HandleFunc("DELETE /access-keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		answerKnown(w, r.PathValue("id"), e.DeleteKey(r.PathValue("id")))
	})
	return mux
}

func (e *Emulator) listFaults(w http.ResponseWriter, _ *http.Request) {
	faults := e.Faults()
	documents := make([]faultDocument, len(faults))
	for i, fault := range faults {
		documents[i] = fault.document()
	}
	writeJSON(w, http.StatusOK, documents)
}

// keyState is the body of a PATCH of an AccessKey.
type keyState struct {
	Active *bool `json:"active"`
}

func (e *Emulator) patchKey(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	state, err := read[keyState](w, r)
	if err == nil && state.Active == nil {
		err = fmt.Errorf("access key %q: active is required", id)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	answerKnown(w, id, e.SetKeyActive(id, *state.Active))
}

// read reads a document strictly: an unknown field is an error.
func read[D any](w http.ResponseWriter, r *http.Request) (D, error) {
	var document D
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = yaml.UnmarshalStrict(body, &document)
	}
	return document, err
}

// accept reads a document, hands it over and answers 204, or 200 with what came back.
func accept[D any](take func(D) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		document, err := read[D](w, r)
		var answer any
		if err == nil {
			answer, err = take(document)
		}
		switch {
		case err != nil:
			refuse(w, err)
		case answer == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, answer)
		}
	}
}

// refuse answers 400 and says why.
func refuse(w http.ResponseWriter, err error) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func answerKnown(w http.ResponseWriter, id string, known bool) {
	if known {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	writeJSON(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("access key %q is not known", id)})
}
