package dev.kith.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class GoalTableTest {
  @Test
  void rowNamesAreThoseThatNeverChange() {
    assertEquals(
        List.of(
            "mix-ring-16x4000000-f32",
            "mix-ring-16x4194304-f32",
            "atc-ring-16x4000000-f32",
            "mix-er8-64x1000000-f32",
            "mix-dense-16x4000000-f32",
            "adamw-64M-f32",
            "adamw-64M-f32-bf16grad",
            "dsgt-ring-16x4000000-f32",
            "rownorm-16x4000000-f32",
            "consensus-16x4000000-f32",
            "call-64",
            "mix-regular4-100000x64-f32",
            "mix-regular4-1000000x64-f32",
            "topk-25M-1pct-f32",
            "topk-ef-25M-1pct-f32",
            "powersgd-4096-r4",
            "int8-quantize-25M",
            "int8-accumulate-25M",
            "qsgd4-25M",
            "sign-pack-64M",
            "sign-majority-16x4M",
            "round-int8-ring-16x4M",
            "philox-64M",
            "chacha20-64M",
            "normal-f32-64M",
            "corn-64x1M",
            "pairwise-ring-16x4M",
            "perturb16-64M-gaussian",
            "perturb16-64M-rademacher",
            "corn-solver-256",
            "adahessian-64M",
            "sophia-64M",
            "oasis-64M",
            "cg-25M",
            "lbfgs-25M-m10",
            "newton-schulz-1024x4096",
            "newton-schulz-2048",
            "soap-64x256",
            "polar-1024x64x8",
            "train-softmax-200",
            "train-mlp-500"),
        GoalRow.ALL.stream().map(GoalRow::name).toList());
  }

  @Test
  void bytesCountEachStreamOnce() {
    GoalRow fused = GoalRow.ALL.get(2);
    assertEquals(16L * 4_000_000 * 12, fused.workload().orElseThrow().bytes());
    GoalRow adamw = GoalRow.ALL.get(5);
    assertEquals(64_000_000L * 28, adamw.workload().orElseThrow().bytes());
    assertEquals(25_000_000L * 44, Workload.parse("cg-1x25000000").bytes());
    // s, y and g are formed from five and a copy; 21 are read twice, and the direction is written.
    assertEquals(1000L * (8 + 21 + 22) * 4, Workload.parse("lbfgs-m10-1x1000").bytes());
    assertEquals(1000 * 33 / 8, Workload.parse("sign-pack-1x1000").bytes());
    assertEquals(1000 * 4, Workload.parse("philox-1x1000").bytes());
    assertEquals(64 * 100 * 8, Workload.parse("corn-64x100").bytes());
    assertEquals(1000 * (16 + 1) / 8, Workload.parse("sign-majority-16x1000").bytes());
  }

  @Test
  void aGoalThatWasNotMeasuredIsNotReached() {
    Goal.Outcome outcome = Goal.faster(3, "libtorch", "libtorch").judge(Map.of("nd4j", 9.0));
    assertEquals(Goal.NOT_MEASURED, outcome.verdict());
  }

  @Test
  void shareMustReachItsGoalAndTimeMustStayBelow() {
    assertEquals(Goal.REACHED, Goal.twin(0.95).judge(Map.of("twin", 0.95)).verdict());
    assertEquals(Goal.MISSED, Goal.twin(0.95).judge(Map.of("twin", 0.9499)).verdict());
    assertEquals(Goal.MISSED, Goal.below("ms", 5, "").judge(Map.of("ms", 5.0)).verdict());
    assertEquals(Goal.MISSED, Goal.twin(0.95).judge(Map.of("twin", Double.NaN)).verdict());
  }

  @Test
  void theRatioOfAPairIsTakenBeforeTheMedian() throws Exception {
    // The machine slows down by ten in the middle: both members of a pair feel it, the ratio does
    // not.
    double[] slow = {1, 1, 10, 10, 10};
    int[] run = {0, 0};
    Paired paired = Paired.alternate(() -> slow[run[0]++], () -> 2 * slow[run[1]++], 5);
    assertEquals(2, paired.ratio());
    assertEquals(2, paired.low());
    assertTrue(paired.nanos() == 10 && paired.otherNanos() == 20);
  }
}
