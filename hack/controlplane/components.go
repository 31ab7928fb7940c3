// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/stscredential/sts-credential-operator/hack/process"
)

const controllerManager = "kube-controller-manager"

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (c *ControlPlane) startEtcd(ctx context.Context, address string, flags []string) error {
	url := "http://" + address
	return c.Run(ctx, process.Answers(http.DefaultClient, url+"/health"), "etcd", append([]string{
		"--data-dir=" + filepath.Join(c.dir, "etcd"),
		"--listen-client-urls=" + url,
		"--advertise-client-urls=" + url,
		// It has no peers; port 0 keeps clear of anybody else's 2380.
		"--listen-peer-urls=http://" + netip.AddrPortFrom(loopback, 0).String(),
		// The data does not outlive the process, so writing it through to the disk is time lost.
		"--unsafe-no-fsync",
	}, flags...)...)
}

func (c *ControlPlane) startAPIServer(ctx context.Context, etcd string, options Options) error {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(c.address)
	if err != nil {
		return err
	}
	flags := []string{
		"--etcd-servers=http://" + etcd,
		"--bind-address=" + options.Address.String(),
		"--advertise-address=" + options.Address.String(),
		"--secure-port=" + port,
		"--service-cluster-ip-range=" + options.Services.String(),
		"--authorization-mode=Node,RBAC",
		"--allow-privileged",
		"--client-ca-file=" + c.file(authorityFile),
		"--tls-cert-file=" + c.file(serverCertFile),
		"--tls-private-key-file=" + c.file(serverKeyFile),
		"--kubelet-client-certificate=" + c.file(serverCertFile),
		"--kubelet-client-key=" + c.file(serverKeyFile),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.file(serviceAccountKeyFile),
		"--service-account-signing-key-file=" + c.file(serviceAccountKeyFile),
	}
	if !options.ControllerManager {
		// It refuses pods in namespaces without a default ServiceAccount, and nobody would make one.
		flags = append(flags, "--disable-admission-plugins=ServiceAccount")
	}
	return c.Run(ctx, func(ctx context.Context) error { return serves(ctx, client) },
		"kube-apiserver", slices.Concat(flags, options.APIServerFlags)...)
}

// serves reports whether the API server is ready. Its /readyz does not wait for the namespaces that it creates at first.
func serves(ctx context.Context, client kubernetes.Interface) error {
	if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
		return err
	}
	_, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
	return err
}

func (c *ControlPlane) startControllerManager(ctx context.Context, address string, controllers []string) error {
	client, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	return c.Run(ctx, process.Answers(client, "https://"+address+"/healthz"), controllerManager,
		"--kubeconfig="+c.Kubeconfig(),
		"--controllers="+strings.Join(controllers, ","),
		"--leader-elect=false",
		"--bind-address="+loopback.String(),
		"--secure-port="+port,
		"--tls-cert-file="+c.file(serverCertFile),
		"--tls-private-key-file="+c.file(serverKeyFile),
		"--root-ca-file="+c.file(authorityFile),
		"--service-account-private-key-file="+c.file(serviceAccountKeyFile),
	)
}

func (c *ControlPlane) file(name string) string { return filepath.Join(c.dir, name) }
