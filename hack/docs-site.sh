#!/usr/bin/env bash
# Builds the documentation site of the working tree and of each tag that has one, into dist/site and dist/site/<tag>.
set -euo pipefail
cd "$(dirname "$0")/.."

tags=()
for tag in $(git tag --list 'v*' --sort=-version:refname); do
  if git cat-file -e "$tag:docs/.vitepress/config.js" 2>/dev/null; then tags+=("$tag"); fi
done
export DOCS_VERSIONS="${tags[*]}"
make docs-site
for tag in "${tags[@]}"; do
  rm -rf bin/docs-site
  mkdir -p bin/docs-site
  git archive "$tag" | tar -x -C bin/docs-site
  make -C bin/docs-site docs-site DOCS_VERSION="$tag"
  mv bin/docs-site/dist/site "dist/site/$tag"
done
