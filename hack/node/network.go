// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// clusters is how many can run on one machine at once.
const clusters = 64

// slot is the place of one cluster on this machine: its name and its addresses. They are of the network that is set
// aside for benchmarks (RFC 2544), which nothing on the internet and hardly anything beside it uses.
type slot struct {
	Name     string       // of the cgroups, of the folder and of the interface
	Host     netip.Addr   // this machine, as the node sees it; the API server's
	Node     netip.Addr   // the node
	Link     netip.Prefix // between the two
	Pods     netip.Prefix
	Services netip.Prefix
}

func slotOf(n int) slot {
	first := byte(4 * n)
	part := func(i byte) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, first + i, 0}), 24)
	}
	host := part(0).Addr().Next()
	return slot{
		Name:     "stsnode" + strconv.Itoa(n),
		Host:     host,
		Node:     host.Next(),
		Link:     part(0),
		Pods:     part(1),
		Services: part(2),
	}
}

// takeSlot takes the first that is free. It ends with this process, whatever becomes of that one: an abstract socket
// leaves no file.
func takeSlot(ctx context.Context) (slot, net.Listener, error) {
	var errs []error
	for n := range clusters {
		s := slotOf(n)
		lock, err := new(net.ListenConfig).Listen(ctx, "unix", "@"+s.Name)
		if err == nil {
			return s, lock, nil
		}
		errs = append(errs, err)
	}
	return slot{}, nil, fmt.Errorf("no place for another cluster: %w", errors.Join(errs...))
}

// connect makes a cable between this machine and the node, which goes with the node's namespaces. Nothing leads from
// the node to anywhere else.
func (c *Cluster) connect(ctx context.Context) error {
	s, pid := c.slot, strconv.Itoa(c.holder.ID())
	bits := "/" + strconv.Itoa(s.Link.Bits())
	for _, args := range [][]string{
		{"link", "add", s.Name, "type", "veth", "peer", "name", "eth0", "netns", pid},
		{"address", "add", s.Host.String() + bits, "dev", s.Name},
		{"link", "set", s.Name, "up"},
		{"route", "add", s.Pods.String(), "via", s.Node.String()},
		{"route", "add", s.Services.String(), "via", s.Node.String()},
	} {
		if err := run(ctx, "ip", args...); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"address", "add", s.Node.String() + bits, "dev", "eth0"},
		{"link", "set", "eth0", "up"},
		// Never taken: it lets the node itself ask for a Service, whose address is replaced on the way.
		{"route", "add", s.Services.String(), "via", s.Host.String()},
	} {
		if err := c.Run(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}
