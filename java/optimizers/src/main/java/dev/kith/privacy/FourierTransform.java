package dev.kith.privacy;

/**
 * The discrete Fourier transform of 2^k complex numbers, radix 2 with tabulated twiddle factors
 * whose rounding is bounded: see {@link #relativeError}.
 */
final class FourierTransform {
  private final int size;
  private final double[] cosines;
  private final double[] sines;

  FourierTransform(int size) {
    this.size = size;
    this.cosines = new double[size / 2];
    this.sines = new double[size / 2];
    for (int k = 0; k < size / 2; k++) {
      double angle = -2 * Math.PI * k / size;
      cosines[k] = StrictMath.cos(angle);
      sines[k] = StrictMath.sin(angle);
    }
  }

  /**
   * A bound on the error of one transform: of every output relative to the 1-norm of the inputs,
   * since each input reaches it through log2(n) products and sums, and of the 2-norm of the outputs
   * relative to itself (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", theorem
   * 24.2). With u = 2^-53 a stage adds 4 u for a twiddle factor, whose angle is rounded, too, and
   * less than 6 u for product and sum.
   */
  double relativeError() {
    return 12 * 0x1p-53 * (Integer.numberOfTrailingZeros(size) + 1);
  }

  /** X_k = sum_j x_j e^(-2 pi i jk/n), in place. */
  void forward(double[] real, double[] imaginary) {
    for (int i = 1, j = 0; i < size; i++) {
      int bit = size >> 1;
      for (; (j & bit) != 0; bit >>= 1) {
        j ^= bit;
      }
      j ^= bit;
      if (i < j) {
        swap(real, i, j);
        swap(imaginary, i, j);
      }
    }
    for (int half = 1; half < size; half <<= 1) {
      int stride = size / (2 * half);
      for (int base = 0; base < size; base += 2 * half) {
        for (int k = 0; k < half; k++) {
          double c = cosines[k * stride];
          double s = sines[k * stride];
          int low = base + k;
          int high = low + half;
          double re = real[high] * c - imaginary[high] * s;
          double im = real[high] * s + imaginary[high] * c;
          real[high] = real[low] - re;
          imaginary[high] = imaginary[low] - im;
          real[low] += re;
          imaginary[low] += im;
        }
      }
    }
  }

  /** The inverse, in place: exchanging the parts before and after conjugates. */
  void inverse(double[] real, double[] imaginary) {
    forward(imaginary, real);
    for (int i = 0; i < size; i++) {
      real[i] /= size;
      imaginary[i] /= size;
    }
  }

  private static void swap(double[] a, int i, int j) {
    double kept = a[i];
    a[i] = a[j];
    a[j] = kept;
  }
}
