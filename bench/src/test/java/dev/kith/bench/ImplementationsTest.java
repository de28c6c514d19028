package dev.kith.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kith.device.Device;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every implementation computes what it claims to support, on sizes that no block or vector
 * divides.
 */
class ImplementationsTest {
  @ParameterizedTest
  @EnumSource(Operation.class)
  void everyImplementationThatSupportsAnOperationComputesIt(Operation operation) {
    computed(workload(operation), Implementations.names());
  }

  @ParameterizedTest
  @EnumSource(Operation.class)
  void anotherDeviceThanTheCpuComputesItToo(Operation operation) {
    String why = Device.unavailableReason("emulated");
    assumeTrue(why.isEmpty(), why);
    System.setProperty(KithKernels.DEVICE_PROPERTY, "emulated");
    try {
      computed(workload(operation), Implementations.names(KithKernels.device()));
    } finally {
      System.clearProperty(KithKernels.DEVICE_PROPERTY);
    }
  }

  private static Workload workload(Operation operation) {
    return switch (operation) {
      case ADAMW, ADAMW_BF16GRAD, HEAVY_BALL, CALL, LBFGS_M10 -> new Workload(operation, 1, 10_007);
      case PERTURB16_GAUSSIAN, PERTURB16_RADEMACHER -> new Workload(operation, 1, 10_007);
      case MULTIPLY -> new Workload(operation, 61, 61);
      case NEWTON_SCHULZ -> new Workload(operation, 32, 64);
      case SOAP -> new Workload(operation, 3, 17 * 17);
      case POLAR -> new Workload(operation, 19, 61 * 8);
      case MIX_REGULAR4, GATHER -> new Workload(operation, 1001, 13);
      case POWERSGD_R4 -> new Workload(operation, 1, 67 * 67);
      default -> new Workload(operation, 16, 5003);
    };
  }

  private static void computed(Workload workload, Iterable<String> names) {
    Reference reference = new Reference(workload);
    for (String name : names) {
      Implementation implementation = Implementations.named(name);
      if (implementation.supports(workload)) {
        try (Implementation.Task task = implementation.prepare(workload)) {
          task.run();
          if (!TwinLoop.isRoof(implementation)) {
            reference.check(name, task);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"mix-ring-16x100", "rownorm-16x100", "adamw-1x100", "philox-1x100", "corn-16x100"})
  void aWrongResultIsRefused(String name) {
    Workload workload = Workload.parse(name);
    Reference reference = new Reference(workload);
    assertThrows(
        IllegalStateException.class,
        () -> reference.check("wrong", 0, reference.at(0) * 1.01 + 1e-3));
    assertThrows(IllegalStateException.class, () -> reference.check("wrong", 0, Double.NaN));
  }

  @ParameterizedTest
  @CsvSource({
    "mix-ring-16x1000003, mix-ring-16x1023",
    "mix-regular4-100000x64, mix-regular4-256x64",
    "adamw-1x16000003, adamw-1x16383",
    "powersgd-r4-1x1018081, powersgd-r4-1x16384",
    "multiply-127x127, multiply-127x127",
    "newton-schulz-512x1024, newton-schulz-64x256",
    "polar-1024x512, polar-32x512",
    "rownorm-16x1024, rownorm-16x1024"
  })
  void aWorkloadShrinksToItsKind(String name, String smaller) {
    assertEquals(smaller, Workload.parse(name).within(16_384).name());
  }

  @ParameterizedTest
  @ValueSource(strings = {"mix-16x100x1", "mixring-16x100", "mix-ring-16"})
  void anUnknownWorkloadIsRefused(String name) {
    assertThrows(IllegalArgumentException.class, () -> Workload.parse(name));
  }
}
