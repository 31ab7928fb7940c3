#!/usr/bin/env bash
# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds the image by `docker ARGUMENT...`, with what is to be stamped on it. Settings from the environment:
#   IMG, VERSION                its name, and what it says of itself
#   TARGET, PROGRAM             another target of the Dockerfile than the operator, and the program in its image
#   SOURCE_DATE_EPOCH           the time it bears, in seconds
#   BUILDER_IMAGE, BASE_IMAGE   other bases than the Dockerfile's
#   LOCAL_BASES=1               bases made of this machine's files, for builds without a registry (bases.sh)
#   ARCHITECTURE                of the image, if not this machine's
#   GOPROXY                     handed on to the build
#   ARCHIVE                     a file to save the image to, for `docker load` and `ctr images import`; its program is
#                               put beside it
# usage: engine.sh build.sh build | buildx build [OPTION...]
set -euo pipefail
cd "$(dirname "$0")/../.."

COMMIT=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# GNU's date, or BSD's.
CREATED=$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ 2>/dev/null || date -u -r "$SOURCE_DATE_EPOCH" +%FT%TZ)
export DOCKER_BUILDKIT=1

if [ -n "${LOCAL_BASES:-}" ]; then
  { read -r BUILDER_IMAGE; read -r BASE_IMAGE; } < <(hack/image/bases.sh "${ARCHITECTURE:-$(go env GOHOSTARCH)}")
fi
PROGRAM=${PROGRAM:-manager}
options=(--target "${TARGET:-operator}" --tag "$IMG" --network "${BUILD_NETWORK:-default}")
[ -z "${ARCHITECTURE:-}" ] || options+=(--platform "linux/$ARCHITECTURE")
for name in VERSION COMMIT CREATED SOURCE_DATE_EPOCH GOPROXY BUILDER_IMAGE BASE_IMAGE; do
  [ -z "${!name:-}" ] || options+=(--build-arg "$name=${!name}")
done
docker "$@" "${options[@]}" .
if [ -n "${ARCHIVE:-}" ]; then
  mkdir -p "$(dirname "$ARCHIVE")"
  docker save --output "$ARCHIVE" "$IMG"
  container=$(docker create --network none "$IMG")
  docker cp "$container:/$PROGRAM" "$(dirname "$ARCHIVE")/$PROGRAM"
  docker rm "$container" >/dev/null
fi
