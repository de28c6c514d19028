package dev.kith.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Opens libraries, and says why one does not open: {@link SymbolLookup#libraryLookup} keeps the
 * text of the dynamic linker to itself. Thread-safe.
 */
final class DynamicLinker {
  private static final int RTLD_LAZY = 1;

  private DynamicLinker() {}

  /**
   * Opens a library for the life of the process.
   *
   * @throws UnsatisfiedLinkError with the reason, if it does not open
   */
  static SymbolLookup open(Path library) {
    try {
      return SymbolLookup.libraryLookup(library, Arena.global());
    } catch (IllegalArgumentException e) {
      UnsatisfiedLinkError error =
          new UnsatisfiedLinkError(
              explain(library, complaint(library).orElse("the dynamic linker cannot open it")));
      error.initCause(e);
      throw error;
    }
  }

  /** The dynamic linker speaks of segments where a folder refuses execution. */
  static String explain(Path library, String text) {
    if (text.contains("failed to map segment")) {
      return "the file system of " + library.getParent() + " is mounted noexec (" + text + ")";
    }
    return text;
  }

  /** Opens the library once more, and asks for the error. */
  private static Optional<String> complaint(Path library) {
    Linker linker = Linker.nativeLinker();
    Optional<MemorySegment> open = linker.defaultLookup().find("dlopen");
    Optional<MemorySegment> error = linker.defaultLookup().find("dlerror");
    if (open.isEmpty() || error.isEmpty()) {
      return Optional.empty();
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment ignored =
          (MemorySegment)
              linker
                  .downcallHandle(
                      open.get(),
                      FunctionDescriptor.of(
                          ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.JAVA_INT))
                  .invokeExact(arena.allocateFrom(library.toString()), RTLD_LAZY);
      MemorySegment text =
          (MemorySegment)
              linker
                  .downcallHandle(error.get(), FunctionDescriptor.of(ValueLayout.ADDRESS))
                  .invokeExact();
      return ignored.address() != 0 || text.address() == 0
          ? Optional.empty()
          : Optional.of(text.reinterpret(Long.MAX_VALUE).getString(0));
    } catch (Throwable t) {
      throw new AssertionError("the call of dlopen or dlerror failed", t);
    }
  }
}
