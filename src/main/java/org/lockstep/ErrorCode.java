package org.lockstep;

/**
 * The closed list of what can go wrong, by family: 1xxx before the launch, 2xxx collectives and peers, 3xxx rendezvous
 * and security, 4xxx model files, 5xxx devices and memory, 6xxx rows, 9xxx our own faults.
 */
public enum ErrorCode {
    USAGE(1000, 2, "a wrong option, value, file or column"),
    WORLD_SIZE(1001, 2, "the ranks cannot be split into these sizes"),
    MODEL_SHAPE(1002, 2, "the model cannot be cut into these sizes"),
    NOT_ENOUGH_SLOTS(1003, 3, "fewer slots than ranks"),
    DYNAMIC_ALLOCATION(1004, 3, "dynamic allocation is on"),
    LOCAL_GPU(1005, 3, "GPU requests under a local master"),
    NOT_IN_BARRIER_STAGE(1006, 3, "called outside of a barrier stage's task"),
    UNKNOWN_SETTING(1007, 2, "a spark.lockstep key that there is not"),
    SPARK_CONNECT(1008, 3, "a Spark Connect session, which has no RDDs"),
    SPANS_HOSTS(1009, 3, "a tensor group spans hosts, and strict placement refuses it"),
    NO_SPARK(1010, 3, "Spark is missing, does not start, or was stopped"),

    NOT_ENOUGH_MEMORY(1011, 3, "weights and cache do not fit into a rank's memory"),
    INPUT_FAILED(1012, 3, "the rows cannot be read"),
    COMMIT_FAILED(1013, 3, "finished rows cannot be kept"),
    COMMIT_IN_USE(1014, 3, "another run holds the checkpoint directory"),
    COMMIT_UNFINISHED(1015, 2, "the directory holds an unfinished run, and resume was not asked for"),
    COMMIT_DIFFERS(1016, 2, "the directory holds another run"),

    TASK_RESOURCES(1020, 3, "what tasks and executors ask for does not fit together"),
    BARRIER_TIMEOUT(1021, 3, "Spark's limit of a meeting is below ours"),
    PLAIN_TRAFFIC(1022, 3, "traffic is not authenticated, or not encrypted"),
    NOT_ENOUGH_DESCRIPTORS(1023, 3, "too few open files are allowed"),
    NO_EFFECT(1024, 3, "a setting without effect here"),
    NO_VECTORS(1025, 3, "the Vector API is off"),
    SHARED_MEMORY(1026, 3, "too little of /dev/shm is free"),
    NOT_ENOUGH_PORTS(1027, 3, "too few ports of the range are free"),
    EXECUTORS_DIFFER(1028, 3, "machines of executors are not alike, or did not answer"),

    COLLECTIVE_MISMATCH(2001, 4, "ranks called different operations"),
    PEER_LOST(2002, 4, "a rank left, died or is unreachable"),
    COLLECTIVE_TIMEOUT(2003, 4, "an operation was not complete in time"),
    ABORTED(2004, 4, "ended because of another rank's failure"),
    COMMUNICATOR_CLOSED(2005, 4, "used after its end"),
    CONCURRENT_USE(2006, 4, "one communicator, two threads"),
    PROTOCOL(2007, 4, "a peer sent what makes no sense"),
    CANCELLED(2008, 130, "somebody ended the run"),
    ANSWERS_LOST(2009, 4, "answers are gone with the executor that held them"),
    NOT_FINITE(2010, 4, "NaN or an infinity in what a rank gave to an operation, where that is looked for"),

    RENDEZVOUS_TIMEOUT(3001, 4, "not all ranks came in time"),
    RENDEZVOUS_FAILED(3002, 4, "the meeting broke off"),
    BAD_RECORD(3003, 4, "a rank's record cannot be read"),
    DISAGREEMENT(3004, 4, "ranks have different settings or versions"),
    STALE_ATTEMPT(3005, 4, "a rank of an attempt that is over"),
    DUPLICATE_GPU(3006, 3, "two ranks have one GPU"),
    UNAUTHENTICATED(3007, 4, "a peer without the attempt's key"),
    UNREGISTERED_CLASS(3008, 4, "an object of a class that was not registered"),

    MODEL_NOT_FOUND(4001, 2, "no model is there"),
    CHECKPOINT_INVALID(4002, 3, "the weights' files are broken or incomplete"),
    CONFIG_INVALID(4003, 3, "the settings of the model make no sense"),
    MODEL_UNSUPPORTED(4004, 3, "a model, or a trait of one, that is not supported"),
    TOKENIZER_INVALID(4005, 3, "the tokenizer cannot be used"),

    OUT_OF_MEMORY(5001, 4, "heap or device memory ran out"),
    NO_DEVICE(5002, 3, "no GPU, or no driver"),
    OLD_DRIVER(5003, 3, "a driver older than CUDA 12.0"),
    NO_LIBRARY(5004, 3, "a native library does not load"),
    DEVICE_FAULT(5005, 4, "a GPU, or a library on it, failed"),
    MODEL_TOO_LARGE(5006, 4, "heap or device memory ran out while a model was loaded"),
    DEVICE_LOST(5007, 4, "a GPU failed for the rest of its process's life"),

    PROMPT_NULL(6001, 1, "a row without a prompt"),
    PROMPT_TOO_LONG(6002, 1, "a prompt that does not fit the model's positions"),
    PROMPT_EMPTY(6003, 1, "a prompt without a token"),
    TEXT_INVALID(6004, 1, "a prompt that is no valid text"),
    ROW_FAILED(6005, 1, "a row's error ended the run, as asked for"),
    SAMPLING_INVALID(6006, 1, "sampling parameters of a row's own that are not valid"),
    NO_TOKEN(
            6007,
            1,
            "a row for which there is no token to choose: NaN or an infinity among the logits, or its own parameters leave none"),

    INTERNAL(9001, 4, "a fault of our own");

    private final int number;
    private final int exitCode;
    private final String meaning;

    ErrorCode(int number, int exitCode, String meaning) {
        this.number = number;
        this.exitCode = exitCode;
        this.meaning = meaning;
    }

    /** The number shown to users, for example 2003. */
    public int number() {
        return number;
    }

    /** What the command exits with: 1 some rows, 2 usage, 3 environment, 4 the gang of ranks failed, 130 cancelled. */
    public int exitCode() {
        return exitCode;
    }

    /** A few words for lists. */
    public String meaning() {
        return meaning;
    }

    /** For example {@code LOCKSTEP-2003 COLLECTIVE_TIMEOUT}. */
    public String label() {
        return "LOCKSTEP-" + number + " " + name();
    }
}
