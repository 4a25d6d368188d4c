#!/usr/bin/env bash
# run.sh RUNTIME [RESULTS] [SECTION...]: checks and measures the CUDA twin on a machine with a device, without a network.
#
# RUNTIME holds jre/bin/java, spark/jars/*.jar and app/*.jar (see collect.sh). Each section is bounded in time, so that all of
# them fit into a few calls of ten minutes; each leaves a file in RESULTS (gpu-check-results), and a table of everything there
# is printed at the end. cuBLAS is looked for among the system's libraries and Python's packages; LOCKSTEP_CUBLAS names one.
#
#   machine    driver, device, libraries
#   tests      every test of the CUDA twin that a real device can pass; what it cannot is counted as aborted, with the reason
#   kernels    copy bandwidth, each kernel against its bytes, products of cuBLAS, launches alone and in a graph
#   groups     lockstep bench all --backend nccl of the one rank that a device has room for: copies, and what a call costs; then
#              of 2 and 4 JVMs that share the device, whose results count, not their times
#   exchange   lockstep bench all-reduce --backend peer of ranks of one JVM on that device, and, where there are two, of two JVMs
#   llama-1b   lockstep bench inference on random weights, bf16: decode of 1, 8 and 64, a prompt of 2,048
#   llama-8b   likewise
#   peer       Hugging Face transformers on the same shapes, where Python has it
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runtime=$(cd "${1:?usage: run.sh RUNTIME [RESULTS] [SECTION...]}" && pwd)
results=${2:-gpu-check-results}
mkdir -p "$results"
results=$(cd "$results" && pwd)
shift $(($# > 2 ? 2 : $#))
sections=("$@")
((${#sections[@]})) || sections=(machine tests kernels groups exchange llama-1b llama-8b peer)

opens=()
for package in lang lang.invoke lang.reflect io net nio util util.concurrent util.concurrent.atomic; do
  opens+=("--add-opens=java.base/java.$package=ALL-UNNAMED")
done
for package in jdk.internal.ref sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar; do
  opens+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
# The driver compiles the kernels' PTX once where it can keep the result; a home that cannot be written to would have it compile for
# each rank of each test.
export CUDA_CACHE_PATH=${CUDA_CACHE_PATH:-$runtime/compute-cache}
mkdir -p "$CUDA_CACHE_PATH" 2> /dev/null && [[ -w $CUDA_CACHE_PATH ]] || CUDA_CACHE_PATH=$(mktemp -d)
export JAVA_HOME=$runtime/jre SPARK_HOME=$runtime/spark SPARK_SCALA_VERSION=2.13 SPARK_LOCAL_IP=127.0.0.1

java() { # java SECONDS ARGUMENT...
  local limit=$1
  shift
  timeout "$limit" "$runtime/jre/bin/java" -XX:+IgnoreUnrecognizedVMOptions --add-modules=jdk.incubator.vector "${opens[@]}" \
    --enable-native-access=ALL-UNNAMED -Xmx"${HEAP:-24g}" -Duser.timezone=UTC \
    -cp "$runtime/app/*:$runtime/spark/jars/*" "$@"
}

shape() { # shape HIDDEN INTERMEDIATE LAYERS HEADS TIED: the config.json of a Llama 3 of that size
  cat <<JSON
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_act": "silu",
 "hidden_size": $1, "intermediate_size": $2, "num_hidden_layers": $3, "num_attention_heads": $4, "num_key_value_heads": 8,
 "head_dim": $(($1 / $4)), "vocab_size": 128256, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
 "rope_theta": 500000.0, "tie_word_embeddings": $5, "attention_bias": false, "mlp_bias": false,
 "bos_token_id": 128000, "eos_token_id": 128001}
JSON
}

llama() { # llama NAME
  java 560 org.lockstep.cli.Lockstep bench inference --device cuda --config "$results/$1.json" --dtype bfloat16 \
    -p 2048 -n 64 -b 1,8,64 -r 3 --timeout 540
}

section() {
  case $1 in
    machine)
      nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem --format=csv
      nvidia-smi topo -m
      ldconfig -p | grep -E 'libcuda\.|libcublas|libnccl|libnvidia-ml'
      python3 -c 'import torch; print("torch", torch.__version__, torch.__file__)'
      ldd --version | head -1
      "$runtime/jre/bin/java" -version 2>&1
      ;;
    tests) # of which some have kernels in several streams that wait for each other: more queues of the device than its eight
      CUDA_DEVICE_MAX_CONNECTIONS=32 java 560 org.lockstep.cuda.DeviceTests
      ;;
    kernels) java 560 org.lockstep.cuda.KernelBench ;;
    groups)
      local code=0
      java 280 org.lockstep.cli.Lockstep bench all --backend nccl --ranks 1 -b 8 -e 128M -f 16 -n 20 -w 20 || code=$?
      for ranks in 2 4; do
        HEAP=2g java 140 org.lockstep.cli.Lockstep bench all --backend nccl-shared --place jvms --ranks $ranks \
          --sizes 8,4K,1M -n 2 -w 1 --batches 2 --timeout 130 || code=$?
      done
      return $code
      ;;
    exchange)
      local code=0
      java 140 org.lockstep.cli.Lockstep bench all-reduce --backend peer -b 8 -e 8M -f 4 -n 20 -w 20 || code=$?
      if (($(nvidia-smi -L | grep -c '^GPU') > 1)); then
        java 140 org.lockstep.cli.Lockstep bench all-reduce --backend peer --place jvms -b 8 -e 8M -f 4 -n 20 -w 20 || code=$?
      fi
      return $code
      ;;
    llama-1b | llama-8b) llama "$1" ;;
    peer)
      for name in llama-1b llama-8b; do
        timeout 280 python3 "$here/peer.py" "$results/$name.json"
      done
      ;;
    *) echo "no section $1: machine tests kernels groups exchange llama-1b llama-8b peer" && return 2 ;;
  esac
}

shape 2048 8192 16 32 true > "$results/llama-1b.json"
shape 4096 14336 32 32 false > "$results/llama-8b.json"
worst=0
for name in "${sections[@]}"; do
  begin=$SECONDS
  section "$name" > "$results/$name.txt" 2> "$results/$name.err"
  code=$?
  echo "exit $code after $((SECONDS - begin)) s" >> "$results/$name.txt"
  ((code == 0)) || tail -20 "$results/$name.err" >> "$results/$name.txt"
  ((code > worst)) && worst=$code
done
for name in machine tests kernels groups exchange llama-1b llama-8b peer; do
  [[ -f $results/$name.txt ]] || continue
  printf '\n== %s\n' "$name"
  cat "$results/$name.txt"
done
exit "$worst"
