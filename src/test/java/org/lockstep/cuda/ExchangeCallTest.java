package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;

class ExchangeCallTest {
    @Test
    void differentCallsHaveDifferentFingerprintsFromWhichTheyAreRead() {
        Set<Integer> seen = new HashSet<>(Set.of(0));
        for (ReduceOp.Kind op : ReduceOp.Kind.values()) {
            for (DataType type : DataType.values()) {
                for (long count : new long[] {0, 1, 1000, PeerOptions.MOST}) {
                    ExchangeCall call = new ExchangeCall(op, type, count);
                    assertThat(seen.add(call.fingerprint())).as("%s", call).isTrue();
                    assertThat(ExchangeCall.of(call.fingerprint())).isEqualTo(call);
                }
            }
        }
    }
}
