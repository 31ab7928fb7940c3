// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package paging

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// server serves lists of Secrets of these sizes in bytes, as an API server does.
type server struct {
	*testing.T
	sizes     []int
	limits    []int        // of the requests
	untouched atomic.Int64 // Secrets that were sent and not transformed yet
	most      int64
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if version := query.Get("resourceVersion"); version != "" {
		s.Errorf("the list has resourceVersion %q, with which the limit is ignored", version)
	}
	limit, _ := strconv.Atoi(query.Get("limit"))
	from, _ := strconv.Atoi(query.Get("continue"))
	s.limits = append(s.limits, limit)
	list := corev1.SecretList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "SecretList"}, ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
	for i, size := range s.sizes[from:min(from+limit, len(s.sizes))] {
		list.Items = append(list.Items, corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(from + i)}, Data: map[string][]byte{"x": make([]byte, size*3/4)},
		})
	}
	if next := from + limit; next < len(s.sizes) {
		list.Continue = strconv.Itoa(next)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// listed returns the names that a Lister returns, and those that its transform gets.
func (s *server) listed(wrap func(http.RoundTripper) http.RoundTripper) []string {
	s.Helper()
	backend := httptest.NewServer(s)
	defer backend.Close()
	config := &rest.Config{Host: backend.URL, QPS: -1}
	if wrap != nil {
		config.Wrap(wrap)
	}
	secrets := kubernetes.NewForConfigOrDie(config).CoreV1().Secrets("")
	lister := NewLister(func(object any) (any, error) {
		secret := object.(*corev1.Secret)
		secret.Data, secret.Labels = nil, map[string]string{"transformed": "true"}
		s.untouched.Add(-1)
		return secret, nil
	})
	wrapped := lister.Wrap(&cache.ListWatch{ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		if left := s.untouched.Load(); left != 0 {
			s.Errorf("%d Secrets of the page before are not transformed when the next is fetched", left)
		}
		list, err := secrets.List(ctx, options)
		s.untouched.Store(0)
		if err == nil && !ctx.Value(bodyKey{}).(*body).tooLong {
			s.untouched.Store(int64(len(list.Items)))
		}
		s.most = max(s.most, s.untouched.Load())
		return list, err
	}})
	list, err := cache.ToListerWatcherWithContext(wrapped).ListWithContext(s.Context(), metav1.ListOptions{ResourceVersion: "0", Limit: 500})
	if err != nil {
		s.Fatal(err)
	}
	all := list.(*corev1.SecretList)
	if all.ResourceVersion != "7" || all.Continue != "" {
		s.Errorf("resourceVersion %q, continue %q", all.ResourceVersion, all.Continue)
	}
	var names []string
	for _, secret := range all.Items {
		names = append(names, secret.Name)
		if secret.Data != nil || secret.Labels["transformed"] == "" {
			s.Errorf("Secret %s is not transformed", secret.Name)
		}
	}
	return names
}

func repeat(n, size int) []int { return slices.Repeat([]int{size}, n) }

// Each page is transformed before the next is fetched, and each object is listed once, in order.
func TestPages(t *testing.T) {
	for _, tt := range []struct {
		name     string
		sizes    []int
		most     int64 // Secrets in a page
		requests int   // at most
	}{
		{"no objects", nil, 0, 1},
		{"small ones", repeat(10_000, 100), 500, 25},
		{"large ones", repeat(40, 1<<20), 4, 18},
		{"medium ones", repeat(400, 20<<10), 240, 6},
		{"large ones behind small ones", slices.Concat(repeat(2_000, 100), repeat(30, 1<<20)), 500, 30},
		{"small ones behind large ones", slices.Concat(repeat(10, 1<<20), repeat(5_000, 100)), 500, 30},
		{"large ones between small ones", slices.Repeat(slices.Concat(repeat(60, 100), repeat(3, 1<<20)), 5), 500, 80},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{T: t, sizes: tt.sizes}
			names := s.listed(RoundTripper)
			for i, name := range names {
				if name != strconv.Itoa(i) {
					t.Fatalf("object %d is %s", i, name)
				}
			}
			if len(names) != len(tt.sizes) || s.most > tt.most || len(s.limits) > tt.requests {
				t.Errorf("%d objects by %d requests, at most %d at once; want %d by at most %d, at most %d at once; limits %v",
					len(names), len(s.limits), s.most, len(tt.sizes), tt.requests, tt.most, s.limits)
			}
		})
	}
}

// countingBody counts the bytes that are read of responses.
type countingBody struct {
	next http.RoundTripper
	most *int
}

func (c countingBody) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	if err == nil {
		response.Body = &readCounter{readCloser: response.Body, most: c.most}
	}
	return response, err
}

type readCounter struct {
	readCloser
	n    int
	most *int
}

type readCloser = interface {
	Read(p []byte) (int, error)
	Close() error
}

func (r *readCounter) Read(p []byte) (int, error) {
	n, err := r.readCloser.Read(p)
	r.n += n
	*r.most = max(*r.most, r.n)
	return n, err
}

// Of a page that is too large, no more than the maximum is read.
func TestPagesAreBounded(t *testing.T) {
	most := 0
	s := &server{T: t, sizes: slices.Concat(repeat(3_000, 100), repeat(30, 1<<20))}
	s.listed(func(next http.RoundTripper) http.RoundTripper { return RoundTripper(countingBody{next, &most}) })
	if bound := maxPageBytes + 4<<10; most > bound {
		t.Errorf("%d bytes of a response were read, want at most %d", most, bound)
	}
}

// Without the RoundTripper, lists have pages, too.
func TestPagesWithoutRoundTripper(t *testing.T) {
	s := &server{T: t, sizes: repeat(1_200, 100)}
	if names := s.listed(nil); len(names) != 1_200 || s.most > maxPage {
		t.Errorf("%d objects, at most %d at once", len(names), s.most)
	}
}

// A page that fails makes the list fail; the informer then lists again.
func TestPageThatFails(t *testing.T) {
	calls := 0
	lister := NewLister(func(object any) (any, error) { return object, nil })
	lw := lister.Wrap(&cache.ListWatch{ListWithContextFunc: func(_ context.Context, options metav1.ListOptions) (runtime.Object, error) {
		if calls++; calls > 1 {
			return nil, apierrors.NewResourceExpired("the continue token is too old")
		}
		return &corev1.SecretList{ListMeta: metav1.ListMeta{Continue: "x"}, Items: make([]corev1.Secret, options.Limit)}, nil
	}})
	list, err := cache.ToListerWatcherWithContext(lw).ListWithContext(t.Context(), metav1.ListOptions{})
	if list != nil || !apierrors.IsResourceExpired(err) || calls != 2 {
		t.Errorf("%v, %v after %d calls", list, err, calls)
	}
}

// A transform can replace an object, as that of pods does.
func TestTransformThatReplaces(t *testing.T) {
	lister := NewLister(func(object any) (any, error) {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: strings.ToUpper(object.(*corev1.Pod).Name)}}, nil
	})
	lw := lister.Wrap(&cache.ListWatch{ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
		return &corev1.PodList{Items: []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: corev1.PodSpec{NodeName: "n"}}}}, nil
	}})
	list, err := cache.ToListerWatcherWithContext(lw).ListWithContext(t.Context(), metav1.ListOptions{})
	if pods := list.(*corev1.PodList).Items; err != nil || len(pods) != 1 || pods[0].Name != "A" || pods[0].Spec.NodeName != "" {
		t.Errorf("%v, %v", pods, err)
	}
}
