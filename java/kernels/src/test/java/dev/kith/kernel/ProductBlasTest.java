package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The products on OpenBLAS: within the same bounds, the same bits at any thread count and cut. */
class ProductBlasTest {
  private static final List<String> LIBRARIES =
      List.of("libgcc_s.so.1", "libquadmath.so.0", "libgfortran.so.5", "libopenblas.so.0");

  @TempDir static Path folder;

  private static Path library;

  @BeforeAll
  static void load() throws IOException {
    library = folder.resolve("libopenblas.so.0");
    for (String name : LIBRARIES) {
      String resource = "/org/bytedeco/openblas/linux-x86_64/" + name;
      try (InputStream in = ProductBlasTest.class.getResourceAsStream(resource)) {
        assumeTrue(in != null, "no OpenBLAS for this platform is on the class path");
        Files.copy(in, folder.resolve(name));
      }
    }
    assumeTrue(
        Product.useBlas(library.toString()), "the OpenBLAS of the class path does not load here");
  }

  @AfterAll
  static void forget() {
    Product.useBlas("");
    assertEquals("", Product.blas());
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void productsStayWithinTheBound(Rig rig) {
    assertEquals(library.toString(), Product.blas());
    Contract.run(rig, ProductTest.PRODUCTS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void symmetricProductsStayWithinTheBound(Rig rig) {
    assertEquals(library.toString(), Product.blas());
    Contract.run(rig, ProductTest.SYMMETRIC);
  }

  @Test
  void whatIsNoBlasIsRefusedAndTheOldOneStays() throws IOException {
    assertFalse(Product.useBlas(folder.resolve("absent.so").toString()));
    Path text = Files.writeString(folder.resolve("text.so"), "no library");
    assertFalse(Product.useBlas(text.toString()));
    assertFalse(Product.useBlas(folder.resolve("libgcc_s.so.1").toString()));
    assertEquals(library.toString(), Product.blas());
    assertTrue(Product.useBlas(library.toString()));
  }
}
