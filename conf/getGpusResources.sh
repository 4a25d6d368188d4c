#!/usr/bin/env bash
# Tells Spark which GPUs a worker or an executor has:
#   spark.worker.resource.gpu.discoveryScript    /opt/lockstep/conf/getGpusResources.sh     (standalone)
#   spark.executor.resource.gpu.discoveryScript  /opt/lockstep/conf/getGpusResources.sh     (YARN, Kubernetes)
#
# Prints one line of JSON: {"name": "gpu", "addresses": ["0", "1"]}. An address is the index that nvidia-smi gives a GPU
# (the order of the PCI bus), or its UUID with LOCKSTEP_GPU_ADDRESSES=uuid; a slice of a GPU in MIG mode is always named by
# its UUID, for it has no index, and a GPU in MIG mode without slices is left out. CUDA_VISIBLE_DEVICES narrows the list
# where it is set. NVIDIA_SMI names the command where it is not on the PATH.
#
# Fails, with a sentence and status 1, where there is no driver, no GPU, or nothing left to use: Spark shows the sentence.
set -euo pipefail

fail() {
  echo "getGpusResources.sh on $(uname -n): $1" >&2
  exit 1
}

smi=${NVIDIA_SMI:-nvidia-smi}
command -v "$smi" >/dev/null \
  || fail "no $smi on the PATH ($PATH): install the NVIDIA driver, or name the command in NVIDIA_SMI"
list=$("$smi" -L 2>&1) \
  || fail "$smi -L failed: ${list:-it said nothing}. Is the driver loaded (lsmod | grep nvidia), and of the same version as $smi?"

style=${LOCKSTEP_GPU_ADDRESSES:-index}
case $style in
  index | uuid) ;;
  *) fail "LOCKSTEP_GPU_ADDRESSES=$style is neither index nor uuid" ;;
esac

# One line a device: index, UUID, and the UUIDs of its MIG slices; "migs" where the GPU is cut at all.
devices=$(sed -n \
  -e 's/^GPU \([0-9][0-9]*\): .*(UUID: \(GPU-[0-9a-fA-F-]*\)).*/gpu \1 \2/p' \
  -e 's/^ *MIG .*(UUID: \(MIG-[^)]*\)).*/mig \1/p' <<<"$list")
[[ -n $devices ]] || fail "$smi -L lists no GPU: $(head -n 1 <<<"$list")"

declare -a indices=() uuids=() slices=()
while read -r kind first second; do
  if [[ $kind == gpu ]]; then
    indices+=("$first")
    uuids+=("$second")
    slices+=("")
  else
    last=$((${#slices[@]} - 1))
    slices[last]="${slices[last]:+${slices[last]} }$first"
  fi
done <<<"$devices"

# A GPU in MIG mode that nobody has cut yet runs nothing.
declare -a cut=()
for i in "${!indices[@]}"; do
  mode=$("$smi" --query-gpu=mig.mode.current --format=csv,noheader -i "${indices[i]}" 2>/dev/null || echo unknown)
  [[ $mode == Enabled ]] && cut+=(yes) || cut+=(no)
done

# CUDA_VISIBLE_DEVICES names indices, GPU-uuids or MIG-uuids, each perhaps shortened; the first unknown one ends the list.
visible() { # index uuid
  [[ -z ${CUDA_VISIBLE_DEVICES+set} ]] && return 0
  local name
  IFS=, read -ra names <<<"$CUDA_VISIBLE_DEVICES"
  for name in ${names[@]+"${names[@]}"}; do
    name=${name// /}
    [[ -n $name ]] || continue
    [[ $name == "$1" ]] && return 0
    [[ $name == GPU-* || $name == MIG-* ]] && [[ $2 == "$name"* ]] && return 0
  done
  return 1
}

declare -a addresses=()
for i in "${!indices[@]}"; do
  if [[ -n ${slices[i]} ]]; then
    for slice in ${slices[i]}; do
      if visible "${indices[i]}" "$slice"; then
        addresses+=("$slice")
      fi
    done
  elif [[ ${cut[i]} == no ]] && visible "${indices[i]}" "${uuids[i]}"; then
    if [[ $style == uuid ]]; then
      addresses+=("${uuids[i]}")
    else
      addresses+=("${indices[i]}")
    fi
  fi
done
((${#addresses[@]})) \
  || fail "$smi -L lists ${#indices[@]} GPUs, none that may be used (CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-unset}; a GPU in MIG mode needs slices: nvidia-smi mig -cgi)"

json=$(printf ', "%s"' "${addresses[@]}")
echo "{\"name\": \"gpu\", \"addresses\": [${json:2}]}"
