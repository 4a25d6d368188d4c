package org.lockstep;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A test of cases from the catalogue of faults, by their numbers: {@code @FaultCase("F04")}.
 *
 * <p>On a test method, or on a class all of whose tests are of that case. A test that measures how long its ranks took to be
 * released says so with {@link FaultLog#released}; {@link FaultTable} makes the table of the build's report,
 * {@code target/faults.md}.
 */
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.METHOD, ElementType.TYPE})
@ExtendWith(FaultLog.class)
public @interface FaultCase {
    /** Numbers of cases, such as F04. */
    String[] value();
}
