/*
 * noise: y(i) = [y(i) +] sum_k c_ik z_k, rows z_k of random numbers that are made where they are summed; formulas in
 * kith.h, words and conversions in docs/randomness.md.
 *
 * Bytes per element: one write of y, and a read with add. W beside that from caches.
 * Launch: 256 threads, 64-bit indices, grid-stride.
 *   draw_rows  without W: a thread for a block of the generator, 4 columns of Philox, 16 of ChaCha20; 32 columns of signs
 *   factors    c_ik of all entries of W
 *   sum_tiles  a block of threads for a tile of columns: z of all sources that W uses once into the tile, then all rows
 *              from there, a thread an element. The tile lies in shared memory up to 384 sources, else in scratch.
 *   keep       keys out of pinned memory, where secret ones are overwritten
 *   wipe       secret keys, when the work is done
 * Registers (sm_90): see the table in cuda/README.md.
 * Determinism: an element depends on its address alone, a sum on the order of W; the bits are the CPU's. Arithmetic of
 * normals is f64 with fma where it is written.
 * Emulated: all.
 */
#include "convert.hpp"
#include "cuda_weights.hpp"
#include "drawing.hpp"

namespace kith {

namespace {

constexpr int kThreads = 256;
constexpr int kPerMultiprocessor = 8;
constexpr int64_t kSharedBytes = 48 << 10;
constexpr int64_t kWideTile = 128;
// Scratch that tiles outside of shared memory take together, where one of them is no larger.
constexpr int64_t kTileScratch = int64_t{256} << 20;
/* ---- kernels ------------------------------------------------------------------------------------------------------- */

struct Drawing {
  const NoiseKey* keys;
  unsigned char* y;
  int64_t pitch; /* bytes */
  int64_t rows;  /* of y, or of W */
  int64_t cols;
  double scale;
  int32_t distribution;
  int32_t add;
  /* W */
  int64_t sources; /* that it uses */
  int64_t entries;
  const int64_t* offsets;     /* NULL: dense */
  const int32_t* used;        /* NULL: all */
  const int32_t* output_rows; /* NULL: row r */
  const void* factors;
  float* tiles; /* NULL: in shared memory */
  int64_t tile; /* columns, a multiple of kNoiseGrain */
};

KITH_DEVICE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <class Generator, class T>
KITH_KERNEL(kThreads)
void draw_rows(Drawing d) {
  const int64_t group = group_of<Generator>(d.distribution);
  const int64_t across = (d.cols + group - 1) / group;
  const T s = static_cast<T>(d.scale);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < across * d.rows;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t row = i / across, c = i % across * group;
    T* const y = reinterpret_cast<T*>(d.y + row * d.pitch) + c;
    draw<Generator>(d.keys[row], d.distribution, c, smaller(group, d.cols - c), [&](int64_t k, float z) {
      y[k] = d.add != 0 ? fused(s, static_cast<T>(z), y[k]) : s * static_cast<T>(z);
    });
  }
}

template <class Generator>
KITH_KERNEL(kThreads)
void draw_words(Drawing d) {
  const int64_t across = (d.cols + Generator::kWords - 1) / Generator::kWords;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < across * d.rows;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t row = i / across, c = i % across * Generator::kWords;
    uint32_t* const y = reinterpret_cast<uint32_t*>(d.y + row * d.pitch) + c;
    uint32_t words[Generator::kWords];
    Generator::block(d.keys[row], c / Generator::kWords, words);
    KITH_UNROLL
    for (int k = 0; k < Generator::kWords; k++) {
      if (c + k < d.cols) y[k] = words[k];
    }
  }
}

template <class T>
KITH_KERNEL(kThreads)
void sparse_factors(const Weight<double>* entries, int64_t count, double scale, Weight<T>* out) {
  for (int64_t e = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; e < count;
       e += static_cast<int64_t>(gridDim.x) * kThreads) {
    out[e].value = static_cast<T>(scale * entries[e].value);
    out[e].slot = entries[e].slot;
  }
}

template <class T>
KITH_KERNEL(kThreads)
void dense_factors(const double* entries, int64_t count, double scale, T* out) {
  for (int64_t e = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; e < count;
       e += static_cast<int64_t>(gridDim.x) * kThreads) {
    out[e] = static_cast<T>(scale * entries[e]);
  }
}

// z is where the tile lies: sources x tile columns.
template <class Generator, class T, class Tile>
KITH_DEVICE void sum_tile(const Drawing& d, int64_t begin, Tile z) {
  const int64_t n = smaller(d.tile, d.cols - begin);
  const int64_t group = group_of<Generator>(d.distribution);
  const int64_t groups = d.tile / group;
  for (int64_t i = threadIdx.x; i < groups * d.sources; i += kThreads) {
    const int64_t slot = i / groups, c = i % groups * group;
    if (c >= n) continue;
    const int64_t source = d.used == nullptr ? slot : d.used[slot];
    draw<Generator>(d.keys[source], d.distribution, begin + c, smaller(group, n - c),
                    [&](int64_t k, float value) { z[slot * d.tile + c + k] = value; });
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < d.rows * d.tile; i += kThreads) {
    const int64_t r = i / d.tile, c = i % d.tile;
    if (c >= n) continue;
    const int64_t out = d.output_rows == nullptr ? r : d.output_rows[r];
    T* const y = reinterpret_cast<T*>(d.y + out * d.pitch) + begin + c;
    T a = d.add != 0 ? *y : T{};
    if (d.offsets == nullptr) {
      const T* const factors = static_cast<const T*>(d.factors) + r * d.sources;
      for (int64_t k = 0; k < d.sources; k++) {
        const float value = z[k * d.tile + c];
        a = fused(factors[k], static_cast<T>(value), a);
      }
    } else {
      const Weight<T>* const factors = static_cast<const Weight<T>*>(d.factors);
      for (int64_t e = d.offsets[r]; e < d.offsets[r + 1]; e++) {
        const Weight<T> entry = factors[e];
        const float value = z[entry.slot * d.tile + c];
        a = fused(entry.value, static_cast<T>(value), a);
      }
    }
    *y = a;
  }
  __syncthreads();
}

template <class Generator, class T>
KITH_KERNEL(kThreads)
void sum_tiles(Drawing d) {
  KITH_DYNAMIC_SHARED(float, shared);
  for (int64_t begin = blockIdx.x * d.tile; begin < d.cols; begin += gridDim.x * d.tile) {
    if (d.tiles == nullptr) {
      sum_tile<Generator, T>(d, begin, shared);
    } else {
      sum_tile<Generator, T>(d, begin, d.tiles + blockIdx.x * d.sources * d.tile);
    }
  }
}

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t lines(int64_t bytes) { return cut_into(bytes, 256) * 256; }

template <class Generator, class T>
void launch_sum(Entry& entry, const CudaWeights& w, Drawing d, unsigned blocks) {
  const unsigned all = entry.grid(cut_into(d.entries, kThreads), kPerMultiprocessor);
  void* const factors = const_cast<void*>(d.factors);
  if (d.entries > 0 && d.offsets == nullptr) {
    entry.launched(KITH_LAUNCH((dense_factors<T>), all, kThreads, 0, entry.stream(),
                               static_cast<const double*>(w.links[1]), d.entries, d.scale, static_cast<T*>(factors)));
  } else if (d.entries > 0) {
    entry.launched(KITH_LAUNCH((sparse_factors<T>), all, kThreads, 0, entry.stream(),
                               static_cast<const Weight<double>*>(w.links[1]), d.entries, d.scale,
                               static_cast<Weight<T>*>(factors)));
  }
  const int64_t shared = d.tiles != nullptr ? 0 : d.sources * d.tile * 4;
  entry.launched(
      KITH_LAUNCH((sum_tiles<Generator, T>), blocks, kThreads, static_cast<size_t>(shared), entry.stream(), d));
}

template <class Generator>
void launch_rows(Entry& entry, const Drawing& d, int32_t dtype) {
  const int64_t group = d.distribution == KITH_RADEMACHER ? 32 : Generator::kWords;
  const unsigned blocks = entry.grid(cut_into(cut_into(d.cols, group) * d.rows, kThreads), kPerMultiprocessor);
  const auto launch = [&](void (*kernel)(Drawing)) {
    entry.launched(KITH_LAUNCH(kernel, blocks, kThreads, 0, entry.stream(), d));
  };
  if (d.distribution == KITH_WORDS) return launch(draw_words<Generator>);
  return launch(dtype == KITH_F64 ? draw_rows<Generator, double> : draw_rows<Generator, float>);
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_noise(kith_queue* queue, const kith_weights* weights, const kith_field* field, double scale,
                       int32_t add, const kith_matrix* y, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_noise");
  Matrix to;
  if (!check_noise(entry, weights, field, scale, add, y, &to)) return entry.status();
  const bool secret = field->generator == KITH_CHACHA;
  if (secret && !entry.not_capturing("noise of secrets")) return entry.status();
  const CudaWeights* const w = static_cast<const CudaWeights*>(weights);
  Drawing d = {};
  d.y = to.data;
  d.pitch = to.stride * to.element_bytes();
  d.rows = w != nullptr ? w->rows : to.rows;
  d.cols = to.cols;
  d.scale = scale;
  d.distribution = field->distribution;
  d.add = add;
  if (d.rows == 0 || d.cols == 0) return entry.finish();
  const int64_t key_bytes = lines(key_words(*field) * 4);
  int64_t factor_bytes = 0, tile_bytes = 0;
  unsigned blocks = 0;
  if (w != nullptr) {
    entry.use(w->memory);
    d.sources = w->dense ? w->cols : w->used_count;
    d.entries = w->entries;
    d.offsets = w->dense ? nullptr : w->offsets;
    d.used = w->dense ? nullptr : w->used;
    d.output_rows = w->output_rows;
    const int64_t factor = w->dense ? to.element_bytes() : 2 * to.element_bytes();
    factor_bytes = lines(d.entries * factor);
    const int64_t fits = kSharedBytes / 4 / (d.sources > 0 ? d.sources : 1) / kNoiseGrain * kNoiseGrain;
    d.tile = fits < kNoiseGrain || fits > kWideTile ? kWideTile : fits;
    blocks = entry.grid(cut_into(d.cols, d.tile), kPerMultiprocessor);
    if (fits < kNoiseGrain) {
      const int64_t most = kTileScratch / (d.sources * d.tile * 4);
      if (blocks > most) blocks = static_cast<unsigned>(most > 0 ? most : 1);
      tile_bytes = blocks * d.sources * d.tile * 4;
    }
  }
  unsigned char* scratch = nullptr;
  if (key_bytes + factor_bytes + tile_bytes > 0) {
    scratch = static_cast<unsigned char*>(entry.scratch(key_bytes + factor_bytes + tile_bytes));
    if (scratch == nullptr) return entry.status();
  }
  d.factors = scratch + key_bytes;
  if (tile_bytes > 0) d.tiles = reinterpret_cast<float*>(scratch + key_bytes + factor_bytes);
  d.keys = take_keys(entry, *field, scratch);
  if (!entry.ok()) return entry.status();
  if (w == nullptr) {
    secret ? launch_rows<ChaCha>(entry, d, to.dtype) : launch_rows<Philox>(entry, d, to.dtype);
  } else if (to.dtype == KITH_F64) {
    secret ? launch_sum<ChaCha, double>(entry, *w, d, blocks) : launch_sum<Philox, double>(entry, *w, d, blocks);
  } else {
    secret ? launch_sum<ChaCha, float>(entry, *w, d, blocks) : launch_sum<Philox, float>(entry, *w, d, blocks);
  }
  drop_keys(entry, *field, scratch);
  return entry.finish();
}

}  // extern "C"
