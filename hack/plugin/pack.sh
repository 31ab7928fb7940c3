#!/usr/bin/env bash
# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds the archives of the kubectl plugin in FOLDER, with their checksums and, for all platforms, the manifest for krew. The same
# commit gives the same archives: their files bear its time, and the programs contain no path, build ID from git or time.
# Settings from the environment: VERSION and COMMIT, which the plugin prints.
# usage: hack/plugin/pack.sh FOLDER [OS/ARCH[,OS/ARCH...]]   all platforms of a release by default
set -euo pipefail
cd "$(dirname "$0")/../.."
platforms="darwin/amd64,darwin/arm64,linux/amd64,linux/arm64,windows/amd64,windows/arm64"
folder=$1 chosen=${2:-$platforms}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TZ=UTC # in which zip writes times

command -v sha256sum >/dev/null || sha256sum() { shasum -a 256 "$@"; } # macOS

# add builds the plugin for a platform, and packs it.
add() { # OS ARCH PROGRAM FORMAT
  local archive="kubectl-stscred_${VERSION}_$1_$2.$4"
  CGO_ENABLED=0 GOOS=$1 GOARCH=$2 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
    -o "$work/$3" ./cmd/kubectl-stscred
  git -c tar.umask=0022 archive --format="$4" --add-file="$work/$3" --output="$folder/$archive" HEAD LICENSE
  (cd "$folder" && sha256sum "$archive") >>"$work/checksums.txt"
}

# manifest fills in the manifest for krew, a template in the form that krew-release-bot takes.
manifest() {
  local line url sum
  sed "s|{{ .TagName }}|$VERSION|g" .krew.yaml | while IFS= read -r line; do
    case $line in
      *addURIAndSha*)
        url=$(cut -d '"' -f 2 <<<"$line")
        sum=$(grep "  ${url##*/}\$" "$work/checksums.txt")
        printf '    uri: %s\n    sha256: %s\n' "$url" "${sum%% *}"
        ;;
      *) printf '%s\n' "$line" ;;
    esac
  done
}

mkdir -p "$folder"
for platform in ${chosen//,/ }; do
  case ",$platforms," in
    *",$platform,"*) ;;
    *) echo "A release has no platform \"$platform\". Write one of $platforms." >&2; exit 1 ;;
  esac
  case $platform in
    windows/*) add windows "${platform#*/}" kubectl-stscred.exe zip ;;
    *) add "${platform%/*}" "${platform#*/}" kubectl-stscred tar.gz ;;
  esac
done
cp "$work/checksums.txt" "$folder"
if [ "$chosen" = "$platforms" ]; then
  manifest >"$work/stscred.yaml"
  cp "$work/stscred.yaml" "$folder"
fi
