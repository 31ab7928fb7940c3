// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package explain has the meaning, the causes and the next steps of all error codes of STS, all conditions and reasons of an
// StsCredential, and all checks of doctor.
package explain

import (
	"cmp"
	_ "embed"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// Kind is what an entry is about.
type Kind string

// The kinds.
const (
	KindCode      Kind = "STS error code"
	KindCondition Kind = "condition"
	KindReason    Kind = "condition reason"
	KindEvent     Kind = "event reason"
	KindCheck     Kind = "doctor check"
)

// Entry explains one name.
type Entry struct {
	// Name is the code, condition, reason or check. A '*' at the end of a code stands for any suffix.
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Texts are the messages of STS for a code.
	Texts []string `json:"texts,omitempty"`
	// Reason is the condition reason that a code leads to.
	Reason  string `json:"reason,omitempty"`
	Meaning string `json:"meaning"`
	// Causes are the possible causes, most likely first.
	Causes []string `json:"causes,omitempty"`
	// Steps are what to do, in order.
	Steps []string `json:"steps"`
	// Docs is the address of the documentation.
	Docs string `json:"docs"`
}

// maxNames is the number of similar names that Similar returns.
const maxNames = 3

//go:embed entries.yaml
var document []byte

// All returns all entries: codes, then conditions, reasons and checks.
var All = sync.OnceValue(func() (all []Entry) {
	var entries map[string][]Entry
	if err := yaml.Unmarshal(document, &entries); err != nil {
		panic("explain: entries.yaml: " + err.Error())
	}
	reasons := map[string]string{}
	for _, known := range sts.KnownCodes() {
		reasons[known.Code] = known.Reason
	}
	for _, section := range []struct {
		name string
		kind Kind
	}{{"codes", KindCode}, {"conditions", KindCondition}, {"reasons", KindReason}, {"events", KindEvent}, {"checks", KindCheck}} {
		for _, e := range entries[section.name] {
			e.Kind, e.Docs = section.kind, "https://github.com/stscredential/sts-credential-operator/blob/main/docs/"+e.Docs
			switch e.Kind {
			case KindCode:
				e.Reason = reasons[e.Name]
			case KindCheck:
				e.Steps = []string{"Apply the fix that doctor prints: kubectl stscred doctor NAME."}
			case KindCondition, KindReason, KindEvent:
			}
			all = append(all, e)
		}
	}
	return all
})

// Find returns the entry for a name. A code without an entry of its own has that of its family, such as InvalidParameter*.
// Upper and lower case do not matter.
func Find(name string) (Entry, bool) {
	all := All()
	if i := slices.IndexFunc(all, func(e Entry) bool { return strings.EqualFold(e.Name, name) }); i >= 0 {
		return all[i], true
	}
	family := Entry{}
	for _, e := range all {
		prefix, isFamily := strings.CutSuffix(e.Name, "*")
		covered := isFamily && len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
		if covered && len(e.Name) > len(family.Name) {
			family = e
		}
	}
	return family, family.Name != ""
}

// Similar returns the names that are most similar to an unknown one, at most three.
func Similar(name string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	lower := strings.ToLower(name)
	for _, e := range All() {
		known := strings.ToLower(e.Name)
		d := distance(lower, known)
		if len(lower) > 2 && strings.Contains(known, lower) {
			d = min(d, 1)
		}
		if d <= max(2, len(known)/3) {
			near = append(near, candidate{e.Name, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range near[:min(len(near), maxNames)] {
		names = append(names, c.name)
	}
	return names
}

// distance returns the edit distance of two texts, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
