// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guard is an authorization filter for HTTP servers, with TokenReview and SubjectAccessReview. It does what
// controller-runtime's filter for metrics does, without k8s.io/apiserver, which is a third of the program's size.
package guard

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// Decisions are cached, so that a scrape needs no request: for a minute if the client is allowed, else for 10 s.
	maxDecisions       = 256
	allowFor, denyFor  = time.Minute, 10 * time.Second
	timeout            = 10 * time.Second
	bearer             = "Bearer "
	unknown, forbidden = http.StatusUnauthorized, http.StatusForbidden
)

// filter authorizes requests.
type filter struct {
	tokens    authenticationclient.TokenReviewInterface
	rights    authorizationclient.SubjectAccessReviewInterface
	decisions *cache.LRUExpireCache // requestKey -> status
}

// requestKey is the part of a request that decides. It holds a hash in place of the token.
type requestKey struct {
	token      [sha256.Size]byte
	verb, path string
}

// Filter returns a filter that authorizes requests at the API server of config. It answers 401 to unknown clients, 403 to
// clients that may not use the verb on the path, and 500 if the API server fails. It is a metricsserver.Options.FilterProvider.
func Filter(config *rest.Config, httpClient *http.Client) (metricsserver.Filter, error) {
	authentication, err := authenticationclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	authorization, err := authorizationclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	f := &filter{tokens: authentication.TokenReviews(), rights: authorization.SubjectAccessReviews(), decisions: cache.NewLRUExpireCache(maxDecisions)}
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status, err := f.status(r)
			if err != nil {
				log.Error(err, "Failed to authorize a client: the API server failed")
			}
			if status != http.StatusOK {
				http.Error(w, http.StatusText(status), status)
				return
			}
			next.ServeHTTP(w, r)
		}), nil
	}, nil
}

// status returns the HTTP status for a request.
func (f *filter) status(r *http.Request) (int, error) {
	token, given := strings.CutPrefix(r.Header.Get("Authorization"), bearer)
	if !given || token == "" {
		return unknown, nil
	}
	key := requestKey{token: sha256.Sum256([]byte(token)), verb: strings.ToLower(r.Method), path: r.URL.Path}
	if answer, ok := f.decisions.Get(key); ok {
		return answer.(int), nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	status, err := f.authorize(ctx, token, key)
	switch {
	case err != nil:
		return http.StatusInternalServerError, err
	case status == http.StatusOK:
		f.decisions.Add(key, status, allowFor)
	default:
		f.decisions.Add(key, status, denyFor)
	}
	return status, nil
}

// authorize authenticates the client and authorizes the request.
func (f *filter) authorize(ctx context.Context, token string, key requestKey) (int, error) {
	caller, err := f.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	if !caller.Status.Authenticated {
		return unknown, nil
	}
	user := caller.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	review, err := f.rights.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: key.path, Verb: key.verb},
	}}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return 0, err
	case review.Status.Allowed && !review.Status.Denied:
		return http.StatusOK, nil
	}
	return forbidden, nil
}
