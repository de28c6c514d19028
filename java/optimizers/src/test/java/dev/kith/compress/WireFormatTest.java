package dev.kith.compress;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Guards docs/wire-format.md: bytes once written are read for ever. */
class WireFormatTest {
  private static final Pattern EXAMPLE =
      Pattern.compile(
          "### `([^`]+)`\n\nNode (\\d+), round (\\d+), channel (\\d+)\\.[^\n]*\n\n"
              + "(?:- layout: ([^\n]+)\n)?(?:- row: ([^\n]+)\n)?- decoded: ([^\n]+)\n\n```\n([0-9a-f \n]+)```");

  record Example(
      String name,
      int node,
      long round,
      int channel,
      Layout layout,
      Optional<float[]> row,
      float[] decoded,
      byte[] bytes) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static String document() throws IOException {
    for (Path at = Path.of("").toAbsolutePath(); at != null; at = at.getParent()) {
      Path file = at.resolve("docs/wire-format.md");
      if (Files.exists(file)) {
        return Files.readString(file);
      }
    }
    throw new IOException(
        "docs/wire-format.md is in no folder above " + Path.of("").toAbsolutePath());
  }

  private static float[] floats(String text) {
    String[] parts = text.split(" ", -1);
    float[] values = new float[parts.length];
    for (int k = 0; k < values.length; k++) {
      values[k] = Float.parseFloat(parts[k]);
    }
    return values;
  }

  private static Layout layout(String text, int columns) {
    if (text == null) {
      return Layout.flat(columns);
    }
    Layout.Builder builder = Layout.builder();
    for (String shape : text.split(" ", -1)) {
      builder.tensor(
          shape, "a", Arrays.stream(shape.split("x", -1)).mapToLong(Long::parseLong).toArray());
    }
    return builder.build();
  }

  static List<Example> examples() throws IOException {
    List<Example> examples = new ArrayList<>();
    Matcher m = EXAMPLE.matcher(document());
    while (m.find()) {
      float[] decoded = floats(m.group(7));
      examples.add(
          new Example(
              m.group(1),
              Integer.parseInt(m.group(2)),
              Long.parseLong(m.group(3)),
              Integer.parseInt(m.group(4)),
              layout(m.group(5), decoded.length),
              Optional.ofNullable(m.group(6)).map(WireFormatTest::floats),
              decoded,
              HexFormat.of().parseHex(m.group(8).replaceAll("[ \n]", ""))));
    }
    return examples;
  }

  @Test
  void thereIsAnExampleOfEveryKind() throws IOException {
    long[] kinds =
        examples().stream()
            .mapToLong(e -> Compressor.parse(e.name()).kind())
            .sorted()
            .distinct()
            .toArray();
    // 31 is a payload of another kind with rows of 30 behind it.
    assertArrayEquals(
        new long[] {1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 30, 40}, kinds);
  }

  @ParameterizedTest
  @MethodSource("examples")
  void theBytesOfThePageAreThoseOfTheCode(Example example) {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 1, example.layout(), DType.F32);
        DeviceMatrix y = x.like();
        Codec codec =
            Compressor.parse(example.name())
                .bind(x, new Codec.Sender(example.node(), 7, example.channel()));
        Messages messages = codec.messages();
        Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocate(messages.messageBytes(), 64);
      if (example.row().isPresent()) {
        x.upload(example.row().get());
        codec.encode(x, messages, example.round());
        messages.write(new int[] {0}, bytes);
        assertEquals(
            HexFormat.ofDelimiter(" ").formatHex(example.bytes()),
            HexFormat.ofDelimiter(" ")
                .formatHex(bytes.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE)));
      }
      assertEquals(example.bytes().length, messages.messageBytes());
      bytes.copyFrom(MemorySegment.ofArray(example.bytes()));
      messages.take(example.round(), bytes, new ReplayGuard(Integer.MAX_VALUE));
      codec.decode(messages, y);
      assertArrayEquals(example.decoded(), y.toFloats());
      assertTrue(messages.nonFiniteNode().isEmpty());
    }
  }
}
