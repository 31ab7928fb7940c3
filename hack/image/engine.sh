#!/usr/bin/env bash
# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Runs a command with a docker engine: the one that answers or, where none does, one that is started for the command and
# stopped after it. That one needs root and Debian's package docker.io. It sets up no network, listens on a socket of its
# own, and keeps images and build cache in the user's cache folder, so that a second run is quick.
set -euo pipefail

if docker version >/dev/null 2>&1; then
  exec "$@"
fi
if ! engine=$(command -v dockerd) || [ "$(id -u)" -ne 0 ]; then
  echo "No docker engine answers: start one, set DOCKER_HOST or, as root, install dockerd (Debian: docker.io)." >&2
  exit 1
fi
# The engine's own client: another one on the PATH may lack BuildKit.
PATH="$(dirname "$(dirname "$engine")")/bin:$PATH"

data="${XDG_CACHE_HOME:-$HOME/.cache}/sts-credential-operator/docker"
mkdir -p "$data"
exec 9>"$data.lock"
flock --nonblock 9 || { echo "Waiting for another engine on $data." >&2; flock 9; }

run=$(mktemp -d)
stop() {
  if [ -n "${pid:-}" ]; then
    kill "$pid" 2>/dev/null || true
    wait "$pid" || true
  fi
  # A container on the host's network leaves its mount of that network.
  umount "$run"/exec/netns/* 2>/dev/null || true
  rm -rf "$run"
}
trap stop EXIT
trap 'exit 130' INT TERM
setpriv --pdeathsig TERM dockerd --bridge none --iptables=false --ip6tables=false --ip-forward=false --oom-score-adjust 0 \
  --data-root "$data" --exec-root "$run/exec" --pidfile "$run/pid" --host "unix://$run/docker.sock" \
  >"$data.log" 2>&1 9>&- &
pid=$!
export PATH DOCKER_HOST="unix://$run/docker.sock" BUILD_NETWORK=host
for _ in $(seq 300); do
  docker version >/dev/null 2>&1 && break
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.2
done
docker version >/dev/null 2>&1 || { tail -n 20 "$data.log" >&2; echo "dockerd does not start; see $data.log." >&2; exit 1; }
"$@" 9>&-
