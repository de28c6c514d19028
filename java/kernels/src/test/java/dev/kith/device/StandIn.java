package dev.kith.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * A CUDA library that is none: the CPU library behind other answers to a few questions, so that all
 * that a machine may lack can be had on every machine.
 */
final class StandIn {
  private StandIn() {}

  /** A library of some devices, of which the one with this number, if any, is too old. */
  static Path devices(Path folder, int count, int tooOld) throws Exception {
    return compile(
        folder,
        """
        int kith_device_count(int32_t* count, kith_call* call) { (void)call; *count = %d; return 0; }
        int kith_device_open(int32_t ordinal, int32_t threads, kith_device** device, kith_call* call) {
          int (*open)(int32_t, int32_t, kith_device**, kith_call*) = dlsym(RTLD_NEXT, "kith_device_open");
          if (ordinal == %d) return say(call, 8, "kith_device_open: device %%d is of sm_70; Kith needs sm_75", ordinal);
          if (ordinal < %d) return open(0, threads, device, call);
          return say(call, 7, "kith_device_open: there is no device %%d", ordinal);
        }
        """
            .formatted(count, tooOld, count));
  }

  /** A library that cannot count. */
  static Path failing(Path folder, String why) throws Exception {
    return compile(
        folder,
        """
        int kith_device_count(int32_t* count, kith_call* call) {
          *count = 0;
          return say(call, 8, "kith_device_count: %s", 0);
        }
        """
            .formatted(why));
  }

  private static Path compile(Path folder, String answers) throws Exception {
    Path source =
        Files.writeString(
            folder.resolve("stand_in.c"),
            """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <stdint.h>
            #include <stdio.h>
            typedef struct kith_device kith_device;
            typedef struct { int64_t cursor, budget; char* error; int64_t capacity; } kith_call;
            const char* kith_backend(void) { return "cuda"; }
            static int say(kith_call* call, int status, const char* format, int number) {
              snprintf(call->error, call->capacity, format, number);
              return status;
            }
            """
                + answers);
    Path cpu = Path.of(Device.cpu().libraryPath());
    Path library = folder.resolve("libkith_cuda.so");
    List<String> command =
        List.of(
            "gcc",
            "-shared",
            "-fPIC",
            "-Wno-format-extra-args",
            "-o",
            library.toString(),
            source.toString(),
            "-Wl,--no-as-needed",
            cpu.toString(),
            "-Wl,-rpath," + cpu.getParent(),
            "-ldl");
    try {
      assertEquals(0, new ProcessBuilder(command).inheritIO().start().waitFor());
    } catch (IOException e) {
      assumeTrue(false, "this machine has no gcc");
    }
    return library;
  }
}
