#!/usr/bin/env bash
# Runs every fuzz target of this module for so long (default: a minute each), and prints a table. What a target finds is
# written to testdata/fuzz beside it, where `go test` then tries it each time.
set -euo pipefail
cd "$(dirname "$0")/.."
time="${1:-1m}"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
table=$'| target | package | inputs tried | new paths | found |\n|---|---|--:|--:|---|'
failed=0
while IFS=: read -r file target; do
  package="$(dirname "$file")"
  echo "== $target in $package, $time"
  found=nothing
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" | tee "$log" || { found="see above" failed=1; }
  counts="$(sed -n 's/.*execs: \([0-9]*\) .*new interesting: \([0-9]*\).*/\1 | \2/p' "$log" | tail -n 1)"
  table+=$'\n'"| \`$target\` | \`${package#./}\` | ${counts:-0 | 0} | $found |"
done < <(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' ./api ./cmd ./controllers ./internal | sed 's/func //' | sort)
printf '\n%s\n' "$table"
exit "$failed"
