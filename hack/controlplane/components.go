// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const controllerManager = "kube-controller-manager"

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (c *ControlPlane) startEtcd(ctx context.Context, address string, flags []string) error {
	url := "http://" + address
	return c.Run(ctx, answers(http.DefaultClient, url+"/health"), "etcd", append([]string{
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
		"--tls-cert-file=" + c.file(servingCertFile),
		"--tls-private-key-file=" + c.file(servingKeyFile),
		"--kubelet-client-certificate=" + c.file(kubeletClientCertFile),
		"--kubelet-client-key=" + c.file(kubeletClientKeyFile),
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

// serves tells whether the API server is ready. Its /readyz does not wait for the namespaces that it creates at first.
func serves(ctx context.Context, client kubernetes.Interface) error {
	if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
		return err
	}
	_, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
	return err
}

func (c *ControlPlane) startControllerManager(ctx context.Context, address string, controllers []string) error {
	kubeconfig := c.file("controller-manager.kubeconfig")
	if err := c.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	return c.Run(ctx, answers(client, "https://"+address+"/healthz"), controllerManager,
		"--kubeconfig="+kubeconfig,
		"--controllers="+strings.Join(controllers, ","),
		"--leader-elect=false",
		"--bind-address="+loopback.String(),
		"--secure-port="+port,
		"--tls-cert-file="+c.file(servingCertFile),
		"--tls-private-key-file="+c.file(servingKeyFile),
		"--root-ca-file="+c.file(authorityFile),
		"--service-account-private-key-file="+c.file(serviceAccountKeyFile),
	)
}

func (c *ControlPlane) file(name string) string { return filepath.Join(c.dir, name) }

// answers tells whether a GET of the URL succeeds.
func answers(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}

// freePorts returns ports of the address that nobody listens on. All are held until the last is found, so that no two
// are the same.
func freePorts(ctx context.Context, address netip.Addr, n int) (addresses []string, err error) {
	for range n {
		listener, listenErr := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(address, 0).String())
		if listenErr != nil {
			return nil, errors.Join(err, listenErr)
		}
		defer func() { err = errors.Join(err, listener.Close()) }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
