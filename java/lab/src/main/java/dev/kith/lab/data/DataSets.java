package dev.kith.lab.data;

import dev.kith.problem.ClassificationData;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * A data set ready to train on: read, split and scaled.
 *
 * @param train scaled
 * @param test scaled by the constants of {@code train}
 * @param classNames what the file calls class 0, 1, ...
 * @param source the name or path that was given
 * @param sha256 of every file that was read, as stored
 */
public record DataSets(
    ClassificationData train,
    ClassificationData test,
    List<String> classNames,
    String source,
    List<String> sha256) {
  /** Copies the names and checksums. */
  public DataSets {
    classNames = List.copyOf(classNames);
    sha256 = List.copyOf(sha256);
  }

  /**
   * Loads data that ships (by its name) or a file (by its path).
   *
   * @param testPath a file to test on; without it a fifth of the samples is kept for testing, drawn
   *     by {@code dataSeed}
   */
  public static DataSets load(
      String nameOrPath,
      Optional<String> testPath,
      String labelColumn,
      Scaling scaling,
      long dataSeed) {
    RawData raw =
        ShippedData.named(nameOrPath)
            .map(ShippedData::read)
            .orElseGet(() -> DataFiles.read(nameOrPath, labelColumn));
    List<String> sha256 = new ArrayList<>(raw.sha256());
    ClassificationData.Split parts;
    if (testPath.isPresent()) {
      RawData test = DataFiles.read(testPath.get(), labelColumn);
      sha256.addAll(test.sha256());
      parts = aligned(raw, test);
    } else {
      int testSamples = raw.samples().samples() / 5;
      if (testSamples < 1) {
        throw new DataFileException(
            "%s holds %d samples; a fifth of them is kept for testing, so it takes at least five"
                .formatted(nameOrPath, raw.samples().samples()));
      }
      parts = raw.samples().split(testSamples, dataSeed);
    }
    parts = scaling.apply(parts.train(), parts.test(), raw.pixelMaximum());
    return new DataSets(parts.train(), parts.test(), raw.classNames(), nameOrPath, sha256);
  }

  /**
   * Sparse files end their rows where the last non-zero stands: the narrower part is widened by
   * zeros.
   */
  private static ClassificationData.Split aligned(RawData train, RawData test) {
    ClassificationData a = train.samples();
    ClassificationData b = test.samples();
    if (!train.format().equals(test.format())
        || (a.features() != b.features() && !train.format().equals("libsvm"))) {
      throw new DataFileException(
          "%s has %d features (%s) and %s has %d (%s); training and test file must agree"
              .formatted(
                  a.name(), a.features(), train.format(), b.name(), b.features(), test.format()));
    }
    int[] code = new int[test.classNames().size()];
    for (int c = 0; c < code.length; c++) {
      code[c] = train.classNames().indexOf(test.classNames().get(c));
      if (code[c] < 0 && test.samples().labelCounts()[c] > 0) {
        throw new DataFileException(
            "label '%s' of %s does not occur in %s"
                .formatted(test.classNames().get(c), b.name(), a.name()));
      }
    }
    int features = Math.max(a.features(), b.features());
    int[] same = new int[a.classes()];
    Arrays.setAll(same, c -> c);
    return new ClassificationData.Split(
        widened(a, features, same, a.classes()), widened(b, features, code, a.classes()));
  }

  private static ClassificationData widened(
      ClassificationData data, int features, int[] code, int classes) {
    float[] values = new float[Math.multiplyExact(data.samples(), features)];
    int[] labels = new int[data.samples()];
    for (int i = 0; i < labels.length; i++) {
      System.arraycopy(data.rows(i), 0, values, i * features, data.features());
      labels[i] = code[data.label(i)];
    }
    return ClassificationData.of(data.name(), features, classes, values, labels);
  }
}
