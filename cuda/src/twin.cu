/*
 * twin: the roof of a kernel. A loop with the same streams as the kernel and one addition per stream and element.
 *
 * Bytes per element: the sum of the element sizes of reads and writes, and twice that of updates.
 * Every write receives 1 + the sum of the reads; every update adds that sum to itself (1 where nothing is only read);
 * without writes and updates a value that depends on every element goes into the sink.
 * Launch: 256 threads, grid-stride over eight elements of a row (16 bytes of the 16-bit types, 32 of f32), at most 8 blocks a
 * multiprocessor. Where a stream is not aligned to 16 bytes all go element by element. Streaming stores are not told apart:
 * what is written leaves the L2 either way.
 * Registers (sm_90): 48 (f32), 63 (f64).
 * Determinism: element by element; the sink is added in an order that follows the launch.
 * Emulated: all.
 */
#include "convert.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "twin_checks.hpp"

namespace kith {

namespace {

constexpr int kThreads = 256;
constexpr int kPerMultiprocessor = 8;
constexpr int kWidth = 8;

struct TwinLaunch {
  TwinJob job;
  int64_t rows;
  int64_t cols;
  int32_t packed;   // every row of every stream begins on 16 bytes
  double* partial;  // one value a block where nothing is written
};

template <class T, int N>
struct Values {
  T v[N];
};

template <class T, class S, int N>
KITH_DEVICE Values<T, N> load_as(const unsigned char* row, int64_t c) {
  Values<T, N> out;
  const Pack<S, N> in = load_pack<N>(reinterpret_cast<const S*>(row) + c);
  for (int i = 0; i < N; i++) out.v[i] = widen<T>(in.v[i]);
  return out;
}

template <class T, int N>
KITH_DEVICE Values<T, N> load_any(const TwinStream& stream, int64_t r, int64_t c) {
  const unsigned char* const row = stream.data + r * stream.stride;
  switch (stream.dtype) {
    case KITH_BF16:
      return load_as<T, bf16, N>(row, c);
    case KITH_F16:
      return load_as<T, f16, N>(row, c);
    case KITH_F64:
      return load_as<T, double, N>(row, c);
    default:
      return load_as<T, float, N>(row, c);
  }
}

template <class T, class S, int N>
KITH_DEVICE void store_as(unsigned char* row, int64_t c, const Values<T, N>& values) {
  Pack<S, N> out;
  for (int i = 0; i < N; i++) out.v[i] = narrow<S>(values.v[i]);
  store_pack<N>(reinterpret_cast<S*>(row) + c, out);
}

template <class T, int N>
KITH_DEVICE void store_any(const TwinStream& stream, int64_t r, int64_t c, const Values<T, N>& values) {
  unsigned char* const row = stream.data + r * stream.stride;
  switch (stream.dtype) {
    case KITH_BF16:
      return store_as<T, bf16, N>(row, c, values);
    case KITH_F16:
      return store_as<T, f16, N>(row, c, values);
    case KITH_F64:
      return store_as<T, double, N>(row, c, values);
    default:
      return store_as<T, float, N>(row, c, values);
  }
}

// N elements from column c on; returns what a call without targets adds up.
template <class T, int N>
KITH_DEVICE double elements(const TwinJob& job, int64_t r, int64_t c) {
  Values<T, N> sum;
  for (int i = 0; i < N; i++) sum.v[i] = T(1);
  for (int k = 0; k < job.read_count; k++) {
    const Values<T, N> x = load_any<T, N>(job.reads[k], r, c);
    for (int i = 0; i < N; i++) sum.v[i] = sum.v[i] + x.v[i];
  }
  for (int k = 0; k < job.update_count; k++) {
    Values<T, N> x = load_any<T, N>(job.updates[k], r, c);
    for (int i = 0; i < N; i++) x.v[i] = x.v[i] + sum.v[i];
    store_any<T, N>(job.updates[k], r, c, x);
  }
  for (int k = 0; k < job.write_count; k++) store_any<T, N>(job.writes[k], r, c, sum);
  double total = 0;
  for (int i = 0; i < N; i++) total += static_cast<double>(sum.v[i]);
  return total;
}

template <class T>
KITH_KERNEL(kThreads)
void twin(TwinLaunch call) {
  KITH_SHARED(double, lanes, kThreads);
  const int64_t per_row = (call.cols + kWidth - 1) / kWidth;
  const int64_t items = call.rows * per_row;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  double total = 0;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) {
    const int64_t row = call.rows == 1 ? 0 : item / per_row;
    const int64_t begin = (item - row * per_row) * kWidth;
    const int64_t end = begin + kWidth < call.cols ? begin + kWidth : call.cols;
    if (call.packed != 0 && end - begin == kWidth) {
      total += elements<T, kWidth>(call.job, row, begin);
    } else {
      for (int64_t c = begin; c < end; c++) total += elements<T, 1>(call.job, row, c);
    }
  }
  if (call.partial == nullptr) return;
  lanes[threadIdx.x] = total;
  for (unsigned s = kThreads / 2; s >= 1; s /= 2) {
    __syncthreads();
    if (threadIdx.x < s) lanes[threadIdx.x] = lanes[threadIdx.x] + lanes[threadIdx.x + s];
  }
  if (threadIdx.x == 0) call.partial[blockIdx.x] = lanes[0];
}

KITH_KERNEL(32) void add_partial(const double* partial, int64_t count, double* sink) {
  if (threadIdx.x != 0) return;
  double total = 0;
  for (int64_t i = 0; i < count; i++) total += partial[i];
  *sink = total;
}

bool on_16_bytes(const TwinStream* streams, int32_t count, int64_t rows) {
  for (int32_t k = 0; k < count; k++) {
    if (reinterpret_cast<uintptr_t>(streams[k].data) % 16 != 0 || (rows > 1 && streams[k].stride % 16 != 0))
      return false;
  }
  return true;
}

}  // namespace

}  // namespace kith

extern "C" kith_status kith_twin(kith_queue* queue, const kith_matrix* const* sources, int32_t read_count,
                                 const kith_matrix* const* targets, int32_t write_count, int32_t nontemporal,
                                 const kith_matrix* sink, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_twin");
  TwinOperands operands = {};
  if (!check_twin(entry, sources, read_count, targets, write_count, nontemporal, sink, &operands)) {
    return entry.status();
  }
  TwinLaunch twin_call = {operands.job, operands.rows, operands.cols, 0, nullptr};
  const TwinJob& job = twin_call.job;
  if (on_16_bytes(job.reads, job.read_count, operands.rows) &&
      on_16_bytes(job.writes, job.write_count, operands.rows) &&
      on_16_bytes(job.updates, job.update_count, operands.rows)) {
    twin_call.packed = 1;
  }
  const int64_t items = operands.rows * ((operands.cols + kWidth - 1) / kWidth);
  const unsigned blocks = entry.grid((items + kThreads - 1) / kThreads, kPerMultiprocessor);
  if (operands.sink.data != nullptr) {
    twin_call.partial = static_cast<double*>(entry.scratch(static_cast<int64_t>(blocks) * 8));
  }
  if (!entry.ok() || (items == 0 && twin_call.partial == nullptr)) return entry.finish();
  if (operands.wide != 0) {
    entry.launched(KITH_LAUNCH((twin<double>), blocks, kThreads, 0, entry.stream(), twin_call));
  } else {
    entry.launched(KITH_LAUNCH((twin<float>), blocks, kThreads, 0, entry.stream(), twin_call));
  }
  if (entry.ok() && twin_call.partial != nullptr) {
    entry.launched(KITH_LAUNCH(add_partial, 1, 32, 0, entry.stream(), twin_call.partial, static_cast<int64_t>(blocks),
                               reinterpret_cast<double*>(operands.sink.data)));
  }
  return entry.finish();
}
