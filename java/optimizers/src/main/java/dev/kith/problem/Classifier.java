package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/** A problem that comes with a test set of labelled examples, the same one for every node. */
public interface Classifier {
  /**
   * Evaluates every row of {@code x} as a model of its own on the whole test set.
   *
   * @param x one model a row, any number of rows, d columns
   * @return test accuracy and test loss of every row
   */
  Evaluation evaluate(DeviceMatrix x);
}
