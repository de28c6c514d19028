// mixing: weights, the checks of kith_mix, and the choice of a strategy.
#include <string.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core.hpp"
#include "cpu_weights.hpp"
#include "dispatch.hpp"
#include "mixing_checks.hpp"
#include "noise_checks.hpp"

namespace kith {

KITH_FAMILY(MixKernels, mixing)
KITH_FAMILY(NoiseKernels, noise)

namespace {

// Columns of one block of a pass without neighbours, in bytes of the compute type.
constexpr int64_t kCombineBytes = 256 << 10;
// Inner rows of a tile together: what a core's second-level cache holds beside the streams.
constexpr int64_t kTileBytes = 256 << 10;
// Staged rows are written too, and want to stay nearer to the core.
constexpr int64_t kStagedBytes = 64 << 10;
// Below this width of a tile a row is too short to stream, and gathering whole rows is faster.
constexpr int64_t kTileBytesPerRow = 256;
static_assert(kTileBytes / kTileBytesPerRow <= kMostSlots, "a sparse tile of the narrowest columns must fit");
constexpr int64_t kTilesPerBlock = 16;
constexpr int64_t kBlocksWanted = 16;
constexpr int64_t kGatherBytes = 256 << 10;
// Elements that a block of a gather adds up at most, so that long rows do not hold up a call.
constexpr int64_t kGatherWork = 4 << 20;
constexpr int64_t kPairTileBytes = 16 << 10;
// Outputs of this size do not stay in the caches for whoever reads them next.
constexpr int64_t kStreamBytes = 16 << 20;

// With noise: the least and most columns of a tile, the rows and sources from which on it has the least it can, and how many
// rows and numbers a block has.
constexpr int64_t kShortTile = 128;
constexpr int64_t kLongTile = 512;
constexpr int64_t kManyRows = 16384;
constexpr int64_t kNoisyWork = 64 << 10;
// Rows of a block where each has noise of its own and no neighbours.
constexpr int64_t kMostAlone = 64;

void release(CpuWeights* w) {
  std::free(w->offsets);
  std::free(w->columns);
  if (w->slots != w->columns) std::free(w->slots);
  std::free(w->used);
  std::free(w->output_rows);
  std::free(w->pairs);
  std::free(w->values32);
  std::free(w->values64);
  std::free(w);
}

template <class T>
bool take(T** array, int64_t count) {
  *array = static_cast<T*>(std::malloc(static_cast<size_t>(count > 0 ? count : 1) * sizeof(T)));
  return *array != nullptr;
}

void take_values(CpuWeights* w, const double* values) {
  for (int64_t e = 0; e < w->entries; e++) {
    w->values64[e] = values[e];
    w->values32[e] = static_cast<float>(values[e]);
  }
}

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* ---- kith_mix ---------------------------------------------------------------------------------------------------- */

struct Plan {
  const MixJob* job;
  enum Strategy { kCombine, kTiles, kGather, kPairs, kNoisy } strategy;
  int wide;  // index into MixKernels: 1 for f64
  int64_t rows;
  int64_t cols;
  int64_t row_step;
  int64_t column_step;
  int64_t down;
  unsigned char* scratch;
  int64_t scratch_step;
  int64_t extra_bytes;  // read again and again, beyond the operands

  void cut(int64_t all_rows, int64_t all_cols, int64_t rows_each, int64_t cols_each) {
    rows = all_rows;
    cols = all_cols;
    row_step = rows_each < 1 ? 1 : rows_each;
    column_step = cols_each < 1 ? 1 : cols_each;
    down = (rows + row_step - 1) / row_step;
  }
  int64_t blocks() const { return down * ((cols + column_step - 1) / column_step); }
};

void mix_block(void* context, int64_t block, int32_t worker) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const int64_t row = block % plan.down * plan.row_step;
  const int64_t column = block / plan.down * plan.column_step;
  const int64_t row_end = row + plan.row_step < plan.rows ? row + plan.row_step : plan.rows;
  const int64_t column_end = column + plan.column_step < plan.cols ? column + plan.column_step : plan.cols;
  unsigned char* scratch = plan.scratch + worker * plan.scratch_step;
  const MixKernels& kernels = mixing();
  switch (plan.strategy) {
    case Plan::kCombine:
      return kernels.combine[plan.wide](*plan.job, row, row_end, column, column_end);
    case Plan::kGather:
      return kernels.gather[plan.wide](*plan.job, row, row_end, column, column_end);
    case Plan::kTiles:
      return kernels.tiles[plan.wide](*plan.job, row, row_end, column, column_end, scratch);
    case Plan::kPairs:
      return kernels.pairs[plan.wide](*plan.job, row, row_end, column, column_end, scratch);
    case Plan::kNoisy:
      return kernels.noisy[plan.wide](*plan.job, row, row_end, column, column_end, scratch);
  }
}

MixWeights weights_of(const CpuWeights& w, bool wide) {
  return MixWeights{
      w.rows,        w.cols, w.offsets,    w.columns, w.slots, wide ? static_cast<const void*>(w.values64) : w.values32,
      w.output_rows, w.used, w.used_count, w.pairs};
}

// Which sources the rows of the factor that are summed need.
void want(const CpuWeights& factor, const NoiseTask& noise, unsigned char* wanted) {
  memset(wanted, factor.offsets == nullptr ? 1 : 0, static_cast<size_t>(noise.count));
  for (int64_t i = 0; factor.offsets != nullptr && i < noise.rows; i++) {
    const int64_t row = noise.taken != nullptr ? noise.taken[i] : i;
    for (int64_t e = factor.offsets[row]; e < factor.offsets[row + 1]; e++) wanted[factor.columns[e]] = 1;
  }
}

// Noise: all but what lies in scratch.
void choose_noisy(const CpuWeights* weights, const MixOperands& operands, MixJob* job, NoiseTask* noise, Plan* plan) {
  const int64_t size = plan->wide == 1 ? 8 : 4;
  const int64_t cols = operands.y.cols;
  const CpuWeights* const factor = static_cast<const CpuWeights*>(operands.noise->factor);
  plan->strategy = Plan::kNoisy;
  int64_t slots = operands.y.rows, entries = 0;
  job->used_inner = slots;
  if (weights != nullptr) {
    job->weights = weights_of(*weights, plan->wide == 1);
    slots = weights->used_count;
    entries = weights->entries;
    job->used_inner = slots;
    if (weights->used != nullptr) {
      while (job->used_inner > 0 && weights->used[job->used_inner - 1] >= job->inner_rows) job->used_inner--;
    } else if (job->used_inner > job->inner_rows) {
      job->used_inner = job->inner_rows;
    }
  } else if (factor == nullptr) {
    slots = cols < kNoisyWork ? kNoisyWork / (cols > 0 ? cols : 1) : 1;
    if (slots > kMostAlone) slots = kMostAlone;
    if (slots > operands.y.rows) slots = operands.y.rows;
  }
  noise->generator = operands.noise->field->generator;
  noise->distribution = operands.noise->field->distribution;
  noise->add = 1;
  noise->scale = operands.noise->scale;
  noise->count = operands.noise->field->count;
  noise->rows = job->used_inner;
  int64_t held = 1;
  bool dense = weights != nullptr && weights->offsets == nullptr;
  if (factor != nullptr) {
    noise->offsets = factor->offsets;
    noise->columns = factor->columns;
    noise->values = factor->values64;
    noise->taken = weights == nullptr ? nullptr : weights->used;
    held = noise->count;
    entries += factor->entries;
    dense = dense || factor->offsets == nullptr;
    job->factor_bytes = round_up((factor->offsets == nullptr ? kNoiseRows * held : factor->longest) * size, 64);
  }
  const int64_t shortest = dense || slots + held > kManyRows ? kNoiseGrain : kShortTile;
  int64_t tile = kTileBytes / (slots * size + held * 4 + 4) / kNoiseGrain * kNoiseGrain;
  if (tile > kLongTile) tile = kLongTile;
  if (cols < kBlocksWanted * tile) tile = round_up(cols, kBlocksWanted * kNoiseGrain) / kBlocksWanted;
  if (tile < shortest) tile = shortest;
  if (slots + held > kManyRows) tile = kNoiseGrain;
  job->tile = tile;
  noise->tile = tile;
  noise->z_pitch = tile + 16;
  job->pitch = tile * size + 64;
  job->drawn_bytes = held * noise->z_pitch * 4;
  plan->scratch_step = round_up(slots * 8, 64) + job->factor_bytes + job->drawn_bytes + slots * job->pitch;
  const int64_t work = (held + slots + entries / 16) * tile;
  const bool alone = weights == nullptr && factor == nullptr;
  const int64_t rows = weights == nullptr ? operands.y.rows : weights->rows;
  plan->cut(rows, cols, alone ? slots : rows, tile * (work < kNoisyWork ? kNoisyWork / work : 1));
  // A number costs as much as some bytes that are moved.
  plan->extra_bytes = noise->count * cols * 4;
}

// Everything here is a function of shapes and dtypes; nothing depends on threads.
void choose(const CpuWeights* weights, const MixOperands& operands, MixJob* job, Plan* plan) {
  const int32_t computed = plan->wide == 1 ? KITH_F64 : KITH_F32;
  const int64_t size = plan->wide == 1 ? 8 : 4;
  const int64_t rows = operands.y.rows, cols = operands.y.cols;
  const int64_t line = 64 / size;
  job->plain = job->inner_count == 1 && job->inner[0].coefficient == 1.0 && job->inner[0].row_coefficients == nullptr &&
               job->inner[0].dtype == computed && job->message_dtype == computed;
  job->streaming =
      operands.y.bytes() >= kStreamBytes && !operands.in_place && !operands.accumulate && operands.y.dtype == computed;
  if (weights == nullptr) {
    plan->strategy = Plan::kCombine;
    const int64_t wide = cols < kCombineBytes / size ? cols : kCombineBytes / size;
    plan->cut(rows, cols, kCombineBytes / size / (wide > 0 ? wide : 1), wide);
    return;
  }
  job->weights = weights_of(*weights, size == 8);
  if (weights->pairwise && job->halo.data == nullptr) {
    plan->strategy = Plan::kPairs;
    job->tile = cols < kPairTileBytes / size ? round_up(cols, line) : kPairTileBytes / size;
    job->pitch = job->tile * size + 64;
    const int64_t wide = cols < kCombineBytes / size ? cols : kCombineBytes / size;
    plan->cut(weights->pair_count, cols, kCombineBytes / size / (wide > 0 ? 2 * wide : 1), wide);
    plan->scratch_step = 2 * job->pitch;
    return;
  }
  const int64_t used = weights->used_count > 0 ? weights->used_count : 1;
  int64_t tile = kTileBytes / (used * size) / line * line;
  if (tile > kTileColumns) tile = kTileColumns;
  const bool fits = tile * size >= kTileBytesPerRow;
  const bool dense = weights->offsets == nullptr;
  if (!dense && (!fits || cols < kBlocksWanted * line)) {
    plan->strategy = Plan::kGather;
    int64_t wide = cols < kGatherBytes / size ? cols : kGatherBytes / size;
    const int64_t longest = weights->longest > 0 ? weights->longest : 1;
    const int64_t most = kGatherWork / longest > line ? kGatherWork / longest / line * line : line;
    if (wide > most) wide = most;
    if (wide < 1) wide = 1;
    const int64_t mean = 1 + weights->entries / (weights->rows > 0 ? weights->rows : 1);
    const int64_t tall = kGatherBytes / size / wide;
    plan->cut(weights->rows, cols, tall < kGatherWork / (wide * mean) ? tall : kGatherWork / (wide * mean), wide);
    plan->extra_bytes = weights->entries * cols * size;
    return;
  }
  plan->strategy = Plan::kTiles;
  // Rows a multiple of a page apart compete for the same sets of the caches.
  job->staged = !job->plain || (job->inner[0].stride % 4096 == 0 && used > 8);
  if (job->staged && !dense && tile > kStagedBytes / (used * size)) tile = kStagedBytes / (used * size) / line * line;
  if (tile < kTileBytesPerRow / size) tile = kTileBytesPerRow / size;
  if (cols < kBlocksWanted * tile) tile = round_up(cols, kBlocksWanted * line) / kBlocksWanted;
  if (tile < line) tile = line;
  job->tile = tile;
  job->pitch = tile * size + 64;
  const int64_t tiles = (cols + tile - 1) / tile;
  const int64_t each = tiles < kBlocksWanted * kTilesPerBlock ? 1 : kTilesPerBlock;
  // Few tiles of many dense rows: cut the rows too, though each part then stages the tile anew.
  const int64_t row_step = dense && tiles < kBlocksWanted ? 64 : weights->rows;
  plan->cut(weights->rows, cols, row_step, each * tile);
  plan->scratch_step = round_up(used * 8, 64) + used * job->pitch;
}

}  // namespace

}  // namespace kith

using kith::Entry;
using kith::fail;

extern "C" {

kith_status kith_weights_sparse(kith_queue* queue, int64_t rows, int64_t cols, const int64_t* row_offsets,
                                const int32_t* columns, const double* values, const int32_t* output_rows,
                                kith_weights** weights, kith_call* call) {
  if (queue == nullptr || weights == nullptr) {
    return fail(call, KITH_INVALID, "kith_weights_sparse: queue or weights is NULL; give both");
  }
  int64_t output_end = 0;
  const kith_status status =
      kith::check_sparse(call, rows, cols, row_offsets, columns, values, output_rows, &output_end);
  if (status != KITH_OK) return status;
  const int64_t entries = row_offsets[rows];
  kith::CpuWeights* w = static_cast<kith::CpuWeights*>(std::calloc(1, sizeof(kith::CpuWeights)));
  bool fine = w != nullptr;
  if (fine) {
    w->device = queue->device;
    w->rows = rows;
    w->cols = cols;
    w->entries = entries;
    for (int64_t r = 0; r < rows; r++) {
      const int64_t count = row_offsets[r + 1] - row_offsets[r];
      if (count > w->longest) w->longest = count;
    }
    w->output_end = output_end;
    w->scattered = output_rows != nullptr;
    fine = kith::take(&w->offsets, rows + 1) && kith::take(&w->columns, entries) && kith::take(&w->values32, entries) &&
           kith::take(&w->values64, entries) && (output_rows == nullptr || kith::take(&w->output_rows, rows));
  }
  if (fine) {
    std::memcpy(w->offsets, row_offsets, static_cast<size_t>(rows + 1) * sizeof(int64_t));
    if (entries > 0) std::memcpy(w->columns, columns, static_cast<size_t>(entries) * sizeof(int32_t));
    if (output_rows != nullptr && rows > 0) {
      std::memcpy(w->output_rows, output_rows, static_cast<size_t>(rows) * sizeof(int32_t));
    }
    kith::take_values(w, values);
    fine = kith::list_used(cols, w->columns, entries, &w->used, &w->slots, &w->used_count);
    if (fine && w->slots == nullptr) w->slots = w->columns;
    if (fine && rows == cols && !w->scattered) {
      fine = kith::list_pairs(rows, w->offsets, w->columns, &w->pairwise, &w->pairs, &w->pair_count);
    }
  }
  if (!fine) {
    if (w != nullptr) kith::release(w);
    return fail(call, KITH_OUT_OF_MEMORY, "kith_weights_sparse: no memory for %lld entries of %lld rows",
                static_cast<long long>(entries), static_cast<long long>(rows));
  }
  *weights = w;
  return KITH_OK;
}

kith_status kith_weights_dense(kith_queue* queue, int64_t rows, int64_t cols, const double* values,
                               kith_weights** weights, kith_call* call) {
  if (queue == nullptr || weights == nullptr || values == nullptr) {
    return fail(call, KITH_INVALID, "kith_weights_dense: queue, values or weights is NULL; give all three");
  }
  const kith_status status = kith::check_dense(call, rows, cols, values);
  if (status != KITH_OK) return status;
  kith::CpuWeights* w = static_cast<kith::CpuWeights*>(std::calloc(1, sizeof(kith::CpuWeights)));
  if (w == nullptr || !kith::take(&w->values32, rows * cols) || !kith::take(&w->values64, rows * cols)) {
    if (w != nullptr) kith::release(w);
    return fail(call, KITH_OUT_OF_MEMORY, "kith_weights_dense: no memory for %lld x %lld weights",
                static_cast<long long>(rows), static_cast<long long>(cols));
  }
  w->device = queue->device;
  w->rows = rows;
  w->cols = cols;
  w->entries = rows * cols;
  w->used_count = cols;
  w->output_end = rows;
  kith::take_values(w, values);
  *weights = w;
  return KITH_OK;
}

kith_status kith_weights_pairwise(kith_weights* weights, int32_t* pairwise, kith_call* call) {
  if (weights == nullptr || pairwise == nullptr) {
    return fail(call, KITH_INVALID, "kith_weights_pairwise: weights or pairwise is NULL; give both");
  }
  *pairwise = weights->pairwise ? 1 : 0;
  return KITH_OK;
}

kith_status kith_weights_release(kith_weights* weights, kith_call* call) {
  if (weights == nullptr) return fail(call, KITH_INVALID, "kith_weights_release: weights is NULL; give weights");
  kith::release(static_cast<kith::CpuWeights*>(weights));
  return KITH_OK;
}

kith_status kith_mix(kith_queue* queue, const kith_weights* weights, const kith_expression* expression,
                     const kith_matrix* y, const kith_matrix* flags, kith_call* call) {
  Entry entry(queue, call, "kith_mix");
  kith::MixOperands operands;
  kith::MixJob job{};
  if (!entry.ok() || !kith::check_mix(entry, weights, expression, y, flags, &operands, &job)) return entry.status();
  kith::Plan plan{};
  plan.job = &job;
  plan.wide = operands.y.dtype == KITH_F64 ? 1 : 0;
  const kith::CpuWeights* const w = static_cast<const kith::CpuWeights*>(weights);
  kith::choose(w, operands, &job, &plan);
  kith::NoiseTask noise{};
  int64_t key_bytes = 0, wanted_bytes = 0;
  if (operands.noise != nullptr) {
    kith::choose_noisy(w, operands, &job, &noise, &plan);
    key_bytes = kith::round_up(noise.count * static_cast<int64_t>(sizeof(kith::NoiseKey)), 64);
    wanted_bytes = noise.values == nullptr ? 0 : kith::round_up(noise.count, 64);
  }
  const int64_t blocks = plan.blocks();
  kith::NoiseKey* keys = nullptr;
  if (key_bytes + wanted_bytes + plan.scratch_step > 0 && blocks > 0) {
    unsigned char* const scratch =
        static_cast<unsigned char*>(entry.scratch(key_bytes + wanted_bytes + entry.workers() * plan.scratch_step));
    if (scratch == nullptr) return entry.status();
    plan.scratch = scratch + key_bytes + wanted_bytes;
    if (operands.noise != nullptr) {
      keys = reinterpret_cast<kith::NoiseKey*>(scratch);
      kith::noise_keys(*operands.noise->field, keys);
      noise.keys = keys;
      if (wanted_bytes > 0) {
        kith::want(*static_cast<const kith::CpuWeights*>(operands.noise->factor), noise, scratch + key_bytes);
        noise.wanted = scratch + key_bytes;
      }
      job.noise = &noise;
      job.drawing = &kith::noise();
    }
  }
  int64_t bytes = operands.y.bytes() + operands.halo.bytes() + plan.extra_bytes;
  for (int k = 0; k < job.inner_count; k++) bytes += operands.inner[k].bytes();
  for (int k = 0; k < job.outer_count; k++) bytes += operands.outer[k].bytes();
  const kith_status status = entry.run(blocks, bytes, kith::mix_block, &plan);
  // Keys of secrets stay nowhere.
  if (noise.generator == KITH_CHACHA && keys != nullptr) explicit_bzero(keys, static_cast<size_t>(key_bytes));
  return status;
}

}  // extern "C"
