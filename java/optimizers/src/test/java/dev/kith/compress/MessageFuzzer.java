package dev.kith.compress;

import dev.kith.device.Device;
import dev.kith.device.Queue;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/**
 * What guided fuzzing calls ({@code ci/fuzz}), and the replay of its corpus. Of an input the first
 * byte says which compressor reads it, and the second what the rest is: 0 a message, 1 a message
 * whose length and checksum are made right, 2 a payload behind the right header, 3 what is
 * exclusive-ored to the right message, both with the same repair.
 */
public final class MessageFuzzer {
  private static final int AS_IT_IS = 0;
  private static final int SEALED = 1;
  private static final int PAYLOAD = 2;

  private static final Queue QUEUE = Device.cpu().newQueue();
  private static final List<MessageTarget> TARGETS =
      Compressors.all().stream().map(name -> new MessageTarget(name, QUEUE)).toList();

  private MessageFuzzer() {}

  /**
   * Replays a corpus without a test framework, as {@code ci/sanitize} does: every input as it is,
   * and with each of its bytes inverted.
   *
   * @param arguments the file, an input a line in hexadecimal
   */
  public static void main(String[] arguments) throws IOException {
    long taken = 0;
    long refused = 0;
    for (String line : Files.readAllLines(Path.of(arguments[0]))) {
      byte[] data = HexFormat.of().parseHex(line);
      for (int at = -1; at < data.length; at++) {
        byte[] input = data.clone();
        if (at >= 0) {
          input[at] = (byte) ~input[at];
        }
        if (taken(input)) {
          taken++;
        } else {
          refused++;
        }
      }
    }
    System.out.printf("messages: %,d taken, %,d refused%n", taken, refused);
  }

  /** The entry that jazzer looks for. */
  public static void fuzzerTestOneInput(byte[] data) {
    taken(data);
  }

  /** Whether an input is a message; whatever else than a refusal is thrown is a bug. */
  static boolean taken(byte[] data) {
    if (data.length < 2) {
      return false;
    }
    MessageTarget target = TARGETS.get(Math.floorMod(data[0], TARGETS.size()));
    int kind = Math.floorMod(data[1], 4);
    byte[] rest = Arrays.copyOfRange(data, 2, data.length);
    byte[] bytes =
        switch (kind) {
          case AS_IT_IS, SEALED -> rest;
          case PAYLOAD -> {
            byte[] whole = Arrays.copyOf(target.right(), MessageHeader.BYTES + rest.length);
            System.arraycopy(rest, 0, whole, MessageHeader.BYTES, rest.length);
            yield whole;
          }
          default -> {
            byte[] whole = target.right().clone();
            for (int i = 0; i < Math.min(rest.length, whole.length); i++) {
              whole[i] ^= rest[i];
            }
            yield whole;
          }
        };
    try (Arena arena = Arena.ofConfined()) {
      // Of exactly this size, so that a sanitizer sees a byte too far.
      MemorySegment message = arena.allocate(bytes.length, 8);
      message.copyFrom(MemorySegment.ofArray(bytes));
      if (kind != AS_IT_IS && bytes.length >= MessageHeader.BYTES) {
        MessageTarget.seal(message);
      }
      target.read(message);
      target.use(message);
      return true;
    } catch (MessageException refused) {
      return false;
    }
  }
}
