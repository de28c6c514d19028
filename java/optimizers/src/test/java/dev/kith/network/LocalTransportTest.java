package dev.kith.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LocalTransportTest {
  private static final Duration LONG = Duration.ofSeconds(30);

  private static MemorySegment ints(int... values) {
    MemorySegment segment = Arena.ofAuto().allocate(4L * values.length);
    MemorySegment.copy(values, 0, segment, ValueLayout.JAVA_INT, 0, values.length);
    return segment;
  }

  private static int[] read(MemorySegment segment) {
    return segment.toArray(ValueLayout.JAVA_INT);
  }

  @Test
  void everyProcessGetsWhatItsPeersSentInTheOrderInWhichTheySentIt() {
    int processes = 4;
    Processes.run(
        8,
        processes,
        (transport, queue) -> {
          int me = transport.process();
          for (int round = 0; round < 50; round++) {
            List<Transport.Outgoing> sends = new ArrayList<>();
            List<Transport.Incoming> receives = new ArrayList<>();
            List<MemorySegment> inbox = new ArrayList<>();
            for (int peer = 0; peer < processes; peer++) {
              if (peer != me) {
                sends.add(new Transport.Outgoing(peer, ints(me, peer, round)));
                inbox.add(ints(0, 0, 0));
                receives.add(new Transport.Incoming(peer, inbox.getLast()));
              }
            }
            transport.exchange(sends, receives, "round " + round, LONG);
            for (int k = 0; k < receives.size(); k++) {
              assertArrayEquals(new int[] {receives.get(k).peer(), me, round}, read(inbox.get(k)));
            }
          }
          return null;
        });
  }

  @Test
  void gatherGivesAllBlocksToAll() {
    Processes.run(
        5,
        3,
        (transport, queue) -> {
          List<MemorySegment> blocks = List.of(ints(0), ints(0), ints(0));
          transport.gather(ints(10 + transport.process()), blocks, "blocks", LONG);
          for (int p = 0; p < 3; p++) {
            assertArrayEquals(new int[] {10 + p}, read(blocks.get(p)));
          }
          return null;
        });
  }

  @Test
  void aSingleProcessGathersItsOwnBlock() {
    try (Transport transport = LocalTransport.single(4)) {
      MemorySegment block = ints(0);
      transport.gather(ints(7), List.of(block), "block", LONG);
      assertArrayEquals(new int[] {7}, read(block));
      assertEquals(4, transport.nodes());
    }
  }

  @Test
  void aSilentPeerIsNamedWithWhatWasWaitedFor() {
    List<Transport> group = LocalTransport.group(10, 2);
    var e =
        assertThrows(
            ExchangeException.class,
            () ->
                group
                    .get(0)
                    .exchange(
                        List.of(),
                        List.of(new Transport.Incoming(1, ints(0))),
                        "row 5 of X in round 3",
                        Duration.ofMillis(20)));
    assertEquals(1, e.peer());
    assertEquals("row 5 of X in round 3", e.what());
    assertTrue(e.getMessage().contains("process 1 (nodes 5 to 9)"), e.getMessage());
    assertTrue(e.getMessage().contains("row 5 of X in round 3"), e.getMessage());
    assertTrue(e.getMessage().contains("0.02 s"), e.getMessage());
  }

  @Test
  void aPeerThatDoesNotTakeItsMessageIsNamed() {
    List<Transport> group = LocalTransport.group(10, 2);
    var e =
        assertThrows(
            ExchangeException.class,
            () ->
                group
                    .get(1)
                    .exchange(
                        List.of(new Transport.Outgoing(0, ints(1))),
                        List.of(),
                        "rows",
                        Duration.ofMillis(20)));
    assertEquals(0, e.peer());
    assertTrue(e.getMessage().contains("to take the message"), e.getMessage());
  }

  @Test
  void aPeerThatLeavesIsNotWaitedFor() {
    List<Transport> group = LocalTransport.group(10, 2);
    group.get(1).close();
    var e =
        assertThrows(
            ExchangeException.class,
            () ->
                group
                    .get(0)
                    .exchange(
                        List.of(), List.of(new Transport.Incoming(1, ints(0))), "rows", LONG));
    assertTrue(e.getMessage().contains("has left"), e.getMessage());
    assertThrows(
        IllegalStateException.class,
        () -> group.get(1).exchange(List.of(), List.of(), "rows", LONG));
  }

  @Test
  void programsThatDifferAreToldSo() {
    List<Transport> group = LocalTransport.group(2, 2);
    group.get(0).begin(List.of(new Transport.Outgoing(1, ints(1, 2))), List.of(), "round 3", LONG);
    var size =
        assertThrows(
            ExchangeException.class,
            () ->
                group
                    .get(1)
                    .exchange(
                        List.of(), List.of(new Transport.Incoming(0, ints(0))), "round 3", LONG));
    assertTrue(
        size.getMessage().contains("4 bytes") && size.getMessage().contains("sent 8"),
        size.getMessage());
    group.get(0).begin(List.of(new Transport.Outgoing(1, ints(1))), List.of(), "round 4", LONG);
    var what =
        assertThrows(
            ExchangeException.class,
            () ->
                group
                    .get(1)
                    .exchange(
                        List.of(), List.of(new Transport.Incoming(0, ints(0))), "round 5", LONG));
    assertTrue(what.getMessage().contains("round 4"), what.getMessage());
  }

  @Test
  void aPeerThatIsNoneIsRefused() {
    try (Transport transport = LocalTransport.single(3)) {
      List<Transport.Outgoing> self = List.of(new Transport.Outgoing(0, ints(1)));
      assertThrows(
          IllegalArgumentException.class, () -> transport.begin(self, List.of(), "rows", LONG));
    }
  }

  @Test
  void anInterruptedWaitEnds() throws InterruptedException {
    List<Transport> group = LocalTransport.group(2, 2);
    AtomicReference<Throwable> thrown = new AtomicReference<>();
    Thread waiting =
        new Thread(
            () -> {
              try {
                group
                    .get(0)
                    .exchange(List.of(), List.of(new Transport.Incoming(1, ints(0))), "rows", LONG);
              } catch (ExchangeException e) {
                thrown.set(e);
              }
            });
    waiting.start();
    waiting.interrupt();
    waiting.join();
    assertTrue(
        assertInstanceOf(ExchangeException.class, thrown.get())
            .getMessage()
            .contains("interrupted"));
  }

  @Test
  void everyMessageIsAnEvent(@TempDir Path folder) throws Exception {
    Path file = folder.resolve("exchange.jfr");
    try (Recording recording = new Recording()) {
      recording.enable("dev.kith.Exchange");
      recording.start();
      Processes.run(
          2,
          2,
          (transport, queue) -> {
            int peer = 1 - transport.process();
            transport.exchange(
                List.of(new Transport.Outgoing(peer, ints(1, 2, 3))),
                List.of(new Transport.Incoming(peer, ints(0, 0, 0))),
                "rows of the test",
                LONG);
            return null;
          });
      recording.stop();
      recording.dump(file);
    }
    assertTrue(Files.size(file) > 0);
    List<RecordedEvent> events =
        RecordingFile.readAllEvents(file).stream()
            .filter(e -> e.getEventType().getName().equals("dev.kith.Exchange"))
            .toList();
    assertEquals(2, events.size());
    for (RecordedEvent event : events) {
      assertEquals("rows of the test", event.getString("matrix"));
      assertEquals(12, event.getLong("bytes"));
      assertTrue(event.getLong("wait") >= 0);
    }
    assertEquals(1, events.get(0).getInt("peer") + events.get(1).getInt("peer"));
  }
}
