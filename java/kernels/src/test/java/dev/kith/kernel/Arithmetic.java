package dev.kith.kernel;

import dev.kith.device.DType;

/**
 * The arithmetic of a compute type. Values travel as doubles that the type can hold; every
 * operation rounds once, as kith.h demands.
 */
enum Arithmetic {
  F32 {
    @Override
    double round(double v) {
      return (float) v;
    }

    @Override
    double add(double a, double b) {
      return (float) a + (float) b;
    }

    @Override
    double subtract(double a, double b) {
      return (float) a - (float) b;
    }

    @Override
    double multiply(double a, double b) {
      return (float) a * (float) b;
    }

    @Override
    double divide(double a, double b) {
      return (float) a / (float) b;
    }

    @Override
    double fma(double a, double b, double c) {
      return Math.fma((float) a, (float) b, (float) c);
    }

    @Override
    double sqrt(double a) {
      // The root of a float, rounded to double and then to float, is correctly rounded (2 * 24 + 2
      // <= 53).
      return (float) Math.sqrt(a);
    }
  },
  F64 {
    @Override
    double round(double v) {
      return v;
    }

    @Override
    double add(double a, double b) {
      return a + b;
    }

    @Override
    double subtract(double a, double b) {
      return a - b;
    }

    @Override
    double multiply(double a, double b) {
      return a * b;
    }

    @Override
    double divide(double a, double b) {
      return a / b;
    }

    @Override
    double fma(double a, double b, double c) {
      return Math.fma(a, b, c);
    }

    @Override
    double sqrt(double a) {
      return Math.sqrt(a);
    }
  };

  /** The compute type of a dtype. */
  static Arithmetic of(DType t) {
    return t == DType.F64 ? F64 : F32;
  }

  abstract double round(double v);

  abstract double add(double a, double b);

  abstract double subtract(double a, double b);

  abstract double multiply(double a, double b);

  abstract double divide(double a, double b);

  abstract double fma(double a, double b, double c);

  abstract double sqrt(double a);

  /** The least number above 0. */
  double least() {
    return this == F32 ? Float.MIN_VALUE : Double.MIN_VALUE;
  }

  /** One half of the distance from 1 to the next number: the relative error of one rounding. */
  double unit() {
    return this == F32 ? 0x1p-24 : 0x1p-53;
  }
}
