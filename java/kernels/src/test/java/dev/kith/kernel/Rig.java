package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * One way to run the library: a device, on the CPU with an instruction-set tier, a number of
 * threads, and whether every native call is cut at the first block border. The bits of a result
 * depend on none of them. The property {@code kith.test.device} names a device other than the CPU
 * for the suites to run on.
 *
 * @param device the device's name
 * @param tier the tier's name
 * @param threads the size of the pool, the caller included
 * @param cut whether the budget of a native call is a nanosecond
 */
record Rig(String device, String tier, int threads, boolean cut) {
  private static final List<String> TIERS = List.of("scalar", "v2", "v3", "v4");
  private static final Device DEVICE = Device.named(System.getProperty("kith.test.device", "cpu"));

  /** What the suites run on. */
  static Device chosen() {
    return DEVICE;
  }

  /** Whether the suites run on the CPU, whose memory the host addresses. */
  static boolean onCpu() {
    return DEVICE.backend().equals("cpu");
  }

  /**
   * Every tier of this CPU with 1, 2, 3 and 7 threads, where every other one is cut; of another
   * device there is one way to run.
   */
  static List<Rig> all() {
    if (!onCpu()) {
      return List.of(best());
    }
    List<Rig> rigs = new ArrayList<>();
    int[] threads = {1, 2, 3, 7};
    for (String tier : tiers()) {
      for (int i = 0; i < threads.length; i++) {
        rigs.add(
            new Rig(DEVICE.name(), tier, threads[i], (i + rigs.size() / threads.length) % 2 == 1));
      }
    }
    return rigs;
  }

  /** The best tier, two threads, uncut: for what does not depend on the rig. */
  static Rig best() {
    return onCpu()
        ? new Rig(DEVICE.name(), tiers().getLast(), 2, false)
        : new Rig(DEVICE.name(), DEVICE.tier(), DEVICE.threads(), false);
  }

  /** The best tier, three threads, cut; on another device than the CPU there is nothing to cut. */
  static Rig cutUp() {
    return onCpu() ? new Rig(DEVICE.name(), tiers().getLast(), 3, true) : best();
  }

  /** The tiers that this CPU and system have, the best one last. */
  private static List<String> tiers() {
    List<String> found = new ArrayList<>();
    String present = DEVICE.tier();
    for (String tier : TIERS) {
      try {
        Access.device(DEVICE).tier(tier);
        found.add(tier);
      } catch (UnsupportedOperationException e) {
        System.out.println("tier " + tier + " is not tested: " + e.getMessage());
      }
    }
    Access.device(DEVICE).tier(present);
    return found;
  }

  /** Switches the library over until the session is closed. */
  Session open() {
    return new Session(this);
  }

  /** A queue of a rig, and the memory of its operands. */
  static final class Session implements AutoCloseable {
    private final String tierBefore = DEVICE.tier();
    private final int threadsBefore = DEVICE.threads();
    private final Queue queue;
    private final List<Operand> open = new ArrayList<>();
    private final List<GuardedMemory> idle = new ArrayList<>();
    private final List<DeviceMatrix> kept = new ArrayList<>();
    private final Rig rig;
    private int turn;

    private Session(Rig rig) {
      this.rig = rig;
      if (onCpu()) {
        DEVICE.tier(rig.tier());
        DEVICE.threads(rig.threads());
      }
      queue = DEVICE.newQueue();
      if (rig.cut()) {
        budget(1);
      }
    }

    Queue queue() {
      return queue;
    }

    String tier() {
      return rig.tier();
    }

    boolean cut() {
      return rig.cut();
    }

    /** Whether the host addresses the memory that operands lie in. */
    boolean onHost() {
      return onCpu();
    }

    /** Sets how long one native call may work before it comes back. */
    void budget(long nanos) {
      Access.queue(queue)
          .call()
          .set(ValueLayout.JAVA_LONG, Abi.offset(Abi.CALL, "budget_ns"), nanos);
    }

    /** An operand with these values, placed differently from one call to the next. */
    Operand operand(DType t, double[][] values, int cols) {
      Operand.Placement[] all = Operand.Placement.values();
      return operand(t, values, cols, all[turn++ % all.length]);
    }

    Operand operand(DType t, double[][] values, int cols, Operand.Placement placement) {
      Operand operand = new Operand(this, t, values, cols, placement);
      open.add(operand);
      return operand;
    }

    /** Closes a matrix or a view with the session. */
    DeviceMatrix keep(DeviceMatrix matrix) {
      kept.add(matrix);
      return matrix;
    }

    DeviceMatrix matrix(DType t, double[][] values, int cols) {
      return operand(t, values, cols).matrix();
    }

    GuardedMemory take(long bytes) {
      for (int i = idle.size() - 1; i >= 0; i--) {
        if (idle.get(i).bytes() >= bytes && idle.get(i).bytes() <= 2 * bytes + (1 << 16)) {
          return idle.remove(i);
        }
      }
      return new GuardedMemory(bytes);
    }

    void give(GuardedMemory memory) {
      idle.add(memory);
    }

    /** Closes the operands, after a look at what lies around them. */
    void release() {
      for (Operand operand : open) {
        operand.close();
      }
      open.clear();
    }

    /** Closes the operands of a case that failed. */
    void abandon() {
      for (Operand operand : open) {
        operand.discard();
      }
      open.clear();
    }

    @Override
    public void close() {
      kept.reversed().forEach(DeviceMatrix::close);
      abandon();
      for (GuardedMemory memory : idle) {
        memory.close();
      }
      queue.close();
      if (onCpu()) {
        DEVICE.threads(threadsBefore);
        DEVICE.tier(tierBefore);
      }
    }
  }
}
