package dev.kith.bench;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** The loops of {@link PlainJava} with the incubating Vector API of Java. */
final class VectorApi extends PlainJava {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;

  @Override
  public String name() {
    return "vector";
  }

  @Override
  public String description() {
    return "jdk.incubator.vector, " + SPECIES.vectorBitSize() + " bits, " + super.description();
  }

  @Override
  public boolean supports(Workload w) {
    // Java's own normals have no loop of ours to vectorise.
    return w.operation() != Operation.NORMAL && super.supports(w);
  }

  @Override
  void scale(float a, float[] x, float[] y, int from, int to) {
    int c = from;
    for (; c <= to - SPECIES.length(); c += SPECIES.length()) {
      FloatVector.fromArray(SPECIES, x, c).mul(a).intoArray(y, c);
    }
    super.scale(a, x, y, c, to);
  }

  @Override
  void accumulate(float a, float[] x, float[] y, int from, int to) {
    FloatVector factor = FloatVector.broadcast(SPECIES, a);
    int c = from;
    for (; c <= to - SPECIES.length(); c += SPECIES.length()) {
      FloatVector.fromArray(SPECIES, x, c)
          .fma(factor, FloatVector.fromArray(SPECIES, y, c))
          .intoArray(y, c);
    }
    super.accumulate(a, x, y, c, to);
  }

  @Override
  void three(
      float a, float[] x, float b, float[] u, float c, float[] v, float[] y, int from, int to) {
    FloatVector second = FloatVector.broadcast(SPECIES, b);
    FloatVector third = FloatVector.broadcast(SPECIES, c);
    int i = from;
    for (; i <= to - SPECIES.length(); i += SPECIES.length()) {
      FloatVector sum = FloatVector.fromArray(SPECIES, x, i).mul(a);
      sum = FloatVector.fromArray(SPECIES, u, i).fma(second, sum);
      FloatVector.fromArray(SPECIES, v, i).fma(third, sum).intoArray(y, i);
    }
    super.three(a, x, b, u, c, v, y, i, to);
  }

  @Override
  void step(float[] x, float[] g, int from, float[] inner, int count) {
    FloatVector factor = FloatVector.broadcast(SPECIES, -Workload.STEP_SIZE);
    int c = 0;
    for (; c <= count - SPECIES.length(); c += SPECIES.length()) {
      FloatVector.fromArray(SPECIES, g, from + c)
          .fma(factor, FloatVector.fromArray(SPECIES, x, from + c))
          .intoArray(inner, c);
    }
    for (; c < count; c++) {
      inner[c] = x[from + c] - Workload.STEP_SIZE * g[from + c];
    }
  }

  @Override
  double squares(float[] x, int from, int to) {
    FloatVector even = FloatVector.zero(SPECIES);
    FloatVector odd = FloatVector.zero(SPECIES);
    int c = from;
    for (; c <= to - 2 * SPECIES.length(); c += 2 * SPECIES.length()) {
      FloatVector first = FloatVector.fromArray(SPECIES, x, c);
      FloatVector second = FloatVector.fromArray(SPECIES, x, c + SPECIES.length());
      even = first.fma(first, even);
      odd = second.fma(second, odd);
    }
    return even.add(odd).reduceLanes(VectorOperators.ADD) + super.squares(x, c, to);
  }

  @Override
  void adamW(float[] x, float[] g, float[] m, float[] v, float a, float q, int from, int to) {
    float keep = 1 - Workload.STEP_SIZE * Workload.WEIGHT_DECAY;
    int c = from;
    for (; c <= to - SPECIES.length(); c += SPECIES.length()) {
      FloatVector gradient = FloatVector.fromArray(SPECIES, g, c);
      FloatVector first =
          FloatVector.fromArray(SPECIES, m, c)
              .mul(Workload.BETA1)
              .add(gradient.mul(1 - Workload.BETA1));
      FloatVector second =
          FloatVector.fromArray(SPECIES, v, c)
              .mul(Workload.BETA2)
              .add(gradient.mul(gradient).mul(1 - Workload.BETA2));
      first.intoArray(m, c);
      second.intoArray(v, c);
      FloatVector.fromArray(SPECIES, x, c)
          .mul(keep)
          .sub(first.mul(a).div(second.sqrt().mul(q).add(Workload.EPSILON)))
          .intoArray(x, c);
    }
    super.adamW(x, g, m, v, a, q, c, to);
  }
}
