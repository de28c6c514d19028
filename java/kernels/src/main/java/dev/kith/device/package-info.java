/**
 * Where kernels run and what they run on: devices, queues and matrices.
 *
 * <p>A {@link dev.kith.device.DeviceMatrix} is rows by columns on a {@link dev.kith.device.Device};
 * its rows are nodes, a row is a model, and a {@link dev.kith.device.Layout} names the tensors in
 * it. Work is ordered by a {@link dev.kith.device.Queue}. Everything that holds native memory is
 * closed by its owner; an operation borrows what it works on, so that closing during a call fails
 * instead of corrupting memory.
 */
package dev.kith.device;
