// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Kubectl runs kubectl in a folder as a cluster admin. What it prints is in the error, if there is one.
func (c *ControlPlane) Kubectl(ctx context.Context, folder string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(c.Assets(), "kubectl"), args...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "KUBECACHEDIR="+c.file("kubectl-cache"))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %v: %w\n%s", args, err, output)
	}
	return nil
}

// InstallForOperator gives the cluster what an installation from the repository at root gives it, but for the operator:
// its namespace, CRDs, rights and admission policies.
func (c *ControlPlane) InstallForOperator(ctx context.Context, root string) error {
	for _, args := range [][]string{
		{"apply", "-f", "config/manager/namespace.yaml"},
		{"apply", "-k", "config/crd"},
		{"wait", "--for=condition=Established", "--timeout=60s", "-f", "config/crd/sts.alibabacloud.com_stscredentials.yaml", "-f", "config/crd/sts.alibabacloud.com_stsrolegrants.yaml"},
		{"apply", "-k", "config/rbac"},
		{"apply", "-k", "config/admission"},
	} {
		if err := c.Kubectl(ctx, root, args...); err != nil {
			return err
		}
	}
	return nil
}
