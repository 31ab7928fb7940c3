#!/usr/bin/env bash
# Generates everything anew in a copy of the tree and compares: what is committed must be what the sources say.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$root"
git ls-files --cached --others --exclude-standard -z | while IFS= read -r -d '' file; do
  [ -e "$file" ] && printf '%s\0' "$file"
done | tar --null --files-from=- --create --file=- | tar --extract --file=- --directory="$copy"
cp -R "$copy" "$copy.before"
trap 'rm -rf "$copy" "$copy.before"' EXIT
cd "$copy"
make --no-print-directory generate >/dev/null
go mod tidy
for module in hack test hack/tools hack/tools/golangci-lint hack/tools/helm hack/tools/actionlint test/formats; do (cd "$module" && go mod tidy); done
if ! diff --recursive --unified "$copy.before" "$copy"; then
  echo "Generated files or modules are not up to date: run 'make generate' and 'go mod tidy', and commit the result." >&2
  exit 1
fi
unformatted=$(gofmt -l api cmd controllers hack internal test)
if [ -n "$unformatted" ]; then
  printf 'Not formatted, run gofmt -w:\n%s\n' "$unformatted" >&2
  exit 1
fi
echo "Generated files, modules and formatting are up to date."
