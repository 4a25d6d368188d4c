package org.lockstep.collective;

import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Who a party is before it has a rank: which application's which stage it works for, on which host, with which GPU.
 * Immutable.
 *
 * @param application the scheduler's name of the application; one longer than 17 bytes is shortened in the record
 * @param stage the scheduler's number of the stage
 * @param stageAttempt which attempt of that stage this is
 * @param bootId tells hosts of equal name apart: a hash of the kernel's boot id, 0 where there is none
 * @param memory tells which parties of a kernel can open each other's shared memory: a hash of the directory it is in and
 *     of the user, 0 where there is none
 * @param hostName for people and, with the boot id, for placement; one longer than 28 bytes is shortened in the record
 * @param gpu the device that this party drives, if any
 */
public record Identity(
        String application,
        int stage,
        int stageAttempt,
        long bootId,
        int memory,
        String hostName,
        @Nullable Gpu gpu) {

    public Identity {
        if (application.isEmpty() || hostName.isEmpty()) {
            throw new IllegalArgumentException(
                    "application ('" + application + "') and host ('" + hostName + "') must not be empty");
        }
        if (stage < 0 || stageAttempt < 0) {
            throw new IllegalArgumentException("stage (" + stage + "." + stageAttempt + ") is negative");
        }
    }

    /** A party of no cluster, on this host. */
    public static Identity local() {
        return onThisHost("local", 0, 0);
    }

    /** A party of a scheduler's stage, on this host and without a GPU. */
    public static Identity onThisHost(String application, int stage, int stageAttempt) {
        return new Identity(application, stage, stageAttempt, readBootId(), readMemory(), readHostName(), null);
    }

    /** This identity with a GPU. */
    public Identity withGpu(@Nullable Gpu device) {
        return new Identity(application, stage, stageAttempt, bootId, memory, hostName, device);
    }

    /** This identity on another host. */
    public Identity withHost(long boot, String name) {
        return new Identity(application, stage, stageAttempt, boot, memory, name, gpu);
    }

    /** This identity with another domain of shared memory. */
    public Identity withMemory(int domain) {
        return new Identity(application, stage, stageAttempt, bootId, domain, hostName, gpu);
    }

    /** Whether files that one of the two maps in shared memory can be mapped by the other. */
    public boolean sharesMemory(Identity other) {
        return bootId != 0 && bootId == other.bootId && memory != 0 && memory == other.memory;
    }

    /** Linux tells; elsewhere the host name has to do. */
    private static long readBootId() {
        Path source = Path.of("/proc/sys/kernel/random/boot_id");
        try {
            UUID id = UUID.fromString(
                    Files.readString(source, StandardCharsets.US_ASCII).strip());
            return id.getMostSignificantBits() ^ id.getLeastSignificantBits();
        } catch (IOException | IllegalArgumentException unknown) {
            return 0;
        }
    }

    /**
     * Containers of one host mostly have mounts of their own, and the files of one user are closed to all others: both
     * are in the hash. Elsewhere than on Linux there is no such directory.
     */
    private static int readMemory() {
        Path directory = Path.of("/dev/shm");
        try {
            if (!Files.isWritable(directory)) {
                return 0;
            }
            String domain = Files.getAttribute(directory, "unix:dev")
                    + " " + Files.getAttribute(directory, "unix:ino")
                    + " " + Files.getAttribute(Path.of("/proc/self"), "unix:uid");
            int hash = ByteBuffer.wrap(WorldSpec.sha256(domain.getBytes(StandardCharsets.UTF_8)))
                    .getInt();
            return hash == 0 ? 1 : hash;
        } catch (IOException | RuntimeException unknown) { // a file system without such attributes throws either
            return 0;
        }
    }

    private static String readHostName() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException nameless) {
            return "localhost";
        }
    }

    /**
     * A GPU as its driver names it.
     *
     * @param uuid the part after {@code GPU-} or {@code MIG-}
     * @param slice whether it is a slice (MIG) of a GPU
     * @param domain PCI domain
     * @param bus PCI bus, 0 to 255
     * @param device PCI device, 0 to 255
     */
    public record Gpu(UUID uuid, boolean slice, int domain, int bus, int device) {
        private static final Pattern BUS_ID =
                Pattern.compile("([0-9A-Fa-f]{4,8}):([0-9A-Fa-f]{2}):([0-9A-Fa-f]{2})(?:\\.[0-9A-Fa-f])?");

        public Gpu {
            if ((bus & ~255) != 0 || (device & ~255) != 0) {
                throw new IllegalArgumentException("PCI bus (" + bus + ") and device (" + device + ") are in 0..255");
            }
        }

        /**
         * The GPU of the driver's texts.
         *
         * @param uuid such as {@code GPU-8f2c1b5e-…} or {@code MIG-…}
         * @param busId such as {@code 00000000:3B:00.0}
         * @throws IllegalArgumentException if one of them is not of that form
         */
        public static Gpu parse(String uuid, String busId) {
            Matcher bus = BUS_ID.matcher(busId);
            boolean slice = uuid.startsWith("MIG-");
            if (!bus.matches() || !(slice || uuid.startsWith("GPU-"))) {
                throw new IllegalArgumentException("not a GPU: uuid '" + uuid + "', bus id '" + busId + "'");
            }
            return new Gpu(
                    UUID.fromString(uuid.substring(4)),
                    slice,
                    Integer.parseUnsignedInt(bus.group(1), 16),
                    Integer.parseInt(bus.group(2), 16),
                    Integer.parseInt(bus.group(3), 16));
        }

        /** The PCI bus id, whose order as text is the order of the devices. */
        public String busId() {
            HexFormat hex = HexFormat.of();
            return hex.toHexDigits(domain) + ":" + hex.toHexDigits((byte) bus) + ":" + hex.toHexDigits((byte) device)
                    + ".0";
        }

        @Override
        public String toString() {
            return (slice ? "MIG-" : "GPU-") + uuid + " at " + busId();
        }
    }
}
