package org.lockstep.topology;

import java.util.Collections;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Set;

/** An axis of the grid of ranks: one way of dividing the work. */
public enum Axis {
    /** Tensor parallelism: every layer is divided. */
    TP("tp"),
    /** Context parallelism: the sequence is divided. */
    CP("cp"),
    /** Expert parallelism: the experts of a layer are divided; an axis of the expert view. */
    EP("ep"),
    /** Data parallelism: the rows are divided. */
    DP("dp"),
    /** Pipeline parallelism: the layers are divided. */
    PP("pp");

    private final String token;

    Axis(String token) {
        this.token = token;
    }

    /** The two letters by which the field knows the axis, such as {@code tp}. */
    public String token() {
        return token;
    }

    /**
     * The axis of a token, in any case.
     *
     * @throws IllegalArgumentException if there is no such axis
     */
    public static Axis parse(String token) {
        String wanted = token.strip().toLowerCase(Locale.ROOT);
        for (Axis axis : values()) {
            if (axis.token.equals(wanted)) {
                return axis;
            }
        }
        throw new IllegalArgumentException("unknown axis '" + token + "': an axis is one of tp, cp, ep, dp, pp");
    }

    /**
     * The axes of a token such as {@code tp-dp}; the order of its parts does not matter.
     *
     * @throws IllegalArgumentException if a part is no axis or is named twice
     */
    public static Set<Axis> parseSet(String tokens) {
        EnumSet<Axis> axes = EnumSet.noneOf(Axis.class);
        for (String token : tokens.split("-", -1)) {
            if (!axes.add(parse(token))) {
                throw new IllegalArgumentException("axis " + parse(token) + " is named twice in '" + tokens + "'");
            }
        }
        return Collections.unmodifiableSet(axes);
    }

    @Override
    public String toString() {
        return token;
    }
}
