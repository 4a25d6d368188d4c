package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

class IdentityTest {
    private static final Identity PARTY = new Identity("app", 0, 0, 77, 5, "host-a", null);

    @Test
    void memoryIsSharedInOneKernelAndOneDomainOnly() {
        assertThat(PARTY.sharesMemory(PARTY.withHost(77, "another-name"))).isTrue();
        assertThat(PARTY.sharesMemory(PARTY.withHost(78, "host-a"))).isFalse();
        assertThat(PARTY.sharesMemory(PARTY.withMemory(6))).isFalse();
        assertThat(PARTY.withMemory(0).sharesMemory(PARTY.withMemory(0))).isFalse();
        assertThat(PARTY.withHost(0, "host-a").sharesMemory(PARTY.withHost(0, "host-a")))
                .isFalse();
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void thisHostHasTheSameDomainForAllItsParties() {
        Identity mine = Identity.local();
        assertThat(Identity.onThisHost("other", 4, 1).memory()).isEqualTo(mine.memory());
        assertThat(mine.memory() != 0).isEqualTo(Files.isWritable(Path.of("/dev/shm")));
    }
}
