// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// The bounds of a scan of one text. The cost of a scan of an object is linear in its length plus maxDecoded.
const (
	// maxDepth is the number of encodings around an AccessKey: base64, gzip, JSON in a string.
	maxDepth = 6
	// maxHits is the number of AccessKeys that are reported of one text.
	maxHits = 64
	// minEncoded is the length of the shortest base64 that is decoded: that of an AccessKey ID.
	minEncoded = 22
	// besideLength is the number of bytes before and after an AccessKey ID in which its secret is looked for.
	besideLength = 512
	// maxPath is the number of names in a path.
	maxPath = 8
)

// fingerprint stands for an AccessKey ID in memory. It is never shown.
type fingerprint [16]byte

func fingerprintOf(id string) (f fingerprint) {
	sum := sha256.Sum256([]byte(id))
	copy(f[:], sum[:])
	return f
}

// hit is a long-term AccessKey ID in a text.
type hit struct {
	// path is the place inside the text, such as "profiles[0].access_key_id" or "line 3, access_key_id"; empty if the text is
	// the AccessKey ID.
	path string
	// lastFour are the last characters of the ID.
	lastFour string
	// hasSecret reports whether an AccessKey secret stands beside the ID.
	hasSecret bool
	id        fingerprint
}

// result is what a scan of a text found.
type result struct {
	hits []hit
	// more reports that there are more hits than maxHits.
	more bool
}

// scanText finds the long-term AccessKeys in a text of an object. What it decodes counts against the budget of the object.
func scanText(text string, d *decoder) result {
	s := &textScan{decoder: d}
	s.hits = s.text(text, 0)
	return s.result
}

// textScan is the scan of one text.
type textScan struct {
	result
	// found is the number of hits so far.
	found   int
	decoder *decoder
}

// text scans a text, which is what depth encodings hold.
func (s *textScan) text(text string, depth int) []hit {
	if depth > maxDepth || len(text) < minID || s.more {
		return nil
	}
	if strings.HasPrefix(text, "\x1f\x8b") {
		return s.gzip(text, depth)
	}
	if trimmed := strings.TrimLeft(text, " \t\r\n"); trimmed != "" && (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid([]byte(text)) {
		return s.document(text, depth)
	}
	return s.flat(text, depth)
}

// add counts a hit, and reports whether there may be more.
func (s *textScan) add() bool {
	if s.found++; s.found > maxHits {
		s.more = true
	}
	return !s.more
}

// gzip scans what gzip has compressed, as in the Secrets of Helm.
func (s *textScan) gzip(text string, depth int) []hit {
	content, ok := s.decoder.gunzip(text)
	if !ok {
		return s.flat(text, depth)
	}
	return inside(s.text(content, depth+1), "gzip")
}

// inside puts a place before the paths of hits.
func inside(hits []hit, place string) []hit {
	for i := range hits {
		hits[i].path = join(place, hits[i].path)
	}
	return hits
}

func join(outer, inner string) string {
	switch {
	case outer == "" || inner == "":
		return outer + inner
	case len(outer)+len(inner) > 4*maxShown:
		return "…, " + inner
	}
	return outer + ", " + inner
}

// flat scans a text line by line.
func (s *textScan) flat(text string, depth int) []hit {
	hits := s.plain(text)
	lines := lineCounter{text: text}
	for run := range encodedRuns(text) {
		if s.more {
			break
		}
		content, ok := s.decoder.base64(run.of(text))
		if !ok {
			continue
		}
		found := s.text(content, depth+1)
		if len(found) == 0 {
			continue
		}
		place := "base64"
		if run.start > 0 || strings.TrimSpace(text[run.end:]) != "" && strings.Trim(text[run.end:], "= \r\n") != "" {
			place = join(lines.place(run.start), place)
		}
		for i := range found {
			found[i].hasSecret = found[i].hasSecret || hasSecret(around(text, run))
		}
		hits = append(hits, inside(found, place)...)
	}
	return hits
}

// plain finds what is not encoded.
func (s *textScan) plain(text string) (hits []hit) {
	lines := lineCounter{text: text}
	for from := 0; ; {
		id, found := nextID(text, from)
		if !found || !s.add() {
			return hits
		}
		h := hit{lastFour: lastFour(id.of(text)), hasSecret: hasSecret(around(text, id)), id: fingerprintOf(id.of(text))}
		if strings.TrimSpace(text[:id.start]) != "" || strings.TrimSpace(text[id.end:]) != "" {
			h.path = lines.place(id.start)
		}
		hits = append(hits, h)
		from = id.end
	}
}

// around returns what stands around a part of a text, without cutting through a token at its start.
func around(text string, part span) string {
	start, end := max(0, part.start-besideLength), min(len(text), part.end+besideLength)
	for start > 0 && start < part.start && isAlphanumeric(text[start-1]) {
		start++
	}
	for end < len(text) && end > part.end && isAlphanumeric(text[end]) {
		end--
	}
	return text[start:part.start] + " " + text[part.end:end]
}

// lineCounter numbers lines in one way through a text.
type lineCounter struct {
	text       string
	at, number int
}

// place returns the line of an offset, and the name of the value there. Offsets must not decrease.
func (l *lineCounter) place(offset int) string {
	l.number += strings.Count(l.text[l.at:offset], "\n")
	l.at = offset
	line := ""
	if l.number > 0 || strings.Contains(l.text[offset:min(len(l.text), offset+besideLength)], "\n") {
		line = fmt.Sprintf("line %d", l.number+1)
	}
	return join(line, shown(nameBefore(l.text, offset)))
}

// maxName bounds a name before a value, in bytes.
const maxName = 64

// nameBefore returns the name of the value at an offset: before "=", ":", ">", or an option such as --name and white space.
func nameBefore(text string, offset int) string {
	end, separated := offset, false
	for end > 0 && offset-end < maxName && strings.IndexByte("'\"\\ \t=:>", text[end-1]) >= 0 {
		separated = separated || strings.IndexByte("=:>", text[end-1]) >= 0
		end--
	}
	start := end
	for start > 0 && end-start < maxName && (isAlphanumeric(text[start-1]) || strings.IndexByte("_.-", text[start-1]) >= 0) {
		start--
	}
	name := text[start:end]
	if !separated && !strings.HasPrefix(name, "-") {
		return ""
	}
	return strings.TrimLeft(name, "-.")
}

// encodedRuns returns the parts of a text that can be base64, also if it is broken into lines.
func encodedRuns(text string) func(yield func(span) bool) {
	return func(yield func(span) bool) {
		for i := 0; i < len(text); {
			if !isBase64(text[i]) {
				i++
				continue
			}
			run := encodedRun(text, i)
			if run.end-run.start >= minEncoded && !yield(run) {
				return
			}
			i = run.end
		}
	}
}

// encodedRun returns the characters of base64 from start on, across the ends of full lines.
func encodedRun(text string, start int) span {
	run := span{start, start}
	for line := start; ; {
		for run.end < len(text) && isBase64(text[run.end]) {
			run.end++
		}
		next := run.end
		for next < len(text) && (text[next] == '\r' || text[next] == '\n') {
			next++
		}
		if length := run.end - line; next == run.end || next == len(text) || length < 60 || length%4 != 0 || !isBase64(text[next]) {
			return run
		}
		run.end, line = next, next
	}
}

// step is a step in a path of a JSON document: a name, or an index of a list.
type step struct {
	name   string
	index  int
	isList bool
	isName bool // the next token is a name
}

// document scans the strings of a JSON document.
func (s *textScan) document(text string, depth int) (hits []hit) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var path []step
	for !s.more {
		token, err := d.Token()
		if err != nil {
			return hits
		}
		if delim, isDelim := token.(json.Delim); isDelim {
			path = enter(path, delim)
			continue
		}
		value, isString := token.(string)
		last := len(path) - 1
		if last >= 0 && path[last].isName {
			path[last].name, path[last].isName = value, false
			if strings.Contains(value, idPrefix) {
				hits = append(hits, inside(s.text(value, depth+1), "a name in "+pathOf(path[:last]))...)
			}
			continue
		}
		if isString && len(value) >= minID {
			offset := int(d.InputOffset())
			leaf := span{max(0, offset-len(value)-2), offset}
			for _, h := range s.text(value, depth+1) {
				h.path = join(pathOf(path), h.path)
				h.hasSecret = h.hasSecret || hasSecret(around(text, leaf))
				hits = append(hits, h)
			}
		}
		path = passed(path)
	}
	return hits
}

// enter follows the path into or out of an object or a list.
func enter(path []step, delim json.Delim) []step {
	switch delim {
	case '{':
		return append(path, step{isName: true})
	case '[':
		return append(path, step{isList: true})
	}
	return passed(path[:len(path)-1])
}

// passed goes on behind a value.
func passed(path []step) []step {
	if len(path) == 0 {
		return path
	}
	last := &path[len(path)-1]
	if last.isList {
		last.index++
	} else {
		last.isName = true
	}
	return path
}

// pathOf renders the end of a path, such as profiles[0].access_key_id.
func pathOf(path []step) string {
	var b strings.Builder
	if len(path) > maxPath {
		path = path[len(path)-maxPath:]
		b.WriteString("…")
	}
	for _, s := range path {
		if s.isList {
			fmt.Fprintf(&b, "[%d]", s.index)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(shown(s.name))
	}
	return b.String()
}

const (
	// maxDecoded is the number of bytes that are decoded of one object, in all its fields and depths together. Base64 alone cannot
	// exceed it, since the API server bounds an object by 1.5 MiB; gzip can.
	maxDecoded = 4 << 20
	// maxRatio is the highest ratio at which gzip compresses (https://zlib.net/zlib_tech.html).
	maxRatio = 1032
)

// decoder decodes what the fields of one object hold. It is not safe for concurrent use.
type decoder struct {
	// left is the number of bytes that may still be decoded.
	left int
	// exceeded reports that a part was not decoded, since left did not suffice.
	exceeded bool
	reader   gzip.Reader
}

// reset begins the next object.
func (d *decoder) reset() { d.left, d.exceeded = maxDecoded, false }

// gunzip decompresses a text as far as the budget allows. A broken end leaves what was before it. It returns false if the text is
// not gzip.
func (d *decoder) gunzip(text string) (string, bool) {
	if err := d.reader.Reset(strings.NewReader(text)); err != nil {
		return "", false
	}
	var content strings.Builder
	if len(text) >= 4 {
		size := int64(binary.LittleEndian.Uint32([]byte(text[len(text)-4:]))) // as the end of gzip claims
		content.Grow(int(min(size, int64(d.left), int64(len(text))*maxRatio)))
	}
	_, _ = io.CopyN(&content, &d.reader, int64(d.left)) // an error means that it is broken or shorter
	if d.left -= content.Len(); d.left == 0 {
		var more [1]byte
		if n, _ := d.reader.Read(more[:]); n > 0 {
			d.exceeded = true
			return withoutLastToken(content.String()), true
		}
	}
	return content.String(), true
}

// withoutLastToken removes letters and digits at the end of a text, which may have been cut.
func withoutLastToken(text string) string {
	for len(text) > 0 && isAlphanumeric(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

// base64 decodes base64, if it holds text or gzip.
func (d *decoder) base64(run string) (string, bool) {
	if strings.ContainsAny(run, "\r\n") {
		run = strings.NewReplacer("\r", "", "\n", "").Replace(run)
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(run, "-_") {
		encoding = base64.RawURLEncoding
	}
	run = run[:len(run)-len(run)%4+[4]int{0, 0, 2, 3}[len(run)%4]]
	if !isReadable(encoding, run) {
		return "", false
	}
	size := encoding.DecodedLen(len(run))
	if size > d.left {
		d.exceeded = true
		return "", false
	}
	d.left -= size
	content, err := encoding.DecodeString(run)
	return string(content), err == nil
}

// isReadable reports whether base64 holds text or gzip, by its start.
func isReadable(encoding *base64.Encoding, run string) bool {
	var head [96]byte
	n, err := encoding.Decode(head[:], []byte(run[:min(len(run), 128)]))
	if err != nil || n < minID {
		return false
	}
	if head[0] == 0x1f && head[1] == 0x8b {
		return true
	}
	control := 0
	for _, c := range head[:n] {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			control++
		}
	}
	return control == 0
}
