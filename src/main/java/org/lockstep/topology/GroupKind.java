package org.lockstep.topology;

import java.util.Collections;
import java.util.EnumSet;
import java.util.Set;

/** The kinds of process group that have a name; {@link ProcessGrid#groups(Set)} makes those of any other set of axes. */
public enum GroupKind {
    /** Every rank. */
    WORLD("world", Axis.TP, Axis.CP, Axis.EP, Axis.DP, Axis.PP),
    /** The ranks that share each layer. */
    TENSOR("tp", Axis.TP),
    /** The ranks that share each sequence. */
    CONTEXT("cp", Axis.CP),
    /** The stages of one pipeline, first to last. */
    PIPELINE("pp", Axis.PP),
    /** The ranks that hold the same weights and see different rows. */
    DATA("dp", Axis.DP),
    /** One replica: tensor × pipeline of the dense view, as in Megatron; context is not inside it. */
    MODEL("model", Axis.TP, Axis.PP),
    /** The stages of a pipeline that hold the embedding: first, last and the split rank where there is one. */
    EMBEDDING("embedding", Axis.PP),
    /** The stages of a pipeline that hold the position embedding: first and the split rank where there is one. */
    POSITION_EMBEDDING("positionEmbedding", Axis.PP),
    /** The ranks among which the experts of a layer are dealt out (expert view). */
    EXPERT("ep", Axis.EP),
    /** The ranks that share each expert (expert view). */
    EXPERT_TENSOR("etp", Axis.TP),
    /** The ranks that hold the same experts (expert view). */
    EXPERT_DATA("edp", Axis.DP);

    private final String token;

    @SuppressWarnings("ImmutableEnumChecker") // unmodifiable, and nobody else has it
    private final Set<Axis> axes;

    GroupKind(String token, Axis first, Axis... others) {
        this.token = token;
        this.axes = Collections.unmodifiableSet(EnumSet.of(first, others));
    }

    /** The name of its groups, such as {@code tp} or {@code positionEmbedding}. */
    public String token() {
        return token;
    }

    /** The axes that vary inside a group; the embedding kinds take some ranks of what varies along them. */
    public Set<Axis> axes() {
        return axes;
    }

    /** Whether its axes are those of the expert view. */
    public boolean isExpert() {
        return this == EXPERT || this == EXPERT_TENSOR || this == EXPERT_DATA;
    }
}
