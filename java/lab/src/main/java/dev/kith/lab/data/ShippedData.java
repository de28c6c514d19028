package dev.kith.lab.data;

import java.util.List;
import java.util.Optional;

/**
 * A data set in this jar; origin, licence and checksums stand in NOTICE.
 *
 * @param shortName as {@code --data} takes it
 * @param description one line for people
 * @param resources the files that hold it, beside this class
 */
public record ShippedData(String shortName, String description, List<String> resources) {
  /** 10,000 handwritten digits of 28 x 28 grey levels 0 to 255. */
  public static final ShippedData MNIST =
      new ShippedData(
          "mnist",
          "10,000 handwritten digits, 28 x 28 pixels (the test part of MNIST)",
          List.of("mnist-10k-images-idx3-ubyte.gz", "mnist-10k-labels-idx1-ubyte.gz"));

  /** 1,797 handwritten digits of 8 x 8 counts 0 to 16. */
  public static final ShippedData DIGITS =
      new ShippedData(
          "digits",
          "1,797 handwritten digits, 8 x 8 pixels (UCI, as in scikit-learn)",
          List.of("digits.csv.gz"));

  /** Copies the list. */
  public ShippedData {
    resources = List.copyOf(resources);
  }

  /** Everything that ships. */
  public static List<ShippedData> all() {
    return List.of(MNIST, DIGITS);
  }

  /** The set of this name, if it ships. */
  public static Optional<ShippedData> named(String name) {
    return all().stream().filter(data -> data.shortName.equals(name)).findFirst();
  }

  /** Reads it. */
  public RawData read() {
    if (resources.size() == 2) {
      try (DataStream images = DataFiles.resource(resources.get(0));
          DataStream labels = DataFiles.resource(resources.get(1))) {
        return IdxReader.read(shortName, images, labels);
      }
    }
    try (DataStream in = DataFiles.resource(resources.getFirst())) {
      RawData csv = CsvReader.read(shortName, in, "last");
      return new RawData(csv.samples(), "csv", 16, csv.classNames(), csv.sha256());
    }
  }
}
