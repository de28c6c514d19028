package dev.kith.lab.data;

import dev.kith.problem.ClassificationData;
import java.util.List;

/**
 * What a file holds, before any scaling.
 *
 * @param samples the numbers as they stand in the file
 * @param format "idx", "csv" or "libsvm"
 * @param pixelMaximum the largest grey level where the features are pixels of one scale, else 0
 * @param classNames what the file calls class 0, 1, ...
 * @param sha256 of each file as stored, images before labels where these are two, in hexadecimal
 */
public record RawData(
    ClassificationData samples,
    String format,
    float pixelMaximum,
    List<String> classNames,
    List<String> sha256) {
  /** Copies the names and checksums. */
  public RawData {
    classNames = List.copyOf(classNames);
    sha256 = List.copyOf(sha256);
  }
}
