#!/usr/bin/env bash
# Makes the PTX beside the sources. `build.sh [folder]` writes there instead, for a test that compares.
#
# nvcc 13 writes PTX ISA 9.0, which only drivers from 580 on read; nothing here needs more than 8.0, so the text says that.
# The comment lines name a build of the compiler and are left out; the version that made the text is kept.
set -euo pipefail
cd "$(dirname "$0")"
to=${1:-.}
version=$(nvcc --version | sed -n 's/.*release \([0-9.]*\), V\([0-9.]*\)$/\2/p')
for name in rows sample product attention flash reduce exchange; do
  target=75
  [[ $name == flash ]] && target=80 # whose tensor cores take bf16
  nvcc -ptx -arch=compute_$target -std=c++17 -fmad=false -o "$to/$name.raw" "$name.cu"
  {
    echo "// $name.cu by nvcc $version, for compute_$target, re-labelled to ISA 8.0: see build.sh"
    sed -e '/^\/\//d' -e 's/^\.version .*/.version 8.0/' "$to/$name.raw"
  } > "$to/$name.ptx"
  rm "$to/$name.raw"
done
