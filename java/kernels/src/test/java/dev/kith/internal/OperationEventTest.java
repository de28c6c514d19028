package dev.kith.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Reduction;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OperationEventTest {
  private static final String NAME = "dev.kith.Operation";
  @TempDir Path folder;

  private List<RecordedEvent> record(boolean enabled) throws IOException {
    Path file = folder.resolve(enabled + ".jfr");
    try (Recording recording = new Recording();
        Queue queue = Device.cpu().newQueue();
        DeviceMatrix a = DeviceMatrix.row(queue, 1f, 2f, 3f);
        DeviceMatrix b = DeviceMatrix.allocate(queue, 1, 1, dev.kith.device.DType.F64)) {
      if (enabled) {
        recording.enable(NAME);
      }
      recording.start();
      a.fill(2);
      Reduction.rows(Reduction.Kind.SUM, a, b);
      recording.stop();
      recording.dump(file);
    }
    return RecordingFile.readAllEvents(file).stream()
        .filter(event -> event.getEventType().getName().equals(NAME))
        .toList();
  }

  @Test
  void operationsAreRecordedWhenAskedFor() throws IOException {
    List<RecordedEvent> events = record(true);
    assertEquals(2, events.size());
    assertEquals("fill", events.get(0).getString("name"));
    assertEquals("cpu", events.get(0).getString("device"));
    assertEquals(12, events.get(0).getLong("bytes"));
    assertEquals("reduceRows", events.get(1).getString("name"));
    assertEquals(12 + 8, events.get(1).getLong("bytes"));
    assertTrue(events.get(1).getLong("nanos") > 0);
  }

  @Test
  void theyAreOffByDefault() throws IOException {
    assertEquals(List.of(), record(false));
  }
}
