package org.lockstep.topology;

import java.io.Serializable;
import java.util.AbstractList;
import java.util.Arrays;
import java.util.List;
import java.util.RandomAccess;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A plan of who talks to whom: a named, ordered set of ranks. Making it live is a communicator's business.
 *
 * <p><b>rank</b> is global; <b>rank in group</b> is the position in this group. Ranks ascend, as they do in every group
 * of a grid. Immutable.
 */
public final class ProcessGroup implements Serializable {
    private static final int SHOWN = 16;

    private final String name;
    private final int index;
    private final int[] ranks;

    private ProcessGroup(String name, int index, int[] ranks) {
        this.name = name;
        this.index = index;
        this.ranks = ranks;
    }

    /**
     * A group of these ranks.
     *
     * @param name what varies inside, such as {@code tp}
     * @param index which of the groups of that name this is, from 0
     * @param ranks at least one, none negative, strictly ascending
     * @throws IllegalArgumentException otherwise
     */
    public static ProcessGroup of(String name, int index, int... ranks) {
        ProcessGroup group = new ProcessGroup(name, index, ranks.clone());
        if (index < 0 || ranks.length == 0 || group.first() < 0) {
            throw new IllegalArgumentException("a group has an index and ranks from 0 up, but this is " + group);
        }
        for (int i = 1; i < ranks.length; i++) {
            if (group.ranks[i - 1] >= group.ranks[i]) {
                throw new IllegalArgumentException("the ranks of a group ascend strictly, but this is " + group);
            }
        }
        return group;
    }

    /** What varies inside the group: {@code tp}, {@code tp-dp}, {@code embedding}. */
    public String name() {
        return name;
    }

    /** Which of the groups of its name this is, from 0. */
    public int index() {
        return index;
    }

    /** The number of ranks: the group's world size. */
    public int size() {
        return ranks.length;
    }

    /** The ranks in order, as an unmodifiable list. */
    public List<Integer> ranks() {
        return new RankList(ranks);
    }

    /** The ranks in order, without boxing. */
    public IntStream stream() {
        return Arrays.stream(ranks);
    }

    /**
     * The rank at a position.
     *
     * @param rankInGroup from 0 to {@code size() - 1}
     * @throws IllegalArgumentException if it is outside
     */
    public int rank(int rankInGroup) {
        if (rankInGroup < 0 || rankInGroup >= ranks.length) {
            throw new IllegalArgumentException(
                    "rank in group " + rankInGroup + " is not in 0.." + (ranks.length - 1) + " of " + this);
        }
        return ranks[rankInGroup];
    }

    /** Whether the rank is a member. */
    public boolean contains(int rank) {
        return Arrays.binarySearch(ranks, rank) >= 0;
    }

    /**
     * The position of a member.
     *
     * @throws IllegalArgumentException if the rank is no member
     */
    public int rankInGroup(int rank) {
        int position = Arrays.binarySearch(ranks, rank);
        if (position < 0) {
            throw new IllegalArgumentException("rank " + rank + " is not in " + this);
        }
        return position;
    }

    /** The first rank: by custom the source of a broadcast. */
    public int first() {
        return ranks[0];
    }

    /** The last rank. */
    public int last() {
        return ranks[ranks.length - 1];
    }

    /**
     * The rank after a member; the first follows the last.
     *
     * @throws IllegalArgumentException if the rank is no member
     */
    public int next(int rank) {
        return ranks[(rankInGroup(rank) + 1) % ranks.length];
    }

    /**
     * The rank before a member; the last precedes the first.
     *
     * @throws IllegalArgumentException if the rank is no member
     */
    public int previous(int rank) {
        return ranks[(rankInGroup(rank) + ranks.length - 1) % ranks.length];
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ProcessGroup that
                && name.equals(that.name)
                && index == that.index
                && Arrays.equals(ranks, that.ranks);
    }

    @Override
    public int hashCode() {
        return (name.hashCode() * 31 + index) * 31 + Arrays.hashCode(ranks);
    }

    /** As errors show it: {@code tp[2]={4,5,6,7}}; a long group shows its ends. */
    @Override
    public String toString() {
        String shown = Arrays.stream(ranks)
                .limit(ranks.length > SHOWN ? SHOWN / 2 : SHOWN)
                .mapToObj(Integer::toString)
                .collect(Collectors.joining(","));
        String rest = ranks.length > SHOWN ? ",…," + last() + "} (" + ranks.length + " ranks)" : "}";
        return name + "[" + index + "]={" + shown + rest;
    }

    /** A list over the group's own array: nothing is boxed before it is asked for. */
    private static final class RankList extends AbstractList<Integer> implements RandomAccess {
        private final int[] ranks;

        RankList(int[] ranks) {
            this.ranks = ranks;
        }

        @Override
        public Integer get(int index) {
            return ranks[index];
        }

        @Override
        public int size() {
            return ranks.length;
        }
    }
}
