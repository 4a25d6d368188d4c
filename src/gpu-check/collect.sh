#!/usr/bin/env bash
# collect.sh FOLDER: lays out what run.sh needs besides Java and Spark, after `mvn package`: our jar with all it brings, our
# tests, JUnit. Put it with a Java runtime and Spark's jars on the machine with the device.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
to=${1:?usage: collect.sh FOLDER}
mkdir -p "$to"
to=$(cd "$to" && pwd)
cd "$root"
cp target/lockstep-*-all.jar "$to/"
jar --create --file "$to/lockstep-tests.jar" -C target/test-classes .
mvn -q -B dependency:copy-dependencies -DoutputDirectory="$to" -DincludeScope=test \
  -DincludeGroupIds=org.junit.jupiter,org.junit.platform,org.opentest4j,org.apiguardian,org.assertj,net.bytebuddy,org.awaitility,org.hamcrest
cp src/gpu-check/run.sh src/gpu-check/peer.py "$to/"
ls -l "$to"
