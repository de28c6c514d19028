package dev.kith.lab.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.problem.ClassificationData;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class DataFilesTest {
  @TempDir Path folder;

  private Path text(String name, String content) throws IOException {
    return Files.writeString(folder.resolve(name), content);
  }

  private Path bytes(String name, int... content) throws IOException {
    byte[] bytes = new byte[content.length];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) content[i];
    }
    return Files.write(folder.resolve(name), bytes);
  }

  private static String fault(Path path) {
    return assertThrows(DataFileException.class, () -> DataFiles.read(path, "last")).getMessage();
  }

  private static float[] all(ClassificationData data) {
    int[] rows = new int[data.samples()];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = i;
    }
    return data.rows(rows);
  }

  @Test
  void csvWithHeaderAndNamedClasses() throws IOException {
    Path path = text("a.csv", "length,width,kind\n1.5,2,\"b \"\"x\"\"\"\n\n-3e1, 4 ,a\r\n0,.5,a\n");
    RawData data = DataFiles.read(path, "last");
    assertEquals("csv", data.format());
    assertArrayEquals(new float[] {1.5f, 2, -30, 4, 0, .5f}, all(data.samples()));
    assertEquals(List.of("a", "b \"x\""), data.classNames());
    assertArrayEquals(new int[] {1, 0, 0}, data.samples().labels(0, 1, 2));
  }

  @ParameterizedTest
  @CsvSource({"first", "1", "kind"})
  void csvLabelColumnIsChosen(String column) throws IOException {
    Path path = text("a.csv", "kind;u;v\n10;1;2\n9;3;4\n");
    RawData data = DataFiles.read(path, column);
    assertArrayEquals(new float[] {1, 2, 3, 4}, all(data.samples()));
    assertEquals(
        List.of("9", "10"), data.classNames(), "labels that are numbers are sorted as such");
  }

  @Test
  void csvIsReadGzipped() throws IOException {
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    try (GZIPOutputStream out = new GZIPOutputStream(packed)) {
      out.write("1,0\n2,1\n".getBytes(StandardCharsets.US_ASCII));
    }
    Path path = Files.write(folder.resolve("a.bin"), packed.toByteArray());
    assertArrayEquals(new float[] {1, 2}, all(DataFiles.read(path, "last").samples()));
    Path cut = Files.write(folder.resolve("cut.gz"), Arrays.copyOf(packed.toByteArray(), 18));
    assertTrue(
        fault(cut).startsWith("cut.gz is damaged: its gzip stream breaks after "), fault(cut));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          1,2,a;1,x,a           | a.csv, line 2, column 3: 'x' is not a number
          1,2,a;1,0x1p3,a       | a.csv, line 2, column 3: '0x1p3' is not a number
          1,2,a;1,NaN,a         | a.csv, line 2, column 3: 'NaN' is not a number
          1,2,a;1,1e99,a        | a.csv, line 2, column 3: '1e99' is larger than a 32-bit float can hold
          1,2,a;1,,a            | a.csv, line 2, column 3: a number is missing
          1,2,a;1,2             | a.csv, line 2, column 4: the line has 2 fields, the first line has 3
          1,2,a;1,2,3,4         | a.csv, line 2, column 7: the line has 4 fields, the first line has 3
          1,2,a;1,2,            | a.csv, line 2, column 5: the label is missing
          1,2,a;1,2,"a          | a.csv, line 2, column 5: the quoted field does not end on this line
          1,2,a;1,"2"3,a        | a.csv, line 2, column 6: a separator is missing after the quoted field
          a,b,c                 | a.csv holds a header and no line of data
          1                     | a.csv, line 1, column 1: a line needs at least one number and a label, separated by commas
          """)
  void csvFaultsNameFileLineAndColumn(String content, String message) throws IOException {
    assertEquals(message, fault(text("a.csv", content.replace(';', '\n') + "\n")));
  }

  @Test
  void aCsvColumnThatDoesNotExistIsNamed() throws IOException {
    Path path = text("a.csv", "u,v,kind\n1,2,3\n");
    for (String column : List.of("7", "sort")) {
      String message =
          assertThrows(DataFileException.class, () -> DataFiles.read(path, column)).getMessage();
      assertTrue(message.contains(column), message);
    }
  }

  @Test
  void aByteOrderMarkIsNoPartOfTheFirstField() throws IOException {
    RawData plain = DataFiles.read(text("a.csv", "\uFEFF1,0,a\n2,1,b\n"), "last");
    assertArrayEquals(new float[] {1, 0, 2, 1}, all(plain.samples()));
    RawData named = DataFiles.read(text("b.csv", "\uFEFFkind,u\na,1\nb,2\n"), "kind");
    assertArrayEquals(new float[] {1, 2}, all(named.samples()));
    RawData sparse = DataFiles.read(text("c.txt", "\uFEFF1 1:0.5\n-1 2:1\n"), "last");
    assertEquals(List.of("-1", "1"), sparse.classNames());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "# made by hand\n1 1:0.5\n-1 2:1\n",
        "-1\n1 1:0.5 2:1\n",
        "\n \n1 # zero\n-1 1:1 2:1\n"
      })
  void libsvmFilesMayBeginWithCommentsAndRowsOfZeros(String content) throws IOException {
    RawData data = DataFiles.read(text("a.txt", content), "last");
    assertEquals("libsvm", data.format());
    assertEquals(2, data.samples().samples());
  }

  @Test
  void aSmallSparseFileDoesNotBecomeGigabytes() throws IOException {
    String message = fault(text("a.txt", "1 1048576:1\n".repeat(1024)));
    assertTrue(message.contains("a.txt has 1024 lines and indices up to 1048576"), message);
  }

  @Test
  void libsvm() throws IOException {
    Path path = text("a.txt", "+1 1:0.5 4:-2 # comment\n-1 2:1\n\n+1\n");
    RawData data = DataFiles.read(path, "last");
    assertEquals("libsvm", data.format());
    assertArrayEquals(new float[] {.5f, 0, 0, -2, 0, 1, 0, 0, 0, 0, 0, 0}, all(data.samples()));
    assertEquals(List.of("-1", "1"), data.classNames());
    assertArrayEquals(new int[] {1, 0, 1}, data.samples().labels(0, 1, 2));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          1 1:2;1 0:1          | a.txt, line 2, column 3: index 0 lies outside 1 to 1048576; LIBSVM counts features from 1
          1 1:2;1 99999999:1   | a.txt, line 2, column 3: index 99999999 lies outside 1 to 1048576; LIBSVM counts features from 1
          1 1:2;1 x:1          | a.txt, line 2, column 3: 'x' is not an index
          1 1:2;1 3:1 3:1      | a.txt, line 2, column 7: index 3 follows index 3; indices must ascend
          1 1:2;1 3:a          | a.txt, line 2, column 5: 'a' is not a number
          1 1:2;1 3            | a.txt, line 2, column 3: '3' is not INDEX:VALUE
          1 1:2;a 3:1          | a.txt, line 2, column 1: 'a' is not a number
          """)
  void libsvmFaultsNameFileLineAndColumn(String content, String message) throws IOException {
    assertEquals(message, fault(text("a.txt", content.replace(';', '\n') + "\n")));
  }

  @Test
  void aSparseBombIsRefusedBeforeItIsUnpacked() throws IOException {
    String line = "1 1048576:1\n";
    Path path = text("a.txt", line.repeat(2000));
    assertTrue(fault(path).startsWith("a.txt has 2000 lines and 1048576 features, more than the "));
  }

  @Test
  void aTestFileIsAlignedWithTheTrainingFile() throws IOException {
    Path train = text("train.txt", "3 1:1 5:1\n1 2:1\n");
    Path test = text("test.txt", "1 1:1\n");
    DataSets data =
        DataSets.load(train.toString(), Optional.of(test.toString()), "last", Scaling.UNIT, 1);
    assertEquals(5, data.test().features());
    assertEquals(0, data.test().label(0));
    Path unknown = text("unknown.txt", "2 1:1\n");
    String message =
        assertThrows(
                DataFileException.class,
                () ->
                    DataSets.load(
                        train.toString(), Optional.of(unknown.toString()), "last", Scaling.UNIT, 1))
            .getMessage();
    assertEquals("label '2' of unknown.txt does not occur in train.txt", message);
  }

  @Test
  void idxImagesFindTheirLabels() throws IOException {
    Path images =
        bytes("x-images-idx3-ubyte", 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 255, 3, 4);
    assertEquals(
        "the labels of %s are missing: there is no %s nor %s"
            .formatted(
                images,
                folder.resolve("x-labels-idx1-ubyte"),
                folder.resolve("x-labels-idx1-ubyte.gz")),
        fault(images));
    bytes("x-labels-idx1-ubyte", 0, 0, 8, 1, 0, 0, 0, 2, 2, 0);
    RawData data = DataFiles.read(images, "last");
    assertEquals("idx", data.format());
    assertEquals(255, data.pixelMaximum());
    assertArrayEquals(new float[] {1, 255, 3, 4}, all(data.samples()));
    assertArrayEquals(new int[] {2, 0}, data.samples().labels(0, 1));
    assertEquals(3, data.samples().classes());
  }

  @Test
  void idxFaultsNameTheFileAndTheByte() throws IOException {
    bytes("x-labels-idx1-ubyte", 0, 0, 8, 1, 0, 0, 0, 2, 2, 0);
    int[] good = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 255, 3, 4};
    String name = "x-images-idx3-ubyte";
    assertEquals(
        name + " ends after byte 19; its header promises 20 bytes",
        fault(bytes(name, Arrays.copyOf(good, 19))));
    assertEquals(
        name + " goes on after byte 20, where its header says that it ends",
        fault(bytes(name, Arrays.copyOf(good, 21))));
    assertEquals(
        name + " ends after byte 10; an IDX header has at least 16",
        fault(bytes(name, Arrays.copyOf(good, 10))));
    int[] floats = good.clone();
    floats[2] = 0x0d;
    assertTrue(fault(bytes(name, floats)).contains("only unsigned bytes (0x08) are read"));
    int[] three = good.clone();
    three[7] = 3;
    assertTrue(
        fault(bytes(name, three)).contains("holds 3 images and x-labels-idx1-ubyte 2 labels"));
    // Two thousand million images promised by a file of twenty bytes: refused without the memory
    // for them.
    int[] bomb = good.clone();
    bomb[4] = 0x7f;
    assertTrue(fault(bytes(name, bomb)).contains("more than 2^31 elements together"));
    int[] negative = good.clone();
    negative[4] = 0xff;
    assertTrue(fault(bytes(name, negative)).contains("below 1"));
  }

  @Test
  void filesThatAreNoDataAreRefused() throws IOException {
    assertEquals("there is no file " + folder.resolve("none"), fault(folder.resolve("none")));
    assertEquals(folder + " is a folder; name a file in it", fault(folder));
    assertTrue(fault(text("empty", "")).endsWith("is empty"));
    assertTrue(fault(text("binary", "\u0001\0\0\0abc\n")).contains("is neither IDX nor text"));
  }

  @Test
  void aLineWithoutEndIsCutOff() throws IOException {
    Path path = text("long.csv", "1,2\n" + "1".repeat(TextLines.LONGEST + 1));
    assertTrue(fault(path).contains("line 2"), fault(path));
    assertTrue(fault(path).endsWith("the line is longer than 33554432 bytes"), fault(path));
  }

  @Test
  void aGzipBombIsCutOff() throws IOException {
    Path path = folder.resolve("bomb.gz");
    byte[] zeros = new byte[1 << 20];
    Arrays.fill(zeros, (byte) '1');
    try (GZIPOutputStream out = new GZIPOutputStream(Files.newOutputStream(path))) {
      for (int i = 0; i < 40; i++) {
        out.write(zeros);
      }
    }
    assertTrue(Files.size(path) < 100_000);
    assertTrue(fault(path).endsWith("the line is longer than 33554432 bytes"), fault(path));
  }

  /** Whatever is done to a good file, it is read or refused with the one exception made for it. */
  @Test
  void randomlyDamagedFilesNeverGiveAnotherException() throws IOException {
    byte[][] good = {
      "a,b,kind\n1,2,x\n3,4.5,\"y\"\n-1,0,x\n".getBytes(StandardCharsets.US_ASCII),
      "+1 1:0.5 4:-2\n-1 2:1 # c\n".getBytes(StandardCharsets.US_ASCII),
      {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 3, 4}
    };
    bytes("f-labels-idx1-ubyte", 0, 0, 8, 1, 0, 0, 0, 2, 2, 0);
    Random random = new Random(20);
    for (int trial = 0; trial < 3000; trial++) {
      byte[] content = good[trial % 3].clone();
      for (int hits = random.nextInt(4); hits >= 0; hits--) {
        content[random.nextInt(content.length)] = (byte) random.nextInt(256);
      }
      if (random.nextInt(4) == 0) {
        content = Arrays.copyOf(content, random.nextInt(content.length + 1));
      }
      Path path = Files.write(folder.resolve("f-images-idx3-ubyte"), content);
      try {
        assertTrue(DataFiles.read(path, "last").samples().samples() > 0);
      } catch (DataFileException e) {
        assertTrue(e.getMessage().length() < 400, e.getMessage());
      }
    }
  }
}
