/*
 * PowerSGD (Vogels, Karimireddy, Jaggi, 2019): V ~ P Q^T for tensors inside rows, formulas and orders in kith.h.
 *
 *   left            P = V Q            reads 4 B/element (4 more for each of minus and residual), writes rank / cols of that
 *   right           Q = V^T P          the same
 *   orthonormalise  Gram-Schmidt twice; a factor is small against its tensor
 *   residual        e = V - P Q^T      reads V, writes 4 B/element
 *   accumulate      y += w P Q^T       reads and writes 4 B/element, or writes them only
 *
 * left meets kRows rows of V with four columns of Q at a time and keeps one vector of lanes of each of the sums in
 * registers, so that the lanes are taken in 16 / kLanes passes over a tile that stays in the first-level cache. right takes
 * kRightRows rows of V at a time and adds them to its sums, which stay there as well. Where v is not plain x it is formed
 * once per tile. All sums of a block are nodes of the trees of kith.h, so nothing depends on the tier, on tiles, on threads or on
 * where the work was cut.
 */
#include "lowrank.hpp"

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

constexpr int kF = kLanes<float>;
// Rows of V that meet four columns of Q: as many sums as the registers hold beside the operands.
constexpr int kRows = kVectorBytes == 64 ? 4 : 2;
constexpr int kColumns = 4;
// Columns of a tile of left.
constexpr int64_t kLeftTile = 1024;
constexpr int64_t kAheadBytes = 1024;

/* ---- v ------------------------------------------------------------------------------------------------------------- */

// Elements `at` to at + n of a row of v, in `to`; true when one of them is not finite and `watched`.
template <bool kMinus, bool kResidual>
KITH_INLINE void form_row(const LowRankTensor& t, int64_t at, int64_t n, float* to) {
  for_shapes<float, 2>(
      0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<float> v[shape.count], other[shape.count];
        shape.load(t.x + at + c, v);
        if constexpr (kMinus) {
          shape.load(t.minus + at + c, other);
          for (int u = 0; u < shape.count; u++) v[u] = v[u] - other[u];
        }
        if constexpr (kResidual) {
          shape.load(t.residual + at + c, other);
          for (int u = 0; u < shape.count; u++) v[u] = other[u] + v[u];
        }
        shape.store(to + c, v);
      });
}

void form(const LowRankTensor& t, int64_t at, int64_t n, float* to) {
  if (t.minus != nullptr && t.residual != nullptr) {
    form_row<true, true>(t, at, n, to);
  } else if (t.minus != nullptr) {
    form_row<true, false>(t, at, n, to);
  } else {
    form_row<false, true>(t, at, n, to);
  }
}

bool any_not_finite(const float* v, int64_t n) {
  Vec<float> seen{};
  for_shapes<float, 4>(
      0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<float> x[shape.count];
        shape.load(v + c, x);
        for (int u = 0; u < shape.count; u++) seen = watch<float>(seen, x[u]);
      });
  return any_nan<float>(seen);
}

struct Rows {
  const float* v;
  int64_t pitch;
};

// Rows [row, row + rows) and columns [column, column + n) of V: in place where they are x, else formed in `buffer`.
KITH_INLINE Rows rows_of(const LowRankTensor& t, int64_t row, int64_t rows, int64_t column, int64_t n, float* buffer) {
  const int64_t at = row * t.cols + column;
  if (t.minus == nullptr && t.residual == nullptr) return Rows{t.x + at, t.cols};
  for (int64_t r = 0; r < rows; r++) form(t, at + r * t.cols, n, buffer + r * n);
  return Rows{buffer, n};
}

// Neighbours first, an odd last one moves up; vectors of `width` sums, the result in the first.
void combine(double* nodes, int64_t count, int64_t width) {
  while (count > 1) {
    const int64_t half = count / 2;
    for (int64_t i = 0; i < half; i++) {
      for (int64_t k = 0; k < width; k++) {
        nodes[i * width + k] = nodes[2 * i * width + k] + nodes[(2 * i + 1) * width + k];
      }
    }
    if (count % 2 != 0) std::memcpy(nodes + half * width, nodes + (count - 1) * width, static_cast<size_t>(width) * 8);
    count = half + count % 2;
  }
}

/* ---- left ---------------------------------------------------------------------------------------------------------- */

// Adds n columns of R rows of V against K columns of Q to the 16 lanes of each of the R x K sums, which lie `lanes_pitch`
// apart for rows of V and 16 for columns of Q.
template <int R, int K>
void add_to_lanes(const float* v, int64_t v_pitch, const float* q, int64_t q_pitch, int64_t n, float* lanes,
                  int64_t lanes_pitch) {
  for (int64_t first = 0; first < kLowRankLanes; first += kF) {
    Vec<float> sum[R][K];
    for (int r = 0; r < R; r++) {
      for (int k = 0; k < K; k++) sum[r][k] = load<float>(lanes + r * lanes_pitch + k * kLowRankLanes + first);
    }
    int64_t c = first;
    for (; c + kF <= n; c += kLowRankLanes) {
      Vec<float> x[R];
      for (int r = 0; r < R; r++) {
        x[r] = load<float>(v + r * v_pitch + c);
        if (first == 0) __builtin_prefetch(reinterpret_cast<const char*>(v + r * v_pitch + c) + kAheadBytes, 0, 3);
      }
      for (int k = 0; k < K; k++) {
        const Vec<float> y = load<float>(q + k * q_pitch + c);
        for (int r = 0; r < R; r++) sum[r][k] = fma(x[r], y, sum[r][k]);
      }
    }
    if (c < n) {
      const Mask<float> present = first_lanes<float>(n - c);
      for (int r = 0; r < R; r++) {
        const Vec<float> x = load_partial<float>(v + r * v_pitch + c, n - c);
        for (int k = 0; k < K; k++) {
          const Vec<float> y = load_partial<float>(q + k * q_pitch + c, n - c);
          sum[r][k] = present ? fma(x, y, sum[r][k]) : sum[r][k];
        }
      }
    }
    for (int r = 0; r < R; r++) {
      for (int k = 0; k < K; k++) store<float, float>(lanes + r * lanes_pitch + k * kLowRankLanes + first, sum[r][k]);
    }
  }
}

template <int R>
void meet(const float* v, int64_t v_pitch, const float* q, int64_t q_pitch, int64_t rank, int64_t n, float* lanes) {
  const int64_t pitch = rank * kLowRankLanes;
  int64_t k = 0;
  for (; k + kColumns <= rank; k += kColumns) {
    add_to_lanes<R, kColumns>(v, v_pitch, q + k * q_pitch, q_pitch, n, lanes + k * kLowRankLanes, pitch);
  }
  switch (rank - k) {
    case 3:
      return add_to_lanes<R, 3>(v, v_pitch, q + k * q_pitch, q_pitch, n, lanes + k * kLowRankLanes, pitch);
    case 2:
      return add_to_lanes<R, 2>(v, v_pitch, q + k * q_pitch, q_pitch, n, lanes + k * kLowRankLanes, pitch);
    case 1:
      return add_to_lanes<R, 1>(v, v_pitch, q + k * q_pitch, q_pitch, n, lanes + k * kLowRankLanes, pitch);
    default:
      return;
  }
}

double folded(float* lanes) {
  for (int64_t s = kLowRankLanes / 2; s >= 1; s /= 2) {
    for (int64_t l = 0; l < s; l++) lanes[l] += lanes[l + s];
  }
  return static_cast<double>(lanes[0]);
}

int64_t left_scratch(int64_t rank) {
  return kLeftRows * rank * (kLowRankLanes * 4 + kNodeChunks * 8) + kRows * kLeftTile * 4;
}

bool left(const LowRankTensor& t, int64_t row, int64_t rows, int64_t column, int64_t n, bool watched, double* sums,
          void* scratch) {
  const int64_t width = rows * t.rank;
  double* const nodes = static_cast<double*>(scratch);
  float* const lanes = reinterpret_cast<float*>(nodes + kNodeChunks * kLeftRows * t.rank);
  float* const buffer = lanes + kLeftRows * t.rank * kLowRankLanes;
  int64_t chunks = 0;
  bool found = false;
  for (int64_t at = 0; at < n; at += kLeftChunk) {
    const int64_t chunk = n - at < kLeftChunk ? n - at : kLeftChunk;
    std::memset(lanes, 0, static_cast<size_t>(width * kLowRankLanes) * sizeof(float));
    for (int64_t tile = 0; tile < chunk; tile += kLeftTile) {
      const int64_t c = column + at + tile;
      const int64_t m = chunk - tile < kLeftTile ? chunk - tile : kLeftTile;
      for (int64_t r = 0; r < rows;) {
        const int64_t count = rows - r < kRows ? 1 : kRows;
        const Rows v = rows_of(t, row + r, count, c, m, buffer);
        float* const to = lanes + r * t.rank * kLowRankLanes;
        if (count == kRows) {
          meet<kRows>(v.v, v.pitch, t.q + c, t.cols, t.rank, m, to);
        } else {
          meet<1>(v.v, v.pitch, t.q + c, t.cols, t.rank, m, to);
        }
        for (int64_t i = 0; i < count && watched && !found; i++) found = any_not_finite(v.v + i * v.pitch, m);
        r += count;
      }
    }
    double* const node = nodes + chunks++ * width;
    for (int64_t i = 0; i < width; i++) node[i] = folded(lanes + i * kLowRankLanes);
  }
  combine(nodes, chunks, width);
  std::memcpy(sums, nodes, static_cast<size_t>(width) * sizeof(double));
  return found;
}

/* ---- right --------------------------------------------------------------------------------------------------------- */

// Adds rows of V against K columns of P to K rows of n sums.
template <int K>
void add_rows(const float* v, int64_t v_pitch, const float* p, int64_t p_pitch, int64_t rows, int64_t n, float* sums) {
  for_shapes<float, 2>(
      0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<float> sum[K][shape.count];
        for (int k = 0; k < K; k++) shape.load(sums + k * n + c, sum[k]);
        for (int64_t r = 0; r < rows; r++) {
          Vec<float> x[shape.count];
          shape.load(v + r * v_pitch + c, x);
          for (int k = 0; k < K; k++) {
            const Vec<float> factor = broadcast<float>(p[k * p_pitch + r]);
            for (int u = 0; u < shape.count; u++) sum[k][u] = fma(x[u], factor, sum[k][u]);
          }
        }
        for (int k = 0; k < K; k++) shape.store(sums + k * n + c, sum[k]);
      });
}

void add_rows(const float* v, int64_t v_pitch, const float* p, int64_t p_pitch, int64_t rank, int64_t rows, int64_t n,
              float* sums) {
  int64_t k = 0;
  for (; k + kColumns <= rank; k += kColumns) {
    add_rows<kColumns>(v, v_pitch, p + k * p_pitch, p_pitch, rows, n, sums + k * n);
  }
  switch (rank - k) {
    case 3:
      return add_rows<3>(v, v_pitch, p + k * p_pitch, p_pitch, rows, n, sums + k * n);
    case 2:
      return add_rows<2>(v, v_pitch, p + k * p_pitch, p_pitch, rows, n, sums + k * n);
    case 1:
      return add_rows<1>(v, v_pitch, p + k * p_pitch, p_pitch, rows, n, sums + k * n);
    default:
      return;
  }
}

// Nodes of 1, 2, 4, 8 and 16 chunks.
constexpr int64_t kLevels = 5;
static_assert(kNodeChunks == 1 << (kLevels - 1));

int64_t right_scratch(int64_t rank, int64_t n) { return rank * n * (4 + 8 * kLevels) + kRightRows * n * 4; }

void right(const LowRankTensor& t, int64_t row, int64_t rows, int64_t column, int64_t n, double* sums, void* scratch) {
  const int64_t width = t.rank * n;
  double* const nodes = static_cast<double*>(scratch);  // a level each: bit l of the number of chunks says it is in use
  float* const chunk = reinterpret_cast<float*>(nodes + kLevels * width);
  float* const buffer = chunk + width;
  int64_t chunks = 0;
  for (int64_t at = 0; at < rows; at += kRightChunk) {
    const int64_t height = rows - at < kRightChunk ? rows - at : kRightChunk;
    std::memset(chunk, 0, static_cast<size_t>(width) * sizeof(float));
    for (int64_t r = 0; r < height; r += kRightRows) {
      const int64_t i = row + at + r;
      const int64_t count = height - r < kRightRows ? height - r : kRightRows;
      const Rows v = rows_of(t, i, count, column, n, buffer);
      add_rows(v.v, v.pitch, t.p + i, t.rows, t.rank, count, n, chunk);
    }
    int64_t level = 0;
    while ((chunks >> level & 1) != 0) level++;
    double* const to = nodes + level * width;
    for (int64_t i = 0; i < width; i++) to[i] = static_cast<double>(chunk[i]);
    // A finished node of the level below is the left neighbour of what has just been made.
    for (int64_t below = 0; below < level; below++) {
      const double* const left_neighbour = nodes + below * width;
      for (int64_t i = 0; i < width; i++) to[i] = left_neighbour[i] + to[i];
    }
    chunks++;
  }
  int64_t level = 0;
  while ((chunks >> level & 1) == 0) level++;
  std::memcpy(sums, nodes + level * width, static_cast<size_t>(width) * sizeof(double));
  for (level++; level < kLevels; level++) {
    if ((chunks >> level & 1) == 0) continue;
    const double* const left_neighbour = nodes + level * width;
    for (int64_t i = 0; i < width; i++) sums[i] = left_neighbour[i] + sums[i];
  }
}

/* ---- orthonormalise ------------------------------------------------------------------------------------------------ */

constexpr int64_t kDotChunk = 1024;
constexpr int kDotLanes = 32;
constexpr int kD = kLanes<double>;
// Levels of a tree of chunks of any length.
constexpr int kDotLevels = 54;
constexpr double kSpanned = 0x1p-40;

// One chunk of <a, b>. The product of two f32 is exact in f64, so that the sum alone rounds.
KITH_INLINE double dot_chunk(const float* a, const float* b, int64_t n) {
  Vec<double> lane[kDotLanes / kD] = {};
  int64_t c = 0;
  for (; c + kDotLanes <= n; c += kDotLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kDotLanes / kD; i++) {
      lane[i] = lane[i] + load<double>(a + c + i * kD) * load<double>(b + c + i * kD);
    }
  }
  double lanes[kDotLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kDotLanes / kD; i++) store<double, double>(lanes + i * kD, lane[i]);
  for (int l = 0; c < n; c++, l++) lanes[l] = lanes[l] + static_cast<double>(a[c]) * static_cast<double>(b[c]);
  for (int s = kDotLanes / 2; s >= 1; s /= 2) {
    for (int l = 0; l < s; l++) lanes[l] += lanes[l + s];
  }
  return lanes[0];
}

double dot(const float* a, const float* b, int64_t n) {
  double nodes[kDotLevels];
  int64_t chunks = 0;
  for (int64_t at = 0; at < n; at += kDotChunk, chunks++) {
    double sum = dot_chunk(a + at, b + at, n - at < kDotChunk ? n - at : kDotChunk);
    int level = 0;
    for (; (chunks >> level & 1) != 0; level++) sum = nodes[level] + sum;
    nodes[level] = sum;
  }
  int level = 0;
  while ((chunks >> level & 1) == 0) level++;
  double sum = nodes[level];
  for (level++; chunks >> level != 0; level++) {
    if ((chunks >> level & 1) != 0) sum = nodes[level] + sum;
  }
  return sum;
}

void divide(float* v, int64_t n, double by) {
  for_shapes<double, 2>(
      0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<double> x[shape.count];
        shape.load(v + c, x);
        for (int u = 0; u < shape.count; u++) x[u] = x[u] / broadcast<double>(by);
        shape.store(v + c, x);
      });
}

void subtract(float* v, const float* factor, const float* coefficients, int64_t n, int64_t k) {
  for_shapes<double, 4>(
      0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<double> x[shape.count], p[shape.count];
        shape.load(v + c, x);
        for (int64_t i = 0; i < k; i++) {
          const Vec<double> coefficient = broadcast<double>(static_cast<double>(coefficients[i]));
          shape.load(factor + i * n + c, p);
          for (int u = 0; u < shape.count; u++) x[u] = x[u] - coefficient * p[u];
        }
        shape.store(v + c, x);
      });
}

// <v, v> of what is left of v.
double project_twice(float* v, const float* factor, int64_t n, int64_t k) {
  for (int time = 0; time < 2 && k > 0; time++) {
    float coefficients[KITH_MAX_RANK];
    for (int64_t i = 0; i < k; i++) coefficients[i] = static_cast<float>(dot(factor + i * n, v, n));
    subtract(v, factor, coefficients, n, k);
  }
  return dot(v, v, n);
}

int64_t least_spanned(const float* factor, int64_t n, int64_t k) {
  int64_t least = 0;
  double least_sum = HUGE_VAL;
  for (int64_t j = 0; j < n; j++) {
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
  return least;
}

void orthonormalise(float* factor, int64_t n, int64_t k) {
  float* const v = factor + k * n;
  const double s = dot(v, v, n);
  if (!(s - s == 0)) {  // NaN in one column makes those after it NaN by itself
    for (int64_t j = 0; j < n; j++) v[j] = __builtin_nanf("");
    return;
  }
  double left_over = 0;
  if (s > 0) {
    divide(v, n, __builtin_sqrt(s));
    left_over = project_twice(v, factor, n, k);
  }
  if (!(left_over > kSpanned)) {
    const int64_t j = least_spanned(factor, n, k);
    std::memset(v, 0, static_cast<size_t>(n) * sizeof(float));
    v[j] = 1;
    left_over = project_twice(v, factor, n, k);
  }
  divide(v, n, __builtin_sqrt(left_over));
}

/* ---- P Q^T --------------------------------------------------------------------------------------------------------- */

// d(r, j) = sum_k P(r, k) Q(j, k) for R rows and the columns of a shape.
template <int R, class Shape>
KITH_INLINE void reconstruct(const Shape& shape, const float* p, int64_t p_pitch, const float* q, int64_t q_pitch,
                             int64_t rank, Vec<float> (*d)[Shape::count]) {
  Vec<float> y[Shape::count];
  shape.load(q, y);
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) {
    for (int u = 0; u < Shape::count; u++) d[r][u] = broadcast<float>(p[r]) * y[u];
  }
  for (int64_t k = 1; k < rank; k++) {
    p += p_pitch;
    q += q_pitch;
    shape.load(q, y);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      const Vec<float> factor = broadcast<float>(p[r]);
      for (int u = 0; u < Shape::count; u++) d[r][u] = fma(factor, y[u], d[r][u]);
    }
  }
}

template <int R, bool kMinus, bool kResidual>
void subtract_rows(const LowRankTensor& t, int64_t row, int64_t column, int64_t column_end) {
  for_shapes<float, 2>(
      column, column_end, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<float> d[R][shape.count];
        reconstruct<R>(shape, t.p + row, t.rows, t.q + c, t.cols, t.rank, d);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          const int64_t at = (row + r) * t.cols + c;
          Vec<float> v[shape.count], other[shape.count];
          shape.load(t.x + at, v);
          if constexpr (kMinus) {
            shape.load(t.minus + at, other);
            for (int u = 0; u < shape.count; u++) v[u] = v[u] - other[u];
          }
          if constexpr (kResidual) {
            shape.load(t.residual + at, other);
            for (int u = 0; u < shape.count; u++) v[u] = other[u] + v[u];
          }
          for (int u = 0; u < shape.count; u++) v[u] = v[u] - d[r][u];
          shape.store(t.out + at, v);
        }
      });
}

template <bool kMinus, bool kResidual>
void residual_rows(const LowRankTensor& t, int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
  for (; row + 4 <= row_end; row += 4) subtract_rows<4, kMinus, kResidual>(t, row, column, column_end);
  for (; row < row_end; row++) subtract_rows<1, kMinus, kResidual>(t, row, column, column_end);
}

void residual(const LowRankTensor& t, int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
  if (t.minus != nullptr && t.residual != nullptr) {
    residual_rows<true, true>(t, row, row_end, column, column_end);
  } else if (t.minus != nullptr) {
    residual_rows<true, false>(t, row, row_end, column, column_end);
  } else if (t.residual != nullptr) {
    residual_rows<false, true>(t, row, row_end, column, column_end);
  } else {
    residual_rows<false, false>(t, row, row_end, column, column_end);
  }
}

template <int R, bool kStreaming>
void add_terms(const LowRankSum& sum, int64_t row, int64_t column, int64_t column_end) {
  for_shapes<float, 2>(
      column, column_end, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<float> a[R][shape.count], d[R][shape.count];
        float* const y = sum.y + row * sum.cols + c;
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          for (int u = 0; u < shape.count; u++) a[r][u] = Vec<float>{};
          if (sum.add) shape.load(y + r * sum.cols, a[r]);
        }
        for (int64_t e = 0; e < sum.count; e++) {
          const LowRankTerm& term = sum.terms[e];
          reconstruct<R>(shape, term.p + row, sum.rows, term.q + c, sum.cols, sum.rank, d);
          const Vec<float> weight = broadcast<float>(term.weight);
#pragma GCC unroll 4
          for (int r = 0; r < R; r++) {
            for (int u = 0; u < shape.count; u++) {
              a[r][u] = sum.identity ? a[r][u] + d[r][u] : fma(weight, d[r][u], a[r][u]);
            }
          }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          if constexpr (kStreaming) {
            shape.stream(y + r * sum.cols, a[r]);
          } else {
            shape.store(y + r * sum.cols, a[r]);
          }
        }
      });
}

template <bool kStreaming>
void accumulate_rows(const LowRankSum& sum, int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
  for (; row + 2 <= row_end; row += 2) add_terms<2, kStreaming>(sum, row, column, column_end);
  for (; row < row_end; row++) add_terms<1, kStreaming>(sum, row, column, column_end);
}

void accumulate(const LowRankSum& sum, int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
  const uintptr_t first = reinterpret_cast<uintptr_t>(sum.y + row * sum.cols + column);
  if (sum.streaming && first % kVectorBytes == 0 && sum.cols % kF == 0) {
    accumulate_rows<true>(sum, row, row_end, column, column_end);
    stream_fence();
  } else {
    accumulate_rows<false>(sum, row, row_end, column, column_end);
  }
}

}  // namespace

extern const LowRankKernels lowrank_kernels;
const LowRankKernels lowrank_kernels = {left, left_scratch, right, right_scratch, orthonormalise, residual, accumulate};

}  // namespace kith::KITH_TIER
