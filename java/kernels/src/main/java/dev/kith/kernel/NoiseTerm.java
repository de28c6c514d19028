package dev.kith.kernel;

import java.util.Objects;
import java.util.Optional;

/**
 * Noise that an {@link Expression} adds to its inner sums: row j receives the sum over k of scale
 * f(j, k) z(k), F the factor, or scale z(j) without one. It is made where it is added and stored
 * nowhere. Immutable and thread-safe.
 */
public final class NoiseTerm {
  private final Optional<MixingWeights> factor;
  private final NoiseField field;
  private final double scale;

  NoiseTerm(Optional<MixingWeights> factor, NoiseField field, double scale) {
    this.factor = factor;
    this.field = Objects.requireNonNull(field, "field");
    this.scale = scale;
    if (field.distribution() == NoiseField.Distribution.WORDS) {
      throw new IllegalArgumentException("noise cannot be of WORDS, which are bits: draw numbers");
    }
    if (!Double.isFinite(scale)) {
      throw new IllegalArgumentException(
          "the scale of noise is " + scale + " and must be a finite number");
    }
    if (factor.isPresent() && factor.get().cols() != field.count()) {
      throw new IllegalArgumentException(
          "the factor of noise has %d columns and the field %d rows; let the numbers agree"
              .formatted(factor.get().cols(), field.count()));
    }
    if (factor.isPresent() && factor.get().namesItsRows()) {
      throw new IllegalArgumentException(
          "the factor of noise has output rows: give a row for each row of the inner terms");
    }
  }

  /**
   * F.
   *
   * @return a row for each row of the inner terms and a column for each row of the field; empty for
   *     the identity
   */
  public Optional<MixingWeights> factor() {
    return factor;
  }

  /**
   * The rows z.
   *
   * @return the field
   */
  public NoiseField field() {
    return field;
  }

  /**
   * What multiplies all of the noise.
   *
   * @return a finite number
   */
  public double scale() {
    return scale;
  }

  /** The inner rows that this fits. */
  long rows() {
    return factor.map(MixingWeights::rows).orElse((long) field.count());
  }
}
