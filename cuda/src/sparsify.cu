/*
 * sparsify: messages of few elements of a row, and their sum into rows; see kith.h.
 *
 * Bytes per element of v (f32): top of blocks up to 4096 columns 4 B read, longer ones 4 B and a sample; with minus 4 B
 * more, with a residual 8 B more. above the same. at: 12 B per entry, and the pass where residual or flags are given.
 * thresholds: a line of v per sample, its keys 5 times. accumulate: 8 B per entry and a line of y each, 4 B per element of
 * y where it starts from 0.
 * Determinism: a selection is defined by keys and columns, which no launch shape changes: counts are integers, places
 * are sums of counts. An element of y is one chain of operations of one block, in the order of W.
 * Emulated: all of it.
 *
 * Launch shapes: a thread has kItems neighbouring elements, a block of 256 threads a chunk of 4096.
 *   top_small   a block of 32 to 256 threads per block of columns: four histograms of 8 bits in shared memory, one scan
 *   bound       a block per long block of columns: a bound from a sample of 4096, or the threshold
 *   list        a chunk per block: what reaches the bound, in order, in the chunk's list
 *   histogram, border   16 chunks per block, a block per block of columns; 11, 10 and 10 bits of the keys
 *   count, place, emit  chunks count what they send, the counts give each its place, entries are written in order
 *   form, pick, check   256 threads, an element each
 *   sample, threshold   4 samples per thread; a block per row: four histograms of 8 bits in shared memory
 *   sum         a block per row and slab of columns; messages one after the other, an entry per thread
 * No block waits for another. A chunk whose list is too short is read again instead, and all are where fewer elements
 * reach the bound than are wanted: the result is exact whatever the sample was.
 */
#include <cstdlib>

#include "convert.hpp"
#include "cuda_weights.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "philox.hpp"
#include "sparsify_checks.hpp"

namespace kith {

namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr unsigned kAll = 0xffffffffu;
constexpr int kItems = 16; /* per thread */
constexpr int64_t kChunk = kThreads * kItems;
constexpr int64_t kGroupChunks = 16;
constexpr int kBins = 2048;
constexpr int kDigits = 256;
constexpr int64_t kSlab = 16384; /* columns of y */
constexpr int kPerMultiprocessor = 8;
constexpr int32_t kNone = -1; /* the key of an item that is not there */

/* What a selection reads and writes; strides in elements. */
struct Select {
  const float* x;
  const float* minus;
  float* residual;
  int32_t* messages;
  int32_t* flags;
  const double* thresholds; /* NULL: the k largest */
  int64_t x_stride;
  int64_t minus_stride;
  int64_t residual_stride;
  int64_t message_stride;
  int64_t cols;
  int64_t block;
  int64_t across; /* blocks of columns in a row */
  int64_t segments;
  int64_t k; /* or the capacity */
  int64_t entries;
};

/* A block of columns. */
struct Part {
  int64_t row;
  int64_t first;
  int64_t cols;
  int64_t wanted;
  int32_t* message; /* its first column */
};

struct Segment {
  int64_t need;
  int32_t least;
  int32_t border;
  uint32_t prefix;
  uint32_t total; /* elements that reach the bound */
};

struct Chunk {
  int64_t place;
  int32_t listed;
  int32_t above;
  int32_t equal;
  int32_t ties;
};

struct Large {
  Select select;
  int64_t chunks; /* in a block of columns */
  int64_t groups;
  int64_t rank; /* 0: no bound */
  int64_t capacity;
  Segment* segments;
  uint32_t* bins;
  Chunk* chunk;
  int32_t* columns;
  float* values;
  int32_t level;
  int32_t reserved;
};

KITH_DEVICE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
KITH_DEVICE int64_t first_item() { return static_cast<int64_t>(threadIdx.x) * kItems; }

KITH_DEVICE int32_t key_of(float v) {
  const int32_t magnitude = static_cast<int32_t>(__float_as_uint(v) & 0x7fffffffu);
  return magnitude > kInfinityKey ? kNanKey : magnitude;
}

/* The key from which on elements are at or above a threshold: kNanKey for NaN. */
KITH_DEVICE int32_t key_from(double threshold) {
  if (threshold != threshold) return kNanKey;
  if (!(threshold > 0)) return 0;
  const float rounded = static_cast<float>(threshold);
  const int32_t key = static_cast<int32_t>(__float_as_uint(rounded));
  return static_cast<double>(rounded) < threshold ? key + 1 : key;
}

KITH_DEVICE int32_t word_of(float v) { return v != v ? kNanKey : static_cast<int32_t>(__float_as_uint(v)); }

KITH_DEVICE Part part_of(const Select& s, int64_t segment) {
  const int64_t row = segment / s.across;
  const int64_t at = segment - row * s.across;
  Part part;
  part.row = row;
  part.first = at * s.block;
  part.cols = smaller(s.cols - part.first, s.block);
  part.wanted = smaller(s.k, part.cols);
  part.message = s.messages + row * s.message_stride + (s.thresholds == nullptr ? at * s.k : 1);
  return part;
}

/* Looks first: where many elements are bad, the row is said so once. */
KITH_DEVICE void raise(int32_t* flags, int64_t row, int32_t bits) {
  if (flags == nullptr) return;
  if ((*static_cast<const volatile int32_t*>(flags + row) & bits) != bits) atomicOr(flags + row, bits);
}

/* v[i] = p[i] for i < n, +0 beyond. */
KITH_DEVICE void read_items(const float* p, int64_t n, float (&v)[kItems]) {
  if (n >= kItems && reinterpret_cast<uintptr_t>(p) % 16 == 0) {
    KITH_UNROLL
    for (int q = 0; q < kItems / 4; q++) {
      const Pack<float, 4> pack = load_pack<4>(p + 4 * q);
      KITH_UNROLL
      for (int i = 0; i < 4; i++) v[4 * q + i] = pack.v[i];
    }
    return;
  }
  KITH_UNROLL
  for (int i = 0; i < kItems; i++) v[i] = i < n ? p[i] : 0.0f;
}

KITH_DEVICE void write_items(float* p, int64_t n, const float (&v)[kItems]) {
  if (n >= kItems && reinterpret_cast<uintptr_t>(p) % 16 == 0) {
    KITH_UNROLL
    for (int q = 0; q < kItems / 4; q++) {
      Pack<float, 4> pack;
      KITH_UNROLL
      for (int i = 0; i < 4; i++) pack.v[i] = v[4 * q + i];
      store_pack<4>(p + 4 * q, pack);
    }
    return;
  }
  KITH_UNROLL
  for (int i = 0; i < kItems; i++) {
    if (i < n) p[i] = v[i];
  }
}

/* v of n items from a column on, before it was formed; stores it in the residual. True when one is not finite. */
KITH_DEVICE bool form_items(const Select& s, int64_t row, int64_t column, int64_t n, float (&v)[kItems]) {
  read_items(s.x + row * s.x_stride + column, n, v);
  float other[kItems];
  if (s.minus != nullptr) {
    read_items(s.minus + row * s.minus_stride + column, n, other);
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) v[i] = v[i] - other[i];
  }
  if (s.residual != nullptr) {
    float* const residual = s.residual + row * s.residual_stride + column;
    read_items(residual, n, other);
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) v[i] = other[i] + v[i];
    write_items(residual, n, v);
  }
  bool bad = false;
  KITH_UNROLL
  for (int i = 0; i < kItems; i++) bad |= not_finite(v[i]);
  return bad;
}

/* The same afterwards. */
KITH_DEVICE void formed_items(const Select& s, int64_t row, int64_t column, int64_t n, float (&v)[kItems]) {
  if (s.residual != nullptr) return read_items(s.residual + row * s.residual_stride + column, n, v);
  read_items(s.x + row * s.x_stride + column, n, v);
  if (s.minus != nullptr) {
    float other[kItems];
    read_items(s.minus + row * s.minus_stride + column, n, other);
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) v[i] = v[i] - other[i];
  }
}

KITH_DEVICE void keys_of(const float (&v)[kItems], int64_t n, int32_t (&keys)[kItems]) {
  KITH_UNROLL
  for (int i = 0; i < kItems; i++) keys[i] = i < n ? key_of(v[i]) : kNone;
}

/* The sum of `mine` over the threads before this one, and over all. totals has a word per warp. */
template <class S>
KITH_DEVICE uint32_t sum_before(uint32_t mine, S totals, uint32_t* all) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  uint32_t sum = mine;
  for (int step = 1; step < kWarp; step *= 2) {
    const uint32_t other = __shfl_up_sync(kAll, sum, static_cast<unsigned>(step));
    if (lane >= step) sum += other;
  }
  if (lane == kWarp - 1) totals[warp] = sum;
  __syncthreads();
  uint32_t before = 0, whole = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; w++) {
    const uint32_t total = totals[w];
    if (w < warp) before += total;
    whole += total;
  }
  __syncthreads();
  *all = whole;
  return before + sum - mine;
}

/* A search for the k-th largest key, from the top bits down: its bits above `above`, and how many it is beyond. */
struct Search {
  uint32_t prefix;
  uint32_t need;
  int above;
  int width; /* of the next digit */

  KITH_DEVICE int shift() const { return above - width; }
};

KITH_DEVICE Search search_of(int64_t k) { return Search{0u, static_cast<uint32_t>(k), 31, 8}; }

/* digits has kDigits words. */
template <class D>
KITH_DEVICE void clear_digits(D digits) {
  for (int d = static_cast<int>(threadIdx.x); d < kDigits; d += static_cast<int>(blockDim.x)) digits[d] = 0u;
  __syncthreads();
}

template <class D>
KITH_DEVICE void count_digit(const Search& search, int32_t key, D digits) {
  const uint32_t bits = static_cast<uint32_t>(key);
  if (key >= 0 && bits >> search.above == search.prefix) {
    atomicAdd(&digits[(bits >> search.shift()) & ((1u << search.width) - 1u)], 1u);
  }
}

/* Settles the digit that was counted; found has two words. */
template <class D, class F>
KITH_DEVICE void settle_digit(Search& search, D digits, F found) {
  __syncthreads();
  if (threadIdx.x < kWarp) {
    // Lane 0 has the largest digits.
    const int lane = static_cast<int>(threadIdx.x);
    const int top = kDigits - 1 - lane * (kDigits / kWarp);
    uint32_t own = 0;
    for (int d = 0; d < kDigits / kWarp; d++) {
      const uint32_t count = digits[top - d];
      own += count;
    }
    uint32_t sum = own;
    for (int step = 1; step < kWarp; step *= 2) {
      const uint32_t other = __shfl_up_sync(kAll, sum, static_cast<unsigned>(step));
      if (lane >= step) sum += other;
    }
    if (sum >= search.need && sum - own < search.need) {
      uint32_t left = search.need - (sum - own);
      int d = 0;
      for (;; d++) {
        const uint32_t count = digits[top - d];
        if (count >= left) break;
        left -= count;
      }
      found[0] = static_cast<uint32_t>(top - d);
      found[1] = left;
    }
  }
  __syncthreads();
  const uint32_t digit = found[0];
  search.need = found[1];
  search.prefix = search.prefix << search.width | digit;
  search.above = search.shift();
  search.width = search.above == 7 ? 7 : 8;
  __syncthreads();
}

/* The k-th largest of the block's keys; *ties: how many that equal it are among the k largest. */
template <class D, class F>
KITH_DEVICE int32_t kth_key(const int32_t (&keys)[kItems], int64_t k, D digits, F found, int64_t* ties) {
  Search search = search_of(k);
  while (search.above > 0) {
    clear_digits(digits);
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) count_digit(search, keys[i], digits);
    settle_digit(search, digits, found);
  }
  *ties = search.need;
  return static_cast<int32_t>(search.prefix);
}

/* Writes those of the block's items that are beyond the border, and the first `ties` on it, at place and after, below
   limit. Items are in the order of threads; columns[i] is that of v[i]. */
template <class S>
KITH_DEVICE void emit_items(const Select& s, int64_t row, int32_t* message, int64_t place, int64_t limit,
                            int32_t border, int64_t ties, const int32_t (&keys)[kItems], const float (&v)[kItems],
                            const int32_t (&columns)[kItems], S totals) {
  uint32_t mine = 0, all = 0;
  KITH_UNROLL
  for (int i = 0; i < kItems; i++) {
    if (keys[i] == kNone) continue;
    mine += keys[i] > border ? 1u : keys[i] == border ? 1u << 16 : 0u;
  }
  const uint32_t before = sum_before(mine, totals, &all);
  int64_t above = before & 0xffffu, equal = before >> 16;
  KITH_UNROLL
  for (int i = 0; i < kItems; i++) {
    if (keys[i] == kNone || keys[i] < border) continue;
    const int64_t at = place + above + smaller(equal, ties);
    if (keys[i] > border) {
      above++;
    } else if (equal++ >= ties) {
      continue;
    }
    if (at >= limit) continue;
    message[at] = columns[i];
    message[at + s.entries] = word_of(v[i]);
    if (s.residual != nullptr) s.residual[row * s.residual_stride + columns[i]] = v[i] - v[i];
  }
}

/* ---- short blocks of columns ---------------------------------------------------------------------------------------- */

KITH_KERNEL(kThreads)
void top_small(Select s) {
  KITH_SHARED(uint32_t, digits, kDigits);
  KITH_SHARED(uint32_t, found, 2);
  KITH_SHARED(uint32_t, totals, kThreads / kWarp);
  for (int64_t segment = blockIdx.x; segment < s.segments; segment += gridDim.x) {
    const Part part = part_of(s, segment);
    const int64_t n = part.cols - first_item();
    const int64_t column = part.first + first_item();
    float v[kItems] = {};
    int32_t keys[kItems], columns[kItems];
    if (n > 0 && form_items(s, part.row, column, n, v)) raise(s.flags, part.row, 1);
    keys_of(v, n, keys);
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) columns[i] = static_cast<int32_t>(column) + i;
    if (part.wanted == 0) continue;
    int64_t ties = 0;
    const int32_t border = kth_key(keys, part.wanted, digits, found, &ties);
    emit_items(s, part.row, part.message, 0, part.wanted, border, ties, keys, v, columns, totals);
  }
}

/* ---- long blocks of columns ----------------------------------------------------------------------------------------- */

KITH_KERNEL(kThreads)
void bound(Large large) {
  KITH_SHARED(uint32_t, digits, kDigits);
  KITH_SHARED(uint32_t, found, 2);
  const Select& s = large.select;
  for (int64_t segment = blockIdx.x; segment < s.segments; segment += gridDim.x) {
    const Part part = part_of(s, segment);
    Segment state = {part.wanted, 0, 0, 0u, 0u};
    if (s.thresholds != nullptr) {
      const int32_t key = key_from(s.thresholds[part.row]);
      state.least = key < kInfinityKey ? key : kInfinityKey;
      state.border = key - 1;
    } else {
      for (int b = static_cast<int>(threadIdx.x); b < kBins; b += kThreads) large.bins[segment * kBins + b] = 0u;
      if (large.rank > 0 && part.cols >= 2 * kChunk) {
        // A run of items begins at a scattered place of each of as many equal parts.
        const int64_t width = part.cols / kThreads;
        const uint64_t scattered = static_cast<uint64_t>(threadIdx.x) * 0x9e3779b97f4a7c15ull >> 33;
        const int64_t column = part.first + static_cast<int64_t>(threadIdx.x) * width +
                               static_cast<int64_t>(scattered % static_cast<uint64_t>(width - kItems + 1));
        float v[kItems], residual[kItems];
        read_items(s.x + part.row * s.x_stride + column, kItems, v);
        if (s.minus != nullptr) {
          read_items(s.minus + part.row * s.minus_stride + column, kItems, residual);
          KITH_UNROLL
          for (int i = 0; i < kItems; i++) v[i] = v[i] - residual[i];
        }
        if (s.residual != nullptr) {
          read_items(s.residual + part.row * s.residual_stride + column, kItems, residual);
          KITH_UNROLL
          for (int i = 0; i < kItems; i++) v[i] = residual[i] + v[i];
        }
        int32_t keys[kItems];
        keys_of(v, kItems, keys);
        int64_t ties = 0;
        const int32_t key = kth_key(keys, large.rank, digits, found, &ties);
        // Zeros are not worth a list.
        state.least = key < 1 ? 1 : key < kInfinityKey ? key : kInfinityKey;
      }
    }
    if (threadIdx.x == 0) large.segments[segment] = state;
  }
}

KITH_KERNEL(kThreads)
void list(Large large) {
  KITH_SHARED(uint32_t, totals, kThreads / kWarp);
  const Select& s = large.select;
  const int64_t units = s.segments * large.chunks;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const int64_t segment = unit / large.chunks;
    const int64_t first = (unit - segment * large.chunks) * kChunk;
    const Part part = part_of(s, segment);
    if (first >= part.cols) continue;
    const int64_t n = part.cols - first - first_item();
    const int64_t column = part.first + first + first_item();
    float v[kItems] = {};
    if (n > 0 && form_items(s, part.row, column, n, v)) raise(s.flags, part.row, 1);
    const int32_t least = large.segments[segment].least;
    int32_t keys[kItems];
    keys_of(v, n, keys);
    uint32_t mine = 0, all = 0;
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) mine += keys[i] >= least ? 1u : 0u;
    int64_t at = sum_before(mine, totals, &all);
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) {
      if (keys[i] < least) continue;
      if (at < large.capacity) {
        large.columns[unit * large.capacity + at] = static_cast<int32_t>(column) + i;
        large.values[unit * large.capacity + at] = v[i];
      }
      at++;
    }
    if (threadIdx.x == 0) {
      large.chunk[unit] = Chunk{0, static_cast<int32_t>(all), 0, 0, 0};
      if (s.thresholds == nullptr) atomicAdd(&large.segments[segment].total, all);
    }
  }
}

/* The elements of a chunk that may be sent, in the order of their columns. */
KITH_DEVICE void load_chunk(const Large& large, int64_t unit, const Part& part, float (&v)[kItems],
                            int32_t (&keys)[kItems], int32_t (&columns)[kItems]) {
  const Select& s = large.select;
  const int64_t segment = unit / large.chunks;
  const int64_t listed = large.chunk[unit].listed;
  const bool missed = s.thresholds == nullptr && large.segments[segment].total < part.wanted;
  int64_t n;
  KITH_UNROLL
  for (int i = 0; i < kItems; i++) v[i] = 0;
  if (listed > large.capacity || missed) {
    const int64_t first = (unit - segment * large.chunks) * kChunk;
    const int64_t column = part.first + first + first_item();
    n = part.cols - first - first_item();
    if (n > 0) formed_items(s, part.row, column, n, v);
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) columns[i] = static_cast<int32_t>(column) + i;
  } else {
    n = listed - first_item();
    const int64_t at = unit * large.capacity + first_item();
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) {
      columns[i] = i < n ? large.columns[at + i] : 0;
      if (i < n) v[i] = large.values[at + i];
    }
  }
  keys_of(v, n, keys);
}

KITH_KERNEL(kThreads)
void histogram(Large large) {
  KITH_SHARED(uint32_t, own, kBins);
  const Select& s = large.select;
  const int above = large.level == 0 ? 31 : large.level == 1 ? 20 : 10;
  const int shift = large.level == 0 ? 20 : large.level == 1 ? 10 : 0;
  const uint32_t mask = (1u << (above - shift)) - 1u;
  const int64_t units = s.segments * large.groups;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const int64_t segment = unit / large.groups;
    const int64_t first = (unit - segment * large.groups) * kGroupChunks;
    const Part part = part_of(s, segment);
    const int64_t end = smaller(first + kGroupChunks, (part.cols + kChunk - 1) / kChunk);
    for (int b = static_cast<int>(threadIdx.x); b < kBins; b += kThreads) own[b] = 0u;
    __syncthreads();
    const uint32_t prefix = large.segments[segment].prefix;
    for (int64_t c = first; c < end; c++) {
      float v[kItems];
      int32_t keys[kItems], columns[kItems];
      load_chunk(large, segment * large.chunks + c, part, v, keys, columns);
      KITH_UNROLL
      for (int i = 0; i < kItems; i++) {
        const uint32_t key = static_cast<uint32_t>(keys[i]);
        if (keys[i] >= 0 && key >> above == prefix) atomicAdd(&own[(key >> shift) & mask], 1u);
      }
    }
    __syncthreads();
    for (int b = static_cast<int>(threadIdx.x); b < kBins; b += kThreads) {
      const uint32_t count = own[b];
      if (count != 0) atomicAdd(large.bins + segment * kBins + b, count);
    }
    __syncthreads();
  }
}

KITH_KERNEL(kThreads)
void border(Large large) {
  KITH_SHARED(uint32_t, totals, kThreads / kWarp);
  constexpr int kEach = kBins / kThreads;
  const int width = large.level == 0 ? 11 : 10;
  for (int64_t segment = blockIdx.x; segment < large.select.segments; segment += gridDim.x) {
    // Thread 0 has the largest keys.
    uint32_t* const bins = large.bins + segment * kBins;
    const int top = kBins - 1 - static_cast<int>(threadIdx.x) * kEach;
    uint32_t own[kEach], mine = 0, all = 0;
    KITH_UNROLL
    for (int b = 0; b < kEach; b++) {
      own[b] = bins[top - b];
      mine += own[b];
      bins[top - b] = 0u;
    }
    const int64_t need = large.segments[segment].need;
    const uint32_t prefix = large.segments[segment].prefix;
    const int64_t before = sum_before(mine, totals, &all);
    if (before < need && need <= before + mine) {
      int64_t left = need - before;
      int bin = top;
      bool open = true;
      KITH_UNROLL
      for (int b = 0; b < kEach; b++) {
        if (!open) continue;
        bin = top - b;
        open = own[b] < left;
        if (open) left -= own[b];
      }
      large.segments[segment].need = left;
      large.segments[segment].prefix = prefix << width | static_cast<uint32_t>(bin);
      large.segments[segment].border = static_cast<int32_t>(prefix << width | static_cast<uint32_t>(bin));
    }
  }
}

KITH_KERNEL(kThreads)
void count(Large large) {
  KITH_SHARED(uint32_t, totals, kThreads / kWarp);
  const Select& s = large.select;
  const int64_t units = s.segments * large.chunks;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const int64_t segment = unit / large.chunks;
    const Part part = part_of(s, segment);
    if ((unit - segment * large.chunks) * kChunk >= part.cols) continue;
    float v[kItems];
    int32_t keys[kItems], columns[kItems];
    load_chunk(large, unit, part, v, keys, columns);
    const int32_t limit = large.segments[segment].border;
    uint32_t mine = 0, all = 0;
    KITH_UNROLL
    for (int i = 0; i < kItems; i++) {
      if (keys[i] != kNone) mine += keys[i] > limit ? 1u : keys[i] == limit ? 1u << 16 : 0u;
    }
    sum_before(mine, totals, &all);
    if (threadIdx.x == 0) {
      large.chunk[unit].above = static_cast<int32_t>(all & 0xffffu);
      large.chunk[unit].equal = static_cast<int32_t>(all >> 16);
    }
  }
}

KITH_KERNEL(kThreads)
void place(Large large) {
  KITH_SHARED(uint32_t, totals, kThreads / kWarp);
  const Select& s = large.select;
  for (int64_t segment = blockIdx.x; segment < s.segments; segment += gridDim.x) {
    const Part part = part_of(s, segment);
    const int64_t chunks = (part.cols + kChunk - 1) / kChunk;
    const int64_t ties = s.thresholds == nullptr ? large.segments[segment].need : 0;
    int64_t above = 0, equal = 0;
    for (int64_t base = 0; base < chunks; base += kThreads) {
      const int64_t c = base + threadIdx.x;
      Chunk* const chunk = large.chunk + segment * large.chunks + c;
      const uint32_t mine_above = c < chunks ? static_cast<uint32_t>(chunk->above) : 0u;
      const uint32_t mine_equal = c < chunks ? static_cast<uint32_t>(chunk->equal) : 0u;
      uint32_t all_above = 0, all_equal = 0;
      const int64_t above_before = above + sum_before(mine_above, totals, &all_above);
      const int64_t equal_before = equal + sum_before(mine_equal, totals, &all_equal);
      if (c < chunks) {
        const int64_t sent_before = smaller(equal_before, ties);
        chunk->place = above_before + sent_before;
        chunk->ties = static_cast<int32_t>(smaller(mine_equal, ties - sent_before));
      }
      above += all_above;
      equal += all_equal;
    }
    if (s.thresholds == nullptr) continue;
    const int64_t used = smaller(above, s.k);
    if (threadIdx.x == 0) {
      part.message[-1] = static_cast<int32_t>(used);
      if (above > s.k) raise(s.flags, part.row, 4);
    }
    for (int64_t i = used + threadIdx.x; i < s.k; i += kThreads) {
      part.message[i] = 0;
      part.message[i + s.entries] = 0;
    }
  }
}

KITH_KERNEL(kThreads)
void emit(Large large) {
  KITH_SHARED(uint32_t, totals, kThreads / kWarp);
  const Select& s = large.select;
  const int64_t units = s.segments * large.chunks;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const int64_t segment = unit / large.chunks;
    const Part part = part_of(s, segment);
    if ((unit - segment * large.chunks) * kChunk >= part.cols) continue;
    float v[kItems];
    int32_t keys[kItems], columns[kItems];
    load_chunk(large, unit, part, v, keys, columns);
    const Chunk chunk = large.chunk[unit];
    emit_items(s, part.row, part.message, chunk.place, part.wanted, large.segments[segment].border, chunk.ties, keys, v,
               columns, totals);
  }
}

/* ---- v alone, and known columns ------------------------------------------------------------------------------------- */

KITH_KERNEL(kThreads)
void form(Select s, int64_t rows) {
  const int64_t across = (s.cols + kItems - 1) / kItems;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * across; i += step) {
    const int64_t row = i / across;
    const int64_t column = (i - row * across) * kItems;
    float v[kItems];
    if (form_items(s, row, column, s.cols - column, v)) raise(s.flags, row, 1);
  }
}

struct Pick {
  Select select;
  const int32_t* indices;
  int64_t index_stride; /* 0: one row for all */
  int64_t rows;
  int64_t entries;
  float scale;
  int32_t reserved;
  FaultTicket faults;
};

/* Whether entry i of ascending columns fits. */
KITH_DEVICE bool fits(const int32_t* columns, int64_t i, int64_t cols) {
  const int32_t column = columns[i];
  return column >= 0 && column < cols && (i == 0 || columns[i - 1] < column);
}

KITH_KERNEL(kThreads)
void pick(Pick job) {
  const Select& s = job.select;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; at < job.rows * job.entries;
       at += step) {
    const int64_t row = at / job.entries;
    const int64_t i = at - row * job.entries;
    const int32_t* const columns = job.indices + row * job.index_stride;
    if (!fits(columns, i, s.cols)) {
      report(job.faults, at, columns[i]);
      continue;
    }
    float v;
    if (s.residual != nullptr) {
      v = s.residual[row * s.residual_stride + columns[i]];
    } else {
      v = s.x[row * s.x_stride + columns[i]];
      if (s.minus != nullptr) v = v - s.minus[row * s.minus_stride + columns[i]];
    }
    const float sent = job.scale * v;
    s.messages[row * s.message_stride + i] = word_of(sent);
    if (s.residual != nullptr) s.residual[row * s.residual_stride + columns[i]] = v - sent;
  }
}

/* ---- sums of messages ----------------------------------------------------------------------------------------------- */

/* Strides in elements; a stride of 0 is one row for all. */
struct SumJob {
  float* y;
  const int32_t* messages;
  const int32_t* halo;
  const int32_t* indices;
  const int32_t* halo_indices;
  const int64_t* offsets; /* NULL: the identity */
  const Weight<float>* links;
  const int32_t* output_rows;
  const int32_t* used;
  int64_t y_stride;
  int64_t message_stride;
  int64_t halo_stride;
  int64_t index_stride;
  int64_t halo_index_stride;
  int64_t message_rows;
  int64_t rows; /* of W */
  int64_t cols;
  int64_t entries;
  int64_t lists; /* to be checked */
  int32_t form;
  int32_t add;
  FaultTicket faults;
};

KITH_DEVICE const int32_t* message_of(const SumJob& job, int64_t j) {
  return j < job.message_rows ? job.messages + j * job.message_stride
                              : job.halo + (j - job.message_rows) * job.halo_stride;
}

KITH_DEVICE const int32_t* columns_of(const SumJob& job, int64_t j, const int32_t* words) {
  if (job.form != KITH_SPARSE_AT) return words + (job.form == KITH_SPARSE_ABOVE ? 1 : 0);
  return j < job.message_rows ? job.indices + j * job.index_stride
                              : job.halo_indices + (j - job.message_rows) * job.halo_index_stride;
}

KITH_DEVICE int64_t count_of(const SumJob& job, const int32_t* words) {
  if (job.form != KITH_SPARSE_ABOVE) return job.entries;
  return words[0] < 0 || words[0] > job.entries ? 0 : words[0];
}

/* Says which entries of the messages that W names, or of their columns, do not fit. */
KITH_KERNEL(kThreads)
void check(SumJob job) {
  // Empty messages have a count to look at too.
  const int64_t each = job.entries > 0 ? job.entries : 1;
  const int64_t first = job.form == KITH_SPARSE_ABOVE ? 1 : 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; at < job.lists * each; at += step) {
    const int64_t list = at / each;
    const int64_t i = at - list * each;
    const int64_t j = job.used == nullptr ? list : job.used[list];
    const int32_t* const words = message_of(job, j);
    if (first == 1 && i == 0 && (words[0] < 0 || words[0] > job.entries)) {
      report(job.faults, j * job.faults.width, words[0]);
    }
    if (i >= count_of(job, words)) continue;
    const int32_t* const columns = columns_of(job, j, words);
    if (!fits(columns, i, job.cols)) report(job.faults, j * job.faults.width + first + i, columns[i]);
  }
}

/* The first of n ascending columns that is not below `column`. */
KITH_DEVICE int64_t first_from(const int32_t* columns, int64_t n, int64_t column) {
  int64_t low = 0;
  while (n > 0) {
    const int64_t half = n / 2;
    if (columns[low + half] < column) {
      low += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return low;
}

/* a = fma(weight, value, a) where an entry is, or a + value; what does not fit this slab is passed over. */
template <bool kPlain>
KITH_DEVICE void add_message(const SumJob& job, int64_t j, float weight, int64_t begin, int64_t end, float* y) {
  const int32_t* const words = message_of(job, j);
  const int64_t count = count_of(job, words);
  const int32_t* const columns = columns_of(job, j, words);
  const int32_t* const values = job.form == KITH_SPARSE_AT ? words : columns + job.entries;
  const int64_t from = begin == 0 ? 0 : first_from(columns, count, begin);
  const int64_t to = end == job.cols ? count : from + first_from(columns + from, count - from, end);
  for (int64_t i = from + threadIdx.x; i < to; i += kThreads) {
    const int32_t column = columns[i];
    if (column < begin || column >= end || !fits(columns, i, job.cols)) continue;
    const float value = __uint_as_float(static_cast<uint32_t>(values[i]));
    y[column] = kPlain ? y[column] + value : fused(weight, value, y[column]);
  }
  __syncthreads();
}

KITH_KERNEL(kThreads)
void sum(SumJob job) {
  const int64_t across = (job.cols + kSlab - 1) / kSlab;
  for (int64_t unit = blockIdx.x; unit < job.rows * across; unit += gridDim.x) {
    const int64_t row = unit / across;
    const int64_t begin = (unit - row * across) * kSlab;
    const int64_t end = smaller(begin + kSlab, job.cols);
    float* const y = job.y + (job.output_rows == nullptr ? row : job.output_rows[row]) * job.y_stride;
    if (job.add == 0) {
      for (int64_t c = begin + threadIdx.x; c < end; c += kThreads) y[c] = 0.0f;
      __syncthreads();
    }
    if (job.offsets == nullptr) {
      add_message<true>(job, row, 1.0f, begin, end, y);
      continue;
    }
    for (int64_t e = job.offsets[row]; e < job.offsets[row + 1]; e++) {
      const Weight<float> link = job.links[e];
      const int64_t j = job.used == nullptr ? link.slot : job.used[link.slot];
      add_message<false>(job, j, link.value, begin, end, y);
    }
  }
}

/* ---- a threshold from a sample -------------------------------------------------------------------------------------- */

struct Sample {
  Select select; /* what v is made of */
  double* thresholds;
  int32_t* keys; /* samples per row */
  int64_t k;
  int64_t samples;
  int64_t rows;
  int64_t round;
  int64_t first_node;
  uint32_t key0;
  uint32_t key1;
  int32_t stream;
  int32_t reserved;
};

KITH_KERNEL(kThreads)
void sample(Sample job) {
  const Select& s = job.select;
  const int64_t quads = (job.samples + 3) / 4;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; at < job.rows * quads; at += step) {
    const int64_t row = at / quads;
    const int64_t quad = at - row * quads;
    const PhiloxWords words =
        philox(job.key0, job.key1, static_cast<uint32_t>(job.first_node + row), job.round, job.stream, quad);
    KITH_UNROLL
    for (int l = 0; l < 4; l++) {
      const int64_t i = 4 * quad + l;
      if (i >= job.samples) continue;
      const int64_t first = i * s.cols / job.samples;
      const int64_t width = (i + 1) * s.cols / job.samples - first;
      const int64_t column = first + static_cast<int64_t>(words.v[l] * static_cast<uint64_t>(width) >> 32);
      float v = s.x[row * s.x_stride + column];
      if (s.minus != nullptr) v = v - s.minus[row * s.minus_stride + column];
      if (s.residual != nullptr) v = s.residual[row * s.residual_stride + column] + v;
      job.keys[row * job.samples + i] = key_of(v);
    }
  }
}

KITH_KERNEL(kThreads)
void threshold(Sample job) {
  KITH_SHARED(uint32_t, digits, kDigits);
  KITH_SHARED(uint32_t, found, 2);
  for (int64_t row = blockIdx.x; row < job.rows; row += gridDim.x) {
    const int32_t* const keys = job.keys + row * job.samples;
    Search search = search_of(job.k);
    while (search.above > 0) {
      clear_digits(digits);
      for (int64_t i = threadIdx.x; i < job.samples; i += blockDim.x) count_digit(search, keys[i], digits);
      settle_digit(search, digits, found);
    }
    // Zeros are not worth sending. A NaN has the bits that it has on the CPU.
    if (threadIdx.x == 0) {
      const uint32_t key = search.prefix < 1u ? 1u : search.prefix;
      job.thresholds[row] = key == static_cast<uint32_t>(kNanKey) ? __longlong_as_double(0x7ff8000000000000ll)
                                                                  : static_cast<double>(__uint_as_float(key));
    }
  }
}

/* ---- launches ------------------------------------------------------------------------------------------------------- */

int64_t rounded_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }

Select select_of(const SelectOperands& o, int64_t k) {
  Select s = {};
  s.x = reinterpret_cast<const float*>(o.x.data);
  s.minus = reinterpret_cast<const float*>(o.minus.data);
  s.residual = reinterpret_cast<float*>(o.residual.data);
  s.messages = reinterpret_cast<int32_t*>(o.messages.data);
  s.flags = reinterpret_cast<int32_t*>(o.flags.data);
  s.x_stride = o.x.stride;
  s.minus_stride = o.minus.stride;
  s.residual_stride = o.residual.stride;
  s.message_stride = o.messages.stride;
  s.cols = o.x.cols;
  s.block = o.block;
  s.across = cut_into(o.x.cols > 0 ? o.x.cols : 1, o.block > 0 ? o.block : 1);
  s.segments = o.x.rows * s.across;
  s.k = k;
  return s;
}

bool launch_form(Entry& entry, const Select& s, int64_t rows) {
  if (s.residual == nullptr && s.flags == nullptr) return true;
  const unsigned blocks = entry.grid(cut_into(rows * cut_into(s.cols, kItems), kThreads), kPerMultiprocessor);
  return entry.launched(KITH_LAUNCH(form, blocks, kThreads, 0, entry.stream(), s, rows));
}

bool launch_small(Entry& entry, const Select& s) {
  // As many whole warps as the items of a block of columns take.
  const unsigned threads = static_cast<unsigned>(rounded_up(cut_into(s.block, kItems), kWarp));
  const unsigned blocks = entry.grid(s.segments, kPerMultiprocessor * static_cast<int>(kThreads / threads));
  return entry.launched(KITH_LAUNCH(top_small, blocks, threads, 0, entry.stream(), s));
}

bool launch_large(Entry& entry, const Select& s) {
  Large large = {};
  large.select = s;
  large.chunks = cut_into(s.block, kChunk);
  large.groups = cut_into(large.chunks, kGroupChunks);
  int64_t expected = 0;
  if (s.thresholds != nullptr) {
    expected = s.k / large.chunks;
  } else {
    // k of a block, as many of the sample; six standard deviations more, so that almost never too few are listed.
    const double mean = static_cast<double>(kChunk) * static_cast<double>(s.k) / static_cast<double>(s.block);
    int64_t root = 0;
    while (static_cast<double>(root * root) < mean) root++;
    large.rank = static_cast<int64_t>(mean) + 1 + 6 * root + kItems;
    if (3 * large.rank > kChunk) large.rank = 0;
    expected = large.rank;
  }
  // Room for four times what an even spread gives. Without a bound no list is made.
  large.capacity = rounded_up(4 * expected + 64, 16);
  if (large.capacity > kChunk) large.capacity = kChunk;
  if (s.thresholds == nullptr && large.rank == 0) large.capacity = 0;
  const int64_t units = s.segments * large.chunks;
  const int64_t segment_bytes = rounded_up(s.segments * static_cast<int64_t>(sizeof(Segment)), 256);
  const int64_t bin_bytes = s.thresholds == nullptr ? s.segments * kBins * 4 : 0;
  const int64_t chunk_bytes = rounded_up(units * static_cast<int64_t>(sizeof(Chunk)), 256);
  const int64_t list_bytes = units * large.capacity * 4;
  unsigned char* scratch =
      static_cast<unsigned char*>(entry.scratch(segment_bytes + bin_bytes + chunk_bytes + 2 * list_bytes));
  if (scratch == nullptr) return false;
  large.segments = reinterpret_cast<Segment*>(scratch);
  large.bins = reinterpret_cast<uint32_t*>(scratch + segment_bytes);
  large.chunk = reinterpret_cast<Chunk*>(scratch + segment_bytes + bin_bytes);
  large.columns = reinterpret_cast<int32_t*>(scratch + segment_bytes + bin_bytes + chunk_bytes);
  large.values = reinterpret_cast<float*>(scratch + segment_bytes + bin_bytes + chunk_bytes + list_bytes);
  const unsigned by_segment = entry.grid(s.segments, kPerMultiprocessor);
  const unsigned by_chunk = entry.grid(units, kPerMultiprocessor);
  const unsigned by_group = entry.grid(s.segments * large.groups, kPerMultiprocessor);
  const cudaStream_t stream = entry.stream();
  if (!entry.launched(KITH_LAUNCH(bound, by_segment, kThreads, 0, stream, large)) ||
      !entry.launched(KITH_LAUNCH(list, by_chunk, kThreads, 0, stream, large))) {
    return false;
  }
  for (large.level = 0; s.thresholds == nullptr && large.level < 3; large.level++) {
    if (!entry.launched(KITH_LAUNCH(histogram, by_group, kThreads, 0, stream, large)) ||
        !entry.launched(KITH_LAUNCH(border, by_segment, kThreads, 0, stream, large))) {
      return false;
    }
  }
  return entry.launched(KITH_LAUNCH(count, by_chunk, kThreads, 0, stream, large)) &&
         entry.launched(KITH_LAUNCH(place, by_segment, kThreads, 0, stream, large)) &&
         entry.launched(KITH_LAUNCH(emit, by_chunk, kThreads, 0, stream, large));
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_select_top(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                            const kith_matrix* residual, int64_t k, int64_t block, const kith_matrix* messages,
                            const kith_matrix* flags, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_select_top");
  SelectOperands operands;
  if (!check_select_top(entry, x, minus, residual, k, block, messages, flags, &operands)) return entry.status();
  if (operands.x.rows == 0 || operands.x.cols == 0) return entry.finish();
  Select s = select_of(operands, k);
  s.entries = top_entries(operands.x.cols, k, operands.block);
  if (k == 0) {
    launch_form(entry, s, operands.x.rows);
  } else if (s.block <= kChunk) {
    launch_small(entry, s);
  } else {
    launch_large(entry, s);
  }
  return entry.finish();
}

kith_status kith_select_at(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                           const kith_matrix* residual, const kith_matrix* indices, double scale,
                           const kith_matrix* messages, const kith_matrix* flags, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_select_at");
  SelectOperands operands;
  if (!check_select_at(entry, x, minus, residual, indices, messages, flags, &operands)) return entry.status();
  const int64_t rows = operands.x.rows, entries = operands.indices.cols;
  if (rows == 0 || operands.x.cols == 0) return entry.finish();
  const Select s = select_of(operands, entries);
  if (!launch_form(entry, s, rows) || entries == 0) return entry.finish();
  Pick job = {};
  job.select = s;
  job.indices = reinterpret_cast<const int32_t*>(operands.indices.data);
  job.index_stride = operands.indices.rows == 1 ? 0 : operands.indices.stride;
  job.rows = rows;
  job.entries = entries;
  job.scale = static_cast<float>(scale);
  job.faults = entry.faults(FaultKind::kColumn, operands.x.cols, entries);
  if (!entry.ok()) return entry.status();
  const unsigned blocks = entry.grid(cut_into(rows * entries, kThreads), kPerMultiprocessor);
  entry.launched(KITH_LAUNCH(pick, blocks, kThreads, 0, entry.stream(), job));
  return entry.finish();
}

kith_status kith_select_above(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                              const kith_matrix* residual, const kith_matrix* thresholds, int64_t capacity,
                              const kith_matrix* messages, const kith_matrix* flags, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_select_above");
  SelectOperands operands;
  if (!check_select_above(entry, x, minus, residual, thresholds, capacity, messages, flags, &operands)) {
    return entry.status();
  }
  if (operands.x.rows == 0) return entry.finish();
  Select s = select_of(operands, capacity);
  s.thresholds = reinterpret_cast<const double*>(operands.thresholds.data);
  s.entries = capacity;
  launch_large(entry, s);
  return entry.finish();
}

kith_status kith_sample_thresholds(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                                   const kith_matrix* residual, const kith_draw* draw, int64_t k, int64_t samples,
                                   const kith_matrix* thresholds, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_sample_thresholds");
  SelectOperands operands;
  Draw numbers;
  if (!check_sample_thresholds(entry, x, minus, residual, draw, k, samples, thresholds, &operands, &numbers)) {
    return entry.status();
  }
  const int64_t rows = operands.x.rows;
  if (rows == 0) return entry.finish();
  Sample job = {};
  job.select = select_of(operands, k);
  job.thresholds = reinterpret_cast<double*>(operands.thresholds.data);
  job.k = k;
  job.samples = samples;
  job.rows = rows;
  job.round = numbers.round;
  job.first_node = numbers.first_node;
  job.key0 = numbers.key0;
  job.key1 = numbers.key1;
  job.stream = numbers.stream;
  job.keys = static_cast<int32_t*>(entry.scratch(rows * samples * 4));
  if (job.keys == nullptr) return entry.status();
  const unsigned by_sample = entry.grid(cut_into(rows * cut_into(samples, 4), kThreads), kPerMultiprocessor);
  const unsigned by_row = entry.grid(rows, kPerMultiprocessor);
  if (entry.launched(KITH_LAUNCH(sample, by_sample, kThreads, 0, entry.stream(), job))) {
    entry.launched(KITH_LAUNCH(threshold, by_row, kThreads, 0, entry.stream(), job));
  }
  return entry.finish();
}

kith_status kith_sparse_accumulate(kith_queue* queue, const kith_weights* weights, int32_t form, int64_t entries,
                                   const kith_matrix* indices, const kith_matrix* halo_indices,
                                   const kith_matrix* messages, const kith_matrix* halo, int32_t add,
                                   const kith_matrix* y, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_sparse_accumulate");
  if (!entry.ok()) return entry.status();
  const CudaWeights* const w = static_cast<const CudaWeights*>(weights);
  AccumulateOperands o;
  if (!check_sparse_accumulate(entry, weights, w != nullptr && w->dense, form, entries, indices, halo_indices, messages,
                               halo, add, y, &o)) {
    return entry.status();
  }
  SumJob job = {};
  job.y = reinterpret_cast<float*>(o.y.data);
  job.messages = reinterpret_cast<const int32_t*>(o.messages.data);
  job.halo = reinterpret_cast<const int32_t*>(o.halo.data);
  job.indices = reinterpret_cast<const int32_t*>(o.indices.data);
  const Matrix& far = o.halo_indices.data != nullptr ? o.halo_indices : o.indices;
  job.halo_indices = reinterpret_cast<const int32_t*>(far.data);
  job.y_stride = o.y.stride;
  job.message_stride = o.messages.stride;
  job.halo_stride = o.halo.stride;
  job.index_stride = o.indices.rows == 1 ? 0 : o.indices.stride;
  job.halo_index_stride = far.rows == 1 ? 0 : far.stride;
  job.message_rows = o.messages.rows;
  job.rows = weights == nullptr ? o.y.rows : weights->rows;
  job.cols = o.y.cols;
  job.entries = entries;
  job.form = form;
  job.add = add;
  job.lists = o.messages.rows;
  if (weights != nullptr) {
    entry.use(w->memory);
    job.offsets = w->offsets;
    job.links = static_cast<const Weight<float>*>(w->links[0]);
    job.output_rows = w->output_rows;
    job.used = w->used;
    job.lists = w->used == nullptr ? weights->cols : w->used_count;
  }
  const int64_t words = form == KITH_SPARSE_TOP ? 2 * entries : form == KITH_SPARSE_AT ? entries : 1 + 2 * entries;
  job.faults = entry.faults(FaultKind::kColumn, job.cols, words > 0 ? words : 1);
  if (!entry.ok()) return entry.status();
  const int64_t each = entries > 0 ? entries : 1;
  if (job.lists > 0) {
    const unsigned blocks = entry.grid(cut_into(job.lists * each, kThreads), kPerMultiprocessor);
    if (!entry.launched(KITH_LAUNCH(check, blocks, kThreads, 0, entry.stream(), job))) return entry.status();
  }
  if (job.rows > 0 && job.cols > 0) {
    const unsigned blocks = entry.grid(job.rows * cut_into(job.cols, kSlab), kPerMultiprocessor);
    entry.launched(KITH_LAUNCH(sum, blocks, kThreads, 0, entry.stream(), job));
  }
  return entry.finish();
}

}  // extern "C"
