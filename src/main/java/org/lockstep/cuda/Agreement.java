package org.lockstep.cuda;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * What the ranks of a group tell each other in host memory while their devices are connected, so that all go one way. Every call is
 * one of all ranks. Confined to the rank's thread.
 *
 * @param host of the group
 * @param tag of the step that they are in
 * @param size of the group
 */
record Agreement(Carrier host, OperationTag tag, int size) {
    private static final int TEXT = 256; // bytes of an obstacle that are told
    private static final byte[] CUT = "…".getBytes(StandardCharsets.UTF_8);

    /** What all ranks say, in their order; it is of one length. */
    List<byte[]> gather(byte[] mine) {
        HostBuffer all = HostBuffer.allocate(DataType.U8, (long) size * mine.length);
        host.allGather(tag, HostBuffer.of(DataType.U8, mine), all, Blocks.even(size, mine.length));
        return IntStream.range(0, size)
                .mapToObj(rank -> Arrays.copyOfRange(all.byteArray(), rank * mine.length, (rank + 1) * mine.length))
                .toList();
    }

    /** On return all ranks have come here. */
    void meet() {
        gather(new byte[1]);
    }

    /**
     * What is in the way of any rank, the same on all of them: what the first one says that says something, which ends with an
     * ellipsis where it was longer than {@value #TEXT} bytes.
     *
     * @param mine what is in this rank's way, if anything is
     */
    Optional<String> obstacle(Optional<String> mine) {
        return gather(told(mine.orElse(""))).stream()
                .map(each -> new String(each, StandardCharsets.UTF_8).trim()) // the rest is zeros
                .filter(each -> !each.isEmpty())
                .findFirst();
    }

    /** As many whole characters as there is room for, then zeros. */
    static byte[] told(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        if (bytes.length <= TEXT) {
            return Arrays.copyOf(bytes, TEXT);
        }
        int end = TEXT - CUT.length;
        while ((bytes[end] & 0xC0) == 0x80) { // within a character
            end--;
        }
        return ByteBuffer.allocate(TEXT).put(bytes, 0, end).put(CUT).array();
    }
}
