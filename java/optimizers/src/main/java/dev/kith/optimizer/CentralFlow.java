package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.solver.TopEigenpairs;
import java.util.Arrays;
import java.util.Optional;

/**
 * Central flow: where gradient descent or RMSProp goes on average while it oscillates at the edge
 * of stability, integrated in f64 beside the optimizer that it explains. With F the mean of the
 * objectives, H its Hessian and P = I (gradient descent) or diag(sqrt(nu)) (RMSProp),
 *
 * <pre>
 * dw/dt  = -eta P^-1 [grad F + 1/2 grad &lt;H, Sigma&gt;]
 * dnu/dt = (1 - beta2) / beta2 (grad F^2 + diag(H Sigma H) - nu)          RMSProp alone
 * </pre>
 *
 * <p>Sigma, positive semidefinite, is the covariance of the oscillation: the one for which no
 * eigenvalue of P^-1/2 H P^-1/2 (the sharpness) passes 2 / eta, and which is 0 but on eigenvectors
 * at 2 / eta, those that would pass it otherwise. With m eigenvectors u_a, v_a = P^-1/2 u_a and
 * Sigma = V X V^T that is a complementarity problem of m x m matrices for a step of length dt,
 *
 * <pre>
 * X &gt;= 0,   G(X) = (2 / eta I - Lambda) / dt - d/dt (V^T H V) &gt;= 0,   &lt;X, G(X)&gt; = 0
 * </pre>
 *
 * <p>affine in X, and solved by projected steps. One eigenvector gives sigma^2 = max(0, 2 &lt;-grad
 * F, grad S&gt; / |grad S|^2) at the edge. Third derivatives are central differences of Hessian
 * products. Time counts steps of the optimizer. The mean of the loss along the oscillating run is
 * about F(w) + 1/2 &lt;H, Sigma&gt;, for gradient descent F + tr Sigma / eta.
 *
 * <p>For full-batch gradients: {@link Problem#gradient} is called with round 0 always. A
 * diagnostic: nothing is counted by the meter. Used by one thread at a time.
 *
 * <p>Source: Cohen, Damian, Talwalkar, Kolter, Lee, "Understanding Optimization in Deep Learning
 * with Central Flows", 2025; the flow of RMSProp is reconstructed.
 */
public final class CentralFlow implements AutoCloseable {
  private static final int MAX_ITERATIONS = 20_000;

  private final double eta;
  private final int substeps;
  private final int directions;
  private final double beta2;
  private final MeanObjective objective;
  private final double[] w;
  private final Optional<double[]> nu;
  private double[] sharpness = new double[0];
  private double variance;
  private double excess;
  private long steps;

  private CentralFlow(Builder builder) {
    this.eta = builder.stepSize;
    this.substeps = builder.substeps;
    this.beta2 = builder.decay;
    this.w = builder.initial.toDoubles();
    this.objective =
        new MeanObjective("a central flow", builder.problem, builder.network, builder.initial);
    if (w.length != objective.size()) {
      objective.close();
      throw new IllegalArgumentException(
          "the flow starts from " + w.length + " numbers: give one row of " + objective.size());
    }
    this.directions = Math.min(builder.directions, w.length);
    this.nu =
        builder.rmsProp
            ? Optional.of(
                builder.second.map(DeviceMatrix::toDoubles).orElseGet(this::squaredGradient))
            : Optional.empty();
  }

  private double[] squaredGradient() {
    double[] g = objective.gradient(w, 0);
    return Arrays.stream(g).map(v -> v * v).toArray();
  }

  /**
   * @param problem the local objectives, with full-batch gradients; {@link HessianVector}
   * @param network the same nodes; its weights are not used
   * @param initial the start, one row; F64 is advised, for third derivatives are differences;
   *     copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  /**
   * Goes on by one step of the optimizer.
   *
   * @throws ArithmeticException when something is not finite, or no Sigma keeps the sharpness down:
   *     then the optimizer diverges too
   */
  public void step() {
    for (int k = 0; k < substeps; k++) {
      advance(1.0 / substeps);
    }
    steps++;
  }

  private void advance(double dt) {
    int d = w.length;
    double[] g = objective.gradient(w, 0);
    double[] root = new double[d];
    Arrays.setAll(root, i -> nu.isEmpty() ? 1 : 1 / Math.sqrt(Math.sqrt(nu.get()[i])));
    TopEigenpairs top =
        TopEigenpairs.of(
            d,
            (x, y) -> {
              double[] scaled = times(root, x);
              double[] product = objective.hessianVector(w, scaled);
              System.arraycopy(times(root, product), 0, y, 0, d);
            },
            directions,
            1e-10,
            Math.min(d, 120),
            1);
    int m = top.values().length;
    double[][] v = new double[m][];
    double[][] hv = new double[m][];
    for (int a = 0; a < m; a++) {
      v[a] = times(root, top.vectors()[a]);
      double value = top.values()[a];
      double[] u = top.vectors()[a];
      hv[a] = new double[d];
      for (int i = 0; i < d; i++) {
        hv[a][i] = value * u[i] / root[i];
      }
    }
    double[][][] third = thirdDerivatives(v);
    Rates rates = new Rates(g, root, v, hv, third);
    double[] still = rates.of(new double[m * m]);
    double[] gap = new double[m * m];
    for (int a = 0; a < m; a++) {
      for (int b = 0; b < m; b++) {
        gap[a * m + b] = (a == b ? (2 / eta - top.values()[a]) / dt : 0) - still[a * m + b];
      }
    }
    double[] x = Complementarity.solve(m, gap, rates.slope(still), MAX_ITERATIONS);
    double[] dw = rates.velocity(x);
    for (int i = 0; i < d; i++) {
      w[i] += dt * dw[i];
    }
    if (nu.isPresent()) {
      double[] dnu = rates.secondRate(x);
      for (int i = 0; i < d; i++) {
        nu.get()[i] += dt * dnu[i];
      }
    }
    sharpness = top.values();
    variance = 0;
    excess = 0;
    for (int a = 0; a < m; a++) {
      for (int b = 0; b < m; b++) {
        variance += x[a * m + b] * dot(v[a], v[b]);
      }
      excess += x[a * m + a] * top.values()[a] / 2;
    }
  }

  /** The third derivative of F along v_a and v_b, by a central difference of H v_b along v_a. */
  private double[][][] thirdDerivatives(double[][] v) {
    int m = v.length;
    double[][][] third = new double[m][m][];
    double reach = Math.cbrt(objective.spacing()) * (1 + Math.sqrt(dot(w, w)));
    for (int a = 0; a < m; a++) {
      double h = reach / Math.sqrt(dot(v[a], v[a]));
      double[] up = w.clone();
      double[] down = w.clone();
      for (int i = 0; i < w.length; i++) {
        up[i] += h * v[a][i];
        down[i] -= h * v[a][i];
      }
      for (int b = a; b < m; b++) {
        double[] above = objective.hessianVector(up, v[b]);
        double[] below = objective.hessianVector(down, v[b]);
        third[a][b] = new double[w.length];
        for (int i = 0; i < w.length; i++) {
          third[a][b][i] = (above[i] - below[i]) / (2 * h);
        }
        third[b][a] = third[a][b];
      }
    }
    return third;
  }

  /** How w, nu and V^T H V change for a given X. */
  private final class Rates {
    private final double[] g;
    private final double[] root;
    private final double[][] v;
    private final double[][] hv;
    private final double[][][] third;

    Rates(double[] g, double[] root, double[][] v, double[][] hv, double[][][] third) {
      this.g = g;
      this.root = root;
      this.v = v;
      this.hv = hv;
      this.third = third;
    }

    double[] velocity(double[] x) {
      int m = v.length;
      double[] along = g.clone();
      for (int a = 0; a < m; a++) {
        for (int b = 0; b < m; b++) {
          for (int i = 0; i < along.length; i++) {
            along[i] += x[a * m + b] / 2 * third[a][b][i];
          }
        }
      }
      for (int i = 0; i < along.length; i++) {
        along[i] *= -eta * root[i] * root[i];
      }
      return along;
    }

    double[] secondRate(double[] x) {
      int m = v.length;
      double[] rate = new double[g.length];
      for (int i = 0; i < rate.length; i++) {
        double sum = g[i] * g[i] - nu.orElseThrow()[i];
        for (int a = 0; a < m; a++) {
          for (int b = 0; b < m; b++) {
            sum += x[a * m + b] * hv[a][i] * hv[b][i];
          }
        }
        rate[i] = (1 - beta2) / beta2 * sum;
      }
      return rate;
    }

    /** d/dt of V^T H V, m x m. */
    double[] of(double[] x) {
      int m = v.length;
      double[] dw = velocity(x);
      double[] rates = new double[m * m];
      double[] relative = new double[g.length];
      if (nu.isPresent()) {
        double[] dnu = secondRate(x);
        Arrays.setAll(relative, i -> dnu[i] / nu.get()[i]);
      }
      for (int a = 0; a < m; a++) {
        for (int b = 0; b < m; b++) {
          double rate = dot(third[a][b], dw);
          // P^-1/2 = nu^-1/4 shrinks as nu grows.
          for (int i = 0; i < g.length; i++) {
            rate -= relative[i] * (hv[a][i] * v[b][i] + hv[b][i] * v[a][i]) / 4;
          }
          rates[a * m + b] = rate;
        }
      }
      return rates;
    }

    /** The matrix that X is multiplied by in G: row-major, m^2 x m^2. */
    double[][] slope(double[] still) {
      int m = v.length;
      double[][] slope = new double[m * m][m * m];
      for (int k = 0; k < m * m; k++) {
        double[] unit = new double[m * m];
        // Symmetric units alone, so that no antisymmetric part is ever looked at.
        unit[k] += 0.5;
        unit[k % m * m + k / m] += 0.5;
        double[] rate = of(unit);
        for (int r = 0; r < m * m; r++) {
          slope[r][k] = still[r] - rate[r];
        }
      }
      return slope;
    }
  }

  private static double[] times(double[] a, double[] b) {
    double[] product = new double[a.length];
    Arrays.setAll(product, i -> a[i] * b[i]);
    return product;
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  /** w, d numbers. */
  public double[] parameters() {
    return w.clone();
  }

  /** nu of RMSProp, d numbers; empty for gradient descent. */
  public Optional<double[]> second() {
    return nu.map(double[]::clone);
  }

  /** The largest eigenvalues where the last step started, descending; empty before the first. */
  public double[] sharpness() {
    return sharpness.clone();
  }

  /** tr Sigma in the last step: the mean squared distance of the optimizer from the flow. */
  public double variance() {
    return variance;
  }

  /** 1/2 &lt;H, Sigma&gt; in the last step: how much the mean loss lies above that at the flow. */
  public double excessLoss() {
    return excess;
  }

  /** Steps of the optimizer so far. */
  public long steps() {
    return steps;
  }

  @Override
  public void close() {
    objective.close();
  }

  /** Settings of {@link CentralFlow}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private int substeps = 4;
    private int directions = 1;
    private boolean rmsProp;
    private double decay = 0.99;
    private Optional<DeviceMatrix> second = Optional.empty();

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** Euler steps for one step of the optimizer. Default: 4, the published discretisation. */
    public Builder substeps(int substeps) {
      if (substeps < 1) {
        throw new IllegalArgumentException(substeps + " substeps are too few: take at least 1");
      }
      this.substeps = substeps;
      return this;
    }

    /**
     * m, how many eigenvectors may be at the edge at a time, up to 10. Default: 1; take more when
     * the second of {@link CentralFlow#sharpness} reaches 2 / eta.
     */
    public Builder directions(int directions) {
      if (directions < 1 || directions > 10) {
        throw new IllegalArgumentException(directions + " directions at the edge: take 1 to 10");
      }
      this.directions = directions;
      return this;
    }

    /**
     * The flow of RMSProp instead of gradient descent's.
     *
     * @param beta2 decay of the squared gradients, above 0 and below 1
     */
    public Builder rmsProp(double beta2) {
      if (!(beta2 > 0 && beta2 < 1)) {
        throw new IllegalArgumentException(
            "a decay of " + beta2 + " does not lie between 0 and 1: give one that does");
      }
      this.rmsProp = true;
      this.decay = beta2;
      return this;
    }

    /** nu to start from, one positive row; copied. Default: the squared gradient at the start. */
    public Builder second(DeviceMatrix nu) {
      this.second = Optional.of(nu);
      return this;
    }

    /**
     * @throws IllegalArgumentException when the start does not fit, the step size is 0, or the
     *     problem is not {@link HessianVector}
     */
    public CentralFlow build() {
      if (!(stepSize > 0)) {
        throw new IllegalArgumentException(
            "a step size of " + stepSize + " moves nothing: give one above 0");
      }
      return new CentralFlow(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
