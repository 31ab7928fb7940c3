// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// OperatorConfig is the configuration of the operator's ServiceAccount in config/rbac.
func (c *ControlPlane) OperatorConfig() (*rest.Config, error) {
	return c.UserConfig("system:serviceaccount:sts-system:sts-credential-operator", "system:serviceaccounts", "system:serviceaccounts:sts-system")
}

// Kubeconfig is the path of a cluster admin's kubeconfig, which only this user can read.
func (c *ControlPlane) Kubeconfig() string { return c.file("admin.kubeconfig") }

// WriteKubeconfig writes a configuration from UserConfig, its certificates included, to a file that only this user can read.
func WriteKubeconfig(path string, config *rest.Config) error {
	const name = "local-control-plane" // of cluster, user and context
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{
			name: {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken},
		},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
}
