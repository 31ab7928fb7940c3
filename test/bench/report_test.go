// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// measured has invented results that miss one target.
func measured() results {
	size := func(n int) sized {
		took := time.Duration(n) * 5 * time.Millisecond
		ours := issuance{
			Took: took, STSCalls: n, CPU: time.Duration(n) * 2 * time.Millisecond, IdleRSS: 40 << 20, RSS: 40<<20 + n*9<<10, Peak: 200 << 20,
			Load:     load{APIServer: took, Etcd: took / 2, Bench: took / 4, Manager: took / 4},
			Requests: requests{"POST secrets": n, "PUT stscredentials/status": n},
		}
		return sized{
			N: n, BaselineWaiting: issuance{Took: took / 2}, Waiting: issuance{Took: took}, BaselineCreated: issuance{Took: took * 9 / 10, Load: load{APIServer: took}}, Created: ours,
			Restart: restart{Took: time.Second, CPU: time.Second, RSS: 50 << 20, Peak: 60 << 20},
		}
	}
	return results{
		Conditions: conditions{Cores: 2, CPU: "a CPU", Go: "1.26", Workers: 32, Rounds: 3, Latency: 20 * time.Millisecond, Unrelated: 10000, UnrelatedKB: 10},
		Sizes:      []sized{size(1000), size(4000), size(10000)},
		Crowded:    size(4000),
		Renewal: renewalPhase{
			N: 10000, Rate: 100, Took: 2 * time.Minute, Renewals: 12000, STSCalls: 12001, P99: 300 * time.Millisecond, Cores: 0.4,
			Requests: requests{"PATCH secrets": 12001, "PUT stscredentials/status": 12000},
		},
		Agent: agentCost{
			Binary: 7_000_000, FirstAnswer: 12 * time.Millisecond, IdleRSS: 9 << 20, RSS: 10 << 20, Peak: 10 << 20,
			Kept:  agentLoad{Took: 2 * time.Second, CPU: time.Second, Answers: 20_000, P50: time.Millisecond, P99: 2 * time.Millisecond},
			Fresh: agentLoad{Took: 2 * time.Second, CPU: time.Second, Answers: 4_000, P50: time.Millisecond, P99: 3 * time.Millisecond},
		},
		Took: 12 * time.Minute,
	}
}

func TestLoad(t *testing.T) {
	text := measured().loadTable().String()
	for _, want := range []string{"| kube-apiserver | 5 ms, 5 ms |", "| total | 5 ms, 10 ms |", "| baseline / operator | 0.50 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestTargets(t *testing.T) {
	r := measured()
	missed := func() (all []string) {
		for _, one := range r.targets() {
			if !one.met {
				all = append(all, one.what)
			}
		}
		return all
	}
	if got := missed(); len(got) != 3 || !strings.HasPrefix(got[0], "baseline / operator, credentials that wait at 1000") {
		t.Errorf("missed are %q, want the three of a baseline that takes half of the time", got)
	}
	for i := range r.Sizes {
		r.Sizes[i].BaselineWaiting = r.Sizes[i].Waiting
	}
	if got := missed(); len(got) != 0 {
		t.Errorf("missed are %q, want none", got)
	}
	for _, spoil := range []func(){
		func() { r.Sizes[2].Created.Requests["GET secrets"]++ },
		func() { r.Sizes[0].Waiting.Requests = requests{"GET secrets": 4001} },
		func() { r.Sizes[1].Created.CPU *= 2 },
		func() { r.Sizes[1].Created.RSS = 101 << 20 },
		func() { r.Sizes[0].Restart.STSCalls = 1 },
		func() { r.Sizes[0].Restart.Requests = requests{"LIST secrets": 2, "GET secrets": 1} },
		func() { r.Crowded.Created.RSS *= 2 },
		func() { r.Renewal.Cores = 0.6 },
		func() { r.Renewal.P99 = 3 * time.Second },
		func() { r.Renewal.ExpiredMetric = 0.5 },
		func() { r.Renewal.Expired = time.Millisecond },
		func() { r.Renewal.Requests["GET secrets"] = 12000 },
		func() { r.Renewal.IdleCores = 0.02 },
		func() { r.Renewal.Renewals = 9000 },
	} {
		before := len(missed())
		if spoil(); len(missed()) != before+1 {
			t.Errorf("missed are %q, want one more than before", missed())
		}
	}
}

func TestThePageKeepsWhatIsWrittenByHand(t *testing.T) {
	docs := t.TempDir()
	if err := os.Mkdir(filepath.Join(docs, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(docs, pageFile)
	read := func() string {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	r := measured()
	if err := r.save(docs); err != nil {
		t.Fatal(err)
	}
	const findings = "\n\n## Findings\n\nBy hand.\n"
	if err := os.WriteFile(page, []byte(strings.TrimSpace(read())+findings), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Sizes[0].N = 1234
	if err := r.save(docs); err != nil {
		t.Fatal(err)
	}
	text := read()
	if !strings.HasSuffix(text, byHand+findings) || strings.Count(text, "## Findings") != 1 {
		t.Errorf("the text that was written by hand is gone:\n%s", text)
	}
	for _, want := range []string{"| 1234 |", "**missed**", "| met |", "2 cores (a CPU)", "with 10000 Secrets of 10 KiB"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Only the agent's section is replaced.
func TestTheAgentsSectionIsReplaced(t *testing.T) {
	docs := t.TempDir()
	if err := os.Mkdir(filepath.Join(docs, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := measured()
	for _, before := range []agentCost{{}, r.Agent} { // a page without the section, and one with it
		r.Agent = before
		if err := r.save(docs); err != nil {
			t.Fatal(err)
		}
		other := results{Agent: measured().Agent}
		other.Agent.Binary = 11_000_000
		if err := other.saveAgent(docs); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(docs, pageFile))
		if err != nil {
			t.Fatal(err)
		}
		r.Agent = other.Agent
		if want := r.page() + byHand + "\n"; string(got) != want {
			t.Errorf("the page is\n%s\nwant\n%s", got, want)
		}
		for _, row := range []string{"| binary | ≤ 10 MB | 11 MB | **missed** |", "a connection each | ≥ 5000/s | 4000/s | **missed** |", "connections kept | ≥ 5000/s | 20000/s | met |"} {
			if strings.Count(string(got), row) != 1 {
				t.Errorf("the page does not have %s once:\n%s", row, got)
			}
		}
		r.Agent = measured().Agent
	}
}

// The tables of a run that ended early have its results, and say that it ended early.
func TestARunThatEndedEarly(t *testing.T) {
	r := measured()
	r.Sizes, r.Crowded, r.Renewal, r.Missing = r.Sizes[:1], sized{}, renewalPhase{}, "more than 15m0s have passed"
	text := r.tables() + r.picture()
	for _, want := range []string{"ended early", "more than 15m0s have passed", "| credentials | 1000 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the tables lack %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"NaN", "Inf", "## Renewal", "## Secrets of others"} {
		if strings.Contains(text, not) {
			t.Errorf("the tables have %q:\n%s", not, text)
		}
	}
}

func TestThePictureIsXML(t *testing.T) {
	decoder := xml.NewDecoder(strings.NewReader(measured().picture()))
	lines := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != 11 {
		t.Errorf("%d lines are drawn, want 11", lines)
	}
}

func TestParse(t *testing.T) {
	s, err := parse([]string{"--sizes=1000,2000"})
	if err != nil || len(s.sizes) != 2 || s.renewing != 2000 || !s.write {
		t.Errorf("parse = %+v, %v", s, err)
	}
	if short, err := parse([]string{"--short"}); err != nil || short.write || short.renewalTime > time.Minute {
		t.Errorf("--short: %+v, %v", short, err)
	}
	for _, bad := range []string{"--sizes=10,,20", "--sizes=0", "--nope", "--workers=0", "--renewal-rate=0", "--renewing=10", "--sizes=999"} {
		if _, err := parse([]string{bad}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
