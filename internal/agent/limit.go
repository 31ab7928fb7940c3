// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net"
	"sync"
)

// limitedListener limits the number of open connections. Further connections wait in the listen queue.
type limitedListener struct {
	*net.TCPListener
	open   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(listener *net.TCPListener, connections int) *limitedListener {
	return &limitedListener{TCPListener: listener, open: make(chan struct{}, connections), closed: make(chan struct{})}
}

// saturated reports whether more than half of the connections are open.
func (l *limitedListener) saturated() bool { return len(l.open) > cap(l.open)/2 }

// Accept waits for a connection, and for one to end where the limit is reached.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.AcceptTCP()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &limitedConn{TCPConn: conn, done: sync.OnceFunc(func() { <-l.open })}, nil
}

// Close ends waiting in Accept, too.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}

// limitedConn keeps the methods of a TCP connection: the HTTP server closes it in halves, so that a refusal arrives.
type limitedConn struct {
	*net.TCPConn
	done func()
}

func (c *limitedConn) Close() error {
	defer c.done()
	return c.TCPConn.Close()
}
