#!/usr/bin/env bash
# A standalone cluster of GPU hosts, and a job on it. Every host has Spark in SPARK_HOME, Lockstep in LOCKSTEP and the model
# under one path.
set -euo pipefail
: "${SPARK_HOME:?where Spark is}" "${LOCKSTEP:?where lockstep-0.1.0-all.jar and conf are}" "${MASTER:?spark://host:7077}"

# once, in SPARK_HOME/conf/spark-defaults.conf of every worker, before start-worker.sh:
#   spark.worker.resource.gpu.amount           8
#   spark.worker.resource.gpu.discoveryScript  /opt/lockstep/conf/getGpusResources.sh

# one executor a host with all its GPUs, a task a GPU: the ranks of a host are threads of one JVM
"$SPARK_HOME/bin/spark-submit" \
  --master "$MASTER" \
  --properties-file "$LOCKSTEP/conf/spark-defaults.conf" \
  --conf spark.executor.cores=32 \
  --conf spark.task.cpus=4 \
  --conf spark.executor.memory=64g \
  --conf spark.executor.resource.gpu.amount=8 \
  --conf spark.task.resource.gpu.amount=1 \
  --class org.lockstep.cli.Lockstep \
  "$LOCKSTEP/lockstep-0.1.0-all.jar" \
  generate "$@"
