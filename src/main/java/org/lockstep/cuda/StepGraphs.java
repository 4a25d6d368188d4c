package org.lockstep.cuda;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;

/**
 * Decoding steps as CUDA graphs: what a step launched is recorded the second time that one like it comes, and replayed from
 * then on by a single launch. The first time shows what kernels need beside, for nothing may be allocated while one is
 * recorded. Keeps those that were used last. Confined to one thread at a time.
 */
final class StepGraphs implements AutoCloseable {
    private static final int MOST = 64;

    private final CudaDevice device;
    private final Map<Key, Optional<CUgraphExec>> known = new LinkedHashMap<>(16, 0.75f, true);

    StepGraphs(CudaDevice device) {
        this.device = device;
    }

    /**
     * What steps have in common that launch the same kernels with the same arguments.
     *
     * @param part of the model
     * @param hidden the address of the residual stream
     * @param logits that of the logits, 0 if there are none
     * @param tokens one of each sequence
     * @param rows of logits
     * @param maxBlocks width of the block tables
     * @param longest context that the grids are cut for
     */
    record Key(Object part, long hidden, long logits, int tokens, int rows, int maxBlocks, int longest) {}

    /** Runs {@code body}, or replays what it launched before. */
    void run(Key key, Runnable body) {
        Optional<CUgraphExec> recorded = known.get(key);
        if (recorded == null) {
            body.run();
            makeRoom();
            known.put(key, Optional.empty());
            return;
        }
        CUgraphExec graph = recorded.orElseGet(() -> record(body));
        if (recorded.isEmpty()) {
            known.put(key, Optional.of(graph));
        }
        CudaError.check(JCudaDriver.cuGraphLaunch(graph, device.stream()), "cuGraphLaunch");
        device.backlog().add("a decoding step's graph");
        device.backlog().await();
    }

    private CUgraphExec record(Runnable body) {
        CUgraph graph = new CUgraph();
        CudaError.check(
                JCudaDriver.cuStreamBeginCapture(
                        device.stream(), CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
                "cuStreamBeginCapture");
        boolean whole = false;
        device.backlog().recording(true);
        try {
            body.run();
            whole = true;
        } finally {
            device.backlog().recording(false);
            int ended = JCudaDriver.cuStreamEndCapture(device.stream(), graph);
            if (whole) {
                CudaError.check(ended, "cuStreamEndCapture");
            } else if (ended == 0) {
                JCudaDriver.cuGraphDestroy(graph);
            }
        }
        try {
            CUgraphExec made = new CUgraphExec();
            CudaError.check(JCudaDriver.cuGraphInstantiate(made, graph, 0), "cuGraphInstantiate");
            return made;
        } finally {
            CudaError.check(JCudaDriver.cuGraphDestroy(graph), "cuGraphDestroy");
        }
    }

    private void makeRoom() {
        Iterator<Optional<CUgraphExec>> oldest = known.values().iterator();
        if (known.size() >= MOST && oldest.hasNext()) {
            Optional<CUgraphExec> leaving = oldest.next();
            if (leaving.isPresent()) {
                device.synchronize(); // it may still run; where this throws, it stays among those that an end destroys
            }
            oldest.remove();
            leaving.ifPresent(this::destroy);
        }
    }

    private void destroy(CUgraphExec graph) {
        if (!device.isGivenUp()) {
            CudaError.check(JCudaDriver.cuGraphExecDestroy(graph), "cuGraphExecDestroy");
        }
    }

    /** Forgets all: memory that they use is somewhere else from now on. */
    void clear() {
        if (known.values().stream().anyMatch(Optional::isPresent)) {
            Release.all(List.of(device::finish, this::drop));
        } else {
            drop();
        }
    }

    /** The same, of graphs that may still run: the driver frees one when it has ended. */
    void drop() {
        List<Runnable> all = known.values().stream()
                .flatMap(Optional::stream)
                .<Runnable>map(graph -> () -> destroy(graph))
                .toList();
        known.clear();
        Release.all(all);
    }

    @Override
    public void close() {
        clear();
    }
}
