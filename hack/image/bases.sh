#!/usr/bin/env bash
# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Makes the image's two bases out of this machine's own files, where no registry can be reached, and prints their names:
# the builder (this Go, this machine's CA certificates, busybox) and the base (Debian's CA certificates and time zones, a
# user without rights, no program at all). Needs Debian's busybox-static, ca-certificates and tzdata.
# usage: bases.sh ARCHITECTURE
set -euo pipefail
architecture=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

users() { # FOLDER
  mkdir -p "$1/etc" "$1/root" "$1/home/nonroot" "$1/tmp"
  chmod 0700 "$1/root" "$1/home/nonroot"
  chmod 1777 "$1/tmp"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$1/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$1/etc/group"
}

# base makes an image of a folder unless the engine has it, and prints its name.
base() { # NAME ARCHITECTURE FOLDER ENV
  local name
  name="sts-credential-operator-$1:$2-$(tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
    --directory="$3" . | sha256sum | cut -c1-12)"
  docker image inspect "$name" >/dev/null 2>&1 ||
    printf 'FROM scratch\nCOPY . /\nENV %s\n' "$4" | docker build --quiet --platform "linux/$2" --tag "$name" --file - "$3" >/dev/null
  echo "$name"
}

if ! busybox=$(command -v busybox) || ldd "$busybox" >/dev/null 2>&1; then
  echo "No static busybox: install Debian's busybox-static." >&2
  exit 1
fi
builder="$work/builder"
users "$builder"
mkdir -p "$builder/bin" "$builder/usr/local/go" "$builder/etc/ssl/certs"
cp "$busybox" "$builder/bin/busybox"
for program in sh mkdir touch; do ln -s busybox "$builder/bin/$program"; done
cp /etc/ssl/certs/ca-certificates.crt "$builder/etc/ssl/certs/"
goroot=$(go env GOROOT)
cp -R "$goroot"/{bin,pkg,src,go.env,VERSION} "$builder/usr/local/go/"
base builder "$(go env GOHOSTARCH)" "$builder" "PATH=/usr/local/go/bin:/bin GOPATH=/go"

static="$work/static"
users "$static"
mkdir -p "$static/etc/ssl/certs" "$static/usr/share"
# Debian's, without those which this machine's administrator has added.
cat /usr/share/ca-certificates/mozilla/*.crt >"$static/etc/ssl/certs/ca-certificates.crt"
cp -R /usr/share/zoneinfo "$static/usr/share/zoneinfo"
base static "$architecture" "$static" "PATH=/ SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
