// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// maxRestartedForBytes bounds what is read and written of restarted-for, in bytes; what is longer is not the operator's.
	maxRestartedForBytes = 8 << 10
	// restartedForAnnotation on a pod template, or on a Rollout, says for which issuances its pods were started: "<StsCredential>=<request ID>",
	// joined by commas.
	restartedForAnnotation = "sts.alibabacloud.com/restarted-for"
	// restartedAtAnnotation beside it is when the operator restarted it last, by the operator's clock.
	restartedAtAnnotation = "sts.alibabacloud.com/restarted-at"
)

// Bounds of an ID and of a time in a restart annotation, in bytes.
const maxID, maxTime = 256, 64

// within returns a text that is no longer than a bound, and nothing for one that is.
func within(bound int, text string) string {
	if len(text) > bound {
		return ""
	}
	return text
}

// RestartAnnotation is what the operator writes to a workload to restart its pods.
type RestartAnnotation struct {
	// For are the IDs of the issuances that pods with this annotation have read or newer ones, by StsCredential.
	For map[string]string
	// At is when it was written, by the operator's clock; zero if that is not known.
	At time.Time
}

// ID is how an issuance is named in a restart annotation: by STS's request ID or, should there be none, by the AccessKeyId.
func ID(requestID, accessKeyID string) string {
	id := strings.Map(func(r rune) rune {
		if strings.ContainsRune(",= ", r) {
			return '-'
		}
		return r
	}, cmp.Or(requestID, accessKeyID))
	return id[:min(len(id), maxID)]
}

func parseRestartAnnotation(annotations map[string]string) RestartAnnotation {
	annotation := RestartAnnotation{For: map[string]string{}}
	for entry := range strings.SplitSeq(within(maxRestartedForBytes, annotations[restartedForAnnotation]), ",") {
		credential, id, ok := strings.Cut(entry, "=")
		if ok && len(credential) <= maxName && len(id) <= maxID && len(annotation.For) < maxReads {
			annotation.For[credential] = id
		}
	}
	annotation.At, _ = time.Parse(time.RFC3339, within(maxTime, annotations[restartedAtAnnotation]))
	return annotation
}

func (s RestartAnnotation) annotations() map[string]string {
	entries := make([]string, 0, len(s.For))
	for _, credential := range slices.Sorted(maps.Keys(s.For)) {
		entries = append(entries, credential+"="+s.For[credential])
	}
	return map[string]string{
		restartedForAnnotation: strings.Join(entries, ","),
		restartedAtAnnotation:  s.At.UTC().Format(time.RFC3339),
	}
}
