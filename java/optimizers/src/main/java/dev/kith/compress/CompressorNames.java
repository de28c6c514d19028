package dev.kith.compress;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** Reads the names of compressors: a word, then values and options after colons. */
final class CompressorNames {
  private static final String KNOWN =
      "identity, top-k:K, random-k:K, threshold:T:capacity=K, sampled-top-k:K, power-sgd:RANK, NAME@tensors, qsgd:LEVELS, "
          + Arrays.stream(Quantizer.Method.values())
              .filter(m -> m != Quantizer.Method.QSGD)
              .map(Quantizer.Method::label)
              .collect(Collectors.joining(", "));

  private final String name;
  private final List<String> options;

  private CompressorNames(String name, String part) {
    this.name = name;
    this.options = new ArrayList<>(Arrays.asList(part.split(":", -1)));
  }

  static Compressor parse(String name) {
    int at = name.indexOf('@');
    if (at < 0) {
      return parseRow(name);
    }
    CompressorNames rest = new CompressorNames(name, name.substring(at + 1));
    if (!rest.options.removeFirst().equals("tensors")) {
      throw new IllegalArgumentException(
          "the compressor '" + name + "' goes on with '@': only @tensors is possible");
    }
    List<String> dense =
        rest.option("dense").map(groups -> List.of(groups.split(",", -1))).orElse(List.of());
    rest.requireAllTaken();
    return new PerTensor(parseRow(name.substring(0, at)), dense);
  }

  private static Compressor parseRow(String name) {
    int plus = name.indexOf('+');
    if (plus < 0) {
      return new CompressorNames(name, name).read();
    }
    Compressor first = new CompressorNames(name, name.substring(0, plus)).read();
    Compressor second = new CompressorNames(name, name.substring(plus + 1)).read();
    if (first instanceof PowerSgd power && second instanceof Quantizer quantizer) {
      return power.then(quantizer);
    }
    throw new IllegalArgumentException(
        "the compressor '"
            + name
            + "' joins what does not fit: only power-sgd can be followed, by a quantizer");
  }

  private Compressor read() {
    String word = options.removeFirst();
    Compressor compressor =
        switch (word) {
          case "identity" -> new Identity();
          case "top-k" -> new TopK(amount(value("k")), block().orElse(0L));
          case "random-k" -> new RandomK(amount(value("k")), !flag("unscaled"), flag("common"));
          case "threshold" ->
              new Threshold(
                  number(value("a threshold")),
                  amount(option("capacity").orElseThrow(() -> missing("capacity="))));
          case "sampled-top-k" ->
              new SampledTopK(
                  amount(value("k")), option("sample").map(this::amount).orElse(SampledTopK.USUAL));
          case "power-sgd" -> new PowerSgd(whole(value("a rank")), !flag("cold"), Optional.empty());
          case "qsgd" -> quantizer(Quantizer.qsgd(whole(value("levels"))));
          default ->
              quantizer(
                  Arrays.stream(Quantizer.Method.values())
                      .filter(m -> m != Quantizer.Method.QSGD && m.label().equals(word))
                      .findFirst()
                      .map(Quantizer::of)
                      .orElseThrow(
                          () ->
                              new IllegalArgumentException(
                                  "there is no compressor '" + name + "': take one of " + KNOWN)));
        };
    requireAllTaken();
    return compressor;
  }

  private void requireAllTaken() {
    if (!options.isEmpty()) {
      throw new IllegalArgumentException(
          "the compressor '" + name + "' does not take '" + options.getFirst() + "': leave it out");
    }
  }

  private Quantizer quantizer(Quantizer start) {
    Quantizer quantizer = block().map(start::withBlock).orElse(start);
    if (flag("max")) {
      quantizer = quantizer.withMaxNorm();
    }
    return flag("stochastic") ? quantizer.withStochasticRounding() : quantizer;
  }

  private IllegalArgumentException missing(String what) {
    return new IllegalArgumentException("the compressor '" + name + "' needs " + what);
  }

  /** The first option, which is a bare value. */
  private String value(String what) {
    if (options.isEmpty()) {
      throw missing(what + " after a colon");
    }
    return options.removeFirst();
  }

  private boolean flag(String word) {
    return options.remove(word);
  }

  private Optional<String> option(String key) {
    Optional<String> found =
        options.stream().filter(option -> option.startsWith(key + "=")).findFirst();
    found.ifPresent(options::remove);
    return found.map(option -> option.substring(key.length() + 1));
  }

  private Optional<Long> block() {
    Optional<String> text = option("block");
    if (text.isEmpty()) {
      return Optional.empty();
    }
    if (text.get().equals("row")) {
      return Optional.of(0L);
    }
    int block = whole(text.get());
    if (block < 1) {
      throw new IllegalArgumentException(
          "the compressor '" + name + "' has blocks of " + block + ": give at least 1, or row");
    }
    return Optional.of((long) block);
  }

  private Amount amount(String text) {
    return new Amount(number(text));
  }

  private double number(String text) {
    try {
      return Double.parseDouble(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "the compressor '" + name + "' has '" + text + "' where a number is needed", e);
    }
  }

  private int whole(String text) {
    try {
      return Integer.parseInt(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "the compressor '" + name + "' has '" + text + "' where a whole number is needed", e);
    }
  }
}
