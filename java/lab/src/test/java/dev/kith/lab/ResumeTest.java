package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.lab.experiment.EnvironmentException;
import dev.kith.lab.experiment.Outcome;
import dev.kith.lab.experiment.Settings;
import dev.kith.lab.experiment.TrainingRun;
import dev.kith.lab.experiment.UsageException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongPredicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Runs that are stopped, hurt and resumed in this process; {@link KillTest} kills whole processes.
 */
class ResumeTest {
  @TempDir Path folder;

  private static void assertSameBits(
      Outcome expected, Path expectedFolder, Outcome actual, Path actualFolder) throws IOException {
    assertEquals(
        expected.summary().get("parametersSha256"), actual.summary().get("parametersSha256"));
    assertEquals(
        Files.readString(expectedFolder.resolve("metrics.csv")),
        Files.readString(actualFolder.resolve("metrics.csv")));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "--algorithm dsgd",
        "--algorithm dsgd-cta --rule adam --local-steps 2 --weight-decay 0.01",
        "--algorithm d2 --weights lazy:metropolis",
        "--algorithm extra",
        "--algorithm dsgt --model mlp:8",
        "--algorithm chebyshev --gossip-rounds 2",
        "--algorithm push-sum --topology exponential --message-type bf16",
        "--algorithm single-merge --topology sparse-gossip",
        "--algorithm central --rule nesterov",
        "--algorithm choco --compressor top-k:0.05 --consensus-step-size 0.1 --rule adam",
        "--algorithm deepsqueeze --compressor top-k:0.5",
        "--algorithm c-gt --compressor random-k:0.5:unscaled --step-size 0.05",
        "--algorithm ef-sgd --compressor top-k:0.05",
        "--algorithm ef21 --compressor top-k:0.05 --step-size 0.05",
        "--algorithm diana --compressor random-k:0.5 --step-size 0.05",
        "--algorithm power-sgd --compressor power-sgd:1 --model mlp:8",
        "--algorithm powergossip --compressor power-sgd:2 --model mlp:8",
        "--algorithm ef-sgd --compressor power-sgd:2+int4 --model mlp:8",
        "--algorithm ef-sgd --compressor power-sgd:2+int4 --adaptive-rank 0.9 --model mlp:8",
        "--algorithm sign-sgd --step-size 0.005 --momentum 0.5",
        "--algorithm dgc --compressor sampled-top-k:0.05 --clip-norm 3 --warm-up-rounds 2 --step-size 0.05",
        "--algorithm extragradient --regularizer squared-norm:0.01",
        "--algorithm masha1 --batch all --compressor random-k:0.2 --server-compressor natural --regularizer l1:0.001",
        "--algorithm masha2 --batch all --compressor top-k:0.2",
        "--algorithm adahessian --local-steps 2",
        "--algorithm sophia-g",
        "--algorithm sophia-h --step-size 0.01",
        "--algorithm oasis",
        "--algorithm savic --scaling oasis --local-steps 2",
        "--algorithm vra-dgt --compressor qsgd:16",
        "--algorithm vra-dsgt --step-size 0.05",
        "--algorithm spsa --step-size 0.01",
        "--algorithm complex-momentum --momentum 0.8 --step-size 0.02 --sharpness-every 2",
        "--algorithm muon --model mlp:8 --local-steps 2",
        "--algorithm dmuon --model mlp:8 --weight-decay 0.01",
        "--algorithm shampoo --model mlp:8",
        "--algorithm soap --model mlp:8 --weight-decay 0.01",
        "--algorithm kfac --model mlp:8",
        "--algorithm dsgd --drop-nodes random:0.34@5 --drop-links 0.2"
      })
  void aStoppedRunEndsWithTheBitsOfAnUninterruptedOne(String flags) throws IOException {
    Settings settings = Runs.settings(flags.split(" "));
    Path whole = folder.resolve("whole");
    Path parts = folder.resolve("parts");
    Outcome expected = Runs.whole(settings, whole);
    assertFalse(expected.interrupted());
    List<String> notices = new ArrayList<>();
    Outcome first = Runs.run(settings, parts, 4, false, notices);
    assertTrue(first.interrupted());
    assertEquals(4, first.last().round());
    Outcome second = Runs.run(settings, parts, 7, true, notices);
    assertEquals(7, second.last().round());
    Outcome last = Runs.run(settings, parts, Long.MAX_VALUE, true, notices);
    assertEquals(List.of(), notices);
    assertSameBits(expected, whole, last, parts);
  }

  @Test
  void aDamagedSnapshotGivesWayToThePreviousOne() throws IOException {
    Settings settings = Runs.settings();
    Outcome expected = Runs.whole(settings, folder.resolve("whole"));
    Path parts = folder.resolve("parts");
    Runs.run(settings, parts, 5, false, new ArrayList<>());
    Path snapshot = parts.resolve("snapshot.kith");
    byte[] bytes = Files.readAllBytes(snapshot);
    bytes[bytes.length / 2] ^= 4;
    Files.write(snapshot, bytes);
    List<String> notices = new ArrayList<>();
    Outcome last = Runs.run(settings, parts, Long.MAX_VALUE, true, notices);
    assertEquals(1, notices.size());
    assertTrue(notices.getFirst().contains("is damaged"), notices.getFirst());
    assertTrue(notices.getFirst().contains("snapshot.kith.previous"), notices.getFirst());
    assertSameBits(expected, folder.resolve("whole"), last, parts);
  }

  @Test
  void withoutAWholeSnapshotNothingIsMadeUp() throws IOException {
    Settings settings = Runs.settings();
    Runs.run(settings, folder, 5, false, new ArrayList<>());
    for (String name : List.of("snapshot.kith", "snapshot.kith.previous")) {
      Files.writeString(folder.resolve(name), "garbage");
    }
    assertThrows(
        EnvironmentException.class, () -> Runs.run(settings, folder, 9, true, new ArrayList<>()));
  }

  @Test
  void resumingNothingStartsFromTheFirstRound() throws IOException {
    Settings settings = Runs.settings();
    Outcome expected = Runs.whole(settings, folder.resolve("whole"));
    List<String> notices = new ArrayList<>();
    Outcome outcome = Runs.run(settings, folder.resolve("fresh"), Long.MAX_VALUE, true, notices);
    assertEquals(1, notices.size());
    assertSameBits(expected, folder.resolve("whole"), outcome, folder.resolve("fresh"));
  }

  @Test
  void resumingWithOtherFlagsIsRefusedAndNamesThem() {
    Runs.run(Runs.settings(), folder, 5, false, new ArrayList<>());
    String message =
        assertThrows(
                UsageException.class,
                () -> Runs.run(Runs.settings("--seed", "2"), folder, 9, true, new ArrayList<>()))
            .getMessage();
    assertTrue(message.contains("--seed 1"), message);
  }

  @Test
  void aRefusedResumeLeavesAFinishedRunFinished() throws IOException {
    Runs.whole(Runs.settings(), folder);
    assertThrows(
        UsageException.class,
        () -> Runs.run(Runs.settings("--seed", "2"), folder, 9, true, new ArrayList<>()));
    assertTrue(Files.exists(folder.resolve("result.json")));
    assertEquals(12, Runs.whole(Runs.settings("--seed", "2"), folder).last().round());
  }

  @Test
  void resumingWithOtherDataIsRefused() throws IOException {
    Path train = folder.resolve("train.csv");
    Path test = folder.resolve("test.csv");
    String lines = "0,1,a\n1,0,b\n2,1,a\n3,0,b\n4,1,a\n5,0,b\n6,1,a\n7,0,b\n";
    Files.writeString(train, lines);
    Files.writeString(test, lines);
    String[] flags = {
      "--data",
      train.toString(),
      "--test-data",
      test.toString(),
      "--partition",
      "iid",
      "--nodes",
      "2",
      "--batch",
      "2"
    };
    Path out = folder.resolve("out");
    Runs.run(Runs.settings(flags), out, 5, false, new ArrayList<>());
    for (Path changed : List.of(train, test)) {
      Files.writeString(changed, lines.replace("7,0,b", "8,0,b"));
      String message =
          assertThrows(
                  UsageException.class,
                  () -> Runs.run(Runs.settings(flags), out, 9, true, new ArrayList<>()))
              .getMessage();
      assertTrue(message.contains("has changed since the snapshot"), message);
      Files.writeString(changed, lines);
    }
    assertEquals(9, Runs.run(Runs.settings(flags), out, 9, true, new ArrayList<>()).last().round());
  }

  /** A run whose periodic snapshots never come; {@code watch} is told each round. */
  private TrainingRun.Control rare(
      Optional<Duration> every, boolean resume, LongPredicate stop, TrainingRun.Progress watch) {
    AtomicLong round = new AtomicLong();
    return new TrainingRun.Control(
        folder,
        every,
        resume,
        false,
        () -> stop.test(round.get()),
        (r, last) -> {
          round.set(r);
          watch.at(r, last);
        },
        notice -> {});
  }

  @Test
  void aFaultLeavesASnapshotOfTheRoundBeforeIt() throws IOException {
    Settings settings = Runs.settings();
    Outcome expected = Runs.whole(settings, folder.resolve("whole"));
    Optional<Duration> hour = Optional.of(Duration.ofHours(1));
    assertThrows(
        ArithmeticException.class,
        () ->
            TrainingRun.execute(
                settings,
                rare(
                    hour,
                    false,
                    r -> false,
                    (r, last) -> {
                      if (r == 4) {
                        throw new ArithmeticException("fault");
                      }
                    })));
    AtomicLong first = new AtomicLong(-1);
    Outcome last =
        TrainingRun.execute(
            settings, rare(hour, true, r -> false, (r, row) -> first.compareAndSet(-1, r)));
    assertEquals(5, first.get());
    assertSameBits(expected, folder.resolve("whole"), last, folder);
  }

  @Test
  void aRunThatIsStoppedCanBeResumedWithoutPeriodicSnapshots() throws IOException {
    Settings settings = Runs.settings();
    Outcome expected = Runs.whole(settings, folder.resolve("whole"));
    TrainingRun.execute(settings, rare(Optional.empty(), false, r -> r >= 5, (r, last) -> {}));
    Outcome last =
        TrainingRun.execute(
            settings, rare(Optional.empty(), true, r -> false, (r, row) -> assertTrue(r >= 5)));
    assertSameBits(expected, folder.resolve("whole"), last, folder);
  }

  @Test
  void theNumberOfThreadsMayChangeOnTheWay() throws IOException {
    Outcome expected = Runs.whole(Runs.settings("--threads", "1"), folder.resolve("whole"));
    Path parts = folder.resolve("parts");
    Runs.run(Runs.settings("--threads", "2"), parts, 5, false, new ArrayList<>());
    Outcome last =
        Runs.run(Runs.settings("--threads", "3"), parts, Long.MAX_VALUE, true, new ArrayList<>());
    assertSameBits(expected, folder.resolve("whole"), last, parts);
  }

  @Test
  void anUnfinishedRunIsNotOverwrittenUnasked() {
    Settings settings = Runs.settings();
    Runs.run(settings, folder, 5, false, new ArrayList<>());
    String message =
        assertThrows(
                UsageException.class, () -> Runs.run(settings, folder, 9, false, new ArrayList<>()))
            .getMessage();
    assertTrue(message.contains("--resume") && message.contains("--overwrite"), message);
    TrainingRun.execute(
        settings,
        new TrainingRun.Control(
            folder,
            Optional.of(Duration.ofHours(1)),
            false,
            true,
            () -> false,
            (round, last) -> {},
            notice -> {}));
    // A finished run makes room without a question.
    assertEquals(12, Runs.whole(settings, folder).last().round());
  }

  @Test
  void twoRunsDoNotShareAFolder() {
    Settings settings = Runs.settings();
    TrainingRun.Control outer =
        new TrainingRun.Control(
            folder,
            Optional.empty(),
            false,
            false,
            () -> {
              String message =
                  assertThrows(UsageException.class, () -> Runs.whole(settings, folder))
                      .getMessage();
              assertTrue(message.contains("another run is writing to " + folder), message);
              // One that was refused does not open the folder to the next.
              assertTrue(Files.exists(folder.resolve(".lock")));
              assertThrows(UsageException.class, () -> Runs.whole(settings, folder));
              return true;
            },
            (round, last) -> {},
            notice -> {});
    assertTrue(TrainingRun.execute(settings, outer).interrupted());
  }
}
