#!/usr/bin/env bash
# Prints the coverage of each package from profiles, and fails where it is below what the package promises.
set -euo pipefail
awk -v module=github.com/stscredential/sts-credential-operator/ '
  BEGIN {
    least["internal/renewal"] = 100; least["internal/grant"] = 100
    least["controllers/stscredential"] = 85; least["controllers/rollout"] = 85; least["internal/sts"] = 85
    least["internal/rampolicy"] = 85; least["internal/ratelimit"] = 85
  }
  !/^mode: / {
    file = $1; sub(/:.*/, "", file); sub(module, "", file); package = file; sub(/\/[^\/]*$/, "", package)
    key = $1; statements[key] = $2; of[key] = package; if ($3 > 0) hit[key] = 1
  }
  END {
    for (key in statements) { all[of[key]] += statements[key]; if (key in hit) covered[of[key]] += statements[key] }
    for (package in all) {
      percent = 100 * covered[package] / all[package]
      printf "%6.1f %%  %s\n", percent, package
      if (package in least && percent < least[package]) { printf "         too low: %s promises %d %%\n", package, least[package]; bad = 1 }
      seen[package] = 1
    }
    for (package in least) if (!(package in seen)) { printf "         missing: %s\n", package; bad = 1 }
    exit bad
  }' "$@" | sort -k3
exit "${PIPESTATUS[0]}"
