package org.lockstep.collective;

import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.RankOrder;

/**
 * What all parties of one attempt were told before they meet, the same for each. Immutable; travels in the task closure.
 *
 * @param attempt names this attempt; records, connections and frames of any other are refused
 * @param key 32 random bytes shared by this attempt's parties only; never logged
 * @param sizes of the axes; one may be -1
 * @param order of the axes, innermost first
 * @param kinds of groups to connect; all others stay plans
 * @param settings that must be equal on all parties, by name
 * @param objects classes that may travel as objects besides the ones always registered, in this order
 * @param meetingTimeout for the rendezvous and for connecting
 * @param operationTimeout for each collective operation
 * @param strictPlacement refuse tensor groups that span hosts, instead of reporting them
 */
public record WorldSpec(
        UUID attempt,
        Key key,
        ParallelSizes sizes,
        RankOrder order,
        Set<GroupKind> kinds,
        Map<String, String> settings,
        List<Class<?>> objects,
        Duration meetingTimeout,
        Duration operationTimeout,
        boolean strictPlacement)
        implements Serializable {

    public WorldSpec {
        kinds = Set.copyOf(kinds);
        settings = Map.copyOf(settings);
        objects = List.copyOf(objects);
    }

    /** A fresh attempt with a fresh key, all kinds of groups of inference, and the default deadlines. */
    public static WorldSpec of(ParallelSizes sizes) {
        return new WorldSpec(
                UUID.randomUUID(),
                Key.random(),
                sizes,
                RankOrder.DEFAULT,
                Set.of(GroupKind.WORLD, GroupKind.TENSOR, GroupKind.PIPELINE, GroupKind.DATA, GroupKind.MODEL),
                Map.of(),
                List.of(),
                Duration.ofSeconds(120),
                Duration.ofSeconds(600),
                false);
    }
}
