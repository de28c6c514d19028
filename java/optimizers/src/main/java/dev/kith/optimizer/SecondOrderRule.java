package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Curvature;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.CurvatureStep;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Step;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.problem.SampledLabelGradient;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A {@link LocalCurvature} with step options. */
record SecondOrderRule(LocalCurvature settings, StepOptions options) implements LocalRule {
  @Override
  public String name() {
    return settings.name();
  }

  @Override
  public State start(Problem problem, DeviceMatrix x) {
    requireCapability(settings.rule(), problem);
    return new Estimating(settings, options, problem, x);
  }

  private static void requireCapability(CurvatureRule rule, Problem problem) {
    if (rule instanceof CurvatureRule.SophiaG) {
      if (!(problem instanceof SampledLabelGradient)) {
        throw new IllegalArgumentException(
            "sophia-g draws labels from the model, and "
                + problem.getClass().getSimpleName()
                + " cannot: give a classifier, or take sophia-h");
      }
    } else if (!(problem instanceof HessianVector)) {
      throw new IllegalArgumentException(
          rule.name()
              + " multiplies vectors by the Hessian, and "
              + problem.getClass().getSimpleName()
              + " cannot: give a problem that is a HessianVector, or take a StepRule");
    }
  }

  /** The rule, and the estimate of the diagonal that it divides by. */
  private static final class Estimating implements State {
    private final LocalCurvature settings;
    private final Problem problem;
    private final CurvatureStep step;
    private final DeviceMatrix probe;
    private final DeviceMatrix product;
    private final Optional<DeviceMatrix> estimate;
    private final Optional<Step> squares;

    Estimating(LocalCurvature settings, StepOptions options, Problem problem, DeviceMatrix x) {
      CurvatureRule rule = settings.rule();
      this.problem = problem;
      this.settings = settings;
      this.step = new CurvatureStep(rule, options, x);
      this.probe = x.like();
      this.product = x.like();
      this.estimate =
          rule instanceof CurvatureRule.SophiaH ? Optional.of(x.like()) : Optional.empty();
      this.squares =
          rule instanceof CurvatureRule.SophiaG
              ? Optional.of(
                  new Step(new StepRule.RmsProp(0, settings.decay(), 1), StepOptions.none(), x))
              : Optional.empty();
    }

    @Override
    public List<DeviceMatrix> matrices() {
      List<DeviceMatrix> state = new ArrayList<>(step.state());
      estimate.ifPresent(state::add);
      squares.ifPresent(s -> state.addAll(s.state()));
      return state;
    }

    @Override
    public long count() {
      return step.count();
    }

    @Override
    public void count(long steps) {
      step.count(steps);
    }

    @Override
    public void apply(DeviceMatrix x, DeviceMatrix g, DeviceMatrix at, double factor, long draw) {
      step.rule(settings.rule().withStepSize(factor * settings.rule().stepSize()));
      boolean due = step.count() % settings.period() == 0;
      switch (settings.rule()) {
        case CurvatureRule.AdaHessian r -> {
          multiply(at, draw);
          step.apply(x, g, product);
        }
        case CurvatureRule.SophiaH r -> {
          if (due) {
            NoiseField field = multiply(at, draw);
            Curvature.hutchinson(field, settings.decay(), product, estimate.orElseThrow());
          }
          step.apply(x, g, estimate.orElseThrow());
        }
        case CurvatureRule.SophiaG r -> {
          Step average = squares.orElseThrow();
          if (due) {
            ((SampledLabelGradient) problem).sampledLabelGradient(at, product, draw);
            // A step of size 0 moves the average of the squares alone.
            average.apply(probe, product);
          }
          step.apply(x, g, average.state().getFirst());
        }
      }
    }

    /** product = H z at the given parameters. */
    private NoiseField multiply(DeviceMatrix at, long draw) {
      NoiseField field =
          NoiseField.shared(
              NoiseField.Distribution.RADEMACHER,
              Stream.PROBE,
              settings.seed(),
              draw,
              problem.firstNode(),
              problem.localNodes());
      Noise.draw(field, 1, probe);
      ((HessianVector) problem).hessianVector(at, probe, product, draw);
      return field;
    }

    @Override
    public void close() {
      step.close();
      squares.ifPresent(Step::close);
      estimate.ifPresent(DeviceMatrix::close);
      product.close();
      probe.close();
    }
  }
}
