package dev.kith.lab.experiment;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * What was measured after a number of rounds. Nothing in it depends on the clock: two runs with the
 * same settings measure the same bits.
 *
 * @param round rounds done
 * @param messages sent so far by all nodes
 * @param bytes sent so far by all nodes
 * @param trainLoss mean over the nodes of the loss of the own model on the own training data
 * @param meanModelTrainLoss loss of the mean model on the training data of all nodes
 * @param testAccuracy mean over the local models of the accuracy on the test set, in [0, 1]
 * @param worstAccuracy the lowest of them
 * @param meanModelAccuracy accuracy of the mean model on the test set
 * @param testLoss mean over the local models of the loss on the test set
 * @param meanModelTestLoss loss of the mean model on the test set
 * @param consensusDistance (1/n) sum_i |x_i - mean|^2
 * @param aliveNodes nodes that still take part; means are over those
 * @param compressionRatio bytes of a row in f32 divided by those of the payload of its message; 1
 *     for algorithms that send rows as they are
 * @param residualNorm sqrt((1/n) sum_i |r_i|^2) of what messages owe, {@link
 *     dev.kith.optimizer.Compression}; 0 where they owe nothing
 * @param sharpness the largest eigenvalue of the Hessian of the mean training loss at the mean
 *     model; NaN, and empty in metrics.csv, where it was not asked for
 */
public record Measurement(
    long round,
    long messages,
    long bytes,
    double trainLoss,
    double meanModelTrainLoss,
    double testAccuracy,
    double worstAccuracy,
    double meanModelAccuracy,
    double testLoss,
    double meanModelTestLoss,
    double consensusDistance,
    int aliveNodes,
    double compressionRatio,
    double residualNorm,
    double sharpness) {

  /** The first line of metrics.csv. */
  static final String HEADER =
      "round,messages,bytes,train_loss,mean_model_train_loss,test_accuracy,worst_accuracy,mean_model_accuracy,test_loss,mean_model_test_loss,consensus_distance,alive_nodes,compression_ratio,residual_norm,sharpness";

  private static final int COLUMNS = 15;

  /** A line of metrics.csv; numbers are written so that they are read back to the same bits. */
  String line() {
    return Arrays.stream(values()).mapToObj(Measurement::text).collect(Collectors.joining(","));
  }

  private static String text(double value) {
    if (Double.isNaN(value)) {
      return "";
    }
    return value == Math.rint(value) && Math.abs(value) < 1L << 53
        ? Long.toString((long) value)
        : Double.toString(value);
  }

  private double[] values() {
    return new double[] {
      round,
      messages,
      bytes,
      trainLoss,
      meanModelTrainLoss,
      testAccuracy,
      worstAccuracy,
      meanModelAccuracy,
      testLoss,
      meanModelTestLoss,
      consensusDistance,
      aliveNodes,
      compressionRatio,
      residualNorm,
      sharpness
    };
  }

  /** All rows one after the other, for a snapshot; whole numbers are exact up to 2^53. */
  static double[] pack(List<Measurement> rows) {
    double[] packed = new double[rows.size() * COLUMNS];
    for (int i = 0; i < rows.size(); i++) {
      System.arraycopy(rows.get(i).values(), 0, packed, i * COLUMNS, COLUMNS);
    }
    return packed;
  }

  static List<Measurement> unpack(double[] packed) {
    if (packed.length % COLUMNS != 0) {
      throw new IllegalArgumentException(
          "the snapshot holds %d measured numbers, not a multiple of %d: resume with the program that wrote it"
              .formatted(packed.length, COLUMNS));
    }
    List<Measurement> rows = new ArrayList<>();
    for (int i = 0; i < packed.length; i += COLUMNS) {
      rows.add(
          new Measurement(
              (long) packed[i],
              (long) packed[i + 1],
              (long) packed[i + 2],
              packed[i + 3],
              packed[i + 4],
              packed[i + 5],
              packed[i + 6],
              packed[i + 7],
              packed[i + 8],
              packed[i + 9],
              packed[i + 10],
              (int) packed[i + 11],
              packed[i + 12],
              packed[i + 13],
              packed[i + 14]));
    }
    return rows;
  }
}
