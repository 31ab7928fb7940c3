// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/chaos/observer"
)

// dice returns random numbers for one goroutine, so that a seed gives the same numbers again.
func dice(seed, which uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, which)) //nolint:gosec // a seed must repeat the faults
}

// create creates an StsCredential, which the observer knows before.
func (env *environment) create(ctx context.Context, namespace, name, role string, formats ...v1alpha1.SecretFormat) error {
	key := namespace + "/" + name
	env.observer.Requested(key)
	env.observer.Requests(key, role)
	env.observer.SetKept(time.Now(), key, true)
	return env.api.Create(ctx, &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: role, Secret: v1alpha1.SecretSpec{Formats: formats}},
	})
}

// createAll creates n StsCredentials in a namespace, with different roles and formats.
func (env *environment) createAll(ctx context.Context, namespace string, n int) error {
	all := []v1alpha1.SecretFormat{v1alpha1.FormatSDK, v1alpha1.FormatTablestore, v1alpha1.FormatOSS, v1alpha1.FormatTerraform, v1alpha1.FormatPlain, v1alpha1.FormatExternal}
	for i := range n {
		var formats []v1alpha1.SecretFormat
		if i%4 == 0 {
			formats = all
		}
		if err := env.create(ctx, namespace, fmt.Sprintf("c%03d", i), roles[i%len(roles)], formats...); err != nil {
			return err
		}
	}
	return nil
}

// patch patches an StsCredential. It fails while the API server is not available.
func (env *environment) patch(ctx context.Context, namespace, name string, merge map[string]any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	raw, err := json.Marshal(merge)
	if err != nil {
		return err
	}
	c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return env.api.Patch(ctx, c, client.RawPatch(types.MergePatchType, raw))
}

var renewals atomic.Int64

// renew requests a renewal.
func (env *environment) renew(ctx context.Context, namespace, name string) error {
	env.observer.Requested(namespace + "/" + name)
	return env.patch(ctx, namespace, name, map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		v1alpha1.AnnotationRenewRequestedAt: strconv.FormatInt(renewals.Add(1), 10),
	}}})
}

// requestRenewals requests renewals of random credentials of the calm namespace until stopped.
func (env *environment) requestRenewals(ctx context.Context, throws *rand.Rand, n int, perSecond float64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			_ = env.renew(ctx, calmNamespace, fmt.Sprintf("c%03d", throws.IntN(n)))
			pause(ctx, time.Duration(float64(time.Second)/perSecond))
		}
	})
	return func() { cancel(); done.Wait() }
}

// editSecret edits or deletes the Secret of an StsCredential, as another client.
func (env *environment) editSecret(ctx context.Context, throws *rand.Rand, namespace, name string) error {
	env.observer.Requested(namespace + "/" + name)
	target := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	keys := []string{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"}
	var merge map[string]any
	switch throws.IntN(4) {
	case 0:
		return env.api.Delete(ctx, target)
	case 1:
		merge = map[string]any{"metadata": map[string]any{"annotations": map[string]any{"sts.alibabacloud.com/expires-at": observer.Forever}}}
	case 2:
		merge = map[string]any{"metadata": map[string]any{"annotations": map[string]any{"sts.alibabacloud.com/access-key-id": observer.Edited + "id"}}}
	default:
		merge = map[string]any{"data": map[string]any{keys[throws.IntN(len(keys))]: []byte(observer.Edited + "value")}}
	}
	raw, err := json.Marshal(merge)
	if err != nil {
		return err
	}
	return env.api.Patch(ctx, target, client.RawPatch(types.MergePatchType, raw))
}

// churn creates, changes and deletes StsCredentials, one operation after the other, and counts the successful operations.
type churn struct {
	*environment
	throws *rand.Rand
	alive  []string
	made   int
	done   atomic.Int64
}

// maxChurned is the maximum number of its StsCredentials at a time.
const maxChurned = 60

func (c *churn) run(ctx context.Context, operations int, perSecond float64) {
	for ctx.Err() == nil && c.done.Load() < int64(operations) {
		next := time.Now().Add(time.Duration(float64(time.Second) / perSecond))
		if err := c.operate(ctx); err == nil {
			c.done.Add(1)
		}
		pause(ctx, time.Until(next))
	}
}

// operate does one operation.
func (c *churn) operate(ctx context.Context) error {
	throw := c.throws.IntN(10)
	switch {
	case len(c.alive) == 0, throw < 3 && len(c.alive) < maxChurned:
		return c.add(ctx)
	case throw < 5:
		return c.remove(ctx)
	default:
		return c.change(ctx, c.alive[c.throws.IntN(len(c.alive))])
	}
}

// add creates an StsCredential, sometimes with the name of a deleted one.
func (c *churn) add(ctx context.Context) error {
	name := fmt.Sprintf("n%05d", c.made)
	if c.made > 0 && c.throws.IntN(4) == 0 {
		name = fmt.Sprintf("n%05d", c.throws.IntN(c.made))
	}
	if slices.Contains(c.alive, name) {
		return c.change(ctx, name)
	}
	c.made++
	c.alive = append(c.alive, name)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := c.create(ctx, churnNamespace, name, roles[c.throws.IntN(len(roles))])
	if apierrors.IsAlreadyExists(err) {
		return nil // the response of a creation or a deletion was lost
	}
	return err
}

func (c *churn) remove(ctx context.Context) error {
	i := c.throws.IntN(len(c.alive))
	name := c.alive[i]
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c.observer.SetKept(time.Now(), churnNamespace+"/"+name, false)
	err := client.IgnoreNotFound(c.api.Delete(ctx, &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: churnNamespace, Name: name}}))
	if err == nil {
		c.alive = slices.Delete(c.alive, i, i+1)
	}
	return err
}

// change changes one field of a spec, or requests a renewal.
func (c *churn) change(ctx context.Context, name string) error {
	key := churnNamespace + "/" + name
	spec := func(field string, value any) error {
		return c.patch(ctx, churnNamespace, name, map[string]any{"spec": map[string]any{field: value}})
	}
	switch c.throws.IntN(6) {
	case 0:
		role := roles[c.throws.IntN(len(roles))]
		c.observer.Requested(key)
		c.observer.Requests(key, role)
		return spec("roleARN", role)
	case 1:
		c.observer.Requested(key)
		return spec("duration", []string{"15m", "30m", "1h"}[c.throws.IntN(3)])
	case 2:
		suspended := c.throws.IntN(2) == 0
		c.observer.Requested(key)
		if suspended {
			c.observer.SetKept(time.Now(), key, false)
			return spec("suspend", true)
		}
		err := spec("suspend", false)
		c.observer.SetKept(time.Now(), key, err == nil)
		return err
	case 3:
		c.observer.Requested(key)
		return spec("secret", map[string]any{"formats": [][]string{{"SDK"}, {"SDK", "OSS"}, {"Plain", "External"}}[c.throws.IntN(3)]})
	case 4:
		return spec("secret", map[string]any{"labels": map[string]any{"colour": []string{"red", "green"}[c.throws.IntN(2)]}})
	}
	return c.renew(ctx, churnNamespace, name)
}

// drain deletes the remaining StsCredentials.
func (c *churn) drain(ctx context.Context) error {
	var all v1alpha1.StsCredentialList
	if err := c.api.List(ctx, &all, client.InNamespace(churnNamespace)); err != nil {
		return err
	}
	for i := range all.Items {
		c.observer.SetKept(time.Now(), churnNamespace+"/"+all.Items[i].Name, false)
		if err := client.IgnoreNotFound(c.api.Delete(ctx, &all.Items[i])); err != nil {
			return err
		}
	}
	return nil
}
