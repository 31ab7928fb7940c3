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
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/process"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// podUID stands for that of a pod.
const podUID = "11111111-2222-3333-4444-555555555555"

// startAgent builds the agent and runs it on the folder that mount writes.
func (d *demo) startAgent(ctx context.Context) error {
	binary, err := d.build(ctx, "stscred-agent", "./cmd/agent")
	if err != nil {
		return err
	}
	address, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	d.agent = "http://" + address + "/v1/" + podUID + "/credentials"
	args := []string{"--dir=" + filepath.Join(d.dir, "volume"), "--listen=" + address, "--token=" + podUID}
	say(cyan, "  $ stscred-agent %s", strings.Join(args, " "))
	if err := d.mount(ctx); err != nil {
		return err
	}
	return d.plane.Run(ctx, process.Answers(http.DefaultClient, d.agent), binary, args...)
}

// mount writes the Secret of mounted into a folder as the kubelet does: all files change at once.
func (d *demo) mount(ctx context.Context) error {
	s := &corev1.Secret{}
	if err := d.kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: mounted}, s); err != nil {
		return err
	}
	volume, version := filepath.Join(d.dir, "volume"), "..version-"+s.ResourceVersion
	errs := []error{os.MkdirAll(filepath.Join(volume, version), 0o700)}
	for key, value := range s.Data {
		link := filepath.Join(volume, key)
		errs = append(errs, os.WriteFile(filepath.Join(volume, version, key), value, 0o600), os.RemoveAll(link), os.Symlink(filepath.Join("..data", key), link))
	}
	next := filepath.Join(volume, "..data_tmp")
	return errors.Join(append(errs, os.Symlink(version, next), os.Rename(next, filepath.Join(volume, "..data")))...)
}

// followsRenewal waits until the agent serves the credentials of mounted, and other ones than those used last.
func (d *demo) followsRenewal(ctx context.Context) error {
	var c *v1alpha1.StsCredential
	var served struct{ AccessKeyID, AccessKeySecret, SecurityToken string }
	before := d.used[mounted].AccessKeyID
	err := d.eventually(ctx, mounted, func(current *v1alpha1.StsCredential) error {
		c = current
		if err := d.mount(ctx); err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.agent, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		err = json.NewDecoder(response.Body).Decode(&served)
		if err == nil && (served.AccessKeyID == before || served.AccessKeyID != c.Status.AccessKeyID) {
			err = fmt.Errorf("the agent serves %s, before %s, status %s", served.AccessKeyID, before, c.Status.AccessKeyID)
		}
		return err
	})
	if err != nil {
		return err
	}
	say(cyan, "  $ curl -s %s", d.agent)
	d.used[mounted] = credentials.Credentials{AccessKeyID: served.AccessKeyID, AccessKeySecret: served.AccessKeySecret, SecurityToken: served.SecurityToken}
	return d.actsAs(ctx, "the credentials with AccessKey ID "+served.AccessKeyID, d.used[mounted], c)
}
