#!/usr/bin/env bash
# run.sh [--write] [SPARK-SCALA/JAVA...]: the same -all jar on every Spark and Java that is supported, after `mvn package`.
#
# Each cell (the file `cells` lists them; 3.5.9-2.12/17 is one, none named are all) is a job of spark-submit
# (org.lockstep.packaging.Smoke: topology, collectives, generate, failure; with our metrics plugin, whose figures must reach a
# sink of Spark's) on local[4] and on two executors that are JVMs of their own (local-cluster), and a look for classes that the
# jar and that Spark both have. Spark's jars come from Maven into LOCKSTEP_MATRIX (target/matrix); JAVA_17 and JAVA_25 name the
# Javas. Prints a table in Markdown; --write, of all cells only, puts it into the README. The exit code is 0 where no cell fails,
# 1 where one does and 3 where the run could not be made. A cell where Spark's own Hadoop cannot run on that Java says so and is
# no failure.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${LOCKSTEP_MATRIX:-$root/target/matrix}
mkdir -p "$folder"
refuse() {
  echo "$*" >&2
  exit 3
}
java17=${JAVA_17:-$(ls -d /usr/lib/jvm/*17* 2>/dev/null | head -1 || true)}
java25=${JAVA_25:-$(ls -d /usr/lib/jvm/*25* 2>/dev/null | head -1 || true)}
write=
if [[ ${1:-} == --write ]]; then
  write=yes
  shift
  (($# == 0)) || refuse "--write puts all cells into the README: name none beside it"
fi

jar=$(ls "$root"/target/lockstep-*-all.jar) || refuse "no -all jar: mvn package"
[[ -d $root/target/test-classes/org/lockstep/packaging ]] || refuse "no test classes: mvn package"
[[ -n $java17 ]] || refuse "no Java 17 here: set JAVA_17"
for cell in "$@"; do
  awk -v cell="$cell" '$1 "-" $2 "/" $3 == cell { found = 1 } END { exit !found }' "$root/src/matrix/cells" \
    || refuse "$cell is no line of src/matrix/cells; one is 3.5.9-2.12/17"
done
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
  local begin=$SECONDS code=0 done tokens sink=spark.metrics.conf.driver.sink.csv
  rm -rf "$5.metrics" && mkdir "$5.metrics"
  env JAVA_HOME="$1" SPARK_HOME="$2" SPARK_SCALA_VERSION="$3" SPARK_LOCAL_IP=127.0.0.1 timeout -k 10 600 \
    "$1/bin/java" "${opens[@]}" -Xmx2g -cp "$2/jars/*" org.apache.spark.deploy.SparkSubmit --master "$4" \
    --conf spark.ui.enabled=false --conf spark.driver.host=127.0.0.1 --conf spark.executor.memory=1g \
    --conf spark.scheduler.minRegisteredResourcesRatio=1.0 --conf spark.lockstep.slots.wait=120s \
    --conf spark.lockstep.device=cpu --conf spark.plugins=org.lockstep.spark.metrics.LockstepPlugin \
    --conf $sink.class=org.apache.spark.metrics.sink.CsvSink --conf $sink.directory="$5.metrics" \
    --conf $sink.period=1 --conf $sink.unit=seconds \
    --jars "$jar" --class org.lockstep.packaging.Smoke "$folder/smoke.jar" > "$5" 2>&1 || code=$?
  done=$(grep -c '^smoke .* ok$' "$5" || true)
  tokens=$(cat "$5.metrics"/*LockstepPlugin.replica0.outputTokens.csv 2>/dev/null | tail -1 | cut -d, -f2 || true)
  if ((code == 0 && done == 5)) && [[ $tokens =~ ^[1-9] ]]; then
    echo "green, $((SECONDS - begin)) s"
  elif grep -q 'getSubject is not supported' "$5"; then
    echo "Spark's own Hadoop does not run on this Java (\`Subject.getSubject\`)"
  else
    echo "**fails**: exit $code, $done of 5, metrics say '$tokens' tokens"
  fi
}

table=$folder/table.md
failed=0
{
  echo "| Spark | Scala | Java | \`local[4]\` | two executors | classes of both jars |"
  echo "|---|---|---|---|---|---|"
} | tee "$table"
while read -r spark scala java jackson; do
  [[ -z $spark || $spark == \#* ]] && continue
  if (($#)) && [[ " $* " != *" $spark-$scala/$java "* ]]; then continue; fi
  home=$java17
  if [[ $java == 25 ]]; then home=$java25; fi
  if [[ -z $home ]]; then
    echo "| $spark | $scala | $java | **no Java $java here**: set JAVA_$java | | |" | tee -a "$table"
    failed=1
    continue
  fi
  at=$folder/spark-$spark-scala-$scala
  # what the folder was resolved from: another Jackson or another pom.xml, and it is resolved again
  of="$jackson $(cksum < "$root/src/matrix/pom.xml")"
  if [[ $(cat "$at/complete" 2>/dev/null) != "$of" ]]; then
    rm -rf "$at"
    mvn -q -B -f "$root/src/matrix/pom.xml" dependency:copy-dependencies -Dspark.version="$spark" -Djackson.version="$jackson" \
      -Dscala.binary.version="$scala" -DincludeScope=runtime -DoutputDirectory="$at/jars" < /dev/null >&2 || refuse "Maven could not resolve Spark $spark for Scala $scala"
    echo "$of" > "$at/complete"
  fi
  local=$(smoke "$home" "$at" "$scala" 'local[4]' "$folder/$spark-$scala-$java-local.log" < /dev/null)
  cluster=$(smoke "$home" "$at" "$scala" 'local-cluster[2,2,1024]' "$folder/$spark-$scala-$java-cluster.log" < /dev/null)
  if clashes=$("$home/bin/java" -cp "$folder/smoke.jar" org.lockstep.packaging.Clashes "$jar" "$at/jars"); then
    clashes=none
  else
    clashes="**$(wc -l <<< "$clashes")**, the first $(head -1 <<< "$clashes")"
  fi
  version=$("$home/bin/java" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p')
  echo "| $spark | $scala | $version | $local | $cluster | $clashes |" | tee -a "$table"
  if [[ "$local$cluster$clashes" == *'**'* ]]; then failed=1; fi
done < "$root/src/matrix/cells"

if [[ -n $write ]]; then
  sed -i -e '/<!-- matrix: /,/<!-- end of matrix -->/{/<!-- matrix: /r '"$table" -e '/<!--/!d}' "$root/README.md"
fi
exit "$failed"
