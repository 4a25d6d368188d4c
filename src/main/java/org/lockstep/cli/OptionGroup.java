package org.lockstep.cli;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Under what heading a class's options stand in the help of commands; classes may share one. */
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@interface OptionGroup {
    String value();
}
