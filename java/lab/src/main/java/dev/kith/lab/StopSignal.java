package dev.kith.lab;

import java.util.concurrent.CountDownLatch;

/**
 * Ctrl-C and SIGTERM ask the loop to stop. The JVM then ends, with exit code 130 or 143, once
 * {@link #close} says that snapshot and report are written.
 */
final class StopSignal implements AutoCloseable {
  private final CountDownLatch done = new CountDownLatch(1);
  private final Thread hook;
  private volatile boolean asked;

  StopSignal() {
    hook = new Thread(this::waitForTheLoop, "kith-stop");
    Runtime.getRuntime().addShutdownHook(hook);
  }

  private void waitForTheLoop() {
    asked = true;
    try {
      done.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  boolean asked() {
    return asked;
  }

  @Override
  public void close() {
    done.countDown();
    if (!asked) {
      try {
        Runtime.getRuntime().removeShutdownHook(hook);
      } catch (IllegalStateException e) {
        // The signal came in this very moment: the hook finds the latch open.
        asked = true;
      }
    }
  }
}
