package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * What an iteration of a decentralized algorithm computes in one pass over the parameters:
 *
 * <pre>Y = W (sum_k c_k Z_k) + sum_k b_k U_k</pre>
 *
 * <p>The sum inside the brackets is the message of a node: it is rounded to the message type before
 * W is applied, so that one process and many give the same bits. Up to four inner and four outer
 * terms, and noise that is added to the messages without ever being stored. Adapt-then-combine is
 * {@code inner(x).plusInner(-eta, g)}; combine-then-adapt is {@code inner(x).plusOuter(-eta, g)}.
 * Immutable and thread-safe; an expression names matrices and does not keep them open.
 */
public final class Expression {
  private static final Term[] NONE = {};

  private final Term[] inner;
  private final Term[] outer;
  private final Optional<DType> messageType;
  private final Optional<DeviceMatrix> halo;
  private final Optional<NoiseTerm> noise;

  private Expression(
      Term[] inner,
      Term[] outer,
      Optional<DType> messageType,
      Optional<DeviceMatrix> halo,
      Optional<NoiseTerm> noise) {
    this.inner = inner;
    this.outer = outer;
    this.messageType = messageType;
    this.halo = halo;
    this.noise = noise;
  }

  private static Expression empty() {
    return new Expression(NONE, NONE, Optional.empty(), Optional.empty(), Optional.empty());
  }

  /**
   * Starts with an inner term.
   *
   * @param z a matrix
   * @return W z
   */
  public static Expression inner(DeviceMatrix z) {
    return empty().plusInner(z);
  }

  /**
   * Starts with an inner term.
   *
   * @param c its coefficient
   * @param z a matrix
   * @return W (c z)
   */
  public static Expression inner(double c, DeviceMatrix z) {
    return empty().plusInner(c, z);
  }

  /**
   * Starts with an inner term.
   *
   * @param c its coefficient
   * @param perRow a coefficient for each row, F64, 1 x rows of {@code z}
   * @param z a matrix
   * @return W (c diag(perRow) z)
   */
  public static Expression inner(double c, DeviceMatrix perRow, DeviceMatrix z) {
    return empty().plusInner(c, perRow, z);
  }

  /**
   * Starts with an outer term.
   *
   * @param u a matrix
   * @return u
   */
  public static Expression outer(DeviceMatrix u) {
    return empty().plusOuter(u);
  }

  /**
   * Starts with an outer term.
   *
   * @param b its coefficient
   * @param u a matrix
   * @return b u
   */
  public static Expression outer(double b, DeviceMatrix u) {
    return empty().plusOuter(b, u);
  }

  /**
   * Starts with an outer term.
   *
   * @param b its coefficient
   * @param perRow a coefficient for each row, F64, 1 x rows of {@code u}
   * @param u a matrix
   * @return b diag(perRow) u
   */
  public static Expression outer(double b, DeviceMatrix perRow, DeviceMatrix u) {
    return empty().plusOuter(b, perRow, u);
  }

  /**
   * Adds an inner term with coefficient 1.
   *
   * @param z a matrix
   * @return the longer expression
   * @throws IllegalArgumentException if there are four already
   */
  public Expression plusInner(DeviceMatrix z) {
    return withInner(new Term(1, Optional.empty(), z));
  }

  /**
   * Adds an inner term.
   *
   * @param c its coefficient
   * @param z a matrix
   * @return the longer expression
   * @throws IllegalArgumentException if there are four already
   */
  public Expression plusInner(double c, DeviceMatrix z) {
    return withInner(new Term(c, Optional.empty(), z));
  }

  /**
   * Adds an inner term.
   *
   * @param c its coefficient
   * @param perRow a coefficient for each row, F64, 1 x rows of {@code z}
   * @param z a matrix
   * @return the longer expression
   * @throws IllegalArgumentException if there are four already, or {@code perRow} has another shape
   *     or dtype
   */
  public Expression plusInner(double c, DeviceMatrix perRow, DeviceMatrix z) {
    return withInner(new Term(c, Optional.of(perRow), z));
  }

  /**
   * Adds an outer term with coefficient 1.
   *
   * @param u a matrix
   * @return the longer expression
   * @throws IllegalArgumentException if there are four already
   */
  public Expression plusOuter(DeviceMatrix u) {
    return withOuter(new Term(1, Optional.empty(), u));
  }

  /**
   * Adds an outer term.
   *
   * @param b its coefficient
   * @param u a matrix
   * @return the longer expression
   * @throws IllegalArgumentException if there are four already
   */
  public Expression plusOuter(double b, DeviceMatrix u) {
    return withOuter(new Term(b, Optional.empty(), u));
  }

  /**
   * Adds an outer term.
   *
   * @param b its coefficient
   * @param perRow a coefficient for each row, F64, 1 x rows of {@code u}
   * @param u a matrix
   * @return the longer expression
   * @throws IllegalArgumentException if there are four already, or {@code perRow} has another shape
   *     or dtype
   */
  public Expression plusOuter(double b, DeviceMatrix perRow, DeviceMatrix u) {
    return withOuter(new Term(b, Optional.of(perRow), u));
  }

  /**
   * Starts with noise, a row for each row of the result: without other inner terms it is what
   * {@link Noise#draw} gives, rounded to the message type. For {@link Mixing#combine} alone.
   *
   * @param scale a finite factor
   * @param field as many rows as the result, not of words
   * @return scale z
   */
  public static Expression noise(double scale, NoiseField field) {
    return empty().plusNoise(scale, field);
  }

  /**
   * Starts with noise that a matrix sums: without other inner terms it is what {@link Noise#sum}
   * gives, rounded to the message type. For {@link Mixing#combine} alone.
   *
   * @param scale a finite factor
   * @param factor F, a row for each row of the result and a column for each row of the field
   * @param field the rows z, not of words
   * @return scale F z
   */
  public static Expression noise(double scale, MixingWeights factor, NoiseField field) {
    return empty().plusNoise(scale, factor, field);
  }

  /**
   * Adds noise to each row of the inner sum, before it is rounded: t(j) = fma(scale, z(j), t(j)),
   * the scale rounded to the compute type first.
   *
   * @param scale a finite factor
   * @param field a row for each row of the inner terms, not of words
   * @return the longer expression
   * @throws IllegalArgumentException if there is noise already, the field is of words, or the scale
   *     is not finite
   */
  public Expression plusNoise(double scale, NoiseField field) {
    return withNoise(new NoiseTerm(Optional.empty(), field, scale));
  }

  /**
   * Adds noise to each row of the inner sum, before it is rounded: t(j) = fma(c(j, k), z(k), t(j))
   * over the entries of row j of the factor in stored order, with c(j, k) = scale f(j, k) taken in
   * f64 and rounded to the compute type once. These are the bits of {@link Noise#sum} onto the
   * inner sum in the compute type. Each z(k) is made once for a tile of columns, and only where a
   * message needs it.
   *
   * @param scale a finite factor
   * @param factor F, a row for each row of the inner terms and a column for each row of the field;
   *     without output rows
   * @param field the rows z, not of words
   * @return the longer expression
   * @throws IllegalArgumentException if there is noise already, the field is of words or does not
   *     fit the factor, or the scale is not finite
   */
  public Expression plusNoise(double scale, MixingWeights factor, NoiseField field) {
    return withNoise(new NoiseTerm(Optional.of(factor), field, scale));
  }

  /**
   * Adds the noise of another expression.
   *
   * @param term noise
   * @return the longer expression
   * @throws IllegalArgumentException if there is noise already
   */
  public Expression withNoise(NoiseTerm term) {
    if (noise.isPresent()) {
      throw new IllegalArgumentException(
          "an expression takes noise once; sum all of it by one factor over one field");
    }
    return new Expression(inner, outer, messageType, halo, Optional.of(term));
  }

  /**
   * The noise of the messages.
   *
   * @return the term, if there is one
   */
  public Optional<NoiseTerm> noise() {
    return noise;
  }

  private Expression withInner(Term term) {
    return new Expression(appended(inner, "inner", term), outer, messageType, halo, noise);
  }

  private Expression withOuter(Term term) {
    return new Expression(inner, appended(outer, "outer", term), messageType, halo, noise);
  }

  private static Term[] appended(Term[] terms, String kind, Term term) {
    if (terms.length == Abi.MAX_TERMS) {
      throw new IllegalArgumentException(
          "an expression takes at most "
              + Abi.MAX_TERMS
              + " "
              + kind
              + " terms; form a part of the sum with Mixing.combine first");
    }
    Term[] longer = Arrays.copyOf(terms, terms.length + 1);
    longer[terms.length] = term;
    return longer;
  }

  /** The inner terms; not to be changed. */
  Term[] inner() {
    return inner;
  }

  /** The outer terms; not to be changed. */
  Term[] outer() {
    return outer;
  }

  /**
   * The terms that W is applied to.
   *
   * @return an immutable list of at most four
   */
  public List<Term> innerTerms() {
    return List.of(inner);
  }

  /**
   * The terms that W is not applied to.
   *
   * @return an immutable list of at most four
   */
  public List<Term> outerTerms() {
    return List.of(outer);
  }

  /**
   * Sets what messages are rounded to.
   *
   * @param type F32, F64, BF16 or F16, F64 only for a result of F64; the default is the compute
   *     type of the result
   * @return the changed expression
   * @throws IllegalArgumentException if the type is I32
   */
  public Expression withMessageType(DType type) {
    if (!type.isFloating()) {
      throw new IllegalArgumentException(
          "messages cannot be " + type + "; they are floating-point");
    }
    return new Expression(inner, outer, Optional.of(type), halo, noise);
  }

  /**
   * Adds messages that came from elsewhere: column j of W, counted from the rows of the inner terms
   * on, is row j of these.
   *
   * @param received messages in the message type, one per row
   * @return the changed expression
   */
  public Expression withHalo(DeviceMatrix received) {
    return new Expression(
        inner,
        outer,
        messageType,
        Optional.of(Objects.requireNonNull(received, "received")),
        noise);
  }

  /**
   * What messages are rounded to.
   *
   * @return the type, if it was set
   */
  public Optional<DType> messageType() {
    return messageType;
  }

  /**
   * Messages that came from elsewhere.
   *
   * @return their matrix, if there is one
   */
  public Optional<DeviceMatrix> halo() {
    return halo;
  }
}
