package org.lockstep.simd;

/** Where a row of a panel stands among the narrow elements of one of its columns; those of f32 stand in order. */
public final class PanelLayout {
    private PanelLayout() {}

    /** Of 16-bit elements: row {@code r} of the first half beside row {@code r} of the second, the low and high half of an int. */
    public static int slot16(int row, int panel) {
        int half = panel / 2;
        return 2 * (row % half) + row / half;
    }

    /** Of bytes: rows of the four quarters side by side, the four bytes of an int. */
    public static int slot8(int row, int panel) {
        int quarter = panel / 4;
        return 4 * (row % quarter) + row / quarter;
    }
}
