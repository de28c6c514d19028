/*
 * PowerSGD: tensors inside rows as products of thin factors; formulas and orders in kith.h.
 *
 *   left, right     read 4 B/element of v (4 more for each of minus and residual)
 *   residual        reads v, writes 4 B/element; accumulate reads and writes 4 B/element, or writes them only
 *
 * left: a block of 256 threads takes a chunk of 4,096 columns of 64 rows of a tensor; sixteen threads are the lanes of four
 * rows and four columns of Q at a time, 8 loads in flight each, and fold by shuffles.
 * right: a block takes a chunk of 256 rows of 256 columns, a thread per column, four columns of P at a time out of shared memory
 * and 8 loads in flight.
 * Sums of more than one chunk go to scratch as f32 and a second launch combines them pairwise in f64. More than four
 * columns of the factors read v again, out of the second-level cache.
 * orthonormalise: a block per factor, a warp per chunk of a dot product.
 * residual and accumulate: a block takes 16 rows of 256 columns, a thread per column, P out of shared memory.
 * Registers (sm_90): left 128 + 4 B spilled, right 80, combine 32, orthonormalise 64 + 8 B, residual and accumulate 64; the
 * nodes of a tree, 320 B a thread, are local memory.
 * Determinism: the trees are those of kith.h, whatever the launch; the bits are the CPU's.
 * Emulated: all.
 */
#include <cstdlib>

#include "convert.hpp"
#include "cuda_weights.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "lowrank_checks.hpp"

namespace kith {

namespace {

constexpr int kThreads = 256;
constexpr int kPerMultiprocessor = 8;
constexpr unsigned kAll = 0xffffffffu;
constexpr int kWarp = 32;
constexpr int kRanks = 4;    /* columns of a factor at a time */
constexpr int kLeftEach = 4; /* rows of a thread */
constexpr int kLeftSteps = 2;
constexpr int kLanes = static_cast<int>(kLowRankLanes);
constexpr int64_t kLeftDown = kThreads / kLanes * kLeftEach;
constexpr int kRightSteps = 8;
constexpr int kDown = 16; /* rows of a block that writes */
constexpr int64_t kDotChunk = 1024;
constexpr double kSpanned = 0x1p-40;
constexpr int kLevels = 40; /* of a tree of any length */

/* A tensor, its factors, and its place among the items of a row. */
struct Tensor {
  int64_t offset;
  int64_t rows;
  int64_t cols;
  int64_t rank;
  int64_t p_column;
  int64_t q_column;
  int64_t first_item;
  int64_t across; /* items side by side */
  int64_t sums;   /* where those of its chunks begin, within a row's */
  int64_t chunks;
};

/* Rows of a matrix on the device; NULL: none. */
struct Rows {
  float* data;
  int64_t stride; /* 0: one row that is common to all */
};

struct Job {
  Rows x;
  Rows minus;
  Rows residual;
  Rows p;
  Rows q;
  Rows out; /* P of left, Q of right, the factors of orthonormalise, out of residual */
  int32_t* flags;
  const Tensor* tensors;
  int64_t count;
  int64_t rows;
  int64_t items_per_row;
  unsigned char* sums;
  int64_t sums_per_row;
  int32_t right;
  int32_t add;
  /* accumulate */
  Rows halo_p;
  Rows halo_q;
  int64_t nodes;
  const int64_t* offsets; /* NULL: the identity */
  const Weight<float>* entries;
  const int32_t* used;
  const int32_t* output_rows;
};

/* Four neighbouring numbers, in one access of shared memory. */
struct alignas(16) Four {
  float v[kRanks];
};

KITH_DEVICE float* row_of(const Rows& m, int64_t r) { return m.data + r * m.stride; }

/* The last tensor that begins at or before an item of a row. */
KITH_DEVICE const Tensor& tensor_of(const Job& job, int64_t item) {
  int64_t low = 0, high = job.count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (job.tensors[middle].first_item <= item) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return job.tensors[low];
}

/* v at an element of a row of the matrices. */
struct Source {
  const float* x;
  const float* minus;
  const float* residual;
  KITH_DEVICE Source(const Job& job, const Tensor& t, int64_t r)
      : x(row_of(job.x, r) + t.offset),
        minus(job.minus.data == nullptr ? nullptr : row_of(job.minus, r) + t.offset),
        residual(job.residual.data == nullptr ? nullptr : row_of(job.residual, r) + t.offset) {}
  KITH_DEVICE float operator[](int64_t at) const {
    float v = x[at];
    if (minus != nullptr) v = v - minus[at];
    if (residual != nullptr) v = residual[at] + v;
    return v;
  }
};

KITH_DEVICE bool finite(float v) { return (__float_as_uint(v) & 0x7f800000u) != 0x7f800000u; }

/* Where the sum of a chunk goes: to the result, or to the sums that are combined later. */
KITH_DEVICE void put(const Job& job, const Tensor& t, int64_t r, int64_t factor_column, int64_t length, int64_t chunk,
                     int64_t at, float sum) {
  if (t.chunks == 1) {
    row_of(job.out, r)[factor_column + at] = sum;
  } else {
    reinterpret_cast<float*>(job.sums)[r * job.sums_per_row + t.sums + chunk * t.rank * length + at] = sum;
  }
}

/* ---- left ----------------------------------------------------------------------------------------------------------- */

KITH_KERNEL(kThreads) void left(Job job) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  for (int64_t item = blockIdx.x; item < job.rows * job.items_per_row; item += gridDim.x) {
    const int64_t r = item / job.items_per_row;
    const int64_t inside = item % job.items_per_row;
    const Tensor& t = tensor_of(job, inside);
    const int64_t chunk = (inside - t.first_item) % t.across;
    const int64_t first = (inside - t.first_item) / t.across * kLeftDown + threadIdx.x / kLanes * kLeftEach;
    const int64_t column = chunk * kLeftChunk;
    const int64_t n = t.cols - column < kLeftChunk ? t.cols - column : kLeftChunk;
    const Source v(job, t, r);
    const float* const q = row_of(job.q, r) + t.q_column + column;
    int64_t at[kLeftEach];
    KITH_UNROLL
    for (int i = 0; i < kLeftEach; i++) {
      // Rows beyond the last are read as it and not written.
      at[i] = (first + i < t.rows ? first + i : t.rows - 1) * t.cols + column;
    }
    bool found = false;
    for (int64_t k = 0; k < t.rank; k += kRanks) {
      float sum[kLeftEach][kRanks] = {};
      int64_t c = lane;
      for (; c + (kLeftSteps - 1) * kLanes < n; c += kLeftSteps * kLanes) {
        float x[kLeftSteps][kLeftEach];
        KITH_UNROLL
        for (int u = 0; u < kLeftSteps; u++) {
          KITH_UNROLL
          for (int i = 0; i < kLeftEach; i++) x[u][i] = v[at[i] + c + u * kLanes];
        }
        KITH_UNROLL
        for (int u = 0; u < kLeftSteps; u++) {
          KITH_UNROLL
          for (int j = 0; j < kRanks; j++) {
            const float y = k + j < t.rank ? q[(k + j) * t.cols + c + u * kLanes] : 0.0f;
            KITH_UNROLL
            for (int i = 0; i < kLeftEach; i++) sum[i][j] = __fmaf_rn(x[u][i], y, sum[i][j]);
          }
          KITH_UNROLL
          for (int i = 0; i < kLeftEach; i++) found |= !finite(x[u][i]);
        }
      }
      for (; c < n; c += kLanes) {
        KITH_UNROLL
        for (int i = 0; i < kLeftEach; i++) {
          const float x = v[at[i] + c];
          found |= !finite(x);
          KITH_UNROLL
          for (int j = 0; j < kRanks; j++) {
            sum[i][j] = __fmaf_rn(x, k + j < t.rank ? q[(k + j) * t.cols + c] : 0.0f, sum[i][j]);
          }
        }
      }
      KITH_UNROLL
      for (int i = 0; i < kLeftEach; i++) {
        KITH_UNROLL
        for (int j = 0; j < kRanks; j++) {
          KITH_UNROLL
          for (int s = kLanes / 2; s >= 1; s /= 2) {
            sum[i][j] = sum[i][j] + __shfl_down_sync(kAll, sum[i][j], static_cast<unsigned>(s), kLanes);
          }
          if (lane == 0 && first + i < t.rows && k + j < t.rank) {
            put(job, t, r, t.p_column, t.rows, chunk, (k + j) * t.rows + first + i, sum[i][j]);
          }
        }
      }
    }
    if (found && job.flags != nullptr) atomicOr(job.flags + r, 1);
  }
}

/* ---- right ---------------------------------------------------------------------------------------------------------- */

KITH_KERNEL(kThreads) void right(Job job) {
  KITH_SHARED(Four, factors, kRightChunk);
  for (int64_t item = blockIdx.x; item < job.rows * job.items_per_row; item += gridDim.x) {
    const int64_t r = item / job.items_per_row;
    const int64_t inside = item % job.items_per_row;
    const Tensor& t = tensor_of(job, inside);
    const int64_t chunk = (inside - t.first_item) / t.across;
    const int64_t column = (inside - t.first_item) % t.across * kThreads + threadIdx.x;
    const int64_t row = chunk * kRightChunk;
    const int height = static_cast<int>(t.rows - row < kRightChunk ? t.rows - row : kRightChunk);
    const Source v(job, t, r);
    const float* const p = row_of(job.p, r) + t.p_column + row;
    const int64_t at = row * t.cols + column;
    for (int64_t k = 0; k < t.rank; k += kRanks) {
      __syncthreads(); /* the last factors have been read */
      for (int i = static_cast<int>(threadIdx.x); i < height; i += kThreads) {
        Four four = {};
        KITH_UNROLL
        for (int j = 0; j < kRanks; j++) {
          if (k + j < t.rank) four.v[j] = p[(k + j) * t.rows + i];
        }
        factors[i] = four;
      }
      __syncthreads();
      if (column >= t.cols) continue;
      float sum[kRanks] = {};
      int i = 0;
      for (; i + kRightSteps <= height; i += kRightSteps) {
        float x[kRightSteps];
        KITH_UNROLL
        for (int u = 0; u < kRightSteps; u++) x[u] = v[at + (i + u) * t.cols];
        KITH_UNROLL
        for (int u = 0; u < kRightSteps; u++) {
          const Four four = factors[i + u];
          KITH_UNROLL
          for (int j = 0; j < kRanks; j++) sum[j] = __fmaf_rn(x[u], four.v[j], sum[j]);
        }
      }
      for (; i < height; i++) {
        const float x = v[at + i * t.cols];
        const Four four = factors[i];
        KITH_UNROLL
        for (int j = 0; j < kRanks; j++) sum[j] = __fmaf_rn(x, four.v[j], sum[j]);
      }
      KITH_UNROLL
      for (int j = 0; j < kRanks; j++) {
        if (k + j < t.rank) put(job, t, r, t.q_column, t.cols, chunk, (k + j) * t.cols + column, sum[j]);
      }
    }
  }
}

/* ---- sums of several chunks ---------------------------------------------------------------------------------------- */

/* Pairwise over `count` sums `pitch` apart, neighbours first, an odd last one moving up unchanged. */
template <class T>
KITH_DEVICE double pairwise(const T* sums, int64_t count, int64_t pitch) {
  double nodes[kLevels] = {};
  for (int64_t chunk = 0; chunk < count; chunk++) {
    double sum = static_cast<double>(sums[chunk * pitch]);
    int level = 0;
    for (; (chunk >> level & 1) != 0; level++) sum = nodes[level] + sum;
    nodes[level] = sum;
  }
  int level = 0;
  while ((count >> level & 1) == 0) level++;
  double sum = nodes[level];
  for (level++; count >> level != 0; level++) {
    if ((count >> level & 1) != 0) sum = nodes[level] + sum;
  }
  return sum;
}

KITH_KERNEL(kThreads) void combine(Job job) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t rt = 0; rt < job.rows * job.count; rt++) {
    const Tensor& t = job.tensors[rt % job.count];
    if (t.chunks == 1) continue;
    const int64_t r = rt / job.count;
    const int64_t size = t.rank * (job.right != 0 ? t.cols : t.rows);
    const float* const sums = reinterpret_cast<const float*>(job.sums) + r * job.sums_per_row + t.sums;
    float* const out = row_of(job.out, r) + (job.right != 0 ? t.q_column : t.p_column);
    for (int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; at < size; at += step) {
      out[at] = static_cast<float>(pairwise(sums + at, t.chunks, size));
    }
  }
}

/* ---- orthonormalise ------------------------------------------------------------------------------------------------ */

/* sums[i * chunks + c] = chunk c of <p_i, v> for the columns i of [first, end). All threads of the block call. */
KITH_DEVICE void dots(const float* factor, const float* v, int64_t n, int64_t first, int64_t end, int64_t chunks,
                      double* sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int64_t task = threadIdx.x / kWarp; task < (end - first) * chunks; task += kThreads / kWarp) {
    const float* const p = factor + (first + task / chunks) * n;
    const int64_t begin = task % chunks * kDotChunk;
    const int64_t stop = n - begin < kDotChunk ? n : begin + kDotChunk;
    double sum = 0;
    // The product is exact, so that the sum alone rounds.
    for (int64_t c = begin + lane; c < stop; c += kWarp) {
      sum = sum + static_cast<double>(p[c]) * static_cast<double>(v[c]);
    }
    KITH_UNROLL
    for (int s = kWarp / 2; s >= 1; s /= 2) sum = sum + __shfl_down_sync(kAll, sum, static_cast<unsigned>(s));
    if (lane == 0) sums[task] = sum;
  }
}

KITH_KERNEL(kThreads) void orthonormalise(Job job) {
  KITH_SHARED(float, coefficients, KITH_MAX_RANK);
  KITH_SHARED(double, best_sum, kThreads);
  KITH_SHARED(long long, best, kThreads);
  const int me = static_cast<int>(threadIdx.x);
  for (int64_t item = blockIdx.x; item < job.rows * job.count; item += gridDim.x) {
    const int64_t r = item / job.count;
    const Tensor& t = job.tensors[item % job.count];
    const int64_t n = job.right != 0 ? t.cols : t.rows;
    const int64_t chunks = t.chunks;
    float* const factor = row_of(job.out, r) + (job.right != 0 ? t.q_column : t.p_column);
    double* const sums = reinterpret_cast<double*>(job.sums) + r * job.sums_per_row + t.sums;
    for (int64_t k = 0; k < t.rank; k++) {
      float* const v = factor + k * n;
      // Every thread combines the chunks of a sum by itself: they are few.
      const auto square = [&] {
        __syncthreads(); /* v is written, the sums before were read */
        dots(v, v, n, 0, 1, chunks, sums);
        __syncthreads();
        return pairwise(sums, chunks, 1);
      };
      const auto divide = [&](double by) {
        for (int64_t j = me; j < n; j += kThreads) v[j] = static_cast<float>(static_cast<double>(v[j]) / by);
      };
      const auto project_twice = [&] {
        for (int time = 0; time < 2 && k > 0; time++) {
          __syncthreads();
          dots(factor, v, n, 0, k, chunks, sums);
          __syncthreads();
          if (me < k) coefficients[me] = static_cast<float>(pairwise(sums + me * chunks, chunks, 1));
          __syncthreads();
          for (int64_t j = me; j < n; j += kThreads) {
            double rest = static_cast<double>(v[j]);
            for (int i = 0; i < static_cast<int>(k); i++) {
              const float c = coefficients[i];
              rest = rest - static_cast<double>(c) * static_cast<double>(factor[i * n + j]);
            }
            v[j] = static_cast<float>(rest);
          }
        }
        return square();
      };
      const double s = square();
      if (!(s - s == 0)) {
        for (int64_t j = me; j < n; j += kThreads) v[j] = static_cast<float>(NAN);
        continue;
      }
      double left_over = 0;
      if (s > 0) {
        divide(sqrt(s));
        left_over = project_twice();
      }
      if (!(left_over > kSpanned)) {
        double least_sum = HUGE_VAL;
        long long least = 0;
        for (int64_t j = me; j < n; j += kThreads) {
          double sum = 0;
          for (int64_t i = 0; i < k; i++) {
            const double p = static_cast<double>(factor[i * n + j]);
            sum = sum + p * p;
          }
          if (sum < least_sum) {
            least_sum = sum;
            least = j;
          }
        }
        best_sum[me] = least_sum;
        best[me] = least;
        for (int step = kThreads / 2; step >= 1; step /= 2) {
          __syncthreads();
          if (me < step) {
            const double mine = best_sum[me];
            const double other = best_sum[me + step];
            const long long my_index = best[me];
            const long long index = best[me + step];
            if (other < mine || (other == mine && index < my_index)) {
              best_sum[me] = other;
              best[me] = index;
            }
          }
        }
        __syncthreads();
        const long long chosen = best[0];
        for (int64_t j = me; j < n; j += kThreads) v[j] = j == chosen ? 1.0f : 0.0f;
        left_over = project_twice();
      }
      divide(sqrt(left_over));
    }
    __syncthreads();
  }
}

/* ---- residual and accumulate --------------------------------------------------------------------------------------- */

/* d[i] = (P Q^T)(row + i, column) for kDown rows, of which those beyond the tensor are read as 0. All threads of the block
   call, with columns of the tensor or not. */
template <class Tile>
KITH_DEVICE void reconstruct(const Tensor& t, const float* p, const float* q, int64_t row, int64_t column, Tile tile,
                             float (&d)[kDown]) {
  __syncthreads(); /* the last factors have been read */
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(t.rank) * kDown; i += kThreads) {
    const int64_t at = row + i % kDown;
    tile[i] = at < t.rows ? p[i / kDown * t.rows + at] : 0.0f;
  }
  __syncthreads();
  if (column >= t.cols) return;
  for (int k = 0; k < static_cast<int>(t.rank); k++) {
    const float y = q[k * t.cols + column];
    KITH_UNROLL
    for (int i = 0; i < kDown; i++) {
      const float x = tile[k * kDown + i];
      d[i] = k == 0 ? x * y : __fmaf_rn(x, y, d[i]);
    }
  }
}

KITH_KERNEL(kThreads) void residual(Job job) {
  KITH_SHARED(float, tile, KITH_MAX_RANK* kDown);
  for (int64_t item = blockIdx.x; item < job.rows * job.items_per_row; item += gridDim.x) {
    const int64_t r = item / job.items_per_row;
    const int64_t inside = item % job.items_per_row;
    const Tensor& t = tensor_of(job, inside);
    const int64_t row = (inside - t.first_item) / t.across * kDown;
    const int64_t column = (inside - t.first_item) % t.across * kThreads + threadIdx.x;
    float d[kDown] = {};
    reconstruct(t, row_of(job.p, r) + t.p_column, row_of(job.q, r) + t.q_column, row, column, tile, d);
    if (column >= t.cols) continue;
    const Source v(job, t, r);
    float* const out = row_of(job.out, r) + t.offset;
    float rest[kDown];
    KITH_UNROLL
    for (int i = 0; i < kDown; i++) {
      if (row + i < t.rows) rest[i] = v[(row + i) * t.cols + column] - d[i];
    }
    KITH_UNROLL
    for (int i = 0; i < kDown; i++) {
      if (row + i < t.rows) out[(row + i) * t.cols + column] = rest[i];
    }
  }
}

KITH_DEVICE const float* factor_of(const Rows& own, const Rows& halo, int64_t nodes, int64_t j) {
  return j >= nodes && halo.data != nullptr ? row_of(halo, j - nodes) : row_of(own, j);
}

KITH_KERNEL(kThreads) void accumulate(Job job) {
  KITH_SHARED(float, tile, KITH_MAX_RANK* kDown);
  for (int64_t item = blockIdx.x; item < job.rows * job.items_per_row; item += gridDim.x) {
    const int64_t r = item / job.items_per_row;
    const int64_t inside = item % job.items_per_row;
    const Tensor& t = tensor_of(job, inside);
    const int64_t row = (inside - t.first_item) / t.across * kDown;
    const int64_t column = (inside - t.first_item) % t.across * kThreads + threadIdx.x;
    float* const y = row_of(job.out, job.output_rows == nullptr ? r : job.output_rows[r]) + t.offset;
    float a[kDown] = {}, d[kDown] = {};
    if (job.add != 0 && column < t.cols) {
      KITH_UNROLL
      for (int i = 0; i < kDown; i++) {
        if (row + i < t.rows) a[i] = y[(row + i) * t.cols + column];
      }
    }
    if (job.offsets == nullptr) {
      reconstruct(t, row_of(job.p, r) + t.p_column, row_of(job.q, r) + t.q_column, row, column, tile, d);
      KITH_UNROLL
      for (int i = 0; i < kDown; i++) a[i] = a[i] + d[i];
    } else {
      for (int64_t e = job.offsets[r]; e < job.offsets[r + 1]; e++) {
        const Weight<float> entry = job.entries[e];
        const int64_t j = job.used == nullptr ? entry.slot : job.used[entry.slot];
        reconstruct(t, factor_of(job.p, job.halo_p, job.nodes, j) + t.p_column,
                    factor_of(job.q, job.halo_q, job.nodes, j) + t.q_column, row, column, tile, d);
        KITH_UNROLL
        for (int i = 0; i < kDown; i++) a[i] = __fmaf_rn(entry.value, d[i], a[i]);
      }
    }
    if (column >= t.cols) continue;
    KITH_UNROLL
    for (int i = 0; i < kDown; i++) {
      if (row + i < t.rows) y[(row + i) * t.cols + column] = a[i];
    }
  }
}

/* ---- launch -------------------------------------------------------------------------------------------------------- */

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }

Rows rows_of(const Matrix& m) { return Rows{reinterpret_cast<float*>(m.data), m.rows == 1 ? 0 : m.stride}; }

enum class Kind { kLeft, kRight, kOrthonormalise, kWrite };

/* Lists the tensors on the device; false, and the entry's status, when memory is out. */
bool list(Entry& entry, const kith_shape* shapes, int64_t count, Kind kind, Job* job) {
  Tensor* const tensors = static_cast<Tensor*>(std::calloc(static_cast<size_t>(count), sizeof(Tensor)));
  if (tensors == nullptr) {
    entry.fail(KITH_OUT_OF_MEMORY, "no memory for a list of %lld tensors", static_cast<long long>(count));
    return false;
  }
  int64_t p = 0, q = 0, items = 0, sums = 0;
  for (int64_t i = 0; i < count; i++) {
    const kith_shape& s = shapes[i];
    Tensor& t = tensors[i];
    t = Tensor{s.offset, s.rows, s.cols, s.rank, p, q, items, 1, sums, 1};
    const int64_t length = job->right != 0 ? s.cols : s.rows;
    int64_t down = 1;
    switch (kind) {
      case Kind::kLeft:
        t.chunks = t.across = cut_into(s.cols, kLeftChunk);
        down = cut_into(s.rows, kLeftDown);
        break;
      case Kind::kRight:
        t.chunks = down = cut_into(s.rows, kRightChunk);
        t.across = cut_into(s.cols, kThreads);
        break;
      case Kind::kOrthonormalise:
        t.chunks = cut_into(length, kDotChunk);
        break;
      case Kind::kWrite:
        down = cut_into(s.rows, kDown);
        t.across = cut_into(s.cols, kThreads);
        break;
    }
    items += down * t.across;
    if (kind == Kind::kOrthonormalise) {
      sums += t.chunks * s.rank;
    } else if (t.chunks > 1) {
      sums += t.chunks * s.rank * length;
    }
    p += s.rank * s.rows;
    q += s.rank * s.cols;
  }
  job->tensors = entry.upload(tensors, count);
  std::free(tensors);
  job->count = count;
  job->items_per_row = items;
  job->sums_per_row = sums;
  if (sums > 0 && entry.ok()) {
    const int64_t size = kind == Kind::kOrthonormalise ? 8 : 4;
    job->sums = static_cast<unsigned char*>(entry.scratch(job->rows * sums * size));
  }
  return entry.ok();
}

Job job_of(const LowRankOperands& o) {
  Job job = {};
  job.x = rows_of(o.x);
  job.minus = rows_of(o.minus);
  job.residual = rows_of(o.residual);
  job.p = rows_of(o.p);
  job.q = rows_of(o.q);
  job.out = rows_of(o.out);
  job.flags = reinterpret_cast<int32_t*>(o.flags.data);
  job.rows = o.x.rows;
  return job;
}

unsigned blocks_of(const Entry& entry, const Job& job) {
  return entry.grid(job.rows * job.items_per_row, kPerMultiprocessor);
}

kith_status combined(Entry& entry, const Job& job) {
  if (job.sums != nullptr && entry.ok()) {
    entry.launched(KITH_LAUNCH(combine, entry.grid(cut_into(job.sums_per_row, kThreads), kPerMultiprocessor), kThreads,
                               0, entry.stream(), job));
  }
  return entry.finish();
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_lowrank_left(kith_queue* queue, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                              const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* q,
                              const kith_matrix* p, const kith_matrix* flags, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_left");
  LowRankOperands operands;
  if (!check_lowrank_left(entry, shapes, count, x, minus, residual, q, p, flags, &operands)) return entry.status();
  Job job = job_of(operands);
  job.out = job.p;
  if (job.rows == 0 || count == 0) return entry.finish();
  if (!list(entry, shapes, count, Kind::kLeft, &job)) return entry.status();
  entry.launched(KITH_LAUNCH(left, blocks_of(entry, job), kThreads, 0, entry.stream(), job));
  return combined(entry, job);
}

kith_status kith_lowrank_right(kith_queue* queue, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                               const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* p,
                               const kith_matrix* q, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_right");
  LowRankOperands operands;
  if (!check_lowrank_right(entry, shapes, count, x, minus, residual, p, q, &operands)) return entry.status();
  Job job = job_of(operands);
  job.out = job.q;
  job.right = 1;
  if (job.rows == 0 || count == 0) return entry.finish();
  if (!list(entry, shapes, count, Kind::kRight, &job)) return entry.status();
  entry.launched(KITH_LAUNCH(right, blocks_of(entry, job), kThreads, 0, entry.stream(), job));
  return combined(entry, job);
}

kith_status kith_lowrank_orthonormalise(kith_queue* queue, const kith_shape* shapes, int64_t count, int32_t right,
                                        const kith_matrix* factors, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_orthonormalise");
  Matrix m;
  if (!check_lowrank_orthonormalise(entry, shapes, count, right, factors, &m)) return entry.status();
  Job job = {};
  job.out = rows_of(m);
  job.rows = m.rows;
  job.right = right;
  if (job.rows == 0 || count == 0) return entry.finish();
  if (!list(entry, shapes, count, Kind::kOrthonormalise, &job)) return entry.status();
  entry.launched(
      KITH_LAUNCH(orthonormalise, entry.grid(job.rows * count, kPerMultiprocessor), kThreads, 0, entry.stream(), job));
  return entry.finish();
}

kith_status kith_lowrank_residual(kith_queue* queue, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                                  const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* p,
                                  const kith_matrix* q, const kith_matrix* out, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_residual");
  LowRankOperands operands;
  if (!check_lowrank_residual(entry, shapes, count, x, minus, residual, p, q, out, &operands)) return entry.status();
  Job job = job_of(operands);
  if (job.rows == 0 || count == 0) return entry.finish();
  if (!list(entry, shapes, count, Kind::kWrite, &job)) return entry.status();
  entry.launched(KITH_LAUNCH(kith::residual, blocks_of(entry, job), kThreads, 0, entry.stream(), job));
  return entry.finish();
}

kith_status kith_lowrank_accumulate(kith_queue* queue, const kith_weights* weights, const kith_shape* shapes,
                                    int64_t count, const kith_matrix* p, const kith_matrix* q,
                                    const kith_matrix* halo_p, const kith_matrix* halo_q, int32_t add,
                                    const kith_matrix* y, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_accumulate");
  LowRankSumOperands operands;
  if (!check_lowrank_accumulate(entry, weights, shapes, count, p, q, halo_p, halo_q, add, y, &operands)) {
    return entry.status();
  }
  const CudaWeights* const w = static_cast<const CudaWeights*>(weights);
  if (w != nullptr && w->dense) {
    return entry.fail(KITH_UNSUPPORTED, "weights are dense; low-rank factors are added with sparse ones");
  }
  Job job = {};
  job.p = rows_of(operands.p);
  job.q = rows_of(operands.q);
  job.out = rows_of(operands.y);
  job.halo_p = rows_of(operands.halo_p);
  job.halo_q = rows_of(operands.halo_q);
  job.nodes = operands.nodes;
  job.add = add;
  job.rows = operands.y.rows;
  if (w != nullptr) {
    job.rows = w->rows;
    job.offsets = w->offsets;
    job.entries = static_cast<const Weight<float>*>(w->links[0]);
    job.used = w->used;
    job.output_rows = w->output_rows;
    entry.use(w->memory);
  }
  if (job.rows == 0 || count == 0) return entry.finish();
  if (!list(entry, shapes, count, Kind::kWrite, &job)) return entry.status();
  entry.launched(KITH_LAUNCH(kith::accumulate, blocks_of(entry, job), kThreads, 0, entry.stream(), job));
  return entry.finish();
}

}  // extern "C"
