#!/usr/bin/env bash
# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds and publishes a release, in the steps that .github/workflows/release.yaml calls one after the other:
#   bases     resolve the base images to digests, by which the next steps build
#   build     build and check the images, list their modules, and pack the kubectl plugin
#   images    push the images for all platforms, with provenance and SBOM
#   chart     write registry and digest of the image into the chart, and push it
#   mirror    copy images and chart to MIRROR, if it is set
#   sign      sign images and charts, and attest the modules of the images
#   assets    write the files of the GitHub release, with signed checksums
#   publish   create the GitHub release
#   verify    read back what is published
# "dry-run" runs all steps of the workflow on this machine. A registry on loopback stands for those of a release. Functions stand
# for cosign and gh, which need the internet. The images are dist/image.tar and dist/emulator.tar, for this machine's platform.
#
# Settings from the environment:
#   VERSION         the tag, such as v1.2.3
#   REGISTRY        where images go, such as ghcr.io/owner; the chart goes to REGISTRY/charts
#   MIRROR          a second registry with namespace, such as registry.cn-hangzhou.aliyuncs.com/team; optional
#   MIRROR_CHARTS   where the chart goes there, such as registry.cn-hangzhou.aliyuncs.com/charts; optional
#   BUILDER_IMAGE, BASE_IMAGE   other base images than those of the Dockerfile, such as copies in a registry of your own
# usage: hack/release.sh STEP
set -euo pipefail
cd "$(dirname "$0")/.."

CHART=sts-credential-operator
DIST=dist/release
WORKFLOW=.github/workflows/release.yaml
PLATFORMS="linux/amd64 linux/arm64"
LOOPBACK=() # the options of helm for a registry without TLS

crane() { go tool -modfile=hack/tools/crane/go.mod crane "$@"; }

helm() { go tool -modfile=hack/tools/helm/go.mod helm "$@"; }

fail() { echo "release.sh: $*" >&2; exit 1; }

# digest prints the digest of a published image or chart.
digest() { # REPOSITORY
  sed -n "s|^$1:[^@]*@||p" "$DIST/digests.txt" | grep . || fail "digests.txt has no $1"
}

# record notes what was pushed.
record() { # REPOSITORY TAG DIGEST
  [[ $3 =~ ^sha256:[0-9a-f]{64}$ ]] || fail "the digest of $1:$2 is \"$3\""
  echo "$1:$2@$3" >>"$DIST/digests.txt"
}

# resolve prints a variable with a base image by digest: the variable's own value, or the image of the Dockerfile's stage.
resolve() { # VARIABLE STAGE
  local image=${!1:-}
  [ -n "$image" ] || image=$(awk -v stage="$2" '$1 == "FROM" && $NF == stage {print $(NF-2)}' Dockerfile)
  case $image in
    *@sha256:*) echo "$1=$image" ;;
    *) echo "$1=$image@$(crane digest "$image")" ;;
  esac
}

bases() {
  rm -rf "$DIST"
  mkdir -p "$DIST"
  { resolve BUILDER_IMAGE default-builder; resolve BASE_IMAGE default-base; } >"$DIST/bases.txt"
  [ "$(grep -c '^[A-Z_]*=[^@]*@sha256:[0-9a-f]\{64\}$' "$DIST/bases.txt")" = 2 ] || fail "bases.txt has not two digests"
}

# on_bases runs a command with the resolved base images.
on_bases() {
  local settings
  mapfile -t settings <"$DIST/bases.txt"
  env "${settings[@]}" "$@"
}

build() {
  build_images
  cp dist/sbom.cdx.json dist/sts-emulator.cdx.json dist/kubectl-stscred.cdx.json "$DIST"
  make plugin DIST="$DIST"
}

build_images() {
  on_bases make image-check sbom emulator-check IMG="$REGISTRY/$CHART:$VERSION" EMULATOR_IMG="$REGISTRY/sts-emulator:$VERSION"
}

images() {
  : >"$DIST/digests.txt"
  image "$CHART" operator dist/image.tar
  image sts-emulator emulator dist/emulator.tar
}

image() { # NAME TARGET ARCHIVE
  local metadata="dist/$1.metadata.json"
  push "$REGISTRY/$1:$VERSION" "$2" "$metadata" "$3"
  record "$REGISTRY/$1" "$VERSION" "$(sed -n 's/.*"containerimage\.digest": *"\([^"]*\)".*/\1/p' "$metadata")"
}

# push builds an image for all platforms, and pushes it.
push() { # IMAGE TARGET METADATA ARCHIVE
  TARGET=$2 on_bases make docker-buildx IMG="$1" OUTPUT="--push --provenance=mode=max --sbom=true --metadata-file=$3"
}

chart() {
  chart_for "$REGISTRY" "$REGISTRY/charts" "$DIST"
}

# chart_for packs the chart with the image of a registry, and pushes it.
chart_for() { # REGISTRY REPOSITORY FOLDER
  local work values pushed
  work=$(mktemp -d)
  cp -R "charts/$CHART" "$work"
  values="$work/$CHART/values.yaml"
  sed -i "s|^  registry: \"\"|  registry: $1|; s|^  digest: \"\"|  digest: $(digest "$REGISTRY/$CHART")|" "$values"
  [ "$(diff "charts/$CHART/values.yaml" "$values" | grep -c '^>')" = 2 ] || fail "values.yaml has no single registry and digest"
  helm package --destination "$3" --version "${VERSION#v}" --app-version "$VERSION" "$work/$CHART"
  rm -rf "$work"
  pushed=$(helm push "${LOOPBACK[@]}" "$3/$CHART-${VERSION#v}.tgz" "oci://$2" 2>&1) || fail "$pushed"
  record "$2/$CHART" "${VERSION#v}" "$(sed -n 's/^Digest: //p' <<<"$pushed")"
}

mirror() {
  [ -n "${MIRROR:-}" ] || { echo "No MIRROR is set: nothing is copied."; return; }
  local name
  for name in "$CHART" sts-emulator; do
    crane copy "$REGISTRY/$name@$(digest "$REGISTRY/$name")" "$MIRROR/$name:$VERSION"
    record "$MIRROR/$name" "$VERSION" "$(crane digest "$MIRROR/$name:$VERSION")"
    [ "$(digest "$MIRROR/$name")" = "$(digest "$REGISTRY/$name")" ] || fail "$MIRROR/$name is not what $REGISTRY/$name is"
  done
  [ -z "${MIRROR_CHARTS:-}" ] || chart_for "$MIRROR" "$MIRROR_CHARTS" "$(mktemp -d)"
}

# published prints what digests.txt has, by digest and without the tag.
published() { sed 's|:[^:@]*@|@|' "$DIST/digests.txt"; }

sign() {
  local reference
  for reference in $(published); do
    cosign sign --yes "$reference"
    case $reference in
      */sts-emulator@*) cosign attest --yes --type cyclonedx --predicate "$DIST/sts-emulator.cdx.json" "$reference" ;;
      "$REGISTRY/$CHART@"* | "${MIRROR:-none}/$CHART@"*) cosign attest --yes --type cyclonedx --predicate "$DIST/sbom.cdx.json" "$reference" ;;
    esac
  done
}

# files prints the names of the release's files, without the checksums.
files() {
  printf '%s\n' install.yaml bases.txt digests.txt "$CHART-${VERSION#v}.tgz" stscred.yaml \
    sbom.cdx.json sts-emulator.cdx.json kubectl-stscred.cdx.json stscredential_v1alpha1.json stsrolegrant_v1alpha1.json
  [ -z "${MIRROR:-}" ] || echo install-mirror.yaml
  (cd "$DIST" && ls kubectl-stscred_*)
}

# installer writes what kubectl applies, with the image of a registry by digest.
installer() { # REGISTRY FILE
  make dist DIST="$DIST/installer" IMG="$1/$CHART:$VERSION@$(digest "$1/$CHART")"
  mv "$DIST/installer/install.yaml" "$2"
  rmdir "$DIST/installer"
}

assets() {
  local names
  [ -z "${MIRROR:-}" ] || installer "$MIRROR" "$DIST/install-mirror.yaml"
  installer "$REGISTRY" "$DIST/install.yaml"
  make schemas DIST="$DIST"
  mv "$DIST"/schemas/sts.alibabacloud.com/*.json "$DIST"
  rm -r "$DIST/schemas"
  mapfile -t names < <(files)
  (cd "$DIST" && sha256sum --check --quiet checksums.txt) # those of the plugin, as it was packed
  (cd "$DIST" && sha256sum "${names[@]}") >"$DIST/checksums.all"
  mv "$DIST/checksums.all" "$DIST/checksums.txt"
  cosign sign-blob --yes --bundle "$DIST/checksums.txt.sigstore.json" "$DIST/checksums.txt"
}

publish() {
  local names
  mapfile -t names < <(files)
  gh release create "$VERSION" --verify-tag --generate-notes \
    "${names[@]/#/$DIST/}" "$DIST/checksums.txt" "$DIST/checksums.txt.sigstore.json"
}

verify() {
  local reference platform work
  work=$(mktemp -d)
  for reference in $(published); do
    case $reference in
      "$REGISTRY/charts/"* | "${MIRROR_CHARTS:-none}/"*) verify_chart "${reference%@*}" "$work" ;;
      *) for platform in $PLATFORMS; do crane pull --platform "$platform" "$reference" "$work/image.tar"; done ;;
    esac
  done
  cmp "$work/$REGISTRY/$CHART-${VERSION#v}.tgz" "$DIST/$CHART-${VERSION#v}.tgz"
  verify_installer "$REGISTRY" "$DIST/install.yaml"
  [ -z "${MIRROR:-}" ] || verify_installer "$MIRROR" "$DIST/install-mirror.yaml"
  (cd "$DIST" && sha256sum --check --quiet checksums.txt)
  rm -rf "$work"
  echo "What is published is complete: $(wc -l <"$DIST/digests.txt") images and charts, $(wc -l <"$DIST/checksums.txt") files."
}

# verify_chart pulls a chart, and checks the image that it installs.
verify_chart() { # REPOSITORY FOLDER
  local registry=$REGISTRY folder
  [ "$1" = "$REGISTRY/charts/$CHART" ] || registry=$MIRROR
  folder="$2/$registry"
  mkdir -p "$folder"
  helm pull "${LOOPBACK[@]}" "oci://$1" --version "${VERSION#v}" --destination "$folder"
  helm template sts "$folder/$CHART-${VERSION#v}.tgz" >"$folder/rendered.yaml"
  verify_image "$registry" "$folder/rendered.yaml"
}

verify_installer() { # REGISTRY FILE
  verify_image "$1" "$2"
  ! grep -q "$CHART:dev" "$2" || fail "$2 has the image $CHART:dev"
}

# verify_image checks that a manifest has the image of a registry by digest.
verify_image() { # REGISTRY FILE
  grep -q "image: \"\?$1/$CHART\(:$VERSION\)\?@$(digest "$1/$CHART")\"\?\$" "$2" || fail "$2 has not the image of $1 by digest"
}

# steps prints the steps that the workflow calls. Nothing else in it may be a command.
steps() {
  local others
  others=$(grep -E '^ +(- )?run:' "$WORKFLOW" | grep -vE 'run: hack/release\.sh [a-z]+$') && fail "$WORKFLOW has other commands: $others"
  sed -n 's|.* run: hack/release\.sh ||p' "$WORKFLOW"
}

dry_run() {
  local address listed step
  export VERSION=v0.0.0-dry-run
  PLATFORMS="linux/$(go env GOHOSTARCH)"
  LOOPBACK=(--plain-http)
  work=$(mktemp -d)
  trap 'kill "${registry:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
  # Not by go tool, which would leave it behind.
  go build -modfile=hack/tools/crane/go.mod -o "$work/crane" github.com/google/go-containerregistry/cmd/crane
  : >"$work/log" # the shell below may read it before the registry runs
  "$work/crane" registry serve --address 127.0.0.1:0 >"$work/log" 2>&1 &
  registry=$!
  for _ in $(seq 100); do
    address=$(sed -n 's/.*serving on \(port \)\?\([^ ]*\).*/\2/p' "$work/log")
    [ -z "$address" ] || break
    sleep 0.1
  done
  address="127.0.0.1:${address##*:}"
  REGISTRY="$address/owner" MIRROR="$address/mirror" MIRROR_CHARTS="$address/mirror-charts"
  stand_in_bases "$address"
  stand_ins
  listed=$(steps)
  for step in $listed; do
    echo "-- $step"
    "$step"
  done
}

# stand_in_bases pushes two images in place of the real bases.
stand_in_bases() { # ADDRESS
  tar -cf "$work/base.tar" --files-from /dev/null
  BUILDER_IMAGE="$1/bases/golang:1.26" BASE_IMAGE="$1/bases/static:nonroot"
  local image
  for image in "$BUILDER_IMAGE" "$BASE_IMAGE"; do
    crane append --oci-empty-base --new_layer "$work/base.tar" --new_tag "$image" >/dev/null
  done
}

# stand_ins replaces what needs the internet, or takes long and was done before.
stand_ins() {
  build() {
    cp dist/sbom.cdx.json dist/sts-emulator.cdx.json dist/kubectl-stscred.cdx.json "$DIST"
    make plugin DIST="$DIST" VERSION="$VERSION" PLATFORMS="$(go env GOHOSTOS)/$(go env GOHOSTARCH)"
    cp .krew.yaml "$DIST/stscred.yaml" # which the plugin has for all platforms only
  }
  push() {
    crane push "$4" "$1" >/dev/null
    crane index append --manifest "$1" --tag "$1" >/dev/null
    printf '{\n  "containerimage.digest": "%s"\n}\n' "$(crane digest "$1")" >"$3"
  }
  cosign() {
    local argument
    case $1 in
      sign-blob) echo '{}' >"$4" ;;
      *) crane digest "${!#}" >/dev/null ;;
    esac
    for argument; do
      case $argument in "$DIST"/*) [ -s "$argument" ] || fail "cosign $1: there is no $argument" ;; esac
    done
  }
  gh() {
    local argument
    for argument; do
      case $argument in "$DIST"/*) [ -s "$argument" ] || fail "gh: there is no $argument" ;; esac
    done
    [ "$(find "$DIST" -type f | wc -l)" = "$(printf '%s\n' "$@" | grep -c "^$DIST/")" ] || fail "gh leaves out a file of $DIST"
  }
}

case ${1:-} in
  bases | build | images | chart | mirror | sign | assets | publish | verify) "$1" ;;
  dry-run) dry_run ;;
  *) fail "usage: hack/release.sh bases|build|images|chart|mirror|sign|assets|publish|verify|dry-run" ;;
esac
