package dev.kith.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kith.device.Device;
import dev.kith.jcuda.JCudaLibraries;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The GPU benchmark on the emulated device: right results, and a reason for each peer that is not
 * there.
 */
class GpuBenchTest {
  private static final String ROWS =
      "mix-ring-16x64M-f32,mix-ring-16x64M-bf16,gram-64x16M-f32,normal-f32-64M,newton-schulz-1024x4096";

  @TempDir private Path folder;

  @Test
  void aPeerThatIsNotThereHasAReasonAndFailsNothing() throws Exception {
    String why = Device.unavailableReason("emulated");
    assumeTrue(why.isEmpty(), why);
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(text, true, StandardCharsets.UTF_8);
    int code =
        GpuBench.run(
            List.of(
                "--device",
                "emulated",
                "--scale",
                "tiny",
                "--rows",
                ROWS,
                "--out",
                folder.toString()),
            out,
            out);
    assertEquals(0, code, text.toString(StandardCharsets.UTF_8));
    String page = Files.readString(folder.resolve("results.md"));
    String reason =
        JCudaLibraries.cublasProblem()
            .or(JCudaLibraries::runtimeProblem)
            .orElse("the queue is of device emulated; give one of CUDA");
    assertTrue(page.contains("- `mix-ring-16x64M-f32`: JCublas: cuBLAS: " + reason), page);
    assertTrue(page.contains("- `gram-64x16M-f32`: JCublas: cuBLAS: " + reason), page);
    assertTrue(!page.contains("failed"), page);
  }
}
