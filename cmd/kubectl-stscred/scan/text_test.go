// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An AccessKey that nobody has.
const (
	testID     = "LTAI5tQ7vBm2XkR9cWz3Hd8p"
	testSecret = "q8Zt3LmW6xVb1NcR7yKd0HsJf5GaPe"
)

// scanOne scans a text that is an object of its own.
func scanOne(text string) result { return scanText(text, &decoder{left: maxDecoded}) }

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func compressed(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestScanText(t *testing.T) {
	for _, tt := range []struct{ name, text, path string }{
		{"whole", testID, ""},
		{"with white space", " " + testID + "\n", ""},
		{"16 characters", "LTAI4Fj8Qz1mWkXp", ""},
		{"20 characters", "LTAI4Fj8Qz1mWkXpR3vB", ""},
		{"JSON", `{"profiles":[{"access_key_id":"` + testID + `"}]}`, "profiles[0].access_key_id"},
		{"JSON in JSON", `{"a":"{\"b\":\"` + testID + `\"}"}`, "a, b"},
		{"base64 in JSON", `{"data":{"id":"` + encoded(testID) + `"}}`, "data.id, base64"},
		{"YAML", "a: 1\nkeys:\n  access_key_id: \"" + testID + "\"\n", "line 3, access_key_id"},
		{"INI", "[default]\naccess_key_id = " + testID + "\n", "line 2, access_key_id"},
		{"shell", "export AK='" + testID + "'; run", "AK"},
		{"option", "--access-key " + testID, "access-key"},
		{"XML", "<accessKeyId>" + testID + "</accessKeyId>", "accessKeyId"},
		{"base64 twice", encoded(encoded(testID + ":" + testSecret)), "base64, base64"},
		{"wrapped base64", encoded(strings.Repeat("x", 57))[:76] + "\n" + encoded("\nid="+testID+"\n"), "base64, line 2, id"},
		{"gzip in base64", encoded(compressed(`{"ak":"` + testID + `"}`)), "base64, gzip, ak"},
		{"escaped line feed", `a\n` + testID + `\n`, ""},
		{"URL", "https://" + testID + ":" + testSecret + "@oss", ""},
		{"percent-encoded", "x?id%3D" + testID, ""},
		{"beside its secret", testID + "/" + testSecret, ""},
	} {
		r := scanOne(tt.text)
		if len(r.hits) != 1 {
			t.Errorf("%s: %d hits, want 1", tt.name, len(r.hits))
			continue
		}
		if got := r.hits[0].path; got != tt.path && tt.path != "" {
			t.Errorf("%s: path %q, want %q", tt.name, got, tt.path)
		}
	}
}

func TestScanTextPassesOverWhatIsNoKey(t *testing.T) {
	for _, text := range []string{
		"", "LTAI", "LTAI5tQ7vBm2XkR", testID + "x", "VO" + testID, "LTAIxxxxxxxxxxxxxxxxxxxx", "LTAI****************", testID[:18] + "****",
		testID[:20] + "...", testID[:20] + "…", "LTAI5tExampleExample1234", "<your-access-key-id>", "STS.NUgYrLnoC37mZZCNnAbez", "LTAI123456789012",
		"LTAIYourAccessKeyIdHere1", strings.ToLower(testID), "STS." + testID, testID + "_", "_" + testID, "LTAI 5tQ7vBm2XkR9cWz3Hd8p",
		"Zm9vYmFyMTIzNDU2Nzg5MGFi+" + testID + "/Zm9vYmFyMTIzNDU2Nzg5", testID[:20] + "==",
	} {
		if r := scanOne(text); len(r.hits) > 0 {
			t.Errorf("%q: %d hits, want none", text, len(r.hits))
		}
	}
}

func TestSecretBeside(t *testing.T) {
	for text, want := range map[string]bool{
		testID: false, testID + " " + testSecret: true, testID + " " + testSecret + "x": false,
		`{"a":[{"id":"` + testID + `","secret":"` + testSecret + `"}]}`: true, encoded("id=" + testID + "\nsecret=" + testSecret): true,
		testID + strings.Repeat(" ", 2*besideLength) + testSecret: false,
	} {
		if r := scanOne(text); len(r.hits) != 1 || r.hits[0].hasSecret != want {
			t.Errorf("%q: %+v, want a secret beside it: %t", text, r.hits, want)
		}
	}
}

func TestScanTextIsBounded(t *testing.T) {
	bomb := compressed(strings.Repeat(" ", 40<<20))
	d := decoder{left: maxDecoded}
	if scanText(bomb, &d); !d.exceeded {
		t.Error("40 MiB in gzip are not reported as exceeding the bound")
	}
	if r := scanOne(strings.Repeat(testID+"\n", 1000)); len(r.hits) != maxHits || !r.more {
		t.Errorf("%d hits, more: %t", len(r.hits), r.more)
	}
	for name, text := range map[string]string{
		"nested lists": strings.Repeat("[", 1<<20), "prefixes": strings.Repeat("LTAI", 1<<18), "base64": strings.Repeat("TFRB", 1<<18),
		"backslashes": strings.Repeat(`\`, 1<<20), "strings": "[" + strings.Repeat(`"LTAI","aaaaaaaaaaaaaaaaaaaaaa",`, 1<<15) + "1]",
	} {
		if r := scanOne(text); len(r.hits) > 0 {
			t.Errorf("%s: %d hits", name, len(r.hits))
		}
	}
}

// All fields of an object share one bound, whatever the number of its fields.
func TestScanOfObjectIsBounded(t *testing.T) {
	bomb := []byte(compressed(strings.Repeat(" ", 8<<20)))
	data := map[string][]byte{"a": []byte(compressed("id=" + testID)), "z": []byte(testID)}
	for i := range 68 {
		data[fmt.Sprintf("bomb-%02d", i)] = bomb
	}
	s := New()
	s.AddSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bombs"}, Data: data})
	s.AddSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "next"}, Data: map[string][]byte{"a": data["a"]}})
	r := s.Report()
	if len(r.Findings) != 3 || len(r.Unread) != 1 || r.Unread[0].Resource != "Secret/bombs in namespace shop" {
		t.Errorf("%d findings, want those before, after and in the next Secret; unread: %+v", len(r.Findings), r.Unread)
	}
}

// An object of the exact size of the bound is scanned as a whole.
func TestScanUpToBound(t *testing.T) {
	for size, exceeded := range map[int]bool{maxDecoded - 1: false, maxDecoded: false, maxDecoded + 1: true} {
		d := decoder{left: maxDecoded}
		text := compressed(strings.Repeat(" ", size-len(testID)) + testID)
		if r := scanText(text, &d); d.exceeded != exceeded || len(r.hits) == 0 != exceeded {
			t.Errorf("%d bytes: exceeded: %t, want %t, %d hits", size, d.exceeded, exceeded, len(r.hits))
		}
	}
}

func TestShown(t *testing.T) {
	for _, name := range []string{testID, testSecret, "a-" + testID + "-b", "x_" + testSecret, "\x1b[31m" + testID, strings.Repeat("a/", 100)} {
		got := shown(name)
		if strings.Contains(got, testID[4:]) || strings.Contains(got, testSecret) || strings.Contains(got, "\x1b") || len(got) > maxShown+4 {
			t.Errorf("shown(%q) = %q", name, got)
		}
	}
}

// BenchmarkScanOfBombs scans a Secret whose keys decompress to more than the bound.
func BenchmarkScanOfBombs(b *testing.B) {
	bomb := []byte(compressed(strings.Repeat("LTAI ", 2<<20)))
	data := map[string][]byte{}
	for i := range 68 {
		data[fmt.Sprint(i)] = bomb
	}
	b.ReportAllocs()
	for b.Loop() {
		New().AddSecret(&corev1.Secret{Data: data})
	}
}

func FuzzScanText(f *testing.F) {
	for _, seed := range []string{
		testID, `{"a":["` + testID + `"]}`, encoded("x=" + testID), compressed(testID), "a: " + testID + "\nb: " + testSecret, `{"` + testID + `":1}`,
		testSecret + "=" + testID,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := scanOne(text)
		if len(r.hits) > maxHits {
			t.Errorf("%d hits", len(r.hits))
		}
		ids, secrets := map[string]bool{}, []string{}
		for from := 0; ; {
			s, found := nextID(text, from)
			if !found {
				break
			}
			ids[s.of(text)] = true
			from = s.end
		}
		for from := 0; ; {
			s, found := nextSecret(text, from)
			if !found {
				break
			}
			secrets = append(secrets, s.of(text))
			from = s.end
		}
		printed := fmt.Sprint(shownHits(r))
		for id := range ids {
			if strings.Contains(printed, id) {
				t.Errorf("prints the ID of %q", text)
			}
		}
		for _, secret := range secrets {
			if strings.Contains(printed, secret) {
				t.Errorf("prints the secret of %q", text)
			}
		}
	})
}

func shownHits(r result) (all []string) {
	for _, h := range r.hits {
		all = append(all, h.path, h.lastFour)
	}
	return all
}
