package dev.kith.lab.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.problem.ClassificationData;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ShippedDataTest {
  @Test
  void everyFileHasTheChecksumThatTheNoticeStates() throws Exception {
    String notice = Files.readString(Path.of("../../NOTICE"));
    List<String> found = new ArrayList<>();
    Matcher line = Pattern.compile("([0-9a-f]{64})  (digits\\S+|mnist-10k\\S+)").matcher(notice);
    while (line.find()) {
      try (DataStream in = DataFiles.resource(line.group(2))) {
        assertEquals(line.group(1), in.sha256(), line.group(2));
      }
      found.add(line.group(2));
    }
    List<String> shipped =
        ShippedData.all().stream().flatMap(data -> data.resources().stream()).sorted().toList();
    assertEquals(shipped, found.stream().sorted().toList());
  }

  @Test
  void mnistHasTheLabelCountsOfItsTestPart() {
    RawData mnist = ShippedData.MNIST.read();
    assertEquals(10_000, mnist.samples().samples());
    assertEquals(784, mnist.samples().features());
    assertArrayEquals(
        new int[] {980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009},
        mnist.samples().labelCounts());
    // The first image is the well-known 7; its brightest stroke starts in row 7.
    assertEquals(7, mnist.samples().label(0));
    assertEquals(84, mnist.samples().value(0, 7 * 28 + 6));
  }

  @Test
  void digitsHaveTheLabelCountsOfScikitLearn() {
    RawData digits = ShippedData.DIGITS.read();
    assertEquals(1797, digits.samples().samples());
    assertEquals(64, digits.samples().features());
    assertArrayEquals(
        new int[] {178, 182, 177, 183, 181, 182, 181, 179, 174, 180},
        digits.samples().labelCounts());
    assertEquals(5, digits.samples().value(0, 2));
    assertEquals(16, digits.pixelMaximum());
  }

  @Test
  void mnistIsSplitEightToTwoByTheDataSeed() {
    DataSets one = DataSets.load("mnist", Optional.empty(), "last", Scaling.UNIT, 1);
    DataSets again = DataSets.load("mnist", Optional.empty(), "last", Scaling.UNIT, 1);
    DataSets other = DataSets.load("mnist", Optional.empty(), "last", Scaling.UNIT, 2);
    assertEquals(8000, one.train().samples());
    assertEquals(2000, one.test().samples());
    int differ = 0;
    for (int i = 0; i < 2000; i++) {
      assertEquals(one.test().label(i), again.test().label(i));
      differ += one.test().label(i) == other.test().label(i) ? 0 : 1;
    }
    assertTrue(differ > 1000, "another seed gives another split");
    int[] train = one.train().labelCounts();
    int[] test = one.test().labelCounts();
    int[] all = ShippedData.MNIST.read().samples().labelCounts();
    for (int c = 0; c < 10; c++) {
      assertEquals(all[c], train[c] + test[c]);
    }
  }

  @ParameterizedTest
  @EnumSource
  void scalingUsesTheTrainingPartAlone(Scaling scaling) {
    DataSets data = DataSets.load("digits", Optional.empty(), "last", scaling, 3);
    double sum = 0;
    double squares = 0;
    double low = 0;
    double high = 0;
    ClassificationData train = data.train();
    for (int i = 0; i < train.samples(); i++) {
      for (int j = 0; j < 64; j++) {
        double value = train.value(i, j);
        sum += value;
        squares += value * value;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    double count = 64.0 * train.samples();
    double mean = sum / count;
    double variance = squares / count - mean * mean;
    switch (scaling) {
      case UNIT -> {
        assertEquals(0, low);
        assertEquals(1, high);
      }
      case CENTRED -> {
        assertEquals(0, mean, 1e-6);
        assertEquals(2, high - low, 1e-6);
      }
      case STANDARD -> {
        assertEquals(0, mean, 1e-6);
        assertEquals(1, variance, 1e-5);
      }
    }
  }

  @Test
  void aColumnWithoutSpreadBecomesZero() {
    ClassificationData flat =
        ClassificationData.of("flat", 2, 2, new float[] {3, 1, 3, 5, 3, 3}, new int[] {0, 1, 0});
    for (Scaling scaling : Scaling.values()) {
      ClassificationData scaled = scaling.apply(flat, flat, 0).train();
      for (int i = 0; i < 3; i++) {
        assertEquals(0, scaled.value(i, 0), scaling.name());
      }
      assertTrue(scaled.value(1, 1) > scaled.value(0, 1));
    }
  }
}
