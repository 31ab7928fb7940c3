// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"io"
	"strings"
)

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
