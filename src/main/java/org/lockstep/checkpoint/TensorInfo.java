package org.lockstep.checkpoint;

import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Shape;

/**
 * Where one stored tensor lies. Immutable.
 *
 * @param name as stored, for example {@code model.layers.0.mlp.up_proj.weight}
 * @param type of the stored elements
 * @param shape outermost dim first; row-major
 * @param file the name of the file that holds it, within the model's files
 * @param offset of its first byte in that file, the header counted
 * @param length in bytes: elements × size of the type
 */
public record TensorInfo(String name, DataType type, Shape shape, String file, long offset, long length) {
    /** For example {@code tensor 'lm_head.weight' bf16 [320, 64], bytes 1368..42328 of model.safetensors}. */
    @Override
    public String toString() {
        return "tensor " + ModelFiles.quote(name) + " " + type + " " + shape + ", bytes " + offset + ".."
                + (offset + length) + " of " + file;
    }
}
