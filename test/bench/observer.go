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

// observer watches StsCredentials as any client may, and believes nothing but what they tell.
type observer struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // why the watch ended; to be read after done

	mu       sync.Mutex
	changed  chan struct{} // closed at each change
	last     map[string]told
	ready    int
	when     time.Time // of the last that became ready
	late     []time.Duration
	expired  time.Duration // time that credentials were seen past their expiry, before they were replaced
	renewals int
}

// told is what a StsCredential tells of what its Secret holds.
type told struct {
	ready     bool
	requestID string
	due       time.Time
	expires   time.Time
}

// event is the part of a watch event that is looked at. All of it is skipped through, little is kept: an observer should
// not weigh on what it observes.
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

// observe watches from now on.
func (s *site) observe(ctx context.Context) (*observer, error) {
	ctx, cancel := context.WithCancel(ctx)
	watch := func(version string) (io.ReadCloser, error) {
		return s.raw.RESTClient().Get().
			AbsPath("/apis", v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version, "namespaces", namespace, "stscredentials").
			Param("watch", "true").Param("resourceVersion", version).Stream(ctx)
	}
	stream, err := watch("")
	if err != nil {
		cancel()
		return nil, err
	}
	o := &observer{cancel: cancel, done: make(chan struct{}), changed: make(chan struct{}), last: map[string]told{}}
	go o.follow(stream, watch)
	return o, nil
}

// follow takes in what the stream tells. The API server ends a watch that it finds too slow: another goes on from there,
// for as long as the API server lets it.
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

// read takes in events until the watch ends, and returns the version to go on from. It fails where one cannot go on.
func (o *observer) read(stream io.Reader, version string) (string, error) {
	decoder := json.NewDecoder(bufio.NewReaderSize(stream, 1<<16))
	for e := (event{}); decoder.Decode(&e) == nil; e = (event{}) {
		if e.Type == "ERROR" {
			return version, fmt.Errorf("the API server does not let the watch go on from version %s", version)
		}
		o.see(e, time.Now())
		version = e.Object.Metadata.ResourceVersion
	}
	return version, nil
}

// stop ends the watch.
func (o *observer) stop() {
	o.cancel()
	<-o.done
}

// see takes in one event.
func (o *observer) see(e event, now time.Time) {
	is := told{requestID: e.Object.Status.RequestID, expires: e.Object.Status.ExpiresAt}
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

// due is when the operator means to renew, by the rule of internal/renewal and to the part of a second that status.renewAt
// leaves out.
func due(e event) time.Time {
	status := e.Object.Status
	return renewal.Decide(status.IssuedAt, renewal.Facts{
		Duration: v1alpha1.DefaultDuration, Seed: e.Object.Metadata.UID,
		Record: &credentials.Record{IssuedAt: status.IssuedAt, ExpiresAt: status.ExpiresAt, RequestID: status.RequestID},
	}).RenewAt
}

// allReady waits until n credentials are ready, and tells when the last became so.
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

// forget what was seen of renewals so far.
func (o *observer) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.late, o.expired, o.renewals = nil, 0, 0
}

// seen of renewals since forget; what is past its expiry now counts as expired until now.
func (o *observer) seen(now time.Time) (late []time.Duration, renewals int, expired time.Duration) {
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
