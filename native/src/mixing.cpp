/*
 * mixing: y(i, :) = sum_j w_ij m(j, :) + sum_k b_k u_k(i, :), m(j, :) = round(sum_k c_k z_k(j, :)), see kith.h.
 *
 * Bytes per element (f32, each parameter moved once): the inner terms and the outer terms read, y written. Ring or any
 * other W on one matrix 8 B; fused ATC (two inner terms) 12 B; CTA (one inner, one outer) 12 B. Where the weights reach
 * over more rows than a cache holds (gather), each entry of W costs one read of a row.
 * Determinism: each element of y is one chain of operations in a fixed order (kith.h), whatever the strategy, tile,
 * tier and thread count; no sum is ever split.
 *
 * Strategies, chosen in mixing_api.cpp by shape alone:
 *   combine  W is the identity: one pass over the columns.
 *   tiles    all inner rows that W refers to, for a tile of columns that fits the second-level cache; rows that need
 *            forming (several terms, coefficients, narrow types) or whose stride would make them evict each other are
 *            staged when the first output needs them, the others read where they are. Meanwhile the rows that come next
 *            are asked for: a tile is too short for the hardware to see them coming.
 *   gather   more rows than a cache holds: row by row, sums in registers, the rows of later outputs prefetched.
 *   noisy    with noise: the sources of a tile are drawn, once each, the rows that W refers to are staged and get their noise
 *            and their rounding there, then all rows of y are made. While numbers are drawn the rows are asked for.
 *   pairs    the two rows of an exchange are staged and both outputs written, so y may be the inner matrix itself.
 *
 * Flags: a non-finite m(j) makes every y(i) with an entry (i, j) non-finite (no operation here leads back from NaN or
 * infinity), so only y is watched, and m only looked at where y was found bad.
 */
#include "mixing.hpp"

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

/* Four cache lines at a time where the registers allow. */
inline constexpr int kUnroll = kVectorBytes == 16 ? 8 : 256 / kVectorBytes;

/* Calls f(shape, c) for shapes that cover columns [from, to). */
template <class T, class F>
KITH_INLINE void for_columns(int64_t from, int64_t to, F f) {
  for_shapes<T, kUnroll>(from, to, f);
}

template <class T>
KITH_INLINE T coefficient(const MixTerm& term, int64_t row) {
  return static_cast<T>(term.row_coefficients == nullptr ? term.coefficient
                                                         : term.coefficient * term.row_coefficients[row]);
}

/* The terms of one row: sum_k c_k z_k, in the order of kith.h. */
template <class T>
struct Terms {
  const unsigned char* rows[KITH_MAX_TERMS];
  T coefficients[KITH_MAX_TERMS];
  int32_t dtypes[KITH_MAX_TERMS];
  int32_t count;

  KITH_INLINE Terms(const MixTerm* terms, int32_t n, int64_t row) : count(n) {
    for (int32_t k = 0; k < n; k++) {
      rows[k] = terms[k].data + row * terms[k].stride;
      coefficients[k] = coefficient<T>(terms[k], row);
      dtypes[k] = terms[k].dtype;
    }
  }

  template <class Shape>
  KITH_INLINE void product(const Shape& shape, int64_t c, Vec<T>* sum) const {
    Vec<T> v[Shape::count];
    load_any<T>(shape, rows[0], dtypes[0], c, v);
    const Vec<T> b = broadcast(coefficients[0]);
    for (int u = 0; u < Shape::count; u++) sum[u] = b * v[u];
  }
  template <class Shape>
  KITH_INLINE void add(const Shape& shape, int64_t c, int32_t from, Vec<T>* sum) const {
    for (int32_t k = from; k < count; k++) {
      Vec<T> v[Shape::count];
      load_any<T>(shape, rows[k], dtypes[k], c, v);
      const Vec<T> b = broadcast(coefficients[k]);
      for (int u = 0; u < Shape::count; u++) sum[u] = fma(b, v[u], sum[u]);
    }
  }
};

template <class T>
__attribute__((noinline)) void round_narrow(int32_t dtype, int n, Vec<T>* v) {
  for (int u = 0; u < n; u++) {
    if (dtype == KITH_BF16) {
      v[u] = rounded<bf16, T>(v[u]);
    } else if (dtype == KITH_F16) {
      v[u] = rounded<f16, T>(v[u]);
    } else if constexpr (sizeof(T) == 8) {
      v[u] = rounded<float, T>(v[u]);
    }
  }
}

/* m(j, c ...) of an inner row. */
template <class T, class Shape>
KITH_INLINE void form(const MixJob& job, const Terms<T>& terms, const Shape& shape, int64_t c, Vec<T>* v) {
  terms.product(shape, c, v);
  terms.add(shape, c, 1, v);
  if (job.message_dtype != kNative<T>) round_narrow<T>(job.message_dtype, Shape::count, v);
}

/* ---- where the messages of the entries of a row of W come from -------------------------------------------------- */

/* Entry e of the row at rows[slot], which begins at column 0 of the tile. */
template <class T>
struct Table {
  const T* const* rows;
  const int32_t* slots;
  const int32_t* columns;

  KITH_INLINE int64_t column(int64_t e) const { return columns[e]; }
  template <class Shape>
  KITH_INLINE void load(const Shape& shape, int64_t e, int64_t c, Vec<T>* v) const {
    shape.load(rows[slots[e]] + c, v);
  }
};

/* Plain rows where they are. */
template <class T>
struct Direct {
  const unsigned char* inner;
  int64_t stride;
  const unsigned char* halo; /* moved so that it is indexed by column too */
  int64_t halo_stride;
  int64_t inner_rows;
  const int32_t* columns;

  KITH_INLINE int64_t column(int64_t e) const { return columns[e]; }
  KITH_INLINE const T* row(int64_t j) const {
    return reinterpret_cast<const T*>(j < inner_rows ? inner + j * stride : halo + (j - inner_rows) * halo_stride);
  }
  template <class Shape>
  KITH_INLINE void load(const Shape& shape, int64_t e, int64_t c, Vec<T>* v) const {
    shape.load(row(columns[e]) + c, v);
  }
};

/* Rows that are formed anew for each entry. */
template <class T>
struct Formed {
  const MixJob& job;
  const int32_t* columns;

  KITH_INLINE int64_t column(int64_t e) const { return columns[e]; }
  template <class Shape>
  KITH_INLINE void load(const Shape& shape, int64_t e, int64_t c, Vec<T>* v) const {
    const int64_t j = columns[e];
    if (j < job.inner_rows) {
      form<T>(job, Terms<T>(job.inner, job.inner_count, j), shape, c, v);
    } else {
      load_any<T>(shape, job.halo.data + (j - job.inner_rows) * job.halo.stride, job.halo.dtype, c, v);
    }
  }
};

/* The two staged rows of a pair. */
template <class T>
struct Pair {
  int64_t first;
  const T* first_row;
  const T* second_row;
  const int32_t* columns;

  KITH_INLINE int64_t column(int64_t e) const { return columns[e]; }
  template <class Shape>
  KITH_INLINE void load(const Shape& shape, int64_t e, int64_t c, Vec<T>* v) const {
    shape.load((columns[e] == first ? first_row : second_row) + c, v);
  }
};

/* Rows that the next row of y is the first to read, at column 0 of the tile: asked for while this row is summed, since
   the hardware looks no further than the end of a page. */
struct Ahead {
  static constexpr int kMost = 8;
  const unsigned char* rows[kMost];
  int count = 0;
  int64_t end = 0; /* bytes of them that are worth asking for */

  void add(const unsigned char* row) {
    if (count < kMost) rows[count++] = row;
  }
  template <int64_t bytes>
  KITH_INLINE void prefetch(int64_t at) const {
    if (at >= end) return;
    for (int k = 0; k < count; k++) {
      for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(rows[k] + at + b, 0, 2);
    }
  }
};

/* ---- one row of y ----------------------------------------------------------------------------------------------- */

void raise(int32_t* flags, int64_t row, int32_t bit) { __atomic_fetch_or(flags + row, bit, __ATOMIC_RELAXED); }

/* Elements until p is aligned for streaming, at most n. */
template <class T>
KITH_INLINE int64_t unaligned_head(const T* p, int64_t n) {
  const int64_t head = static_cast<int64_t>((-reinterpret_cast<uintptr_t>(p) & 63u) / sizeof(T));
  return head < n ? head : n;
}

/* Row `row` of y is bad in these columns: says so, and looks which messages are. */
template <class T, class Source>
__attribute__((noinline)) void report(const MixJob& job, const Source& source, int64_t count, int64_t row, int64_t from,
                                      int64_t to) {
  raise(job.flags, row, 2);
  for (int64_t e = 0; e < count; e++) {
    if (source.column(e) >= job.inner_rows) continue;
    Vec<T> bad{};
    for_columns<T>(
        from, to, [&](auto shape, int64_t c) __attribute__((always_inline)) {
          Vec<T> v[shape.count];
          source.load(shape, e, c, v);
          for (int u = 0; u < shape.count; u++) bad = watch<T>(bad, v[u]);
        });
    if (any_nan<T>(bad)) raise(job.flags, source.column(e), 1);
  }
}

/* Rounds n elements to columns `column` ... of a row of a narrow y; NaN in the result when one is not finite there. */
template <class T>
__attribute__((noinline)) Vec<T> round_out(const MixJob& job, int64_t row, int64_t column, int64_t n, const T* from) {
  unsigned char* y = job.y + row * job.y_stride;
  Vec<T> bad{};
  for_columns<T>(
      0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> v[shape.count];
        shape.load(from + c, v);
        store_narrow<T>(y, job.y_dtype, column + c, shape.whole(), shape.part(), v);
        round_narrow<T>(job.y_dtype, shape.count, v);
        for (int u = 0; u < shape.count; u++) bad = watch<T>(bad, v[u]);
      });
  return bad;
}

/* Columns [from, to) of a row of a narrow y: span(begin, end, to) computes a piece of them. Keeping the conversion out of
   the loops leaves those for a wide y as they are, and costs a pass through the first-level cache. */
template <class T, class F>
KITH_INLINE bool narrow_row(const MixJob& job, int64_t row, int64_t origin, int64_t from, int64_t to, F span) {
  alignas(64) T wide[kTileColumns];
  bool bad = false;
  for (int64_t begin = from; begin < to; begin += kTileColumns) {
    const int64_t end = begin + kTileColumns < to ? begin + kTileColumns : to;
    span(begin, end, wide);
    bad |= any_nan<T>(round_out<T>(job, row, origin + begin, end - begin, wide));
  }
  return bad;
}

/* Columns [from, to) of the tile that begins at column `origin` of the matrices; sources count from the origin, y from
   column `from`. Collects in `bad` whether something was not finite. */
template <class T, class Source>
__attribute__((noinline)) Vec<T> mix_span(const MixJob& job, const Source& source, const T* values, int64_t count,
                                          int64_t row, int64_t origin, int64_t from, int64_t to, T* y, bool streaming,
                                          const Ahead& ahead) {
  const Terms<T> outer(job.outer, job.outer_count, row);
  Vec<T> bad{};
  for_columns<T>(
      from, to, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> a[shape.count];
        ahead.prefetch<shape.count * kVectorBytes>(c * static_cast<int64_t>(sizeof(T)));
        if (count == 0) {
          for (int u = 0; u < shape.count; u++) a[u] = Vec<T>{};
        } else {
          Vec<T> v[shape.count];
          source.load(shape, 0, c, v);
          const Vec<T> w0 = broadcast(values[0]);
          for (int u = 0; u < shape.count; u++) a[u] = w0 * v[u];
          for (int64_t e = 1; e < count; e++) {
            source.load(shape, e, c, v);
            const Vec<T> w = broadcast(values[e]);
            for (int u = 0; u < shape.count; u++) a[u] = fma(w, v[u], a[u]);
          }
        }
        outer.add(shape, origin + c, 0, a);
        for (int u = 0; u < shape.count; u++) bad = watch<T>(bad, a[u]);
        if (streaming) {
          shape.stream(y + (c - from), a);
        } else {
          shape.store(y + (c - from), a);
        }
      });
  return bad;
}

template <class T, class Source>
void mix_row(const MixJob& job, const Source& source, const T* values, int64_t count, int64_t row, int64_t origin,
             int64_t from, int64_t to, const Ahead& ahead = Ahead()) {
  bool bad = false;
  if (job.y_dtype == kNative<T>) {
    T* y = reinterpret_cast<T*>(job.y + row * job.y_stride) + origin;
    int64_t begin = from;
    if (job.streaming) {
      begin += unaligned_head(y + from, to - from);
      if (begin > from) {
        bad = any_nan<T>(mix_span<T>(job, source, values, count, row, origin, from, begin, y + from, false, ahead));
      }
    }
    bad |= any_nan<T>(mix_span<T>(job, source, values, count, row, origin, begin, to, y + begin, job.streaming, ahead));
  } else if constexpr (sizeof(T) == 4) {
    bad = narrow_row<T>(
        job, row, origin, from, to, [&](int64_t begin, int64_t end, T * wide) __attribute__((always_inline)) {
          mix_span<T>(job, source, values, count, row, origin, begin, end, wide, false, ahead);
        });
  }
  if (bad && job.flags != nullptr) report<T>(job, source, count, row, from, to);
}

/* ---- strategies ------------------------------------------------------------------------------------------------- */

/* Returns the flags of the row; y begins with column `from`. */
template <class T>
__attribute__((noinline)) int32_t combine_span(const MixJob& job, int64_t row, int64_t from, int64_t to, T* y,
                                               bool streaming) {
  const Terms<T> inner(job.inner, job.inner_count, row);
  const Terms<T> outer(job.outer, job.outer_count, row);
  Vec<T> bad_message{}, bad{};
  for_columns<T>(
      from, to, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> a[shape.count];
        if (job.inner_count > 0) {
          form<T>(job, inner, shape, c, a);
          for (int u = 0; u < shape.count; u++) bad_message = watch<T>(bad_message, a[u]);
          outer.add(shape, c, 0, a);
        } else if (job.outer_count > 0) {
          outer.product(shape, c, a);
          outer.add(shape, c, 1, a);
        } else {
          for (int u = 0; u < shape.count; u++) a[u] = Vec<T>{};
        }
        for (int u = 0; u < shape.count; u++) bad = watch<T>(bad, a[u]);
        if (streaming) {
          shape.stream(y + (c - from), a);
        } else {
          shape.store(y + (c - from), a);
        }
      });
  return (any_nan<T>(bad_message) ? 1 : 0) | (any_nan<T>(bad) ? 2 : 0);
}

template <class T>
void combine(const MixJob& job, int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
  for (int64_t r = row; r < row_end; r++) {
    int32_t found = 0;
    if (job.y_dtype == kNative<T>) {
      T* y = reinterpret_cast<T*>(job.y + r * job.y_stride);
      int64_t begin = column;
      if (job.streaming) {
        begin += unaligned_head(y + column, column_end - column);
        if (begin > column) found = combine_span<T>(job, r, column, begin, y + column, false);
      }
      found |= combine_span<T>(job, r, begin, column_end, y + begin, job.streaming);
    } else if constexpr (sizeof(T) == 4) {
      const bool bad = narrow_row<T>(
          job, r, 0, column, column_end, [&](int64_t begin, int64_t end, T * wide) __attribute__((always_inline)) {
            found |= combine_span<T>(job, r, begin, end, wide, false);
          });
      found |= bad ? 2 : 0;
    }
    if (found != 0 && job.flags != nullptr) raise(job.flags, r, found);
  }
  if (job.streaming) stream_fence();
}

/* m(j, column ...) written to `to`. */
template <class T>
void stage_row(const MixJob& job, int64_t j, int64_t column, int64_t width, T* to, const Ahead& ahead = Ahead()) {
  if (j >= job.inner_rows) {
    const unsigned char* row = job.halo.data + (j - job.inner_rows) * job.halo.stride;
    for_columns<T>(
        0, width, [&](auto shape, int64_t c) __attribute__((always_inline)) {
          Vec<T> v[shape.count];
          ahead.prefetch<shape.count * kVectorBytes>(c * static_cast<int64_t>(sizeof(T)));
          load_any<T>(shape, row, job.halo.dtype, column + c, v);
          shape.store(to + c, v);
        });
    return;
  }
  const Terms<T> terms(job.inner, job.inner_count, j);
  for_columns<T>(
      0, width, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> v[shape.count];
        form<T>(job, terms, shape, column + c, v);
        shape.store(to + c, v);
      });
}

template <class T>
KITH_INLINE Direct<T> direct(const MixJob& job) {
  return Direct<T>{job.inner[0].data, job.inner[0].stride, job.halo.data, job.halo.stride, job.inner_rows, nullptr};
}

/* How far ahead the first pass over the rows of a tile asks for them. */
inline constexpr int64_t kDenseAhead = 768;

/* R rows of a dense W from `row` on, over `width` columns of the tile. */
template <class T, int R>
KITH_INLINE void dense_rows(const MixJob& job, const T* const* rows, int64_t row, int64_t origin, int64_t width,
                            bool first) {
  constexpr int V = kVectorBytes == 64 ? 2 : 64 / kVectorBytes;
  const int64_t n = job.weights.cols;
  const T* values = static_cast<const T*>(job.weights.values) + row * n;
  const bool narrow = sizeof(T) == 4 && job.y_dtype != kNative<T>;
  alignas(64) T wide[sizeof(T) == 4 ? R * kTileColumns : 1];
  T* y[R];
  Vec<T> bad[R];
  for (int i = 0; i < R; i++) {
    y[i] = narrow ? wide + i * kTileColumns : reinterpret_cast<T*>(job.y + (row + i) * job.y_stride) + origin;
    bad[i] = Vec<T>{};
  }
  const auto block = [&](auto shape, int64_t c, bool streaming) __attribute__((always_inline)) {
    constexpr int N = shape.count;
    Vec<T> a[R][N];
    Vec<T> v[N];
    shape.load(rows[0] + c, v);
    for (int i = 0; i < R; i++) {
      const Vec<T> w = broadcast(values[i * n]);
      for (int u = 0; u < N; u++) a[i][u] = w * v[u];
    }
    if (first) __builtin_prefetch(reinterpret_cast<const char*>(rows[0] + c) + kDenseAhead);
    for (int64_t j = 1; j < n; j++) {
      shape.load(rows[j] + c, v);
      if (first) __builtin_prefetch(reinterpret_cast<const char*>(rows[j] + c) + kDenseAhead);
      for (int i = 0; i < R; i++) {
        const Vec<T> w = broadcast(values[i * n + j]);
        for (int u = 0; u < N; u++) a[i][u] = fma(w, v[u], a[i][u]);
      }
    }
    for (int i = 0; i < R; i++) {
      if (job.outer_count > 0) Terms<T>(job.outer, job.outer_count, row + i).add(shape, origin + c, 0, a[i]);
      for (int u = 0; u < N; u++) bad[i] = watch<T>(bad[i], a[i][u]);
      if (streaming) {
        shape.stream(y[i] + c, a[i]);
      } else {
        shape.store(y[i] + c, a[i]);
      }
    }
  };
  bool aligned = job.streaming;
  for (int i = 0; i < R; i++) aligned &= unaligned_head(y[i], width) == 0;
  int64_t c = 0;
  for (; c + V * kLanes<T> <= width; c += V * kLanes<T>) block(Full<T, V>{}, c, aligned);
  for (; c + kLanes<T> <= width; c += kLanes<T>) block(Full<T, 1>{}, c, false);
  if (c < width) block(Part<T>{width - c}, c, false);
  if constexpr (sizeof(T) == 4) {
    for (int i = 0; i < R && narrow; i++) bad[i] = round_out<T>(job, row + i, origin, width, y[i]);
  }
  for (int i = 0; i < R && job.flags != nullptr; i++) {
    if (!any_nan<T>(bad[i])) continue;
    raise(job.flags, row + i, 2);
    for (int64_t j = 0; j < n && j < job.inner_rows; j++) {
      Vec<T> found{};
      for_columns<T>(
          0, width, [&](auto shape, int64_t from) __attribute__((always_inline)) {
            Vec<T> v[shape.count];
            shape.load(rows[j] + from, v);
            for (int u = 0; u < shape.count; u++) found = watch<T>(found, v[u]);
          });
      if (any_nan<T>(found)) raise(job.flags, j, 1);
    }
  }
}

/* What reading or staging slot s will touch from column `origin` on. */
template <class T>
void ask_for(const MixJob& job, int64_t s, int64_t origin, Ahead* ahead) {
  const int64_t j = job.weights.used == nullptr ? s : job.weights.used[s];
  if (j >= job.inner_rows) return;
  for (int32_t k = 0; k < job.inner_count; k++) {
    const int64_t size = job.inner[k].dtype == kNative<T> ? static_cast<int64_t>(sizeof(T)) : 2;
    ahead->add(job.inner[k].data + j * job.inner[k].stride + origin * size);
  }
}

template <class T>
void dense_tile(const MixJob& job, int64_t row, int64_t row_end, int64_t origin, int64_t width, const T** rows,
                unsigned char* stage) {
  const bool in_place = job.plain && !job.staged;
  const Direct<T> plain = direct<T>(job);
  for (int64_t j = 0; j < job.weights.cols; j++) {
    if (in_place) {
      rows[j] = plain.row(j) + origin;
      continue;
    }
    T* to = reinterpret_cast<T*>(stage + j * job.pitch);
    Ahead ahead;
    if (j + 1 < job.weights.cols) ask_for<T>(job, j + 1, origin, &ahead);
    ahead.end = width * static_cast<int64_t>(sizeof(T));
    stage_row<T>(job, j, origin, width, to, ahead);
    rows[j] = to;
  }
  int64_t r = row;
  for (; r + 4 <= row_end; r += 4) dense_rows<T, 4>(job, rows, r, origin, width, in_place && r == row);
  for (; r < row_end; r++) dense_rows<T, 1>(job, rows, r, origin, width, in_place && r == row);
}

/* Rows are staged when the first output needs them, so that reading, mixing and writing take turns; meanwhile the rows
   that the next output is the first to need are asked for. `next` columns follow in the next tile. */
template <class T>
void sparse_tile(const MixJob& job, int64_t row, int64_t row_end, int64_t origin, int64_t width, int64_t next,
                 const T** rows, unsigned char* stage) {
  const MixWeights& weights = job.weights;
  const bool in_place = job.plain && !job.staged;
  const Direct<T> plain = direct<T>(job);
  unsigned char ready[kMostSlots] = {};
  for (int64_t r = row; r < row_end; r++) {
    const int64_t begin = weights.offsets[r], end = weights.offsets[r + 1];
    for (int64_t e = begin; e < end; e++) {
      const int32_t slot = weights.slots[e];
      if (ready[slot] != 0) continue;
      ready[slot] = 1;
      const int64_t j = weights.columns[e];
      if (in_place) {
        rows[slot] = plain.row(j) + origin;
      } else {
        T* to = reinterpret_cast<T*>(stage + slot * job.pitch);
        stage_row<T>(job, j, origin, width, to);
        rows[slot] = to;
      }
    }
    Ahead ahead;
    const bool last = r + 1 == row_end;
    const int64_t coming = last ? row : r + 1;
    ahead.end = (last ? next : width) * static_cast<int64_t>(sizeof(T));
    for (int64_t e = weights.offsets[coming]; e < weights.offsets[coming + 1]; e++) {
      if (last || ready[weights.slots[e]] == 0) {
        ask_for<T>(job, weights.slots[e], last ? origin + width : origin, &ahead);
      }
    }
    const int64_t out = weights.output_rows == nullptr ? r : weights.output_rows[r];
    const T* values = static_cast<const T*>(weights.values) + begin;
    const Table<T> source{rows, weights.slots + begin, weights.columns + begin};
    mix_row<T>(job, source, values, end - begin, out, origin, 0, width, ahead);
  }
}

template <class T>
void tiles(const MixJob& job, int64_t row, int64_t row_end, int64_t column, int64_t column_end,
           unsigned char* scratch) {
  const T** rows = reinterpret_cast<const T**>(scratch);
  unsigned char* stage = scratch + (job.weights.used_count * 8 + 63) / 64 * 64;
  for (int64_t origin = column; origin < column_end; origin += job.tile) {
    const int64_t left = column_end - origin;
    const int64_t width = job.tile < left ? job.tile : left;
    if (job.weights.offsets == nullptr) {
      dense_tile<T>(job, row, row_end, origin, width, rows, stage);
    } else {
      const int64_t after = left - width;
      sparse_tile<T>(job, row, row_end, origin, width, after < job.tile ? after : job.tile, rows, stage);
    }
  }
  if (job.streaming) stream_fence();
}

/* ---- noise ------------------------------------------------------------------------------------------------------ */

/* Asks for columns [origin, origin + width) of inner row j. */
template <class T>
void ask_for_row(const MixJob& job, int64_t j, int64_t origin, int64_t width) {
  for (int32_t k = 0; k < job.inner_count; k++) {
    const int64_t size = job.inner[k].dtype == kNative<T> ? static_cast<int64_t>(sizeof(T)) : 2;
    const unsigned char* const row = job.inner[k].data + j * job.inner[k].stride + origin * size;
    for (int64_t b = 0; b < width * size; b += 64) __builtin_prefetch(row + b, 0, 2);
  }
}

/* The inner sum of row j without its rounding; where there are no terms, what noise starts from. */
template <class T>
void stage_sum(const MixJob& job, int64_t j, int64_t column, int64_t width, T* to) {
  if (job.inner_count == 0) {
    /* fma(s, n, -0) is s * n in every bit. */
    const T start = job.noise->values == nullptr ? static_cast<T>(-0.0) : T{};
    for (int64_t c = 0; c < width; c++) to[c] = start;
    return;
  }
  const Terms<T> terms(job.inner, job.inner_count, j);
  for_columns<T>(
      0, width, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> v[shape.count];
        terms.product(shape, column + c, v);
        terms.add(shape, column + c, 1, v);
        shape.store(to + c, v);
      });
}

template <class T>
void round_row(const MixJob& job, int64_t width, T* row) {
  if (job.message_dtype == kNative<T>) return;
  for_columns<T>(
      0, width, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> v[shape.count];
        shape.load(row + c, v);
        round_narrow<T>(job.message_dtype, shape.count, v);
        shape.store(row + c, v);
      });
}

template <class T>
void noisy_tile(const MixJob& job, int64_t row, int64_t row_end, int64_t origin, int64_t width, const T** rows) {
  const MixWeights& weights = job.weights;
  if (weights.values == nullptr) {
    const T one = 1;
    const int32_t slot = 0;
    for (int64_t r = row; r < row_end; r++) {
      const int32_t column = static_cast<int32_t>(r);
      mix_row<T>(job, Table<T>{rows + (r - row), &slot, &column}, &one, 1, r, origin, 0, width);
    }
  } else if (weights.offsets == nullptr) {
    int64_t r = row;
    for (; r + 4 <= row_end; r += 4) dense_rows<T, 4>(job, rows, r, origin, width, false);
    for (; r < row_end; r++) dense_rows<T, 1>(job, rows, r, origin, width, false);
  } else {
    for (int64_t r = row; r < row_end; r++) {
      const int64_t begin = weights.offsets[r];
      const Table<T> source{rows, weights.slots + begin, weights.columns + begin};
      mix_row<T>(job, source, static_cast<const T*>(weights.values) + begin, weights.offsets[r + 1] - begin,
                 weights.output_rows == nullptr ? r : weights.output_rows[r], origin, 0, width);
    }
  }
}

template <class T>
void noisy(const MixJob& job, int64_t row, int64_t row_end, int64_t column, int64_t column_end,
           unsigned char* scratch) {
  constexpr int kWide = sizeof(T) == 8 ? 1 : 0;
  const MixWeights& weights = job.weights;
  const NoiseTask& noise = *job.noise;
  const bool identity = weights.values == nullptr;
  const int64_t slots = identity ? row_end - row : weights.used_count;
  const int64_t inner = identity ? slots : job.used_inner;
  const auto named = [&](int64_t s) { return identity ? row + s : weights.used == nullptr ? s : weights.used[s]; };
  const T** const rows = reinterpret_cast<const T**>(scratch);
  unsigned char* const factors = scratch + (slots * 8 + 63) / 64 * 64;
  float* const z = reinterpret_cast<float*>(factors + job.factor_bytes);
  unsigned char* const stage = factors + job.factor_bytes + job.drawn_bytes;
  const auto staged = [&](int64_t s) { return reinterpret_cast<T*>(stage + s * job.pitch); };
  for (int64_t s = 0; s < slots; s++) rows[s] = staged(s);
  for (int64_t origin = column; origin < column_end; origin += job.tile) {
    const int64_t left = column_end - origin;
    const int64_t width = job.tile < left ? job.tile : left;
    if (noise.values != nullptr) {
      int64_t asked = 0;
      for (int64_t k = 0; k < noise.count; k++) {
        for (; asked * noise.count < (k + 1) * inner; asked++) ask_for_row<T>(job, named(asked), origin, width);
        if (noise.wanted != nullptr && noise.wanted[k] == 0) continue;
        job.drawing->draw(noise, k, origin, width, z + k * noise.z_pitch);
      }
    }
    for (int64_t s = 0; s < slots; s++) {
      if (s >= inner) {
        stage_row<T>(job, named(s), origin, width, staged(s));
        continue;
      }
      if (noise.values == nullptr) {
        ask_for_row<T>(job, named(s), origin, width);
        job.drawing->draw(noise, named(s), origin, width, z);
      }
      stage_sum<T>(job, named(s), origin, width, staged(s));
      if (noise.values == nullptr) {
        job.drawing->add[kWide](noise, z, width, staged(s));
        round_row<T>(job, width, staged(s));
      }
    }
    if (noise.values != nullptr) {
      job.drawing->tile[kWide](noise, z, width, stage, job.pitch, factors);
      for (int64_t s = 0; s < inner; s++) round_row<T>(job, width, staged(s));
    }
    noisy_tile<T>(job, row, row_end, origin, width, rows);
  }
  if (job.streaming) stream_fence();
}

template <class T>
void gather(const MixJob& job, int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
  const MixWeights& weights = job.weights;
  const T* values = static_cast<const T*>(weights.values);
  /* Far enough to hide a miss, near enough to stay in the first-level cache. */
  constexpr int64_t kAhead = 4;
  constexpr int64_t kLines = 4;
  const int64_t line_columns = 64 / static_cast<int64_t>(sizeof(T));
  int64_t lines = (column_end - column + line_columns - 1) / line_columns;
  if (lines > kLines) lines = kLines;
  Direct<T> plain = direct<T>(job);
  for (int64_t r = row; r < row_end; r++) {
    const int64_t begin = weights.offsets[r];
    const int64_t count = weights.offsets[r + 1] - begin;
    const int64_t out = weights.output_rows == nullptr ? r : weights.output_rows[r];
    if (job.plain) {
      if (r + kAhead < row_end) {
        for (int64_t e = weights.offsets[r + kAhead]; e < weights.offsets[r + kAhead + 1]; e++) {
          const T* ahead = plain.row(weights.columns[e]) + column;
          for (int64_t l = 0; l < lines; l++) __builtin_prefetch(ahead + l * line_columns);
        }
      }
      plain.columns = weights.columns + begin;
      mix_row<T>(job, plain, values + begin, count, out, 0, column, column_end);
    } else {
      mix_row<T>(job, Formed<T>{job, weights.columns + begin}, values + begin, count, out, 0, column, column_end);
    }
  }
  if (job.streaming) stream_fence();
}

template <class T>
void pairs(const MixJob& job, int64_t pair, int64_t pair_end, int64_t column, int64_t column_end,
           unsigned char* scratch) {
  const MixWeights& weights = job.weights;
  T* stage[2] = {reinterpret_cast<T*>(scratch), reinterpret_cast<T*>(scratch + job.pitch)};
  for (int64_t p = pair; p < pair_end; p++) {
    const int32_t* members = weights.pairs + 2 * p;
    const int count = members[0] == members[1] ? 1 : 2;
    for (int64_t origin = column; origin < column_end; origin += job.tile) {
      const int64_t width = origin + job.tile < column_end ? job.tile : column_end - origin;
      for (int i = 0; i < count; i++) stage_row<T>(job, members[i], origin, width, stage[i]);
      for (int i = 0; i < count; i++) {
        const int64_t begin = weights.offsets[members[i]];
        const Pair<T> source{members[0], stage[0], stage[1], weights.columns + begin};
        mix_row<T>(job, source, static_cast<const T*>(weights.values) + begin, weights.offsets[members[i] + 1] - begin,
                   members[i], origin, 0, width);
      }
    }
  }
  if (job.streaming) stream_fence();
}

}  // namespace

extern const MixKernels mixing_kernels;
const MixKernels mixing_kernels = {
    {combine<float>, combine<double>}, {gather<float>, gather<double>}, {tiles<float>, tiles<double>},
    {pairs<float>, pairs<double>},     {noisy<float>, noisy<double>},
};

}  // namespace kith::KITH_TIER
