// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"strings"
)

const (
	// idPrefix begins every AccessKey ID of a documented form, except of old ones and of those of STS.
	idPrefix = "LTAI"
	// minID and maxID bound the length of an AccessKey ID (https://rules.sonarsource.com/secrets/RSPEC-6336).
	minID, maxID = 16, 24
	// secretLength is the length of an AccessKey secret, which has letters and digits only.
	secretLength = 30
	// minDistinct is the number of different characters below which a text is a placeholder such as LTAIxxxxxxxxxxxx.
	minDistinct = 5
	// maxAscending is the number of neighbors such as "ab" or "12" above which a text is a placeholder such as LTAI123456789012.
	maxAscending = 5
	// noiseLength is the number of characters of base64 around a text above which it is a part of them.
	noiseLength = 24
)

// placeholders are parts of AccessKey IDs in documents, in lower case.
var placeholders = []string{"example", "placeholder", "accesskey", "yourkey", "yourid", "youraccess", "xxxx", "sample", "dummy", "changeme", "redacted"}

// span is a part of a text.
type span struct{ start, end int }

func (s span) of(text string) string { return text[s.start:s.end] }

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// isBase64 reports whether c is of the base64 alphabet, or of that for URLs.
func isBase64(c byte) bool {
	return isAlphanumeric(c) || c == '+' || c == '/' || c == '-' || c == '_'
}

// nextID returns the first AccessKey ID in text from an offset on.
func nextID(text string, from int) (span, bool) {
	for from < len(text) {
		i := strings.Index(text[from:], idPrefix)
		if i < 0 {
			return span{}, false
		}
		id := span{from + i, from + i + len(idPrefix)}
		for id.end < len(text) && isAlphanumeric(text[id.end]) {
			id.end++
		}
		if isID(text, id) {
			return id, true
		}
		from = id.end
	}
	return span{}, false
}

// isID reports whether letters and digits that begin with the prefix are an AccessKey ID.
func isID(text string, id span) bool {
	if n := id.end - id.start; n < minID || n > maxID {
		return false
	}
	return !isPlaceholder(id.of(text)[len(idPrefix):]) && startsToken(text, id.start) && endsToken(text, id.end) && !isNoise(text, id)
}

// startsToken reports whether a token can begin at i: after the start of the text, a character that is no letter, digit or
// underscore, or an escaped character such as \n, \u003d or %3D.
func startsToken(text string, i int) bool {
	if i == 0 {
		return true
	}
	c := text[i-1]
	switch {
	case i >= 2 && text[i-2] == '\\' && strings.IndexByte("ntr", c) >= 0:
		return true
	case i >= 3 && text[i-3] == '%' && isHex(text[i-2:i]):
		return true
	case i >= 6 && text[i-6:i-4] == `\u` && isHex(text[i-4:i]):
		return true
	}
	return !isAlphanumeric(c) && c != '_' && c != '*' && !strings.HasSuffix(text[:i], "STS.")
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdefABCDEF") == "" }

// endsToken reports whether a token can end at i: not before what stands for more characters, such as **** or an ellipsis.
func endsToken(text string, i int) bool {
	rest := text[i:min(len(text), i+3)]
	switch {
	case rest == "":
		return true
	case rest[0] == '*', rest[0] == '_', strings.HasPrefix(rest, ".."), strings.HasPrefix(rest, "…"):
		return false
	case rest[0] == '=': // the padding of base64
		return len(rest) > 1 && rest[1] != '=' && rest[1] > ' ' && rest[1] != '"' && rest[1] != '\''
	}
	return true
}

// isNoise reports whether a token is a part of base64, to which + and / belong.
func isNoise(text string, token span) bool {
	start, end := token.start, token.end
	for start > 0 && token.start-start <= noiseLength && isBase64(text[start-1]) {
		start--
	}
	for end < len(text) && end-token.end <= 2*noiseLength && isBase64(text[end]) {
		end++
	}
	before, after := text[start:token.start], text[token.end:end]
	if len(before)+len(after) < noiseLength {
		return false
	}
	if before == "" && len(after) == 1+secretLength && isSecret(after[1:]) { // ID/secret
		return false
	}
	return isMixed(before + after)
}

// isMixed reports whether a text has capitals, other letters and digits.
func isMixed(text string) bool {
	var upper, lower, digit bool
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= '0' && c <= '9':
			digit = true
		}
	}
	return upper && lower && digit
}

// isPlaceholder reports whether letters and digits stand for others, as in documents.
func isPlaceholder(text string) bool {
	var seen [256]bool
	distinct, ascending := 0, 0
	for i := range len(text) {
		if !seen[text[i]] {
			seen[text[i]] = true
			distinct++
		}
		if i > 0 && (text[i] == text[i-1]+1 || text[i] == '0' && text[i-1] == '9') {
			ascending++
		}
	}
	if distinct < minDistinct || ascending > maxAscending {
		return true
	}
	lower := strings.ToLower(text)
	for _, word := range placeholders {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}

// isSecret reports whether a whole text has the form of an AccessKey secret.
func isSecret(text string) bool {
	if len(text) != secretLength {
		return false
	}
	for i := range len(text) {
		if !isAlphanumeric(text[i]) {
			return false
		}
	}
	return !isPlaceholder(text) && (isMixed(text) || isMixed(text+"0") || isMixed(text+"a") || isMixed(text+"A"))
}

// nextSecret returns the first AccessKey secret in text from an offset on.
func nextSecret(text string, from int) (span, bool) {
	for i := from; i < len(text); {
		if !isAlphanumeric(text[i]) {
			i++
			continue
		}
		token := span{i, i}
		for token.end < len(text) && isAlphanumeric(text[token.end]) {
			token.end++
		}
		if escaped := token.end - token.start - secretLength; escaped == 1 && i > 0 && text[i-1] == '\\' {
			token.start++ // \n before it
		}
		if isSecret(token.of(text)) {
			return token, true
		}
		i = token.end
	}
	return span{}, false
}

// hasSecret reports whether an AccessKey secret stands in text.
func hasSecret(text string) bool {
	_, found := nextSecret(text, 0)
	return found
}

// lastFour returns what may be shown of an AccessKey ID. It is a copy, so that it does not keep the text in memory.
func lastFour(id string) string { return strings.Clone(id[len(id)-4:]) }

// maxShown bounds a name in a place, in bytes.
const maxShown = 80

// shown returns a name as it may be shown: without an AccessKey, without control characters, and bounded.
func shown(name string) string {
	var b strings.Builder
	for from := 0; from < len(name) && b.Len() < maxShown; {
		if !isAlphanumeric(name[from]) {
			if c := name[from]; strings.IndexByte("._-/: []", c) >= 0 {
				b.WriteByte(c)
			} else if c < 0x80 || c >= 0xC0 { // once for a character of several bytes
				b.WriteByte('?')
			}
			from++
			continue
		}
		token := span{from, from}
		for token.end < len(name) && isAlphanumeric(name[token.end]) {
			token.end++
		}
		if text := token.of(name); mayBeKey(text) {
			b.WriteString("…")
		} else {
			b.WriteString(text)
		}
		from = token.end
	}
	if b.Len() > maxShown {
		return strings.ToValidUTF8(b.String()[:maxShown], "") + "…"
	}
	return b.String()
}

// mayBeKey reports whether letters and digits could be an AccessKey or a part of one. It is stricter than the forms.
func mayBeKey(text string) bool {
	return strings.Contains(text, idPrefix) && len(text) > len(idPrefix)+4 || len(text) >= 20 && isMixed(text) || len(text) >= secretLength
}
