package org.lockstep.tensor;

/**
 * Where each token of a ragged batch sits: the sequences of one step, one after the other, each with its context so far
 * and the cache blocks that hold it. Prefill (many tokens of a sequence) and decode (one) are the same thing here.
 *
 * <p>Sequence {@code s} brings the tokens {@code queryStarts[s] .. queryStarts[s + 1] - 1} of the step; the last of them
 * stands at position {@code contextLengths[s] - 1} of the sequence. Position {@code p} of sequence {@code s} is slot
 * {@code p % blockSize} of cache block {@code blockTables[s][p / blockSize]}. The layout of PagedAttention (Kwon et al.,
 * 2023), with vLLM's names. The arrays are not copied and not to be changed before the step is over.
 *
 * @param queryStarts one more than sequences, from 0 to the number of tokens in the step
 * @param contextLengths tokens of each sequence including this step's
 * @param blockTables cache blocks of each sequence, enough for its context, none twice in a sequence
 * @param blockSize tokens in a block
 */
@SuppressWarnings("ArrayRecordComponent") // read by kernels once per step: no copies on that way
public record BatchLayout(int[] queryStarts, int[] contextLengths, int[][] blockTables, int blockSize) {
    public BatchLayout {
        int sequences = contextLengths.length;
        if (queryStarts.length != sequences + 1 || blockTables.length != sequences || blockSize < 1) {
            throw new IllegalArgumentException("layout of " + sequences + " sequences has " + queryStarts.length
                    + " query starts, " + blockTables.length + " block tables, block size " + blockSize);
        }
        for (int s = 0; s < sequences; s++) {
            int tokens = queryStarts[s + 1] - queryStarts[s];
            if (tokens < 1 || tokens > contextLengths[s] || contextLengths[s] > blockTables[s].length * blockSize) {
                throw new IllegalArgumentException("sequence " + s + " brings " + tokens + " tokens to a context of "
                        + contextLengths[s] + " in " + blockTables[s].length + " blocks of " + blockSize);
            }
        }
    }

    public int sequences() {
        return contextLengths.length;
    }

    /** Tokens of this step over all sequences. */
    public int tokens() {
        return queryStarts[contextLengths.length];
    }

    /** Position in its sequence of the first token that sequence {@code s} brings. */
    public int firstPosition(int s) {
        return contextLengths[s] - (queryStarts[s + 1] - queryStarts[s]);
    }
}
