// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

// observer watches StsCredentials as any client can. It uses nothing but their status.
type observer struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // why the watch ended; to be read after done

	mu       sync.Mutex
	changed  chan struct{} // closed at each change
	last     map[string]state
	ready    int
	when     time.Time // of the last that became ready
	late     []time.Duration
	expired  time.Duration // how long credentials were expired before they were replaced
	renewals int
}

// state is what the status of an StsCredential says of its Secret.
type state struct {
	ready     bool
	requestID string
	due       time.Time
	expires   time.Time
}

// event is the part of a watch event that is decoded. It is small, so that the observer takes little CPU time from the operator.
type event struct {
	Type   string
	Object struct {
		Metadata struct{ Name, UID, ResourceVersion string }
		Status   struct {
			Conditions          []struct{ Type, Status string }
			IssuedAt, ExpiresAt time.Time
			RequestID           string
		}
	}
}

// observe starts a watch.
func (env *environment) observe(ctx context.Context) (*observer, error) {
	ctx, cancel := context.WithCancel(ctx)
	watch := func(version string) (io.ReadCloser, error) {
		return env.raw.RESTClient().Get().
			AbsPath("/apis", v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version, "namespaces", namespace, "stscredentials").
			Param("watch", "true").Param("resourceVersion", version).Stream(ctx)
	}
	stream, err := watch("")
	if err != nil {
		cancel()
		return nil, err
	}
	o := &observer{cancel: cancel, done: make(chan struct{}), changed: make(chan struct{}), last: map[string]state{}}
	go o.follow(stream, watch)
	return o, nil
}

// follow records the events of the stream. The API server ends a watch that is too slow. Another then continues at the same version,
// as long as the API server has it.
func (o *observer) follow(stream io.ReadCloser, watch func(version string) (io.ReadCloser, error)) {
	defer close(o.done)
	version := ""
	for o.err == nil {
		version, o.err = o.read(stream, version)
		_ = stream.Close()
		if o.err == nil {
			stream, o.err = watch(version)
		}
	}
}

// read records events until the watch ends, and returns the version to continue from. It fails if no watch can continue from there.
func (o *observer) read(stream io.Reader, version string) (string, error) {
	decoder := json.NewDecoder(bufio.NewReaderSize(stream, 1<<16))
	for e := (event{}); decoder.Decode(&e) == nil; e = (event{}) {
		if e.Type == "ERROR" {
			return version, fmt.Errorf("the API server cannot continue the watch from version %s", version)
		}
		o.record(e, time.Now())
		version = e.Object.Metadata.ResourceVersion
	}
	return version, nil
}

// stop ends the watch.
func (o *observer) stop() {
	o.cancel()
	<-o.done
}

// record records one event.
func (o *observer) record(e event, now time.Time) {
	is := state{requestID: e.Object.Status.RequestID, expires: e.Object.Status.ExpiresAt}
	for _, c := range e.Object.Status.Conditions {
		is.ready = is.ready || c.Type == v1alpha1.ConditionReady && c.Status == "True"
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	name, was := e.Object.Metadata.Name, o.last[e.Object.Metadata.Name]
	if is.ready && is.requestID != was.requestID {
		is.due = due(e)
		if was.ready {
			o.renewals++
			o.late = append(o.late, now.Sub(was.due))
			o.expired += max(0, now.Sub(was.expires))
		}
	} else {
		is.due = was.due
	}
	o.last[name] = is
	if is.ready && !was.ready {
		o.ready++
		o.when = now
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

// due is when the operator renews, as internal/renewal decides. Unlike status.renewAt, it has fractions of a second.
func due(e event) time.Time {
	status := e.Object.Status
	return renewal.Decide(status.IssuedAt, renewal.Facts{
		Duration: v1alpha1.DefaultDuration, Seed: e.Object.Metadata.UID,
		Record: &credentials.Record{IssuedAt: status.IssuedAt, ExpiresAt: status.ExpiresAt, RequestID: status.RequestID},
	}).RenewAt
}

// allReady waits until n credentials are ready, and returns when the last one became ready.
func (o *observer) allReady(ctx context.Context, n int) (time.Time, error) {
	for {
		o.mu.Lock()
		ready, when, changed := o.ready, o.when, o.changed
		o.mu.Unlock()
		if ready >= n {
			return when, nil
		}
		select {
		case <-changed:
		case <-o.done:
			return when, fmt.Errorf("the watch ended with %d of %d credentials ready: %w", ready, n, o.err)
		case <-ctx.Done():
			return when, fmt.Errorf("%d of %d credentials are ready: %w", ready, n, context.Cause(ctx))
		}
	}
}

// forget removes the renewals recorded until now.
func (o *observer) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.late, o.expired, o.renewals = nil, 0, 0
}

// observed returns the renewals since forget. Credentials that are expired count as expired until now.
func (o *observer) observed(now time.Time) (late []time.Duration, renewals int, expired time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	expired = o.expired
	for _, t := range o.last {
		if t.ready {
			expired += max(0, now.Sub(t.expires))
		}
	}
	return o.late, o.renewals, expired
}
