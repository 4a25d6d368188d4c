#!/usr/bin/env bash
# A job on Kubernetes with NVIDIA's device plugin. The image is Spark's with Lockstep under /opt/lockstep; the model lies on a
# volume that all pods mount. Ranks need to reach each other's pods: no network policy may stand between executors.
set -euo pipefail
: "${SPARK_HOME:?where Spark is}" "${API:?k8s://https://host:6443}" "${IMAGE:?image with Spark and Lockstep}" "${CLAIM:?volume claim of the models}"

"$SPARK_HOME/bin/spark-submit" \
  --master "$API" --deploy-mode cluster \
  --conf spark.kubernetes.container.image="$IMAGE" \
  --conf spark.kubernetes.executor.volumes.persistentVolumeClaim.models.options.claimName="$CLAIM" \
  --conf spark.kubernetes.executor.volumes.persistentVolumeClaim.models.mount.path=/models \
  --conf spark.kubernetes.driver.volumes.persistentVolumeClaim.models.options.claimName="$CLAIM" \
  --conf spark.kubernetes.driver.volumes.persistentVolumeClaim.models.mount.path=/models \
  --conf spark.dynamicAllocation.enabled=false \
  --conf spark.executor.instances=2 \
  --conf spark.executor.cores=32 \
  --conf spark.executor.memory=64g \
  --conf spark.task.cpus=4 \
  --conf spark.executor.resource.gpu.amount=8 \
  --conf spark.executor.resource.gpu.vendor=nvidia.com \
  --conf spark.executor.resource.gpu.discoveryScript=/opt/lockstep/conf/getGpusResources.sh \
  --conf spark.task.resource.gpu.amount=1 \
  --class org.lockstep.cli.Lockstep \
  local:///opt/lockstep/lockstep-0.1.0-all.jar \
  generate "$@"
