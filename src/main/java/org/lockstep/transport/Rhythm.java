package org.lockstep.transport;

import java.time.Duration;

/**
 * How the JVMs of a world watch each other. Immutable.
 *
 * @param beat between two signs of life
 * @param suspicion of silence that is said in the log
 * @param loss of silence after which a JVM is given up
 */
public record Rhythm(Duration beat, Duration suspicion, Duration loss) {
    /** Slow is not dead: a long pause of the garbage collector passes. */
    public static final Rhythm DEFAULT =
            new Rhythm(Duration.ofSeconds(1), Duration.ofSeconds(5), Duration.ofSeconds(15));
}
