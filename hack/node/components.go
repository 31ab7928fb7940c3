// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/hack/process"
)

const (
	nodeName   = "node"
	pauseImage = "localhost/pause:1"
)

//go:embed files
var files embed.FS

// startHolder starts the process that the node's namespaces are of.
func (c *Cluster) startHolder(ctx context.Context) error {
	script, err := files.ReadFile("files/holder.sh")
	if err != nil {
		return err
	}
	//nolint:noctx // it is stopped last, not by a context
	cmd := exec.Command("sh", "-c", string(script), "holder", c.dir)
	cmd.SysProcAttr = ownNamespaces()
	if c.holder, err = process.Start("holder", c.logs(), cmd); err != nil {
		return err
	}
	return c.holder.Wait(ctx, func(context.Context) error {
		_, err := os.Stat(filepath.Join(c.dir, "ready"))
		return err
	})
}

// start starts a program of the node.
func (c *Cluster) start(ctx context.Context, ready func(context.Context) error, program string, args ...string) error {
	//nolint:contextcheck // they are stopped in order, not by a context
	p, err := process.Start(filepath.Base(program), c.logs(), c.command(context.Background(), program, args...))
	if err != nil {
		return err
	}
	c.programs = append(c.programs, p)
	return p.Wait(ctx, ready)
}

func (c *Cluster) startContainerd(ctx context.Context) error {
	answers := func(ctx context.Context) error { return c.Run(ctx, "ctr", "--connect-timeout", "1s", "version") }
	if err := c.start(ctx, answers, "containerd", "--config", filepath.Join(c.dir, "containerd.toml")); err != nil {
		return err
	}
	return c.ImportProgram(ctx, pauseImage, "hack/node/pause")
}

func (c *Cluster) startScheduler(ctx context.Context) error {
	kubeconfig, err := c.writeUser("kube-scheduler", "system:kube-scheduler")
	if err != nil {
		return err
	}
	return c.plane.Run(ctx, immediately, "kube-scheduler", "--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0")
}

func (c *Cluster) startProxy(ctx context.Context) error {
	if _, err := c.writeUser("kube-proxy", "system:kube-proxy"); err != nil {
		return err
	}
	return c.start(ctx, immediately, filepath.Join(c.plane.Assets(), "kube-proxy"),
		"--config="+filepath.Join(c.dir, "kube-proxy.yaml"), "--hostname-override="+nodeName)
}

func (c *Cluster) startKubelet(ctx context.Context) error {
	kubeconfig, err := c.writeUser("kubelet", "system:node:"+nodeName, "system:nodes")
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.plane.Config())
	if err != nil {
		return err
	}
	return c.start(ctx, func(ctx context.Context) error { return nodeReady(ctx, client) },
		filepath.Join(c.plane.Assets(), "kubelet"),
		"--config="+filepath.Join(c.dir, "kubelet.yaml"), "--kubeconfig="+kubeconfig,
		"--hostname-override="+nodeName, "--node-ip="+c.slot.Node.String())
}

// nodeReady reports whether pods can run: a Ready node that takes them, and the account that they run as by default.
func nodeReady(ctx context.Context, client kubernetes.Interface) error {
	node, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return fmt.Errorf("node not ready: %s", condition.Message)
		}
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("node has taints: %v", node.Spec.Taints)
	}
	_, err = client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// writeUser writes the kubeconfig of a component that goes by that name among users.
func (c *Cluster) writeUser(component, user string, groups ...string) (path string, err error) {
	config, err := c.plane.UserConfig(user, groups...)
	if err != nil {
		return "", err
	}
	path = filepath.Join(c.dir, component+".kubeconfig")
	return path, controlplane.WriteKubeconfig(path, config)
}

// writeConfigs fills in the files for this cluster.
func (c *Cluster) writeConfigs() error {
	parsed, err := template.ParseFS(files, "files/*")
	if err != nil {
		return err
	}
	values := struct {
		slot
		Dir, Plugins, Pause, SyncFrequency string
	}{c.slot, c.dir, plugins, pauseImage, c.syncFrequency.String()}
	for name, path := range map[string]string{
		"containerd.toml": "containerd.toml",
		"cni.conflist":    filepath.Join("cni", "pods.conflist"),
		"kubelet.yaml":    "kubelet.yaml",
		"kube-proxy.yaml": "kube-proxy.yaml",
	} {
		file, err := os.Create(filepath.Join(c.dir, path))
		if err != nil {
			return err
		}
		if err := errors.Join(parsed.ExecuteTemplate(file, name, values), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Run runs a command on the node, such as ctr or ip.
func (c *Cluster) Run(ctx context.Context, program string, args ...string) error {
	return output(c.command(ctx, program, args...))
}

// command is one in the node's namespaces.
func (c *Cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(c.holder.ID()), "--mount", "--pid", "--net", "--", program}
	return exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
}

// run runs a command on this machine.
func run(ctx context.Context, program string, args ...string) error {
	return output(exec.CommandContext(ctx, program, args...))
}

// output runs a command; what it printed is in the error.
func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	return nil
}

// immediately is for what shows elsewhere that it is ready.
func immediately(context.Context) error { return nil }
