package dev.kith.optimizer;

import dev.kith.compress.Compressor;
import dev.kith.compress.Constants;
import dev.kith.compress.PerTensor;
import dev.kith.compress.PowerSgd;
import dev.kith.compress.SampledTopK;
import dev.kith.compress.Threshold;
import dev.kith.device.Layout;

/** What an algorithm needs of its compressor. */
final class Promise {
  private Promise() {}

  /**
   * Refuses a compressor that is not nearer to x than 0 is, in the mean.
   *
   * @param layout of the rows
   */
  static void requireContractive(String algorithm, Compressor compressor, Layout layout) {
    Constants constants = compressor.constants(layout);
    if (layout.size() > 0 && !(constants.worstError() < 1)) {
      throw new IllegalArgumentException(
          algorithm
              + " needs a compressor that loses less than the row, and "
              + compressor.name()
              + " promises for "
              + layout.size()
              + " columns "
              + (constants.kind() == Constants.Kind.UNBIASED
                  ? "only an omega of " + constants.value()
                  : "nothing")
              + ": take a contractive one, such as top-k");
    }
  }

  /**
   * Refuses a compressor whose mean is not x.
   *
   * @param layout of the rows
   */
  static void requireUnbiased(String algorithm, Compressor compressor, Layout layout) {
    if (compressor.constants(layout).kind() != Constants.Kind.UNBIASED) {
      throw new IllegalArgumentException(
          algorithm
              + " needs an unbiased compressor, and "
              + compressor.name()
              + " is not: take one that is, such as random-k");
    }
  }

  /**
   * Refuses a compressor that is neither contractive nor, scaled by alpha, as good as one.
   *
   * @param layout of the rows
   */
  static void requireContractiveOrScaled(
      String algorithm, Compressor compressor, Layout layout, double alpha) {
    Constants constants = compressor.constants(layout);
    if (constants.kind() != Constants.Kind.UNBIASED || alpha * (1 + constants.value()) > 1) {
      requireContractive(algorithm, compressor, layout);
    }
  }

  /**
   * Refuses a compressor that error feedback is not known to repair: contractive ones, thresholds
   * given or sampled (what is larger is sent) and PowerSGD (whose error never exceeds the row)
   * pass.
   *
   * @param layout of the rows
   */
  static void requireRepairable(String algorithm, Compressor compressor, Layout layout) {
    Compressor inner = compressor instanceof PerTensor tensors ? tensors.each() : compressor;
    if (!(inner instanceof PowerSgd
        || inner instanceof Threshold
        || inner instanceof SampledTopK)) {
      requireContractive(algorithm, compressor, layout);
    }
  }

  /**
   * delta of a compressor.
   *
   * @param setting what would follow from it
   * @throws IllegalArgumentException when it promises none
   */
  static double delta(String setting, Compressor compressor, Layout layout) {
    Constants constants = compressor.constants(layout);
    if (constants.kind() == Constants.Kind.NONE) {
      throw new IllegalArgumentException(
          compressor.name() + " promises no delta for " + setting + ": give one yourself");
    }
    return 1 - constants.worstError();
  }
}
