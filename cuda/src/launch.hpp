/*
 * What kernels are written and launched with: the same words for nvcc and, with KITH_EMULATED, for the emulation.
 *
 *   KITH_KERNEL(256) void scale(float* x, int64_t n, float by) { ... }       at most 256 threads in a block
 *   template <class T> KITH_DEVICE T twice(T x) { ... }
 *   KITH_LAUNCH(scale, blocks, 256, 0, stream, x, n, 2.0f)                   cudaError_t of the launch; templates in
 *                                                                            parentheses: KITH_LAUNCH((scale<float>), ...)
 *   KITH_SHARED(T, name, count);                                             shared array, KITH_DYNAMIC_SHARED(T, name);
 *
 * Shared arrays are used as name[i], &name[i] for atomics and name + offset, and passed on by value through a template
 * parameter: in the emulation they are accessors that check every access. `const T v = name[i]`, not `auto v`.
 * Arguments of a kernel are trivially copyable and initialised to the last byte.
 */
#ifndef KITH_LAUNCH_HPP
#define KITH_LAUNCH_HPP

#ifdef KITH_EMULATED

#include "emulation.hpp"

#define KITH_KERNEL(threads)
#define KITH_DEVICE inline
#define KITH_UNROLL _Pragma("GCC unroll 16")
#define KITH_SHARED(T, name, count)    \
  static char kith_identity_of_##name; \
  const ::kith::emulation::Shared<T> name(#name, &kith_identity_of_##name, count)
#define KITH_DYNAMIC_SHARED(T, name) const ::kith::emulation::Shared<T> name(#name)
#define KITH_LAUNCH(kernel, grid, threads, shared_bytes, stream, ...) \
  ::kith::emulation::launch(#kernel, kernel, grid, threads, shared_bytes, stream __VA_OPT__(, ) __VA_ARGS__)

#else

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

#define KITH_KERNEL(threads) __global__ __launch_bounds__(threads)
#define KITH_DEVICE __device__ __forceinline__
#define KITH_UNROLL _Pragma("unroll")
#define KITH_SHARED(T, name, count) __shared__ T name[count]
#define KITH_DYNAMIC_SHARED(T, name)                                          \
  extern __shared__ __align__(16) unsigned char kith_dynamic_shared_memory[]; \
  T* const name = reinterpret_cast<T*>(kith_dynamic_shared_memory)
#define KITH_LAUNCH(kernel, grid, threads, shared_bytes, stream, ...) \
  ::kith::launch_kernel(kernel, grid, threads, shared_bytes, stream __VA_OPT__(, ) __VA_ARGS__)

namespace kith {

/* Arguments convert to the kernel's parameters as in a call. */
template <class... Parameters, class... Arguments>
cudaError_t launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 threads, std::size_t shared_bytes,
                          cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

}  // namespace kith

#endif

#endif
