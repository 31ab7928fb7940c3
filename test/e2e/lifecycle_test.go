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
func (env *environment) leaderKilled() {
	due := env.credential("orders-brief").Status.RenewAt.Time
	if wait := time.Until(due) - 10*time.Second; wait > 0 {
		env.sleep(wait)
	}
	before := len(env.issued("orders-brief"))
	expires := env.credential("orders-brief").Status.ExpiresAt.Time
	killed, err := env.leader()
	env.must(err)
	holder := *env.lease().Spec.HolderIdentity
	container := strings.TrimPrefix(killed.Status.ContainerStatuses[0].ContainerID, "containerd://")
	env.must(env.cluster.Run(env.ctx, "ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", container))

	env.eventually("another replica leads", func() error {
		if now := *env.lease().Spec.HolderIdentity; now == holder || now == "" {
			return fmt.Errorf("%q does", now)
		}
		return nil
	})
	env.eventually("it renews", func() error {
		if now := len(env.issued("orders-brief")); now == before {
			return fmt.Errorf("STS was asked %d times, as before", now)
		}
		return nil
	})
	if late := time.Since(expires); late > 0 {
		env.Errorf("the renewal came %s too late", late)
	}
	env.ready(2)
}

// upgradeAndRollback replace the operator twice, and STS is asked for nothing that is still good.
func (env *environment) upgradeAndRollback() {
	before, key := len(env.issued("orders-reader")), env.credential("orders-reader").Status.AccessKeyID
	env.helm(append([]string{"upgrade", release, chart, "--reset-then-reuse-values", "--wait"}, env.values(nextImage)...)...)
	env.runs(nextImage)
	env.helm("rollback", release, "1", "--wait", "--timeout=2m")
	env.runs(firstImage)
	env.unchanged(before, key)
}

// runs waits until the operator runs the image and nothing else.
func (env *environment) runs(image string) {
	env.Helper()
	env.ready(2)
	for _, pod := range env.replicas() {
		if got := pod.Spec.Containers[0].Image; got != image {
			env.Errorf("%s runs %s, want %s", pod.Name, got, image)
		}
	}
}

// unchanged checks that orders-reader is Ready with the same key, without a call to STS.
func (env *environment) unchanged(calls int, key string) {
	env.Helper()
	env.kubectl("--namespace=shop", "wait", "stscred/orders-reader", "--for=condition=Ready", "--timeout=30s")
	if now := len(env.issued("orders-reader")); now != calls {
		env.Errorf("STS was asked %d times instead of %d", now, calls)
	}
	if now := env.credential("orders-reader").Status.AccessKeyID; now != key {
		env.Errorf("the key is %s instead of %s", now, key)
	}
}

// uninstallAndReinstall takes the operator away, its key too, and brings it back without one, by RRSA. What it had made
// stays, and works on.
func (env *environment) uninstallAndReinstall() {
	before, key := len(env.issued("orders-reader")), env.credential("orders-reader").Status.AccessKeyID
	env.helm("uninstall", release, "--wait", "--timeout=2m")
	env.eventually("the operator is gone", func() error {
		if left := env.replicas(); len(left) > 0 {
			return fmt.Errorf("%d pods are left", len(left))
		}
		return nil
	})
	env.kubectl("get", "crd", "stscredentials.sts.alibabacloud.com", "stsrolegrants.sts.alibabacloud.com")
	env.kubectl("get", "stsrolegrant", "shop")
	secret := &corev1.Secret{}
	env.must(env.api.Get(env.ctx, types.NamespacedName{Namespace: "shop", Name: "orders-reader"}, secret))
	if got := string(secret.Data["ALIBABA_CLOUD_ACCESS_KEY_ID"]); got != key {
		env.Errorf("the Secret holds %s, want %s", got, key)
	}

	env.kubectl("--namespace="+system, "delete", "secret", "ram-user")
	env.kubectl("--namespace="+system, "create", "configmap", "sts-ca", "--from-file="+env.authority)
	notes := env.helm(append([]string{"install", release, chart, "--set=identity.rrsa.roleARN=" + keyless,
		"--set=identity.rrsa.oidcProviderARN=" + provider, "--set=stsEndpoint=" + env.secureURL,
		"--set=caBundle.existingConfigMap=sts-ca", "--wait"}, env.values(nextImage)...)...)
	if strings.Contains(notes, "no StsRoleGrant yet") {
		env.Errorf("the notes do not know of the grant:\n%s", notes)
	}
	env.runs(nextImage)
	env.knowsItself("acs:ram::"+account+":assumed-role/sts-operator/", env.secureURL)
	env.kubectl("--namespace=shop", "annotate", "stscred/orders-reader", "example.com/look=again")
	env.unchanged(before, key)
	env.kubectl("--namespace=shop", "annotate", "stscred/orders-brief", "sts.alibabacloud.com/renew-requested-at=now")
	env.says("brief", "volume", "orders-brief", 3)
}

func (env *environment) sleep(d time.Duration) {
	env.Helper()
	select {
	case <-env.ctx.Done():
		env.Fatal("interrupted")
	case <-time.After(d):
	}
}
