package org.lockstep.cuda;

import java.lang.annotation.ElementType;
import java.lang.annotation.Inherited;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import jcuda.runtime.JCuda;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * A test of the CUDA twin: runs in a JVM of its own whose libcuda.so.1 is the stand-in of {@code src/test/cuda}, or a real one.
 * Where there is neither, for want of g++, it is skipped, and says why.
 */
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@Inherited
@Tag("cuda")
@ExtendWith(HostCuda.Condition.class)
public @interface HostCuda {
    /** Whether a driver answers. */
    final class Condition implements ExecutionCondition {
        @Override
        public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
            int[] version = new int[1];
            try {
                JCuda.cudaDriverGetVersion(version);
            } catch (LinkageError noNatives) {
                return ConditionEvaluationResult.disabled("JCuda does not load: " + noNatives.getMessage());
            }
            return version[0] > 0
                    ? ConditionEvaluationResult.enabled("CUDA " + version[0])
                    : ConditionEvaluationResult.disabled(
                            "no libcuda.so.1 in LD_LIBRARY_PATH: src/test/cuda/build.sh makes one where there is a g++");
        }
    }
}
