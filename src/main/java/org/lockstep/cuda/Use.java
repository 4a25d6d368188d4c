package org.lockstep.cuda;

/** Whether something that not every machine has is used. */
public enum Use {
    /** Where it can be. */
    AUTO,

    /** Always: where it cannot be is an error. */
    ON,

    /** Never. */
    OFF
}
