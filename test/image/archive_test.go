// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"
	"testing"
)

// archive is an image as `docker save` writes it.
type archive struct {
	id     string
	config struct {
		Architecture, OS string
		Config           struct {
			User            string
			Env             []string
			Entrypoint, Cmd []string
			Labels          map[string]string
		}
	}
	files    map[string]fs.FileInfo // what a container sees, by path without the leading slash
	size     int64                  // of all layers, unpacked
	programs map[string][]byte      // the content of the executable files
}

// readArchive reads the operator's image.
func readArchive(t *testing.T) *archive {
	t.Helper()
	return readArchiveOf(t, "IMAGE_ARCHIVE", "image-check")
}

// readArchiveOf reads the image of the file that a variable names. A make target sets the variable.
func readArchiveOf(t *testing.T, variable, target string) *archive {
	t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		t.Skipf("no %s: `make %s` sets it", variable, target)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string][]byte{}
	walk(t, content, func(header *tar.Header, body []byte) { members[header.Name] = body })
	var manifest []struct {
		Config string
		Layers []string
	}
	decode(t, members["manifest.json"], &manifest)
	if len(manifest) != 1 {
		t.Fatalf("%d images in %s, want one", len(manifest), file)
	}
	image := &archive{files: map[string]fs.FileInfo{}, programs: map[string][]byte{}}
	image.id = strings.TrimSuffix(path.Base(manifest[0].Config), ".json")
	decode(t, members[manifest[0].Config], &image.config)
	for _, layer := range manifest[0].Layers {
		walk(t, members[layer], image.add)
	}
	return image
}

// add puts a layer's file over those of the layers below.
func (a *archive) add(header *tar.Header, body []byte) {
	name := path.Clean(strings.TrimPrefix(header.Name, "/"))
	base := path.Base(name)
	if hidden, ok := strings.CutPrefix(base, ".wh."); ok {
		gone := path.Join(path.Dir(name), hidden)
		maps.DeleteFunc(a.files, func(file string, _ fs.FileInfo) bool { return file == gone || strings.HasPrefix(file, gone+"/") })
		return
	}
	a.files[name] = header.FileInfo()
	a.size += header.Size
	if header.FileInfo().Mode().IsRegular() && header.FileInfo().Mode()&0o111 != 0 {
		a.programs[name] = body
	}
}

func walk(t *testing.T, content []byte, visit func(*tar.Header, []byte)) {
	t.Helper()
	if len(content) == 0 {
		t.Fatal("the archive lacks a part that its manifest names")
	}
	reader := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		visit(header, body)
	}
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}
