// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/paging"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

const (
	// maxCachedCredential is the bound in docs/security.md of an StsCredential in the operator's cache, in bytes.
	maxCachedCredential = 128 << 10
	// maxReconcile is the bound in docs/security.md of what a reconcile of an StsCredential allocates, without what the
	// answers of the API server take.
	maxReconcile = 2 << 20
)

// heldBytes is how many bytes of text an object holds, in all its fields.
func heldBytes(value reflect.Value) (n int) {
	switch value.Kind() {
	case reflect.String:
		return value.Len()
	case reflect.Pointer, reflect.Interface:
		if !value.IsNil() {
			return heldBytes(value.Elem())
		}
	case reflect.Struct:
		for i := range value.NumField() {
			n += heldBytes(value.Field(i))
		}
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return value.Len()
		}
		for i := range value.Len() {
			n += heldBytes(value.Index(i))
		}
	case reflect.Map:
		for entries := value.MapRange(); entries.Next(); {
			n += heldBytes(entries.Key()) + heldBytes(entries.Value())
		}
	default:
	}
	return n
}

// hugePolicy is as much of a policy as the API server takes, which was slow to decode.
func hugePolicy() *apiruntime.RawExtension {
	return &apiruntime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[1` + strings.Repeat(",1", 700_000) + `]}`)}
}

// largeCredentials are StsCredentials with as much of one kind as the API server takes, or once took.
func largeCredentials() map[string]func(*v1alpha1.StsCredential) {
	filled := func(n, length int, set func(key, value string)) {
		for i := range n {
			set(fmt.Sprintf("example.com/%050d", i), strings.Repeat("x", length))
		}
	}
	return map[string]func(*v1alpha1.StsCredential){
		"a policy": func(c *v1alpha1.StsCredential) { c.Spec.Policy = hugePolicy() },
		"labels": func(c *v1alpha1.StsCredential) {
			c.Labels = map[string]string{}
			filled(10_000, 60, func(k, v string) { c.Labels[k] = v })
		},
		"annotations": func(c *v1alpha1.StsCredential) {
			c.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: strings.Repeat("x", 100_000)}
			filled(10, 10_000, func(k, v string) { c.Annotations[k] = v })
		},
		"finalizers": func(c *v1alpha1.StsCredential) {
			c.Finalizers = []string{v1alpha1.FinalizerAdoptedSecret}
			filled(10_000, 0, func(k, _ string) { c.Finalizers = append(c.Finalizers, k) })
		},
		"owners": func(c *v1alpha1.StsCredential) {
			filled(10_000, 0, func(k, _ string) {
				c.OwnerReferences = append(c.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: k, UID: "1"})
			})
		},
		"managed fields": func(c *v1alpha1.StsCredential) {
			c.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x", FieldsV1: metav1.NewFieldsV1(strings.Repeat("x", 1<<20))}}
		},
		"conditions": func(c *v1alpha1.StsCredential) {
			for i := range 30 {
				c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{Type: fmt.Sprint("T", i), Message: strings.Repeat("x", 32<<10)})
			}
		},
		"labels and annotations of the Secret": func(c *v1alpha1.StsCredential) {
			c.Spec.Secret.Labels, c.Spec.Secret.Annotations = map[string]v1alpha1.LabelValue{}, map[string]v1alpha1.AnnotationValue{}
			filled(32, 1024, func(k, v string) {
				c.Spec.Secret.Labels[k], c.Spec.Secret.Annotations[k] = v1alpha1.LabelValue(v[:63]), v1alpha1.AnnotationValue(v)
			})
		},
	}
}

// What the cache keeps of an StsCredential does not grow with what people write into it.
func TestStrippedCredentialIsBounded(t *testing.T) {
	for name, change := range largeCredentials() {
		c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "1", ResourceVersion: "2", Generation: 3}}
		change(c)
		stripped, err := strip(c)
		if err != nil {
			t.Fatal(err)
		}
		if n := heldBytes(reflect.ValueOf(stripped)); n > maxCachedCredential {
			t.Errorf("%s: the cache holds %d bytes, want at most %d", name, n, maxCachedCredential)
		}
		once := c.DeepCopy()
		if twice, _ := strip(c); !reflect.DeepEqual(once, twice) {
			t.Errorf("%s: stripping twice changed it", name)
		}
	}
}

// Nor what it keeps of other objects.
func TestStrippedMetadataIsBounded(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	meta := metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"x": long}, Finalizers: []string{long},
		ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: metav1.NewFieldsV1(long)}}}
	grant := &v1alpha1.StsRoleGrant{ObjectMeta: *meta.DeepCopy(), Spec: v1alpha1.StsRoleGrantSpec{Policy: hugePolicy()}}
	for _, object := range []client.Object{&metav1.PartialObjectMetadata{ObjectMeta: *meta.DeepCopy()}, grant} {
		stripped, err := strip(object)
		if err != nil || heldBytes(reflect.ValueOf(stripped)) > 1024 || object.GetLabels()["team"] != "a" {
			t.Errorf("the cache holds %d bytes of a %T, labels %v; %v", heldBytes(reflect.ValueOf(stripped)), object, object.GetLabels(), err)
		}
	}
}

// storeUnbounded creates StsCredentials as they were stored before the schema bounded their policies.
func (env *environment) storeUnbounded(credentials ...*v1alpha1.StsCredential) {
	env.Helper()
	path := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties", "policy"}
	bounded := env.policySchema(path, map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true})
	for _, c := range credentials {
		env.Eventually("the schema takes a policy of any size", func(ctx context.Context) bool {
			created := c.DeepCopy()
			err := api.Create(ctx, created)
			if err == nil {
				*c = *created
			}
			return err == nil
		})
	}
	env.policySchema(path, bounded)
	env.Eventually("the schema is as it was", func(ctx context.Context) bool {
		again := env.NewCredential("again", func(again *v1alpha1.StsCredential) { again.Spec.Policy = hugePolicy() })
		return apierrors.IsInvalid(api.Create(ctx, again, client.DryRunAll))
	})
}

// policySchema replaces the schema of spec.policy in the CRD, and returns what it was.
func (env *environment) policySchema(path []string, schema map[string]any) map[string]any {
	env.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	env.Must(api.Get(env.Context(), client.ObjectKey{Name: "stscredentials.sts.alibabacloud.com"}, crd))
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	env.Must(err)
	version := versions[0].(map[string]any)
	was, _, err := unstructured.NestedMap(version, path...)
	env.Must(err)
	env.Must(unstructured.SetNestedMap(version, schema, path...))
	env.Must(unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"))
	env.Must(api.Update(env.Context(), crd))
	return was
}

// A suspended StsCredential, or one without a grant, with a policy of 1.4 MB is reconciled for next to nothing.
func TestReconcileOfAHugePolicyIsCheap(t *testing.T) {
	env := newEnvironment(t)
	huge := func(name string, change func(*v1alpha1.StsCredential)) *v1alpha1.StsCredential {
		c := env.NewCredential(name)
		c.Spec.Policy = hugePolicy()
		change(c)
		return c
	}
	all := []*v1alpha1.StsCredential{
		huge("suspended", func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true }),
		huge("not-granted", func(c *v1alpha1.StsCredential) { c.Spec.RoleARN += "-other" }),
		huge("granted", func(*v1alpha1.StsCredential) {}),
		huge("by-an-accesskey", withAccessKey("ram-user")),
	}
	env.storeUnbounded(all...)
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			w := *env
			w.T = t
			w.reconcile(c)
			w.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "the policy is 1400031 bytes long")
			w.reconcile(c)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w.reconcileStale(c)
			runtime.ReadMemStats(&after)
			if cost := after.TotalAlloc - before.TotalAlloc; cost > maxReconcile {
				t.Errorf("a reconcile allocates %d bytes, want at most %d", cost, maxReconcile)
			}
		})
	}
	env.WantCalls(0)
}

// The cache does not hold what others write to the metadata of an StsCredential, and no write takes it away.
func TestWritesKeepForeignMetadata(t *testing.T) {
	env := newEnvironment(t)
	env.Must(api.Create(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders",
		Annotations: map[string]string{v1alpha1.AnnotationAdopt: "orders"}}}))
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "x"}}
	env.Must(api.Create(env.Context(), owner))
	foreign := []string{"example.com/first", "example.com/second"}
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
		c.Labels, c.Annotations, c.Finalizers = map[string]string{"team": "a"}, map[string]string{"example.com/note": "b"}, slices.Clone(foreign)
		c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: owner.UID}}
		c.Spec.Policy = policyOf("*")
	})
	want := c.DeepCopy()
	env.reconcile(c)
	env.wantWorking("orders")
	same := func(when string, finalizers ...string) {
		t.Helper()
		if !slices.Equal(c.Finalizers, finalizers) || !reflect.DeepEqual(c.Labels, want.Labels) || !reflect.DeepEqual(c.Annotations, want.Annotations) ||
			!reflect.DeepEqual(c.OwnerReferences, want.OwnerReferences) || !reflect.DeepEqual(c.Spec, want.Spec) {
			t.Errorf("%s: metadata %+v, spec %+v", when, c.ObjectMeta, c.Spec)
		}
	}
	same("after the first write", append(slices.Clone(foreign), v1alpha1.FinalizerAdoptedSecret)...)
	env.Must(api.Delete(env.Context(), c))
	env.reconcile(c)
	same("after it was let go", foreign...)
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Finalizers = nil })
}

// noWatchList is an API server that does not stream its lists, as those of Kubernetes 1.30, 1.31 and 1.33 do not.
type noWatchList struct {
	toolscache.ListerWatcherWithContext
}

func (n noWatchList) List(o metav1.ListOptions) (apiruntime.Object, error) {
	return n.ListWithContext(context.Background(), o)
}

func (n noWatchList) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return n.WatchWithContext(context.Background(), o)
}

func (n noWatchList) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents != nil {
		return nil, apierrors.NewBadRequest("sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
	}
	return n.ListerWatcherWithContext.WatchWithContext(ctx, o)
}

// cannedAnswers counts the lists of Secrets that are asked for and the bytes that are answered.
type cannedAnswers struct {
	mu     sync.Mutex
	limits []string
	next   http.RoundTripper
}

func (a *cannedAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/secrets") && r.URL.Query().Get("watch") == "" {
		a.mu.Lock()
		a.limits = append(a.limits, r.URL.Query().Get("limit"))
		a.mu.Unlock()
	}
	return a.next.RoundTrip(r)
}

// Where the API server does not stream lists, they are fetched in pages that suit the size of what is in them.
func TestListsArePaged(t *testing.T) {
	const large, small, pages = 24, 30, 3 // 22 MB in pages of at most 8 MiB
	env := newEnvironment(t)
	for i := range large + small {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: fmt.Sprint("s-", i), Labels: map[string]string{secret.UIDLabel: "x"}}}
		if i < large {
			s.Data = map[string][]byte{"x": make([]byte, 900_000)}
		}
		env.Must(api.Create(env.Context(), s))
	}
	options, err := CacheOptions([]string{env.Namespace}, labels.Everything())
	env.Must(err)
	paged := options.NewInformer
	options.NewInformer = func(lw toolscache.ListerWatcher, o apiruntime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		return paged(noWatchList{toolscache.ToListerWatcherWithContext(lw)}, o, resync, indexers)
	}
	options.Scheme = cluster.Scheme
	asked := &cannedAnswers{}
	own := rest.CopyConfig(cluster.Config)
	own.Wrap(func(next http.RoundTripper) http.RoundTripper { asked.next = next; return asked })
	own.Wrap(paging.RoundTripper)
	informers, err := cache.New(own, options)
	env.Must(err)
	_, err = informers.GetInformer(env.Context(), &corev1.Secret{}, cache.BlockUntilSynced(false))
	env.Must(err)
	go func() { _ = informers.Start(env.Context()) }()
	if !informers.WaitForCacheSync(env.Context()) {
		t.Fatal("the cache is not filled")
	}
	var all corev1.SecretList
	env.Must(informers.List(env.Context(), &all))
	if len(all.Items) != large+small {
		t.Errorf("the cache holds %d Secrets, want %d", len(all.Items), large+small)
	}
	for _, s := range all.Items {
		if s.Data != nil {
			t.Errorf("the cache holds the data of %s", s.Name)
		}
	}
	asked.mu.Lock()
	defer asked.mu.Unlock()
	if len(asked.limits) < pages || slices.Contains(asked.limits, "") {
		t.Errorf("the limits of the lists were %v", asked.limits)
	}
	for _, limit := range asked.limits {
		if n, err := strconv.Atoi(limit); n > 500 || err != nil {
			t.Errorf("the limits of the lists were %v", asked.limits)
		}
	}
	env.Must(errors.Join(api.DeleteAllOf(env.Context(), &corev1.Secret{}, client.InNamespace(env.Namespace))))
}
