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

// before returns what a measurement starts from: the requests until now, and an observer.
func (env *environment) before(ctx context.Context) (requests, *observer, error) {
	env.sts.ForgetCalls()
	asked, err := env.requestCounts(ctx)
	if err != nil {
		return nil, nil, err
	}
	watching, err := env.observe(ctx)
	return asked, watching, err
}

// since returns the requests since then, without those of the benchmark.
func (env *environment) since(ctx context.Context, before requests) (requests, error) {
	asked, err := env.requestCounts(ctx)
	return asked.minus(before), err
}

// assumeRoleCalls counts the calls of AssumeRole since calls were last forgotten.
func (env *environment) assumeRoleCalls() (n int) {
	for _, c := range env.sts.Calls() {
		if c.Action == "AssumeRole" {
			n++
		}
	}
	return n
}

// waiting starts the manager when n credentials exist, and measures from its first call to STS to the last Ready, like the baseline.
func (env *environment) waiting(ctx context.Context, n int) (r issuance, err error) {
	if err := env.each(ctx, n, func(ctx context.Context, i int) error {
		_, err := env.create(ctx, i)
		return err
	}); err != nil {
		return r, err
	}
	before, watching, err := env.before(ctx)
	if err != nil {
		return r, err
	}
	defer watching.stop()
	quiet, err := env.load()
	if err != nil {
		return r, err
	}
	if err := env.startManager(ctx); err != nil {
		return r, err
	}
	if r, err = env.measureIssuance(ctx, n, before, watching, usage{}, quiet); err != nil {
		return r, err
	}
	for _, c := range env.sts.Calls() {
		if c.Action == "AssumeRole" {
			r.Took = r.end.Sub(c.Time)
			break
		}
	}
	return r, nil
}

// created starts the manager, creates n credentials, and measures from the first create to the last Ready.
func (env *environment) created(ctx context.Context, n int) (r issuance, err error) {
	before, watching, err := env.before(ctx)
	if err != nil {
		return r, err
	}
	defer watching.stop()
	if err := env.startManager(ctx); err != nil {
		return r, err
	}
	_, idle, err := env.manager.rest(ctx)
	if err != nil {
		return r, err
	}
	quiet, err := env.load()
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := env.each(ctx, n, func(ctx context.Context, i int) error {
		_, err := env.create(ctx, i)
		return err
	}); err != nil {
		return r, err
	}
	if r, err = env.measureIssuance(ctx, n, before, watching, idle, quiet); err != nil {
		return r, err
	}
	r.Took, r.IdleRSS = r.end.Sub(start), idle.RSS
	return r, nil
}

// measureIssuance waits until n credentials are ready and the manager is idle. idle and quiet are the usage before.
func (env *environment) measureIssuance(ctx context.Context, n int, before requests, watching *observer, idle usage, quiet load) (r issuance, err error) {
	profiled := env.profile(ctx, fmt.Sprint("issue-", n))
	if r.end, err = watching.allReady(ctx, n); err != nil {
		return r, err
	}
	if r.Load, err = env.load(); err != nil {
		return r, err
	}
	r.Load = r.Load.minus(quiet)
	_, used, err := env.manager.rest(ctx)
	if err != nil {
		return r, err
	}
	if err := profiled(); err != nil {
		return r, err
	}
	r.CPU, r.RSS, r.Peak = used.CPU-idle.CPU, used.RSS, used.Peak
	r.STSCalls = env.assumeRoleCalls()
	if r.Requests, err = env.since(ctx, before); err != nil {
		return r, err
	}
	return r, env.checkSecrets(ctx, n)
}

// checkSecrets requires n complete Secrets of the operator.
func (env *environment) checkSecrets(ctx context.Context, n int) error {
	list, err := env.raw.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=sts-credential-operator"})
	if err != nil {
		return err
	}
	for _, one := range list.Items {
		if len(one.Data) != 3 || len(one.Data["ALIBABA_CLOUD_SECURITY_TOKEN"]) == 0 {
			return fmt.Errorf("the Secret %s is incomplete", one.Name)
		}
	}
	if len(list.Items) != n {
		return fmt.Errorf("there are %d Secrets, not %d", len(list.Items), n)
	}
	return nil
}

// restarted stops the manager, starts another, and measures until that one has reconciled all n credentials.
func (env *environment) restarted(ctx context.Context, n int) (r restart, err error) {
	env.log("%d credentials: restart", n)
	if err := env.stopManager(); err != nil {
		return r, err
	}
	env.sts.ForgetCalls()
	before, err := env.requestCounts(ctx)
	if err != nil {
		return r, err
	}
	if err := env.startManager(ctx); err != nil {
		return r, err
	}
	profiled := env.profile(ctx, fmt.Sprint("restart-", n))
	since, used, err := env.manager.rest(ctx)
	if err != nil {
		return r, err
	}
	if err := errors.Join(profiled(), env.manager.reconciled(ctx, n)); err != nil {
		return r, err
	}
	r.Took, r.CPU, r.RSS, r.Peak = since.Sub(env.manager.started), used.CPU, used.RSS, used.Peak
	r.STSCalls = env.assumeRoleCalls()
	r.Requests, err = env.since(ctx, before)
	return r, err
}

// crowded creates Secrets of other owners, and repeats the measurements.
func (env *environment) crowded(ctx context.Context, n int) (r sized, err error) {
	env.log("%d Secrets of other owners", env.unrelated)
	if err := errors.Join(env.stopManager(), env.clear(ctx)); err != nil {
		return r, err
	}
	content := []byte(strings.Repeat("x", env.unrelatedSize))
	if err := env.each(ctx, env.unrelated, func(ctx context.Context, i int) error {
		other := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: others, Name: fmt.Sprintf("other-%05d", i), Labels: map[string]string{"app": "other"}},
			Data:       map[string][]byte{"content": content},
		}
		_, err := env.raw.CoreV1().Secrets(others).Create(ctx, other, metav1.CreateOptions{})
		return err
	}); err != nil {
		return r, err
	}
	r.N = n
	if r.Created, err = env.created(ctx, n); err != nil {
		return r, err
	}
	r.Restart, err = env.restarted(ctx, n)
	return r, err
}
