package dev.kith.lab.experiment;

import dev.kith.device.Queue;
import dev.kith.lab.data.DataSets;
import dev.kith.problem.LayeredClassifier;
import dev.kith.problem.MultilayerPerceptron;
import dev.kith.problem.SoftmaxRegression;
import java.util.Arrays;
import java.util.stream.Collectors;

/** A model by name: {@code softmax}, {@code mlp:128}, {@code mlp:256x128}. */
final class ModelChoice {
  private final int[] hidden;

  private ModelChoice(int[] hidden) {
    this.hidden = hidden;
  }

  static ModelChoice parse(String text) {
    if (text.equals("softmax")) {
      return new ModelChoice(new int[0]);
    }
    if (text.startsWith("mlp:")) {
      try {
        int[] hidden =
            Arrays.stream(text.substring(4).split("x", -1)).mapToInt(Integer::parseInt).toArray();
        if (Arrays.stream(hidden).allMatch(width -> width >= 1 && width <= 1 << 20)) {
          return new ModelChoice(hidden);
        }
      } catch (NumberFormatException e) {
        throw unknown(text, e);
      }
    }
    throw unknown(text, null);
  }

  private static UsageException unknown(String text, Throwable cause) {
    return new UsageException(
        "--model %s is not known; the known ones are softmax and mlp:WIDTH[xWIDTH...], such as mlp:128 or mlp:256x128"
            .formatted(text),
        cause);
  }

  LayeredClassifier problem(Queue queue, DataSets data, int[][] parts, int batch, long seed) {
    return hidden.length == 0
        ? SoftmaxRegression.builder(queue, data.train(), parts)
            .test(data.test())
            .batch(batch)
            .seed(seed)
            .build()
        : MultilayerPerceptron.builder(queue, data.train(), parts, hidden)
            .test(data.test())
            .batch(batch)
            .seed(seed)
            .build();
  }

  String describe() {
    return hidden.length == 0
        ? "softmax regression"
        : "a perceptron with %s hidden units"
            .formatted(
                Arrays.stream(hidden)
                    .mapToObj(Integer::toString)
                    .collect(Collectors.joining(" and ")));
  }
}
