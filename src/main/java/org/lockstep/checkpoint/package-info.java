/**
 * A model's files, as files: which there are ({@link org.lockstep.checkpoint.ModelFiles}), what tensors they hold
 * ({@link org.lockstep.checkpoint.Checkpoint}) and what their JSON says ({@link org.lockstep.checkpoint.Settings}).
 *
 * <p>Everything here comes from outside and is believed only after it was checked. The whole layout of every safetensors
 * file is validated when a checkpoint is opened, before one weight is read: no memory is asked for on a header's word,
 * arithmetic on its numbers is checked, ranges must tile the file without a hole or an overlap, names cannot leave the
 * model's folder. A file that lies is one error naming file, tensor and numbers.
 *
 * <p>Files are read, not mapped: a file cut short under a mapping kills the JVM with SIGBUS, a read just ends early. A
 * slice costs exactly its own bytes, so that a rank of a large model reads its share and no more.
 *
 * <p>Never here: what the tensors mean. That is {@code org.lockstep.model}.
 */
@NullMarked
package org.lockstep.checkpoint;

import org.jspecify.annotations.NullMarked;
