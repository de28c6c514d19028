/*
 * Reductions on the tree of kith.h, per tier.
 *
 *   row_block    s = sum_k op(a_k[, b_k])      reads 4 B/element (f32; 8 with b)
 *   gram_block   G_ij = sum_k a_ik b_jk        each row of a tile of kGramTile rows is read once per block, packed lane by
 *                                              lane in the compute type, and met with every row of the other tile
 *   nodes_block  v = tree of rows / divisor    reads 4 B/element, and the same 4 bytes serve the distances to v
 *
 * Chunks of 4096, 64 lanes, element k in lane k mod 64; lanes fold 32, 16, ... 1; chunk sums are widened to f64 and
 * combined pairwise. A vector holds kLanes neighbouring lanes, so 64 / kLanes accumulators are the 64 lanes on every
 * tier, and nothing depends on the tier, on threads or on where the work was cut. Where the lanes fill more than eight
 * vectors they are taken in passes of eight: that is what the registers of AVX2 hold beside the operands.
 *
 * Minimum, maximum and the count of non-finite elements have no rounding, so their order is free.
 */
#include "reduction.hpp"

#include "tree.hpp"

namespace kith::KITH_TIER {

namespace {

/* ---- sums -------------------------------------------------------------------------------------------------------- */

struct Sum {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_INLINE Vec<T> step(Vec<T> lane, Vec<T> x, Vec<T>) {
    return lane + x;
  }
};
struct AbsoluteSum {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_INLINE Vec<T> step(Vec<T> lane, Vec<T> x, Vec<T>) {
    return lane + abs(x);
  }
};
struct Squares {
  static constexpr bool kBinary = false;
  template <class T>
  static KITH_INLINE Vec<T> step(Vec<T> lane, Vec<T> x, Vec<T>) {
    return fma(x, x, lane);
  }
};
struct Dot {
  static constexpr bool kBinary = true;
  template <class T>
  static KITH_INLINE Vec<T> step(Vec<T> lane, Vec<T> x, Vec<T> y) {
    return fma(x, y, lane);
  }
};
struct Distance {
  static constexpr bool kBinary = true;
  template <class T>
  static KITH_INLINE Vec<T> step(Vec<T> lane, Vec<T> x, Vec<T> y) {
    const Vec<T> d = x - y;
    return fma(d, d, lane);
  }
};

// How far ahead of a long row its lines are asked for.
constexpr int64_t kAheadBytes = 1024;

template <int64_t bytes>
KITH_INLINE void prefetch(const void* p, int64_t ahead) {
  for (int64_t byte = 0; byte < bytes; byte += 64) {
    __builtin_prefetch(static_cast<const char*>(p) + ahead + byte, 0, 3);
  }
}

// Adds n elements to the 64 lanes, element k to lane k mod 64. What lies `a_ahead` and `b_ahead` bytes further on is
// prefetched in step; 0: nothing is.
template <class Op, class T, class S, class R>
KITH_INLINE void add_to_lanes(T* lanes, const S* a, const R* b, int64_t n, int64_t a_ahead, int64_t b_ahead) {
  constexpr int kPass = kPassVectors<T>;
  constexpr int64_t kPassBytes = kPass * kLanes<T> * static_cast<int64_t>(sizeof(S));
  const int64_t groups = n / kTreeLanes;
  const int64_t rest = n % kTreeLanes;
  for (int pass = 0; pass < kTreeVectors<T> / kPass; pass++) {
    const int64_t first = static_cast<int64_t>(pass) * kPass * kLanes<T>;
    Vec<T> lane[kPass];
#pragma GCC unroll 8
    for (int i = 0; i < kPass; i++) lane[i] = load<T, T>(lanes + first + i * kLanes<T>);
    for (int64_t g = 0; g < groups; g++) {
      const int64_t at = g * kTreeLanes + first;
#pragma GCC unroll 8
      for (int i = 0; i < kPass; i++) {
        const Vec<T> x = load<T, S>(a + at + i * kLanes<T>);
        Vec<T> y{};
        if constexpr (Op::kBinary) y = load<T, R>(b + at + i * kLanes<T>);
        lane[i] = Op::template step<T>(lane[i], x, y);
      }
      if (a_ahead != 0) prefetch<kPassBytes>(a + at, a_ahead);
      if (Op::kBinary && b_ahead != 0) prefetch<kPassBytes>(b + at, b_ahead);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kPass; i++) store<T, T>(lanes + first + i * kLanes<T>, lane[i]);
  }
  const int64_t base = groups * kTreeLanes;
  for (int64_t l = 0; l < rest; l += kLanes<T>) {
    const int64_t count = rest - l < kLanes<T> ? rest - l : kLanes<T>;
    const Vec<T> before = load<T, T>(lanes + l);
    Vec<T> x, y{};
    if (count == kLanes<T>) {
      x = load<T, S>(a + base + l);
      if constexpr (Op::kBinary) y = load<T, R>(b + base + l);
    } else {
      x = load_partial<T, S>(a + base + l, count);
      if constexpr (Op::kBinary) y = load_partial<T, R>(b + base + l, count);
    }
    const Vec<T> after = Op::template step<T>(before, x, y);
    store<T, T>(lanes + l, first_lanes<T>(count) ? after : before);
  }
}

template <class Op, class T, class S>
double sum_block(const S* a, const S* b, int64_t n) {
  alignas(64) T lanes[kTreeLanes];
  double sums[kRowBlock / kChunk];
  int64_t chunks = 0;
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    std::memset(lanes, 0, sizeof(lanes));
    const int64_t count = n - begin < kChunk ? n - begin : kChunk;
    add_to_lanes<Op, T, S, S>(lanes, a + begin, Op::kBinary ? b + begin : nullptr, count, kAheadBytes, kAheadBytes);
    sums[chunks++] = static_cast<double>(fold(lanes));
  }
  return pairwise(sums, chunks);
}

/* ---- selections and counts --------------------------------------------------------------------------------------- */

// Calls step on every vector of a; lanes past the end repeat its last elements' first one, which changes no selection.
template <class T, class S, class F>
KITH_INLINE void each_vector(const S* a, int64_t n, F step) {
  int64_t i = 0;
  for (; i + kTreeLanes <= n; i += kTreeLanes) {
    prefetch<kTreeLanes* static_cast<int64_t>(sizeof(S))>(a + i, kAheadBytes);
    for (int64_t l = 0; l < kTreeLanes; l += kLanes<T>) step(load<T, S>(a + i + l), kLanes<T>);
  }
  for (; i + kLanes<T> <= n; i += kLanes<T>) step(load<T, S>(a + i), kLanes<T>);
  if (i < n) {
    S buffer[kLanes<T>];
    for (int64_t l = 0; l < kLanes<T>; l++) buffer[l] = a[i + (l < n - i ? l : 0)];
    step(load<T, S>(buffer), n - i);
  }
}

template <class T>
constexpr Mask<T> kAllOnes = Mask<T>{} - 1;

template <class T>
KITH_INLINE bool any(Mask<T> mask) {
  bool found = false;
  for (int i = 0; i < kLanes<T>; i++) found |= mask[i] != 0;
  return found;
}

// Integers in the order of the floats, -0 below +0; its own inverse.
template <class T>
KITH_INLINE Mask<T> ordered(Mask<T> bits) {
  const Mask<T> magnitude = bit_cast<Mask<T>>(bit_cast<Bits<T>>(kAllOnes<T>) >> 1);
  return bits ^ ((bits < Mask<T>{}) & magnitude);
}

enum class Select { kLeast, kGreatest, kGreatestAbsolute };

template <Select kind, class T, class S>
double select_block(const S* a, int64_t n) {
  const T infinity = static_cast<T>(__builtin_inf());
  const T start = kind == Select::kLeast ? infinity : kind == Select::kGreatest ? -infinity : T(0);
  Mask<T> best = ordered<T>(bit_cast<Mask<T>>(broadcast<T>(start)));
  Mask<T> nan{};
  each_vector<T, S>(
      a, n, [&](Vec<T> x, int64_t) __attribute__((always_inline)) {
        nan |= x != x;
        if (kind == Select::kGreatestAbsolute) x = abs(x);
        const Mask<T> key = ordered<T>(bit_cast<Mask<T>>(x));
        if (kind == Select::kLeast) {
          best = key < best ? key : best;
        } else {
          best = key > best ? key : best;
        }
      });
  if (any<T>(nan)) return __builtin_nan("");
  auto result = best[0];
  for (int i = 1; i < kLanes<T>; i++) {
    if (kind == Select::kLeast ? best[i] < result : best[i] > result) result = best[i];
  }
  return static_cast<double>(bit_cast<Vec<T>>(ordered<T>(Mask<T>{} + result))[0]);
}

template <class T, class S>
double count_block(const S* a, int64_t n) {
  Mask<T> count{};
  each_vector<T, S>(
      a, n, [&](Vec<T> x, int64_t valid) __attribute__((always_inline)) {
        const Vec<T> zero_or_nan = x - x;
        Mask<T> bad = zero_or_nan != zero_or_nan;
        if (valid < kLanes<T>) bad &= first_lanes<T>(valid);
        count -= bad;
      });
  int64_t total = 0;
  for (int i = 0; i < kLanes<T>; i++) total += count[i];
  return static_cast<double>(total);
}

template <class T, class S>
double reduce_block(int32_t reduction, const S* a, const S* b, int64_t n) {
  switch (reduction) {
    case KITH_REDUCE_SUM:
      return sum_block<Sum, T, S>(a, b, n);
    case KITH_REDUCE_ABS_SUM:
      return sum_block<AbsoluteSum, T, S>(a, b, n);
    case KITH_REDUCE_SQUARES:
      return sum_block<Squares, T, S>(a, b, n);
    case KITH_REDUCE_DOT:
      return sum_block<Dot, T, S>(a, b, n);
    case KITH_REDUCE_DISTANCE:
      return sum_block<Distance, T, S>(a, b, n);
    case KITH_REDUCE_MIN:
      return select_block<Select::kLeast, T, S>(a, n);
    case KITH_REDUCE_MAX:
      return select_block<Select::kGreatest, T, S>(a, n);
    case KITH_REDUCE_MAX_ABS:
      return select_block<Select::kGreatestAbsolute, T, S>(a, n);
    default:
      return count_block<T, S>(a, n);
  }
}

double row_block(int32_t reduction, int32_t dtype, const void* a, const void* b, int64_t n) {
  switch (dtype) {
    case KITH_F64:
      return reduce_block<double>(reduction, static_cast<const double*>(a), static_cast<const double*>(b), n);
    case KITH_BF16:
      return reduce_block<float>(reduction, static_cast<const bf16*>(a), static_cast<const bf16*>(b), n);
    case KITH_F16:
      return reduce_block<float>(reduction, static_cast<const f16*>(a), static_cast<const f16*>(b), n);
    default:
      return reduce_block<float>(reduction, static_cast<const float*>(a), static_cast<const float*>(b), n);
  }
}

/* ---- Gram matrices ------------------------------------------------------------------------------------------------ */

// A packed row: for each group of kLanes tree lanes one vector per 64 elements of the chunk, the last one incomplete.
constexpr int64_t kPackedSteps = kChunk / kTreeLanes + 1;
template <class T>
constexpr int64_t kPackedRow = kPackedSteps* kTreeLanes;
// 4 x 2 pairs: eight chains hide the latency of fma, and six operands feed eight of them.
constexpr int kPairRows = 4;
constexpr int kPairColumns = 2;

// What lies `ahead` bytes further on is prefetched.
template <class T, class S>
void pack_row(T* packed, const S* from, int64_t n, int64_t ahead) {
  const int64_t groups = n / kTreeLanes;
  const int64_t rest = n % kTreeLanes;
  for (int64_t k = 0; k < groups; k++) {
    prefetch<kTreeLanes* static_cast<int64_t>(sizeof(S))>(from + k * kTreeLanes, ahead);
#pragma GCC unroll 8
    for (int64_t v = 0; v < kTreeVectors<T>; v++) {
      store<T, T>(packed + (v * kPackedSteps + k) * kLanes<T>, load<T, S>(from + k * kTreeLanes + v * kLanes<T>));
    }
  }
  for (int64_t l = 0; l < rest; l += kLanes<T>) {
    const S* at = from + groups * kTreeLanes + l;
    const int64_t count = rest - l;
    store<T, T>(packed + (l / kLanes<T> * kPackedSteps + groups) * kLanes<T>,
                count < kLanes<T> ? load_partial<T, S>(at, count) : load<T, S>(at));
  }
}

template <class T, class S>
void pack_rows(T* packed, const unsigned char* rows, int64_t pitch, int64_t count, int64_t column, int64_t n) {
  for (int64_t r = 0; r < count; r++) {
    pack_row<T, S>(packed + r * kPackedRow<T>, reinterpret_cast<const S*>(rows + r * pitch) + column, n, pitch);
  }
}

// chunk_sums[i * kPairColumns + j] = dot of a[i] and b[j] over one chunk.
template <class T>
void pair_tile(const T* const* a, const T* const* b, int64_t n, double* chunk_sums) {
  const int64_t groups = n / kTreeLanes;
  const int64_t rest = n % kTreeLanes;
  alignas(64) T lanes[kPairRows * kPairColumns][kTreeLanes];
  for (int64_t v = 0; v < kTreeVectors<T>; v++) {
    Vec<T> sum[kPairRows][kPairColumns] = {};
    const int64_t base = v * kPackedSteps * kLanes<T>;
    const int64_t end = base + groups * kLanes<T>;
    for (int64_t at = base; at < end; at += kLanes<T>) {
      Vec<T> y[kPairColumns];
#pragma GCC unroll 4
      for (int j = 0; j < kPairColumns; j++) y[j] = load<T, T>(b[j] + at);
#pragma GCC unroll 4
      for (int i = 0; i < kPairRows; i++) {
        const Vec<T> x = load<T, T>(a[i] + at);
#pragma GCC unroll 4
        for (int j = 0; j < kPairColumns; j++) sum[i][j] = fma(x, y[j], sum[i][j]);
      }
    }
    const int64_t valid = rest - v * kLanes<T>;
    if (valid > 0) {
      const Mask<T> mask = first_lanes<T>(valid < kLanes<T> ? valid : kLanes<T>);
      for (int i = 0; i < kPairRows; i++) {
        for (int j = 0; j < kPairColumns; j++) {
          const Vec<T> next = fma(load<T, T>(a[i] + end), load<T, T>(b[j] + end), sum[i][j]);
          sum[i][j] = mask ? next : sum[i][j];
        }
      }
    }
    for (int i = 0; i < kPairRows; i++) {
      for (int j = 0; j < kPairColumns; j++) {
        store<T, T>(lanes[i * kPairColumns + j] + v * kLanes<T>, sum[i][j]);
      }
    }
  }
  for (int p = 0; p < kPairRows * kPairColumns; p++) chunk_sums[p] = static_cast<double>(fold(lanes[p]));
}

template <class T, class S>
void gram(const GramTask& task, int64_t column, int64_t n, double* sums, void* scratch) {
  T* const packed_a = static_cast<T*>(scratch);
  T* const packed_b = task.symmetric != 0 ? packed_a : packed_a + kGramTile * kPackedRow<T>;
  const int64_t pairs = task.a_rows * task.b_rows;
  // Sums of the chunks of this block, combined as soon as two neighbours stand: chunk 1 with 0, 3 with 2, then 2 with 0.
  double* const level = reinterpret_cast<double*>(packed_a + 2 * kGramTile * kPackedRow<T>);
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  for (int64_t c = 0; c < chunks; c++) {
    const int64_t begin = column + c * kChunk;
    const int64_t count = n - c * kChunk < kChunk ? n - c * kChunk : kChunk;
    pack_rows<T, S>(packed_a, task.a, task.a_pitch, task.a_rows, begin, count);
    if (task.symmetric == 0) pack_rows<T, S>(packed_b, task.b, task.b_pitch, task.b_rows, begin, count);
    double* const chunk_sums = level + c * pairs;
    for (int64_t i = 0; i < task.a_rows; i += kPairRows) {
      const T* a[kPairRows];
      for (int64_t k = 0; k < kPairRows; k++) {
        a[k] = packed_a + (i + k < task.a_rows ? i + k : i) * kPackedRow<T>;
      }
      const int64_t first = task.symmetric != 0 ? i : 0;
      for (int64_t j = first; j < task.b_rows; j += kPairColumns) {
        const T* b[kPairColumns];
        for (int64_t k = 0; k < kPairColumns; k++) {
          b[k] = packed_b + (j + k < task.b_rows ? j + k : j) * kPackedRow<T>;
        }
        double tile[kPairRows * kPairColumns];
        pair_tile<T>(a, b, count, tile);
        for (int64_t r = 0; r < kPairRows && i + r < task.a_rows; r++) {
          for (int64_t s = 0; s < kPairColumns && j + s < task.b_rows; s++) {
            chunk_sums[(i + r) * task.b_rows + j + s] = tile[r * kPairColumns + s];
          }
        }
      }
    }
  }
  for (int64_t i = 0; i < task.a_rows; i++) {
    // Symmetric tiles leave what lies below the diagonal of their 4 x 2 pairs unwritten.
    for (int64_t j = task.symmetric != 0 ? i : 0; j < task.b_rows; j++) {
      double values[kGramBlock / kChunk];
      for (int64_t c = 0; c < chunks; c++) values[c] = level[c * pairs + i * task.b_rows + j];
      sums[i * task.b_rows + j] = pairwise(values, chunks);
    }
  }
}

void gram_block(const GramTask& task, int64_t column, int64_t n, double* sums, void* scratch) {
  switch (task.dtype) {
    case KITH_F64:
      return gram<double, double>(task, column, n, sums, scratch);
    case KITH_BF16:
      return gram<float, bf16>(task, column, n, sums, scratch);
    case KITH_F16:
      return gram<float, f16>(task, column, n, sums, scratch);
    default:
      return gram<float, float>(task, column, n, sums, scratch);
  }
}

int64_t gram_scratch(int32_t dtype) {
  const int64_t element = dtype == KITH_F64 ? 8 : 4;
  return 2 * kGramTile * kPackedRow<float> * element + kGramBlock / kChunk * kGramTile * kGramTile * 8;
}

/* ---- sums over nodes ----------------------------------------------------------------------------------------------- */

template <class T, class S, int kRows>
KITH_INLINE Vec<T> balanced(const S* const* rows, int64_t at) {
  if constexpr (kRows == 1) {
    return load<T, S>(rows[0] + at);
  } else {
    return balanced<T, S, kRows / 2>(rows, at) + balanced<T, S, kRows / 2>(rows + kRows / 2, at);
  }
}

// to[k] = balanced sum of kRows rows (plus, with kOnto, to[k] as the left operand). The tail works on a padded copy.
// What lies `ahead` bytes further on is prefetched; 0: nothing is.
template <class T, class S, int kRows, bool kOnto>
void sum_rows(T* to, const S* const* rows, int64_t n, int64_t ahead) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    if (ahead != 0 && i * static_cast<int64_t>(sizeof(S)) % 64 == 0) {
      for (int r = 0; r < kRows; r++) prefetch<64>(rows[r] + i, ahead);
    }
    Vec<T> v = balanced<T, S, kRows>(rows, i);
    if constexpr (kOnto) v = load<T, T>(to + i) + v;
    store<T, T>(to + i, v);
  }
  if (i < n) {
    S padded[kRows][kLanes<T>] = {};
    const S* tails[kRows];
    for (int r = 0; r < kRows; r++) {
      std::memcpy(padded[r], rows[r] + i, static_cast<size_t>(n - i) * sizeof(S));
      tails[r] = padded[r];
    }
    Vec<T> v = balanced<T, S, kRows>(tails, 0);
    if constexpr (kOnto) v = load<T, T>(to + i) + v;
    store<T, T>(to + i, v);  // a tile's buffer is a multiple of 64 elements
  }
}

template <class T, class S>
void apply(const NodeOperation& operation, T* top, int64_t tile, const unsigned char* base, int64_t pitch,
           int64_t first_row, int64_t column, int64_t n, int64_t ahead) {
  const S* rows[8];
  const int count = operation.kind == kNodeSum8   ? 8
                    : operation.kind == kNodeSum4 ? 4
                    : operation.kind == kNodeSum2 ? 2
                                                  : 1;
  for (int r = 0; r < count; r++) {
    rows[r] = reinterpret_cast<const S*>(base + (operation.rows[r] - first_row) * pitch) + column;
  }
  switch (operation.kind) {
    case kNodeSum8:
      return sum_rows<T, S, 8, false>(top, rows, n, ahead);
    case kNodeSum4:
      return sum_rows<T, S, 4, false>(top, rows, n, ahead);
    case kNodeSum2:
      return sum_rows<T, S, 2, false>(top, rows, n, ahead);
    case kNodeAddRow:
      return sum_rows<T, S, 1, true>(top - tile, rows, n, ahead);
    default:
      return sum_rows<T, S, 1, false>(top, rows, n, ahead);
  }
}

// What is on the stack, from slot 0 up, after the whole program on n <= tile columns.
template <class T, class S>
void evaluate(const NodesTask& task, T* stack, int64_t column, int64_t n, int64_t ahead) {
  T* top = stack;  // the first free slot
  const int64_t tile = task.tile;
  for (int64_t o = 0; o < task.operation_count; o++) {
    const NodeOperation& operation = task.operations[o];
    if (operation.kind == kNodeAdd) {
      top -= tile;
      T* const a = top - tile;
      for (int64_t i = 0; i < n; i += kLanes<T>) store<T, T>(a + i, load<T, T>(a + i) + load<T, T>(top + i));
      continue;
    }
    if (operation.rows[0] < task.x_rows) {
      apply<T, S>(operation, top, tile, task.x, task.x_pitch, 0, column, n, ahead);
    } else if (task.remote_dtype == task.x_dtype) {
      apply<T, S>(operation, top, tile, task.remote, task.remote_pitch, task.x_rows, column, n, ahead);
    } else {
      apply<T, T>(operation, top, tile, task.remote, task.remote_pitch, task.x_rows, column, n, ahead);
    }
    if (operation.kind != kNodeAddRow) top += tile;
  }
}

template <class T, class S>
KITH_INLINE void store_values(S* to, const T* values, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store<T, S>(to + i, load<T, T>(values + i));
  if (i < n) store_partial<T, S>(to + i, load<T, T>(values + i), n - i);
}

template <class T>
void store_row(int32_t dtype, unsigned char* to, int64_t column, const T* values, int64_t n) {
  switch (dtype) {
    case KITH_BF16:
      return store_values<T, bf16>(reinterpret_cast<bf16*>(to) + column, values, n);
    case KITH_F16:
      return store_values<T, f16>(reinterpret_cast<f16*>(to) + column, values, n);
    default:
      return store_values<T, T>(reinterpret_cast<T*>(to) + column, values, n);
  }
}

template <class T>
void round_row(int32_t dtype, T* values, int64_t n) {
  if (dtype == KITH_BF16) {
    for (int64_t i = 0; i < n; i += kLanes<T>) store<T, T>(values + i, rounded<bf16, T>(load<T, T>(values + i)));
  } else if (dtype == KITH_F16) {
    for (int64_t i = 0; i < n; i += kLanes<T>) store<T, T>(values + i, rounded<f16, T>(load<T, T>(values + i)));
  }
}

template <class T, class S>
void nodes(const NodesTask& task, int64_t column, int64_t n, double* distances, void* scratch) {
  T* const stack = static_cast<T*>(scratch);
  T* const lanes = stack + task.depth * task.tile;
  double* const chunk_sums = reinterpret_cast<double*>(lanes + (task.distances != 0 ? task.x_rows * kTreeLanes : 0));
  const T divisor = static_cast<T>(task.divisor);
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  for (int64_t at = 0; at < n; at += task.tile) {
    const int64_t count = n - at < task.tile ? n - at : task.tile;
    // The distances to a tile bring the rows of the next one.
    evaluate<T, S>(task, stack, column + at, count, task.distances != 0 && at > 0 ? 0 : kAheadBytes);
    for (int64_t r = 0; r < task.out_rows; r++) {
      T* const value = stack + r * task.tile;
      if (task.divisor != 1.0) {
        for (int64_t i = 0; i < count; i += kLanes<T>)
          store<T, T>(value + i, load<T, T>(value + i) / broadcast<T>(divisor));
      }
      if (task.out != nullptr) store_row<T>(task.out_dtype, task.out + r * task.out_pitch, column + at, value, count);
    }
    if (task.distances == 0) continue;
    round_row<T>(task.out_dtype, stack, count);
    if (at % kChunk == 0) std::memset(lanes, 0, static_cast<size_t>(task.x_rows * kTreeLanes) * sizeof(T));
    // The next tile comes while this one is at hand.
    const int64_t ahead = n - at >= 2 * task.tile ? task.tile * static_cast<int64_t>(sizeof(S)) : 0;
    for (int64_t r = 0; r < task.x_rows; r++) {
      const S* row = reinterpret_cast<const S*>(task.x + r * task.x_pitch) + column + at;
      add_to_lanes<Distance, T, S, T>(lanes + r * kTreeLanes, row, stack, count, ahead, 0);
    }
    if ((at + count) % kChunk == 0 || at + count == n) {
      for (int64_t r = 0; r < task.x_rows; r++) {
        chunk_sums[r * (kNodesBlock / kChunk) + at / kChunk] = static_cast<double>(fold(lanes + r * kTreeLanes));
      }
    }
  }
  if (task.distances == 0) return;
  for (int64_t r = 0; r < task.x_rows; r++) distances[r] = pairwise(chunk_sums + r * (kNodesBlock / kChunk), chunks);
}

void nodes_block(const NodesTask& task, int64_t column, int64_t n, double* distances, void* scratch) {
  switch (task.x_dtype) {
    case KITH_F64:
      return nodes<double, double>(task, column, n, distances, scratch);
    case KITH_BF16:
      return nodes<float, bf16>(task, column, n, distances, scratch);
    case KITH_F16:
      return nodes<float, f16>(task, column, n, distances, scratch);
    default:
      return nodes<float, float>(task, column, n, distances, scratch);
  }
}

int64_t nodes_scratch(const NodesTask& task) {
  const int64_t element = task.x_dtype == KITH_F64 ? 8 : 4;
  int64_t bytes = task.depth * task.tile * element;
  if (task.distances != 0) bytes += task.x_rows * (kTreeLanes * element + kNodesBlock / kChunk * 8);
  return bytes;
}

}  // namespace

extern const ReductionKernels reduction_kernels;
const ReductionKernels reduction_kernels = {row_block, gram_block, gram_scratch, nodes_block, nodes_scratch};

}  // namespace kith::KITH_TIER
