package dev.kith.graph;

import java.util.List;

/** A list of matrices that take turns. */
record PeriodicSchedule(List<MixingMatrix> matrices) implements MixingSchedule {
  PeriodicSchedule {
    if (matrices.isEmpty()) {
      throw new IllegalArgumentException("a periodic schedule needs at least one matrix");
    }
    int nodes = matrices.get(0).nodes();
    for (int k = 1; k < matrices.size(); k++) {
      if (matrices.get(k).nodes() != nodes) {
        throw new IllegalArgumentException(
            "matrix "
                + k
                + " has "
                + matrices.get(k).nodes()
                + " nodes, but matrix 0 has "
                + nodes);
      }
    }
  }

  @Override
  public int nodes() {
    return matrices.get(0).nodes();
  }

  @Override
  public MixingMatrix at(long round) {
    RandomSchedule.checkRound(round);
    return matrices.get((int) (round % matrices.size()));
  }

  @Override
  public long period() {
    return matrices.size();
  }

  @Override
  public MixingSchedule lazy() {
    return new PeriodicSchedule(matrices.stream().map(MixingMatrix::lazy).toList());
  }
}
