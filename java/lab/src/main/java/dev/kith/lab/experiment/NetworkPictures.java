package dev.kith.lab.experiment;

import dev.kith.graph.Connectivity;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.lab.report.GraphPicture;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/** Draws the network of a run and states how fast it mixes. */
final class NetworkPictures {
  /** Products over a period are dense; above this they take longer than a run. */
  private static final int MOST_FOR_PRODUCTS = 512;

  private static final int MOST_FOR_GAP = 20_000;

  private NetworkPictures() {}

  /** The network at the start, and after failures also what is left of it. */
  static List<GraphPicture> of(Settings settings, MixingSchedule schedule, long lastRound) {
    List<GraphPicture> pictures = new ArrayList<>();
    String name = "%s of %,d nodes".formatted(settings.topologyName(), schedule.nodes());
    if (schedule.period() > 0) {
      pictures.add(picture(name, caption(schedule), schedule.union()));
      return pictures;
    }
    if (schedule instanceof FailingSchedule failing) {
      pictures.add(picture(name + ", first round", gap(schedule.at(0)), schedule.at(0).graph()));
      Connectivity left = failing.connectivity(lastRound);
      String caption = left.toString();
      OptionalDouble second = left.giantSecondEigenvalue();
      if (second.isPresent()) {
        caption += String.format(Locale.ROOT, "; lambda_2 there is %.4f", second.getAsDouble());
      }
      pictures.add(
          picture(
              "%s, round %,d".formatted(name, lastRound),
              caption,
              schedule.at(lastRound).graph(),
              IntStream.range(0, schedule.nodes())
                  .filter(node -> !schedule.isAlive(lastRound, node))
                  .toArray()));
      return pictures;
    }
    pictures.add(
        picture(
            name + ", first round", "Every round draws its links anew.", schedule.at(0).graph()));
    return pictures;
  }

  private static GraphPicture picture(String title, String caption, Graph graph, int... gone) {
    int[][] neighbours = new int[graph.nodes()][];
    for (int i = 0; i < neighbours.length; i++) {
      neighbours[i] = graph.neighbours(i);
    }
    return new GraphPicture(title, caption, neighbours, graph.directed(), gone);
  }

  private static String caption(MixingSchedule schedule) {
    if (schedule.period() == 1) {
      return gap(schedule.at(0));
    }
    String rounds =
        "All links of a period of %d rounds; a round uses some of them."
            .formatted(schedule.period());
    return product(schedule).map(w -> rounds + " Over the period: " + gap(w)).orElse(rounds);
  }

  private static Optional<MixingMatrix> product(MixingSchedule schedule) {
    int n = schedule.nodes();
    if (n > MOST_FOR_PRODUCTS) {
      return Optional.empty();
    }
    double[][] product = MixingMatrix.identity(n).toDense();
    for (long round = 0; round < schedule.period(); round++) {
      product = schedule.at(round).times(product);
    }
    return Optional.of(MixingMatrix.ofDense(schedule.at(0).kind(), product));
  }

  /** One sentence with the spectral gap. */
  static String gap(MixingMatrix w) {
    OptionalDouble rho = rho(w);
    return rho.isEmpty()
        ? "The spectral gap was not computed."
        : String.format(
            Locale.ROOT,
            "Spectral gap %.4f: mixing once leaves at most %.4f of the distance to the mean.",
            1 - rho.getAsDouble(),
            rho.getAsDouble());
  }

  /** The spectral gap of a network that never changes. */
  static OptionalDouble gap(MixingSchedule schedule) {
    if (schedule.period() != 1) {
      return OptionalDouble.empty();
    }
    OptionalDouble rho = rho(schedule.at(0));
    return rho.isEmpty() ? rho : OptionalDouble.of(1 - rho.getAsDouble());
  }

  private static OptionalDouble rho(MixingMatrix w) {
    if (w.nodes() > MOST_FOR_GAP) {
      return OptionalDouble.empty();
    }
    try {
      return OptionalDouble.of(w.spectralRadiusOnConsensus());
    } catch (IllegalStateException e) {
      // The eigenvalue iteration did not converge; a picture without the figure is still one.
      return OptionalDouble.empty();
    }
  }
}
