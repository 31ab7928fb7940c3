// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// fileName is the key of the Secret that format URI writes.
	fileName = "credentials.json"
	// maxFile bounds the file, in bytes. Tokens of STS have less than 1 KiB.
	maxFile = 64 << 10
	// minLife is the least time that credentials must still be valid for to be served.
	minLife = time.Minute
)

// store holds the last complete credentials that were read.
type store struct {
	dir string
	now func() time.Time
	log *slog.Logger
	// current is never nil. Only refresh replaces it, as a whole.
	current atomic.Pointer[state]
}

// state is immutable.
type state struct {
	// body is the whole answer, nil before the first credentials, and length its Content-Length.
	body   []byte
	length []string
	// expires is when the credentials in body expire.
	expires time.Time
	// problem is the error of the last read, with the next step; empty if it succeeded.
	problem string
}

func newStore(c Config) *store {
	s := &store{dir: c.Dir, now: c.Now, log: c.Log}
	s.current.Store(&state{})
	return s
}

// follow reads the file at each interval until ctx ends.
func (s *store) follow(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.refresh()
		}
	}
}

// refresh reads the file. Where that fails, the credentials that were read before stay. It must not run twice at once.
func (s *store) refresh() {
	last := s.current.Load()
	raw, err := readFile(s.dir)
	if err == nil && last.body != nil && bytes.Equal(raw, last.body) {
		if last.problem != "" {
			s.current.Store(newState(last.body, last.expires))
		}
		return
	}
	var expires time.Time
	if err == nil {
		expires, err = parse(raw)
	}
	if err == nil {
		s.current.Store(newState(raw, expires))
		s.log.Info("Read credentials.", "expiration", expires.UTC().Format(time.RFC3339))
		return
	}
	if problem := err.Error(); problem != last.problem {
		s.current.Store(&state{body: last.body, length: last.length, expires: last.expires, problem: problem})
		s.log.Warn("Cannot read credentials.", "problem", problem)
	}
}

func newState(body []byte, expires time.Time) *state {
	return &state{body: body, length: []string{strconv.Itoa(len(body))}, expires: expires}
}

// unavailable returns why the credentials of a state cannot be served, with the next step; empty if they can.
func (s *store) unavailable(current *state) string {
	if current.body != nil && !s.now().Add(minLife).After(current.expires) {
		return ""
	}
	if current.problem != "" {
		return current.problem
	}
	return fmt.Sprintf("The credentials in %s expire at %s, which is too soon. "+
		"See the conditions of the StsCredential that writes the Secret; the kubelet updates a volume within two minutes of a renewal.",
		s.dir, current.expires.UTC().Format(time.RFC3339))
}

// readFile returns the content of the file. Symbolic links are followed within the directory only: the kubelet's own lead
// from credentials.json over ..data to the directory of one version, so that one open file belongs to one issuance.
func readFile(dir string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be opened (%s). Mount the Secret there, or set %s", dir, cause(err), EnvDir)
	}
	defer func() { _ = root.Close() }()
	file, err := open(root)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = open(root) // the kubelet may have removed the version that ..data led to just before
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing in %s. Add URI to spec.secret.formats of the StsCredential that writes the Secret", fileName, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%s in %s cannot be opened (%s). Mount the Secret as a volume that the user of the agent can read", fileName, dir, cause(err))
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s in %s is not a regular file. Mount the Secret there", fileName, dir)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s in %s cannot be read (%s)", fileName, dir, cause(err))
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("%s in %s is larger than %d bytes. Let the StsCredential write it, by format URI", fileName, dir, maxFile)
	}
	return raw, nil
}

// open does not block where the file is a FIFO.
func open(root *os.Root) (*os.File, error) {
	return root.OpenFile(fileName, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// cause is the error below a path, which the message has already.
func cause(err error) string {
	if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
		return inner.Err.Error()
	}
	return err.Error()
}

// errIncomplete does not contain the file, which could be a part of a secret.
var errIncomplete = errors.New(fileName + " is incomplete or not what format URI writes. Let the StsCredential write it, by format URI")

// parse returns when the credentials in a file expire.
func parse(raw []byte) (time.Time, error) {
	var content struct {
		Code            string `json:"Code"`
		AccessKeyID     string `json:"AccessKeyId"`
		AccessKeySecret string `json:"AccessKeySecret"`
		SecurityToken   string `json:"SecurityToken"`
		Expiration      string `json:"Expiration"`
	}
	if err := json.Unmarshal(raw, &content); err != nil {
		return time.Time{}, errIncomplete
	}
	if content.Code != "Success" || content.AccessKeyID == "" || content.AccessKeySecret == "" || content.SecurityToken == "" {
		return time.Time{}, errIncomplete
	}
	expires, err := time.Parse(time.RFC3339, content.Expiration)
	if err != nil {
		return time.Time{}, errIncomplete
	}
	return expires, nil
}
