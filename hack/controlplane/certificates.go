// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// The files that components read, in the control plane's folder.
const (
	authorityFile         = "ca.crt"
	serverCertFile        = "server.crt"
	serverKeyFile         = "server.key"
	serviceAccountKeyFile = "service-account.key"
)

// authority signs every certificate of one control plane, of servers and of users.
type authority struct {
	cert      *x509.Certificate
	key       crypto.Signer
	addresses []net.IP // of servers
}

func newAuthority(servers ...netip.Addr) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "local-control-plane"}, key)
	if err != nil {
		return nil, err
	}
	a := &authority{cert: certificate, key: key}
	for _, server := range servers {
		a.addresses = append(a.addresses, server.AsSlice())
	}
	return a, nil
}

// pem is what clients and servers trust.
func (a *authority) pem() []byte { return encode(a.cert.Raw) }

// issue signs a certificate for this machine's addresses that both a server and a client can use. As a client it is
// the user that the subject's CommonName names, in the groups of its Organization.
func (a *authority) issue(subject pkix.Name) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		DNSNames:     []string{"localhost", "kubernetes.default.svc"},
		IPAddresses:  a.addresses,
		NotBefore:    a.cert.NotBefore,
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	return encode(signed), keyPEM, err
}

func encode(certificate []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: certificate})
}

// writeFiles puts what the components need into the folder.
func (a *authority) writeFiles(dir string) error {
	// As a client, it calls kubelets, which ask RBAC about this user. RBAC's defaults know the name.
	server, serverKey, err := a.issue(pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{adminGroup}})
	if err != nil {
		return err
	}
	accounts, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		authorityFile:         a.pem(),
		serverCertFile:        server,
		serverKeyFile:         serverKey,
		serviceAccountKeyFile: accounts,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
