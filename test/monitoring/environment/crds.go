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

// The Prometheus operator, whose CRDs a PrometheusRule and a ServiceMonitor are checked by.
const (
	operatorModule = "github.com/prometheus-operator/prometheus-operator@v0.90.1"
	operatorSum    = "h1:n/+FkLB6WpftBxJC8IEHrWXSA6uzNTocFmwU/ACkfeg="
)

// CRDs is a folder with the CRDs of the Prometheus operator, one a file, fetched as a Go module.
func CRDs(ctx context.Context) (folder string, err error) {
	fetch := exec.CommandContext(ctx, "go", "mod", "download", "-json", operatorModule)
	fetch.Dir = os.TempDir() // outside of any module
	answer, err := fetch.Output()
	var module struct{ Dir, Sum, Error string }
	if decodeErr := json.Unmarshal(answer, &module); decodeErr != nil {
		return "", fmt.Errorf("fetch %s: %w, %w", operatorModule, err, decodeErr)
	}
	switch {
	case module.Error != "" || err != nil:
		return "", fmt.Errorf("fetch %s: %s, %w", operatorModule, module.Error, err)
	case module.Sum != operatorSum:
		return "", fmt.Errorf("%s has the checksum %s, not %s: somebody changed it", operatorModule, module.Sum, operatorSum)
	}
	return filepath.Join(module.Dir, "example", "prometheus-operator-crd"), nil
}
