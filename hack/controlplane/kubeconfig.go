// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfigName stands for cluster, user and context alike.
const kubeconfigName = "local-control-plane"

// Kubeconfig is a kubeconfig file of a cluster admin, its certificates included.
func (c *ControlPlane) Kubeconfig() []byte {
	content, err := Kubeconfig(c.admin)
	if err != nil {
		// It is made of strings of ours alone, so it always encodes.
		panic(err)
	}
	return content
}

// WriteKubeconfig writes a cluster admin's kubeconfig to a file that only this user can read.
func (c *ControlPlane) WriteKubeconfig(path string) error {
	return os.WriteFile(path, c.Kubeconfig(), 0o600)
}

// Kubeconfig is the kubeconfig file that says the same as a configuration from UserConfig.
func Kubeconfig(config *rest.Config) ([]byte, error) {
	content, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			kubeconfigName: {Server: config.Host, CertificateAuthorityData: config.CAData},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{
			kubeconfigName: {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken},
		},
		Contexts: map[string]*clientcmdapi.Context{
			kubeconfigName: {Cluster: kubeconfigName, AuthInfo: kubeconfigName},
		},
		CurrentContext: kubeconfigName,
	})
	if err != nil {
		return nil, fmt.Errorf("encode a kubeconfig: %w", err)
	}
	return content, nil
}
