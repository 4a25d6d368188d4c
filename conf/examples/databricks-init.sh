#!/usr/bin/env bash
# Init script of a Databricks cluster: says on every node, before Spark starts, what Lockstep will find there. It changes
# nothing and ends with 0: a node that lacks something still starts, and the cluster's event log tells why a run will not.
set -u

java_version=$(java -version 2>&1 | head -n 1)
case $java_version in
  *'"17'* | *'"21'* | *'"25'*) echo "lockstep: $java_version" ;;
  *) echo "lockstep: $java_version; needs Java 17 or newer: take Databricks Runtime 16.4 or newer, or set JNAME=zulu17-ca-amd64" ;;
esac
if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=index,name,driver_version,memory.total --format=csv,noheader | sed 's/^/lockstep: GPU /'
else
  echo "lockstep: no nvidia-smi: this node computes on its CPUs"
fi
df -h /dev/shm | tail -n 1 | sed 's/^/lockstep: shared memory /'
exit 0
