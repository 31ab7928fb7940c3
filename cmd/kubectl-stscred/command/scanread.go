// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/scan"
)

// scanPage is the number of objects in one answer. Answers are decoded object by object, so only the API server holds them whole.
const scanPage = 100

// scanMemory is the size in bytes at which the garbage collector works harder.
const scanMemory = 36 << 20

// scanGarbage is the share of garbage in memory at which it is collected, in percent of what is in use.
const scanGarbage = 40

// resource is a kind of objects that scan reads.
type resource struct {
	prefix, name string
	// consequence is what is not found if the objects cannot be read.
	consequence string
	decode      func(d *json.Decoder, s *scan.Scan) error
}

// decodeTo decodes one object and adds it.
func decodeTo[T any](add func(*scan.Scan, *T)) func(*json.Decoder, *scan.Scan) error {
	return func(d *json.Decoder, s *scan.Scan) error {
		o := new(T)
		if err := d.Decode(o); err != nil {
			return errors.New("the answer of the API server is broken") // its error may quote the answer
		}
		add(s, o)
		return nil
	}
}

// scanned are the resources in the order in which they are read.
var scanned = []resource{
	{"/apis/sts.alibabacloud.com/v1alpha1", "stscredentials", "which Secrets StsCredentials use", decodeTo(func(s *scan.Scan, o *v1alpha1.StsCredential) { s.AddCredential(o) })},
	{"/api/v1", "secrets", "AccessKeys in Secrets", decodeTo(func(s *scan.Scan, o *corev1.Secret) { s.AddSecret(o) })},
	{"/api/v1", "configmaps", "AccessKeys in ConfigMaps", decodeTo(func(s *scan.Scan, o *corev1.ConfigMap) { s.AddConfigMap(o) })},
	{"/apis/apps/v1", "deployments", "AccessKeys in Deployments, and those that read them", decodeTo(addDeployment)},
	{"/apis/apps/v1", "statefulsets", "AccessKeys in StatefulSets, and those that read them", decodeTo(func(s *scan.Scan, o *appsv1.StatefulSet) { s.AddWorkload("StatefulSet", o, &o.Spec.Template) })},
	{"/apis/apps/v1", "daemonsets", "AccessKeys in DaemonSets, and those that read them", decodeTo(func(s *scan.Scan, o *appsv1.DaemonSet) { s.AddWorkload("DaemonSet", o, &o.Spec.Template) })},
	{"/apis/apps/v1", "replicasets", "AccessKeys in ReplicaSets without owner, and those that read them", decodeTo(addReplicaSet)},
	{"/apis/batch/v1", "cronjobs", "AccessKeys in CronJobs, and those that read them", decodeTo(func(s *scan.Scan, o *batchv1.CronJob) { s.AddWorkload("CronJob", o, &o.Spec.JobTemplate.Spec.Template) })},
	{"/apis/batch/v1", "jobs", "AccessKeys in Jobs, and those that read them", decodeTo(addJob)},
	{"/api/v1", "pods", "AccessKeys in pods without owner and in ephemeral containers, and those that read them", decodeTo(addPod)},
}

func addDeployment(s *scan.Scan, o *appsv1.Deployment) {
	if looksLikeOperator(o) {
		s.AddOperatorCandidate(o.Namespace, o.Name, serviceAccountOf(o))
	}
	s.AddWorkload("Deployment", o, &o.Spec.Template)
}

func addReplicaSet(s *scan.Scan, o *appsv1.ReplicaSet) {
	addOwned(s, "ReplicaSet", o, &o.Spec.Template, "Deployment")
}

func addJob(s *scan.Scan, o *batchv1.Job) {
	addOwned(s, "Job", o, &o.Spec.Template, "CronJob")
}

// addOwned scans an object that may be a revision or a run of another, which is scanned in its place.
func addOwned(s *scan.Scan, kind string, o metav1.Object, template *corev1.PodTemplateSpec, ownerKind string) {
	if s.OwnerOf(o, ownerKind) == nil {
		s.AddWorkload(kind, o, template)
		return
	}
	s.AddOwner(scan.Object{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}, o.GetUID(), template)
}

func addPod(s *scan.Scan, o *corev1.Pod) {
	s.AddPod(o, "ReplicaSet", "StatefulSet", "DaemonSet", "Job")
}

// read reads all that is scanned. What cannot be read is recorded.
func (o *options) read(ctx context.Context, s *scan.Scan, namespace string) error {
	config, err := o.config.ToRESTConfig()
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	if o.isUnconfigured() {
		return clientcmd.ErrEmptyConfig
	}
	config.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion()
	config.GroupVersion = &corev1.SchemeGroupVersion
	c, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return err
	}
	own, err := o.namespace(false)
	if err != nil {
		return err
	}
	asker, err := o.client()
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(scanMemory)
	debug.SetGCPercent(scanGarbage)
	p := o.progress("Scanning")
	defer p.stop()
	for _, r := range scanned {
		p.update("Scanning %s", r.name)
		err := readPages(ctx, c, r, namespace, s)
		if namespace == "" && apierrors.IsForbidden(err) {
			s.AddUnread(unread(r, "all namespaces"))
			err = readPages(ctx, c, r, own, s)
		}
		switch {
		case err == nil, apierrors.IsNotFound(err) && r.name == "stscredentials": // the operator is not installed
		case apierrors.IsForbidden(err):
			where := namespace
			if where == "" {
				where = own
			}
			s.AddUnread(unread(r, "namespace "+where))
		default:
			return fmt.Errorf("read %s: %w", r.name, err)
		}
	}
	s.ConfirmOperators(func(namespace, account string) bool {
		allowed, err := mayWatchGrants(ctx, asker, namespace, account)
		return allowed || err != nil && namespace == usualNamespace
	})
	return nil
}

// unread says that the user may not list a resource.
func unread(r resource, where string) scan.Unread {
	name := r.name
	if group, ok := strings.CutPrefix(r.prefix, "/apis/"); ok {
		group, _, _ = strings.Cut(group, "/")
		name += "." + group
	}
	return scan.Unread{Resource: name + " in " + where, Reason: "you may not list " + name, Consequence: r.consequence}
}

// readPages reads all objects of a resource in a namespace, or in all if it is empty.
func readPages(ctx context.Context, c *rest.RESTClient, r resource, namespace string, s *scan.Scan) error {
	path := r.prefix
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	for next := ""; ; {
		request := c.Get().AbsPath(path+"/"+r.name).Param("limit", strconv.Itoa(scanPage)).SetHeader("Accept", "application/json")
		if next != "" {
			request.Param("continue", next)
		}
		body, err := request.Stream(ctx)
		if err != nil {
			var status *apierrors.StatusError
			if expired := apierrors.IsResourceExpired(err) && errors.As(err, &status) && status.ErrStatus.Continue != ""; expired {
				next = status.ErrStatus.Continue // goes on with what is now
				continue
			}
			return err
		}
		next, err = readPage(body, r, s)
		if err = errors.Join(err, body.Close()); err != nil || next == "" {
			return err
		}
	}
}

// readPage reads a list, one object at a time.
func readPage(body io.Reader, r resource, s *scan.Scan) (next string, err error) {
	d := json.NewDecoder(body)
	if _, err := d.Token(); err != nil {
		return "", err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", err
		}
		switch name {
		case "metadata":
			var m metav1.ListMeta
			if err := d.Decode(&m); err != nil {
				return "", err
			}
			next = m.Continue
		case "items":
			if err := readItems(d, r, s); err != nil {
				return "", err
			}
		default:
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return "", err
			}
		}
	}
	return next, nil
}

func readItems(d *json.Decoder, r resource, s *scan.Scan) error {
	if start, err := d.Token(); err != nil || start == nil { // null
		return err
	}
	for d.More() {
		if err := r.decode(d, s); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}
