package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import py4j.GatewayServer;
import py4j.Protocol;
import py4j.StringUtil;

/**
 * The README's lines for PySpark as PySpark's gateway makes them: a Python's calls on py4j's socket, which finds each method by its
 * name and by the types that a Python has. PySparkIT runs the lines themselves where there is a PySpark.
 */
@Timeout(300)
class PythonGatewayTest {
    private static final String LLM = Protocol.STATIC_PREFIX + "org.lockstep.spark.Llm";
    private static final String PARAMS = Protocol.STATIC_PREFIX + "org.lockstep.inference.SamplingParams";

    /** An object of Java's, by the name that Python has for it. */
    private record Reference(String id) {}

    /** The end of a Python. */
    private static final class Python implements AutoCloseable {
        private final GatewayServer server;
        private final Socket socket;
        private final Writer out;
        private final BufferedReader in;

        Python(Object session) throws IOException {
            server = new GatewayServer.GatewayServerBuilder().javaPort(0).build();
            server.getGateway().putObject("session", session);
            server.start(true);
            socket = new Socket(server.getAddress(), server.getListeningPort());
            out = new OutputStreamWriter(socket.getOutputStream(), StandardCharsets.UTF_8);
            in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
        }

        /** {@code target.method(arguments)}: an object, or text; what Java throws is an error here. */
        Object call(String target, String method, Object... arguments) {
            StringBuilder command = new StringBuilder("c\n" + target + "\n" + method + "\n");
            for (Object argument : arguments) {
                command.append(coded(argument)).append('\n');
            }
            return send(command.append("e\n").toString());
        }

        Object call(Object target, String method, Object... arguments) {
            return call(((Reference) target).id, method, arguments);
        }

        /** What py4j makes of a list in Python. */
        Object list(List<String> values) {
            Object list = send("i\njava.util.ArrayList\ne\n");
            values.forEach(value -> call(list, "add", value));
            return list;
        }

        private static String coded(Object argument) {
            if (argument instanceof Reference reference) {
                return Protocol.REFERENCE_TYPE + reference.id;
            }
            return argument instanceof String text
                    ? Protocol.STRING_TYPE + StringUtil.escape(text)
                    : Protocol.getPrimitiveType(argument) + argument.toString();
        }

        private Object send(String command) {
            try {
                out.write(command);
                out.flush();
                String answer = in.readLine();
                assertThat(answer).as(command).startsWith("!y");
                String value = answer.substring(Math.min(answer.length(), 3));
                return switch (answer.charAt(2)) {
                    case Protocol.REFERENCE_TYPE, Protocol.LIST_TYPE -> new Reference(value);
                    default -> StringUtil.unescape(value);
                };
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public void close() throws IOException {
            socket.close();
            server.shutdown();
        }
    }

    @Test
    void everyCallOfTheThreeLinesIsFound() throws Exception {
        assertThat(Files.readString(Path.of("README.md")))
                .contains(
                        "Llm, SamplingParams = spark._jvm.org.lockstep.spark.Llm, spark._jvm.org.lockstep.inference.SamplingParams",
                        "llm = Llm.load(spark._jsparkSession, \"",
                        "\").tensorParallel(4).pipelineParallel(2)",
                        "DataFrame(llm.generate(questions._jdf, \"prompt\", SamplingParams.greedy().withMaxTokens(128)), spark)");
        try (SparkSession session = Sessions.local(2);
                Python python = new Python(session)) {
            Reference spark = new Reference("session");
            Object rows = python.call(spark, "sql", "select 'Once upon a time' as prompt union all select null");

            Object bundled = python.call(LLM, "bundled", spark);
            Object llm = python.call(python.call(bundled, "tensorParallel", 2), "pipelineParallel", 1);
            Object params = python.call(python.call(PARAMS, "greedy"), "withMaxTokens", 8);
            Object answers = python.call(python.call(llm, "generate", rows, "prompt", params), "toJSON");

            Object lines = python.call(answers, "collectAsList");
            assertThat(python.call(lines, "size")).isEqualTo("2");
            assertThat(python.call(lines, "get", 0)).asString().contains("\"output_tokens\":8");
            assertThat(python.call(lines, "get", 1)).asString().contains("PROMPT_NULL");

            Object sampled = python.call(params, "withTemperature", 0.8);
            sampled = python.call(sampled, "withTopP", 0.95);
            sampled = python.call(sampled, "withSeed", 7);
            sampled = python.call(sampled, "withStop", python.list(List.of(".", "\n")));
            Object step = python.call(llm, "on", "prompt", sampled);
            assertThat(python.call(step, "toString")).asString().contains("temperature=0.8", "seed=7", "stop=[.,");
            python.call(llm, "close");
        }
    }
}
