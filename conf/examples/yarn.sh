#!/usr/bin/env bash
# A job on YARN with GPUs as a resource type (yarn.io/gpu): YARN isolates them, and the discovery script tells Spark which
# ones a container has.
set -euo pipefail
: "${SPARK_HOME:?where Spark is}" "${LOCKSTEP:?where lockstep-0.1.0-all.jar and conf are}"

"$SPARK_HOME/bin/spark-submit" \
  --master yarn --deploy-mode cluster \
  --properties-file "$LOCKSTEP/conf/spark-defaults.conf" \
  --num-executors 2 \
  --executor-cores 32 \
  --executor-memory 64g \
  --conf spark.task.cpus=4 \
  --conf spark.executor.resource.gpu.amount=8 \
  --conf spark.executor.resource.gpu.vendor=nvidia.com \
  --conf spark.executor.resource.gpu.discoveryScript=./getGpusResources.sh \
  --conf spark.task.resource.gpu.amount=1 \
  --files "$LOCKSTEP/conf/getGpusResources.sh" \
  --class org.lockstep.cli.Lockstep \
  "$LOCKSTEP/lockstep-0.1.0-all.jar" \
  generate "$@"
