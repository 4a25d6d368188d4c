#!/usr/bin/env bash
# run.sh [SPARK-SCALA/JAVA...]: the same -all jar on every Spark and Java that is supported, after `mvn package`.
#
# Each cell is a job of spark-submit (org.lockstep.packaging.Smoke: topology, collectives, generate, failure) on local[4] and
# on two executors that are JVMs of their own (local-cluster), and a look for classes that the jar and that Spark both have.
# Spark's jars come from Maven into LOCKSTEP_MATRIX (target/matrix); JAVA_17 and JAVA_25 name the Javas. Without arguments all
# cells; 3.5.9-2.12/17 is one. Prints a table in Markdown; the exit code is the number of cells that fail.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${LOCKSTEP_MATRIX:-$root/target/matrix}
mkdir -p "$folder"
java17=${JAVA_17:-$(ls -d /usr/lib/jvm/*17* 2>/dev/null | head -1)}
java25=${JAVA_25:-$(ls -d /usr/lib/jvm/*25* 2>/dev/null | head -1)}
cells=("$@")
((${#cells[@]})) || cells=(3.5.9-2.12/17 3.5.9-2.13/17 4.0.4-2.13/17 4.1.3-2.13/17 4.1.3-2.13/25 4.2.0-2.13/17 4.2.0-2.13/25)

jar=$(ls "$root"/target/lockstep-*-all.jar) || { echo "no -all jar: mvn package" >&2; exit 3; }
[[ -d $root/target/test-classes/org/lockstep/packaging ]] || { echo "no test classes: mvn package" >&2; exit 3; }
"$java17/bin/jar" --create --file "$folder/smoke.jar" -C "$root/target/test-classes" org/lockstep/packaging

# what Spark's own launcher opens
opens=(-XX:+IgnoreUnrecognizedVMOptions --add-modules=jdk.incubator.vector --enable-native-access=ALL-UNNAMED
  --sun-misc-unsafe-memory-access=allow -Djdk.reflect.useDirectMethodHandle=false -Dio.netty.tryReflectionSetAccessible=true)
for package in java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util java.util.concurrent \
  java.util.concurrent.atomic jdk.internal.ref sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar; do
  opens+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
opens+=(--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED)

smoke() { # smoke JAVA_HOME SPARK SCALA MASTER LOG: what it says of the run, in a cell of the table
  local begin=$SECONDS
  env JAVA_HOME="$1" SPARK_HOME="$2" SPARK_SCALA_VERSION="$3" SPARK_LOCAL_IP=127.0.0.1 timeout 240 \
    "$1/bin/java" "${opens[@]}" -Xmx2g -cp "$2/jars/*" org.apache.spark.deploy.SparkSubmit --master "$4" \
    --conf spark.ui.enabled=false --conf spark.driver.host=127.0.0.1 --conf spark.executor.memory=1g \
    --conf spark.lockstep.device=cpu --conf spark.scheduler.minRegisteredResourcesRatio=1.0 --conf spark.lockstep.slots.wait=120s --jars "$jar" --class org.lockstep.packaging.Smoke "$folder/smoke.jar" > "$5" 2>&1
  local code=$?
  local done
  done=$(grep -c '^smoke .* ok$' "$5")
  if ((code == 0 && done == 5)); then
    echo "green, $((SECONDS - begin)) s"
  elif grep -q 'getSubject is not supported' "$5"; then
    echo "Spark's own Hadoop does not run on this Java (\`Subject.getSubject\`)"
  else
    echo "**fails**: exit $code, $done of 5"
  fi
}

failed=0
echo "| Spark | Scala | Java | \`local[4]\` | two executors | classes of both jars |"
echo "|---|---|---|---|---|---|"
for cell in "${cells[@]}"; do
  IFS=-/ read -r spark scala java <<< "$cell"
  home=$java17
  [[ $java == 25 ]] && home=$java25
  if [[ -z $home ]]; then
    echo "| $spark | $scala | $java | no Java $java here: set JAVA_$java | | |"
    failed=$((failed + 1))
    continue
  fi
  at=$folder/spark-$spark-scala-$scala
  if [[ ! -e $at/complete ]]; then
    case $spark in
      3.5.*) jackson=2.15.2 ;;
      4.0.*) jackson=2.18.6 ;;
      *) jackson=2.21.2 ;;
    esac
    rm -rf "$at"
    mvn -q -B -f "$root/src/matrix/pom.xml" dependency:copy-dependencies -Dspark.version="$spark" -Djackson.version=$jackson \
      -Dscala.binary.version="$scala" -DincludeScope=runtime -DoutputDirectory="$at/jars" >&2 || exit 3
    touch "$at/complete"
  fi
  local=$(smoke "$home" "$at" "$scala" 'local[4]' "$folder/$spark-$scala-$java-local.log")
  cluster=$(smoke "$home" "$at" "$scala" 'local-cluster[2,2,1024]' "$folder/$spark-$scala-$java-cluster.log")
  if clashes=$("$home/bin/java" -cp "$folder/smoke.jar" org.lockstep.packaging.Clashes "$jar" "$at/jars"); then
    clashes=none
  else
    clashes="**$(wc -l <<< "$clashes")**, the first $(head -1 <<< "$clashes")"
  fi
  echo "| $spark | $scala | $("$home/bin/java" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p') | $local | $cluster | $clashes |"
  [[ "$local$cluster$clashes" == *'**'* ]] && failed=$((failed + 1))
done
exit "$failed"
