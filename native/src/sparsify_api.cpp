/*
 * sparsify: how the largest elements are found exactly in little more than one read of v.
 *
 * A block of at most kSelectChunk columns is selected in one go, in cache. A longer one in phases:
 *   bound    a sample of v gives a bound that slightly more than k elements reach, almost certainly
 *   list     one pass over v; what reaches the bound is listed, chunk by chunk
 *   border   radix select on the keys of the lists: three histograms, 11, 10 and 10 bits
 *   emit     chunks count what they send, the counts give each its place, and the entries are written in order
 * Nothing rests on the sample: a chunk whose list is full is read again instead of its list, and when fewer than k
 * elements reach the bound all chunks are. The result is the k largest whatever the bound was.
 */
#include <cstring>

#include "core.hpp"
#include "cpu_weights.hpp"
#include "dispatch.hpp"
#include "sparsify_checks.hpp"

namespace kith {

KITH_FAMILY(SparsifyKernels, sparsify)

namespace {

// Chunks that share one histogram on its way to that of the block.
constexpr int64_t kGroupChunks = 16;
constexpr int64_t kBins = 2048;
constexpr int64_t kRun = 16; /* columns of a cache line, sampled together */
constexpr int64_t kMostSamples = 65536;
constexpr int64_t kPassBlock = 65536;
constexpr int64_t kEntryBlock = 16384;
constexpr int64_t kSampleBlock = 4096; /* a multiple of the words of a block of the generator */
// Columns of y per block of a sum: half of a second-level cache, more where messages have few entries.
constexpr int64_t kSumColumns = 65536;
constexpr int64_t kMostSumColumns = 1 << 20;
constexpr int64_t kSumEntries = 4096;

int64_t rounded_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
T bits_as(uint32_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

int32_t key_of(uint32_t bits) {
  const int32_t magnitude = static_cast<int32_t>(bits & 0x7fffffffu);
  return magnitude > kInfinityKey ? kNanKey : magnitude;
}

// The key from which on elements are at or above a threshold: kNanKey for NaN.
int32_t threshold_key(double threshold) {
  if (threshold != threshold) return kNanKey;
  if (!(threshold > 0)) return 0;
  // The least f32 that is not below it.
  const float rounded = static_cast<float>(threshold);
  const int32_t key = static_cast<int32_t>(bits_of(rounded));
  return static_cast<double>(rounded) < threshold ? key + 1 : key;
}

// A value as a message holds it.
int32_t word_of(float value) {
  return static_cast<int32_t>(value != value ? static_cast<uint32_t>(kNanKey) : bits_of(value));
}

// Keeps the lowest.
void note_lowest(int64_t* lowest, int64_t value) {
  int64_t present = __atomic_load_n(lowest, __ATOMIC_RELAXED);
  while (value < present &&
         !__atomic_compare_exchange_n(lowest, &present, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

/* ---- v ------------------------------------------------------------------------------------------------------------- */

// The elements to select from, and where what is selected goes.
struct Source {
  Matrix x;
  Matrix minus;
  Matrix residual;
  Matrix messages;
  int32_t* flags; /* NULL: none */

  explicit Source(const SelectOperands& o)
      : x(o.x),
        minus(o.minus),
        residual(o.residual),
        messages(o.messages),
        flags(reinterpret_cast<int32_t*>(o.flags.data)) {}

  static float* at(const Matrix& m, int64_t row, int64_t column) {
    return m.data == nullptr ? nullptr : reinterpret_cast<float*>(m.row(row)) + column;
  }
  int32_t* message(int64_t row) const { return reinterpret_cast<int32_t*>(messages.row(row)); }
  // Before v is formed.
  SelectSpan span(int64_t row, int64_t column, int64_t n) const {
    return {at(x, row, column), at(minus, row, column), at(residual, row, column), n};
  }
  // Afterwards: the residual holds it.
  SelectSpan formed(int64_t row, int64_t column, int64_t n) const {
    if (residual.data != nullptr) return {at(residual, row, column), nullptr, nullptr, n};
    return {at(x, row, column), at(minus, row, column), nullptr, n};
  }
  float value(int64_t row, int64_t column) const {
    if (residual.data != nullptr) return *at(residual, row, column);
    const float v = *at(x, row, column);
    return minus.data == nullptr ? v : v - *at(minus, row, column);
  }
  void flag(int64_t row, int32_t bits) const {
    if (bits != 0 && flags != nullptr) __atomic_fetch_or(flags + row, bits, __ATOMIC_RELAXED);
  }
  // What was listed and is not sent comes back.
  void keep(int64_t row, int64_t column, float v) const {
    if (residual.data != nullptr) *at(residual, row, column) = v;
  }
  // What is sent whole leaves the residual.
  void leave(int64_t row, int64_t column, float v) const {
    if (residual.data != nullptr) *at(residual, row, column) = v - v;
  }
  // Writes the values of the columns that were chosen.
  void send(int64_t row, const int32_t* columns, int64_t n, int32_t* values) const {
    for (int64_t i = 0; i < n; i++) {
      const float v = value(row, columns[i]);
      values[i] = word_of(v);
      leave(row, columns[i], v);
    }
  }
  int64_t bytes() const { return x.bytes() + minus.bytes() + 2 * residual.bytes(); }
};

// Element l of v before it is formed, left as it is.
float unformed(const SelectSpan& span, int64_t l) {
  float v = span.x[l];
  if (span.minus != nullptr) v = v - span.minus[l];
  if (span.residual != nullptr) v = span.residual[l] + v;
  return v;
}

/* Forms v where nothing, or not all of it, is looked at otherwise. */
struct PassTask {
  const Source* source;
  int64_t across;
};

void pass_body(void* pointer, int64_t block, int32_t) {
  const PassTask& task = *static_cast<const PassTask*>(pointer);
  const int64_t row = block / task.across;
  const int64_t column = block % task.across * kPassBlock;
  const int64_t n = smaller(task.source->x.cols - column, kPassBlock);
  task.source->flag(row, sparsify().form(task.source->span(row, column, n), nullptr));
}

kith_status pass(Entry& entry, const Source& source) {
  if (source.residual.data == nullptr && source.flags == nullptr) return entry.status();
  PassTask task = {&source, cut_into(source.x.cols, kPassBlock)};
  return entry.phase(source.x.rows * task.across, source.bytes(), pass_body, &task);
}

/* ---- blocks that fit a chunk --------------------------------------------------------------------------------------- */

struct SmallTask {
  const Source* source;
  int64_t k;
  int64_t block;
  int64_t across;   /* blocks in a row */
  int64_t each;     /* blocks done together */
  int64_t segments; /* blocks in all */
  int64_t entries;
  int32_t* keys; /* kSelectChunk per worker */
};

void small_body(void* pointer, int64_t unit, int32_t worker) {
  const SmallTask& task = *static_cast<const SmallTask*>(pointer);
  const Source& source = *task.source;
  int32_t* const keys = task.keys + worker * kSelectChunk;
  const int64_t end = smaller((unit + 1) * task.each, task.segments);
  for (int64_t segment = unit * task.each; segment < end; segment++) {
    const int64_t row = segment / task.across;
    const int64_t part = segment % task.across;
    const int64_t column = part * task.block;
    const int64_t n = smaller(source.x.cols - column, task.block);
    const int64_t k = smaller(task.k, n);
    source.flag(row, sparsify().form(source.span(row, column, n), keys));
    if (k == 0) continue;
    int64_t above = 0;
    const int32_t border = sparsify().kth(keys, n, k, &above);
    int32_t* const columns = source.message(row) + part * task.k;
    sparsify().choose(keys, n, border, k - above, k, static_cast<int32_t>(column), columns);
    source.send(row, columns, k, columns + task.entries);
  }
}

/* ---- longer blocks ------------------------------------------------------------------------------------------------- */

struct Chunk {
  int64_t place;  /* of its first entry in its block's */
  int64_t above;  /* elements beyond the border */
  int64_t equal;  /* on it */
  int64_t ties;   /* of these are sent */
  int64_t listed; /* elements that reach the bound; more than the capacity: the list is of no use */
};

struct Segment {
  int64_t need; /* entries that the border's histogram has still to give */
  int32_t least;
  int32_t border;
  uint32_t prefix;
};

struct LargeTask {
  const Source* source;
  const double* thresholds; /* NULL: the k largest */
  int64_t k;                /* or the capacity */
  int64_t block;
  int64_t across;  /* blocks in a row */
  int64_t chunks;  /* in a block */
  int64_t groups;  /* of chunks */
  int64_t entries; /* of a row */
  int64_t samples;
  int64_t rank;     /* in the sample; 0: no bound */
  int64_t capacity; /* of a list */
  int level;
  Segment* segments;
  uint32_t* bins;
  Chunk* chunk;
  int32_t* columns; /* capacity per chunk */
  uint32_t* values;
  int32_t* keys; /* kMostSamples per worker */

  int64_t row(int64_t segment) const { return segment / across; }
  int64_t first(int64_t segment) const { return segment % across * block; }
  int64_t cols(int64_t segment) const { return smaller(source->x.cols - first(segment), block); }
  int64_t chunk_cols(int64_t segment, int64_t c) const {
    return smaller(cols(segment) - c * kSelectChunk, kSelectChunk);
  }
  int64_t wanted(int64_t segment) const { return smaller(k, cols(segment)); }
  int64_t chunks_of(int64_t segment) const { return cut_into(cols(segment), kSelectChunk); }
  int32_t* message(int64_t segment) const {
    return source->message(row(segment)) + (thresholds == nullptr ? segment % across * k : 1);
  }
};

void bound_body(void* pointer, int64_t s, int32_t worker) {
  const LargeTask& task = *static_cast<const LargeTask*>(pointer);
  const Source& source = *task.source;
  Segment& segment = task.segments[s];
  const int64_t row = task.row(s);
  if (task.thresholds != nullptr) {
    const int32_t key = threshold_key(task.thresholds[row]);
    segment.least = key < kInfinityKey ? key : kInfinityKey;
    segment.border = key - 1;
    return;
  }
  segment.need = task.wanted(s);
  segment.prefix = 0;
  std::memset(task.bins + s * kBins, 0, kBins * sizeof(uint32_t));
  segment.least = 0;
  const int64_t n = task.cols(s);
  if (task.rank == 0 || n < task.samples * 2) return;
  // A run begins at a scattered place of each of as many equal parts.
  int32_t* const keys = task.keys + worker * kMostSamples;
  const int64_t runs = task.samples / kRun;
  const int64_t part = n / runs;
  int64_t at = 0;
  for (int64_t i = 0; i < runs; i++) {
    const uint64_t scattered = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u >> 33;
    const int64_t column = i * part + static_cast<int64_t>(scattered % static_cast<uint64_t>(part - kRun + 1));
    const SelectSpan span = source.span(row, task.first(s) + column, kRun);
    for (int64_t l = 0; l < kRun; l++) keys[at++] = key_of(bits_of(unformed(span, l)));
  }
  int64_t above = 0;
  const int32_t key = sparsify().kth(keys, at, task.rank, &above);
  // Zeros are not worth a list.
  segment.least = key < 1 ? 1 : key < kInfinityKey ? key : kInfinityKey;
}

void list_body(void* pointer, int64_t unit, int32_t) {
  const LargeTask& task = *static_cast<const LargeTask*>(pointer);
  const int64_t s = unit / task.chunks;
  const int64_t c = unit % task.chunks;
  const int64_t n = task.chunk_cols(s, c);
  if (n <= 0) return;
  const int64_t row = task.row(s);
  const int64_t column = task.first(s) + c * kSelectChunk;
  Chunk& chunk = task.chunk[unit];
  int32_t bad = 0;
  chunk.listed =
      sparsify().list(task.source->span(row, column, n), task.segments[s].least, static_cast<int32_t>(column),
                      task.capacity, task.columns + unit * task.capacity, task.values + unit * task.capacity, &bad);
  task.source->flag(row, bad);
}

// When too few reached the bound, no list counts.
void total_body(void* pointer, int64_t s, int32_t) {
  const LargeTask& task = *static_cast<const LargeTask*>(pointer);
  Chunk* const chunk = task.chunk + s * task.chunks;
  const int64_t chunks = task.chunks_of(s);
  int64_t total = 0;
  for (int64_t c = 0; c < chunks; c++) total += chunk[c].listed;
  if (total >= task.segments[s].need) return;
  for (int64_t c = 0; c < chunks; c++) {
    const int64_t at = (s * task.chunks + c) * task.capacity;
    for (int64_t i = 0; i < chunk[c].listed && chunk[c].listed <= task.capacity; i++) {
      task.source->keep(task.row(s), task.columns[at + i], bits_as<float>(task.values[at + i]));
    }
    chunk[c].listed = task.capacity + 1;
  }
}

// Calls body(key) for the elements of a chunk that may be chosen, in the order of their columns.
template <class Body>
void each_key(const LargeTask& task, int64_t s, int64_t c, int32_t* keys, Body body) {
  const int64_t unit = s * task.chunks + c;
  const int64_t listed = task.chunk[unit].listed;
  if (listed <= task.capacity) {
    const uint32_t* const values = task.values + unit * task.capacity;
    for (int64_t i = 0; i < listed; i++) body(key_of(values[i]));
    return;
  }
  const int64_t n = task.chunk_cols(s, c);
  sparsify().form(task.source->formed(task.row(s), task.first(s) + c * kSelectChunk, n), keys);
  for (int64_t i = 0; i < n; i++) body(keys[i]);
}

template <class Body>
void each_chunk(const LargeTask& task, int64_t unit, Body body) {
  const int64_t s = unit / task.groups;
  const int64_t first = unit % task.groups * kGroupChunks;
  const int64_t end = smaller(first + kGroupChunks, task.chunks_of(s));
  for (int64_t c = first; c < end; c++) body(s, c);
}

constexpr int kPrefixShift[] = {31, 20, 10};
constexpr int kBinShift[] = {20, 10, 0};
constexpr uint32_t kLevelBins[] = {2048, 1024, 1024};

void histogram_body(void* pointer, int64_t unit, int32_t worker) {
  const LargeTask& task = *static_cast<const LargeTask*>(pointer);
  uint32_t own[kBins];
  const uint32_t bins = kLevelBins[task.level];
  const int prefix_shift = kPrefixShift[task.level], bin_shift = kBinShift[task.level];
  std::memset(own, 0, bins * sizeof(uint32_t));
  const int64_t s = unit / task.groups;
  const uint32_t prefix = task.segments[s].prefix;
  each_chunk(task, unit, [&](int64_t, int64_t c) {
    each_key(task, s, c, task.keys + worker * kMostSamples, [&](int32_t key) {
      const uint32_t k = static_cast<uint32_t>(key);
      if (k >> prefix_shift == prefix) own[(k >> bin_shift) & (bins - 1)]++;
    });
  });
  uint32_t* const all = task.bins + s * kBins;
  for (uint32_t b = 0; b < bins; b++) {
    if (own[b] != 0) __atomic_fetch_add(all + b, own[b], __ATOMIC_RELAXED);
  }
}

void border_body(void* pointer, int64_t s, int32_t) {
  const LargeTask& task = *static_cast<const LargeTask*>(pointer);
  Segment& segment = task.segments[s];
  uint32_t* const bins = task.bins + s * kBins;
  int64_t b = kLevelBins[task.level] - 1;
  for (; b > 0 && bins[b] < segment.need; b--) segment.need -= bins[b];
  segment.prefix = segment.prefix * kLevelBins[task.level] + static_cast<uint32_t>(b);
  std::memset(bins, 0, kBins * sizeof(uint32_t));
  segment.border = static_cast<int32_t>(segment.prefix);
}

void count_body(void* pointer, int64_t unit, int32_t worker) {
  const LargeTask& task = *static_cast<const LargeTask*>(pointer);
  each_chunk(task, unit, [&](int64_t s, int64_t c) {
    const int32_t border = task.segments[s].border;
    int64_t above = 0, equal = 0;
    each_key(task, s, c, task.keys + worker * kMostSamples, [&](int32_t key) {
      above += key > border ? 1 : 0;
      equal += key == border ? 1 : 0;
    });
    Chunk& chunk = task.chunk[s * task.chunks + c];
    chunk.above = above;
    chunk.equal = equal;
  });
}

void place_body(void* pointer, int64_t s, int32_t) {
  const LargeTask& task = *static_cast<const LargeTask*>(pointer);
  Chunk* const chunk = task.chunk + s * task.chunks;
  const int64_t chunks = task.chunks_of(s);
  int64_t place = 0, ties = task.thresholds == nullptr ? task.segments[s].need : 0;
  for (int64_t c = 0; c < chunks; c++) {
    chunk[c].place = place;
    chunk[c].ties = smaller(chunk[c].equal, ties);
    place += chunk[c].above + chunk[c].ties;
    ties -= chunk[c].ties;
  }
  if (task.thresholds == nullptr) return;
  const int64_t count = smaller(place, task.k);
  int32_t* const message = task.message(s);
  message[-1] = static_cast<int32_t>(count);
  const size_t unused = static_cast<size_t>(task.k - count) * sizeof(int32_t);
  std::memset(message + count, 0, unused);
  std::memset(message + task.k + count, 0, unused);
  if (place > task.k) task.source->flag(task.row(s), 4);
}

void emit_body(void* pointer, int64_t unit, int32_t worker) {
  const LargeTask& task = *static_cast<const LargeTask*>(pointer);
  const Source& source = *task.source;
  each_chunk(task, unit, [&](int64_t s, int64_t c) {
    const int64_t u = s * task.chunks + c;
    const Chunk& chunk = task.chunk[u];
    const int64_t row = task.row(s);
    const int64_t n = task.chunk_cols(s, c);
    const int64_t limit = smaller(chunk.above + chunk.ties, task.wanted(s) - chunk.place);
    const int32_t border = task.segments[s].border;
    int32_t* const columns = task.message(s) + chunk.place;
    int32_t* const values = columns + task.entries;
    if (chunk.listed > task.capacity) {
      if (limit <= 0) return;
      const int64_t column = task.first(s) + c * kSelectChunk;
      int32_t* const keys = task.keys + worker * kMostSamples;
      sparsify().form(source.formed(row, column, n), keys);
      sparsify().choose(keys, n, border, chunk.ties, limit, static_cast<int32_t>(column), columns);
      source.send(row, columns, limit, values);
      return;
    }
    const int32_t* const listed = task.columns + u * task.capacity;
    const uint32_t* const bits = task.values + u * task.capacity;
    int64_t ties = chunk.ties, at = 0;
    for (int64_t i = 0; i < chunk.listed; i++) {
      const int32_t key = key_of(bits[i]);
      const float v = bits_as<float>(bits[i]);
      if (at >= limit || key < border || (key == border && ties-- <= 0)) {
        source.keep(row, listed[i], v);
        continue;
      }
      columns[at] = listed[i];
      values[at++] = word_of(v);
    }
  });
}

// sqrt of a count, rounded up; the sample needs no more.
int64_t root_of(int64_t n) {
  int64_t root = 0;
  while (root * root < n) root++;
  return root;
}

kith_status select_large(Entry& entry, LargeTask& task) {
  const Source& source = *task.source;
  const int64_t segments = source.x.rows * task.across;
  task.chunks = cut_into(task.block, kSelectChunk);
  task.groups = cut_into(task.chunks, kGroupChunks);
  int64_t expected = kSelectChunk;
  if (task.thresholds != nullptr) {
    // No more are sent than there is room for.
    expected = task.k / task.chunks;
  } else {
    task.samples = smaller(kMostSamples, task.block / 64) / kRun * kRun;
    // k of a block, as many of the sample; six standard deviations more, so that almost never too few are listed.
    const int64_t mean = static_cast<int64_t>(static_cast<double>(task.samples) * static_cast<double>(task.k) /
                                              static_cast<double>(task.block)) +
                         1;
    task.rank = mean + 6 * root_of(mean) + kRun;
    if (task.rank * 3 > task.samples) task.rank = 0;
    if (task.rank > 0) expected = kSelectChunk * task.rank / task.samples;
  }
  // Room for four times what an even spread gives. Without a bound no list is made.
  task.capacity = smaller(rounded_up(4 * expected + 64, 16), kSelectChunk);
  if (task.thresholds == nullptr && task.rank == 0) task.capacity = 0;
  const int64_t units = segments * task.chunks;
  const int64_t segment_bytes = rounded_up(segments * static_cast<int64_t>(sizeof(Segment)), 64);
  const int64_t bin_bytes = task.thresholds == nullptr ? segments * kBins * 4 : 0;
  const int64_t chunk_bytes = rounded_up(units * static_cast<int64_t>(sizeof(Chunk)), 64);
  const int64_t list_bytes = units * task.capacity * 4;
  unsigned char* scratch = static_cast<unsigned char*>(
      entry.scratch(segment_bytes + bin_bytes + chunk_bytes + 2 * list_bytes + entry.workers() * kMostSamples * 4));
  if (scratch == nullptr) return entry.status();
  const auto take = [&scratch](int64_t bytes) {
    unsigned char* const part = scratch;
    scratch += bytes;
    return static_cast<void*>(part);
  };
  task.segments = static_cast<Segment*>(take(segment_bytes));
  task.bins = static_cast<uint32_t*>(take(bin_bytes));
  task.chunk = static_cast<Chunk*>(take(chunk_bytes));
  task.columns = static_cast<int32_t*>(take(list_bytes));
  task.values = static_cast<uint32_t*>(take(list_bytes));
  task.keys = static_cast<int32_t*>(take(0));

  const int64_t bytes = source.bytes();
  if (entry.phase(segments, bytes, bound_body, &task) != KITH_OK) return entry.status();
  if (entry.phase(units, bytes, list_body, &task) != KITH_OK) return entry.status();
  if (task.thresholds == nullptr) {
    if (entry.phase(segments, chunk_bytes, total_body, &task) != KITH_OK) return entry.status();
    for (task.level = 0; task.level < 3; task.level++) {
      if (entry.phase(segments * task.groups, bytes, histogram_body, &task) != KITH_OK) return entry.status();
      if (entry.phase(segments, bin_bytes, border_body, &task) != KITH_OK) return entry.status();
    }
  }
  if (entry.phase(segments * task.groups, bytes, count_body, &task) != KITH_OK) return entry.status();
  if (entry.phase(segments, chunk_bytes, place_body, &task) != KITH_OK) return entry.status();
  if (entry.phase(segments * task.groups, bytes, emit_body, &task) != KITH_OK) return entry.status();
  return entry.finish();
}

/* ---- a threshold from a sample ------------------------------------------------------------------------------------- */

struct SampleTask {
  const Source* source;
  const Draw* draw;
  double* thresholds;
  int64_t k;
  int64_t samples;
  int64_t across; /* blocks of samples in a row */
  int32_t* keys;  /* samples per row */
};

void sample_body(void* pointer, int64_t block, int32_t) {
  const SampleTask& task = *static_cast<const SampleTask*>(pointer);
  const Source& source = *task.source;
  const int64_t row = block / task.across;
  const int64_t begin = block % task.across * kSampleBlock;
  const int64_t end = smaller(begin + kSampleBlock, task.samples);
  const int64_t cols = source.x.cols;
  int32_t* const keys = task.keys + row * task.samples;
  uint32_t words[4] = {};
  for (int64_t i = begin; i < end; i++) {
    if (i % 4 == 0) draw_words(*task.draw, row, i / 4, words);
    const int64_t first = i * cols / task.samples;
    const int64_t width = (i + 1) * cols / task.samples - first;
    const int64_t column = first + static_cast<int64_t>(words[i % 4] * static_cast<uint64_t>(width) >> 32);
    keys[i] = key_of(bits_of(unformed(source.span(row, column, 1), 0)));
  }
}

void threshold_body(void* pointer, int64_t row, int32_t) {
  const SampleTask& task = *static_cast<const SampleTask*>(pointer);
  int64_t above = 0;
  const int32_t key = sparsify().kth(task.keys + row * task.samples, task.samples, task.k, &above);
  // Zeros are not worth sending.
  task.thresholds[row] = static_cast<double>(bits_as<float>(static_cast<uint32_t>(key < 1 ? 1 : key)));
}

/* ---- known columns ------------------------------------------------------------------------------------------------- */

struct AtTask {
  const Source* source;
  const Matrix* indices;
  float scale;
  int64_t across;
  int64_t* lowest; /* row << 32 | position of the lowest index that does not fit; INT64_MAX: all do */

  const int32_t* columns(int64_t row) const {
    return reinterpret_cast<const int32_t*>(indices->row(indices->rows == 1 ? 0 : row));
  }
};

void check_at_body(void* pointer, int64_t block, int32_t) {
  const AtTask& task = *static_cast<const AtTask*>(pointer);
  const int64_t row = block / task.across;
  const int64_t begin = block % task.across * kEntryBlock;
  const int64_t wrong =
      wrong_column(task.columns(row), begin, smaller(begin + kEntryBlock, task.indices->cols), task.source->x.cols);
  if (wrong >= 0) note_lowest(task.lowest, row << 32 | wrong);
}

void at_body(void* pointer, int64_t block, int32_t) {
  const AtTask& task = *static_cast<const AtTask*>(pointer);
  const Source& source = *task.source;
  const int64_t row = block / task.across;
  const int64_t begin = block % task.across * kEntryBlock;
  const int64_t end = smaller(begin + kEntryBlock, task.indices->cols);
  const int32_t* const columns = task.columns(row);
  int32_t* const message = source.message(row);
  for (int64_t i = begin; i < end; i++) {
    const float v = source.value(row, columns[i]);
    const float sent = task.scale * v;
    message[i] = word_of(sent);
    if (source.residual.data != nullptr) *Source::at(source.residual, row, columns[i]) = v - sent;
  }
}

/* ---- sums of messages ---------------------------------------------------------------------------------------------- */

struct SumTask {
  AccumulateOperands operands;
  const CpuWeights* weights; /* NULL: the identity */
  int32_t form;
  bool add;
  int64_t entries;
  int64_t rows;    /* of W */
  int64_t columns; /* of y per block */
  int64_t each;    /* rows per block */
  int64_t across;  /* blocks in a row */
  int64_t lists;   /* to be checked */
  int64_t slabs;   /* of a list */
  int64_t* lowest; /* as above, of lists and words */

  // The words of message j, and where its columns stand.
  const int32_t* message(int64_t j) const {
    const Matrix& m = operands.messages;
    return reinterpret_cast<const int32_t*>(j < m.rows ? m.row(j) : operands.halo.row(j - m.rows));
  }
  const int32_t* known(int64_t j) const {
    const Matrix& own = operands.indices;
    const int64_t messages = operands.messages.rows;
    const Matrix& of = j < messages || operands.halo_indices.data == nullptr ? own : operands.halo_indices;
    return reinterpret_cast<const int32_t*>(of.row(of.rows == 1 ? 0 : j < messages ? j : j - messages));
  }
  int64_t first() const { return form == KITH_SPARSE_ABOVE ? 1 : 0; }
  // Lists to check: rows of indices, or messages that W names.
  const int32_t* list(int64_t l) const {
    if (form == KITH_SPARSE_AT) {
      const Matrix& own = operands.indices;
      return reinterpret_cast<const int32_t*>(l < own.rows ? own.row(l) : operands.halo_indices.row(l - own.rows));
    }
    return message(weights == nullptr || weights->used == nullptr ? l : weights->used[l]);
  }
};

void check_lists_body(void* pointer, int64_t block, int32_t) {
  const SumTask& task = *static_cast<const SumTask*>(pointer);
  const int64_t l = block / task.slabs;
  const int64_t begin = block % task.slabs * kEntryBlock;
  const int32_t* const words = task.list(l);
  int64_t count = task.entries;
  if (task.form == KITH_SPARSE_ABOVE) {
    count = words[0];
    if (count < 0 || count > task.entries) return note_lowest(task.lowest, l << 32);
  }
  if (begin >= count) return;
  const int64_t wrong =
      wrong_column(words + task.first(), begin, smaller(begin + kEntryBlock, count), task.operands.y.cols);
  if (wrong >= 0) note_lowest(task.lowest, l << 32 | (task.first() + wrong));
}

// The first of n ascending columns that is not below `column`.
int64_t first_from(const int32_t* columns, int64_t n, int64_t column) {
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

void add_message(const SumTask& task, int64_t j, float weight, bool plain, int64_t begin, int64_t end, float* y) {
  const int32_t* const words = task.message(j);
  const int64_t count = task.form == KITH_SPARSE_ABOVE ? words[0] : task.entries;
  const int32_t* const columns = task.form == KITH_SPARSE_AT ? task.known(j) : words + task.first();
  const int32_t* const values = task.form == KITH_SPARSE_AT ? words : columns + task.entries;
  const int64_t from = begin == 0 ? 0 : first_from(columns, count, begin);
  const int64_t to = end == task.operands.y.cols ? count : from + first_from(columns + from, count - from, end);
  if (to > from) {
    sparsify().add(y, columns + from, reinterpret_cast<const float*>(values + from), to - from, begin, weight, plain);
  }
}

void sum_body(void* pointer, int64_t block, int32_t) {
  const SumTask& task = *static_cast<const SumTask*>(pointer);
  const Matrix& y = task.operands.y;
  const int64_t begin = block % task.across * task.columns;
  const int64_t end = smaller(begin + task.columns, y.cols);
  const int64_t last = smaller((block / task.across + 1) * task.each, task.rows);
  for (int64_t r = block / task.across * task.each; r < last; r++) {
    const CpuWeights* const w = task.weights;
    float* const out =
        reinterpret_cast<float*>(y.row(w == nullptr || w->output_rows == nullptr ? r : w->output_rows[r])) + begin;
    if (!task.add) std::memset(out, 0, static_cast<size_t>(end - begin) * sizeof(float));
    if (w == nullptr) {
      add_message(task, r, 1, true, begin, end, out);
      continue;
    }
    for (int64_t e = w->offsets[r]; e < w->offsets[r + 1]; e++) {
      add_message(task, w->columns[e], w->values32[e], false, begin, end, out);
    }
  }
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
  const Source source(operands);
  if (source.x.rows == 0 || source.x.cols == 0) return entry.finish();
  if (k == 0) {
    if (pass(entry, source) != KITH_OK) return entry.status();
    return entry.finish();
  }
  const int64_t across = cut_into(source.x.cols, operands.block);
  const int64_t entries = top_entries(source.x.cols, k, operands.block);
  if (operands.block > kSelectChunk) {
    LargeTask task = {};
    task.source = &source;
    task.k = k;
    task.block = operands.block;
    task.across = across;
    task.entries = entries;
    return select_large(entry, task);
  }
  SmallTask task = {};
  task.source = &source;
  task.k = k;
  task.block = operands.block;
  task.across = across;
  task.segments = source.x.rows * across;
  // What finding a border costs beside reading is worth some elements.
  task.each = cut_into(kSelectChunk, operands.block + 64);
  task.entries = entries;
  task.keys = static_cast<int32_t*>(entry.scratch(entry.workers() * kSelectChunk * 4));
  if (task.keys == nullptr) return entry.status();
  return entry.run(cut_into(task.segments, task.each), source.bytes(), small_body, &task);
}

kith_status kith_select_at(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                           const kith_matrix* residual, const kith_matrix* indices, double scale,
                           const kith_matrix* messages, const kith_matrix* flags, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_select_at");
  SelectOperands operands;
  if (!check_select_at(entry, x, minus, residual, indices, messages, flags, &operands)) return entry.status();
  const Source source(operands);
  if (source.x.rows == 0 || source.x.cols == 0) return entry.finish();
  AtTask task = {};
  task.source = &source;
  task.indices = &operands.indices;
  task.scale = static_cast<float>(scale);
  task.across = cut_into(operands.indices.cols, kEntryBlock);
  task.lowest = static_cast<int64_t*>(entry.scratch(sizeof(int64_t)));
  if (task.lowest == nullptr) return entry.status();
  if (entry.fresh()) *task.lowest = INT64_MAX;
  const int64_t index_bytes = operands.indices.bytes();
  if (entry.phase(operands.indices.rows * task.across, index_bytes, check_at_body, &task) != KITH_OK) {
    return entry.status();
  }
  if (*task.lowest != INT64_MAX) {
    const int64_t row = *task.lowest >> 32, position = *task.lowest & 0xffffffff;
    return entry.fail(KITH_INVALID, "indices(%lld, %lld) is %d; indices ascend strictly in [0, %lld)",
                      static_cast<long long>(row), static_cast<long long>(position), task.columns(row)[position],
                      static_cast<long long>(source.x.cols));
  }
  if (pass(entry, source) != KITH_OK) return entry.status();
  const int64_t message_bytes = 24 * source.x.rows * operands.indices.cols;
  if (entry.phase(source.x.rows * task.across, message_bytes, at_body, &task) != KITH_OK) return entry.status();
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
  const Source source(operands);
  if (source.x.rows == 0) return entry.finish();
  LargeTask task = {};
  task.source = &source;
  task.thresholds = reinterpret_cast<const double*>(operands.thresholds.data);
  task.k = capacity;
  task.block = operands.block;
  task.across = 1;
  task.entries = capacity;
  return select_large(entry, task);
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
  const Source source(operands);
  const int64_t rows = source.x.rows;
  if (rows == 0) return entry.finish();
  SampleTask task = {};
  task.source = &source;
  task.draw = &numbers;
  task.thresholds = reinterpret_cast<double*>(operands.thresholds.data);
  task.k = k;
  task.samples = samples;
  task.across = cut_into(samples, kSampleBlock);
  task.keys = static_cast<int32_t*>(entry.scratch(rows * samples * 4));
  if (task.keys == nullptr) return entry.status();
  // A line of v each.
  if (entry.phase(rows * task.across, rows * samples * 64, sample_body, &task) != KITH_OK) return entry.status();
  // Passes over the keys that settle a bit each.
  if (entry.phase(rows, rows * samples * 4 * 20, threshold_body, &task) != KITH_OK) return entry.status();
  return entry.finish();
}

kith_status kith_sparse_accumulate(kith_queue* queue, const kith_weights* weights, int32_t form, int64_t entries,
                                   const kith_matrix* indices, const kith_matrix* halo_indices,
                                   const kith_matrix* messages, const kith_matrix* halo, int32_t add,
                                   const kith_matrix* y, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_sparse_accumulate");
  if (!entry.ok()) return entry.status();
  SumTask task = {};
  task.weights = static_cast<const CpuWeights*>(weights);
  AccumulateOperands& operands = task.operands;
  const bool dense = weights != nullptr && task.weights->offsets == nullptr;
  if (!check_sparse_accumulate(entry, weights, dense, form, entries, indices, halo_indices, messages, halo, add, y,
                               &operands)) {
    return entry.status();
  }
  task.form = form;
  task.add = add == 1;
  task.entries = entries;
  task.rows = weights == nullptr ? operands.y.rows : weights->rows;
  task.lists = form == KITH_SPARSE_AT          ? operands.indices.rows + operands.halo_indices.rows
               : weights == nullptr            ? operands.messages.rows
               : task.weights->used == nullptr ? weights->cols
                                               : task.weights->used_count;
  task.slabs = cut_into(entries > 0 ? entries : 1, kEntryBlock);
  task.lowest = static_cast<int64_t*>(entry.scratch(sizeof(int64_t)));
  if (task.lowest == nullptr) return entry.status();
  if (entry.fresh()) *task.lowest = INT64_MAX;
  if (entry.phase(task.lists * task.slabs, task.lists * entries * 4, check_lists_body, &task) != KITH_OK) {
    return entry.status();
  }
  if (*task.lowest != INT64_MAX) {
    const int64_t list = *task.lowest >> 32, word = *task.lowest & 0xffffffff;
    const bool counts = form == KITH_SPARSE_ABOVE && word == 0;
    const bool named = form != KITH_SPARSE_AT && weights != nullptr && task.weights->used != nullptr;
    return entry.fail(KITH_INVALID, "word %lld of %s %lld is the %s %d; %s [0, %lld%s", static_cast<long long>(word),
                      form == KITH_SPARSE_AT ? "row of indices" : "message",
                      static_cast<long long>(named ? task.weights->used[list] : list), counts ? "count" : "column",
                      task.list(list)[word], counts ? "counts are in" : "columns ascend strictly in",
                      static_cast<long long>(counts ? entries : operands.y.cols), counts ? "]" : ")");
  }
  const int64_t cols = operands.y.cols;
  if (cols == 0) return entry.finish();
  task.columns = kSumColumns;
  while (task.columns < kMostSumColumns && task.columns * entries < kSumEntries * cols) task.columns *= 2;
  task.across = cut_into(cols, task.columns);
  task.each = cols < kSumColumns ? cut_into(kSumColumns, cols + 64) : 1;
  const int64_t named = weights == nullptr ? task.rows : weights->entries;
  const int64_t bytes = 12 * named * entries + (task.add ? 0 : operands.y.bytes());
  if (entry.phase(cut_into(task.rows, task.each) * task.across, bytes, sum_body, &task) != KITH_OK) {
    return entry.status();
  }
  return entry.finish();
}

}  // extern "C"
