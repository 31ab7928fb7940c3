// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiserver is what the controllers share for talking to the API server: reads past the cache, whose memory is
// bounded, and descriptions of errors that quote no secret.
package apiserver

import (
	"context"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An object that is read past the cache takes memory in proportion to its size, which its owner chooses: up to about 1.5 MB.
// So uncachedSeats bounds how many such reads go on in parallel. A workload is decoded into maps, which take several times
// the memory of a typed object, and counts as unstructuredSeats.
const (
	uncachedSeats     = 8
	unstructuredSeats = 4
)

// uncachedReader bounds the parallel Gets of a reader. It is safe for concurrent use.
type uncachedReader struct {
	client.Reader
	seats *semaphore.Weighted
}

// BoundReads returns a reader that gets at most 8 typed objects or 2 unstructured ones at the same time. A Get waits for the
// others; it returns the error of its context if that ends first.
func BoundReads(reader client.Reader) client.Reader {
	return &uncachedReader{Reader: reader, seats: semaphore.NewWeighted(uncachedSeats)}
}

// Get implements client.Reader.
func (u *uncachedReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	seats := int64(1)
	if _, ok := object.(runtime.Unstructured); ok {
		seats = unstructuredSeats
	}
	if err := u.seats.Acquire(ctx, seats); err != nil {
		return err
	}
	defer u.seats.Release(seats)
	return u.Reader.Get(ctx, key, object, options...)
}
