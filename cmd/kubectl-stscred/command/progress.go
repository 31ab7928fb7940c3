// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"sync"
	"time"
)

const (
	// progressDelay is how long work may take without a progress line.
	progressDelay = time.Second
	// progressInterval is the least time between two changes of the line.
	progressInterval = 100 * time.Millisecond
)

// progress is a line on the standard error that says what a command is busy with. It appears only on a terminal, after
// progressDelay, and disappears at the end. Its methods may be called at the same time.
type progress struct {
	o       *options
	ended   chan struct{}
	mu      sync.Mutex
	text    string
	painted time.Time // zero before the line appears
	done    bool
}

// progress starts a progress line. Call stop before anything else is printed.
func (o *options) progress(format string, arguments ...any) *progress {
	p := &progress{o: o, text: fmt.Sprintf(format, arguments...), ended: make(chan struct{})}
	if !o.IsTerminal(o.ErrOut) {
		p.done = true
		return p
	}
	timer := o.Clock.NewTimer(progressDelay)
	go func() {
		defer timer.Stop()
		select {
		case <-timer.C():
			p.appear()
		case <-p.ended:
		}
	}()
	return p
}

func (p *progress) appear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done {
		p.paint()
	}
}

func (p *progress) paint() {
	p.painted = p.o.Clock.Now()
	_, _ = fmt.Fprintf(p.o.ErrOut, "\r\x1b[K%s …", p.text)
}

// update changes the text.
func (p *progress) update(format string, arguments ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = fmt.Sprintf(format, arguments...)
	if !p.done && !p.painted.IsZero() && p.o.Clock.Since(p.painted) >= progressInterval {
		p.paint()
	}
}

// stop removes the line. It may be called more than once.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	p.done = true
	close(p.ended)
	if !p.painted.IsZero() {
		_, _ = fmt.Fprint(p.o.ErrOut, "\r\x1b[K")
	}
}
