// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/stscredential/sts-credential-operator/hack/process"
)

const (
	agentToken = "11111111-2222-3333-4444-555555555555"
	agentPath  = "/v1/" + agentToken + "/credentials"
	// agentStarts is how often the agent is started: the median counts.
	agentStarts = 11
	// agentClients is the number of concurrent clients. Each sends the next request when it has its answer.
	agentClients = 8
	// agentSwap is the interval between updates of the volume under load.
	agentSwap = 100 * time.Millisecond
)

// agentCost is what stscred-agent takes, on one core.
type agentCost struct {
	Binary             int           // bytes
	FirstAnswer        time.Duration // from the start of the process, the median
	IdleRSS, RSS, Peak int           // bytes; RSS after the load
	Kept, Fresh        agentLoad     // on connections that are kept, and with one for each answer
	IdleCPU            time.Duration // per minute without a request
	Updates            int
}

// agentLoad is what clients measured that sent requests without a pause.
type agentLoad struct {
	Took     time.Duration
	Answers  int
	P50, P99 time.Duration
	CPU      time.Duration // of the agent
}

func (l agentLoad) perSecond() float64 { return float64(l.Answers) / l.Took.Seconds() }

// perCPUSecond is how many answers the agent makes with one core.
func (l agentLoad) perCPUSecond() float64 { return float64(l.Answers) / l.CPU.Seconds() }

// agentVolume is a mounted Secret, updated as the kubelet does.
type agentVolume struct {
	dir     string
	version int
}

func (v *agentVolume) update() error {
	v.version++
	name := fmt.Sprintf("..%d", v.version)
	content := fmt.Sprintf(`{"Code": "Success", "StatusCode": "200", "AccessKeyId": "STS.N%d", "AccessKeySecret": %q, "SecurityToken": %q, "Expiration": %q}`,
		v.version, strings.Repeat("s", 44), strings.Repeat("t", 700), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	data, next := filepath.Join(v.dir, "..data"), filepath.Join(v.dir, "..data_tmp")
	last, _ := os.Readlink(data)
	if err := errors.Join(
		os.Mkdir(filepath.Join(v.dir, name), 0o700),
		os.WriteFile(filepath.Join(v.dir, name, "credentials.json"), []byte(content), 0o600),
		os.Symlink(name, next),
		os.Rename(next, data),
	); err != nil {
		return err
	}
	if last != "" {
		return os.RemoveAll(filepath.Join(v.dir, last))
	}
	return os.Symlink("..data/credentials.json", filepath.Join(v.dir, "credentials.json"))
}

// runningAgent is a process that has answered.
type runningAgent struct {
	*process.Process
	proc    procfs.Proc
	address string
}

func (b *bench) agentBinary() string { return filepath.Join(b.dir, "stscred-agent") }

// agent measures the agent, which is built as `make build` does.
func (b *bench) agent(ctx context.Context) (cost agentCost, err error) {
	b.log("the agent")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.agentBinary(), "./cmd/agent")
	build.Dir, build.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return cost, fmt.Errorf("build the agent: %w\n%s", err, output)
	}
	info, err := os.Stat(b.agentBinary())
	if err != nil {
		return cost, err
	}
	cost.Binary = int(info.Size())
	volume := &agentVolume{dir: filepath.Join(b.dir, "volume")}
	if err := errors.Join(os.Mkdir(volume.dir, 0o700), volume.update()); err != nil {
		return cost, err
	}
	var first []time.Duration
	for range agentStarts {
		began := time.Now()
		agent, err := b.startAgent(ctx, volume)
		first = append(first, time.Since(began))
		if err == nil {
			err = agent.Stop()
		}
		if err != nil {
			return cost, err
		}
	}
	slices.Sort(first)
	cost.FirstAnswer = first[len(first)/2]
	agent, err := b.startAgent(ctx, volume)
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, agent.Stop()) }()
	return cost, b.loadAgent(ctx, agent, volume, &cost)
}

// startAgent starts the agent on one core, and returns when it has answered.
func (b *bench) startAgent(ctx context.Context, volume *agentVolume) (*runningAgent, error) {
	addresses, err := process.FreeAddresses(ctx, "127.0.0.1", 1)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(b.agentBinary()) //nolint:noctx // it is stopped in order, not by a context
	cmd.Env = []string{"STSCRED_DIR=" + volume.dir, "STSCRED_LISTEN=" + addresses[0], "STSCRED_TOKEN=" + agentToken, "GOMAXPROCS=1"}
	agent := &runningAgent{address: addresses[0]}
	if agent.Process, err = process.Start("agent", b.dir, cmd); err != nil {
		return nil, err
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		_, err = (&agentClient{address: agent.address}).ask()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("the agent does not answer: %w", err), agent.Stop())
		}
	}
	agent.proc, err = procfs.NewProc(agent.ID())
	return agent, err
}

// loadAgent measures the agent at rest, and under load while the volume is updated.
func (b *bench) loadAgent(ctx context.Context, agent *runningAgent, volume *agentVolume, cost *agentCost) error {
	idle, err := usageOf(agent.proc)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(b.idleTime):
	}
	rested, err := usageOf(agent.proc)
	if err != nil {
		return err
	}
	cost.IdleRSS = rested.RSS
	cost.IdleCPU = time.Duration(float64(rested.CPU-idle.CPU) * float64(time.Minute) / float64(b.idleTime))
	if cost.Kept, err = askAgent(ctx, agent.address, true, b.idleTime, volume); err != nil {
		return err
	}
	loaded, err := usageOf(agent.proc)
	if err != nil {
		return err
	}
	cost.Kept.CPU = loaded.CPU - rested.CPU
	if cost.Fresh, err = askAgent(ctx, agent.address, false, b.idleTime, volume); err != nil {
		return err
	}
	used, err := usageOf(agent.proc)
	cost.Fresh.CPU = used.CPU - loaded.CPU
	cost.RSS, cost.Peak, cost.Updates = used.RSS, used.Peak, volume.version
	return err
}

// askAgent lets clients send requests for some time, while the volume is updated.
func askAgent(ctx context.Context, address string, keep bool, length time.Duration, volume *agentVolume) (load agentLoad, err error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	type answers struct {
		took []time.Duration
		err  error
	}
	results := make(chan answers)
	began := time.Now()
	for range agentClients {
		go func() {
			client, all := &agentClient{address: address, keep: keep}, answers{}
			for ctx.Err() == nil && all.err == nil {
				var took time.Duration
				took, all.err = client.ask()
				all.took = append(all.took, took)
			}
			client.close()
			results <- all
		}()
	}
	for ctx.Err() == nil && err == nil {
		err = volume.update()
		select {
		case <-ctx.Done():
		case <-time.After(agentSwap):
		}
	}
	cancel()
	var took []time.Duration
	for range agentClients {
		all := <-results
		err, took = errors.Join(err, all.err), append(took, all.took...)
	}
	load.Took, load.Answers = time.Since(began), len(took)
	slices.Sort(took)
	load.P50, load.P99 = took[len(took)/2], took[len(took)*99/100]
	return load, err
}

// agentClient calls the agent with little overhead, on a connection that it keeps or on a new one each time.
type agentClient struct {
	address string
	keep    bool
	conn    net.Conn
	from    *bufio.Reader
}

// ask returns how long an answer with credentials took. Any other answer is an error.
func (c *agentClient) ask() (took time.Duration, err error) {
	began := time.Now()
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.address, time.Second); err != nil { //nolint:noctx // bounded by its timeout
			c.conn = nil
			return 0, err
		}
		c.from = bufio.NewReader(c.conn)
	}
	request := "GET " + agentPath + " HTTP/1.1\r\nHost: " + c.address + "\r\n"
	if !c.keep {
		request += "Connection: close\r\n"
		defer c.close()
	}
	if _, err := io.WriteString(c.conn, request+"\r\n"); err != nil {
		return 0, err
	}
	err = c.read()
	return time.Since(began), err
}

// read reads an answer.
func (c *agentClient) read() error {
	length := -1
	for first := true; ; first = false {
		line, err := c.from.ReadString('\n')
		switch line = strings.TrimSpace(line); {
		case err != nil:
			return err
		case first && line != "HTTP/1.1 200 OK":
			return fmt.Errorf("the agent answers %s", line)
		case line == "":
			body := make([]byte, max(length, 0))
			if _, err := io.ReadFull(c.from, body); err != nil {
				return err
			}
			if !strings.HasPrefix(string(body), `{"Code": "Success"`) {
				return errors.New("the agent's answer has no credentials")
			}
			return nil
		}
		if value, is := strings.CutPrefix(line, http.CanonicalHeaderKey("content-length")+": "); is {
			if length, err = strconv.Atoi(value); err != nil {
				return err
			}
		}
	}
}

func (c *agentClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// agentTable has the agent's targets, and the measurements beside them.
func (r results) agentTable() (t table) {
	a := r.Agent
	if a.Binary == 0 {
		return t
	}
	j := &judge{}
	j.atMost("binary", 10, float64(a.Binary)/1e6, " MB")
	j.atMost("from the start of the process to the first answer, median", 100, float64(a.FirstAnswer.Microseconds())/1000, " ms")
	j.atLeast("answers per second of CPU time, connections kept", 5000, a.Kept.perCPUSecond(), "/s")
	j.atLeast("answers per second of CPU time, a connection each", 5000, a.Fresh.perCPUSecond(), "/s")
	j.atMost("RSS at rest", 10, mib(a.IdleRSS), " MiB")
	j.atMost("RSS after the load", 10, mib(a.RSS), " MiB")
	t.row("", "target", "measured", "")
	for _, one := range j.all {
		t.row(one.what, one.want, one.got, one.verdict())
	}
	t.row("RSS, peak", "", memory(a.Peak), "")
	load := func(what string, l agentLoad) {
		t.row(fmt.Sprintf("%d clients, %s: answers per second, p50, p99", agentClients, what), "",
			fmt.Sprintf("%s/s, %s, %s", short(l.perSecond()), ms(l.P50), ms(l.P99)), "")
	}
	load("connections kept", a.Kept)
	load("a connection each", a.Fresh)
	t.row("CPU per minute without requests", "", ms(a.IdleCPU), "")
	t.row("updates of the volume meanwhile", "", fmt.Sprint(a.Updates), "")
	return t
}
