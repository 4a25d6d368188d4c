#!/usr/bin/env bash
# Makes the stand-ins: build.sh FOLDER writes libcuda.so.1, libcublas.so.13, libnccl.so.2 and libnvidia-ml.so.1 there. Needs g++ on x86-64 Linux; nothing of CUDA.
# Does nothing where they are newer than their sources.
set -euo pipefail
to=$1
if [[ -z $(command -v g++) || $(uname -sm) != "Linux x86_64" ]]; then
  echo "no g++ on x86-64 Linux: tests of the CUDA twin will be skipped" >&2
  exit 0
fi
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../main/cuda
mkdir -p "$to"
to=$(cd "$to" && pwd)
sources=("$here"/*.cpp "$here"/*.hpp "$here"/include/*.h "$here/build.sh" "$kernels"/*.cu "$kernels"/*.cuh "$kernels"/*.ptx)
if [[ -z $(find "${sources[@]}" -newer "$to/built" 2>&1) ]]; then
  exit 0
fi

# Blocks are short and many: -O2. A product and a sum are one instruction only where the source says so, as on the device.
flags=(-std=c++17 -O2 -march=native -ffp-contract=off -fno-strict-aliasing -fPIC -fvisibility=hidden -Wall -Wextra
  -I"$here" -I"$here/include" -I"$kernels" -I"$to")
sed -n 's/^\.visible \.entry \(.*\)($/ENTRY(\1)/p' "$kernels"/*.ptx > "$to/entries.inc"
objects=()
compilers=()
for source in "$here"/*.cpp; do
  name=$(basename "$source" .cpp)
  [[ $name == cublas || $name == nccl || $name == nvml ]] && continue
  own=()
  if [[ $name == kernels ]]; then
    own=(-include "$here/dialect.hpp" -x c++ -Wno-unknown-pragmas)
  fi
  g++ "${flags[@]}" "${own[@]}" -c "$source" -o "$to/$name.o" &
  compilers+=($!)
  objects+=("$to/$name.o")
done
for compiler in "${compilers[@]}"; do
  wait "$compiler" # of several, wait has the result of the last alone
done
g++ -shared -Wl,-soname,libcuda.so.1 -o "$to/libcuda.so.1" "${objects[@]}" -ldl -pthread
g++ "${flags[@]}" -shared -Wl,-soname,libcublas.so.13 -o "$to/libcublas.so.13" "$here/cublas.cpp" "$to/libcuda.so.1"
g++ "${flags[@]}" -shared -Wl,-soname,libnccl.so.2 -o "$to/libnccl.so.2" "$here/nccl.cpp" "$to/libcuda.so.1" -pthread
# What tests set in it stays: a library that nobody refers to any more would be loaded anew.
g++ "${flags[@]}" -shared -Wl,-z,nodelete -Wl,-soname,libnvidia-ml.so.1 -o "$to/libnvidia-ml.so.1" "$here/nvml.cpp"
rm "${objects[@]}"
touch "$to/built"
