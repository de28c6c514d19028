package dev.kith.optimizer;

import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import java.util.stream.IntStream;

/**
 * Who takes part in a round.
 *
 * @param nodes number of nodes of the whole network
 * @param count how many of them take part
 * @param absentRows the own rows whose nodes do not, ascending
 */
record Participants(int nodes, int count, int[] absentRows) {
  static Participants of(Network network, long round) {
    MixingSchedule schedule = network.schedule();
    int count = 0;
    for (int i = 0; i < network.nodes(); i++) {
      if (schedule.isAlive(round, i)) {
        count++;
      }
    }
    int first = network.firstNode();
    int[] absent =
        count == network.nodes()
            ? new int[0]
            : IntStream.range(0, network.localNodes())
                .filter(row -> !schedule.isAlive(round, first + row))
                .toArray();
    return new Participants(network.nodes(), count, absent);
  }
}
