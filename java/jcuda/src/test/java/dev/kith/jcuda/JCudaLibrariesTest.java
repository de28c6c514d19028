package dev.kith.jcuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kith.device.Device;
import dev.kith.device.Queue;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** A machine that lacks something gets a sentence, not an error of class initialization. */
class JCudaLibrariesTest {
  private static final boolean GPU = Device.unavailableReason("cuda").isEmpty();

  private static void oneSentence(Optional<String> problem, String part) {
    String text = problem.orElseThrow();
    assertTrue(text.contains(part), text);
    assertEquals(1, text.lines().count(), text);
    assertTrue(text.contains(";"), "what to do is missing: " + text);
  }

  @Test
  void withoutADriverBothApisSaySo() {
    if (GPU) {
      assertEquals(Optional.empty(), JCudaLibraries.runtimeProblem());
      assertEquals(Optional.empty(), JCudaLibraries.driverProblem());
      return;
    }
    oneSentence(JCudaLibraries.runtimeProblem(), "driver");
    oneSentence(JCudaLibraries.driverProblem(), "libcuda.so.1");
    // The second time the JVM has forgotten why.
    oneSentence(JCudaLibraries.driverProblem(), "libcuda.so.1");
  }

  @Test
  void withoutCublasOfCuda12ItsUserIsToldWhatToInstall() {
    Optional<String> problem = JCudaLibraries.cublasProblem();
    assumeTrue(problem.isPresent(), "this machine has libcublas.so.12");
    oneSentence(problem, "libcublas.so.12 was not found; install cuBLAS of CUDA 12");
    try (Queue queue = Device.cpu().newQueue()) {
      assertTrue(
          assertThrows(UnsupportedOperationException.class, () -> new CublasProducts(queue).close())
              .getMessage()
              .startsWith("cuBLAS: libcublas.so.12"));
    }
  }

  @Test
  void pagesBecomeSentences() {
    assertEquals(
        "a.B needs libnvrtc.so.12, which was not found; install it or set LD_LIBRARY_PATH to its"
            + " folder",
        JCudaLibraries.explain(
            "a.B", "Error\nlibX.so: libnvrtc.so.12: cannot open shared object file: No such"));
    assertEquals("a.B does not load: Error", JCudaLibraries.explain("a.B", "Error\nmore\nmore"));
  }
}
