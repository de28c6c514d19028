package dev.kith.lab.experiment;

import dev.kith.graph.MixingSchedule;
import dev.kith.lab.Json;
import dev.kith.lab.data.DataSets;
import dev.kith.lab.report.Heatmap;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What came out of a run. */
public final class Outcome {
  /**
   * What the run computed with.
   *
   * @param device as {@code --device} names it
   * @param tier instruction-set tier of the CPU library
   * @param threads of its pool
   * @param blas path of the BLAS that multiplied; "" for the plain kernel
   */
  record Machine(String device, String tier, int threads, String blas) {}

  private final Settings settings;
  private final List<Measurement> rows;
  private final Measurement last;
  private final double seconds;
  private final boolean interrupted;
  private final Machine machine;
  private final String parametersSha256;
  private final long parameters;
  private final DataSets data;
  private final int[][] labelCounts;
  private final MixingSchedule schedule;
  private final Optional<Privacy> privacy;
  private final Path folder;

  Outcome(
      Settings settings,
      List<Measurement> rows,
      Measurement last,
      double seconds,
      boolean interrupted,
      Machine machine,
      Experiment experiment,
      Path folder) {
    this.settings = settings;
    this.rows = List.copyOf(rows);
    this.last = last;
    this.seconds = seconds;
    this.interrupted = interrupted;
    this.machine = machine;
    this.parametersSha256 = experiment.parametersSha256();
    this.parameters = experiment.parameters();
    this.data = experiment.data();
    this.labelCounts = experiment.labelCounts();
    this.schedule = experiment.schedule();
    this.privacy = experiment.privacy();
    this.folder = folder;
  }

  /** What was asked for. */
  public Settings settings() {
    return settings;
  }

  /** What was measured on the way: the lines of metrics.csv. */
  public List<Measurement> rows() {
    return rows;
  }

  /** The state at the end, or where the run was stopped. */
  public Measurement last() {
    return last;
  }

  /** Wall time of all parts of the run. */
  public double seconds() {
    return seconds;
  }

  /** Whether it was stopped before its last round. */
  public boolean interrupted() {
    return interrupted;
  }

  /** Where its files are. */
  public Path folder() {
    return folder;
  }

  /** What the noise guarantees, where some was added. */
  public Optional<Privacy> privacy() {
    return privacy;
  }

  Machine machine() {
    return machine;
  }

  long parameters() {
    return parameters;
  }

  DataSets data() {
    return data;
  }

  MixingSchedule schedule() {
    return schedule;
  }

  Heatmap heatmap() {
    return new Heatmap(labelCounts, data.classNames());
  }

  /** The keys of {@code --json}. */
  public Map<String, Object> summary() {
    Map<String, Object> keys = new LinkedHashMap<>();
    keys.put("algorithm", settings.algorithmName());
    keys.put("topology", settings.topologyName());
    keys.put("nodes", settings.nodes());
    keys.put("rounds", last.round());
    keys.put("seconds", Math.round(seconds * 1000) / 1000.0);
    keys.put("bytesSent", last.bytes());
    keys.put("trainLoss", last.trainLoss());
    keys.put("testAccuracy", last.testAccuracy());
    keys.put("meanModelAccuracy", last.meanModelAccuracy());
    keys.put("consensusDistance", last.consensusDistance());
    keys.put("device", machine.device());
    keys.put("worstAccuracy", last.worstAccuracy());
    keys.put("meanModelTrainLoss", last.meanModelTrainLoss());
    keys.put("testLoss", last.testLoss());
    keys.put("meanModelTestLoss", last.meanModelTestLoss());
    keys.put("messagesSent", last.messages());
    keys.put("aliveNodes", last.aliveNodes());
    keys.put("compressionRatio", last.compressionRatio());
    keys.put("residualNorm", last.residualNorm());
    privacy.ifPresent(p -> keys.put("privacy", p.summary()));
    keys.put("interrupted", interrupted);
    keys.put("tier", machine.tier());
    keys.put("threads", machine.threads());
    keys.put("blas", machine.blas());
    keys.put("parameters", parameters);
    keys.put("parametersSha256", parametersSha256);
    keys.put("flags", settings.resolved());
    keys.put("folder", folder.toString());
    return keys;
  }

  /** {@link #summary} as a document. */
  public String json() {
    return Json.write(summary());
  }
}
