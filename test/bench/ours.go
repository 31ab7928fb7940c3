// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// before is what stands before a measurement: the requests so far, and an observer.
func (s *site) before(ctx context.Context) (requests, *observer, error) {
	s.sts.ForgetCalls()
	asked, err := s.asked(ctx)
	if err != nil {
		return nil, nil, err
	}
	watching, err := s.observe(ctx)
	return asked, watching, err
}

// since are the requests since then that are not the bench's own.
func (s *site) since(ctx context.Context, before requests) (requests, error) {
	asked, err := s.asked(ctx)
	return asked.minus(before), err
}

// assumed are the calls of AssumeRole since they were forgotten.
func (s *site) assumed() (n int) {
	for _, c := range s.sts.Calls() {
		if c.Action == "AssumeRole" {
			n++
		}
	}
	return n
}

// waiting starts the manager where n credentials wait for it, and measures from its first call to STS to the last Ready: as
// the floor does where they exist.
func (s *site) waiting(ctx context.Context, n int) (r issue, err error) {
	if err := s.each(ctx, n, func(ctx context.Context, i int) error {
		_, err := s.create(ctx, i)
		return err
	}); err != nil {
		return r, err
	}
	before, watching, err := s.before(ctx)
	if err != nil {
		return r, err
	}
	defer watching.stop()
	quiet, err := s.load()
	if err != nil {
		return r, err
	}
	if err := s.startManager(ctx); err != nil {
		return r, err
	}
	if r, err = s.issued(ctx, n, before, watching, usage{}, quiet); err != nil {
		return r, err
	}
	for _, c := range s.sts.Calls() {
		if c.Action == "AssumeRole" {
			r.Took = r.end.Sub(c.Time)
			break
		}
	}
	return r, nil
}

// created starts the manager, creates n credentials, and measures from the first create to the last Ready.
func (s *site) created(ctx context.Context, n int) (r issue, err error) {
	before, watching, err := s.before(ctx)
	if err != nil {
		return r, err
	}
	defer watching.stop()
	if err := s.startManager(ctx); err != nil {
		return r, err
	}
	_, idle, err := s.manager.rest(ctx)
	if err != nil {
		return r, err
	}
	quiet, err := s.load()
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := s.each(ctx, n, func(ctx context.Context, i int) error {
		_, err := s.create(ctx, i)
		return err
	}); err != nil {
		return r, err
	}
	if r, err = s.issued(ctx, n, before, watching, idle, quiet); err != nil {
		return r, err
	}
	r.Took, r.IdleRSS = r.end.Sub(start), idle.RSS
	return r, nil
}

// issued waits until n credentials are ready and the manager has come to rest. idle and quiet are what was used before.
func (s *site) issued(ctx context.Context, n int, before requests, watching *observer, idle usage, quiet load) (r issue, err error) {
	profiled := s.profile(ctx, fmt.Sprint("issue-", n))
	if r.end, err = watching.allReady(ctx, n); err != nil {
		return r, err
	}
	if r.Load, err = s.load(); err != nil {
		return r, err
	}
	r.Load = r.Load.minus(quiet)
	_, used, err := s.manager.rest(ctx)
	if err != nil {
		return r, err
	}
	if err := profiled(); err != nil {
		return r, err
	}
	r.CPU, r.RSS, r.Peak = used.CPU-idle.CPU, used.RSS, used.Peak
	r.STSCalls = s.assumed()
	if r.Requests, err = s.since(ctx, before); err != nil {
		return r, err
	}
	return r, s.whole(ctx, n)
}

// whole insists that there are n Secrets of ours.
func (s *site) whole(ctx context.Context, n int) error {
	list, err := s.raw.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=sts-credential-operator"})
	if err != nil {
		return err
	}
	for _, one := range list.Items {
		if len(one.Data) != 3 || len(one.Data["ALIBABA_CLOUD_SECURITY_TOKEN"]) == 0 {
			return fmt.Errorf("the Secret %s is not whole", one.Name)
		}
	}
	if len(list.Items) != n {
		return fmt.Errorf("there are %d Secrets, not %d", len(list.Items), n)
	}
	return nil
}

// restarted ends the manager, starts another, and measures until that one has looked at all n credentials.
func (s *site) restarted(ctx context.Context, n int) (r restart, err error) {
	s.say("%d credentials: restart", n)
	if err := s.stopManager(); err != nil {
		return r, err
	}
	s.sts.ForgetCalls()
	before, err := s.asked(ctx)
	if err != nil {
		return r, err
	}
	if err := s.startManager(ctx); err != nil {
		return r, err
	}
	profiled := s.profile(ctx, fmt.Sprint("restart-", n))
	since, used, err := s.manager.rest(ctx)
	if err != nil {
		return r, err
	}
	if err := errors.Join(profiled(), s.manager.settled(ctx, n)); err != nil {
		return r, err
	}
	r.Took, r.CPU, r.RSS, r.Peak = since.Sub(s.manager.started), used.CPU, used.RSS, used.Peak
	r.STSCalls = s.assumed()
	r.Requests, err = s.since(ctx, before)
	return r, err
}

// crowded fills the cluster with Secrets of others, and measures the same again.
func (s *site) crowded(ctx context.Context, n int) (r sized, err error) {
	s.say("%d Secrets of others", s.unrelated)
	if err := errors.Join(s.stopManager(), s.clear(ctx)); err != nil {
		return r, err
	}
	content := []byte(strings.Repeat("x", s.unrelatedSize))
	if err := s.each(ctx, s.unrelated, func(ctx context.Context, i int) error {
		other := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: others, Name: fmt.Sprintf("other-%05d", i), Labels: map[string]string{"app": "other"}},
			Data:       map[string][]byte{"content": content},
		}
		_, err := s.raw.CoreV1().Secrets(others).Create(ctx, other, metav1.CreateOptions{})
		return err
	}); err != nil {
		return r, err
	}
	r.N = n
	if r.Created, err = s.created(ctx, n); err != nil {
		return r, err
	}
	r.Restart, err = s.restarted(ctx, n)
	return r, err
}
