package dev.kith.kernel;

import dev.kith.device.DeviceMatrix;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * What surrounds a {@link StepRule}: weight decay, groups, clipping, a narrow copy of the
 * parameters, flags. Immutable and thread-safe; it names matrices and does not keep them open.
 */
public final class StepOptions {
  private final double weightDecay;
  private final boolean decoupled;
  private final Map<String, Group> groups;
  private final OptionalDouble clipNorm;
  private final OptionalDouble clipNormPerTensor;
  private final Optional<DeviceMatrix> copy;
  private final Optional<DeviceMatrix> flags;

  private StepOptions(Builder builder) {
    weightDecay = builder.weightDecay;
    decoupled = builder.decoupled;
    groups = Map.copyOf(builder.groups);
    clipNorm = builder.clipNorm;
    clipNormPerTensor = builder.clipNormPerTensor;
    copy = builder.copy;
    flags = builder.flags;
  }

  /**
   * What a group of the layout has of its own.
   *
   * @param stepScale multiplies the step size
   * @param weightDecay is added to the weight decay of all
   */
  public record Group(double stepScale, double weightDecay) {
    /** Checks. */
    public Group {
      StepParameters.finite("stepScale", stepScale);
      StepParameters.finite("weightDecay", weightDecay);
    }
  }

  /**
   * Nothing of all that.
   *
   * @return the options
   */
  public static StepOptions none() {
    return builder().build();
  }

  /**
   * Decoupled weight decay alone; with {@link StepRule.Adam} this is AdamW.
   *
   * @param weightDecay lambda in x &larr; (1 - eta lambda) x; 0.01 is usual
   * @return the options
   */
  public static StepOptions decoupledDecay(double weightDecay) {
    return builder().weightDecay(weightDecay).decoupled(true).build();
  }

  /**
   * Starts with nothing.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * The weight decay of all columns.
   *
   * @return lambda, 0 by default
   */
  public double weightDecay() {
    return weightDecay;
  }

  /**
   * The form of the weight decay.
   *
   * @return true for x &larr; (1 - eta lambda) x before the rule, false for g &larr; g + lambda x
   */
  public boolean decoupled() {
    return decoupled;
  }

  /**
   * What groups of the layout have of their own.
   *
   * @return an immutable map by name of the group
   */
  public Map<String, Group> groups() {
    return groups;
  }

  /**
   * The bound of the 2-norm of a row of the gradient.
   *
   * @return the bound, if there is one
   */
  public OptionalDouble clipNorm() {
    return clipNorm;
  }

  /**
   * The bound of the 2-norm of each tensor of a row of the gradient.
   *
   * @return the bound, if there is one
   */
  public OptionalDouble clipNormPerTensor() {
    return clipNormPerTensor;
  }

  /**
   * Where the parameters go in a narrow type.
   *
   * @return the matrix, if there is one
   */
  public Optional<DeviceMatrix> copy() {
    return copy;
  }

  /**
   * Where rows that are not finite are noted.
   *
   * @return the matrix, if there is one
   */
  public Optional<DeviceMatrix> flags() {
    return flags;
  }

  /** Collects options. Not thread-safe. */
  public static final class Builder {
    private double weightDecay;
    private boolean decoupled;
    private final Map<String, Group> groups = new LinkedHashMap<>();
    private OptionalDouble clipNorm = OptionalDouble.empty();
    private OptionalDouble clipNormPerTensor = OptionalDouble.empty();
    private Optional<DeviceMatrix> copy = Optional.empty();
    private Optional<DeviceMatrix> flags = Optional.empty();

    private Builder() {}

    /**
     * Sets the weight decay of all columns.
     *
     * @param lambda 0 by default; 1e-4 to 1e-2 are usual
     * @return this
     * @throws IllegalArgumentException if it is not finite
     */
    public Builder weightDecay(double lambda) {
      StepParameters.finite("weightDecay", lambda);
      weightDecay = lambda;
      return this;
    }

    /**
     * Sets the form of the weight decay.
     *
     * @param apart true for x &larr; (1 - eta lambda) x before the rule (Loshchilov and Hutter),
     *     false, the default, for g &larr; g + lambda x, the gradient of lambda/2 |x|&sup2;
     * @return this
     */
    public Builder decoupled(boolean apart) {
      decoupled = apart;
      return this;
    }

    /**
     * Gives a group of the layout a step size and weight decay of its own.
     *
     * @param name a group of the layout of the parameters
     * @param stepScale multiplies the step size
     * @param groupDecay is added to the weight decay of all
     * @return this
     * @throws IllegalArgumentException if a number is not finite
     */
    public Builder group(String name, double stepScale, double groupDecay) {
      groups.put(Objects.requireNonNull(name, "name"), new Group(stepScale, groupDecay));
      return this;
    }

    /**
     * Clips a row of the gradient: g &larr; min(1, c / |g|) g, where |g| is the 2-norm of the whole
     * row on the tree of {@link Reduction}, and a row of zeros stays (R. Pascanu, T. Mikolov, Y.
     * Bengio, ICML 2013, algorithm 1). Taken before weight decay. Costs a pass over g and a wait.
     *
     * @param c the bound, positive
     * @return this
     * @throws IllegalArgumentException if it is not positive
     */
    public Builder clipNorm(double c) {
      clipNorm = positive("clipNorm", c);
      return this;
    }

    /**
     * Clips each tensor of a row of the gradient by itself, layer by layer; otherwise as {@link
     * #clipNorm}.
     *
     * @param c the bound, positive
     * @return this
     * @throws IllegalArgumentException if it is not positive
     */
    public Builder clipNormPerTensor(double c) {
      clipNormPerTensor = positive("clipNormPerTensor", c);
      return this;
    }

    private static OptionalDouble positive(String name, double value) {
      if (!(value > 0)) {
        throw new IllegalArgumentException(name + " is " + value + " and must be positive");
      }
      return OptionalDouble.of(value);
    }

    /**
     * Writes the new parameters to a narrow matrix in the same pass.
     *
     * @param matrix BF16 or F16, the shape of the parameters
     * @return this
     */
    public Builder copy(DeviceMatrix matrix) {
      copy = Optional.of(matrix);
      return this;
    }

    /**
     * Notes rows that are not finite: 1 by OR at r if row r of the gradient is not, 2 if row r of
     * the new parameters is not. Nothing is cleared.
     *
     * @param matrix I32, 1 x rows of the parameters
     * @return this
     */
    public Builder flags(DeviceMatrix matrix) {
      flags = Optional.of(matrix);
      return this;
    }

    /**
     * The options.
     *
     * @return options with what was set
     * @throws IllegalArgumentException if both kinds of clipping are set
     */
    public StepOptions build() {
      if (clipNorm.isPresent() && clipNormPerTensor.isPresent()) {
        throw new IllegalArgumentException(
            "clipNorm and clipNormPerTensor exclude each other; set one of them");
      }
      return new StepOptions(this);
    }
  }
}
