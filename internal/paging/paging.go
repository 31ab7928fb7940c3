// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package paging lists objects in pages, so that memory does not grow with the number and size of the objects. An API server
// answers an informer's list with all objects at once: at 1 MB each, a few hundred exceed the operator's memory.
package paging

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

const (
	// maxPageBytes is the maximum size of a page of more than one object.
	maxPageBytes = 8 << 20
	// firstPage and maxPage are the number of objects in the first page, and its maximum.
	firstPage, maxPage = 50, 500
	// pageTimeout is the timeout of a request; meanwhile, no other page is requested.
	pageTimeout = time.Minute
)

// Lister makes ListerWatchers that list in pages. All of them together request one page at a time.
type Lister struct {
	transform cache.TransformFunc
	mu        sync.Mutex
}

// NewLister returns a Lister that applies a transform to each object before it requests the next page.
func NewLister(transform cache.TransformFunc) *Lister { return &Lister{transform: transform} }

// Wrap returns a ListerWatcher that lists the current objects in pages, and watches as before. The number of objects in a page
// depends on their size. The size is bounded if requests go through RoundTripper.
func (l *Lister) Wrap(lw cache.ListerWatcher) cache.ListerWatcher {
	all := cache.ToListerWatcherWithContext(lw)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return l.list(ctx, all, options)
		},
		WatchFuncWithContext: all.WatchWithContext,
	}
}

// list returns all pages in one list, transformed.
func (l *Lister) list(ctx context.Context, lw cache.ListerWithContext, options metav1.ListOptions) (runtime.Object, error) {
	options.ResourceVersion, options.ResourceVersionMatch = "", "" // with any other, the API server ignores the limit
	options.Limit, options.Continue = firstPage, ""
	var items []runtime.Object
	for {
		list, page, next, err := l.page(ctx, lw, options)
		if err != nil {
			return nil, err
		}
		options.Limit = next
		if list == nil {
			continue // the same page again, smaller
		}
		items = append(items, page...)
		accessor, err := meta.ListAccessor(list)
		if err != nil {
			return nil, err
		}
		if options.Continue = accessor.GetContinue(); options.Continue == "" {
			accessor.SetRemainingItemCount(nil)
			return list, meta.SetList(list, items)
		}
	}
}

// page requests a page and returns it with its transformed objects. It returns no list if the page is too large. next is the
// limit for the next request.
func (l *Lister) page(ctx context.Context, lw cache.ListerWithContext, options metav1.ListOptions) (list runtime.Object, items []runtime.Object, next int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, pageTimeout) // other lists wait
	defer cancel()
	body := &body{limit: maxPageBytes}
	if options.Limit == 1 {
		body.limit = 0
	}
	list, err = lw.ListWithContext(context.WithValue(ctx, bodyKey{}, body), options)
	if body.tooLong {
		return nil, nil, max(1, options.Limit/4), nil
	}
	if err != nil {
		return nil, nil, 0, err
	}
	items, err = meta.ExtractList(list)
	for i := range items {
		transformed, err := l.transform(items[i])
		if err != nil {
			return nil, nil, 0, err
		}
		object, ok := transformed.(runtime.Object)
		if !ok {
			return nil, nil, 0, fmt.Errorf("the transform returned %T, which is not an object", transformed)
		}
		items[i] = object
	}
	return list, items, nextLimit(options.Limit, int64(len(items)), body.read), err
}

// nextLimit returns the limit for the request after a page of that many objects and bytes: objects of the same average size
// fill half of a page, and the limit is at most four times the last one.
func nextLimit(limit, objects, bytes int64) int64 {
	next := 4 * limit
	if objects > 0 && bytes > 0 {
		next = min(next, objects*maxPageBytes/2/bytes)
	}
	return min(max(next, 1), maxPage)
}

type bodyKey struct{}

// body counts the bytes of a response. limit is their maximum; 0 for no limit.
type body struct {
	limit, read int64
	tooLong     bool
}

// RoundTripper limits the size of the responses to a Lister. Other responses are unchanged.
func RoundTripper(next http.RoundTripper) http.RoundTripper { return bounded{next} }

type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(request)
	if counted, ok := request.Context().Value(bodyKey{}).(*body); ok && err == nil {
		response.Body = &reader{response.Body, counted}
	}
	return response, err
}

// WrappedRoundTripper returns the wrapped RoundTripper: client-go finds the dialer of a connection through it.
func (b bounded) WrappedRoundTripper() http.RoundTripper { return b.next }

// reader counts the bytes of a response, and ends it if it is too large. An error would be logged by client-go.
type reader struct {
	io.ReadCloser
	counted *body
}

func (r *reader) Read(p []byte) (int, error) {
	if left := r.counted.limit + 1 - r.counted.read; r.counted.limit > 0 && int64(len(p)) > left {
		p = p[:max(left, 0)]
	}
	n, err := r.ReadCloser.Read(p)
	r.counted.read += int64(n)
	if r.counted.limit > 0 && r.counted.read > r.counted.limit {
		r.counted.tooLong = true
		return n, io.EOF
	}
	return n, err
}
