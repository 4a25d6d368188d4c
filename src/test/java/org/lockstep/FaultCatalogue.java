package org.lockstep;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The cases of faults that tests are of, and by when the ranks are to be released in each. */
final class FaultCatalogue {
    private static final Map<String, String> OURS = cases("""
            F01 | a task fails before the meeting | 2 s
            F02 | a task never comes to the meeting, beside another barrier stage too | 2 s after its deadline
            F03 | a rank dies between the meeting and its first connection | 2 s
            F04 | an executor is killed in a collective | 2 s
            F05 | an executor is frozen in a collective, and thaws | 20 s
            F06 | a process ends in a task, by a signal, exit or halt | 2 s
            F07 | a rank returns before its peers | 2 s
            F08 | a process stands still for eight seconds | it goes on
            F09 | a rank is ten times slower | it goes on
            F10 | two ranks fail at once | 2 s
            F11 | cleaning up fails too | 10 s
            F12 | the first rank's process dies | 2 s
            F13 | the driver dies | 30 s, its executors
            F14 | a job is cancelled, with interrupts and without | 1 s
            F15 | the application is stopped | 1 s
            F16 | cancelled while it waits for slots | 1 s
            F17 | an executor is decommissioned, and taken away | no attempt of the run's
            F18 | Spark tries a stage again | nothing is mixed
            F19 | no attempt is left | all are listed
            F20 | a callback swallows interrupts | 1 s
            F21 | a rank calls another operation | 1 s, told to all
            F22 | a rank calls with another count, type, reduction, root or blocks | 1 s, told to all
            F23 | a rank skips a call, or changes the order | 1 s, told to all
            F24 | two threads in one communicator | refused
            F25 | lengths of nothing, of one, odd ones, and beyond what memory has | right, or refused
            F26 | elements that are no number | they pass through; told with rank, operation and layer where that is asked for
            F27 | the order of a reduction | the same bits everywhere
            F28 | a group of one; overlapping groups; use after the end | they work; refused
            F29 | memory of a GPU given back under an operation | it waits for it, or ends it; use is refused
            F30 | a port scan; a thousand idle connections | it goes on, each is cut after 5 s
            F31 | noise and other protocols at a door | it goes on
            F32 | lengths and frames that cannot be, after the handshake | refused, no memory is taken
            F33 | another key or attempt; a proof that was heard before | refused
            F34 | a byte that flips | refused, never counted
            F35 | a host that is gone without a word | 20 s
            F36 | connections cut, reset, stalled, or bytes one by one | 20 s
            F37 | 100 ms of latency; one megabit a second | it goes on; a deadline grows with the bytes
            F38 | a rank that can be reached nowhere | its addresses are told
            F39 | IPv6; addresses that mean nothing elsewhere | it works; not told
            F40 | several addresses, of which one leads nowhere | the next one is tried, and said
            F41 | a range of ports that is used up | refused, with the range
            F42 | 1,024 ranks meet | 15 s
            F43 | a record of the meeting is missing, double or of another attempt | at the meeting
            F44 | versions or settings differ between executors | at the meeting
            F45 | too few slots | 1 s, before a launch
            F46 | dynamic allocation | 1 s, before a launch
            F47 | speculation | allowed
            F48 | no barrier stage; Spark Connect | 1 s, before a launch
            F49 | sizes that do not divide | 1 s, before a launch
            F50 | a partition count or a chain that Spark refuses | it goes on, repartitioned
            F51 | one GPU for two ranks | at the meeting
            F52 | forms of a GPU's address | at the start of a task
            F53 | GPU settings under a local master | 1 s, before a launch
            F54 | a tensor group that spans hosts | told, or refused at the meeting
            F55 | replicas of different speed | it goes on
            F56 | no rows, empty partitions, fewer rows than replicas | no model is loaded for none
            F57 | the heap of a rank is full | 2 s; loading is not tried again
            F58 | a GPU's memory, or the cache, is full | refused before a launch; rows are put off
            F59 | a full or read-only disk, a full /dev/shm | what is committed stays good
            F60 | too few descriptors | 1 s, before a launch
            F69 | a prompt that is too long, empty or null | its row alone
            F70 | broken text, characters and stop strings across tokens | never half a character
            F71 | hostile bytes to what reads objects | no class of theirs is loaded
            F72 | two runs in one directory, torn and late files | refused; ignored
            """);

    private static final Map<String, String> ON_A_GPU = cases("""
            F29 | the memory of a real GPU; here a stand-in's, which sees what is used after it was freed
            F51 | two tasks that Spark gives one real GPU; here their records say so
            F52 | CUDA's own order of several real GPUs; here a stand-in for NVIDIA's driver has one
            F58 | the memory of a real GPU; here a stand-in's, and the arithmetic
            """);

    private static Map<String, String> cases(String table) {
        Map<String, String> cases = new TreeMap<>();
        table.lines().forEach(line -> cases.put(line.substring(0, 3), line.substring(6)));
        return cases;
    }

    private static final Pattern SECONDS = Pattern.compile("\\| (\\d+) s\\b");

    private FaultCatalogue() {}

    /**
     * The cases that groups and runs must survive and that tests reach without a GPU: for each what goes wrong, and by when
     * what must be true.
     */
    static Map<String, String> cases() {
        return OURS;
    }

    /** Of these cases, what is left out since it needs a GPU or two. */
    static Map<String, String> onAGpu() {
        return ON_A_GPU;
    }

    /** Within what time ranks are to be released, where it is a time. */
    static Optional<Duration> bound(String faultCase) {
        String words = OURS.get(faultCase);
        if (words == null) {
            throw new IllegalArgumentException(faultCase + " is not in the catalogue");
        }
        Matcher found = SECONDS.matcher(words);
        return found.find() ? Optional.of(Duration.ofSeconds(Long.parseLong(found.group(1)))) : Optional.empty();
    }
}
