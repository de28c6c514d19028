package dev.kith.jcuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import java.nio.ByteBuffer;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.runtime.cudaStream_t;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/**
 * Pointers and streams travel both ways without a copy. On a machine without a GPU the emulated
 * device stands for one: its addresses and streams are as good to Kith, and JCuda's own calls are
 * not made.
 */
class JCudaBridgeTest {
  private static Device device() {
    if (Device.unavailableReason("cuda").isEmpty()) {
      return Device.named("cuda");
    }
    String why = Device.unavailableReason("emulated");
    assumeTrue(why.isEmpty(), why);
    return Device.named("emulated");
  }

  private static void refused(Executable action, String part) {
    String text = assertThrows(IllegalArgumentException.class, action).getMessage();
    assertTrue(text.contains(part), text);
  }

  @Test
  void aPointerIsAMatrixWithoutACopy() {
    try (Queue queue = device().newQueue();
        DeviceMatrix owner = DeviceMatrix.of(queue, new float[][] {{1, 2, 3}, {4, 5, 6}})) {
      long stride = owner.stride();
      Pointer pointer = JCudaBridge.pointer(owner);
      try (DeviceMatrix same = JCudaBridge.matrix(queue, pointer, 2, 3, stride, DType.F32);
          DeviceMatrix corner =
              JCudaBridge.matrix(
                  queue, pointer.withByteOffset(4 * (stride + 1)), 1, 2, stride, DType.F32)) {
        assertEquals(owner.address(), same.address());
        assertArrayEquals(new float[] {5, 6}, corner.toFloats());
        corner.fill(9);
        assertArrayEquals(new float[] {1, 2, 3, 4, 9, 9}, owner.toFloats());
        owner.fill(-1);
        assertArrayEquals(new float[] {-1, -1, -1, -1, -1, -1}, same.toFloats());
      }
      // The wrap did not take the memory along.
      assertEquals(-1, owner.get(1, 2));
    }
  }

  @Test
  void aDriverPointerIsOneToo() {
    try (Queue queue = device().newQueue();
        DeviceMatrix owner = DeviceMatrix.row(queue, 1.0, 2.0, 3.0);
        DeviceMatrix tail = owner.columns(1, 3)) {
      CUdeviceptr pointer = JCudaBridge.devicePointer(tail);
      try (DeviceMatrix same = JCudaBridge.matrix(queue, pointer, 1, 2, 2, DType.F64)) {
        assertEquals(owner.address() + 8, same.address());
        assertArrayEquals(new double[] {2, 3}, same.toDoubles());
      }
    }
  }

  @Test
  void aStreamIsAQueueAndItsWorkStaysInOrder() {
    Device device = device();
    try (Queue queue = device.newQueue();
        Queue other = device.newQueue();
        DeviceMatrix x = DeviceMatrix.row(queue, 1f, 2f)) {
      cudaStream_t stream = JCudaBridge.stream(queue);
      try (Queue same = JCudaBridge.queue(device, stream)) {
        assertEquals(queue.stream(), same.stream());
        assertNotEquals(queue.stream(), other.stream());
        try (DeviceMatrix view = x.on(same)) {
          for (int i = 0; i < 20; i++) {
            x.fill(i);
            view.fill(-i);
          }
          assertArrayEquals(new float[] {-19, -19}, x.toFloats());
        }
      }
      x.fill(5);
      assertArrayEquals(new float[] {5, 5}, x.toFloats());
    }
  }

  @Test
  void whatIsNotOnADeviceIsRefused() {
    try (Queue queue = device().newQueue()) {
      refused(() -> JCudaBridge.matrix(queue, new Pointer(), 1, 1, 1, DType.F32), "null");
      refused(
          () -> JCudaBridge.matrix(queue, Pointer.to(new float[4]), 1, 4, 4, DType.F32), "host");
      refused(
          () -> JCudaBridge.matrix(queue, Pointer.to(ByteBuffer.allocate(16)), 1, 4, 4, DType.F32),
          "host");
      refused(
          () ->
              JCudaBridge.matrix(
                  queue, Pointer.to(new float[4]).withByteOffset(8), 1, 2, 2, DType.F32),
          "host");
      refused(() -> JCudaBridge.queue(queue.device(), new cudaStream_t()), "default stream");
      try (DeviceMatrix m = DeviceMatrix.row(queue, 1f, 2f)) {
        Pointer odd = JCudaBridge.pointer(m).withByteOffset(2);
        refused(() -> JCudaBridge.matrix(queue, odd, 1, 1, 1, DType.F32), "aligned");
        refused(() -> JCudaBridge.matrix(queue, JCudaBridge.pointer(m), -1, 1, 1, DType.F32), "-1");
      }
    }
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix m = DeviceMatrix.row(queue, 1f)) {
      refused(() -> JCudaBridge.pointer(m), "device cpu");
      refused(() -> JCudaBridge.devicePointer(m), "device cpu");
      refused(() -> JCudaBridge.stream(queue), "device cpu");
      refused(() -> JCudaBridge.queue(queue.device(), new cudaStream_t()), "device cpu");
      refused(() -> JCudaBridge.matrix(queue, new Pointer(), 1, 1, 1, DType.F32), "device cpu");
    }
  }
}
