// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// The errors of Credentials.
var (
	// ErrNotWritten is returned if a Secret holds no credentials that the operator wrote for the StsCredential.
	ErrNotWritten = errors.New("the operator wrote no credentials for this StsCredential to it")
	// ErrEdited is returned if keys contradict each other or the record: another client edited the Secret.
	ErrEdited = errors.New("another client edited it")
)

// Credentials returns the credentials that the operator wrote to a Secret for an StsCredential, in whatever keys. They may have
// expired. The error names keys at most, never a value.
func Credentials(s *corev1.Secret, c *v1alpha1.StsCredential) (credentials.Credentials, error) {
	record := recordIn(s.Annotations)
	if record == nil || record.Credential != c.Namespace+"/"+c.Name || Original(s) != "" {
		return credentials.Credentials{}, ErrNotWritten
	}
	written := map[string]string{}
	for _, key := range record.managedKeys {
		if content, ok := s.Data[key]; ok {
			written[key] = string(content)
		}
	}
	found, err := merge(append(readFormats(written), readTemplates(written, record, c.Spec.Secret)...))
	if err != nil {
		return credentials.Credentials{}, err
	}
	issued := credentials.Credentials{
		AccessKeyID: found[fieldAccessKeyID], AccessKeySecret: found[fieldAccessKeySecret], SecurityToken: found[fieldSecurityToken],
		IssuedAt: record.IssuedAt, ExpiresAt: record.ExpiresAt,
		AssumedRoleARN: record.AssumedRoleARN, AssumedRoleID: record.AssumedRoleID, RequestID: record.RequestID,
	}
	if issued.AccessKeyID == "" || issued.AccessKeySecret == "" || issued.SecurityToken == "" {
		return credentials.Credentials{}, fmt.Errorf("the credentials cannot be read from the keys %s. Add the format SDK to spec.secret.formats",
			strings.Join(record.managedKeys, ", "))
	}
	if !issued.WellFormed() || (record.AccessKeyID != credentials.UnknownAccessKeyID && record.AccessKeyID != issued.AccessKeyID) {
		return credentials.Credentials{}, ErrEdited
	}
	return issued, nil
}

// merge joins what keys contain. They must not contradict each other.
func merge(parts []values) (values, error) {
	merged := values{}
	for _, part := range parts {
		for field, value := range part {
			if known, ok := merged[field]; ok && known != value {
				return nil, ErrEdited
			}
			merged[field] = value
		}
	}
	return merged, nil
}

// readFormats returns what the keys of each format contain, whether the spec still names the format or not.
func readFormats(written map[string]string) (found []values) {
	for _, keys := range formats {
		var parts []values
		for key, t := range keys {
			content, present := written[key]
			if v, ok := t.read(content); present && ok {
				parts = append(parts, v)
			}
		}
		if len(parts) == len(keys) {
			found = append(found, parts...)
		}
	}
	return found
}

// readTemplates returns what the keys of templates contain. A template that changed since the write is of no use.
func readTemplates(written map[string]string, record *Record, spec v1alpha1.SecretSpec) (found []values) {
	l, err := NewLayout(spec, "")
	if err != nil || (!l.usesRegion() && record.LayoutChanged(l)) {
		return nil
	}
	for key, t := range l.templates {
		if content, ok := written[key]; ok {
			if v, ok := t.read(content); ok {
				found = append(found, v)
			}
		}
	}
	return found
}

// read returns the values of the fields in the output of the template. It fails if the output can be read in more than one way,
// as that of two fields without text between them.
func (t text) read(output string) (values, bool) {
	literals, parts := t.split()
	last := len(parts)
	rest, ok := strings.CutPrefix(output, literals[0])
	if !ok || !strings.HasSuffix(rest, literals[last]) {
		return nil, false
	}
	rest = strings.TrimSuffix(rest, literals[last])
	shortest := make([]string, 0, last)
	for i, remaining := 0, rest; i < last; i++ {
		value := remaining
		if i < last-1 {
			if value, remaining, ok = strings.Cut(remaining, literals[i+1]); !ok {
				return nil, false
			}
		}
		shortest = append(shortest, value)
	}
	found := values{}
	for i := last - 1; i >= 0; i-- {
		value := rest
		if at := strings.LastIndex(rest, literals[i]); i > 0 {
			if at < 0 {
				return nil, false
			}
			value, rest = rest[at+len(literals[i]):], rest[:at]
		}
		if value != shortest[i] || !found.add(parts[i], value) {
			return nil, false
		}
	}
	return found, true
}

// split returns the fields of the template, and the text before each and after the last.
func (t text) split() (literals []string, parts []part) {
	literals = []string{""}
	for _, p := range t {
		if p.field == "" {
			literals[len(literals)-1] += p.literal
			continue
		}
		parts, literals = append(parts, p), append(literals, "")
	}
	return literals, parts
}

// add adds the value of a field whose functions returned output.
func (v values) add(p part, output string) bool {
	for _, f := range slices.Backward(p.functions) {
		var err error
		if output, err = f.undo(output); err != nil {
			return false
		}
	}
	if known, ok := v[p.field]; ok && known != output {
		return false
	}
	v[p.field] = output
	return true
}

// VariableFormats are the formats whose keys are names of environment variables.
func VariableFormats() []v1alpha1.SecretFormat {
	return []v1alpha1.SecretFormat{
		v1alpha1.FormatSDK, v1alpha1.FormatTablestore, v1alpha1.FormatOSS, v1alpha1.FormatTerraform, v1alpha1.FormatLogService,
	}
}

// Variables returns the credentials as environment variables of one of VariableFormats.
func Variables(name v1alpha1.SecretFormat, s credentials.Credentials) map[string]string {
	variables := map[string]string{}
	for key, t := range formats[name] {
		variables[key], _ = t.execute(valuesOf(s, "", ""), maxOutput)
	}
	return variables
}
