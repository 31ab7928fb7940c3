// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// What somebody else than the operator puts into a Secret: every value starts with Meddled, or is Forever where a time
// belongs.
const (
	Meddled = "meddled-"
	Forever = "2099-01-01T00:00:00Z"
)

// What the operator writes, as its documentation says.
const (
	prefix      = "sts.alibabacloud.com/"
	expiresAt   = prefix + "expires-at"
	accessKeyID = prefix + "access-key-id"
)

// keys are those of the formats that hold one value each.
var keys = []struct{ id, secret, token string }{
	{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"},
	{"TABLESTORE_ACCESS_KEY_ID", "TABLESTORE_ACCESS_KEY_SECRET", "TABLESTORE_SESSION_TOKEN"},
	{"OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"},
	{"ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"},
	{"accessKeyId", "accessKeySecret", "securityToken"},
}

// held is what a Secret holds now.
type held struct {
	issue   *Issue // nil while somebody meddled with it
	newest  int    // the number of the newest issue that it ever held
	meddled bool

	timeline timeline
}

// wanted is what a StsCredential asks for.
type wanted struct {
	roles map[string]bool // all that it ever asked for
	since time.Time       // when it began to be kept; zero while it is not
}

// Asks tells, before the API server is, that the StsCredential of a Secret asks for a role.
func (o *Observer) Asks(secret, role string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.want(secret).roles[role] = true
}

// Keeps tells that the credentials in a Secret must be renewed from now on, or, before the API server is told, that they
// need not: their StsCredential is suspended or deleted.
func (o *Observer) Keeps(at time.Time, secret string, kept bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch w := o.want(secret); {
	case !kept:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = at
	}
}

func (o *Observer) want(secret string) *wanted {
	if o.wanted[secret] == nil {
		o.wanted[secret] = &wanted{roles: map[string]bool{}}
	}
	return o.wanted[secret]
}

// Saw tells of a version of a Secret.
func (o *Observer) Saw(at time.Time, s *corev1.Secret) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.versions++
	name := s.Namespace + "/" + s.Name
	h := o.secrets[name]
	if h == nil {
		h = &held{}
		o.secrets[name] = h
	}
	h.issue, h.meddled = nil, meddled(s)
	if h.meddled {
		return
	}
	triples := triplesIn(s.Data)
	wrong := func(format string, args ...any) {
		o.violate(at, name+"/"+s.ResourceVersion, "Secret "+name+" "+fmt.Sprintf(format, args...))
	}
	if len(triples) == 0 {
		wrong("holds no triple")
		return
	}
	issue, why := o.judge(s, triples)
	if why != "" {
		wrong("%s", why)
		return
	}
	if issue.number < h.newest {
		wrong("holds an older triple than it did: issue %d after %d", issue.number, h.newest)
	}
	h.issue, h.newest = issue, max(h.newest, issue.number)
	h.timeline.add(at, issue)
}

// judge finds the issue that a Secret holds, or says what is wrong with it.
func (o *Observer) judge(s *corev1.Secret, triples []Triple) (issue *Issue, why string) {
	for _, t := range triples {
		known := o.issues[t.ID]
		switch {
		case t.ID == "" || t.Secret == "" || t.Token == "":
			return nil, "holds a triple that is not whole"
		case known == nil:
			return nil, "holds an AccessKeyId that STS did not hand out"
		case known.Triple != t || (issue != nil && issue != known):
			return nil, "holds a mixed triple"
		}
		issue = known
	}
	return issue, o.misplaced(s, issue)
}

// misplaced says why a Secret should not hold an issue, or not with this record.
func (o *Observer) misplaced(s *corev1.Secret, issue *Issue) string {
	w := o.want(s.Namespace + "/" + s.Name)
	switch {
	case issue.Session != s.Namespace+"."+s.Name:
		return "holds a foreign triple, issued for " + issue.Session
	case !w.roles[issue.Role]:
		return "holds a triple of a role that was never asked for: " + issue.Role
	case s.Annotations[accessKeyID] != issue.ID:
		return "holds another triple than its record says"
	case s.Annotations[expiresAt] != issue.ExpiresAt.UTC().Format(time.RFC3339):
		return "has a record with another expiry than STS gave: " + s.Annotations[expiresAt]
	}
	return ""
}

// Gone tells that there is no such Secret.
func (o *Observer) Gone(namespace, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.secrets[namespace+"/"+name]; h != nil {
		h.issue, h.meddled = nil, false
	}
}

// Good reports whether a Secret holds, whole, credentials of this role that work.
func (o *Observer) Good(at time.Time, secret, role string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.secrets[secret]
	return h != nil && h.issue != nil && h.issue.Role == role && at.Before(h.issue.ExpiresAt)
}

// meddled reports whether something of a Secret's data or record was put there by somebody else.
func meddled(s *corev1.Secret) bool {
	for _, v := range s.Data {
		if strings.Contains(string(v), Meddled) {
			return true
		}
	}
	for k, v := range s.Annotations {
		if strings.HasPrefix(k, prefix) && (strings.Contains(v, Meddled) || v == Forever) {
			return true
		}
	}
	return false
}

// triplesIn finds the triples of all formats in a Secret.
func triplesIn(data map[string][]byte) (all []Triple) {
	for _, k := range keys {
		id, hasID := data[k.id]
		secret, hasSecret := data[k.secret]
		token, hasToken := data[k.token]
		if hasID || hasSecret || hasToken {
			all = append(all, Triple{string(id), string(secret), string(token)})
		}
	}
	if file, ok := data["external.json"]; ok {
		var t struct {
			ID     string `json:"access_key_id"`
			Secret string `json:"access_key_secret"`
			Token  string `json:"sts_token"`
		}
		_ = json.Unmarshal(file, &t) // what cannot be read is not whole
		all = append(all, Triple{t.ID, t.Secret, t.Token})
	}
	return all
}

// Missing tells which Secrets there are: all others that were seen are gone.
func (o *Observer) Missing(there map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.secrets {
		if !there[name] {
			h.issue, h.meddled = nil, false
		}
	}
}
