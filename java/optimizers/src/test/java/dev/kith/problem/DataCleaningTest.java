package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.Device;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import org.junit.jupiter.api.Test;

class DataCleaningTest {
  private static ClassificationData data(int samples, int features, int classes, int stream) {
    SharedRandom random = new SharedRandom(6, Stream.TEST, stream, 0);
    float[] values = new float[samples * features];
    int[] labels = new int[samples];
    for (int k = 0; k < values.length; k++) {
      values[k] = (float) random.normal(k);
    }
    for (int k = 0; k < samples; k++) {
      labels[k] = (int) random.below(values.length + k, classes);
    }
    return ClassificationData.of("test", features, classes, values, labels);
  }

  @Test
  void derivativesAreThoseOfTheValues() {
    try (Queue queue = Device.cpu().newQueue();
        DataCleaning problem = new DataCleaning(data(7, 3, 4, 0), data(5, 3, 4, 1), 2)) {
      BilevelDerivatives.check(queue, problem, 0.8, 1e-7);
    }
  }

  @Test
  void accuracyCountsWhatTheLargestScoreGetsRight() {
    ClassificationData three =
        ClassificationData.of("t", 1, 2, new float[] {1, -1, 2}, new int[] {0, 1, 1});
    try (DataCleaning problem = new DataCleaning(three, three, 1)) {
      // Class 0 where the feature is positive: weights (1, 0), biases 0.
      assertEquals(2.0 / 3, problem.accuracy(new double[] {9, 9, 9, 1, 0, 0, 0}, three), 1e-15);
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    ClassificationData three = data(3, 2, 2, 0);
    var kind =
        assertThrows(
            IllegalArgumentException.class, () -> new DataCleaning(three, data(3, 3, 2, 0), 1));
    assertTrue(kind.getMessage().contains("3 and 2"), kind.getMessage());
    var nodes =
        assertThrows(IllegalArgumentException.class, () -> new DataCleaning(three, three, 4));
    assertTrue(nodes.getMessage().contains("4 nodes"), nodes.getMessage());
  }
}
