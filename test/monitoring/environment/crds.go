// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Modules with the CRDs that a PrometheusRule, a ServiceMonitor, a Certificate and a policy of Kyverno are checked by.
const (
	operatorModule    = "github.com/prometheus-operator/prometheus-operator@v0.90.1"
	operatorSum       = "h1:n/+FkLB6WpftBxJC8IEHrWXSA6uzNTocFmwU/ACkfeg="
	certManagerModule = "github.com/cert-manager/cert-manager@v1.19.2"
	certManagerSum    = "h1:jSprN1h5pgNDSl7HClAmIzXuTxic/5FXJ32kbQHqjlM="
	kyvernoModule     = "github.com/kyverno/api@v0.0.1-alpha.3.0.20260723090831-fb2785727f98"
	kyvernoSum        = "h1:wGbyqQNc5wnHXq73aclvBje80lQvYDnqZCF967m+zEU="
)

// CRDs returns a folder with the CRDs of the Prometheus operator, each in a file, fetched as a Go module.
func CRDs(ctx context.Context) (folder string, err error) {
	folder, err = fetch(ctx, operatorModule, operatorSum)
	return filepath.Join(folder, "example", "prometheus-operator-crd"), err
}

// CertManagerCRDs are files with the CRDs of Certificates and Issuers, fetched as a Go module.
func CertManagerCRDs(ctx context.Context) (files []string, err error) {
	folder, err := fetch(ctx, certManagerModule, certManagerSum)
	for _, kind := range []string{"certificates", "issuers"} {
		files = append(files, filepath.Join(folder, "deploy", "crds", "cert-manager.io_"+kind+".yaml"))
	}
	return files, err
}

// KyvernoCRD is the file with the CRD of ValidatingPolicies, fetched as a Go module.
func KyvernoCRD(ctx context.Context) (file string, err error) {
	folder, err := fetch(ctx, kyvernoModule, kyvernoSum)
	return filepath.Join(folder, "config", "crds", "policies.kyverno.io_validatingpolicies.yaml"), err
}

// fetch downloads a module, checks it by its checksum, and returns its folder.
func fetch(ctx context.Context, path, sum string) (folder string, err error) {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", path)
	download.Dir = os.TempDir() // outside of any module
	answer, err := download.Output()
	var module struct{ Dir, Sum, Error string }
	if decodeErr := json.Unmarshal(answer, &module); decodeErr != nil {
		return "", fmt.Errorf("fetch %s: %w, %w", path, err, decodeErr)
	}
	switch {
	case module.Error != "" || err != nil:
		return "", fmt.Errorf("fetch %s: %s, %w", path, module.Error, err)
	case module.Sum != sum:
		return "", fmt.Errorf("%s has the checksum %s, want %s: it was changed", path, module.Sum, sum)
	}
	return module.Dir, nil
}
