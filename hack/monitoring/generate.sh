#!/usr/bin/env bash
# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Makes config/prometheus's alerts and dashboard from the chart's, which are the sources.
set -euo pipefail
cd "$(dirname "$0")/../.."
from=charts/sts-credential-operator/files to=config/prometheus
{
  cat <<'RULE'
# Generated from charts/sts-credential-operator/files/alerts.yaml by `make generate`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sts-credential-operator
  namespace: sts-system
  labels: {app.kubernetes.io/name: sts-credential-operator}
spec:
RULE
  sed -e '/^#/d' -e 's/^\(.\)/  \1/' "$from/alerts.yaml"
} >"$to/prometheusrule.yaml"
cp "$from/dashboard.json" "$to/dashboard.json"
