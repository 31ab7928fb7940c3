#!/usr/bin/env bash
# Runs every fuzz target of this module for so long (default: a minute each), and prints a table. What a target finds is
# written to testdata/fuzz beside it, where `go test` then tries it each time.
set -euo pipefail
cd "$(dirname "$0")/.."
time="${1:-1m}"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

# Until Go 1.27, a run sometimes fails at the end of its time though it found nothing: https://go.dev/issue/75804. Such a run
# is repeated; everything else that fails is a finding.
fuzz() { go test -run '^$' -fuzz "^$1\$" -fuzztime "$time" "$2" | tee "$log"; }
ended_late() { grep -qx ' *context deadline exceeded' "$log" && ! grep -qE 'Failing input written|panic:|_test\.go:' "$log"; }

table=$'| target | package | inputs tried | new paths | found |\n|---|---|--:|--:|---|'
failed=0
while IFS=: read -r file target; do
  package="$(dirname "$file")"
  echo "== $target in $package, $time"
  found=nothing
  fuzz "$target" "$package" || { ended_late && fuzz "$target" "$package"; } || { found="see above" failed=1; }
  counts="$(sed -n 's/.*execs: \([0-9]*\) .*new interesting: \([0-9]*\).*/\1 | \2/p' "$log" | tail -n 1)"
  table+=$'\n'"| \`$target\` | \`${package#./}\` | ${counts:-0 | 0} | $found |"
done < <(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' ./api ./cmd ./controllers ./internal | sed 's/func //' | sort)
printf '\n%s\n' "$table"
exit "$failed"
