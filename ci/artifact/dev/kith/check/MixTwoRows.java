package dev.kith.check;

import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import java.util.Arrays;

/** The smallest user of the jar: averages two rows and compares with the answer. Run by ci/check-artifact. */
public final class MixTwoRows {
  private MixTwoRows() {}

  public static void main(String[] args) {
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix x = DeviceMatrix.of(queue, new float[][] {{1, 2, 3}, {3, 6, 9}});
        DeviceMatrix y = x.like();
        MixingWeights average = MixingWeights.dense(queue, 2, 2, new double[] {0.5, 0.5, 0.5, 0.5})) {
      Mixing.mix(average, Expression.inner(x), y);
      float[] mixed = y.toFloats();
      if (!Arrays.equals(mixed, new float[] {2, 4, 6, 2, 4, 6})) {
        throw new AssertionError("the mean of the rows came out as " + Arrays.toString(mixed));
      }
      System.out.println(queue.device().description() + ", tier " + queue.device().tier() + ": mixed two rows");
    }
  }
}
