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

// dice are thrown by one goroutine each, so that a seed gives the same throws again.
func dice(seed, which uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, which)) //nolint:gosec // faults are to be had again by their seed
}

// create makes a StsCredential, having told the observer.
func (s *site) create(ctx context.Context, namespace, name, role string, formats ...v1alpha1.SecretFormat) error {
	key := namespace + "/" + name
	s.observer.Wished(key)
	s.observer.Asks(key, role)
	s.observer.Keeps(time.Now(), key, true)
	return s.api.Create(ctx, &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: role, Secret: v1alpha1.SecretSpec{Formats: formats}},
	})
}

// furnish makes so many StsCredentials in a namespace, of different roles and formats.
func (s *site) furnish(ctx context.Context, namespace string, n int) error {
	all := []v1alpha1.SecretFormat{v1alpha1.FormatSDK, v1alpha1.FormatTablestore, v1alpha1.FormatOSS, v1alpha1.FormatTerraform, v1alpha1.FormatPlain, v1alpha1.FormatExternal}
	for i := range n {
		var formats []v1alpha1.SecretFormat
		if i%4 == 0 {
			formats = all
		}
		if err := s.create(ctx, namespace, fmt.Sprintf("c%03d", i), roles[i%len(roles)], formats...); err != nil {
			return err
		}
	}
	return nil
}

// patch merges into a StsCredential. It may fail: the API server may be gone.
func (s *site) patch(ctx context.Context, namespace, name string, merge map[string]any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	raw, err := json.Marshal(merge)
	if err != nil {
		return err
	}
	c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return s.api.Patch(ctx, c, client.RawPatch(types.MergePatchType, raw))
}

var renewals atomic.Int64

// renew asks for a renewal.
func (s *site) renew(ctx context.Context, namespace, name string) error {
	s.observer.Wished(namespace + "/" + name)
	return s.patch(ctx, namespace, name, map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		v1alpha1.AnnotationRenewRequestedAt: strconv.FormatInt(renewals.Add(1), 10),
	}}})
}

// stir asks for renewals of random credentials of the calm namespace, so many a second, until stopped.
func (s *site) stir(ctx context.Context, throws *rand.Rand, n int, perSecond float64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			_ = s.renew(ctx, calmNamespace, fmt.Sprintf("c%03d", throws.IntN(n)))
			pause(ctx, time.Duration(float64(time.Second)/perSecond))
		}
	})
	return func() { cancel(); done.Wait() }
}

// meddle edits or deletes the Secret of a credential.
func (s *site) meddle(ctx context.Context, throws *rand.Rand, namespace, name string) error {
	s.observer.Wished(namespace + "/" + name)
	target := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	keys := []string{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"}
	var merge map[string]any
	switch throws.IntN(4) {
	case 0:
		return s.api.Delete(ctx, target)
	case 1:
		merge = map[string]any{"metadata": map[string]any{"annotations": map[string]any{"sts.alibabacloud.com/expires-at": observer.Forever}}}
	case 2:
		merge = map[string]any{"metadata": map[string]any{"annotations": map[string]any{"sts.alibabacloud.com/access-key-id": observer.Meddled + "id"}}}
	default:
		merge = map[string]any{"data": map[string]any{keys[throws.IntN(len(keys))]: []byte(observer.Meddled + "value")}}
	}
	raw, err := json.Marshal(merge)
	if err != nil {
		return err
	}
	return s.api.Patch(ctx, target, client.RawPatch(types.MergePatchType, raw))
}

// churn creates, changes and deletes StsCredentials, one operation after the other, and counts those that the API server
// took. It ends when ctx does, or after so many.
type churn struct {
	*site
	throws *rand.Rand
	alive  []string
	made   int
	done   atomic.Int64
}

// mostAlive bounds how many StsCredentials there are at a time.
const mostAlive = 60

func (c *churn) run(ctx context.Context, operations int, perSecond float64) {
	for ctx.Err() == nil && c.done.Load() < int64(operations) {
		next := time.Now().Add(time.Duration(float64(time.Second) / perSecond))
		if err := c.operate(ctx); err == nil {
			c.done.Add(1)
		}
		pause(ctx, time.Until(next))
	}
}

// operate makes one operation.
func (c *churn) operate(ctx context.Context) error {
	throw := c.throws.IntN(10)
	switch {
	case len(c.alive) == 0, throw < 3 && len(c.alive) < mostAlive:
		return c.add(ctx)
	case throw < 5:
		return c.remove(ctx)
	default:
		return c.change(ctx, c.alive[c.throws.IntN(len(c.alive))])
	}
}

// add creates a StsCredential, now and then under the name of one that was deleted.
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
		return nil // a creation or a deletion whose answer was lost
	}
	return err
}

func (c *churn) remove(ctx context.Context) error {
	i := c.throws.IntN(len(c.alive))
	name := c.alive[i]
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c.observer.Keeps(time.Now(), churnNamespace+"/"+name, false)
	err := client.IgnoreNotFound(c.api.Delete(ctx, &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: churnNamespace, Name: name}}))
	if err == nil {
		c.alive = slices.Delete(c.alive, i, i+1)
	}
	return err
}

// change changes one thing of a spec, or asks for a renewal.
func (c *churn) change(ctx context.Context, name string) error {
	key := churnNamespace + "/" + name
	spec := func(field string, value any) error {
		return c.patch(ctx, churnNamespace, name, map[string]any{"spec": map[string]any{field: value}})
	}
	switch c.throws.IntN(6) {
	case 0:
		role := roles[c.throws.IntN(len(roles))]
		c.observer.Wished(key)
		c.observer.Asks(key, role)
		return spec("roleARN", role)
	case 1:
		c.observer.Wished(key)
		return spec("duration", []string{"15m", "30m", "1h"}[c.throws.IntN(3)])
	case 2:
		suspended := c.throws.IntN(2) == 0
		c.observer.Wished(key)
		if suspended {
			c.observer.Keeps(time.Now(), key, false)
			return spec("suspend", true)
		}
		err := spec("suspend", false)
		c.observer.Keeps(time.Now(), key, err == nil)
		return err
	case 3:
		c.observer.Wished(key)
		return spec("secret", map[string]any{"formats": [][]string{{"SDK"}, {"SDK", "OSS"}, {"Plain", "External"}}[c.throws.IntN(3)]})
	case 4:
		return spec("secret", map[string]any{"labels": map[string]any{"colour": []string{"red", "green"}[c.throws.IntN(2)]}})
	}
	return c.renew(ctx, churnNamespace, name)
}

// drain deletes what is left.
func (c *churn) drain(ctx context.Context) error {
	var all v1alpha1.StsCredentialList
	if err := c.api.List(ctx, &all, client.InNamespace(churnNamespace)); err != nil {
		return err
	}
	for i := range all.Items {
		c.observer.Keeps(time.Now(), churnNamespace+"/"+all.Items[i].Name, false)
		if err := client.IgnoreNotFound(c.api.Delete(ctx, &all.Items[i])); err != nil {
			return err
		}
	}
	return nil
}
