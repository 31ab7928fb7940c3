// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// leaderKilled kills the leader without a word shortly before a renewal is due: another one has to take over and renew.
func (w *world) leaderKilled() {
	due := w.credential("orders-brief").Status.RenewAt.Time
	if wait := time.Until(due) - 10*time.Second; wait > 0 {
		w.sleep(wait)
	}
	before := len(w.issued("orders-brief"))
	expires := w.credential("orders-brief").Status.ExpiresAt.Time
	killed, err := w.leader()
	w.must(err)
	holder := *w.lease().Spec.HolderIdentity
	container := strings.TrimPrefix(killed.Status.ContainerStatuses[0].ContainerID, "containerd://")
	w.must(w.cluster.Run(w.ctx, "ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", container))

	w.eventually("somebody else leads", func() error {
		if now := *w.lease().Spec.HolderIdentity; now == holder || now == "" {
			return fmt.Errorf("%q does", now)
		}
		return nil
	})
	w.eventually("it renews", func() error {
		if now := len(w.issued("orders-brief")); now == before {
			return fmt.Errorf("STS was asked %d times, as before", now)
		}
		return nil
	})
	if late := time.Since(expires); late > 0 {
		w.Errorf("the renewal came %s too late", late)
	}
	w.ready(2)
}

// upgradeAndRollback replace the operator twice, and STS is asked for nothing that is still good.
func (w *world) upgradeAndRollback() {
	before, key := len(w.issued("orders-reader")), w.credential("orders-reader").Status.AccessKeyID
	w.helm(append([]string{"upgrade", release, chart, "--reset-then-reuse-values", "--wait"}, w.values(nextImage)...)...)
	w.runs(nextImage)
	w.helm("rollback", release, "1", "--wait", "--timeout=2m")
	w.runs(firstImage)
	w.unchanged(before, key)
}

// runs waits until the operator runs the image and nothing else.
func (w *world) runs(image string) {
	w.Helper()
	w.ready(2)
	for _, pod := range w.replicas() {
		if got := pod.Spec.Containers[0].Image; got != image {
			w.Errorf("%s runs %s, want %s", pod.Name, got, image)
		}
	}
}

// unchanged checks that orders-reader is Ready with the same key, without a call to STS.
func (w *world) unchanged(calls int, key string) {
	w.Helper()
	w.kubectl("--namespace=shop", "wait", "stscred/orders-reader", "--for=condition=Ready", "--timeout=30s")
	if now := len(w.issued("orders-reader")); now != calls {
		w.Errorf("STS was asked %d times instead of %d", now, calls)
	}
	if now := w.credential("orders-reader").Status.AccessKeyID; now != key {
		w.Errorf("the key is %s instead of %s", now, key)
	}
}

// uninstallAndReinstall takes the operator away, its key too, and brings it back without one, by RRSA. What it had made
// stays, and works on.
func (w *world) uninstallAndReinstall() {
	before, key := len(w.issued("orders-reader")), w.credential("orders-reader").Status.AccessKeyID
	w.helm("uninstall", release, "--wait", "--timeout=2m")
	w.eventually("the operator is gone", func() error {
		if left := w.replicas(); len(left) > 0 {
			return fmt.Errorf("%d pods are left", len(left))
		}
		return nil
	})
	w.kubectl("get", "crd", "stscredentials.sts.alibabacloud.com", "stsrolegrants.sts.alibabacloud.com")
	w.kubectl("get", "stsrolegrant", "shop")
	secret := &corev1.Secret{}
	w.must(w.api.Get(w.ctx, types.NamespacedName{Namespace: "shop", Name: "orders-reader"}, secret))
	if got := string(secret.Data["ALIBABA_CLOUD_ACCESS_KEY_ID"]); got != key {
		w.Errorf("the Secret holds %s, want %s", got, key)
	}

	w.kubectl("--namespace="+system, "delete", "secret", "ram-user")
	w.kubectl("--namespace="+system, "create", "configmap", "sts-ca", "--from-file="+w.authority)
	notes := w.helm(append([]string{"install", release, chart, "--set=identity.rrsa.roleARN=" + keyless,
		"--set=identity.rrsa.oidcProviderARN=" + provider, "--set=stsEndpoint=" + w.secureURL,
		"--set=caBundle.existingConfigMap=sts-ca", "--wait"}, w.values(nextImage)...)...)
	if strings.Contains(notes, "no StsRoleGrant yet") {
		w.Errorf("the notes do not know of the grant:\n%s", notes)
	}
	w.runs(nextImage)
	w.knowsItself("acs:ram::"+account+":assumed-role/sts-operator/", w.secureURL)
	w.kubectl("--namespace=shop", "annotate", "stscred/orders-reader", "example.com/look=again")
	w.unchanged(before, key)
	w.kubectl("--namespace=shop", "annotate", "stscred/orders-brief", "sts.alibabacloud.com/renew-requested-at=now")
	w.says("brief", "volume", "orders-brief", 3)
}

func (w *world) sleep(d time.Duration) {
	w.Helper()
	select {
	case <-w.ctx.Done():
		w.Fatal("interrupted")
	case <-time.After(d):
	}
}
