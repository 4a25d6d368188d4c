package org.lockstep.spark.device;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.cuda.VisibleDevice;

/**
 * Which device a task drives: what the scheduler gave it, found among what its process sees. Arithmetic only; immutable.
 *
 * <p>An address is an index, a uuid ({@code GPU-…}, {@code MIG-…}) or a PCI bus id. Without {@code CUDA_VISIBLE_DEVICES} an
 * index is the one that discovery scripts print, nvidia-smi's, whose order is that of the PCI bus and need not be CUDA's; with
 * it an index counts what the process sees, in its order.
 *
 * @param addresses that the scheduler gave the task; empty where it gives none
 * @param visible the process's {@code CUDA_VISIBLE_DEVICES}, null if it has none
 * @param local the task's number under a local master, whose tasks share all devices in turn; empty on a cluster
 */
record GpuAssignment(List<String> addresses, @Nullable String visible, OptionalInt local) {
    private static final Pattern INDEX = Pattern.compile("\\d{1,6}");
    private static final Pattern BUS_ID =
            Pattern.compile("(?:([0-9A-Fa-f]{4,8}):)?([0-9A-Fa-f]{2}):([0-9A-Fa-f]{2})(?:\\.[0-9A-Fa-f])?");

    GpuAssignment {
        addresses = List.copyOf(addresses);
    }

    /**
     * The task's device.
     *
     * @param seen by ordinal, at least one
     * @throws LockstepException NO_DEVICE listing what was seen
     */
    VisibleDevice among(List<VisibleDevice> seen) {
        if (addresses.size() > 1) {
            throw failure(
                    "the task was given " + addresses.size() + " GPUs " + addresses + ", a rank drives one",
                    seen,
                    "--conf spark.task.resource.gpu.amount=1");
        }
        if (addresses.size() == 1) {
            return find(addresses.get(0).trim(), seen);
        }
        if (local.isPresent()) {
            return seen.get(local.getAsInt() % seen.size());
        }
        if (seen.size() == 1) {
            return seen.get(0);
        }
        throw failure(
                "Spark gave the task no GPU, and its process sees " + seen.size(),
                seen,
                "--conf spark.executor.resource.gpu.amount=N --conf spark.task.resource.gpu.amount=1, and a discovery"
                        + " script");
    }

    private VisibleDevice find(String address, List<VisibleDevice> seen) {
        if (INDEX.matcher(address).matches()) {
            return byIndex(Integer.parseInt(address), seen);
        }
        if (address.startsWith("GPU-") || address.startsWith("MIG-")) {
            return byUuid(address, seen);
        }
        Matcher bus = BUS_ID.matcher(address);
        if (bus.matches()) {
            int domain = bus.group(1) == null ? 0 : Integer.parseUnsignedInt(bus.group(1), 16);
            return only(
                    address,
                    seen,
                    device -> device.gpu().domain() == domain
                            && device.gpu().bus() == Integer.parseInt(bus.group(2), 16)
                            && device.gpu().device() == Integer.parseInt(bus.group(3), 16));
        }
        throw notSeen(address, seen);
    }

    private VisibleDevice byIndex(int index, List<VisibleDevice> seen) {
        List<VisibleDevice> order = new ArrayList<>(seen);
        if (visible == null) {
            order.sort(Comparator.comparing(device -> device.gpu().busId()));
        }
        if (index >= order.size()) {
            throw notSeen(Integer.toString(index), seen);
        }
        return order.get(index);
    }

    /** A uuid may be shortened, as CUDA allows; a slice may be known by the list of visible devices alone. */
    private VisibleDevice byUuid(String address, List<VisibleDevice> seen) {
        String[] entries = visible == null ? new String[0] : visible.split(",", -1);
        for (int i = 0; i < Math.min(entries.length, seen.size()); i++) {
            if (entries[i].trim().equalsIgnoreCase(address)) {
                return seen.get(i);
            }
        }
        String wanted = address.toLowerCase(Locale.ROOT);
        return only(
                address,
                seen,
                device ->
                        ((device.gpu().slice() ? "mig-" : "gpu-") + device.gpu().uuid()).startsWith(wanted));
    }

    private VisibleDevice only(String address, List<VisibleDevice> seen, Predicate<VisibleDevice> wanted) {
        List<VisibleDevice> found = seen.stream().filter(wanted).toList();
        if (found.size() != 1) {
            throw notSeen(address, seen);
        }
        return found.get(0);
    }

    private LockstepException notSeen(String address, List<VisibleDevice> seen) {
        return failure(
                "the task was given GPU '" + address + "', which its process does not see",
                seen,
                "a discovery script and a CUDA_VISIBLE_DEVICES that name the same devices");
    }

    private LockstepException failure(String what, List<VisibleDevice> seen, String attempt) {
        LockstepException.Report report = LockstepException.report(ErrorCode.NO_DEVICE, what)
                .with("visible", "CUDA_VISIBLE_DEVICES" + (visible == null ? " is not set" : "=" + visible));
        for (VisibleDevice device : seen) {
            report = report.with("device", device.toString());
        }
        return report.attempt(attempt).exception();
    }
}
