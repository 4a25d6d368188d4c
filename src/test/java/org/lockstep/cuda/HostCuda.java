package org.lockstep.cuda;

import java.lang.annotation.ElementType;
import java.lang.annotation.Inherited;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
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
    /** Whether there is a device. */
    final class Condition implements ExecutionCondition {
        @Override
        public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
            CudaDriver driver = CudaDriver.create();
            return driver.isEnabled()
                    ? ConditionEvaluationResult.enabled(driver.toString())
                    : ConditionEvaluationResult.disabled(
                            driver + "; src/test/cuda/build.sh makes a stand-in where there is a g++");
        }
    }
}
