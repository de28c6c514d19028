/*
 * Factorizations of many matrices; formulas and bounds in kith.h, the steps, which the CPU shares, in
 * native/src/factorization_steps.hpp.
 *
 * A block has a matrix at a time, in a workspace of f64 in device memory that the caches hold when it is small; a thread
 * has a column, or an element of a round of rotations. Sums over rows are chains of one thread. Bytes and operations as on
 * the CPU; a batch fills the device from a few matrices per multiprocessor on, and a single one does not.
 * Registers (sm_90): solve 48 + 20 B spilled, Cholesky and update 56, QR 64 + 36 B, tangent 70, polar 80 + 120 B, eigen
 * 96 + 12 B.
 * Determinism: the order of operations is that of the steps, whatever the launch; the bits are the CPU's.
 * Emulated: all.
 */
#include <cmath>

#include "convert.hpp"
#include "factorization_checks.hpp"
#include "host.hpp"
#include "launch.hpp"

namespace kith {

namespace {

#ifdef KITH_EMULATED
#define KITH_STEP_BOTH inline
#else
#define KITH_STEP_BOTH __host__ __device__ __forceinline__
#endif
#define KITH_STEP KITH_DEVICE
#define KITH_STEP_BODY

#include "factorization_steps.hpp"

constexpr int kThreads = 128;
constexpr int kPerMultiprocessor = 8;

/* The threads of a block have the matrix. */
struct Threads {
  using S = double;
  using M = bool;
  using State = FactorState;
  using V = double;
  static constexpr bool kAlone = true;
  static constexpr int kWidth = 1;
  static constexpr int64_t kStrip = kFactorSide; /* one: a thread keeps its columns */

  KITH_DEVICE double load(const double* at) const { return *at; }
  KITH_DEVICE void store(double* at, double v) const { *at = v; }
  KITH_DEVICE double set(double value) const { return value; }
  KITH_DEVICE double fma(double a, double b, double c) const { return __fma_rn(a, b, c); }
  KITH_DEVICE double root(double a) const { return sqrt(a); }
  KITH_DEVICE double folded(double* sum) const {
    for (int n = static_cast<int>(kPad) / 2; n >= 1; n /= 2) {
      for (int l = 0; l < n; l++) sum[l] = sum[l] + sum[l + n];
    }
    return sum[0];
  }
  KITH_DEVICE int64_t bits(double a) const { return __double_as_longlong(a); }
  KITH_DEVICE double number(int64_t bits) const { return __longlong_as_double(bits); }
  KITH_DEVICE void barrier() const { __syncthreads(); }
  KITH_DEVICE bool every(bool holds) const { return holds; }
  KITH_DEVICE bool some(bool holds) const { return holds; }
  KITH_DEVICE bool apart(bool holds) const { return holds; }
  template <class T>
  KITH_DEVICE T of(T value, int) const {
    return value;
  }
  template <class F>
  KITH_DEVICE void each(const FactorTask& task, F f) const {
    f(task, 0);
  }
  KITH_DEVICE double get(const FactorTask& task, int64_t i, int64_t j) const { return element(task, task.in, i, j); }

  template <class F>
  KITH_DEVICE void columns(int64_t from, int64_t to, F f) const {
    for (int64_t j = from + threadIdx.x; j < to; j += blockDim.x) f(Count<1>{}, j);
  }
  template <class F>
  KITH_DEVICE void elements(int64_t rows, int64_t from, int64_t to, F f) const {
    const int64_t width = to - from;
    for (int64_t at = threadIdx.x; at < rows * width; at += blockDim.x) f(at / width, Count<1>{}, from + at % width);
  }
  template <class R, class F>
  KITH_DEVICE void rows(int64_t rows, int64_t from, int64_t to, R row, F f) const {
    elements(rows, from, to, [&](int64_t i, auto count, int64_t j) {
      const auto r = row(i);
      if (!r.idle) f(r, count, j);
    });
  }
  template <class F>
  KITH_DEVICE void triangle(int64_t first, int64_t n, F f) const {
    const int64_t width = n - first;
    for (int64_t at = threadIdx.x; at < width * width; at += blockDim.x) {
      if (at % width >= at / width) f(first + at / width, first + at % width);
    }
  }
  template <class F>
  KITH_DEVICE void cells(int64_t rows, int64_t cols, F f) const {
    for (int64_t at = threadIdx.x; at < rows * cols; at += blockDim.x) f(at / cols, at % cols);
  }
  template <class F>
  KITH_DEVICE void items(int64_t n, F f) const {
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) f(i);
  }
  template <class F>
  KITH_DEVICE void one(F f) const {
    if (threadIdx.x == 0) f();
  }

  KITH_DEVICE void put(double* row, int64_t h, int64_t below, int64_t k, double above, double beneath) const {
    row[k == 0 ? 0 : k < h - 1 ? k + 1 : below + h - 1] = above;
    row[k > 0 ? below + k - 1 : h > 1 ? 1 : below] = beneath;
  }
  KITH_DEVICE void settle(double*, int64_t, int64_t) const {}
};

struct Job {
  FactorTask first;
  int64_t batches;
  int64_t in_stride; /* bytes from one matrix to the next */
  int64_t out_stride;
  int64_t second_stride;
  double* workspace;
  int64_t pitch; /* doubles of a workspace */
};

KITH_DEVICE FactorMatrix moved(const FactorMatrix& m, int64_t bytes) {
  return FactorMatrix{m.data == nullptr ? nullptr : m.data + bytes, m.stride};
}

/* One kernel for each operation, so that none has the registers of another. */
template <bool (*Steps)(const Threads&, const FactorTask&, FactorState&, double*, int64_t)>
KITH_KERNEL(kThreads)
void factorize(Job job) {
  double* const workspace = job.workspace + blockIdx.x * job.pitch;
  const Threads threads;
  for (int64_t b = blockIdx.x; b < job.batches; b += gridDim.x) {
    FactorTask task = job.first;
    task.in = moved(task.in, b * job.in_stride);
    task.out = moved(task.out, b * job.out_stride);
    task.second = moved(task.second, b * job.second_stride);
    if (task.count != nullptr) task.count += b;
    if (task.figure != nullptr) task.figure += b;
    FactorState state = {};
    Steps(threads, task, state, workspace, INT64_MAX);
    __syncthreads();
  }
}

kith_status run(Entry& entry, const FactorOperands& operands) {
  const FactorTask task = factor_task(operands, 0);
  if (operands.batches == 0 || task.cols == 0) return entry.finish();
  const unsigned blocks = entry.grid(operands.batches, kPerMultiprocessor);
  const int64_t pitch = padded(workspace_size(task));
  double* const workspace = static_cast<double*>(entry.scratch(blocks * pitch * static_cast<int64_t>(sizeof(double))));
  if (workspace == nullptr) return entry.status();
  const Job job = {task,
                   operands.batches,
                   operands.in.batch_stride * operands.in.size(),
                   operands.out.batch_stride * operands.out.size(),
                   operands.second.batch_stride * operands.second.size(),
                   workspace,
                   pitch};
  switch (task.operation) {
    case kEigen:
      entry.launched(KITH_LAUNCH((factorize<eigen<Threads>>), blocks, kThreads, 0, entry.stream(), job));
      break;
    case kQr:
      entry.launched(KITH_LAUNCH((factorize<qr<Threads>>), blocks, kThreads, 0, entry.stream(), job));
      break;
    case kPolar:
      entry.launched(KITH_LAUNCH((factorize<polar<Threads>>), blocks, kThreads, 0, entry.stream(), job));
      break;
    case kTangent:
      entry.launched(KITH_LAUNCH((factorize<tangent<Threads>>), blocks, kThreads, 0, entry.stream(), job));
      break;
    case kCholesky:
      entry.launched(KITH_LAUNCH((factorize<cholesky<Threads>>), blocks, kThreads, 0, entry.stream(), job));
      break;
    case kSolve:
      entry.launched(KITH_LAUNCH((factorize<solve<Threads>>), blocks, kThreads, 0, entry.stream(), job));
      break;
    default:
      entry.launched(KITH_LAUNCH((factorize<update<Threads>>), blocks, kThreads, 0, entry.stream(), job));
      break;
  }
  return entry.finish();
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_eigen(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* values,
                       const kith_batch* vectors, const kith_matrix* sweeps, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_eigen");
  FactorOperands operands = {};
  if (!check_eigen(entry, batches, a, values, vectors, sweeps, &operands)) return entry.status();
  return run(entry, operands);
}

kith_status kith_qr(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* q, const kith_batch* r,
                    kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_qr");
  FactorOperands operands = {};
  if (!check_qr(entry, batches, a, q, r, &operands)) return entry.status();
  return run(entry, operands);
}

kith_status kith_polar(kith_queue* queue, int64_t batches, const kith_batch* y, const kith_batch* x,
                       const kith_matrix* distance, const kith_matrix* rank, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_polar");
  FactorOperands operands = {};
  if (!check_polar(entry, batches, y, x, distance, rank, &operands)) return entry.status();
  return run(entry, operands);
}

kith_status kith_tangent(kith_queue* queue, int64_t batches, const kith_batch* x, const kith_batch* z,
                         const kith_batch* out, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_tangent");
  FactorOperands operands = {};
  if (!check_tangent(entry, batches, x, z, out, &operands)) return entry.status();
  return run(entry, operands);
}

kith_status kith_cholesky(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* l,
                          const kith_matrix* failed, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_cholesky");
  FactorOperands operands = {};
  if (!check_cholesky(entry, batches, a, l, failed, &operands)) return entry.status();
  return run(entry, operands);
}

kith_status kith_cholesky_solve(kith_queue* queue, int64_t batches, const kith_batch* l, const kith_batch* b,
                                const kith_batch* x, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_cholesky_solve");
  FactorOperands operands = {};
  if (!check_cholesky_solve(entry, batches, l, b, x, &operands)) return entry.status();
  return run(entry, operands);
}

kith_status kith_cholesky_update(kith_queue* queue, int64_t batches, int32_t downdate, const kith_batch* l,
                                 const kith_batch* v, const kith_matrix* failed, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_cholesky_update");
  FactorOperands operands = {};
  if (!check_cholesky_update(entry, batches, downdate, l, v, failed, &operands)) return entry.status();
  return run(entry, operands);
}

}  // extern "C"
