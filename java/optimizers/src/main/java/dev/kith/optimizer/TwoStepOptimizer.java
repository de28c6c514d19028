package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Algorithms whose next parameters follow from the last two and their gradients, in one pass: five
 * matrices take turns, and the new parameters never overwrite what they are made of.
 */
abstract class TwoStepOptimizer extends LockstepOptimizer {
  private DeviceMatrix x;
  private DeviceMatrix before;
  private DeviceMatrix gradient;
  private DeviceMatrix gradientBefore;
  private DeviceMatrix next;

  TwoStepOptimizer(String name, GradientStepBuilder<?> builder) {
    super(name, builder.problem, builder.network);
    this.x = start(builder.initial);
    this.before = own(x.like());
    this.gradient = own(x.like());
    this.gradientBefore = own(x.like());
    this.next = own(x.like());
  }

  /** X^1 of X^0 and its gradient. */
  abstract Expression first(DeviceMatrix x, DeviceMatrix gradient);

  /** X^(k+1) of X^k, X^(k-1) and their gradients. */
  abstract Expression further(
      DeviceMatrix x, DeviceMatrix before, DeviceMatrix gradient, DeviceMatrix gradientBefore);

  @Override
  final void iterate() {
    problem().gradient(x, gradient, round());
    network()
        .mix(
            round() == 0 ? first(x, gradient) : further(x, before, gradient, gradientBefore), next);
    requireFinite();
    DeviceMatrix free = before;
    before = x;
    x = next;
    next = free;
    DeviceMatrix old = gradientBefore;
    gradientBefore = gradient;
    gradient = old;
  }

  @Override
  public final DeviceMatrix parameters() {
    return x;
  }

  @Override
  final Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("before", before);
    state.put("gradientBefore", gradientBefore);
    return state;
  }
}
