// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// follow reads the file again at each change in the directory, and at each poll, until ctx ends.
func (s *store) follow(ctx context.Context, poll <-chan time.Time) {
	var changes chan fsnotify.Event
	var failures chan error
	watcher, err := s.newWatcher()
	if err != nil {
		s.log.Warn("Cannot watch the directory; polling it.", "interval", pollInterval.String(), "cause", err.Error())
	} else {
		defer func() { _ = watcher.Close() }()
		changes, failures = watcher.Events, watcher.Errors
		_ = watcher.Add(s.dir) // is tried again at each poll
		s.refresh()            // for what has changed before
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case err := <-failures: // as when events were lost
			s.log.Warn("Reading the file again after an error of the watch.", "cause", err.Error())
		case <-poll:
			if watcher != nil {
				_ = watcher.Add(s.dir) // once is enough for one directory, but it may be another one now
			}
		}
		s.refresh()
	}
}
