// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// Layout is the keys of a Secret and their content. Create it with NewLayout.
type Layout struct {
	formats   []v1alpha1.SecretFormat
	templates map[string]text
	region    string
	hash      string
}

// NewLayout returns the layout of a spec. region is the operator's region, for .Region and the format CLI. The error names the
// key that cannot be written, and the next step.
func NewLayout(spec v1alpha1.SecretSpec, region string) (Layout, error) {
	l := Layout{formats: spec.Formats, templates: map[string]text{}, region: region}
	if l.formats == nil {
		l.formats = v1alpha1.DefaultFormats()
	}
	for _, name := range l.formats {
		if formats[name] == nil {
			return Layout{}, fmt.Errorf("spec.secret.formats: format %s is unknown. Leave it out, or upgrade the operator", name)
		}
	}
	if len(l.formats)+len(spec.Template.Data) == 0 {
		return Layout{}, errors.New("spec.secret.formats: [] writes nothing by itself. Name a format, or set template.data")
	}
	taken := l.takenBy()
	for _, key := range slices.Sorted(maps.Keys(spec.Template.Data)) {
		if format, clash := taken[key]; clash {
			return Layout{}, fmt.Errorf("spec.secret.template.data[%s]: format %s writes this key. Rename yours, or leave the format out", key, format)
		}
		t, err := parseText(string(spec.Template.Data[key]), fields)
		if err != nil {
			return Layout{}, fmt.Errorf("spec.secret.template.data[%s]: %w", key, err)
		}
		l.templates[key] = t
	}
	if missing := l.missing(); len(missing) > 0 {
		return Layout{}, fmt.Errorf("spec.secret.template.data: with formats: [] the templates must use .AccessKeyID, .AccessKeySecret and .SecurityToken, "+
			"and no template uses .%s. Helm renders {{ }} away unless it is escaped: write {{ `{{ .%s }}` }} in a chart, or name a format",
			strings.Join(missing, ", ."), missing[0])
	}
	l.hash = layoutHash(spec, l)
	_, err := l.data(Placeholder(), strings.Repeat("x", 160))
	return l, err
}

// takenBy returns the keys that the formats write.
func (l Layout) takenBy() map[string]v1alpha1.SecretFormat {
	taken := map[string]v1alpha1.SecretFormat{}
	for _, name := range l.formats {
		for key := range formats[name] {
			taken[key] = name
		}
	}
	return taken
}

// missing returns the parts of the credentials that no key contains. A format contains all of them.
func (l Layout) missing() (fields []string) {
	if len(l.formats) > 0 {
		return nil
	}
	for _, field := range []string{fieldAccessKeyID, fieldAccessKeySecret, fieldSecurityToken} {
		if !l.uses(field) {
			fields = append(fields, field)
		}
	}
	return fields
}

// uses reports whether a template uses the field.
func (l Layout) uses(field string) bool {
	for _, t := range l.templates {
		if slices.ContainsFunc(t, func(p part) bool { return p.field == field }) {
			return true
		}
	}
	return false
}

// usesRegion reports whether a key contains the region.
func (l Layout) usesRegion() bool {
	return l.uses(fieldRegion) || slices.Contains(l.formats, v1alpha1.FormatCLI)
}

// data returns the data of a Secret for credentials of a role. The error says that the output of the templates is too long.
func (l Layout) data(s credentials.Credentials, role string) (map[string][]byte, error) {
	v := valuesOf(s, role, l.region)
	data := map[string][]byte{}
	for _, name := range l.formats {
		if name == v1alpha1.FormatCLI && l.region == "" {
			name = formatCLIWithoutRegion
		}
		for key, t := range formats[name] {
			value, err := t.execute(v, maxOutput)
			if err != nil {
				return nil, fmt.Errorf("spec.secret.formats: format %s: %w", name, err)
			}
			data[key] = []byte(value)
		}
	}
	left := maxOutput
	for _, key := range slices.Sorted(maps.Keys(l.templates)) {
		value, err := l.templates[key].execute(v, left)
		if err != nil {
			return nil, fmt.Errorf("spec.secret.template.data[%s]: %w", key, err)
		}
		left -= len(value)
		data[key] = []byte(value)
	}
	return data, nil
}

// Placeholder returns invalid credentials for dry runs. They are longer than any that STS is known to issue, so that a Secret
// that fits them fits real ones.
func Placeholder() credentials.Credentials {
	return credentials.Credentials{
		AccessKeyID:     "STS.N" + strings.Repeat("x", 24),
		AccessKeySecret: strings.Repeat("x", 44),
		SecurityToken:   strings.Repeat("x", 1024),
	}
}
