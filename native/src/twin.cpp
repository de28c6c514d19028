/*
 * twin: the roof of a kernel. A loop with the same streams as the kernel and one addition per stream and element, on
 * the same pool and with the same kind of stores.
 *
 * Bytes per element: the sum of the element sizes of reads and writes, and twice that of updates.
 * Every write receives 1 + the sum of the reads; every update adds that sum to itself (1 where nothing is only read);
 * without writes and updates the sum goes into a value that the caller stores.
 */
#include "twin.hpp"

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

inline constexpr int kUnroll = 4;

template <class T>
double row(const TwinJob& job, int64_t r, int64_t column, int64_t column_end) {
  const unsigned char* reads[kTwinStreams];
  unsigned char* writes[kTwinStreams];
  unsigned char* updates[kTwinStreams];
  for (int k = 0; k < job.read_count; k++) reads[k] = job.reads[k].data + r * job.reads[k].stride;
  for (int k = 0; k < job.write_count; k++) writes[k] = job.writes[k].data + r * job.writes[k].stride;
  for (int k = 0; k < job.update_count; k++) updates[k] = job.updates[k].data + r * job.updates[k].stride;
  const bool read_only = job.write_count + job.update_count == 0;
  const Vec<T> one = broadcast(static_cast<T>(1));
  Vec<T> total[kUnroll] = {};
  for_shapes<T, kUnroll>(
      column, column_end, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> sum[shape.count];
        for (int u = 0; u < shape.count; u++) sum[u] = one;
        for (int k = 0; k < job.read_count; k++) {
          Vec<T> v[shape.count];
          load_any<T>(shape, reads[k], job.reads[k].dtype, c, v);
          for (int u = 0; u < shape.count; u++) sum[u] += v[u];
        }
        for (int k = 0; k < job.update_count; k++) {
          Vec<T> v[shape.count];
          load_any<T>(shape, updates[k], job.updates[k].dtype, c, v);
          for (int u = 0; u < shape.count; u++) v[u] += sum[u];
          store_any<T>(shape, updates[k], job.updates[k].dtype, c, v);
        }
        for (int k = 0; k < job.write_count; k++) {
          if (job.streaming && job.writes[k].dtype == kNative<T>) {
            shape.stream(reinterpret_cast<T*>(writes[k]) + c, sum);
          } else {
            store_any<T>(shape, writes[k], job.writes[k].dtype, c, sum);
          }
        }
        for (int u = 0; u < shape.count && read_only; u++) total[u] += sum[u];
      });
  if (job.streaming) stream_fence();
  double result = 0;
  for (int u = 0; u < kUnroll; u++) {
    for (int i = 0; i < kLanes<T>; i++) result += static_cast<double>(total[u][i]);
  }
  return result;
}

}  // namespace

extern const TwinKernels twin_kernels;
const TwinKernels twin_kernels = {{row<float>, row<double>}};

}  // namespace kith::KITH_TIER
