// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"time"

	"github.com/prometheus/procfs"
)

// load is the CPU time of all processes that take part. They share the cores, so each waits for the others.
type load struct{ APIServer, Etcd, Manager, Bench time.Duration }

// load returns the CPU time until now. That of the manager is 0 if none runs.
func (env *environment) load() (used load, err error) {
	processes := map[*time.Duration]int{&used.Bench: os.Getpid()}
	if env.manager != nil {
		processes[&used.Manager] = env.manager.ID()
	}
	for name, of := range map[string]*time.Duration{"etcd": &used.Etcd, "kube-apiserver": &used.APIServer} {
		id, err := env.plane.ID(name)
		if err != nil {
			return load{}, err
		}
		processes[of] = id
	}
	for of, id := range processes {
		process, err := procfs.NewProc(id)
		if err != nil {
			return load{}, err
		}
		stat, err := process.Stat()
		if err != nil {
			return load{}, err
		}
		*of = time.Duration(stat.CPUTime() * float64(time.Second))
	}
	return used, nil
}

func (l load) minus(before load) load {
	return load{l.APIServer - before.APIServer, l.Etcd - before.Etcd, l.Manager - before.Manager, l.Bench - before.Bench}
}

func (l load) sum() time.Duration { return l.APIServer + l.Etcd + l.Manager + l.Bench }
