// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// Hashes are written as "<version>:<hex>". Golden tests freeze what a version covers. A later version is written after the
// earlier one, separated by a space, so that older and newer operators each find theirs, and neither issues new credentials.
const version = "v1:"

// version2 is the version of a data hash that also covers the namespace and name of the Secret.
const version2 = "v2:"

// Request is a request to STS with everything that determines the credentials.
type Request struct {
	// Request is what the spec requests.
	credentials.Request
	// Identity is the identity that calls STS; nil is the operator's.
	Identity *v1alpha1.IdentitySpec
	// ImposedPolicy is the session policy that a grant imposes; empty if none.
	ImposedPolicy string
}

// request is what version 1 covers of the spec. Unset fields are left out, so that a new field changes no existing hash.
type request struct {
	RoleARN         string                 `json:"roleARN"`
	SessionName     string                 `json:"sessionName"`
	DurationSeconds int64                  `json:"durationSeconds"`
	Policy          string                 `json:"policy,omitempty"`
	ExternalID      string                 `json:"externalID,omitempty"`
	SourceIdentity  string                 `json:"sourceIdentity,omitempty"`
	Identity        *v1alpha1.IdentitySpec `json:"identity,omitempty"`
}

// Hash returns the hash of what the spec requests and, after a dot, that of the imposed policy, if there is one. They are
// separate because a deleted grant does not change the spec.
func (r Request) Hash() string {
	hash := version + digest(request{
		RoleARN:         r.RoleARN,
		SessionName:     r.SessionName,
		DurationSeconds: int64(r.Duration / time.Second),
		Policy:          r.Policy,
		ExternalID:      r.ExternalID,
		SourceIdentity:  r.SourceIdentity,
		Identity:        r.Identity,
	})
	if r.ImposedPolicy != "" {
		hash += "." + digest(r.ImposedPolicy)
	}
	return hash
}

// RequestChanged reports whether the record is of another spec.
func (r *Record) RequestChanged(now Request) bool {
	recorded, _ := splitRequestHash(r.RequestHash)
	desired, _ := splitRequestHash(now.Hash())
	return recorded != desired
}

// PolicyChanged reports whether the record is of another imposed policy.
func (r *Record) PolicyChanged(now Request) bool {
	_, recorded := splitRequestHash(r.RequestHash)
	_, desired := splitRequestHash(now.Hash())
	return recorded != desired
}

func splitRequestHash(hash string) (spec, imposed string) {
	spec, imposed, _ = strings.Cut(ofVersion(version, hash), ".")
	return spec, imposed
}

// layout is what version 1 covers of the keys and their content. By default, everything is left out.
type layout struct {
	Formats  *[]v1alpha1.SecretFormat         `json:"formats,omitempty"`
	Template map[string]v1alpha1.TemplateText `json:"template,omitempty"`
	Region   string                           `json:"region,omitempty"`
}

// layoutHash returns the hash of the keys that are written, and of their content that is not from STS.
func layoutHash(spec v1alpha1.SecretSpec, l Layout) string {
	covered := layout{Template: spec.Template.Data}
	if chosen := slices.Sorted(slices.Values(l.formats)); !slices.Equal(chosen, v1alpha1.DefaultFormats()) {
		covered.Formats = &chosen
	}
	if l.usesRegion() {
		covered.Region = l.region
	}
	return version + digest(covered)
}

// dataHash returns version 1 of the data hash. It covers the keys that the record names and the record itself: an edited
// expires-at is detected like an edited token.
func dataHash(s *corev1.Secret) string {
	content := struct {
		Data   map[string][]byte `json:"data"`
		Record map[string]string `json:"record"`
	}{map[string][]byte{}, map[string]string{}}
	for _, k := range listedIn(s.Annotations, managedKeysAnnotation) {
		content.Data[k] = s.Data[k]
	}
	for _, k := range recordAnnotations {
		if v, set := s.Annotations[k]; set {
			content.Record[k] = v
		}
	}
	return version + digest(content)
}

// namedHash returns version 2 of the data hash of a Secret of this name, "<namespace>/<name>". It covers version 1, so that it
// can be computed for a stripped Secret. It is empty if version 1 is.
func namedHash(version1, name string) string {
	if version1 == "" {
		return ""
	}
	return version2 + digest(struct {
		Content string `json:"content"`
		Secret  string `json:"secret"`
	}{ofVersion(version, version1), name})
}

// dataHashes returns the data hash of a Secret, stripped or not, in every version that this operator writes.
func dataHashes(s *corev1.Secret) string {
	content := contentHash(s)
	return content + " " + namedHash(content, fullName(s))
}

// contentHash returns version 1 of the data hash of a Secret, stripped or not; empty if its data is too long.
func contentHash(s *corev1.Secret) string {
	if s.StringData != nil {
		return s.Labels[strippedHash]
	}
	return boundedHash(s)
}

// sameHash reports whether two hashes have the same version 1. An empty hash equals no other.
func sameHash(recorded, desired string) bool {
	hash := ofVersion(version, recorded)
	return hash != "" && hash == ofVersion(version, desired)
}

// ofVersion returns the hash of a version in a list of hashes; empty if there is none.
func ofVersion(version, hashes string) string {
	for hash := range strings.FieldsSeq(hashes) {
		if known, ok := strings.CutPrefix(hash, version); ok {
			return known
		}
	}
	return ""
}

func digest(v any) string {
	canonical, err := json.Marshal(v) // keys of maps are sorted, fields keep their order
	if err != nil {
		panic("secret: a value made of strings cannot be encoded: " + err.Error())
	}
	return sum(canonical)
}

func sum(content []byte) string {
	hash := sha256.Sum256(content)
	return hex.EncodeToString(hash[:])
}
