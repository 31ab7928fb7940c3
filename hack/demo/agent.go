// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/hack/process"
)

const (
	// fourth is in stscredential-agent.yaml.
	fourth = "orders-agent"
	// podUID stands for that of a pod.
	podUID = "11111111-2222-3333-4444-555555555555"
)

// follow has the agent serve a Secret, as in a pod, and follow its renewal.
func (d *demo) follow(ctx context.Context) error {
	if err := d.kubectlAll(ctx,
		[]string{"apply", "-f", "config/samples/stscredential-agent.yaml"},
		[]string{"wait", "stscred/" + fourth, "-n", namespace, "--for=condition=Ready", "--timeout=60s"},
	); err != nil {
		return err
	}
	volume := filepath.Join(d.dir, "volume")
	d.note("in a pod, the kubelet mounts the Secret; here the demo writes it to %s", volume)
	before, err := d.mount(ctx, volume, "")
	if err != nil {
		return err
	}
	uri, err := d.startAgent(ctx, volume)
	if err != nil {
		return err
	}
	d.command(shell("curl", "-s", uri))
	served, err := d.ask(ctx, uri, before)
	if err != nil {
		return err
	}
	if err := d.works(ctx, fourth, "what the agent serves", served); err != nil {
		return err
	}
	if err := d.requestRenewal(ctx, fourth); err != nil {
		return err
	}
	after, err := d.mount(ctx, volume, before)
	if err != nil {
		return err
	}
	if served, err = d.ask(ctx, uri, after); err != nil {
		return err
	}
	d.ok("the same process serves %s instead of %s", after, before)
	return d.works(ctx, fourth, "what the agent serves now", served)
}

// mount writes the Secret into a folder as the kubelet does, once it holds another AccessKey ID than before. It returns that.
func (d *demo) mount(ctx context.Context, volume, before string) (accessKeyID string, err error) {
	s := &corev1.Secret{}
	if err := eventually(ctx, "the Secret holds a new AccessKey ID", func(ctx context.Context) (string, bool) {
		c, err := d.credential(ctx, fourth)
		if err != nil {
			return err.Error(), false
		}
		if err := d.kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: c.Status.SecretName}, s); err != nil {
			return err.Error(), false
		}
		accessKeyID = c.Status.AccessKeyID
		return accessKeyID, accessKeyID != before && s.Annotations["sts.alibabacloud.com/access-key-id"] == accessKeyID
	}); err != nil {
		return "", err
	}
	version := "..version-" + s.ResourceVersion
	if err := os.MkdirAll(filepath.Join(volume, version), 0o700); err != nil {
		return "", err
	}
	for key, value := range s.Data {
		link := filepath.Join(volume, key)
		if err := errors.Join(os.WriteFile(filepath.Join(volume, version, key), value, 0o600), os.RemoveAll(link),
			os.Symlink(filepath.Join("..data", key), link)); err != nil {
			return "", err
		}
	}
	next := filepath.Join(volume, "..data_tmp")
	return accessKeyID, errors.Join(os.Symlink(version, next), os.Rename(next, filepath.Join(volume, "..data")))
}

// startAgent builds the agent and runs it until the end. It returns the URI that SDKs ask.
func (d *demo) startAgent(ctx context.Context, volume string) (uri string, err error) {
	binary := filepath.Join(d.dir, "stscred-agent")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/agent")
	build.Dir = d.root
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the agent: %w\n%s", err, output)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return "", err
	}
	settings := []string{"STSCRED_DIR=" + volume, "STSCRED_LISTEN=" + address, "STSCRED_TOKEN=" + podUID}
	d.command(shell(append(settings, "stscred-agent")...))
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary) // stopped in its turn by the cleanup
	cmd.Env = settings
	agent, err := process.Start("agent", d.dir, cmd)
	if err != nil {
		return "", err
	}
	d.cleanup.add("stop the agent", func(context.Context) error { return agent.StopWithin(grace) })
	return "http://" + address + "/v1/" + podUID + "/credentials", nil
}

// ask asks the agent, as SDKs do, until it serves an AccessKey ID.
func (d *demo) ask(ctx context.Context, uri, accessKeyID string) (served triple, err error) {
	client := http.Client{Timeout: time.Second}
	err = eventually(ctx, "the agent serves "+accessKeyID, func(ctx context.Context) (string, bool) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, http.NoBody)
		if err != nil {
			return err.Error(), false
		}
		response, err := client.Do(request)
		if err != nil {
			return err.Error(), false
		}
		defer func() { _ = response.Body.Close() }()
		var answer struct{ Message, AccessKeyID, AccessKeySecret, SecurityToken string }
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			return err.Error(), false
		}
		served = triple{answer.AccessKeyID, answer.AccessKeySecret, answer.SecurityToken}
		return fmt.Sprint(response.Status, " ", answer.AccessKeyID, answer.Message), served.id == accessKeyID
	})
	return served, err
}
