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

// What another client than the operator writes to a Secret: every value starts with Edited, and a time is Forever.
const (
	Edited  = "another-client-"
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

// held is the current content of a Secret.
type held struct {
	issuance *Issuance // nil while another client has edited the Secret
	newest   int       // the number of the newest issue that it ever held
	edited   bool

	timeline timeline
}

// desired is what an StsCredential requests.
type desired struct {
	roles map[string]bool // all that it ever requested
	since time.Time       // since when its credentials must be renewed; zero while they need not
}

// Requests records that the StsCredential of a Secret requests a role. Call it before the change.
func (o *Observer) Requests(secret, role string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.desiredOf(secret).roles[role] = true
}

// SetKept records whether the credentials in a Secret must be renewed from now on. Call it with false before their StsCredential is
// suspended or deleted.
func (o *Observer) SetKept(at time.Time, secret string, kept bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch w := o.desiredOf(secret); {
	case !kept:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = at
	}
}

func (o *Observer) desiredOf(secret string) *desired {
	if o.desired[secret] == nil {
		o.desired[secret] = &desired{roles: map[string]bool{}}
	}
	return o.desired[secret]
}

// Record records a version of a Secret.
func (o *Observer) Record(at time.Time, s *corev1.Secret) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.versions++
	name := s.Namespace + "/" + s.Name
	h := o.secrets[name]
	if h == nil {
		h = &held{}
		o.secrets[name] = h
	}
	h.issuance, h.edited = nil, edited(s)
	if h.edited {
		return
	}
	all := credentialsIn(s.Data)
	wrong := func(format string, args ...any) {
		o.violate(at, name+"/"+s.ResourceVersion, "Secret "+name+" "+fmt.Sprintf(format, args...))
	}
	if len(all) == 0 {
		wrong("holds no credentials")
		return
	}
	issuance, why := o.judge(s, all)
	if why != "" {
		wrong("%s", why)
		return
	}
	if issuance.number < h.newest {
		wrong("holds older credentials than before: session %d after %d", issuance.number, h.newest)
	}
	h.issuance, h.newest = issuance, max(h.newest, issuance.number)
	h.timeline.add(at, issuance)
}

// judge returns the session that a Secret holds, or what is wrong with it.
func (o *Observer) judge(s *corev1.Secret, all []Credentials) (issuance *Issuance, why string) {
	for _, t := range all {
		known := o.issuances[t.ID]
		switch {
		case t.ID == "" || t.Secret == "" || t.Token == "":
			return nil, "holds incomplete credentials"
		case known == nil:
			return nil, "holds an AccessKeyId that STS did not issue"
		case known.Credentials != t || (issuance != nil && issuance != known):
			return nil, "holds mixed credentials"
		}
		issuance = known
	}
	return issuance, o.misplaced(s, issuance)
}

// misplaced returns why a Secret must not hold a session, or not with this record.
func (o *Observer) misplaced(s *corev1.Secret, issuance *Issuance) string {
	w := o.desiredOf(s.Namespace + "/" + s.Name)
	switch {
	case issuance.Session != s.Namespace+"."+s.Name:
		return "holds credentials issued for " + issuance.Session
	case !w.roles[issuance.Role]:
		return "holds credentials of a role that was never requested: " + issuance.Role
	case s.Annotations[accessKeyID] != issuance.ID:
		return "holds other credentials than its record"
	case s.Annotations[expiresAt] != issuance.ExpiresAt.UTC().Format(time.RFC3339):
		return "has a record with another expiration than STS returned: " + s.Annotations[expiresAt]
	}
	return ""
}

// Deleted records that a Secret does not exist.
func (o *Observer) Deleted(namespace, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.secrets[namespace+"/"+name]; h != nil {
		h.issuance, h.edited = nil, false
	}
}

// Good reports whether a Secret holds complete and valid credentials of this role.
func (o *Observer) Good(at time.Time, secret, role string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.secrets[secret]
	return h != nil && h.issuance != nil && h.issuance.Role == role && at.Before(h.issuance.ExpiresAt)
}

// edited reports whether another client has written a part of a Secret's data or record.
func edited(s *corev1.Secret) bool {
	for _, v := range s.Data {
		if strings.Contains(string(v), Edited) {
			return true
		}
	}
	for k, v := range s.Annotations {
		if strings.HasPrefix(k, prefix) && (strings.Contains(v, Edited) || v == Forever) {
			return true
		}
	}
	return false
}

// credentialsIn returns the credentials of all formats in a Secret.
func credentialsIn(data map[string][]byte) (all []Credentials) {
	for _, k := range keys {
		id, hasID := data[k.id]
		secret, hasSecret := data[k.secret]
		token, hasToken := data[k.token]
		if hasID || hasSecret || hasToken {
			all = append(all, Credentials{string(id), string(secret), string(token)})
		}
	}
	if file, ok := data["external.json"]; ok {
		var t struct {
			ID     string `json:"access_key_id"`
			Secret string `json:"access_key_secret"`
			Token  string `json:"sts_token"`
		}
		_ = json.Unmarshal(file, &t) // a file that cannot be parsed has incomplete credentials
		all = append(all, Credentials{t.ID, t.Secret, t.Token})
	}
	return all
}

// Missing records which Secrets exist: all others were deleted.
func (o *Observer) Missing(there map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.secrets {
		if !there[name] {
			h.issuance, h.edited = nil, false
		}
	}
}
