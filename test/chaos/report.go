// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	eventsv1 "k8s.io/api/events/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/chaos/observer"
)

// row is the result of a fault.
type row struct {
	fault string
	times int
	took  time.Duration // until recovery
}

// allowance limits the failed calls: ten for each StsCredential at once, and one every five seconds, which is the operator's own
// limit.
type allowance struct {
	worst      float64 // the largest part of the limit that was used
	calls, top float64 // the calls and the limit then
}

// judge compares the failed calls of one fault with the limit.
func (a *allowance) judge(env *environment, fault string, failed int64, lasted time.Duration) {
	credentials := 60.0 + maxChurned
	bound := credentials * (10 + lasted.Seconds()/5)
	if part := float64(failed) / bound; part >= a.worst {
		a.worst, a.calls, a.top = part, float64(failed), bound
	}
	if float64(failed) > bound {
		env.observer.Violate(time.Now(), fmt.Sprintf("%s: %d calls failed, the limit is %.0f", fault, failed, bound))
	}
}

// gauge is the size of a process.
type gauge struct{ goroutines, resident, heap float64 }

// growth is the size of a process before and after the faults.
type growth struct{ before, after gauge }

// Limits of growth, with as many StsCredentials before and after. The number of connections, and so of goroutines, varies, and the
// garbage collector does not return all memory.
const (
	moreGoroutines = 20
	moreMemory     = 32 << 20
)

// tooMuch reports whether the process grew by more than the limits.
func (g growth) tooMuch() bool {
	return g.after.goroutines > g.before.goroutines+moreGoroutines || g.after.resident > g.before.resident+moreMemory
}

// gauge returns the lowest values of the metrics within some seconds.
func (r *replica) gauge(ctx context.Context) (gauge, error) {
	least := gauge{math.Inf(1), math.Inf(1), math.Inf(1)}
	for range 10 {
		values, err := r.scrape(ctx)
		if err != nil {
			return gauge{}, err
		}
		least.goroutines = min(least.goroutines, values["go_goroutines"])
		least.resident = min(least.resident, values["process_resident_memory_bytes"])
		least.heap = min(least.heap, values["go_memstats_heap_alloc_bytes"])
		pause(ctx, time.Second)
	}
	return least, nil
}

// conclude makes the checks at the end of a run, and prints the tables.
func (c *chaos) conclude(ctx context.Context) error {
	c.observer.Begins("the end")
	c.awaitRecovery(ctx, calmNamespace, editedNamespace, churnNamespace)
	files, size, leaks, err := c.fleet.scanLogs()
	if err != nil {
		return err
	}
	for _, leak := range leaks {
		c.observer.Violate(time.Now(), "something secret is in the log "+leak)
	}
	objects, err := c.scanObjects(ctx)
	if err != nil {
		return err
	}
	calls, lost := c.observer.Calls(), c.mayLose()
	if calls.Unexplained > lost {
		c.observer.Violate(time.Now(), fmt.Sprintf("%d sessions were requested without need, the limit is %d", calls.Unexplained, lost))
	}
	if c.growth.tooMuch() {
		c.observer.Violate(time.Now(), fmt.Sprintf("the operator grew: %+v to %+v", c.growth.before, c.growth.after))
	}
	c.violations += len(c.observer.Violations())
	return c.print("chaos", c.faultTable()+c.guaranteeTable(calls, lost, files, size, len(leaks), objects))
}

// print prints tables, and writes them to the page between the comments with a name.
func (c *chaos) print(name, tables string) error {
	_, _ = fmt.Fprint(c.out, "\n", tables, "\n")
	if c.page == "" {
		return nil
	}
	return writeInto(c.page, name, tables)
}

// report judges a run of the hostile tenant. The second prints the table.
func (c *chaos) report(a *attack, watchList bool) error {
	row := a.judge(watchList)
	_, _, leaks, err := a.fleet.scanLogs()
	if err != nil {
		return err
	}
	for _, leak := range leaks {
		a.observer.Violate(time.Now(), "something secret is in the log "+leak)
	}
	printViolations(c.out, a.observer)
	row.violations = len(a.observer.Violations())
	c.violations += row.violations
	if c.attacks = append(c.attacks, row); len(c.attacks) < 2 {
		return nil
	}
	return c.print("tenant", c.attackTable(a))
}

// attackTable has the results of the runs of the hostile tenant.
func (c *chaos) attackTable(a *attack) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The %s form, seed %d, on %d cores. GOMEMLIMIT is %s. The tenant has %d StsCredentials, %d Secrets and %d pods:\n\n",
		c.form(), c.seed, runtime.NumCPU(), cmp.Or(a.memory, "not set"), a.share(credentialQuota), a.share(secretQuota), a.share(podQuota))
	b.WriteString("| WatchList | peak RSS of processes | others' credentials issued, slowest | renewals, latest | tenant's edits a second | operator's requests a second | violations |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range c.attacks {
		fmt.Fprintf(&b, "| %s | %s of %d | %d of %d, %.1f s | %d, %+.1f s | %.0f | %.0f | %d |\n", map[bool]string{true: "on", false: "off"}[r.watchList], mebibytes(r.peak),
			r.processes, r.quiet.Issued, r.quiet.Kept, r.quiet.Slowest.Seconds(), r.quiet.Renewed, r.quiet.Latest.Seconds(), r.edits, r.requests, r.violations)
	}
	bounds := fmt.Sprintf("%.0f s; off: %.0f s", promptBound.Seconds(), promptWithoutWatchList.Seconds())
	fmt.Fprintf(&b, "| bound | %s | all, %s | %s | | | 0 |\n\n", mebibytes(peakBound), bounds, bounds)
	b.WriteString("The largest objects that the API server accepted:\n\n")
	for _, line := range a.largest {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	return b.String()
}

// form is the name of the run's form.
func (c *chaos) form() string {
	if c.long {
		return "long"
	}
	return "short"
}

// printViolations prints the violations, also of a run that failed.
func printViolations(out io.Writer, o *observer.Observer) {
	for _, v := range o.Violations() {
		_, _ = fmt.Fprintf(out, "VIOLATION at %s, %s: %s\n", v.At.Format("15:04:05.0"), v.Fault, v.What)
	}
}

// guaranteeTable has the result of each guarantee.
func (c *chaos) guaranteeTable(calls observer.Calls, lost, logs int, size int64, leaks, objects int) string {
	before, after := c.growth.before, c.growth.after
	in := mebibytes
	return table("guarantee", "result", "limit", [][3]string{
		{"no Secret holds mixed, partial, older or another object's credentials", fmt.Sprintf("%d versions of Secrets, %d sessions", c.observer.Versions(), calls.Sessions), "0 violations"},
		{"none holds expired credentials if STS and the API server were available for 15 s in the last third of their life", fmt.Sprintf("%d checks", c.observer.Checks()), "0 violations"},
		{"sessions = due + requested + lost", fmt.Sprintf("%d = %d + %d + %d", calls.Sessions, calls.Due, calls.Requested, calls.Unexplained), fmt.Sprintf("lost ≤ %d", lost)},
		{"failed calls during a fault ≤ StsCredentials × (10 + seconds / 5)", fmt.Sprintf("%.0f, closest to its limit", c.allowance.calls), fmt.Sprintf("%.0f", c.allowance.top)},
		{"goroutines of the process that ran through all faults except kills", fmt.Sprintf("%.0f, then %.0f", before.goroutines, after.goroutines), fmt.Sprintf("+ %d", moreGoroutines)},
		{"memory of that process (RSS; heap in parentheses)", fmt.Sprintf("%s (%s), then %s (%s)", in(before.resident), in(before.heap), in(after.resident), in(after.heap)), "+ " + in(moreMemory)},
		{"no secret value is in a log", fmt.Sprintf("%d logs of %s, at debug level", logs, in(float64(size))), fmt.Sprintf("%d found", leaks)},
		{"no secret value is in a condition or an event", fmt.Sprintf("%d objects", objects), "0 found"},
	})
}

// mebibytes formats a number of bytes.
func mebibytes(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }

// mayLose is the maximum number of sessions that are lost before they are in a Secret: those of the workers of a killed replica,
// those of a replica that ends because it lost its lease, and one for each Secret when the clock is changed, before the operator
// has got the time from STS.
func (c *chaos) mayLose() int {
	c.fleet.mu.Lock()
	defer c.fleet.mu.Unlock()
	credentials, steps := 60, 2
	if c.long {
		steps = 8
	}
	return workers*(c.fleet.kills+c.fleet.started) + credentials*(c.fleet.exits+steps)
}

// scanObjects searches conditions and events for secret values.
func (c *chaos) scanObjects(ctx context.Context) (objects int, err error) {
	var credentials v1alpha1.StsCredentialList
	if err := c.api.List(ctx, &credentials); err != nil {
		return 0, err
	}
	var recorded eventsv1.EventList
	if err := c.api.List(ctx, &recorded); err != nil {
		return 0, err
	}
	leaks := c.observer.Leaks(c.sts.key.Secret)
	text, err := json.Marshal([]any{credentials, recorded})
	if err != nil {
		return 0, err
	}
	if at := leaks.In(text); at >= 0 {
		c.observer.Violate(time.Now(), "something secret is in a condition or an event")
	}
	return len(credentials.Items) + len(recorded.Items), nil
}

// faultTable has the faults and their results.
func (c *chaos) faultTable() string {
	per := map[string]int{}
	for _, v := range c.observer.Violations() {
		per[v.Fault]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The %s form, seed %d, %s on %d cores:\n\n| fault | times injected | recovered after | violations |\n|---|--:|--:|--:|\n",
		c.form(), c.seed, time.Since(c.began).Round(time.Second), runtime.NumCPU())
	for _, r := range c.rows {
		fmt.Fprintf(&b, "| %s | %d | %.1f s | %d |\n", r.fault, r.times, r.took.Seconds(), per[r.fault])
	}
	fmt.Fprintf(&b, "| **all** | | limit: %.0f s | **%d** |\n", recovery.Seconds(), len(c.observer.Violations()))
	return b.String()
}

// table returns a table of three columns.
func table(first, second, third string, rows [][3]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s | %s | %s |\n|---|---|---|\n", first, second, third)
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r[:], " | "))
	}
	return b.String()
}

// writeInto replaces the text between the comments with a name in a page.
func writeInto(page, name, tables string) error {
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return fmt.Errorf("%s lacks the comments %q and %q", page, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(page, []byte(before+begin+"\n"+tables+"\n"+end+after), 0o644)
}
