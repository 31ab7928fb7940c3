#!/usr/bin/env bash
# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Prints the folder with prometheus and promtool: the one on the PATH, or Debian's package, which is unpacked into the
# user's cache, so that no service is installed or started.
set -euo pipefail
if prometheus=$(command -v prometheus) && command -v promtool >/dev/null; then
  dirname "$prometheus"
  exit
fi
if ! command -v apt-get >/dev/null; then
  echo "prometheus and promtool are needed: install Prometheus (on macOS: brew install prometheus)" >&2
  exit 1
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sts-credential-operator/prometheus
if [ ! -x "$cache/usr/bin/promtool" ]; then
  mkdir -p "$cache"
  download=$(mktemp -d "$cache/download.XXXXXX")
  trap 'rm -rf "$download"' EXIT
  cd "$download"
  { apt-get download prometheus || { apt-get update -qq && apt-get download prometheus; }; } >&2
  dpkg-deb --extract prometheus_*.deb unpacked
  mkdir -p "$cache/usr/bin"
  # promtool comes last: its presence means that all is there.
  mv unpacked/usr/bin/prometheus "$cache/usr/bin/"
  mv unpacked/usr/bin/promtool "$cache/usr/bin/"
fi
echo "$cache/usr/bin"
