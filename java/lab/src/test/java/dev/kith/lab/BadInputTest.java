package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.optimizer.Snapshot;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Every mistake on the command line gets one sentence that says what was wrong and what to do. */
class BadInputTest {
  @TempDir Path folder;

  private Cli.Result train(String... more) {
    List<String> all =
        new ArrayList<>(
            List.of(
                "train",
                "--data",
                "digits",
                "--model",
                "softmax",
                "--nodes",
                "4",
                "--rounds",
                "5",
                "--out",
                folder.resolve("out").toString()));
    all.addAll(Arrays.asList(more));
    return Cli.here(all.toArray(new String[0]));
  }

  private static void assertSentence(int code, String fragment, Cli.Result result) {
    assertEquals(code, result.code(), result.err());
    assertTrue(result.err().startsWith("kith: "), result.err());
    assertEquals(1, result.err().lines().count(), result.err());
    assertTrue(result.err().contains(fragment), result.err());
    assertEquals("", result.out());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          --algorithm sgd                     | dsgd, dsgd-cta, d2, extra, dsgt, chebyshev, push-sum, single-merge, central
          --algorithm muon --rule adam        | is a rule itself
          --algorithm dmuon --local-steps 2   | leave out --local-steps
          --algorithm kfac --weight-decay 0.1 | takes no --weight-decay
          --topology rign                     | unknown topology 'rign': the known ones are ring, path
          --topology torus:3x3                | 9 nodes, not 4
          --topology erdos-renyi:0.01         | components {0}, {1}, {2}, {3}
          --weights foo                       | unknown weight rule 'foo': the known ones are metropolis
          --nodes 0                           | --nodes 0 is not a whole number from 1 to
          --nodes four                        | --nodes four is not a whole number from 1 to
          --nodes 5000                        | cannot deal 1438 samples to 5000 nodes
          --rounds 1.5                        | --rounds 1.5 is not a whole number from 1 to
          --model cnn                         | softmax and mlp:WIDTH
          --model mlp:0                       | softmax and mlp:WIDTH
          --model mlp:3xa                     | softmax and mlp:WIDTH
          --partition shards                  | known are iid and dirichlet:ALPHA
          --partition dirichlet:-1            | alpha of a Dirichlet partition must lie between
          --batch 0                           | --batch 0 is not a whole number from 1 to
          --step-size 0                       | --step-size 0 is not a number above 0
          --step-size fast                    | --step-size fast is not a number above 0
          --step-size NaN                     | --step-size NaN is not a number above 0
          --rule momentum                     | sgd, heavy-ball, nesterov
          --scale log                         | unit, centred, standard
          --message-type f8                   | bf16, f16, f32
          --compressor top-k:0.01             | --algorithm dsgd takes no --compressor: leave it out, or take one of choco
          --algorithm choco --compressor top-j | there is no compressor 'top-j'
          --algorithm ef21 --compressor random-k:0.01 | EF21 needs a compressor that loses less than the row
          --algorithm diana --compressor top-k:0.01 | take one that is, such as random-k
          --algorithm power-sgd --compressor top-k:0.01 | take --compressor power-sgd:RANK instead of top-k:0.01
          --algorithm powergossip --compressor power-sgd:2+int4 | take --compressor power-sgd:RANK instead of power-sgd:2+int4
          --algorithm powergossip --consensus-step-size 0.5 | belongs to --algorithm choco
          --algorithm choco --compressor power-sgd:2 | promises no delta
          --algorithm ef-sgd --rule adam      | leave out --rule
          --algorithm ef-sgd --consensus-step-size 0.1 | belongs to --algorithm choco, deepsqueeze, c-gt, not to ef-sgd
          --algorithm diana --momentum 0.9    | belongs to --algorithm ef-sgd, power-sgd, sign-sgd, dgc, complex-momentum, not to diana
          --algorithm dgc --momentum 1        | a momentum of 1.0 is not in [0, 1)
          --algorithm dgc --momentum -1       | --momentum -1 is not a number from 0 up
          --algorithm dgc --compressor int8   | DGC masks the momentum of the largest entries
          --algorithm dgc --clip-norm 0       | --clip-norm 0 is not a number above 0
          --algorithm dgc --warm-up-rounds 0  | --warm-up-rounds 0 is not a whole number from 1 to
          --algorithm diana --adaptive-rank 0.9 | belongs to --algorithm ef-sgd, not to diana
          --algorithm ef-sgd --compressor power-sgd:2 --adaptive-rank 0 | --adaptive-rank 0 is not a number above 0
          --algorithm ef-sgd --compressor power-sgd:2 --adaptive-rank 1.5 | a share of 1.5
          --algorithm ef-sgd --compressor top-k:0.1 --adaptive-rank 0.9 | has no rank that could adapt
          --algorithm ef-sgd --clip-norm 1    | belongs to --algorithm dgc
          --algorithm ef-sgd --warm-up-rounds 9 | belongs to --algorithm dgc
          --algorithm masha1 --compressor random-k:0.1 | two mini-batches differ at every point: take --batch all
          --algorithm masha1 --batch all --compressor top-k:0.1 | MASHA1 needs an unbiased compressor
          --algorithm masha1 --batch all --server-compressor top-k:0.1 | MASHA1's server needs an unbiased compressor
          --algorithm masha2 --batch all --compressor random-k:0.1 | MASHA2 needs a compressor that loses less than the row
          --algorithm masha2 --batch all --regularizer l1:0.1 | belongs to --algorithm diana, extragradient, masha1
          --algorithm diana --regularizer l1:-1 | a lambda of -1.0
          --algorithm diana --regularizer l3:1 | there is no regularizer 'l3:1'
          --algorithm adahessian --rule adam | is a rule of its own: leave out --rule
          --algorithm savic --weight-decay 0.1 | has no weight decay
          --algorithm sophia-g --batch all | leave out --batch all
          --algorithm dsgd --scaling adam | belongs to --algorithm savic
          --algorithm savic --scaling none | adam
          --algorithm oasis --drop-nodes 3@5 | needs all nodes in every round
          --algorithm diana --server-compressor natural | belongs to --algorithm masha1, masha2
          --algorithm extragradient --compressor natural | --algorithm extragradient takes no --compressor
          --algorithm dgc --drop-nodes 1@2    | dgc needs all nodes in every round
          --algorithm choco --consensus-step-size 2 | a consensus step size of 2.0
          --algorithm choco --message-type bf16 | leave out --message-type
          --noise corn:epsilon=10 --algorithm d2 | belongs to --algorithm dsgd
          --noise corn:epsilon=10 --rule adam | leave out --rule
          --noise corn:epsilon=10 --drop-nodes 1@2 | corn needs all nodes
          --noise corn:epsilon=0              | epsilon=0
          --noise ldp:epsilon=10:clip=nan     | clip=nan
          --noise ldp:epsilon=10:delta=1      | delta=1
          --noise ldp:delta=1e-5              | write none, or ldp
          --noise gauss:epsilon=1             | 'gauss'
          --noise corn:epsilon=10:curious=1   | curious=1
          --noise ldp:epsilon=1:epsilon=2     | epsilon=2
          --noise decor:epsilon=1 --topology one-peer-exponential | made for one mixing matrix
          --device gpu                        | --device: no device is called "gpu"; names are cpu, cuda, cuda:N, emulated
          --transport mpi                     | it has local
          --algorithm d2                      | --weights lazy:metropolis
          --algorithm dsgt --rule adam        | leave out --rule
          --algorithm extra --local-steps 2   | leave out --rule
          --gossip-rounds 3                   | belongs to --algorithm chebyshev
          --algorithm d2 --topology one-peer-exponential | needs one fixed mixing matrix
          --drop-nodes tallest:0.2@3          | highest:SHARE@ROUND
          --drop-nodes 7@3                    | node 7
          --drop-nodes random:1@3             | --drop-nodes random:1@3: no node is left
          --drop-nodes random:1.2.3@3         | --drop-nodes random:1.2.3@3 is not known
          --algorithm dsgt --topology one-peer-exponential --drop-links 0-1@2 | take an undirected topology or push-sum
          --algorithm dsgt --topology exponential --drop-nodes 3@2 | take an undirected topology or push-sum
          --drop-nodes highest:0.5@1 --topology sparse-gossip | random:SHARE@ROUND
          --drop-links often                  | a probability, or I-J@ROUND
          --drop-links 1.5                    | probability 1.5
          --data /nowhere/x.csv               | there is no file /nowhere/x.csv
          --test-data /nowhere/x.csv          | there is no file /nowhere/x.csv
          --snapshot-every 3                  | 500ms, 30s, 5m, 1h, or off
          --resume --overwrite                | exclude each other
          --threads 0                         | --threads 0 is not a whole number from 1 to 1024
          --colour blue                       | see kith train --help
          """)
  void aWrongFlagIsNamedAndItsValuesAreListed(String flags, String fragment) {
    assertSentence(2, fragment, train(flags.split(" ")));
  }

  @Test
  void numbersThatLeaveTheFiniteOnesNameNodeRoundAndSnapshot() {
    Cli.Result result = train("--step-size", "1e38");
    assertSentence(1, "is not finite in round 1", result);
    assertTrue(result.err().contains("node "), result.err());
    Path snapshot = folder.resolve("out/snapshot.kith");
    assertTrue(result.err().contains("the last good snapshot is " + snapshot), result.err());
    assertTrue(Files.exists(snapshot));
    assertFalse(Files.exists(folder.resolve("out/result.json")), "the run is not finished");
  }

  @Test
  void theSnapshotOfARunThatDivergesAtOnceIsItsStart() {
    Cli.Result result = train("--step-size", "1e38", "--local-steps", "2");
    assertSentence(1, "the last good snapshot is ", result);
    Cli.Result resumed = train("--step-size", "1e38", "--local-steps", "2", "--resume");
    assertSentence(1, "round 0", resumed);
    // Zero is where softmax regression starts.
    Snapshot.read(
        folder.resolve("out/snapshot.kith"),
        reader -> assertEquals(0, Arrays.stream(reader.longs("round")).sum()));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          --topology exponential --drop-nodes 3@2
          --topology exponential --drop-links 0.3
          --topology exponential --drop-links 0-1@2 --algorithm push-sum
          --topology exponential --drop-nodes 3@2 --algorithm push-sum --weights out-degree
          --topology one-peer-exponential --drop-links 0-2@1 --algorithm push-sum
          --topology torus:2x2 --drop-nodes 3@2 --algorithm dsgt
          """)
  void failuresOfEveryTopologyAreRunThrough(String flags) {
    Cli.Result result = train(flags.split(" "));
    assertEquals(0, result.code(), result.err());
  }

  @Test
  void anUnreadableDataFileIsNamedWithTheLine() throws Exception {
    Path file = Files.writeString(folder.resolve("bad.csv"), "1,2,a\n3,x,b\n");
    assertSentence(
        2, "bad.csv, line 2, column 3: 'x' is not a number", train("--data", file.toString()));
    assertSentence(
        2, "bad.csv, line 2, column 3: 'x' is not a number", Cli.here("data", file.toString()));
    Path few = Files.writeString(folder.resolve("few.csv"), "1,2,a\n3,4,b\n");
    assertSentence(2, "it takes at least five", train("--data", few.toString()));
  }

  @Test
  void aCommandIsNeeded() {
    assertSentence(2, "name a command; see kith --help", Cli.here());
    assertSentence(2, "'tran'", Cli.here("tran"));
  }

  @Test
  void helpIsNoError() {
    for (String command : List.of("train", "compare", "data", "doctor", "bench")) {
      Cli.Result help = Cli.here(command, "--help");
      assertEquals(0, help.code());
      assertEquals("", help.err());
      assertTrue(help.out().contains("Usage: kith " + command), help.out());
    }
    assertTrue(Cli.here("--help").out().contains("bench"));
    assertSentence(3, "run ./kith bench", Cli.here("bench", "mixing", "--smoke"));
    assertTrue(Cli.here("--version").out().startsWith("kith "));
  }
}
