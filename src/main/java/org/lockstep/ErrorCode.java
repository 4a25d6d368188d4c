package org.lockstep;

/**
 * The closed list of what can go wrong, by family: 1xxx before the launch, 2xxx collectives and peers, 3xxx rendezvous
 * and security, 4xxx model files, 5xxx devices and memory, 6xxx rows, 9xxx our own faults.
 */
public enum ErrorCode {
    USAGE(1000, 2),
    WORLD_SIZE(1001, 2),
    MODEL_SHAPE(1002, 2),
    NOT_ENOUGH_SLOTS(1003, 3),
    DYNAMIC_ALLOCATION(1004, 3),
    LOCAL_GPU(1005, 3),
    NOT_IN_BARRIER_STAGE(1006, 3),
    UNKNOWN_SETTING(1007, 2),
    SPARK_CONNECT(1008, 3),
    SPANS_HOSTS(1009, 3),
    NO_SPARK(1010, 3),

    NOT_ENOUGH_MEMORY(1011, 3),
    INPUT_FAILED(1012, 3),
    COMMIT_FAILED(1013, 3),
    COMMIT_IN_USE(1014, 3),
    COMMIT_UNFINISHED(1015, 2),
    COMMIT_DIFFERS(1016, 2),

    TASK_RESOURCES(1020, 3),
    BARRIER_TIMEOUT(1021, 3),
    PLAIN_TRAFFIC(1022, 3),
    NOT_ENOUGH_DESCRIPTORS(1023, 3),
    NO_EFFECT(1024, 3),
    NO_VECTORS(1025, 3),
    SHARED_MEMORY(1026, 3),
    NOT_ENOUGH_PORTS(1027, 3),
    EXECUTORS_DIFFER(1028, 3),

    COLLECTIVE_MISMATCH(2001, 4),
    PEER_LOST(2002, 4),
    COLLECTIVE_TIMEOUT(2003, 4),
    ABORTED(2004, 4),
    COMMUNICATOR_CLOSED(2005, 4),
    CONCURRENT_USE(2006, 4),
    PROTOCOL(2007, 4),
    CANCELLED(2008, 130),

    RENDEZVOUS_TIMEOUT(3001, 4),
    RENDEZVOUS_FAILED(3002, 4),
    BAD_RECORD(3003, 4),
    DISAGREEMENT(3004, 4),
    STALE_ATTEMPT(3005, 4),
    DUPLICATE_GPU(3006, 3),
    UNAUTHENTICATED(3007, 4),
    UNREGISTERED_CLASS(3008, 4),

    MODEL_NOT_FOUND(4001, 2),
    CHECKPOINT_INVALID(4002, 3),
    CONFIG_INVALID(4003, 3),
    MODEL_UNSUPPORTED(4004, 3),
    TOKENIZER_INVALID(4005, 3),

    OUT_OF_MEMORY(5001, 4),
    NO_DEVICE(5002, 3),
    OLD_DRIVER(5003, 3),
    NO_LIBRARY(5004, 3),
    DEVICE_FAULT(5005, 4),

    PROMPT_NULL(6001, 1),
    PROMPT_TOO_LONG(6002, 1),
    PROMPT_EMPTY(6003, 1),
    TEXT_INVALID(6004, 1),
    ROW_FAILED(6005, 1),

    INTERNAL(9001, 4);

    private final int number;
    private final int exitCode;

    ErrorCode(int number, int exitCode) {
        this.number = number;
        this.exitCode = exitCode;
    }

    /** The number shown to users, for example 2003. */
    public int number() {
        return number;
    }

    /** What the command exits with: 1 some rows, 2 usage, 3 environment, 4 the gang of ranks failed, 130 cancelled. */
    public int exitCode() {
        return exitCode;
    }

    /** For example {@code LOCKSTEP-2003 COLLECTIVE_TIMEOUT}. */
    public String label() {
        return "LOCKSTEP-" + number + " " + name();
    }
}
