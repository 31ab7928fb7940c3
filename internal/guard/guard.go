// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guard lets in only callers whom the cluster allows it, by a TokenReview and a SubjectAccessReview. It is what
// controller-runtime's filter for metrics does, without the third of the program that k8s.io/apiserver would be.
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
	// callers are remembered, so that each scrape need not ask: those who may for a minute, others for 10 s.
	callers            = 256
	allowFor, denyFor  = time.Minute, 10 * time.Second
	timeout            = 10 * time.Second
	bearer             = "Bearer "
	unknown, forbidden = http.StatusUnauthorized, http.StatusForbidden
)

// guard asks the API server.
type guard struct {
	tokens  authenticationclient.TokenReviewInterface
	rights  authorizationclient.SubjectAccessReviewInterface
	answers *cache.LRUExpireCache // question -> status
}

// question is a request as far as the answer depends on it. It holds no token.
type question struct {
	token      [sha256.Size]byte
	verb, path string
}

// Filter asks the API server of config: 401 is for callers whom it does not know, 403 for those who may not use this verb
// on this path, and 500 says that it did not answer. Implements metricsserver.Options.FilterProvider.
func Filter(config *rest.Config, httpClient *http.Client) (metricsserver.Filter, error) {
	authentication, err := authenticationclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	authorization, err := authorizationclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	g := &guard{tokens: authentication.TokenReviews(), rights: authorization.SubjectAccessReviews(), answers: cache.NewLRUExpireCache(callers)}
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status, err := g.status(r)
			if err != nil {
				log.Error(err, "the API server did not say who may read this")
			}
			if status != http.StatusOK {
				http.Error(w, http.StatusText(status), status)
				return
			}
			next.ServeHTTP(w, r)
		}), nil
	}, nil
}

// status is what a request is answered with.
func (g *guard) status(r *http.Request) (int, error) {
	token, given := strings.CutPrefix(r.Header.Get("Authorization"), bearer)
	if !given || token == "" {
		return unknown, nil
	}
	q := question{token: sha256.Sum256([]byte(token)), verb: strings.ToLower(r.Method), path: r.URL.Path}
	if answer, ok := g.answers.Get(q); ok {
		return answer.(int), nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	status, err := g.ask(ctx, token, q)
	switch {
	case err != nil:
		return http.StatusInternalServerError, err
	case status == http.StatusOK:
		g.answers.Add(q, status, allowFor)
	default:
		g.answers.Add(q, status, denyFor)
	}
	return status, nil
}

// ask asks who the caller is, and whether that one may.
func (g *guard) ask(ctx context.Context, token string, q question) (int, error) {
	caller, err := g.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
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
	review, err := g.rights.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: q.path, Verb: q.verb},
	}}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return 0, err
	case review.Status.Allowed && !review.Status.Denied:
		return http.StatusOK, nil
	}
	return forbidden, nil
}
