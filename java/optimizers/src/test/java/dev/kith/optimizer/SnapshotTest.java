package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.problem.Quadratic;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class SnapshotTest {
  private static final int NODES = 7;

  @TempDir Path folder;

  static List<Algorithm> algorithms() {
    List<Algorithm> all = new ArrayList<>(Algorithm.all());
    all.addAll(Algorithm.compressed());
    return all;
  }

  private static List<DType> types(Algorithm algorithm) {
    return Algorithm.compressed().stream().anyMatch(a -> a.label().equals(algorithm.label()))
        ? List.of(DType.F32)
        : List.of(DType.F32, DType.F64);
  }

  @ParameterizedTest
  @MethodSource("algorithms")
  void aResumedRunEndsWithTheBitsOfAnUninterruptedOne(Algorithm algorithm) {
    for (int processes : new int[] {1, 3}) {
      for (DType dtype : types(algorithm)) {
        Path base = folder.resolve(processes + "-" + dtype);
        List<double[]> whole =
            Processes.run(
                NODES,
                processes,
                (transport, queue) ->
                    algorithm.run(
                        NODES,
                        transport,
                        queue,
                        dtype,
                        Optional.empty(),
                        optimizer -> {
                          for (int round = 0; round < 20; round++) {
                            if (round == 9) {
                              Snapshot.write(file(base, transport.process()), optimizer);
                            }
                            optimizer.step();
                          }
                          return result(optimizer);
                        }));
        List<double[]> resumed =
            Processes.run(
                NODES,
                processes,
                (transport, queue) ->
                    algorithm.run(
                        NODES,
                        transport,
                        queue,
                        dtype,
                        Optional.empty(),
                        optimizer -> {
                          var restored = Snapshot.read(file(base, transport.process()), optimizer);
                          assertEquals("", restored.remark());
                          assertEquals(9, optimizer.round());
                          while (optimizer.round() < 20) {
                            optimizer.step();
                          }
                          return result(optimizer);
                        }));
        for (int p = 0; p < processes; p++) {
          assertArrayEquals(whole.get(p), resumed.get(p), algorithm + " " + dtype);
        }
      }
    }
  }

  private static Path file(Path base, int process) {
    return base.resolveSibling(base.getFileName() + "-" + process);
  }

  private static double[] result(Optimizer optimizer) {
    double[] x = optimizer.parameters().toDoubles();
    double[] counts =
        Arrays.stream(optimizer.network().meter().counts()).asDoubleStream().toArray();
    double[] all = Arrays.copyOf(x, x.length + counts.length);
    System.arraycopy(counts, 0, all, x.length, counts.length);
    return all;
  }

  /** What a test does with a small optimizer. */
  private interface Body {
    void run(Optimizer optimizer) throws IOException;
  }

  private void with(int nodes, int dimension, Body body) {
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(nodes, dimension, 3, 1, 1).build(queue, DType.F32);
        Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(nodes))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer = DecentralizedSgd.builder(problem, network, zero).build()) {
      body.run(optimizer);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void allPartsComeBackAsTheyWere() {
    Path file = folder.resolve("parts");
    try (Queue queue = Device.cpu().newQueue();
        // Larger than a block of the reader and the writer, in rows and within one row.
        DeviceMatrix wide = DeviceMatrix.allocate(queue, 2, 300_001, DType.F64);
        DeviceMatrix tall = DeviceMatrix.allocate(queue, 70_003, 5, DType.F32);
        DeviceMatrix half = DeviceMatrix.allocate(queue, 3, 7, DType.BF16);
        DeviceMatrix numbers = DeviceMatrix.rowOf(queue, 1, -2, Integer.MAX_VALUE)) {
      fill(wide);
      fill(tall);
      fill(half);
      byte[] bytes = {1, -1, 0};
      Snapshot.write(
          file,
          writer -> {
            writer.text("text", "grüße");
            writer.longs("longs", 1, Long.MIN_VALUE);
            writer.doubles("doubles", -0.0, Double.MIN_VALUE);
            writer.bytes("bytes", bytes);
            writer.bytes("empty", new byte[0]);
            writer.matrix("wide", wide);
            writer.matrix("tall", tall);
            writer.matrix("half", half);
            writer.matrix("numbers", numbers);
          });
      Snapshot.read(
          file,
          reader -> {
            assertEquals("grüße", reader.text("text"));
            assertArrayEquals(new long[] {1, Long.MIN_VALUE}, reader.longs("longs"));
            assertArrayEquals(new double[] {-0.0, Double.MIN_VALUE}, reader.doubles("doubles"));
            assertArrayEquals(bytes, reader.bytes("bytes"));
            assertEquals(0, reader.bytes("empty").length);
            assertTrue(reader.has("tall"));
            assertFalse(reader.has("short"));
            for (DeviceMatrix m : List.of(wide, tall, half)) {
              try (DeviceMatrix back = m.like()) {
                reader.matrix(m == wide ? "wide" : m == tall ? "tall" : "half", back);
                assertArrayEquals(m.toDoubles(), back.toDoubles());
              }
            }
            try (DeviceMatrix back = numbers.like()) {
              reader.matrix("numbers", back);
              assertArrayEquals(numbers.toInts(), back.toInts());
            }
          });
    }
  }

  private static void fill(DeviceMatrix m) {
    SharedRandom random = new SharedRandom(1, Stream.TEST, 0, 0);
    double[] values = new double[Math.toIntExact(m.rows() * m.cols())];
    Arrays.setAll(values, k -> random.uniformFloat(k) - 0.5);
    m.upload(values);
  }

  @Test
  void theSnapshotBeforeIsKeptAndTakenWhenTheNewestIsDamaged() {
    Path file = folder.resolve("run");
    with(
        4,
        3,
        optimizer -> {
          optimizer.step();
          Snapshot.write(file, optimizer);
          optimizer.step();
          Snapshot.write(file, optimizer);
          assertEquals(2, restored(file, optimizer).round());
          byte[] bytes = Files.readAllBytes(file);
          bytes[bytes.length / 2] ^= 1;
          Files.write(file, bytes);
          var fallback = Snapshot.read(file, optimizer);
          assertEquals(1, optimizer.round());
          assertEquals(folder.resolve("run.previous"), fallback.file());
          assertTrue(
              fallback.remark().contains("is damaged")
                  && fallback.remark().contains("resumed from"),
              fallback.remark());
          Files.delete(file);
          assertTrue(Snapshot.read(file, optimizer).remark().contains("there is no"));
          Files.write(folder.resolve("run.previous"), new byte[3]);
          var e = assertThrows(SnapshotException.class, () -> Snapshot.read(file, optimizer));
          assertTrue(e.getMessage().contains("no other one is whole"), e.getMessage());
        });
  }

  private static Optimizer restored(Path file, Optimizer optimizer) {
    assertEquals("", Snapshot.read(file, optimizer).remark());
    return optimizer;
  }

  @Test
  void aSnapshotThatWasWrittenButNotRenamedIsFound() {
    Path file = folder.resolve("run");
    with(
        4,
        3,
        optimizer -> {
          optimizer.step();
          Snapshot.write(file, optimizer);
          Files.move(file, folder.resolve("run.new"));
          assertTrue(Snapshot.read(file, optimizer).remark().contains("run.new"));
        });
  }

  @Test
  void aMissingSnapshotIsSaidToBeMissing() {
    Path file = folder.resolve("none");
    var e = assertThrows(SnapshotException.class, () -> Snapshot.read(file, reader -> {}));
    assertTrue(e.getMessage().contains("there is no snapshot"), e.getMessage());
  }

  @Test
  void anUnwritableFolderIsNamedAndNothingIsLost() {
    Path file = folder.resolve("run");
    with(
        4,
        3,
        optimizer -> {
          Snapshot.write(file, optimizer);
          // A folder where the new file would go cannot be opened for writing, not even by root.
          Files.createDirectory(folder.resolve("run.new"));
          optimizer.step();
          var e = assertThrows(UncheckedIOException.class, () -> Snapshot.write(file, optimizer));
          assertTrue(e.getMessage().contains("cannot be written"), e.getMessage());
          assertEquals(0, restored(file, optimizer).round());
        });
  }

  @Test
  void anotherRunIsRefusedInOneSentenceAndChangesNothing() {
    Path file = folder.resolve("run");
    with(
        4,
        3,
        optimizer -> {
          optimizer.step();
          Snapshot.write(file, optimizer);
        });
    with(
        5,
        3,
        optimizer -> {
          var e =
              assertThrows(IllegalArgumentException.class, () -> Snapshot.read(file, optimizer));
          assertTrue(e.getMessage().contains("nodes 0 to 3 of 4"), e.getMessage());
          assertEquals(0, optimizer.round());
          assertArrayEquals(new double[15], optimizer.parameters().toDoubles());
        });
    with(
        4,
        2,
        optimizer -> {
          var e =
              assertThrows(IllegalArgumentException.class, () -> Snapshot.read(file, optimizer));
          assertTrue(e.getMessage().contains("layout"), e.getMessage());
        });
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(4, 3, 3, 1, 1).build(queue, DType.F32);
        Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(4))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer extra = Extra.builder(problem, network, zero).build();
        DeviceMatrix wide = DeviceMatrix.allocate(queue, 1, 3, DType.F64);
        Optimizer wider = DecentralizedSgd.builder(problem, network, wide).build()) {
      var e = assertThrows(IllegalArgumentException.class, () -> Snapshot.read(file, extra));
      assertTrue(
          e.getMessage().contains("dsgd") && e.getMessage().contains("extra"), e.getMessage());
      e = assertThrows(IllegalArgumentException.class, () -> Snapshot.read(file, wider));
      assertTrue(
          e.getMessage().contains("4 x 3 F32") && e.getMessage().contains("F64"), e.getMessage());
    }
  }

  @Test
  void anotherVersionIsRefused() throws IOException {
    Path file = folder.resolve("run");
    Snapshot.write(file, writer -> writer.longs("a", 1));
    byte[] bytes = Files.readAllBytes(file);
    bytes[8] = 2;
    Files.write(file, bytes);
    var e = assertThrows(SnapshotException.class, () -> Snapshot.read(file, reader -> {}));
    assertTrue(e.getMessage().contains("version 2"), e.getMessage());
  }

  @Test
  void theFormatDoesNotChange() throws IOException {
    Path file = folder.resolve("golden");
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix m = DeviceMatrix.of(queue, new float[][] {{1, 2}, {3, -4}})) {
      Snapshot.write(
          file,
          writer -> {
            writer.text("a", "dsgd");
            writer.longs("n", 258);
            writer.matrix("x", m);
          });
    }
    String hex = java.util.HexFormat.of().formatHex(Files.readAllBytes(file));
    assertEquals(
        "4b495448534e4150"
            + "01000000"
            + "010161"
            + "0400000000000000"
            + "64736764"
            + "02016e"
            + "0800000000000000"
            + "0201000000000000"
            + "050178"
            + "2400000000000000"
            + "00000000"
            + "0200000000000000"
            + "0200000000000000"
            + "0000803f"
            + "00000040"
            + "00004040"
            + "000080c0"
            + "0000"
            + "0800000000000000"
            + "7300000000000000",
        hex.substring(0, hex.length() - 8));
  }

  @Test
  void truncatedFlippedAndRandomBytesAreRefusedAndNothingElse() throws IOException {
    Path file = folder.resolve("fuzz");
    with(4, 3, optimizer -> Snapshot.write(file, optimizer));
    byte[] whole = Files.readAllBytes(file);
    for (int length = 0; length < whole.length; length++) {
      refuse(file, Arrays.copyOf(whole, length));
    }
    for (int bit = 0; bit < 8 * whole.length; bit++) {
      byte[] flipped = whole.clone();
      flipped[bit / 8] ^= (byte) (1 << bit % 8);
      refuse(file, flipped);
    }
    SharedRandom random = new SharedRandom(1, Stream.TEST, 0, 0);
    for (int k = 0; k < 2000; k++) {
      byte[] noise = new byte[(int) random.below(k, 300)];
      for (int b = 0; b < noise.length; b++) {
        noise[b] = (byte) random.word(1000L * k + b);
      }
      refuse(file, noise);
    }
  }

  private static void refuse(Path file, byte[] bytes) throws IOException {
    Files.write(file, bytes);
    assertThrows(SnapshotException.class, () -> Snapshot.read(file, reader -> {}));
  }

  @Test
  void bytesWithARightChecksumAreStillOnlyRefusedOrRead() throws IOException {
    Path file = folder.resolve("hostile");
    with(4, 3, optimizer -> Snapshot.write(file, optimizer));
    byte[] whole = Files.readAllBytes(file);
    SharedRandom random = new SharedRandom(2, Stream.TEST, 0, 0);
    int refused = 0;
    for (int k = 0; k < 5000; k++) {
      byte[] bytes = whole.clone();
      int changes = 1 + (int) random.below(10L * k, 4);
      for (int c = 0; c < changes; c++) {
        int at = 12 + (int) random.below(10L * k + 1 + c, bytes.length - 16);
        bytes[at] = (byte) random.word(10L * k + c);
      }
      CRC32C crc = new CRC32C();
      crc.update(bytes, 0, bytes.length - 4);
      ByteBuffer.wrap(bytes)
          .order(ByteOrder.LITTLE_ENDIAN)
          .putInt(bytes.length - 4, (int) crc.getValue());
      Files.write(file, bytes);
      refused += readAll(file) ? 0 : 1;
    }
    assertTrue(refused > 100, refused + " were refused");
  }

  /** Whether the bytes were taken for a snapshot; every part is asked for in every form. */
  private boolean readAll(Path file) {
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix like = DeviceMatrix.allocate(queue, 4, 3, DType.F32)) {
      Snapshot.read(
          file,
          reader -> {
            for (String name :
                List.of("algorithm", "nodes", "layout", "round", "counters", "meter", "state.x")) {
              for (Runnable part :
                  List.<Runnable>of(
                      () -> reader.text(name),
                      () -> reader.longs(name),
                      () -> reader.doubles(name),
                      () -> reader.bytes(name),
                      () -> reader.matrix(name, like))) {
                try {
                  part.run();
                } catch (IllegalArgumentException e) {
                  assertTrue(e.getMessage().contains(name), e.getMessage());
                }
              }
            }
          });
      return true;
    } catch (SnapshotException e) {
      return false;
    }
  }

  @Test
  void loadingTakesEffectOnlyWhenEverythingFits() {
    Path file = folder.resolve("run");
    Snapshot.write(
        file,
        writer -> {
          writer.text("algorithm", "dsgd, sgd, local steps 1");
          writer.text("nodes", "nodes 0 to 3 of 4");
          writer.text("layout", "x[3]");
          writer.longs("round", 5);
          writer.longs("counters", 0);
          writer.longs("meter", new long[2 + 2 * 4]);
        });
    with(
        4,
        3,
        optimizer -> {
          optimizer.step();
          double[] before = optimizer.parameters().toDoubles();
          assertThrows(IllegalArgumentException.class, () -> Snapshot.read(file, optimizer));
          assertEquals(1, optimizer.round());
          assertArrayEquals(before, optimizer.parameters().toDoubles());
          assertEquals(1, optimizer.network().meter().rounds());
        });
  }
}
