/*
 * reduction: sums of rows and segments, Gram matrices and sums over nodes, on the tree of kith.h.
 *
 * Bytes per element (f32): reduce_rows and reduce_segments 4 B, 8 B with b. gram: 4 B where all rows fit one tile (16, or
 * 32 where blocks may take 144 KiB of shared memory; 8 for f64), otherwise each row once per tile of the other side,
 * through the second-level cache. reduce_nodes: 4 B per row, 4 B per row of `out`, and 4 B per row more for distances.
 * Determinism: lane l of a chunk of 4096 belongs to one thread, which adds its elements in ascending order; lanes fold
 * by shuffles in the order of the tree; chunk sums are combined pairwise in f64. Nothing depends on launch shapes, no
 * sum is made by atomics, and the bits are those of the CPU library. Minimum, maximum and counts have no rounding.
 * Emulated: all of it; the Gram tile of 32 rows, which takes 144 KiB of shared memory, from sm_80 on.
 *
 * Launch shapes
 *   chunks         256 threads; 64 * sizeof(element) / 16 threads a chunk, 16 bytes of neighbouring lanes each, eight loads
 *                  in flight (four with b). Groups take (row, chunk) in turn.
 *   combine        a warp, or 16 warps above 1024 chunks, per result: 8 sums a thread, then shuffles; longer rows pass by
 *                  pass, the passes' sums held as in a binary counter.
 *   gram           a block per chunk and pair of tiles of rows; a warp per 8 x 8 pairs of rows (4 x 4 in f64), a lane of the
 *                  tree per thread, 64 accumulators in registers, rows staged 2 or 4 steps of 64 columns at a time with the
 *                  next ones on their way. Lanes 0 to 31 first, then 32 to 63. 40 KiB of shared memory with tiles of 16.
 *   nodes          128 threads, 16 bytes of columns each; up to eight rows in flight; the stack below its top in shared
 *                  memory, or in device memory where programs are deeper than 48 KiB allow. Distances then as chunks.
 */
#include <cmath>
#include <cstdlib>

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

/* ---- rows and segments ------------------------------------------------------------------------------------------------ */

template <class Op, class S, class R = S>
void launch_chunks(Entry& entry, const Chunks& task) {
  const int64_t wanted = cut_into(task.rows * task.total, kThreads / kGroup<S>);
  entry.launched(KITH_LAUNCH((reduce_chunks<Op, S, R>), at_most(wanted), kThreads, 0, entry.stream(), task));
}

template <class Op>
void launch_chunks(Entry& entry, int32_t dtype, const Chunks& task, const SegmentTarget& target, int64_t most) {
  if (task.total > 0) {
    switch (dtype) {
      case KITH_F64:
        launch_chunks<Op, double>(entry, task);
        break;
      case KITH_BF16:
        launch_chunks<Op, bf16>(entry, task);
        break;
      case KITH_F16:
        launch_chunks<Op, f16>(entry, task);
        break;
      default:
        launch_chunks<Op, float>(entry, task);
    }
  }
  if (entry.ok()) combine<Op>(entry, target, task.rows * task.segments, most);
}

kith_status reduce(Entry& entry, int32_t reduction, const kith_matrix* a, const kith_matrix* b, const int64_t* bounds,
                   int64_t segments, const kith_matrix* out) {
  ReduceOperands operands;
  if (!check_reduce(entry, reduction, a, b, bounds, segments, out, &operands)) return entry.status();
  const Matrix& ma = operands.a;
  if (ma.rows == 0 || segments == 0) return entry.finish();
  Chunks task = {};
  SegmentTarget target = {};
  task.a = ma.data;
  task.a_pitch = ma.stride * ma.element_bytes();
  task.b = operands.b.data;
  task.b_pitch = operands.b.rows == 1 ? 0 : operands.b.stride * operands.b.element_bytes();
  task.rows = ma.rows;
  task.cols = ma.cols;
  task.segments = segments;
  task.total = cut_into(ma.cols, kChunk);
  target.pitch = 1;
  int64_t most = task.total;
  if (bounds != nullptr) {
    int64_t* lists = static_cast<int64_t*>(std::malloc(static_cast<size_t>(2 * (segments + 1)) * sizeof(int64_t)));
    if (lists == nullptr) {
      return entry.fail(KITH_OUT_OF_MEMORY, "no memory for %lld bounds", static_cast<long long>(segments + 1));
    }
    task.total = 0;
    most = 0;
    for (int64_t s = 0; s <= segments; s++) {
      lists[s] = bounds[s];
      lists[segments + 1 + s] = task.total;
      const int64_t chunks = s < segments ? cut_into(bounds[s + 1] - bounds[s], kChunk) : 0;
      task.total += chunks;
      if (chunks > most) most = chunks;
    }
    task.bounds = entry.upload(lists, 2 * (segments + 1));
    std::free(lists);
    if (task.bounds == nullptr) return entry.status();
    task.starts = task.bounds + segments + 1;
    target.pitch = operands.out.stride;
  }
  task.sums = static_cast<double*>(entry.scratch(rounded_up(task.rows * task.total * 8 + 8)));
  if (task.sums == nullptr) return entry.status();
  target.sums = task.sums;
  target.starts = task.starts;
  target.segments = segments;
  target.total = task.total;
  target.out = reinterpret_cast<double*>(operands.out.data);
  target.empty = reduction == KITH_REDUCE_MIN ? HUGE_VAL : reduction == KITH_REDUCE_MAX ? -HUGE_VAL : 0.0;
  switch (reduction) {
    case KITH_REDUCE_SUM:
      launch_chunks<Sum>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_ABS_SUM:
      launch_chunks<AbsoluteSum>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_SQUARES:
      launch_chunks<Squares>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_DOT:
      launch_chunks<Dot>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_DISTANCE:
      launch_chunks<Distance>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_MIN:
      launch_chunks<Least>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_MAX:
      launch_chunks<Greatest>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_MAX_ABS:
      launch_chunks<GreatestAbsolute>(entry, ma.dtype, task, target, most);
      break;
    default:
      launch_chunks<Nonfinite>(entry, ma.dtype, task, target, most);
  }
  return entry.finish();
}

/* ---- Gram matrices ---------------------------------------------------------------------------------------------------- */

struct Gram {
  const unsigned char* a;
  const unsigned char* b;
  int64_t a_pitch; /* bytes */
  int64_t b_pitch;
  int64_t a_rows;
  int64_t b_rows;
  int64_t cols;
  int64_t chunks;
  int64_t blocks;
  int64_t pair_count;
  const TilePair* pairs;
  bool symmetric;
  double* sums;
};

/* Exchanges halves: after it v[0 .. N / 2) are sums over lanes S apart, the first half of the pairs where the lane's bit S
   is clear, the second where it is set. */
template <class T, int N, int S>
KITH_DEVICE void fold_pairs(T* v, int lane) {
  if constexpr (N > 1) {
    const bool upper = (lane & S) != 0;
    KITH_UNROLL
    for (int i = 0; i < N / 2; i++) {
      const T given = __shfl_xor_sync(kAll, upper ? v[i] : v[i + N / 2], S);
      v[i] = (upper ? v[i + N / 2] : v[i]) + given;
    }
  } else {
    v[0] = v[0] + __shfl_xor_sync(kAll, v[0], S);
  }
  if constexpr (S > 1) fold_pairs<T, (N > 1 ? N / 2 : 1), S / 2>(v, lane);
}

/* Rows of a tile, and of the pairs of a warp. */
template <class S, int kTile, int kSub>
struct GramShape {
  using T = Compute<S>;
  static constexpr int kSubs = kTile / kSub;
  static constexpr int kBlock = kSubs * kSubs * kWarp;
  static constexpr int kRowSteps = 4 * kTile; /* 4 steps of one tile of rows, or 2 of two */
  static constexpr int kStaged = kRowSteps * kWarp;
  static constexpr int kLoads = kStaged / kBlock;
  static constexpr int kPairs = kSub * kSub;
  static constexpr int64_t kShared = (kStaged + kPairs * kBlock) * static_cast<int64_t>(sizeof(T));
};

/* The bound is above what is launched: four blocks of small tiles fit a multiprocessor. */
template <class S, int kTile, int kSub>
KITH_KERNEL(512)
void gram_chunks(Gram task) {
  using Shape = GramShape<S, kTile, kSub>;
  using T = Compute<S>;
  KITH_DYNAMIC_SHARED(T, shared); /* what is staged, then the sums of lanes 0 to 31 */
  const int self = static_cast<int>(threadIdx.x);
  const int lane = self % kWarp;
  const int warp = self / kWarp;
  const int sub_i = warp / Shape::kSubs * kSub;
  const int sub_j = warp % Shape::kSubs * kSub;
  for (int64_t block = blockIdx.x; block < task.blocks; block += gridDim.x) {
    const int64_t chunk = block / task.pair_count;
    const TilePair pair = task.pairs[block % task.pair_count];
    const bool diagonal = task.symmetric && pair.i == pair.j;
    const int rows = diagonal ? kTile : 2 * kTile; /* staged */
    const int steps = Shape::kRowSteps / rows;
    const int64_t a_row = static_cast<int64_t>(pair.i) * kTile, b_row = static_cast<int64_t>(pair.j) * kTile;
    const int64_t begin = chunk * kChunk;
    const int n = static_cast<int>(task.cols - begin < kChunk ? task.cols - begin : kChunk);
    const bool wanted = a_row + sub_i < task.a_rows && b_row + sub_j < task.b_rows && (!diagonal || sub_i <= sub_j);
    T sum[Shape::kPairs];
    for (int pass = 0; pass < 2; pass++) {
      KITH_UNROLL
      for (int p = 0; p < Shape::kPairs; p++) sum[p] = T(0);
      const int first = pass * kWarp + lane; /* this lane's element of the first step */
      S next[Shape::kLoads];
      const auto load = [&](int step_base) {
        KITH_UNROLL
        for (int l = 0; l < Shape::kLoads; l++) {
          const int row_step = l * (Shape::kBlock / kWarp) + warp;
          const int row = row_step % rows;
          const int at = (step_base + row_step / rows) * kTreeLanes + first;
          const bool of_a = row < kTile;
          int64_t from = of_a ? a_row + row : b_row + row - kTile;
          const int64_t last = (of_a ? task.a_rows : task.b_rows) - 1;
          if (from > last) from = last;
          const unsigned char* base = of_a ? task.a + from * task.a_pitch : task.b + from * task.b_pitch;
          next[l] = at < n ? reinterpret_cast<const S*>(base)[begin + at] : S{};
        }
      };
      load(0);
      for (int step_base = 0; step_base * kTreeLanes + pass * kWarp < n; step_base += steps) {
        __syncthreads(); /* the last steps have been read */
        KITH_UNROLL
        for (int l = 0; l < Shape::kLoads; l++) shared[l * Shape::kBlock + self] = widen<T>(next[l]);
        __syncthreads();
        load(step_base + steps);
        if (!wanted) continue;
        const int b_place = (diagonal ? 0 : kTile) + sub_j;
        for (int s = 0; s < steps; s++) {
          if ((step_base + s) * kTreeLanes + first >= n) break;
          T x[kSub], y[kSub];
          KITH_UNROLL
          for (int i = 0; i < kSub; i++) x[i] = shared[(s * rows + sub_i + i) * kWarp + lane];
          KITH_UNROLL
          for (int j = 0; j < kSub; j++) y[j] = shared[(s * rows + b_place + j) * kWarp + lane];
          KITH_UNROLL
          for (int i = 0; i < kSub; i++) {
            KITH_UNROLL
            for (int j = 0; j < kSub; j++) sum[i * kSub + j] = fused(x[i], y[j], sum[i * kSub + j]);
          }
        }
      }
      if (pass == 0) {
        KITH_UNROLL
        for (int p = 0; p < Shape::kPairs; p++) shared[Shape::kStaged + p * Shape::kBlock + self] = sum[p];
      }
    }
    KITH_UNROLL
    for (int p = 0; p < Shape::kPairs; p++) sum[p] = shared[Shape::kStaged + p * Shape::kBlock + self] + sum[p];
    fold_pairs<T, Shape::kPairs, kWarp / 2>(sum, lane);
    /* 64 pairs: two stay in each lane; 16 pairs: every second lane has one. */
    constexpr int kLeft = Shape::kPairs > kWarp ? Shape::kPairs / kWarp : 1;
    constexpr int kSpread = kWarp * kLeft / Shape::kPairs;
    if (wanted && lane % kSpread == 0) {
      KITH_UNROLL
      for (int l = 0; l < kLeft; l++) {
        const int p = lane / kSpread * kLeft + l;
        const int64_t slot = (block % task.pair_count * kTile + sub_i + p / kSub) * kTile + sub_j + p % kSub;
        task.sums[slot * task.chunks + chunk] = static_cast<double>(sum[l]);
      }
    }
    __syncthreads(); /* before the next block's first sums of lanes */
  }
}

/* Bytes of chunk sums that wait for their combination. */
constexpr int64_t kGramBytes = 256 << 20;

template <class S, int kTile, int kSub>
void gram(Entry& entry, const GramOperands& operands, bool symmetric) {
  using Shape = GramShape<S, kTile, kSub>;
  const Matrix &a = operands.a, &b = operands.b;
  const int64_t a_tiles = cut_into(a.rows, kTile), b_tiles = cut_into(b.rows, kTile);
  const int64_t all = symmetric ? a_tiles * (a_tiles + 1) / 2 : a_tiles * b_tiles;
  Gram task = {};
  task.a = a.data;
  task.b = b.data;
  task.a_pitch = a.stride * a.element_bytes();
  task.b_pitch = b.stride * b.element_bytes();
  task.a_rows = a.rows;
  task.b_rows = b.rows;
  task.cols = a.cols;
  task.chunks = cut_into(a.cols, kChunk);
  task.symmetric = symmetric;
  const int64_t pair_bytes = kTile * kTile * (task.chunks > 0 ? task.chunks : 1) * 8;
  int64_t round = kGramBytes / pair_bytes;
  if (round < 1) round = 1;
  if (round > all) round = all;
  TilePair* pairs = static_cast<TilePair*>(std::malloc(static_cast<size_t>(all) * sizeof(TilePair)));
  if (pairs == nullptr) {
    entry.fail(KITH_OUT_OF_MEMORY, "no memory for %lld pairs of tiles", static_cast<long long>(all));
    return;
  }
  TilePair at = {0, 0};
  for (int64_t p = 0; p < all; p++) {
    pairs[p] = at;
    if (++at.j == b_tiles) {
      at.i++;
      at.j = symmetric ? at.i : 0;
    }
  }
  const TilePair* uploaded = entry.upload(pairs, all);
  std::free(pairs);
  if (uploaded == nullptr) return;
  task.sums = static_cast<double*>(entry.scratch(rounded_up(round * pair_bytes)));
  if (task.sums == nullptr) return;
  if (Shape::kShared > kPlainShared) {
    const void* kernel = reinterpret_cast<const void*>(&gram_chunks<S, kTile, kSub>);
    if (!entry.done("asking for shared memory",
                    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         static_cast<int>(Shape::kShared)))) {
      return;
    }
  }
  GramTarget target = {};
  target.sums = task.sums;
  target.chunks = task.chunks;
  target.tile = kTile;
  target.a_rows = a.rows;
  target.b_rows = b.rows;
  target.out = reinterpret_cast<double*>(operands.out.data);
  target.pitch = operands.out.stride;
  target.symmetric = symmetric;
  for (int64_t first = 0; first < all && entry.ok(); first += round) {
    task.pair_count = all - first < round ? all - first : round;
    task.pairs = uploaded + first;
    task.blocks = task.chunks * task.pair_count;
    target.pairs = task.pairs;
    if (task.blocks > 0 &&
        !entry.launched(KITH_LAUNCH((gram_chunks<S, kTile, kSub>), at_most(task.blocks), Shape::kBlock,
                                    static_cast<size_t>(Shape::kShared), entry.stream(), task))) {
      return;
    }
    combine<Adding>(entry, target, task.pair_count * kTile * kTile, task.chunks);
  }
}

/* Tiles of 32 rows where they save reading and the device has the shared memory. */
template <class S>
void gram_narrow(Entry& entry, const GramOperands& operands, bool symmetric) {
  int most = 0;
  if (operands.a.rows > 16 || operands.b.rows > 16) {
    if (!entry.done("asking for shared memory",
                    cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, entry.device()->ordinal))) {
      return;
    }
  }
  if (most >= GramShape<S, 32, 8>::kShared) {
    gram<S, 32, 8>(entry, operands, symmetric);
  } else {
    gram<S, 16, 8>(entry, operands, symmetric);
  }
}

/* ---- sums over nodes ---------------------------------------------------------------------------------------------------- */

constexpr int kNodesThreads = 128;

template <class T>
constexpr int kVector = 16 / static_cast<int>(sizeof(T));
template <class T>
using Slot = Pack<T, kVector<T>>;

struct Nodes {
  NodesTask task; /* on the device */
  int64_t cols;
  int64_t units; /* of 16 bytes of the compute type, then single columns */
  int64_t vectors;
  int64_t head; /* single columns before the vectors */
  void* stack;  /* NULL: in shared memory */
  void* values; /* the result in the compute type, for distances; NULL: not wanted */
};

/* Slots of one thread. */
template <class T, class Memory>
struct Stack {
  Memory memory;
  int64_t first;
  int64_t step;

  KITH_DEVICE Slot<T> load(int64_t i) const { return memory[first + i * step]; }
  KITH_DEVICE void store(int64_t i, const Slot<T>& slot) { memory[first + i * step] = slot; }
};

template <class T, class Memory>
KITH_DEVICE Stack<T, Memory> stack_of(Memory memory, int64_t first, int64_t step) {
  return Stack<T, Memory>{memory, first, step};
}

template <class T, int V, class S, int kRows>
KITH_DEVICE void balanced(const NodeOperation& operation, const unsigned char* base, int64_t pitch, int64_t first_row,
                          int64_t column, T (&sum)[V]) {
  Pack<S, V> raw[kRows];
  KITH_UNROLL
  for (int r = 0; r < kRows; r++) {
    raw[r] = load_pack<V>(reinterpret_cast<const S*>(base + (operation.rows[r] - first_row) * pitch) + column);
  }
  KITH_UNROLL
  for (int i = 0; i < V; i++) {
    T v[kRows];
    KITH_UNROLL
    for (int r = 0; r < kRows; r++) v[r] = widen<T>(raw[r].v[i]);
    KITH_UNROLL
    for (int d = 1; d < kRows; d *= 2) {
      KITH_UNROLL
      for (int r = 0; r + d < kRows; r += 2 * d) v[r] = v[r] + v[r + d];
    }
    sum[i] = v[0];
  }
}

template <class T, int V, class S>
KITH_DEVICE void rows_of(const NodeOperation& operation, const unsigned char* base, int64_t pitch, int64_t first_row,
                         int64_t column, T (&sum)[V]) {
  switch (operation.kind) {
    case kNodeSum8:
      return balanced<T, V, S, 8>(operation, base, pitch, first_row, column, sum);
    case kNodeSum4:
      return balanced<T, V, S, 4>(operation, base, pitch, first_row, column, sum);
    case kNodeSum2:
      return balanced<T, V, S, 2>(operation, base, pitch, first_row, column, sum);
    default:
      return balanced<T, V, S, 1>(operation, base, pitch, first_row, column, sum);
  }
}

template <class T, int V, class S>
KITH_DEVICE void store_values(unsigned char* row, int64_t column, const T (&v)[V]) {
  Pack<S, V> out;
  KITH_UNROLL
  for (int i = 0; i < V; i++) out.v[i] = narrow<S>(v[i]);
  store_pack<V>(reinterpret_cast<S*>(row) + column, out);
}

template <class T, class S, int V, class Slots>
KITH_DEVICE void node_columns(const Nodes& nodes, int64_t column, Slots stack) {
  const NodesTask& task = nodes.task;
  T top[V];
  KITH_UNROLL
  for (int i = 0; i < V; i++) top[i] = T(0);
  int64_t height = 0;
  for (int64_t o = 0; o < task.operation_count; o++) {
    const NodeOperation& operation = task.operations[o];
    if (operation.kind == kNodeAdd) {
      height--;
      const Slot<T> below = stack.load(height - 1);
      KITH_UNROLL
      for (int i = 0; i < V; i++) top[i] = below.v[i] + top[i];
      continue;
    }
    T v[V];
    if (operation.rows[0] < task.x_rows) {
      rows_of<T, V, S>(operation, task.x, task.x_pitch, 0, column, v);
    } else if (task.remote_dtype == task.x_dtype) {
      rows_of<T, V, S>(operation, task.remote, task.remote_pitch, task.x_rows, column, v);
    } else {
      rows_of<T, V, T>(operation, task.remote, task.remote_pitch, task.x_rows, column, v);
    }
    if (operation.kind == kNodeAddRow) {
      KITH_UNROLL
      for (int i = 0; i < V; i++) top[i] = top[i] + v[i];
      continue;
    }
    if (height > 0) {
      Slot<T> slot = {};
      KITH_UNROLL
      for (int i = 0; i < V; i++) slot.v[i] = top[i];
      stack.store(height - 1, slot);
    }
    height++;
    KITH_UNROLL
    for (int i = 0; i < V; i++) top[i] = v[i];
  }
  const T divisor = static_cast<T>(task.divisor);
  for (int64_t r = 0; r < task.out_rows; r++) {
    T v[V];
    if (r + 1 == task.out_rows) {
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = top[i];
    } else {
      const Slot<T> slot = stack.load(r);
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = slot.v[i];
    }
    if (task.divisor != 1.0) {
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = v[i] / divisor;
    }
    unsigned char* row = task.out + r * task.out_pitch;
    if (task.out_dtype == KITH_BF16) {
      if (task.out != nullptr) store_values<T, V, bf16>(row, column, v);
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = rounded<bf16>(v[i]);
    } else if (task.out_dtype == KITH_F16) {
      if (task.out != nullptr) store_values<T, V, f16>(row, column, v);
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = rounded<f16>(v[i]);
    } else if (task.out != nullptr) {
      store_values<T, V, T>(row, column, v);
    }
    if (nodes.values != nullptr) store_values<T, V, T>(static_cast<unsigned char*>(nodes.values), column, v);
  }
}

template <class T, class S, class Slots>
KITH_DEVICE void node_units(const Nodes& nodes, Slots stack) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t unit = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; unit < nodes.units; unit += step) {
    if (unit < nodes.vectors) {
      node_columns<T, S, kVector<T>>(nodes, nodes.head + unit * kVector<T>, stack);
    } else {
      const int64_t single = unit - nodes.vectors;
      node_columns<T, S, 1>(nodes, single < nodes.head ? single : single + nodes.vectors * kVector<T>, stack);
    }
  }
}

template <class S>
KITH_KERNEL(kNodesThreads)
void reduce_columns(Nodes nodes) {
  using T = Compute<S>;
  KITH_DYNAMIC_SHARED(Slot<T>, slots);
  node_units<T, S>(nodes, stack_of<T>(slots, static_cast<int64_t>(threadIdx.x), blockDim.x));
}

/* Programs too deep for shared memory. */
template <class S>
KITH_KERNEL(kNodesThreads)
void reduce_columns_deep(Nodes nodes) {
  using T = Compute<S>;
  const int64_t self = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t all = static_cast<int64_t>(gridDim.x) * blockDim.x;
  node_units<T, S>(nodes, stack_of<T>(static_cast<Slot<T>*>(nodes.stack), self, all));
}

/* Units of as many columns as 16 bytes of the compute type hold, where all matrices can be read that way. */
void cut_nodes(const NodesOperands& operands, Nodes* nodes) {
  const int64_t width = operands.x.dtype == KITH_F64 ? 2 : 4;
  const int64_t size = operands.x.element_bytes();
  const uintptr_t past = reinterpret_cast<uintptr_t>(operands.x.data) % static_cast<uintptr_t>(width * size);
  const int64_t head = past == 0 ? 0 : width - static_cast<int64_t>(past) / size;
  bool alike = head + width <= nodes->cols;
  const Matrix* all[3] = {&operands.x, &operands.remote, &operands.out};
  for (const Matrix* m : all) {
    if (m->data == nullptr) continue;
    const uintptr_t access = static_cast<uintptr_t>(width * m->element_bytes());
    alike = alike &&
            (reinterpret_cast<uintptr_t>(m->data) + static_cast<uintptr_t>(head * m->element_bytes())) % access == 0;
    alike = alike && (m->rows <= 1 || static_cast<uintptr_t>(m->stride * m->element_bytes()) % access == 0);
  }
  nodes->head = alike ? head : 0;
  nodes->vectors = alike ? (nodes->cols - head) / width : 0;
  nodes->units = nodes->cols - nodes->vectors * (width - 1);
}

/* Bytes of stacks in device memory. */
constexpr int64_t kStackBytes = 256 << 20;

template <class S>
void launch_nodes(Entry& entry, Nodes nodes, const NodesOperands& operands) {
  using T = Compute<S>;
  const Matrix& x = operands.x;
  const int64_t slots = operands.depth > 1 ? operands.depth - 1 : 1; /* the top is in registers */
  const int64_t shared = slots * kNodesThreads * 16;
  const bool deep = shared > kPlainShared;
  const bool wanted = operands.distances.data != nullptr;
  int64_t blocks = cut_into(nodes.units, kNodesThreads);
  if (deep) {
    const int64_t most = kStackBytes / shared > 0 ? kStackBytes / shared : 1;
    if (blocks > most) blocks = most;
  }
  blocks = at_most(blocks);
  const int64_t chunks = wanted ? cut_into(x.cols, kChunk) : 0;
  const int64_t stack_bytes = deep ? rounded_up(blocks * shared) : 0;
  /* One access more than the columns: the first vector of values is aligned as that of x. */
  const int64_t value_bytes = wanted ? rounded_up((x.cols + kVector<T>)*static_cast<int64_t>(sizeof(T))) : 0;
  const int64_t sum_bytes = rounded_up(x.rows * chunks * 8 + 8);
  unsigned char* scratch = static_cast<unsigned char*>(entry.scratch(stack_bytes + value_bytes + sum_bytes));
  if (scratch == nullptr) return;
  nodes.stack = scratch;
  if (wanted) {
    const int64_t shift = (kVector<T> - nodes.head % kVector<T>) % kVector<T>;
    nodes.values = scratch + stack_bytes + shift * static_cast<int64_t>(sizeof(T));
  }
  if (nodes.units > 0) {
    if (deep) {
      entry.launched(KITH_LAUNCH((reduce_columns_deep<S>), static_cast<unsigned>(blocks), kNodesThreads, 0,
                                 entry.stream(), nodes));
    } else {
      entry.launched(KITH_LAUNCH((reduce_columns<S>), static_cast<unsigned>(blocks), kNodesThreads,
                                 static_cast<size_t>(shared), entry.stream(), nodes));
    }
  }
  if (!wanted || x.rows == 0 || !entry.ok()) return;
  Chunks task = {};
  task.a = x.data;
  task.a_pitch = x.stride * x.element_bytes();
  task.b = static_cast<unsigned char*>(nodes.values);
  task.rows = x.rows;
  task.cols = x.cols;
  task.segments = 1;
  task.total = chunks;
  task.sums = reinterpret_cast<double*>(scratch + stack_bytes + value_bytes);
  if (chunks > 0) launch_chunks<Distance, S, T>(entry, task);
  SegmentTarget target = {};
  target.sums = task.sums;
  target.segments = 1;
  target.total = chunks;
  target.out = reinterpret_cast<double*>(operands.distances.data);
  target.pitch = 1;
  if (entry.ok()) combine<Adding>(entry, target, x.rows, chunks);
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_reduce_rows(kith_queue* queue, int32_t reduction, const kith_matrix* a, const kith_matrix* b,
                             const kith_matrix* out, kith_call* call) {
  kith::Entry entry(queue, call, "kith_reduce_rows");
  if (!entry.ok()) return entry.status();
  return kith::reduce(entry, reduction, a, b, nullptr, 1, out);
}

kith_status kith_reduce_segments(kith_queue* queue, int32_t reduction, const kith_matrix* a, const kith_matrix* b,
                                 const int64_t* bounds, int64_t segments, const kith_matrix* out, kith_call* call) {
  kith::Entry entry(queue, call, "kith_reduce_segments");
  if (!entry.ok() || !kith::check_bounds(entry, bounds, segments)) return entry.status();
  return kith::reduce(entry, reduction, a, b, bounds, segments, out);
}

kith_status kith_gram(kith_queue* queue, const kith_matrix* a, const kith_matrix* b, const kith_matrix* out,
                      kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_gram");
  GramOperands operands;
  if (!entry.ok() || !check_gram(entry, a, b, out, &operands)) return entry.status();
  if (operands.a.rows == 0 || operands.b.rows == 0) return entry.finish();
  const bool symmetric = b == nullptr;
  switch (operands.a.dtype) {
    case KITH_F64:
      gram<double, 8, 4>(entry, operands, symmetric);
      break;
    case KITH_BF16:
      gram_narrow<bf16>(entry, operands, symmetric);
      break;
    case KITH_F16:
      gram_narrow<f16>(entry, operands, symmetric);
      break;
    default:
      gram_narrow<float>(entry, operands, symmetric);
  }
  return entry.finish();
}

kith_status kith_reduce_nodes(kith_queue* queue, const kith_matrix* x, const kith_matrix* remote,
                              const int32_t* program, int64_t program_length, double divisor, const kith_matrix* out,
                              const kith_matrix* distances, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_reduce_nodes");
  NodesOperands operands;
  if (!entry.ok() || !check_nodes(entry, x, remote, program, program_length, out, distances, &operands)) {
    return entry.status();
  }
  const Matrix &mx = operands.x, &mremote = operands.remote, &mout = operands.out;
  Nodes nodes = {};
  NodesTask& task = nodes.task;
  task.x = mx.data;
  task.x_pitch = mx.stride * mx.element_bytes();
  task.x_rows = mx.rows;
  task.x_dtype = mx.dtype;
  task.remote = mremote.data;
  task.remote_pitch = mremote.stride * mremote.element_bytes();
  task.remote_dtype = mremote.dtype;
  task.out = mout.data;
  task.out_pitch = mout.stride * mout.element_bytes();
  task.out_dtype = out != nullptr ? mout.dtype : mx.dtype;
  task.out_rows = operands.results;
  task.divisor = divisor;
  NodeOperation* operations = static_cast<NodeOperation*>(
      std::malloc(static_cast<size_t>(program_length > 0 ? program_length : 1) * sizeof(NodeOperation)));
  if (operations == nullptr) {
    return entry.fail(KITH_OUT_OF_MEMORY, "no memory for a program of %lld entries",
                      static_cast<long long>(program_length));
  }
  task.operation_count = translate(program, program_length, mx.rows, operations);
  task.operations = entry.upload(operations, task.operation_count);
  std::free(operations);
  if (task.operations == nullptr) return entry.status();
  nodes.cols = mx.cols;
  cut_nodes(operands, &nodes);
  switch (mx.dtype) {
    case KITH_F64:
      launch_nodes<double>(entry, nodes, operands);
      break;
    case KITH_BF16:
      launch_nodes<bf16>(entry, nodes, operands);
      break;
    case KITH_F16:
      launch_nodes<f16>(entry, nodes, operands);
      break;
    default:
      launch_nodes<float>(entry, nodes, operands);
  }
  return entry.finish();
}

}  // extern "C"
