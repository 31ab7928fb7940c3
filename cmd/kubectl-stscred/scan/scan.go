// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scan finds long-term AccessKeys in Kubernetes objects, and who reads them. It is pure: it takes objects one by one,
// and keeps nothing of them but places. No value leaves it, except the last four characters of an AccessKey ID.
package scan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Object names a Kubernetes object.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String returns Kind/name.
func (o Object) String() string { return o.Kind + "/" + o.Name }

func (o Object) compare(other Object) int {
	return cmp.Or(cmp.Compare(o.Namespace, other.Namespace), cmp.Compare(o.Kind, other.Kind), cmp.Compare(o.Name, other.Name))
}

// Finding is one long-term AccessKey in one place.
type Finding struct {
	Object Object `json:"object"`
	// Place is the field of the object, such as "data[config.json]" or "containers[orders].env[ALIBABA_CLOUD_ACCESS_KEY_ID]".
	Place string `json:"place"`
	// Path is the place inside the field, such as "profiles[0].access_key_id"; empty if the field is the AccessKey ID.
	Path string `json:"path,omitempty"`
	// LastFour are the last four characters of the AccessKey ID.
	LastFour string `json:"lastFour"`
	// HasSecret reports whether the AccessKey secret stands beside the ID.
	HasSecret bool `json:"hasSecret"`
	// Note says what is special, such as that it is a copy, or the identity of an StsCredential.
	Note string `json:"note,omitempty"`
	// Readers are the workloads that read the field, and MoreReaders how many ways of reading it are not listed.
	Readers     []Reader `json:"readers"`
	MoreReaders int      `json:"moreReaders,omitempty"`

	id  fingerprint
	key string // of the data of a Secret or ConfigMap
}

// Reader is a container that reads a Secret or ConfigMap.
type Reader struct {
	Workload  Object `json:"workload"`
	Container string `json:"container,omitempty"`
	// How is env, envFrom, volume, subPath, projected, csi or imagePullSecret.
	How string `json:"how"`
	// At is the variable or the path.
	At string `json:"at,omitempty"`
}

// Unread is what could not be scanned, for example for want of rights.
type Unread struct {
	// Resource such as "secrets in namespace shop".
	Resource string `json:"resource"`
	Reason   string `json:"reason"`
	// Consequence is what is not found therefore.
	Consequence string `json:"consequence"`
}

// Report is what scan prints with -o json. Fields are added, never renamed.
type Report struct {
	metav1.TypeMeta `json:",inline"`
	Findings        []Finding `json:"findings"`
	Unread          []Unread  `json:"unread"`
}

// maxFindings is the number of findings that are listed of one object: a user of a namespace could otherwise let a scan keep more than
// an object is long.
const maxFindings = 1024

// Scan collects findings. Add all StsCredentials first, then Secrets and ConfigMaps, then workloads, and pods last.
type Scan struct {
	// Selector selects the objects that are scanned. Readers are found among all workloads. Nil selects all.
	Selector labels.Selector

	findings   []Finding
	sources    map[Object]*source
	secretKeys map[Object][]string // keys of Secrets and ConfigMaps that hold an AccessKey secret
	credential map[Object]string   // what StsCredentials use Secrets for
	affected   []workload
	candidates map[Object]string // ServiceAccounts of Deployments that look like an operator
	operators  map[Object]bool
	owners     map[types.UID]map[fingerprint]bool // what creates pods, with the AccessKeys in its pod template
	unread     []Unread

	// Of the current object:
	decoder decoder
	first   int // the index of its first finding
	more    int // the number of findings above maxFindings
}

// source is a Secret or ConfigMap with findings.
type source struct {
	keys     map[string]keyKind
	ids      map[string]value // of keys that are IDs
	findings []int
	readers  map[string]*readers // by key; those of all keys under allKeys
}

// allKeys stands for all keys of a source. No key is empty.
const allKeys = ""

// readers are the ways in which a key is read.
type readers struct {
	listed []Reader
	more   int // the number of those above maxReaders
}

// keyKind is what the value of a key is.
type keyKind int

const (
	keyOther    keyKind = iota
	keyID               // an AccessKey ID
	keySecret           // an AccessKey secret
	keyDocument         // a text with an AccessKey ID in it
)

// workload is a workload that holds or reads AccessKeys.
type workload struct {
	object   Object
	template corev1.PodTemplateSpec
}

// New returns an empty Scan.
func New() *Scan {
	return &Scan{
		sources: map[Object]*source{}, secretKeys: map[Object][]string{}, credential: map[Object]string{},
		candidates: map[Object]string{}, operators: map[Object]bool{}, owners: map[types.UID]map[fingerprint]bool{},
	}
}

// begin begins an object. The function that it returns ends it, and records what was left out.
func (s *Scan) begin(object Object) (end func()) {
	s.decoder.reset()
	s.first, s.more = len(s.findings), 0
	return func() {
		if s.decoder.exceeded {
			s.AddUnread(Unread{
				Resource: object.String() + " in namespace " + object.Namespace, Reason: fmt.Sprintf("it has more than %d MiB when it is decoded", maxDecoded>>20),
				Consequence: "AccessKeys in the rest of its base64 and gzip",
			})
		}
		if s.more > 0 {
			note := &s.findings[len(s.findings)-1].Note
			*note = strings.TrimPrefix(fmt.Sprintf("%s; and %d more AccessKeys in the object", *note, s.more), "; ")
		}
	}
}

// add keeps findings of the current object, as far as there are not too many.
func (s *Scan) add(found []Finding) {
	kept := min(len(found), maxFindings-len(s.findings)+s.first)
	s.findings = append(s.findings, found[:kept]...)
	s.more += len(found) - kept
}

// AddUnread records what could not be read.
func (s *Scan) AddUnread(u Unread) { s.unread = append(s.unread, u) }

// AddCredential records which Secrets an StsCredential uses.
func (s *Scan) AddCredential(c *v1alpha1.StsCredential) {
	s.credential[Object{"Secret", c.Namespace, c.SecretName()}] = "also written by StsCredential " + shown(c.Namespace+"/"+c.Name)
	if identity := c.Spec.Identity; identity != nil && identity.AccessKey != nil {
		s.credential[Object{"Secret", c.Namespace, identity.AccessKey.SecretName}] = "identity of StsCredential " + shown(c.Namespace+"/"+c.Name)
	}
}

// AddSecret scans a Secret.
func (s *Scan) AddSecret(o *corev1.Secret) {
	s.addSource(Object{"Secret", o.Namespace, o.Name}, o, dataOf("data", o.Data))
}

// AddConfigMap scans a ConfigMap.
func (s *Scan) AddConfigMap(o *corev1.ConfigMap) {
	s.addSource(Object{"ConfigMap", o.Namespace, o.Name}, o, append(dataOf("binaryData", o.BinaryData), dataOf("data", o.Data)...))
}

// datum is one key of a field of a Secret or ConfigMap. Its value is copied when it is scanned, so that one copy is in memory.
type datum struct {
	field, key string
	value      func() string
}

// dataOf returns the data of a field, by key.
func dataOf[T string | []byte](field string, values map[string]T) (data []datum) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		data = append(data, datum{field, key, func() string { return string(values[key]) }})
	}
	return data
}

func (s *Scan) selects(o metav1.Object) bool {
	return s.Selector == nil || s.Selector.Matches(labels.Set(o.GetLabels()))
}

// addSource scans a Secret or ConfigMap.
func (s *Scan) addSource(object Object, o metav1.Object, data []datum) {
	defer s.begin(object)()
	src, secrets := &source{keys: map[string]keyKind{}, ids: map[string]value{}, readers: map[string]*readers{}}, []string{}
	for _, d := range data {
		text := d.value()
		if isSecret(strings.TrimSpace(text)) {
			src.keys[d.key] = keySecret
			secrets = append(secrets, d.key)
			continue
		}
		src.keys[d.key] = keyOther
		if !s.selects(o) {
			continue
		}
		found := s.scanField(object, d.field+"["+shown(d.key)+"]", text)
		for i, f := range found {
			found[i].key = d.key
			src.keys[d.key] = keyDocument
			if f.Path == "" {
				src.keys[d.key], src.ids[d.key] = keyID, value{id: f.id, isID: true, lastFour: f.LastFour, holder: object.Name}
			}
		}
		s.add(found)
	}
	for i := s.first; i < len(s.findings); i++ {
		s.findings[i].HasSecret = s.findings[i].HasSecret || len(secrets) > 0
		s.findings[i].Note = s.credential[object]
		src.findings = append(src.findings, i)
	}
	if len(secrets) > 0 {
		s.secretKeys[object] = secrets
	}
	if len(src.findings) > 0 {
		s.sources[object] = src
	}
	s.add(s.scanMetadata(object, o))
}

// scanMetadata scans labels and annotations, which hold copies.
func (s *Scan) scanMetadata(object Object, o metav1.Object) []Finding {
	if !s.selects(o) {
		return nil
	}
	found := s.scanAnnotations(object, "", o.GetAnnotations())
	for _, name := range slices.Sorted(maps.Keys(o.GetLabels())) {
		found = append(found, s.scanField(object, "labels["+shown(name)+"]", o.GetLabels()[name])...)
	}
	return found
}

func (s *Scan) scanAnnotations(object Object, prefix string, annotations map[string]string) (found []Finding) {
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		for _, f := range s.scanField(object, prefix+"annotations["+shown(name)+"]", annotations[name]) {
			if name == corev1.LastAppliedConfigAnnotation {
				f.Note = "copy of what was applied: delete the object, or apply it again without the AccessKey"
			}
			found = append(found, f)
		}
	}
	return found
}

// scanField scans the text of one field.
func (s *Scan) scanField(object Object, place, text string) (found []Finding) {
	r := scanText(text, &s.decoder)
	for _, h := range r.hits {
		found = append(found, Finding{
			Object: object, Place: place, Path: h.path, LastFour: h.lastFour, HasSecret: h.hasSecret, Readers: []Reader{}, id: h.id,
		})
	}
	if r.more {
		found[len(found)-1].Note = fmt.Sprintf("only the first %d AccessKeys of the field are listed", maxHits)
	}
	return found
}

// Report returns the findings, by namespace, kind and name.
func (s *Scan) Report() Report {
	r := Report{
		TypeMeta: metav1.TypeMeta{APIVersion: "stscred.alibabacloud.com/v1", Kind: "ScanReport"},
		Findings: append([]Finding{}, s.findings...), Unread: append([]Unread{}, s.unread...),
	}
	for _, src := range s.sources {
		for _, i := range src.findings {
			f := &r.Findings[i]
			for _, key := range []string{allKeys, f.key} {
				if of := src.readers[key]; of != nil {
					f.Readers, f.MoreReaders = append(f.Readers, of.listed...), f.MoreReaders+of.more
				}
			}
			slices.SortFunc(f.Readers, func(a, b Reader) int {
				return cmp.Or(a.Workload.compare(b.Workload), cmp.Compare(a.Container, b.Container), cmp.Compare(a.How, b.How), cmp.Compare(a.At, b.At))
			})
			f.Readers = slices.Compact(f.Readers)
			if f.Note == "" && slices.ContainsFunc(f.Readers, func(r Reader) bool { return s.operators[r.Workload] }) {
				f.Note = "identity of the operator"
			}
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return a.Object.compare(b.Object) })
	return r
}

// AddOperatorCandidate records a Deployment that looks like the operator, with its ServiceAccount.
func (s *Scan) AddOperatorCandidate(namespace, name, serviceAccount string) {
	s.candidates[Object{"Deployment", namespace, name}] = serviceAccount
}

// ConfirmOperators asks confirm about each candidate that holds or reads AccessKeys, since users of a namespace can create a
// Deployment that looks like the operator. Call it after all workloads are added.
func (s *Scan) ConfirmOperators(confirm func(namespace, serviceAccount string) bool) {
	for _, w := range s.affected {
		if account, found := s.candidates[w.object]; found && confirm(w.object.Namespace, account) {
			s.operators[w.object] = true
		}
	}
}
