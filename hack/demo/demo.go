// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

const (
	// undoLimit bounds the cleanup; a namespace in a real cluster takes most of it.
	undoLimit = 2 * time.Minute
	// logLines are shown of the manager's log when something fails.
	logLines = 15
)

// errInterrupted is the end of a walk that the user did not want to wait for.
var errInterrupted = errors.New("interrupted")

// abortError is what went wrong in the background.
type abortError struct{ error }

// Unwrap is the error itself.
func (e *abortError) Unwrap() error { return e.error }

// demo is one run.
type demo struct {
	options
	*screen
	cancel  context.CancelCauseFunc // ends the run
	cleanup cleanup

	root string // of the repository
	dir  string // temporary, of this run
	log  string // the manager's

	kubectlPath       string
	kubeconfig        string // a cluster admin's, or the user's own
	managerKubeconfig string
	config            *rest.Config
	kube              client.Client
	sts               *emulatedSTS
	before            triple // what the Secret held before the renewal
}

// run does all of it, and undoes it whatever happens on the way.
func (d *demo) run(ctx context.Context) (err error) {
	start := time.Now()
	defer func() { err = d.end(ctx, err, start) }()
	if err := d.setUp(ctx); err != nil {
		return cause(ctx, err)
	}
	if err := d.walk(ctx); err != nil {
		return cause(ctx, err)
	}
	if d.once {
		return nil
	}
	return d.stay(ctx)
}

// abort ends the run for something that went wrong in the background.
func (d *demo) abort(format string, args ...any) {
	d.cancel(&abortError{fmt.Errorf(format, args...)})
}

// cause is why ctx ended, if it did: what failed since then only follows from it.
func cause(ctx context.Context, err error) error {
	var aborted *abortError
	switch {
	case ctx.Err() == nil:
		return err
	case errors.As(context.Cause(ctx), &aborted):
		return aborted
	default:
		return errInterrupted
	}
}

func (d *demo) setUp(ctx context.Context) (err error) {
	d.title("Getting ready")
	if d.root, err = controlplane.RepositoryRoot(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "sts-demo-*"); err != nil {
		return err
	}
	d.log = filepath.Join(d.dir, "manager.log")
	getCluster := d.startCluster
	if d.context != "" {
		getCluster = d.borrowCluster
	}
	for _, do := range []func(context.Context) error{getCluster, d.startSTS, d.install, d.startManager} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stay leaves everything up for the user to play with, until Ctrl-C.
func (d *demo) stay(ctx context.Context) error {
	d.title("Now yours, until Ctrl-C")
	d.say("  export KUBECONFIG=%s", shell(d.kubeconfig))
	if found, err := exec.LookPath("kubectl"); err != nil || found == "" {
		d.say("  export PATH=%s:$PATH", shell(filepath.Dir(d.kubectlPath)))
	}
	d.say("\n  What to try:")
	for _, try := range []string{
		"kubectl get stscred -A -o wide --watch",
		"kubectl apply -f config/samples/stscredential.yaml",
		"kubectl delete secret orders-sts -n shop    # comes back at once",
		"kubectl delete -f config/samples/stsrolegrant.yaml    # no further call is made; what is issued works on",
		"kubectl get events -n shop",
		"curl -s " + d.sts.admin + "/calls    # what STS was asked",
		"curl -s " + d.sts.admin + `/faults -d '{"kind": "Throttle", "callsPerSecond": 1}'    # make it fail`,
		"tail -f " + d.log,
	} {
		d.command(try)
	}
	<-ctx.Done()
	if err := cause(ctx, nil); !errors.Is(err, errInterrupted) {
		return err
	}
	return nil
}

// end tells what went wrong, if anything did, and undoes what was done.
func (d *demo) end(ctx context.Context, err error, start time.Time) error {
	failed := err != nil && !errors.Is(err, errDeclined) && !errors.Is(err, errInterrupted)
	if err != nil {
		d.fail("%v", err)
	}
	if failed {
		d.showLog()
	}
	d.title("Cleaning up")
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	undone := d.cleanup.run(limited)
	if undone != nil {
		d.fail("%v", undone)
	}
	if err := d.removeFolder(failed || undone != nil); err != nil {
		d.fail("%v", err)
	}
	switch {
	case undone != nil:
	case d.context != "":
		d.ok("nothing is left running, nor in the cluster")
	default:
		d.ok("nothing is left running")
	}
	d.note("%s in all", time.Since(start).Round(time.Second))
	return errors.Join(err, undone)
}

func (d *demo) showLog() {
	content, err := os.ReadFile(d.log)
	if err != nil {
		return // there was no manager yet
	}
	d.note("the end of the manager's log, %s:", d.log)
	d.output(lastLines(string(content), logLines))
}

// removeFolder removes what the demo put on the disk; of a failed one, all but the manager's log.
func (d *demo) removeFolder(keepLog bool) error {
	if d.dir == "" {
		return nil
	}
	if _, err := os.Stat(d.log); err != nil || !keepLog {
		return os.RemoveAll(d.dir)
	}
	entries, err := os.ReadDir(d.dir)
	errs := []error{err}
	for _, entry := range entries {
		if path := filepath.Join(d.dir, entry.Name()); path != d.log {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}
