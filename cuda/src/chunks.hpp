/*
 * The tree of kith.h: chunk sums of lanes, and their combination. For reduction.cu, whose header says how they are
 * launched, and nodes.cu.
 */
#ifndef KITH_CUDA_CHUNKS_HPP
#define KITH_CUDA_CHUNKS_HPP

#include <cmath>

#include "convert.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "reduction_checks.hpp"

namespace kith {

namespace {

constexpr int kTreeLanes = 64;
constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr unsigned kAll = 0xffffffffu;
constexpr int64_t kPlainShared = 48 << 10;
constexpr int64_t kMostBlocks = 1 << 30;

template <class S>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <class S>
using Compute = typename ComputeOf<S>::type;

KITH_DEVICE float magnitude(float x) { return fabsf(x); }
KITH_DEVICE double magnitude(double x) { return fabs(x); }
KITH_DEVICE bool negative(float x) { return (__float_as_uint(x) >> 31) != 0; }
KITH_DEVICE bool negative(double x) { return __double_as_longlong(x) < 0; }

/* NaN wins; -0 < +0. */
template <class T>
KITH_DEVICE T least(T a, T b) {
  return a != a || a < b || (a == b && negative(a)) ? a : b;
}
template <class T>
KITH_DEVICE T greatest(T a, T b) {
  return a != a || a > b || (a == b && negative(b)) ? a : b;
}

struct Adding {
  template <class T>
  static KITH_DEVICE T start() {
    return T(0);
  }
  template <class T>
  static KITH_DEVICE T join(T a, T b) {
    return a + b;
  }
};
struct Sum : Adding {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T) {
    return lane + x;
  }
};
struct AbsoluteSum : Adding {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T) {
    return lane + magnitude(x);
  }
};
struct Squares : Adding {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T) {
    return fused(x, x, lane);
  }
};
struct Dot : Adding {
  static constexpr bool kBinary = true;
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T y) {
    return fused(x, y, lane);
  }
};
struct Distance : Adding {
  static constexpr bool kBinary = true;
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T y) {
    const T d = x - y;
    return fused(d, d, lane);
  }
};
/* A chunk counts to 4096 at most, which every compute type holds. */
struct Nonfinite : Adding {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T) {
    return not_finite(x) ? lane + T(1) : lane;
  }
};
struct Least {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_DEVICE T start() {
    return static_cast<T>(INFINITY);
  }
  template <class T>
  static KITH_DEVICE T join(T a, T b) {
    return least(a, b);
  }
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T) {
    return least(lane, x);
  }
};
struct Greatest {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_DEVICE T start() {
    return static_cast<T>(-INFINITY);
  }
  template <class T>
  static KITH_DEVICE T join(T a, T b) {
    return greatest(a, b);
  }
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T) {
    return greatest(lane, x);
  }
};
struct GreatestAbsolute : Greatest {
  template <class T>
  static KITH_DEVICE T start() {
    return T(0);
  }
  template <class T>
  static KITH_DEVICE T step(T lane, T x, T) {
    return greatest(lane, magnitude(x));
  }
};

/* Which NaN comes out of a sum is the processor's choice, so all are given as one. */
KITH_DEVICE double plain_nan(double value) { return value != value ? static_cast<double>(NAN) : value; }

/* ---- chunks --------------------------------------------------------------------------------------------------------- */

/* Lanes of a thread, and threads of a chunk. */
template <class S>
constexpr int kEach = 16 / static_cast<int>(sizeof(S));
template <class S>
constexpr int kGroup = kTreeLanes / kEach<S>;

/* Folds the lanes of a group, place * E + i in lanes[i]; the result is lane 0's, at place 0. All threads of a warp call. */
template <class Op, class T, int E>
KITH_DEVICE T fold(T (&lanes)[E]) {
  KITH_UNROLL
  for (int s = kTreeLanes / 2; s >= E; s /= 2) {
    KITH_UNROLL
    for (int i = 0; i < E; i++) lanes[i] = Op::join(lanes[i], __shfl_down_sync(kAll, lanes[i], s / E));
  }
  KITH_UNROLL
  for (int s = E / 2; s >= 1; s /= 2) {
    KITH_UNROLL
    for (int i = 0; i < s; i++) lanes[i] = Op::join(lanes[i], lanes[i + s]);
  }
  return lanes[0];
}

/* Adds U times 64 elements to the lanes. */
template <class Op, int U, class T, class S, class R>
KITH_DEVICE void add_groups(const S* a, const R* b, T (&lanes)[kEach<S>]) {
  constexpr int E = kEach<S>;
  Pack<S, E> x[U];
  Pack<R, E> y[U];
  KITH_UNROLL
  for (int u = 0; u < U; u++) {
    x[u] = load_pack<E>(a + u * kTreeLanes);
    if constexpr (Op::kBinary) y[u] = load_pack<E>(b + u * kTreeLanes);
  }
  KITH_UNROLL
  for (int u = 0; u < U; u++) {
    KITH_UNROLL
    for (int i = 0; i < E; i++) {
      T other = T(0);
      if constexpr (Op::kBinary) other = widen<T>(y[u].v[i]);
      lanes[i] = Op::step(lanes[i], widen<T>(x[u].v[i]), other);
    }
  }
}

/* The lanes of `place` over n <= 4096 elements. */
template <class Op, class T, class S, class R>
KITH_DEVICE void add_chunk(const S* a, const R* b, int n, int place, T (&lanes)[kEach<S>]) {
  constexpr int E = kEach<S>;
  constexpr int U = Op::kBinary ? 4 : 8;
  const S* x = a + place * E;
  const R* y = Op::kBinary ? b + place * E : nullptr;
  int at = 0;
  const bool aligned =
      reinterpret_cast<uintptr_t>(a) % 16 == 0 && (!Op::kBinary || reinterpret_cast<uintptr_t>(b) % 16 == 0);
  if (aligned) {
    for (; at + U * kTreeLanes <= n; at += U * kTreeLanes) {
      add_groups<Op, U, T>(x + at, Op::kBinary ? y + at : nullptr, lanes);
    }
  }
  for (; at < n; at += kTreeLanes) {
    KITH_UNROLL
    for (int i = 0; i < E; i++) {
      if (at + place * E + i >= n) continue;
      T other = T(0);
      if constexpr (Op::kBinary) other = widen<T>(y[at + i]);
      lanes[i] = Op::step(lanes[i], widen<T>(x[at + i]), other);
    }
  }
}

struct Chunks {
  const unsigned char* a;
  const unsigned char* b;
  int64_t a_pitch;       /* bytes */
  int64_t b_pitch;       /* 0: one row serves all */
  const int64_t* bounds; /* NULL: one segment, whole rows */
  const int64_t* starts; /* chunks before each segment */
  int64_t segments;
  int64_t cols;
  int64_t rows;
  int64_t total; /* chunks of a row */
  double* sums;  /* rows x total */
};

template <class Op, class S, class R>
KITH_KERNEL(kThreads)
void reduce_chunks(Chunks task) {
  using T = Compute<S>;
  constexpr int G = kGroup<S>;
  const int place = static_cast<int>(threadIdx.x) % G;
  const int64_t groups = static_cast<int64_t>(gridDim.x) * (kThreads / G);
  const int64_t items = task.rows * task.total;
  const int64_t rounds = (items + groups - 1) / groups; /* the same for every thread of a warp */
  int64_t item = static_cast<int64_t>(blockIdx.x) * (kThreads / G) + static_cast<int>(threadIdx.x) / G;
  for (int64_t round = 0; round < rounds; round++, item += groups) {
    T lanes[kEach<S>];
    KITH_UNROLL
    for (int i = 0; i < kEach<S>; i++) lanes[i] = Op::template start<T>();
    if (item < items) {
      const int64_t row = item / task.total;
      const int64_t chunk = item % task.total;
      int64_t begin = chunk * kChunk, end = task.cols;
      if (task.bounds != nullptr) {
        int64_t low = 0, high = task.segments; /* the last segment that starts at or before the chunk has it */
        while (high - low > 1) {
          const int64_t middle = (low + high) / 2;
          if (task.starts[middle] <= chunk) {
            low = middle;
          } else {
            high = middle;
          }
        }
        begin = task.bounds[low] + (chunk - task.starts[low]) * kChunk;
        end = task.bounds[low + 1];
      }
      const int n = static_cast<int>(end - begin < kChunk ? end - begin : kChunk);
      const S* a = reinterpret_cast<const S*>(task.a + row * task.a_pitch) + begin;
      const R* b = Op::kBinary ? reinterpret_cast<const R*>(task.b + row * task.b_pitch) + begin : nullptr;
      add_chunk<Op, T>(a, b, n, place, lanes);
    }
    const T sum = fold<Op>(lanes);
    if (item < items && place == 0) task.sums[item] = static_cast<double>(sum);
  }
}

/* ---- combination ---------------------------------------------------------------------------------------------------- */

constexpr int kValues = 8; /* of a thread in one pass */
constexpr int kWarpValues = kWarp * kValues;
constexpr int kManyWarps = 16;
constexpr int64_t kFewSums = 1024;
constexpr int kLevels = 56;

/* Neighbours first, an odd last one moves up: the sum of values[base .. base + 256) below n, in lane 0. */
template <class Op>
KITH_DEVICE double combine_warp(const double* values, int64_t n, int64_t base, int lane) {
  double v[kValues];
  const int64_t first = base + static_cast<int64_t>(lane) * kValues;
  KITH_UNROLL
  for (int i = 0; i < kValues; i++) v[i] = first + i < n ? values[first + i] : 0.0;
  KITH_UNROLL
  for (int d = 1; d < kValues; d *= 2) {
    KITH_UNROLL
    for (int i = 0; i + d < kValues; i += 2 * d) {
      if (first + i + d < n) v[i] = Op::join(v[i], v[i + d]);
    }
  }
  KITH_UNROLL
  for (int d = 1; d < kWarp; d *= 2) {
    const double other = __shfl_down_sync(kAll, v[0], d);
    if (first + static_cast<int64_t>(d) * kValues < n) v[0] = Op::join(v[0], other);
  }
  return v[0];
}

/* The sums of passes, combined as soon as two neighbours of one height stand. */
template <class Op>
struct Counter {
  double level[kLevels];
  int64_t passes = 0;

  KITH_DEVICE void add(double v) {
    int k = 0;
    for (; (passes >> k & 1) != 0; k++) v = Op::join(level[k], v);
    level[k] = v;
    passes++;
  }
  KITH_DEVICE double result() const {
    int k = 0;
    while ((passes >> k & 1) == 0) k++;
    double v = level[k];
    for (k++; passes >> k != 0; k++) {
      if ((passes >> k & 1) != 0) v = Op::join(level[k], v);
    }
    return v;
  }
};

/* Results of segments. */
struct SegmentTarget {
  const double* sums;
  const int64_t* starts; /* NULL: one segment */
  int64_t segments;
  int64_t total;
  double* out;
  int64_t pitch; /* from row to row of results */
  double empty;

  KITH_DEVICE const double* values(int64_t item, int64_t* n) const {
    const int64_t row = item / segments, segment = item % segments;
    const int64_t from = starts == nullptr ? 0 : starts[segment];
    *n = (starts == nullptr ? total : starts[segment + 1]) - from;
    return sums + row * total + from;
  }
  KITH_DEVICE void store(int64_t item, double value) const { out[item / segments * pitch + item % segments] = value; }
};

/* A tile of rows of a that meets one of b. */
struct TilePair {
  int32_t i;
  int32_t j;
};

/* Results of pairs of tiles. */
struct GramTarget {
  const double* sums; /* pair by pair of tiles, pair by pair of rows, chunk by chunk */
  const TilePair* pairs;
  int64_t chunks;
  int64_t tile;
  int64_t a_rows;
  int64_t b_rows;
  double* out;
  int64_t pitch;
  bool symmetric;
  double empty;

  KITH_DEVICE bool place(int64_t item, int64_t* i, int64_t* j) const {
    const TilePair pair = pairs[item / (tile * tile)];
    *i = pair.i * tile + item / tile % tile;
    *j = pair.j * tile + item % tile;
    return *i < a_rows && *j < b_rows && (!symmetric || *i <= *j);
  }
  KITH_DEVICE const double* values(int64_t item, int64_t* n) const {
    int64_t i, j;
    *n = place(item, &i, &j) ? chunks : 0;
    return sums + item * chunks;
  }
  KITH_DEVICE void store(int64_t item, double value) const {
    int64_t i, j;
    if (!place(item, &i, &j)) return;
    out[i * pitch + j] = value;
    if (symmetric) out[j * pitch + i] = value;
  }
};

/* A warp per result. */
template <class Op, class Target>
KITH_KERNEL(kThreads)
void combine_few(Target target, int64_t items) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (kThreads / kWarp);
  int64_t item = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + static_cast<int>(threadIdx.x) / kWarp;
  for (; item < items; item += warps) {
    int64_t n = 0;
    const double* values = target.values(item, &n);
    Counter<Op> counter;
    for (int64_t base = 0; base < n; base += kWarpValues) {
      const double v = combine_warp<Op>(values, n, base, lane);
      if (lane == 0) counter.add(v);
    }
    if (lane == 0) target.store(item, n == 0 ? target.empty : plain_nan(counter.result()));
  }
}

/* A block per result. */
template <class Op, class Target>
KITH_KERNEL(kManyWarps* kWarp)
void combine_many(Target target, int64_t items) {
  KITH_SHARED(double, part, kManyWarps);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    int64_t n = 0;
    const double* values = target.values(item, &n);
    Counter<Op> counter;
    for (int64_t base = 0; base < n; base += kManyWarps * kWarpValues) {
      const double v = combine_warp<Op>(values, n, base + warp * kWarpValues, lane);
      if (lane == 0) part[warp] = v;
      __syncthreads();
      if (threadIdx.x == 0) {
        double sums[kManyWarps];
        KITH_UNROLL
        for (int w = 0; w < kManyWarps; w++) sums[w] = part[w];
        KITH_UNROLL
        for (int d = 1; d < kManyWarps; d *= 2) {
          KITH_UNROLL
          for (int w = 0; w + d < kManyWarps; w += 2 * d) {
            if (base + (w + d) * kWarpValues < n) sums[w] = Op::join(sums[w], sums[w + d]);
          }
        }
        counter.add(sums[0]);
      }
      __syncthreads();
    }
    if (threadIdx.x == 0) target.store(item, n == 0 ? target.empty : plain_nan(counter.result()));
  }
}

unsigned at_most(int64_t blocks) { return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks); }

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t rounded_up(int64_t n) { return cut_into(n, 256) * 256; }

/* most: chunks of the longest row. */
template <class Op, class Target>
void combine(Entry& entry, const Target& target, int64_t items, int64_t most) {
  if (most <= kFewSums) {
    entry.launched(KITH_LAUNCH((combine_few<Op, Target>), at_most(cut_into(items, kThreads / kWarp)), kThreads, 0,
                               entry.stream(), target, items));
  } else {
    entry.launched(
        KITH_LAUNCH((combine_many<Op, Target>), at_most(items), kManyWarps * kWarp, 0, entry.stream(), target, items));
  }
}

template <class Op, class S, class R = S>
void launch_chunks(Entry& entry, const Chunks& task) {
  const int64_t wanted = cut_into(task.rows * task.total, kThreads / kGroup<S>);
  entry.launched(KITH_LAUNCH((reduce_chunks<Op, S, R>), at_most(wanted), kThreads, 0, entry.stream(), task));
}

}  // namespace

}  // namespace kith

#endif
