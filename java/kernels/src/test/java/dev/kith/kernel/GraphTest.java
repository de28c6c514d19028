package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Graph;
import dev.kith.device.Queue;
import dev.kith.random.Stream;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Recorded work does what the calls would have done, again and again; the CPU says it has none. */
class GraphTest {
  private static final String NO_GRAPHS = "the CPU has no graphs, and says so";

  private Queue queue;
  private DeviceMatrix x;
  private DeviceMatrix g;

  @BeforeEach
  void open() {
    queue = Rig.chosen().newQueue();
    x = DeviceMatrix.of(queue, new float[][] {{1, 2, 3}, {4, 5, 6}});
    g = DeviceMatrix.of(queue, new float[][] {{1, 1, 1}, {2, 2, 2}});
  }

  @AfterEach
  void close() {
    g.close();
    x.close();
    queue.close();
  }

  private void step() {
    Mixing.combine(Expression.outer(x).plusOuter(-0.5, g), x);
  }

  @Test
  void theCpuHasNone() {
    try (Queue plain = Device.cpu().newQueue();
        DeviceMatrix y = DeviceMatrix.row(plain, 1f, 2f, 3f)) {
      Runnable halve = () -> Mixing.combine(Expression.outer(0.5, y), y);
      String text =
          assertThrows(UnsupportedOperationException.class, () -> plain.capture(halve))
              .getMessage();
      assertTrue(text.startsWith("capture: "), text);
      assertThrows(UnsupportedOperationException.class, plain::stream);
      assertThrows(UnsupportedOperationException.class, () -> Queue.wrap(Device.cpu(), 64));
      assertArrayEquals(new float[] {1, 2, 3}, y.toFloats());
      halve.run();
      assertArrayEquals(new float[] {0.5f, 1, 1.5f}, y.toFloats());
    }
  }

  @Test
  void recordedWorkRunsAtEachLaunchAndNotBefore() {
    assumeFalse(Rig.onCpu(), NO_GRAPHS);
    try (Graph graph =
        queue.capture(
            () -> {
              step();
              g.fill(1);
            })) {
      assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, x.toFloats());
      graph.launch();
      assertArrayEquals(new float[] {0.5f, 1.5f, 2.5f, 3, 4, 5}, x.toFloats());
      graph.launch();
      graph.launch();
      assertArrayEquals(new float[] {-0.5f, 0.5f, 1.5f, 2, 3, 4}, x.toFloats());
      step();
      assertArrayEquals(new float[] {-1, 0, 1, 1.5f, 2.5f, 3.5f}, x.toFloats());
    }
  }

  @Test
  void aGraphKeepsTheMemoryOfWhatWasClosed() {
    assumeFalse(Rig.onCpu(), NO_GRAPHS);
    DeviceMatrix source = DeviceMatrix.row(queue, 7f, 8f, 9f);
    DeviceMatrix target = source.like();
    try (Graph graph = queue.capture(() -> target.copyFrom(source))) {
      source.close();
      try (DeviceMatrix other = DeviceMatrix.row(queue, -1f, -1f, -1f)) {
        graph.launch();
        assertArrayEquals(new float[] {7, 8, 9}, target.toFloats());
        assertEquals(-1, other.get(0, 0));
      }
    }
    target.close();
  }

  @Test
  void anyQueueOfTheDeviceLaunchesIt() {
    assumeFalse(Rig.onCpu(), NO_GRAPHS);
    try (Graph graph = queue.capture(this::step);
        Queue other = Rig.chosen().newQueue()) {
      queue.sync();
      graph.launch(other);
      other.sync();
      assertArrayEquals(new float[] {0.5f, 1.5f, 2.5f, 3, 4, 5}, x.toFloats());
    }
  }

  @Test
  void whatWaitsCannotBeRecordedAndTheQueueGoesOn() {
    assumeFalse(Rig.onCpu(), NO_GRAPHS);
    for (Runnable work :
        new Runnable[] {
          queue::sync,
          () -> g.toFloats(),
          () -> g.upload(new float[6]),
          () -> DeviceMatrix.allocate(queue, 1, 1, DType.F32).close(),
          () -> queue.record().close(),
          () -> queue.capture(this::step)
        }) {
      assertThrows(
          RuntimeException.class,
          () ->
              queue.capture(
                  () -> {
                    step();
                    work.run();
                  }));
    }
    assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, x.toFloats());
    step();
    assertArrayEquals(new float[] {0.5f, 1.5f, 2.5f, 3, 4, 5}, x.toFloats());
  }

  @Test
  void aClosedGraphCannotBeLaunched() {
    assumeFalse(Rig.onCpu(), NO_GRAPHS);
    Graph graph = queue.capture(this::step);
    graph.launch();
    graph.close();
    graph.close();
    assertThrows(IllegalStateException.class, graph::launch);
    // The launch that was queued still runs.
    assertArrayEquals(new float[] {0.5f, 1.5f, 2.5f, 3, 4, 5}, x.toFloats());
  }

  @Test
  void aStreamOfTheQueueIsAQueueOfTheSameOrder() {
    assumeFalse(Rig.onCpu(), NO_GRAPHS);
    try (Queue same = Queue.wrap(Rig.chosen(), queue.stream())) {
      assertEquals(queue.stream(), same.stream());
      step();
      try (DeviceMatrix view = x.on(same)) {
        view.fill(3);
        step();
        assertArrayEquals(new float[] {2.5f, 2.5f, 2.5f, 2, 2, 2}, view.toFloats());
      }
    }
    // Its owner still has the stream.
    step();
    assertArrayEquals(new float[] {2, 2, 2, 1, 1, 1}, x.toFloats());
  }

  /** Public numbers are the same at each launch; noise of secrets would be given twice. */
  @Test
  void publicNumbersAreRepeatedAndSecretOnesAreNotRecorded() {
    assumeFalse(Rig.onCpu(), NO_GRAPHS);
    NoiseField.Distribution d = NoiseField.Distribution.NORMAL;
    NoiseField field = NoiseField.shared(d, Stream.PERTURBATION, 1, 2, 0, 2);
    Noise.draw(field, 1, g);
    float[] drawn = g.toFloats();
    try (Graph graph = queue.capture(() -> Noise.draw(field, 1, x));
        Secret secret = Secret.random()) {
      for (int launch = 0; launch < 2; launch++) {
        x.fill(0);
        graph.launch();
        assertArrayEquals(drawn, x.toFloats());
      }
      NoiseField hidden =
          NoiseField.secret(
              d,
              Stream.NODE_NOISE,
              List.of(
                  new NoiseField.SecretRow(secret, 0, 0), new NoiseField.SecretRow(secret, 0, 1)));
      String text =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> queue.capture(() -> Noise.draw(hidden, 1, x)))
              .getMessage();
      assertTrue(text.contains("noise of secrets"), text);
      NoiseField signs =
          NoiseField.secret(
              NoiseField.Distribution.RADEMACHER,
              Stream.PERTURBATION,
              List.of(
                  new NoiseField.SecretRow(secret, 0, 0), new NoiseField.SecretRow(secret, 0, 1)));
      String probe =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> queue.capture(() -> Curvature.hutchinson(signs, 0.5, g, x)))
              .getMessage();
      assertTrue(probe.contains("a probe of secrets"), probe);
    }
  }
}
