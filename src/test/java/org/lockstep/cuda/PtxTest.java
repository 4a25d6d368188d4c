package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jcuda.nvptxcompiler.JNvPTXCompiler;
import jcuda.nvptxcompiler.nvPTXCompilerHandle;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The kernels' binaries: made of these sources, and good for every device that is promised. */
@EnabledOnOs(value = OS.LINUX, architectures = "amd64")
@Timeout(300)
class PtxTest {
    private static final Path SOURCES = Path.of("src/main/cuda");
    private static final List<String> NAMES =
            List.of("rows", "sample", "product", "attention", "flash", "reduce", "exchange");
    private static final String TENSOR_CORES = "flash";
    private static final Pattern MADE_BY = Pattern.compile("by nvcc (\\S+),");
    private static final Pattern SPILL = Pattern.compile("(\\d+) bytes spill");

    @Test
    void theTextIsWhatTheCompilerMakesOfTheSources(@TempDir Path folder) throws Exception {
        String expected = compiler(Files.readString(SOURCES.resolve("rows.ptx")));
        assumeTrue(expected.equals(installed()), "no nvcc " + expected + ", which made the PTX: not made again");
        Process build = new ProcessBuilder("bash", SOURCES.resolve("build.sh").toString(), folder.toString())
                .inheritIO()
                .start();
        assertThat(build.waitFor()).isZero();
        for (String name : NAMES) {
            assertThat(folder.resolve(name + ".ptx"))
                    .as("%s.ptx: run src/main/cuda/build.sh", name)
                    .hasSameTextualContentAs(SOURCES.resolve(name + ".ptx"));
        }
    }

    private static String compiler(String ptx) {
        Matcher matcher = MADE_BY.matcher(ptx);
        assertThat(matcher.find()).isTrue();
        return matcher.group(1);
    }

    /** The version of the nvcc in the path, empty without one. */
    private static String installed() throws InterruptedException {
        try {
            Process nvcc = new ProcessBuilder("nvcc", "--version").start();
            String said = new String(nvcc.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            nvcc.waitFor();
            Matcher matcher = Pattern.compile(", V(\\S+)").matcher(said);
            return matcher.find() ? matcher.group(1) : "";
        } catch (IOException none) {
            return "";
        }
    }

    @Test
    void nothingNewerThanCuda12IsNeeded() throws IOException {
        for (String name : NAMES) {
            String oldest = name.equals(TENSOR_CORES) ? "sm_80" : "sm_75";
            assertThat(Files.readString(SOURCES.resolve(name + ".ptx")))
                    .contains("\n.version 8.0\n.target " + oldest + "\n");
        }
    }

    /** By the assembler of CUDA 12.0, which is part of JCuda: the oldest driver that is supported has the same. */
    @ParameterizedTest
    @ValueSource(strings = {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90"})
    void everyKernelAssemblesForEveryDeviceAndSpillsNoRegister(String device) throws IOException {
        for (String name : NAMES) {
            if (name.equals(TENSOR_CORES) && device.equals("sm_75")) {
                continue; // not loaded there
            }
            byte[] text = Files.readAllBytes(SOURCES.resolve(name + ".ptx"));
            nvPTXCompilerHandle compiler = new nvPTXCompilerHandle();
            assertThat(JNvPTXCompiler.nvPTXCompilerCreate(compiler, text.length, text))
                    .isZero();
            String[] options = {"--gpu-name=" + device, "--verbose"};
            int result = JNvPTXCompiler.nvPTXCompilerCompile(compiler, options.length, options);
            assertThat(result)
                    .as("%s for %s: %s", name, device, errors(compiler))
                    .isZero();
            assertThat(spills(compiler)).as("%s for %s", name, device).isEmpty();
            JNvPTXCompiler.nvPTXCompilerDestroy(compiler);
        }
    }

    private static String errors(nvPTXCompilerHandle compiler) {
        long[] length = new long[1];
        JNvPTXCompiler.nvPTXCompilerGetErrorLogSize(compiler, length);
        byte[] log = new byte[Math.toIntExact(length[0]) + 1];
        JNvPTXCompiler.nvPTXCompilerGetErrorLog(compiler, log);
        return new String(log, StandardCharsets.UTF_8).trim();
    }

    /** Lines of the report that say more than 0 bytes, after the name of their kernel. */
    private static List<String> spills(nvPTXCompilerHandle compiler) {
        long[] length = new long[1];
        JNvPTXCompiler.nvPTXCompilerGetInfoLogSize(compiler, length);
        byte[] log = new byte[Math.toIntExact(length[0]) + 1];
        JNvPTXCompiler.nvPTXCompilerGetInfoLog(compiler, log);
        List<String> found = new ArrayList<>();
        String kernel = "";
        for (String line : new String(log, StandardCharsets.UTF_8).lines().toList()) {
            kernel = line.contains("Function properties for") || line.contains("Compiling entry") ? line : kernel;
            Stream<String> bytes = SPILL.matcher(line).results().map(match -> match.group(1));
            if (bytes.anyMatch(count -> !count.equals("0"))) {
                found.add(kernel.trim() + ": " + line.trim());
            }
        }
        return found;
    }
}
