package org.lockstep.collective;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
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
 * @param operations what holds for each collective operation
 * @param strictPlacement refuse tensor groups that span hosts, instead of reporting them
 * @param transports that ranks may use; always with TCP, without which there are worlds that cannot connect
 * @param encrypted whether what goes over TCP is encrypted, not only proven to be whole
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
        OperationTerms operations,
        boolean strictPlacement,
        Set<TransportKind> transports,
        boolean encrypted)
        implements Serializable {

    public WorldSpec {
        kinds = Set.copyOf(kinds);
        settings = Map.copyOf(settings);
        objects = List.copyOf(objects);
        Set<TransportKind> usable = EnumSet.of(TransportKind.TCP);
        usable.addAll(transports);
        transports = Set.copyOf(usable);
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
                Duration.ofMinutes(2),
                OperationTerms.DEFAULT,
                false,
                EnumSet.allOf(TransportKind.class),
                false);
    }

    /** This spec with other sizes. */
    public WorldSpec withSizes(ParallelSizes others) {
        return new WorldSpec(
                attempt,
                key,
                others,
                order,
                kinds,
                settings,
                objects,
                meetingTimeout,
                operations,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec as another attempt, with a fresh name and key. */
    public WorldSpec newAttempt() {
        return withAttempt(UUID.randomUUID(), Key.random());
    }

    /** This spec as the attempt of this name and key. */
    public WorldSpec withAttempt(UUID name, Key secret) {
        return new WorldSpec(
                name,
                secret,
                sizes,
                order,
                kinds,
                settings,
                objects,
                meetingTimeout,
                operations,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec as the attempt that a scheduler's attempt at a stage is: the same name on all its parties. */
    public WorldSpec ofStage(int stage, int stageAttempt) {
        String name = attempt + " " + stage + "." + stageAttempt;
        return new WorldSpec(
                UUID.nameUUIDFromBytes(name.getBytes(StandardCharsets.UTF_8)),
                key,
                sizes,
                order,
                kinds,
                settings,
                objects,
                meetingTimeout,
                operations,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec with another order of the axes. */
    public WorldSpec withOrder(RankOrder other) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                other,
                kinds,
                settings,
                objects,
                meetingTimeout,
                operations,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec with other kinds of groups to connect. */
    public WorldSpec withKinds(Set<GroupKind> others) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                order,
                others,
                settings,
                objects,
                meetingTimeout,
                operations,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec with other settings that must be equal. */
    public WorldSpec withSettings(Map<String, String> others) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                order,
                kinds,
                others,
                objects,
                meetingTimeout,
                operations,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec with other classes that may travel as objects. */
    public WorldSpec withObjects(Class<?>... classes) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                order,
                kinds,
                settings,
                List.of(classes),
                meetingTimeout,
                operations,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec with another deadline for meeting and for connecting. */
    public WorldSpec withMeetingTimeout(Duration limit) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                order,
                kinds,
                settings,
                objects,
                limit,
                operations,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec with another deadline for each operation, but of groups whose kind has one of its own. */
    public WorldSpec withOperationTimeout(Duration limit) {
        return withOperations(operations.withTimeout(limit));
    }

    /** This spec with other terms of each operation. */
    public WorldSpec withOperations(OperationTerms terms) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                order,
                kinds,
                settings,
                objects,
                meetingTimeout,
                terms,
                strictPlacement,
                transports,
                encrypted);
    }

    /** This spec, refusing tensor groups that span hosts or only reporting them. */
    public WorldSpec withStrictPlacement(boolean strict) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                order,
                kinds,
                settings,
                objects,
                meetingTimeout,
                operations,
                strict,
                transports,
                encrypted);
    }

    /** This spec with other transports that ranks may use; TCP they always may. */
    public WorldSpec withTransports(Set<TransportKind> others) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                order,
                kinds,
                settings,
                objects,
                meetingTimeout,
                operations,
                strictPlacement,
                others,
                encrypted);
    }

    /** This spec, encrypting what goes over TCP or not. */
    public WorldSpec withEncryption(boolean on) {
        return new WorldSpec(
                attempt,
                key,
                sizes,
                order,
                kinds,
                settings,
                objects,
                meetingTimeout,
                operations,
                strictPlacement,
                transports,
                on);
    }

    /** Everything that must be equal on all parties and has no place of its own in the record, by name. */
    SortedMap<String, String> agreed() {
        SortedMap<String, String> all = new TreeMap<>(settings);
        all.put("lockstep.encrypted", Boolean.toString(encrypted));
        all.put("lockstep.kinds", new TreeSet<>(kinds).toString());
        all.put("lockstep.meetingTimeout", meetingTimeout.toString());
        all.put(
                "lockstep.objects",
                objects.stream().map(Class::getName).toList().toString());
        all.put("lockstep.minimumRate", Long.toString(operations.minimumRate()));
        all.put("lockstep.finite", Boolean.toString(operations.finite()));
        all.put("lockstep.operationTimeout", operations.timeout().toString());
        all.put("lockstep.operationTimeouts", new TreeMap<>(operations.ofKinds()).toString());
        all.put("lockstep.strictPlacement", Boolean.toString(strictPlacement));
        all.put("lockstep.transports", new TreeSet<>(transports).toString());
        return all;
    }

    /** The digest of {@link #agreed()}, and one byte of digest for each. */
    Hello.Settings settingsDigest() {
        StringBuilder all = new StringBuilder();
        List<Byte> hints = new ArrayList<>();
        agreed().forEach((name, value) -> {
            String line = name.length() + ":" + name + "=" + value + "\n";
            all.append(line);
            hints.add(sha256(line.getBytes(StandardCharsets.UTF_8))[0]);
        });
        long digest = ByteBuffer.wrap(sha256(all.toString().getBytes(StandardCharsets.UTF_8)))
                .getLong();
        return new Hello.Settings(digest >>> 16, hints);
    }

    static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java platform has SHA-256", impossible);
        }
    }

    /** Without the key. */
    @Override
    public String toString() {
        return "WorldSpec[" + attempt + " " + sizes + " " + order + " " + new TreeSet<>(kinds) + "]";
    }
}
