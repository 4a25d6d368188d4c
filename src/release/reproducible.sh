#!/usr/bin/env bash
# reproducible.sh [MVN OPTIONS]: whether what is released has the same bytes wherever it is built.
#
# Builds what is committed twice (-Prelease: jars, sources, Javadoc, bill of materials, pom; no tests), in two folders of different
# names under REPRODUCIBLE (target/reproducible), one after the other, and compares. Prints the SHA-256 of each file; the exit code
# is the number of files that differ, or are there once only.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${REPRODUCIBLE:-$root/target/reproducible}

for name in one another; do
  rm -rf "${folder:?}/$name"
  git clone -q "$root" "$folder/$name"
  mvn -q -B -f "$folder/$name/pom.xml" -Prelease -Dmaven.test.skip=true "$@" package
  (cd "$folder/$name/target" && sha256sum lockstep-*.jar lockstep-*-bom.json lockstep-*-bom.xml published-pom.xml) > "$folder/$name.sha256"
done
cat "$folder/one.sha256"
differing=$({ diff "$folder/one.sha256" "$folder/another.sha256" || true; } | awk '/^[<>]/ { print $3 }' | sort -u)
if [[ -n $differing ]]; then
  echo "not the same bytes in both folders:" >&2
  echo "$differing" >&2
  exit "$(wc -l <<< "$differing")"
fi
