/*
 * mixing: y(i, :) = sum_j w_ij m(j, :) + sum_k b_k u_k(i, :), m(j, :) = round(sum_k c_k z_k(j, :)), see kith.h.
 *
 * Bytes per element (f32): every inner and outer term read once, y written once. Ring on one matrix 8 B (bf16 4 B), ATC with two inner terms 12 B, DSGT 12 and 16 B, EXTRA 16 B. Where W reaches over more rows than a tile holds, each entry
 * of W reads a row through the second-level cache, and device memory still sees it once while the rows of a column tile
 * stay there.
 * Determinism: an element of y is one chain of operations in the order of kith.h, made by one thread; no sum is split, so
 * nothing depends on kernels, launch shapes or devices, and the bits are those of the CPU library.
 * Emulated: all of it.
 *
 * A unit is 16 bytes of columns in the compute type, or one column before and after them (everywhere, where rows are not
 * aligned alike).
 * Kernels, chosen in kith_mix by shape alone:
 *   tiles    blocks of 128 threads (64 above 24 rows), a unit per thread. All rows that W refers to are formed and laid
 *            into shared memory, eight rows of loads in flight; 16 B per thread and row, so 16 rows leave room for seven
 *            blocks on a multiprocessor with 227 KiB. A thread reads only what it wrote itself: shared memory serves as
 *            registers with an index, and no barrier stands between loads and stores. Rows of y in fours, which share
 *            their outer loads.
 *   dense    256 threads, 64 rows of y by 32 units, 16 rows of messages at a time in shared memory, 8 rows by one unit in
 *            the registers of a thread.
 *   pairs    256 threads, a unit of both rows of a pair per thread; y may be the inner matrix.
 *   gather   256 threads, a unit of one row of y per thread, four entries in flight where messages are plain rows. Blocks
 *            of one column tile follow one another.
 *   combine  256 threads, four units of one row per thread; W is the identity.
 *   noisy    with noise: 256 threads, a tile of columns in shared memory, or in scratch where it does not fit: the numbers
 *            of the tile, once each, then the messages of all rows that W refers to, then the rows of y, a thread an element.
 *
 * An -0 as the start of a chain of fma makes its first link a plain product: fma(w, m, -0) = w * m in every bit.
 */
#include "convert.hpp"
#include "cuda_weights.hpp"
#include "drawing.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "mixing_checks.hpp"

namespace kith {

namespace {

constexpr int kTileThreads = 128;
constexpr int kTileRows = 64;     /* more rows leave too few threads to hide the latency of memory */
constexpr int kWideTileRows = 24; /* as many rows of 128 threads fit 48 KiB */
constexpr int64_t kPlainShared = 48 << 10;
constexpr int kBatch = 8;   /* rows whose loads are in flight together */
constexpr int kOutputs = 4; /* rows of y made together */
constexpr int kThreads = 256;
constexpr int kCombineUnits = 4; /* per thread */
constexpr int kGatherEntries = 4;
constexpr int kDenseRows = 64; /* of y in a block */
constexpr int kDenseUnits = 32;
constexpr int kDenseDepth = 16; /* messages at a time */
constexpr int kDenseEach = 8;   /* rows of y in a thread */
constexpr int64_t kMostBlocks = 1 << 30;

/* Columns of a unit; T is the compute type of y throughout. */
template <class T>
constexpr int kVector = 16 / static_cast<int>(sizeof(T));
template <class T>
using Slot = Pack<T, kVector<T>>;

/* How columns are cut into units. */
struct Units {
  int64_t count;
  int64_t vectors; /* the first ones; the others are single columns */
  int64_t head;    /* columns before the vectors */
};

/* Blocks of 1 << log_lanes lanes across and threads >> log_lanes rows down; blocks of one column tile come together. */
struct Grid {
  int64_t blocks;
  int64_t down;
  int log_lanes;
};

struct Mix {
  MixJob job;
  Units units;
  Grid grid;
  int64_t rows; /* of W, of y where it is the identity, or pairs */
  int64_t cols; /* of W */
  int64_t used_count;
  int64_t used_inner; /* the first ones of those used; the others are rows of the halo */
  const int64_t* offsets;
  const void* entries;
  const int32_t* output_rows;
  const int32_t* used;
  const int32_t* pairs;
};

/* Where all rows are read at one column, and all columns in one row. */
struct Same {
  int64_t value;
  KITH_DEVICE int64_t operator[](int) const { return value; }
};

KITH_DEVICE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- loads and terms ---------------------------------------------------------------------------------------------- */

/* v[r] = V elements of storage type S from column columns[r] of row rows[r]; all loads stand before the first use. */
template <class T, int V, int R, class S, class I, class C>
KITH_DEVICE void read_rows(const unsigned char* data, int64_t stride, const I& rows, const C& columns, T (&v)[R][V]) {
  Pack<S, V> raw[R];
  KITH_UNROLL
  for (int r = 0; r < R; r++) {
    raw[r] = load_pack<V>(reinterpret_cast<const S*>(data + static_cast<int64_t>(rows[r]) * stride) + columns[r]);
  }
  KITH_UNROLL
  for (int r = 0; r < R; r++) {
    KITH_UNROLL
    for (int i = 0; i < V; i++) v[r][i] = widen<T>(raw[r].v[i]);
  }
}

template <class T, int V, int R, class I, class C>
KITH_DEVICE void read_any(const MixTerm& term, const I& rows, const C& columns, T (&v)[R][V]) {
  switch (term.dtype) {
    case KITH_BF16:
      return read_rows<T, V, R, bf16>(term.data, term.stride, rows, columns, v);
    case KITH_F16:
      return read_rows<T, V, R, f16>(term.data, term.stride, rows, columns, v);
    case KITH_F64:
      if constexpr (sizeof(T) == 8) return read_rows<T, V, R, double>(term.data, term.stride, rows, columns, v);
      [[fallthrough]]; /* never wider than T */
    default:
      return read_rows<T, V, R, float>(term.data, term.stride, rows, columns, v);
  }
}

/* sum = fma(c, v, sum) with the coefficient of each row. */
template <class T, int V, int R, class I>
KITH_DEVICE void add_term(const MixTerm& term, const I& rows, const T (&v)[R][V], T (&sum)[R][V]) {
  if (term.row_coefficients == nullptr) {
    const T c = static_cast<T>(term.coefficient);
    KITH_UNROLL
    for (int r = 0; r < R; r++) {
      KITH_UNROLL
      for (int i = 0; i < V; i++) sum[r][i] = fused(c, v[r][i], sum[r][i]);
    }
    return;
  }
  KITH_UNROLL
  for (int r = 0; r < R; r++) {
    const T c = static_cast<T>(term.coefficient * term.row_coefficients[rows[r]]);
    KITH_UNROLL
    for (int i = 0; i < V; i++) sum[r][i] = fused(c, v[r][i], sum[r][i]);
  }
}

template <class T, int V, int R>
KITH_DEVICE void set(T value, T (&v)[R][V]) {
  KITH_UNROLL
  for (int r = 0; r < R; r++) {
    KITH_UNROLL
    for (int i = 0; i < V; i++) v[r][i] = value;
  }
}

template <class T, int V>
KITH_DEVICE void clear(T (&v)[V]) {
  KITH_UNROLL
  for (int i = 0; i < V; i++) v[i] = T(0);
}

template <class S, class T, int V, int R>
KITH_DEVICE void round_to(T (&m)[R][V]) {
  KITH_UNROLL
  for (int r = 0; r < R; r++) {
    KITH_UNROLL
    for (int i = 0; i < V; i++) m[r][i] = rounded<S>(m[r][i]);
  }
}

/* Plain rows, see `launch`: in f64 only those of f64, which keeps the code small. */
template <class T, int V, int R, class I, class C>
KITH_DEVICE void read_plain(const MixTerm& term, const I& rows, const C& columns, T (&v)[R][V]) {
  if constexpr (sizeof(T) == 8) {
    read_rows<T, V, R, T>(term.data, term.stride, rows, columns, v);
  } else {
    read_any<T, V, R>(term, rows, columns, v);
  }
}

/* m[r] = the inner sum of row rows[r], not rounded. */
template <class T, int V, int R, class I, class C>
KITH_DEVICE void sum_terms(const MixJob& job, const I& rows, const C& columns, T (&m)[R][V]) {
  set<T, V, R>(static_cast<T>(-0.0), m);
  for (int k = 0; k < job.inner_count; k++) {
    T z[R][V];
    read_any<T, V, R>(job.inner[k], rows, columns, z);
    add_term<T, V, R>(job.inner[k], rows, z, m);
  }
}

template <class T, int V, int R>
KITH_DEVICE void round_messages(const MixJob& job, T (&m)[R][V]) {
  if (job.message_dtype == KITH_BF16) {
    round_to<bf16, T, V, R>(m);
  } else if (job.message_dtype == KITH_F16) {
    round_to<f16, T, V, R>(m);
  } else if constexpr (sizeof(T) == 8) {
    if (job.message_dtype == KITH_F32) round_to<float, T, V, R>(m);
  }
}

/* m[r] = message of the inner row rows[r]. */
template <class T, int V, int R, bool kPlain, class I, class C>
KITH_DEVICE void form(const MixJob& job, const I& rows, const C& columns, T (&m)[R][V]) {
  if constexpr (kPlain) {
    read_plain<T, V, R>(job.inner[0], rows, columns, m);
  } else {
    sum_terms<T, V, R>(job, rows, columns, m);
    round_messages<T, V, R>(job, m);
  }
}

/* ---- flags -------------------------------------------------------------------------------------------------------- */

/* Looks first: where many elements are bad, the row is said so once. */
KITH_DEVICE void raise(int32_t* flags, int64_t row, int32_t bit) {
  if ((*static_cast<const volatile int32_t*>(flags + row) & bit) == 0) atomicOr(flags + row, bit);
}

template <class T, int V>
KITH_DEVICE void look(int32_t* flags, int64_t row, int32_t bit, const T (&v)[V]) {
  bool bad = false;
  KITH_UNROLL
  for (int i = 0; i < V; i++) bad |= not_finite(v[i]);
  if (bad) raise(flags, row, bit);
}

/* ---- the end of an expression --------------------------------------------------------------------------------------- */

/* Rounds V elements into row `row` of y, whose storage type is S. */
template <class S, class T, int V>
KITH_DEVICE void put(const MixJob& job, int64_t row, int64_t column, const T (&a)[V]) {
  Pack<S, V> out;
  T stored[V];
  KITH_UNROLL
  for (int i = 0; i < V; i++) {
    out.v[i] = narrow<S>(a[i]);
    stored[i] = widen<T>(out.v[i]);
  }
  store_pack<V>(reinterpret_cast<S*>(job.y + row * job.y_stride) + column, out);
  if (job.flags != nullptr) look<T, V>(job.flags, row, 2, stored);
}

template <class T, int V>
KITH_DEVICE void put_any(const MixJob& job, int64_t row, int64_t column, const T (&a)[V]) {
  if constexpr (sizeof(T) == 4) {
    if (job.y_dtype == KITH_BF16) return put<bf16>(job, row, column, a);
    if (job.y_dtype == KITH_F16) return put<f16>(job, row, column, a);
  }
  put<T>(job, row, column, a);
}

/* Adds the outer terms to a, the first of which was read into u, and stores the first `count` of R. */
template <class T, int V, int R, class I, class C>
KITH_DEVICE void finish(const MixJob& job, const I& rows, const C& columns, int count, T (&a)[R][V], T (&u)[R][V]) {
  for (int k = 0; k < job.outer_count; k++) {
    if (k > 0) read_any<T, V, R>(job.outer[k], rows, columns, u);
    add_term<T, V, R>(job.outer[k], rows, u, a);
  }
  KITH_UNROLL
  for (int r = 0; r < R; r++) {
    if (r < count) put_any(job, rows[r], columns[r], a[r]);
  }
}

template <class T, int V, int R, class I, class C>
KITH_DEVICE void read_outer(const MixJob& job, const I& rows, const C& columns, T (&u)[R][V]) {
  if (job.outer_count > 0) read_any<T, V, R>(job.outer[0], rows, columns, u);
}

/* The first column of a unit. */
template <class T>
KITH_DEVICE int64_t column_of(const Units& units, int64_t unit) {
  if (unit < units.vectors) return units.head + unit * kVector<T>;
  const int64_t single = unit - units.vectors;
  return single < units.head ? single : single + units.vectors * kVector<T>;
}

/* ---- tiles ---------------------------------------------------------------------------------------------------------- */

/* Lays the messages of this thread's columns into its slots. */
template <class T, int V, bool kPlain, class Slots>
KITH_DEVICE void stage(const Mix& mix, int64_t column, Slots slots) {
  const MixJob& job = mix.job;
  const int threads = static_cast<int>(blockDim.x);
  const int self = static_cast<int>(threadIdx.x);
  const int used = static_cast<int>(mix.used_count);
  const int used_inner = static_cast<int>(mix.used_inner);
  const int32_t inner_rows = static_cast<int32_t>(job.inner_rows);
  constexpr int R = kPlain ? kBatch : kBatch / 2; /* several terms need more registers */
  const Same columns{column};
  for (int first = 0; first < used;) {
    const bool inner = first < used_inner;
    const int end = inner ? used_inner : used;
    int32_t rows[R];
    KITH_UNROLL
    for (int r = 0; r < R; r++) {
      const int at = first + r < end ? first + r : end - 1;
      rows[r] = (mix.used == nullptr ? at : mix.used[at]) - (inner ? 0 : inner_rows);
    }
    T m[R][V];
    if constexpr (kPlain) {
      read_plain<T, V, R>(inner ? job.inner[0] : job.halo, rows, columns, m);
    } else if (inner) {
      form<T, V, R, false>(job, rows, columns, m);
    } else {
      read_any<T, V, R>(job.halo, rows, columns, m);
    }
    KITH_UNROLL
    for (int r = 0; r < R; r++) {
      if (first + r >= end) continue;
      Slot<T> slot = {};
      KITH_UNROLL
      for (int i = 0; i < V; i++) slot.v[i] = m[r][i];
      slots[(first + r) * threads + self] = slot;
      if (inner && job.flags != nullptr) look<T, V>(job.flags, rows[r], 1, m[r]);
    }
    first = first + R < end ? first + R : end;
  }
}

template <class T, int V>
KITH_DEVICE void add_slot(T weight, const Slot<T>& slot, T (&a)[V]) {
  KITH_UNROLL
  for (int i = 0; i < V; i++) a[i] = fused(weight, slot.v[i], a[i]);
}

template <class T, int V, bool kDense, class Slots>
KITH_DEVICE void mix_rows(const Mix& mix, int64_t column, Slots slots) {
  const int threads = static_cast<int>(blockDim.x);
  const int self = static_cast<int>(threadIdx.x);
  const Same columns{column};
  const int32_t end_row = static_cast<int32_t>(mix.rows);
  for (int32_t first = 0; first < end_row; first += kOutputs) {
    int32_t rows[kOutputs], outputs[kOutputs];
    KITH_UNROLL
    for (int i = 0; i < kOutputs; i++) {
      rows[i] = first + i < end_row ? first + i : end_row - 1;
      outputs[i] = mix.output_rows == nullptr ? rows[i] : mix.output_rows[rows[i]];
    }
    const int count = end_row - first < kOutputs ? end_row - first : kOutputs;
    T a[kOutputs][V], u[kOutputs][V];
    read_outer<T, V, kOutputs>(mix.job, outputs, columns, u);
    set<T, V, kOutputs>(static_cast<T>(-0.0), a);
    if constexpr (kDense) {
      const T* values = static_cast<const T*>(mix.entries);
      const int cols = static_cast<int>(mix.cols);
      for (int j = 0; j < cols; j++) {
        const Slot<T> slot = slots[j * threads + self];
        KITH_UNROLL
        for (int i = 0; i < kOutputs; i++) add_slot<T, V>(__ldg(values + rows[i] * cols + j), slot, a[i]);
      }
    } else {
      KITH_UNROLL
      for (int i = 0; i < kOutputs; i++) {
        if (i >= count) continue;
        const Weight<T>* entries = static_cast<const Weight<T>*>(mix.entries);
        const int64_t begin = mix.offsets[rows[i]], end = mix.offsets[rows[i] + 1];
        if (begin == end) clear<T, V>(a[i]);
        for (int64_t e = begin; e < end; e++) {
          const Weight<T> entry = entries[e];
          add_slot<T, V>(entry.value, slots[entry.slot * threads + self], a[i]);
        }
      }
    }
    finish<T, V, kOutputs>(mix.job, outputs, columns, count, a, u);
  }
}

/* The bound is above what is launched: it holds the registers down, so that blocks enough for the latency of memory fit. */
template <class T, bool kPlain, bool kDense>
KITH_KERNEL(sizeof(T) == 8 ? 512 : 640)
void mix_tiles(Mix mix) {
  KITH_DYNAMIC_SHARED(Slot<T>, slots);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t unit = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; unit < mix.units.count;
       unit += step) {
    const int64_t column = column_of<T>(mix.units, unit);
    if (unit < mix.units.vectors) {
      stage<T, kVector<T>, kPlain>(mix, column, slots);
      mix_rows<T, kVector<T>, kDense>(mix, column, slots);
    } else {
      stage<T, 1, kPlain>(mix, column, slots);
      mix_rows<T, 1, kDense>(mix, column, slots);
    }
  }
}

/* ---- dense ---------------------------------------------------------------------------------------------------------- */

/* The message of column j of W. */
template <class T, int V, bool kPlain>
KITH_DEVICE void message(const MixJob& job, int64_t j, int64_t column, T (&m)[1][V]) {
  const Same columns{column};
  if (j < job.inner_rows) {
    const int64_t rows[1] = {j};
    form<T, V, 1, kPlain>(job, rows, columns, m);
    if (job.flags != nullptr) look<T, V>(job.flags, j, 1, m[0]);
  } else {
    const int64_t rows[1] = {j - job.inner_rows};
    read_any<T, V, 1>(job.halo, rows, columns, m);
  }
}

template <class T, int V>
KITH_DEVICE void finish_dense(const Mix& mix, int64_t row, int64_t column, const T (&a)[kDenseEach][kVector<T>]) {
  const Same columns{column};
  KITH_UNROLL
  for (int i = 0; i < kDenseEach; i++) {
    if (row + i >= mix.rows) continue;
    const int64_t rows[1] = {row + i};
    T b[1][V], u[1][V];
    KITH_UNROLL
    for (int c = 0; c < V; c++) b[0][c] = a[i][c];
    read_outer<T, V, 1>(mix.job, rows, columns, u);
    finish<T, V, 1>(mix.job, rows, columns, 1, b, u);
  }
}

template <class T, bool kPlain>
KITH_KERNEL(kThreads)
void mix_dense(Mix mix) {
  constexpr int V = kVector<T>;
  constexpr int kWeightPacks = kDenseRows / V; /* of one message */
  KITH_SHARED(Slot<T>, messages, kDenseDepth * kDenseUnits);
  KITH_SHARED(Slot<T>, weights, kDenseDepth * kWeightPacks);
  const T* values = static_cast<const T*>(mix.entries);
  const int self = static_cast<int>(threadIdx.x);
  const int lane = self % kDenseUnits;
  const int group = self / kDenseUnits;
  for (int64_t block = blockIdx.x; block < mix.grid.blocks; block += gridDim.x) {
    const int64_t first_row = block % mix.grid.down * kDenseRows;
    const int64_t first_unit = block / mix.grid.down * kDenseUnits;
    T a[kDenseEach][V];
    set<T, V, kDenseEach>(static_cast<T>(-0.0), a);
    for (int64_t from = 0; from < mix.cols; from += kDenseDepth) {
      const int depth = static_cast<int>(smaller(kDenseDepth, mix.cols - from));
      for (int place = self; place < depth * kDenseUnits; place += kThreads) {
        const int64_t j = from + place / kDenseUnits;
        const int64_t unit = first_unit + place % kDenseUnits;
        Slot<T> slot = {};
        if (unit < mix.units.vectors) {
          T m[1][V];
          message<T, V, kPlain>(mix.job, j, column_of<T>(mix.units, unit), m);
          KITH_UNROLL
          for (int i = 0; i < V; i++) slot.v[i] = m[0][i];
        } else if (unit < mix.units.count) {
          T m[1][1];
          message<T, 1, kPlain>(mix.job, j, column_of<T>(mix.units, unit), m);
          slot.v[0] = m[0][0];
        }
        messages[place] = slot;
      }
      for (int place = self; place < depth * kWeightPacks; place += kThreads) {
        const int64_t j = from + place / kWeightPacks;
        const int64_t row = first_row + place % kWeightPacks * V;
        Slot<T> slot = {};
        KITH_UNROLL
        for (int i = 0; i < V; i++) {
          if (row + i < mix.rows) slot.v[i] = values[(row + i) * mix.cols + j];
        }
        weights[place] = slot;
      }
      __syncthreads();
      for (int j = 0; j < depth; j++) {
        const Slot<T> m = messages[j * kDenseUnits + lane];
        KITH_UNROLL
        for (int p = 0; p < kDenseEach / V; p++) {
          const Slot<T> w = weights[j * kWeightPacks + group * (kDenseEach / V) + p];
          KITH_UNROLL
          for (int i = 0; i < V; i++) add_slot<T, V>(w.v[i], m, a[p * V + i]);
        }
      }
      __syncthreads();
    }
    const int64_t unit = first_unit + lane;
    const int64_t row = first_row + group * kDenseEach;
    if (unit < mix.units.vectors) {
      finish_dense<T, V>(mix, row, column_of<T>(mix.units, unit), a);
    } else if (unit < mix.units.count) {
      finish_dense<T, 1>(mix, row, column_of<T>(mix.units, unit), a);
    }
  }
}

/* ---- pairs ---------------------------------------------------------------------------------------------------------- */

/* The row of the inner terms, or of the halo behind them, that an entry names. */
KITH_DEVICE int64_t named(const Mix& mix, int32_t slot) { return mix.used == nullptr ? slot : mix.used[slot]; }

template <class T, int V, bool kPlain>
KITH_DEVICE void mix_pair(const Mix& mix, int64_t pair, int64_t column) {
  const MixJob& job = mix.job;
  const Weight<T>* entries = static_cast<const Weight<T>*>(mix.entries);
  const int64_t rows[2] = {mix.pairs[2 * pair], mix.pairs[2 * pair + 1]};
  const Same columns{column};
  const int count = rows[0] == rows[1] ? 1 : 2;
  T m[2][V], a[2][V], u[2][V];
  form<T, V, 2, kPlain>(job, rows, columns, m);
  read_outer<T, V, 2>(job, rows, columns, u);
  set<T, V, 2>(static_cast<T>(-0.0), a);
  bool referred[2] = {false, false};
  KITH_UNROLL
  for (int i = 0; i < 2; i++) {
    if (i >= count) continue;
    const int64_t begin = mix.offsets[rows[i]], end = mix.offsets[rows[i] + 1];
    if (begin == end) clear<T, V>(a[i]);
    for (int64_t e = begin; e < end; e++) {
      const Weight<T> entry = entries[e];
      const bool first = named(mix, entry.slot) == rows[0];
      referred[0] |= first;
      referred[1] |= !first;
      KITH_UNROLL
      for (int c = 0; c < V; c++) a[i][c] = fused(entry.value, first ? m[0][c] : m[1][c], a[i][c]);
    }
  }
  if (job.flags != nullptr) {
    KITH_UNROLL
    for (int i = 0; i < 2; i++) {
      if (referred[i]) look<T, V>(job.flags, rows[i], 1, m[i]);
    }
  }
  finish<T, V, 2>(job, rows, columns, count, a, u);
}

template <class T, bool kPlain>
KITH_KERNEL(kThreads)
void mix_pairs(Mix mix) {
  const int lanes = 1 << mix.grid.log_lanes;
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int down = static_cast<int>(threadIdx.x) >> mix.grid.log_lanes;
  const int rows_each = kThreads >> mix.grid.log_lanes;
  for (int64_t block = blockIdx.x; block < mix.grid.blocks; block += gridDim.x) {
    const int64_t pair = block % mix.grid.down * rows_each + down;
    const int64_t unit = block / mix.grid.down * lanes + lane;
    if (pair >= mix.rows || unit >= mix.units.count) continue;
    const int64_t column = column_of<T>(mix.units, unit);
    if (unit < mix.units.vectors) {
      mix_pair<T, kVector<T>, kPlain>(mix, pair, column);
    } else {
      mix_pair<T, 1, kPlain>(mix, pair, column);
    }
  }
}

/* ---- gather --------------------------------------------------------------------------------------------------------- */

/* Plain messages by their names; those of the inner term and of the halo have one dtype, S. */
template <class S, class T, int V>
KITH_DEVICE void read_named(const MixJob& job, const int64_t (&names)[kGatherEntries], int64_t column,
                            T (&m)[kGatherEntries][V]) {
  Pack<S, V> raw[kGatherEntries];
  KITH_UNROLL
  for (int e = 0; e < kGatherEntries; e++) {
    const unsigned char* at = names[e] < job.inner_rows ? job.inner[0].data + names[e] * job.inner[0].stride
                                                        : job.halo.data + (names[e] - job.inner_rows) * job.halo.stride;
    raw[e] = load_pack<V>(reinterpret_cast<const S*>(at) + column);
  }
  KITH_UNROLL
  for (int e = 0; e < kGatherEntries; e++) {
    KITH_UNROLL
    for (int i = 0; i < V; i++) m[e][i] = widen<T>(raw[e].v[i]);
  }
}

template <class T, int V>
KITH_DEVICE void read_named_any(const MixJob& job, const int64_t (&names)[kGatherEntries], int64_t column,
                                T (&m)[kGatherEntries][V]) {
  if constexpr (sizeof(T) == 4) {
    if (job.inner[0].dtype == KITH_BF16) return read_named<bf16>(job, names, column, m);
    if (job.inner[0].dtype == KITH_F16) return read_named<f16>(job, names, column, m);
  }
  read_named<T>(job, names, column, m);
}

template <class T, int V, bool kPlain>
KITH_DEVICE void gather_row(const Mix& mix, int64_t row, int64_t column) {
  const MixJob& job = mix.job;
  const Weight<T>* entries = static_cast<const Weight<T>*>(mix.entries);
  const int64_t rows[1] = {mix.output_rows == nullptr ? row : mix.output_rows[row]};
  const Same columns{column};
  const int64_t begin = mix.offsets[row], end = mix.offsets[row + 1];
  T a[1][V], u[1][V];
  read_outer<T, V, 1>(job, rows, columns, u);
  set<T, V, 1>(begin == end ? T(0) : static_cast<T>(-0.0), a);
  if constexpr (kPlain) {
    for (int64_t from = begin; from < end; from += kGatherEntries) {
      T m[kGatherEntries][V];
      T weights[kGatherEntries];
      int64_t names[kGatherEntries];
      KITH_UNROLL
      for (int e = 0; e < kGatherEntries; e++) {
        const Weight<T> entry = entries[smaller(from + e, end - 1)];
        weights[e] = entry.value;
        names[e] = named(mix, entry.slot);
      }
      read_named_any(job, names, column, m);
      KITH_UNROLL
      for (int e = 0; e < kGatherEntries; e++) {
        if (from + e >= end) continue;
        KITH_UNROLL
        for (int i = 0; i < V; i++) a[0][i] = fused(weights[e], m[e][i], a[0][i]);
        if (job.flags != nullptr && names[e] < job.inner_rows) look<T, V>(job.flags, names[e], 1, m[e]);
      }
    }
  } else {
    for (int64_t e = begin; e < end; e++) {
      const Weight<T> entry = entries[e];
      T m[1][V];
      message<T, V, kPlain>(job, named(mix, entry.slot), column, m);
      KITH_UNROLL
      for (int i = 0; i < V; i++) a[0][i] = fused(entry.value, m[0][i], a[0][i]);
    }
  }
  finish<T, V, 1>(job, rows, columns, 1, a, u);
}

template <class T, bool kPlain>
KITH_KERNEL(kThreads)
void mix_gather(Mix mix) {
  const int lanes = 1 << mix.grid.log_lanes;
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int down = static_cast<int>(threadIdx.x) >> mix.grid.log_lanes;
  const int rows_each = kThreads >> mix.grid.log_lanes;
  for (int64_t block = blockIdx.x; block < mix.grid.blocks; block += gridDim.x) {
    const int64_t row = block % mix.grid.down * rows_each + down;
    const int64_t unit = block / mix.grid.down * lanes + lane;
    if (row >= mix.rows || unit >= mix.units.count) continue;
    const int64_t column = column_of<T>(mix.units, unit);
    if (unit < mix.units.vectors) {
      gather_row<T, kVector<T>, kPlain>(mix, row, column);
    } else {
      gather_row<T, 1, kPlain>(mix, row, column);
    }
  }
}

/* ---- combine -------------------------------------------------------------------------------------------------------- */

/* The units first, first + lanes, ..., `count` of them. */
template <class T, int V>
KITH_DEVICE void combine_units(const Mix& mix, int64_t row, int64_t first, int lanes, int count) {
  constexpr int R = kCombineUnits;
  const MixJob& job = mix.job;
  const Same rows{row};
  int64_t columns[R];
  KITH_UNROLL
  for (int k = 0; k < R; k++) {
    columns[k] = column_of<T>(mix.units, first + static_cast<int64_t>(k < count ? k : 0) * lanes);
  }
  T a[R][V], u[R][V];
  read_outer<T, V, R>(job, rows, columns, u);
  if (job.inner_count > 0) {
    form<T, V, R, false>(job, rows, columns, a);
    KITH_UNROLL
    for (int k = 0; k < R; k++) {
      if (job.flags != nullptr) look<T, V>(job.flags, row, 1, a[k]);
    }
  } else {
    set<T, V, R>(job.outer_count > 0 ? static_cast<T>(-0.0) : T(0), a);
  }
  finish<T, V, R>(job, rows, columns, count, a, u);
}

template <class T>
KITH_KERNEL(kThreads)
void mix_combine(Mix mix) {
  const int lanes = 1 << mix.grid.log_lanes;
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int down = static_cast<int>(threadIdx.x) >> mix.grid.log_lanes;
  const int rows_each = kThreads >> mix.grid.log_lanes;
  for (int64_t block = blockIdx.x; block < mix.grid.blocks; block += gridDim.x) {
    const int64_t row = block % mix.grid.down * rows_each + down;
    const int64_t first = block / mix.grid.down * lanes * kCombineUnits + lane;
    if (row >= mix.rows) continue;
    int vectors = 0, all = 0;
    KITH_UNROLL
    for (int k = 0; k < kCombineUnits; k++) {
      const int64_t unit = first + static_cast<int64_t>(k) * lanes;
      if (unit < mix.units.vectors) vectors = k + 1;
      if (unit < mix.units.count) all = k + 1;
    }
    if (vectors > 0) combine_units<T, kVector<T>>(mix, row, first, lanes, vectors);
    if (all > vectors) {
      combine_units<T, 1>(mix, row, first + static_cast<int64_t>(vectors) * lanes, lanes, all - vectors);
    }
  }
}

/* ---- noise ---------------------------------------------------------------------------------------------------------- */

/* What the kernel needs beside the mix. A tile has a row for each slot, its message, and for each source of the factor. */
struct Noisy {
  Mix mix;
  const NoiseKey* keys;
  int32_t distribution;
  int32_t own;      /* 1: no factor, a source for each inner row */
  int32_t identity; /* 1: no W */
  double scale;
  int64_t columns; /* of y */
  int64_t slots;   /* rows of messages */
  int64_t inner;   /* the first ones of them, which are inner rows */
  int64_t across;  /* tiles */
  int64_t blocks;  /* across, for each row of y where rows have nothing in common */
  int64_t tile;    /* columns, a multiple of kNoiseGrain */
  void* tiles;     /* NULL: in shared memory */
  /* The factor. */
  int64_t sources;        /* that it uses */
  const int64_t* offsets; /* NULL: dense */
  const int32_t* used;    /* NULL: all */
  const void* entries;    /* in f64 */
};

template <class T, class Tile>
KITH_DEVICE T with_noise(const Noisy& d, int64_t row, int64_t at, int64_t c, T sum, Tile tile) {
  if (d.own != 0) {
    const T z = tile[at];
    return fused(static_cast<T>(d.scale), z, sum);
  }
  T a = sum;
  if (d.offsets == nullptr) {
    const double* const values = static_cast<const double*>(d.entries) + row * d.sources;
    for (int64_t k = 0; k < d.sources; k++) {
      const T z = tile[(d.slots + k) * d.tile + c];
      a = fused(static_cast<T>(d.scale * values[k]), z, a);
    }
  } else {
    const Weight<double>* const entries = static_cast<const Weight<double>*>(d.entries);
    for (int64_t e = d.offsets[row]; e < d.offsets[row + 1]; e++) {
      const Weight<double> entry = entries[e];
      const T z = tile[(d.slots + entry.slot) * d.tile + c];
      a = fused(static_cast<T>(d.scale * entry.value), z, a);
    }
  }
  return a;
}

/* Columns from `begin` on; without W and factor of the row `only`, which is slot 0. */
template <class Generator, class T, class Tile>
KITH_DEVICE void noisy_tile(const Noisy& d, int64_t begin, int64_t only, Tile tile) {
  const Mix& mix = d.mix;
  const MixJob& job = mix.job;
  const int64_t n = smaller(d.tile, d.columns - begin);
  const int64_t group = group_of<Generator>(d.distribution);
  const int64_t groups = d.tile / group;
  const int64_t drawn = d.own != 0 ? d.inner : d.sources;
  for (int64_t i = threadIdx.x; i < groups * drawn; i += kThreads) {
    const int64_t s = i / groups, c = i % groups * group;
    if (c >= n) continue;
    int64_t source = only + s, place = s;
    if (d.own != 0) {
      if (mix.used != nullptr) source = mix.used[s];
    } else {
      source = d.used == nullptr ? s : d.used[s];
      place = d.slots + s;
    }
    draw<Generator>(d.keys[source], d.distribution, begin + c, smaller(group, n - c),
                    [&](int64_t k, float z) { tile[place * d.tile + c + k] = static_cast<T>(z); });
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < d.slots * d.tile; i += kThreads) {
    const int64_t s = i / d.tile, c = i % d.tile;
    if (c >= n) continue;
    const int64_t j = mix.used == nullptr ? only + s : mix.used[s];
    const Same columns{begin + c};
    T m[1][1];
    if (s < d.inner) {
      const int64_t rows[1] = {j};
      sum_terms<T, 1, 1>(job, rows, columns, m);
      /* Without terms s * n = fma(s, n, -0), and a factor's sum starts from +0. */
      if (job.inner_count == 0 && d.own == 0) m[0][0] = T(0);
      m[0][0] = with_noise<T>(d, j, i, c, m[0][0], tile);
      round_messages<T, 1, 1>(job, m);
      if (job.flags != nullptr) look<T, 1>(job.flags, j, 1, m[0]);
    } else {
      const int64_t rows[1] = {j - job.inner_rows};
      read_any<T, 1, 1>(job.halo, rows, columns, m);
    }
    tile[i] = m[0][0];
  }
  __syncthreads();
  const int64_t height = d.identity != 0 ? d.slots : mix.rows;
  for (int64_t i = threadIdx.x; i < height * d.tile; i += kThreads) {
    const int64_t r = i / d.tile, c = i % d.tile;
    if (c >= n) continue;
    const int64_t rows[1] = {mix.output_rows == nullptr ? only + r : mix.output_rows[r]};
    const Same columns{begin + c};
    T a[1][1], u[1][1];
    read_outer<T, 1, 1>(job, rows, columns, u);
    if (d.identity != 0) {
      const T m = tile[i];
      a[0][0] = m;
    } else if (mix.offsets == nullptr) {
      const T* const values = static_cast<const T*>(mix.entries) + r * mix.cols;
      a[0][0] = static_cast<T>(-0.0);
      for (int64_t j = 0; j < mix.cols; j++) {
        const T m = tile[j * d.tile + c];
        a[0][0] = fused(values[j], m, a[0][0]);
      }
    } else {
      const Weight<T>* const entries = static_cast<const Weight<T>*>(mix.entries);
      const int64_t first = mix.offsets[r], end = mix.offsets[r + 1];
      a[0][0] = first == end ? T(0) : static_cast<T>(-0.0);
      for (int64_t e = first; e < end; e++) {
        const Weight<T> entry = entries[e];
        const T m = tile[entry.slot * d.tile + c];
        a[0][0] = fused(entry.value, m, a[0][0]);
      }
    }
    finish<T, 1, 1>(job, rows, columns, 1, a, u);
  }
  __syncthreads();
}

template <class Generator, class T>
KITH_KERNEL(kThreads)
void mix_noisy(Noisy d) {
  KITH_DYNAMIC_SHARED(T, shared);
  for (int64_t block = blockIdx.x; block < d.blocks; block += gridDim.x) {
    const int64_t begin = block % d.across * d.tile;
    const int64_t only = block / d.across;
    if (d.tiles == nullptr) {
      noisy_tile<Generator, T>(d, begin, only, shared);
    } else {
      noisy_tile<Generator, T>(d, begin, only, static_cast<T*>(d.tiles) + blockIdx.x * (d.slots + d.sources) * d.tile);
    }
  }
}

/* ---- launches ------------------------------------------------------------------------------------------------------- */

struct Operand {
  const void* data;
  int64_t stride; /* bytes */
  int64_t rows;
  int64_t element;
};

/* Units of 16 bytes of the compute type, when every operand can be read or written so many columns at a time. */
Units cut(const MixOperands& operands, const MixJob& job) {
  const int64_t size = operands.y.element_bytes();
  const int64_t width = operands.y.dtype == KITH_F64 ? 2 : 4;
  const uintptr_t most = static_cast<uintptr_t>(width * size);
  const int64_t cols = operands.y.cols;
  Operand all[2 * KITH_MAX_TERMS + 2];
  int count = 0;
  const auto add = [&](const Matrix& m) {
    all[count++] = Operand{m.data, m.stride * m.element_bytes(), m.rows, m.element_bytes()};
  };
  add(operands.y);
  for (int k = 0; k < job.inner_count; k++) add(operands.inner[k]);
  for (int k = 0; k < job.outer_count; k++) add(operands.outer[k]);
  if (job.halo.data != nullptr) add(operands.halo);
  int64_t head = static_cast<int64_t>((most - reinterpret_cast<uintptr_t>(operands.y.data) % most) % most) / size;
  bool alike = head + width <= cols;
  for (int k = 0; k < count; k++) {
    const uintptr_t access = static_cast<uintptr_t>(width * all[k].element);
    alike = alike &&
            (reinterpret_cast<uintptr_t>(all[k].data) + static_cast<uintptr_t>(head * all[k].element)) % access == 0;
    alike = alike && (all[k].rows <= 1 || static_cast<uintptr_t>(all[k].stride) % access == 0);
  }
  Units units;
  units.head = alike ? head : 0;
  units.vectors = alike ? (cols - head) / width : 0;
  units.count = cols - units.vectors * (width - 1);
  return units;
}

Grid grid_of(int64_t rows, int64_t units, int each) {
  Grid grid;
  grid.log_lanes = 0;
  while (grid.log_lanes < 8 && (static_cast<int64_t>(each) << grid.log_lanes) < units) grid.log_lanes++;
  const int64_t rows_each = kThreads >> grid.log_lanes;
  const int64_t units_each = static_cast<int64_t>(each) << grid.log_lanes;
  grid.down = (rows + rows_each - 1) / rows_each;
  grid.blocks = grid.down * ((units + units_each - 1) / units_each);
  return grid;
}

unsigned at_most(int64_t blocks) { return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks); }

/* Threads of a block of tiles, 0 where the device has no room for so many rows. */
int tile_threads(Entry& entry, int64_t used, int64_t* shared) {
  if (used > kTileRows) return 0;
  const int threads = used <= kWideTileRows ? kTileThreads : kTileThreads / 2;
  *shared = used * threads * 16;
  if (*shared <= kPlainShared) return threads;
  int most = 0;
  if (!entry.done("asking for shared memory",
                  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, entry.device()->ordinal))) {
    return 0;
  }
  return *shared <= most ? threads : 0;
}

template <class T, bool kPlain, bool kDense>
void launch_tiles(Entry& entry, const Mix& mix, int threads, int64_t shared) {
  if (shared > kPlainShared) {
    const void* kernel = reinterpret_cast<const void*>(&mix_tiles<T, kPlain, kDense>);
    if (!entry.done(
            "asking for shared memory",
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)))) {
      return;
    }
  }
  /* Long rows: four units per thread, so that fewer blocks come and go. */
  const int64_t blocks = (mix.units.count + threads - 1) / threads;
  const int64_t few = 64 * static_cast<int64_t>(entry.multiprocessors());
  const int64_t wanted = blocks / 4 > few ? (blocks + 3) / 4 : blocks;
  entry.launched(KITH_LAUNCH((mix_tiles<T, kPlain, kDense>), at_most(wanted), static_cast<unsigned>(threads),
                             static_cast<size_t>(shared), entry.stream(), mix));
}

template <class T, bool kPlain>
void launch(Entry& entry, const CudaWeights& weights, Mix mix) {
  const bool has_halo = mix.job.halo.data != nullptr;
  if (weights.pairwise && !has_halo) {
    mix.rows = weights.pair_count;
    mix.grid = grid_of(mix.rows, mix.units.count, 1);
    if (mix.grid.blocks == 0) return;
    entry.launched(KITH_LAUNCH((mix_pairs<T, kPlain>), at_most(mix.grid.blocks), kThreads, 0, entry.stream(), mix));
    return;
  }
  int64_t shared = 0;
  const bool long_rows = mix.units.count >= 64 * static_cast<int64_t>(entry.multiprocessors());
  const int threads = long_rows ? tile_threads(entry, mix.used_count, &shared) : 0;
  if (!entry.ok()) return;
  if (threads > 0) {
    if (weights.dense) {
      launch_tiles<T, kPlain, true>(entry, mix, threads, shared);
    } else {
      launch_tiles<T, kPlain, false>(entry, mix, threads, shared);
    }
  } else if (weights.dense) {
    mix.grid.down = (mix.rows + kDenseRows - 1) / kDenseRows;
    mix.grid.blocks = mix.grid.down * ((mix.units.count + kDenseUnits - 1) / kDenseUnits);
    entry.launched(KITH_LAUNCH((mix_dense<T, kPlain>), at_most(mix.grid.blocks), kThreads, 0, entry.stream(), mix));
  } else {
    mix.grid = grid_of(mix.rows, mix.units.count, 1);
    entry.launched(KITH_LAUNCH((mix_gather<T, kPlain>), at_most(mix.grid.blocks), kThreads, 0, entry.stream(), mix));
  }
}

template <class T>
void launch(Entry& entry, const CudaWeights* weights, const Mix& mix) {
  if (weights == nullptr) {
    Mix combined = mix;
    combined.grid = grid_of(mix.rows, mix.units.count, kCombineUnits);
    entry.launched(KITH_LAUNCH((mix_combine<T>), at_most(combined.grid.blocks), kThreads, 0, entry.stream(), combined));
    return;
  }
  const MixTerm& term = mix.job.inner[0];
  /* Messages are rows as they are stored: nothing to multiply by, and the message type holds them. */
  const bool held = term.dtype == mix.job.message_dtype ||
                    (mix.job.message_dtype == DtypeOf<T>::value && mix.job.halo.data == nullptr);
  const bool plain = mix.job.inner_count == 1 && term.coefficient == 1.0 && term.row_coefficients == nullptr && held &&
                     (sizeof(T) == 4 || term.dtype == KITH_F64);
  if (plain) {
    launch<T, true>(entry, *weights, mix);
  } else {
    launch<T, false>(entry, *weights, mix);
  }
}

constexpr int64_t kNoisyShared = 48 << 10;
constexpr int64_t kNoisyTile = 128;
/* Scratch that tiles outside of shared memory take together, where one of them is no larger. */
constexpr int64_t kNoisyScratch = int64_t{256} << 20;

template <class T>
void launch_noisy(Entry& entry, const CudaWeights* weights, const kith_noise_term& noise, const Mix& mix,
                  int64_t cols) {
  const CudaWeights* const factor = static_cast<const CudaWeights*>(noise.factor);
  const bool secret = noise.field->generator == KITH_CHACHA;
  if (secret && !entry.not_capturing("noise of secrets")) return;
  Noisy d = {};
  d.mix = mix;
  d.distribution = noise.field->distribution;
  d.own = factor == nullptr ? 1 : 0;
  d.identity = weights == nullptr ? 1 : 0;
  d.scale = noise.scale;
  d.columns = cols;
  const bool alone = weights == nullptr && factor == nullptr;
  d.slots = weights != nullptr ? mix.used_count : alone ? 1 : mix.rows;
  d.inner = weights != nullptr ? mix.used_inner : d.slots;
  if (weights != nullptr && weights->dense) d.mix.offsets = nullptr;
  if (factor != nullptr) {
    entry.use(factor->memory);
    d.sources = factor->dense ? factor->cols : factor->used_count;
    d.offsets = factor->dense ? nullptr : factor->offsets;
    d.used = factor->dense ? nullptr : factor->used;
    d.entries = factor->links[1];
  }
  const int64_t size = static_cast<int64_t>(sizeof(T));
  const int64_t held = d.slots + d.sources;
  const int64_t fits = kNoisyShared / size / (held > 0 ? held : 1) / kNoiseGrain * kNoiseGrain;
  const bool in_shared = fits >= kNoiseGrain;
  d.tile = in_shared && fits < kNoisyTile ? fits : kNoisyTile;
  d.across = (cols + d.tile - 1) / d.tile;
  d.blocks = alone ? d.across * mix.rows : d.across;
  unsigned blocks = entry.grid(d.blocks, 8);
  const int64_t tile_bytes = held * d.tile * size;
  if (!in_shared && blocks > kNoisyScratch / tile_bytes) {
    blocks = static_cast<unsigned>(kNoisyScratch > tile_bytes ? kNoisyScratch / tile_bytes : 1);
  }
  const int64_t key_bytes = (key_words(*noise.field) * 4 + 255) / 256 * 256;
  const int64_t scratch_bytes = key_bytes + (in_shared ? 0 : blocks * tile_bytes);
  unsigned char* scratch = nullptr;
  if (scratch_bytes > 0) {
    scratch = static_cast<unsigned char*>(entry.scratch(scratch_bytes));
    if (scratch == nullptr) return;
  }
  if (!in_shared) d.tiles = scratch + key_bytes;
  d.keys = take_keys(entry, *noise.field, scratch);
  if (!entry.ok()) return;
  entry.launched(KITH_LAUNCH((secret ? mix_noisy<ChaCha, T> : mix_noisy<Philox, T>), blocks, kThreads,
                             static_cast<size_t>(in_shared ? tile_bytes : 0), entry.stream(), d));
  drop_keys(entry, *noise.field, scratch);
}

}  // namespace

}  // namespace kith

using kith::Entry;

extern "C" {
kith_status kith_mix(kith_queue* queue, const kith_weights* weights, const kith_expression* expression,
                     const kith_matrix* y, const kith_matrix* flags, kith_call* call) {
  Entry entry(queue, call, "kith_mix");
  kith::MixOperands operands;
  kith::Mix mix = {};
  if (!entry.ok() || !kith::check_mix(entry, weights, expression, y, flags, &operands, &mix.job)) return entry.status();
  const kith::CudaWeights* w = static_cast<const kith::CudaWeights*>(weights);
  const bool wide = operands.y.dtype == KITH_F64;
  mix.rows = operands.y.rows;
  if (w != nullptr) {
    entry.use(w->memory);
    mix.rows = w->rows;
    mix.cols = w->cols;
    mix.used_count = w->used_count;
    mix.used_inner = w->used_count;
    if (w->host_used != nullptr) {
      while (mix.used_inner > 0 && w->host_used[mix.used_inner - 1] >= mix.job.inner_rows) mix.used_inner--;
    } else if (mix.used_inner > mix.job.inner_rows) {
      mix.used_inner = mix.job.inner_rows;
    }
    mix.offsets = w->offsets;
    mix.entries = w->links[wide ? 1 : 0];
    mix.output_rows = w->output_rows;
    mix.used = w->used;
    mix.pairs = w->pairs;
  }
  if (mix.rows == 0 || operands.y.cols == 0) return entry.finish();
  mix.units = kith::cut(operands, mix.job);
  if (operands.noise != nullptr) {
    if (wide) {
      kith::launch_noisy<double>(entry, w, *operands.noise, mix, operands.y.cols);
    } else {
      kith::launch_noisy<float>(entry, w, *operands.noise, mix, operands.y.cols);
    }
    return entry.finish();
  }
  if (wide) {
    kith::launch<double>(entry, w, mix);
  } else {
    kith::launch<float>(entry, w, mix);
  }
  return entry.finish();
}

}  // extern "C"
