package dev.kith.compress;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;

/** The header: what is written is read, and nothing else is. */
class MessageHeaderTest {
  private static final MessageHeader HEADER =
      new MessageHeader(2, 3, false, 5, 700, 1000, 10, 0x0123456789abcdefL, 80);

  private static byte[] message(MessageHeader header) {
    byte[] bytes = new byte[(int) header.messageBytes()];
    for (int k = MessageHeader.BYTES; k < bytes.length; k++) {
      bytes[k] = (byte) (k * 7);
    }
    header.write(MemorySegment.ofArray(bytes));
    return bytes;
  }

  private static String refusal(byte[] bytes) {
    return assertThrows(
            MessageException.class, () -> MessageHeader.read(MemorySegment.ofArray(bytes)))
        .getMessage();
  }

  private static void refused(byte[] bytes, String... parts) {
    String text = refusal(bytes);
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "\"" + part + "\" is not in: " + text);
    }
  }

  /** With a right checksum: what only the other checks can find. */
  private static byte[] sealed(byte[] bytes) {
    CRC32C crc = new CRC32C();
    crc.update(bytes, 0, 60);
    crc.update(bytes, 64, bytes.length - 64);
    buffer(bytes).putInt(60, (int) crc.getValue());
    return bytes;
  }

  private static ByteBuffer buffer(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  @Test
  void whatIsWrittenIsRead() {
    for (MessageHeader header :
        new MessageHeader[] {
          HEADER,
          new MessageHeader(
              65535,
              65535,
              true,
              Integer.MAX_VALUE,
              (1L << 40) - 1,
              Long.MAX_VALUE,
              -1,
              Long.MIN_VALUE,
              4),
          new MessageHeader(1, 0, false, 0, 0, 0, 0, 0, 0)
        }) {
      assertEquals(header, MessageHeader.read(MemorySegment.ofArray(message(header))));
    }
  }

  @Test
  void everyBitIsUnderTheChecksumOrAnotherCheck() {
    byte[] whole = message(HEADER);
    for (int bit = 0; bit < 8 * whole.length; bit++) {
      byte[] damaged = whole.clone();
      damaged[bit / 8] ^= (byte) (1 << bit % 8);
      refusal(damaged);
    }
  }

  @Test
  void aMessageThatWasCutOrJoinedIsRefusedAtEveryLength() {
    byte[] whole = message(HEADER);
    for (int length = 0; length < whole.length; length++) {
      refusal(Arrays.copyOf(whole, length));
    }
    refused(Arrays.copyOf(whole, 0), "0 bytes", "a header has 64");
    refused(Arrays.copyOf(whole, 64), "length 80", "0 to 0");
    refused(Arrays.copyOf(whole, whole.length + 4), "80 bytes of payload", "84 follow");
    refused(new byte[200], "no message");
  }

  @Test
  void otherVersionsAndImpossibleNumbersAreRefusedWithARightChecksum() {
    byte[] bytes = message(HEADER);
    buffer(bytes).putShort(4, (short) 2);
    refused(sealed(bytes), "version 2", "version 1", "same program");
    bytes = message(HEADER);
    buffer(bytes).putShort(6, (short) 0);
    refused(sealed(bytes), "kind 0");
    bytes = message(HEADER);
    buffer(bytes).putShort(14, (short) 2);
    refused(sealed(bytes), "flags 0002");
    bytes = message(HEADER);
    buffer(bytes).putInt(56, 1);
    refused(sealed(bytes), "52 to 59");
    bytes = message(HEADER);
    buffer(bytes).putInt(8, -1);
    refused(sealed(bytes), "node -1");
    bytes = message(HEADER);
    buffer(bytes).putLong(16, 1L << 40);
    refused(sealed(bytes), "round 1099511627776");
    bytes = message(HEADER);
    buffer(bytes).putLong(32, -5);
    refused(sealed(bytes), "columns -5");
    for (long length : new long[] {1L << 62, Long.MAX_VALUE, Long.MIN_VALUE, -4, 84, 76, 78}) {
      bytes = message(HEADER);
      buffer(bytes).putLong(24, length);
      refused(sealed(bytes), String.valueOf(length));
    }
  }

  @Test
  void aStreamIsToldHowMuchFollowsAndNeverMoreThanItHolds() {
    byte[] header = Arrays.copyOf(message(HEADER), 64);
    assertEquals(80, MessageHeader.payloadBytes(MemorySegment.ofArray(header), 80));
    assertThrows(
        MessageException.class,
        () -> MessageHeader.payloadBytes(MemorySegment.ofArray(header), 79));
    buffer(header).putLong(24, 1L << 62);
    String text =
        assertThrows(
                MessageException.class,
                () -> MessageHeader.payloadBytes(MemorySegment.ofArray(header), 1 << 20))
            .getMessage();
    assertTrue(text.contains("4611686018427387904") && text.contains("0 to 1048576"), text);
  }

  private static String difference(MessageHeader expected) {
    return assertThrows(MessageException.class, () -> HEADER.require(expected)).getMessage();
  }

  @Test
  void theFirstDifferenceToWhatIsExpectedIsNamed() {
    HEADER.require(HEADER);
    new MessageHeader(2, 3, true, 5, 700, 1000, 10, 0x0123456789abcdefL, 80).require(HEADER);
    long s = 0x0123456789abcdefL;
    assertTrue(
        difference(new MessageHeader(2, 3, false, 6, 700, 1000, 10, s, 80))
            .contains("node 5 and 6 is expected"));
    assertTrue(
        difference(new MessageHeader(2, 4, false, 5, 700, 1000, 10, s, 80))
            .contains("channel 3 and 4"));
    assertTrue(
        difference(new MessageHeader(2, 3, false, 5, 701, 1000, 10, s, 80)).contains("replayed"));
    assertTrue(
        difference(new MessageHeader(2, 3, false, 5, 699, 1000, 10, s, 80))
            .contains("not in the same round"));
    assertTrue(
        difference(new MessageHeader(1, 3, false, 5, 700, 1000, 10, s, 80)).contains("kind 2"));
    assertTrue(
        difference(new MessageHeader(2, 3, false, 5, 700, 999, 10, s, 80))
            .contains("columns 1000 and 999"));
    assertTrue(
        difference(new MessageHeader(2, 3, false, 5, 700, 1000, 4, s, 80))
            .contains("parameter 10 and 4"));
    assertTrue(
        difference(new MessageHeader(2, 3, false, 5, 700, 1000, 10, s, 84))
            .contains("length 80 and 84"));
    assertTrue(
        difference(new MessageHeader(2, 3, false, 5, 700, 1000, 10, s + 1, 80))
            .contains("other settings (0123456789abcdef, here 0123456789abcdf0)"));
  }

  private static MessageHeader of(int channel, int node, long round) {
    return new MessageHeader(1, channel, false, node, round, 1, 0, 0, 4);
  }

  @Test
  void aReplayedRoundOfANodeIsRefusedChannelByChannel() {
    ReplayGuard guard = new ReplayGuard(3);
    guard.accept(of(0, 2, 0));
    guard.accept(of(0, 2, 5));
    guard.accept(of(1, 2, 5));
    guard.accept(of(0, 1, 1));
    for (long round : new long[] {0, 4, 5}) {
      String text =
          assertThrows(MessageException.class, () -> guard.accept(of(0, 2, round))).getMessage();
      assertTrue(text.contains("node 2 of round " + round) && text.contains("round 5"), text);
    }
    assertThrows(MessageException.class, () -> guard.accept(of(0, 3, 9)));
    guard.rewind(5);
    assertDoesNotThrow(() -> guard.accept(of(0, 2, 5)));
    assertThrows(MessageException.class, () -> guard.accept(of(0, 2, 5)));
  }
}
