// noise: how the columns of y are cut into tiles, and where keys and tiles lie.
#include <string.h>

#include "core.hpp"
#include "cpu_weights.hpp"
#include "dispatch.hpp"
#include "noise_checks.hpp"

namespace kith {

KITH_FAMILY(NoiseKernels, noise)

namespace {

// Columns of a block without weights, a multiple of 1024.
constexpr int64_t kSpan = 16384;
// A tile of z: the part of a core's second-level cache that it may take, and the least and most columns of it.
constexpr int64_t kTileBytes = 256 << 10;
constexpr int64_t kShortTile = 128;
constexpr int64_t kLongTile = 512;
// Signs are bits, and drawn 1024 columns at least at a time; with many sources, this many.
constexpr int64_t kSignGrain = 1024;
constexpr int64_t kShortSigns = 4096;
// From this many sources on a tile has as few columns as it can, for the memory and for the length of a block.
constexpr int64_t kManySources = 16384;
// Elements of z and products of a block of a sum.
constexpr int64_t kSumWork = 64 << 10;
// Outputs of this size do not stay in the caches for whoever reads them next.
constexpr int64_t kStreamBytes = 16 << 20;

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t lines(int64_t bytes) { return (bytes + 63) / 64 * 64; }

struct Plan {
  NoiseTask task;
  int wide;  // index into NoiseKernels: 1 for f64
  bool words;
  int64_t cols;
  int64_t span;       // columns of a block
  int64_t across;     // blocks in a row
  int64_t rows_each;  // rows of a block without weights
  unsigned char* scratch;
  int64_t scratch_step;
  int64_t tile_bytes;
};

void draw_block(void* context, int64_t block, int32_t) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const int64_t begin = block % plan.across * plan.span;
  const int64_t end = least(plan.cols, begin + plan.span);
  const int64_t first = block / plan.across * plan.rows_each;
  const auto kernel = plan.words ? noise().words : noise().rows[plan.wide];
  for (int64_t r = first; r < least(plan.task.rows, first + plan.rows_each); r++) kernel(plan.task, r, begin, end);
}

void sum_block(void* context, int64_t block, int32_t worker) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const int64_t begin = block * plan.span;
  unsigned char* const scratch = plan.scratch + worker * plan.scratch_step;
  noise().sums[plan.wide](plan.task, begin, least(plan.cols, begin + plan.span), scratch, scratch + plan.tile_bytes);
}

int64_t tile_of(int32_t distribution, int64_t count, bool dense) {
  const bool many = count > kManySources;
  if (distribution == KITH_RADEMACHER) {
    if (many) return kSignGrain;
    const int64_t fits = kTileBytes * 8 / (count > 0 ? count : 1) / kSignGrain * kSignGrain;
    return fits < kShortSigns ? kShortSigns : least(fits, kNoiseSigns);
  }
  if (many) return kNoiseGrain;
  const int64_t fits = kTileBytes / 4 / (count > 0 ? count : 1) / kNoiseGrain * kNoiseGrain;
  // Each z enters all rows of a dense W: what its words cost matters less than where it lies.
  const int64_t shortest = dense ? kNoiseGrain : kShortTile;
  return fits < shortest ? shortest : least(fits, kLongTile);
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
  const CpuWeights* const w = static_cast<const CpuWeights*>(weights);
  Plan plan = {};
  NoiseTask& task = plan.task;
  task.generator = field->generator;
  task.distribution = field->distribution;
  task.add = add;
  task.scale = scale;
  task.count = field->count;
  task.rows = w != nullptr ? w->rows : to.rows;
  task.y = to.data;
  task.pitch = to.stride * to.element_bytes();
  plan.wide = to.dtype == KITH_F64 ? 1 : 0;
  plan.words = field->distribution == KITH_WORDS;
  plan.cols = to.cols;
  if (task.rows == 0 || plan.cols == 0) return entry.finish();
  const int64_t moved = (1 + add) * to.bytes();
  const int64_t key_bytes = lines(task.count * static_cast<int64_t>(sizeof(NoiseKey)));
  int64_t factor_bytes = 0;
  if (w != nullptr) {
    const bool dense = w->offsets == nullptr;
    task.offsets = w->offsets;
    task.columns = w->columns;
    task.output_rows = w->output_rows;
    task.values = w->values64;
    task.tile = tile_of(field->distribution, task.count, dense);
    // A line more, so that rows do not share the sets of a cache.
    task.z_pitch = (field->distribution == KITH_RADEMACHER ? task.tile / 32 : task.tile) + 16;
    plan.tile_bytes = task.count * task.z_pitch * 4;
    factor_bytes = lines((dense ? kNoiseRows * task.count : w->longest) * to.element_bytes());
    plan.scratch_step = plan.tile_bytes + factor_bytes;
    const int64_t work = (task.count + w->entries / 16 + task.rows) * task.tile;
    plan.span = task.tile * (work < kSumWork ? kSumWork / work : 1);
  }
  unsigned char* const scratch =
      static_cast<unsigned char*>(entry.scratch(key_bytes + entry.workers() * plan.scratch_step));
  if (scratch == nullptr) return entry.status();
  NoiseKey* const keys = reinterpret_cast<NoiseKey*>(scratch);
  noise_keys(*field, keys);
  task.keys = keys;
  plan.scratch = scratch + key_bytes;
  kith_status status;
  if (w == nullptr) {
    task.streaming = add == 0 && to.bytes() >= kStreamBytes && reinterpret_cast<uintptr_t>(to.data) % 64 == 0 &&
                     task.pitch % 64 == 0;
    plan.span = kSpan;
    plan.across = cut_into(plan.cols, kSpan);
    plan.rows_each = plan.cols < kSpan ? kSpan / plan.cols : 1;
    status = entry.run(plan.across * cut_into(task.rows, plan.rows_each), moved, draw_block, &plan);
  } else {
    // A number costs as much as some bytes that are moved.
    const int64_t made = task.count * plan.cols * 4;
    status = entry.run(cut_into(plan.cols, plan.span), moved + made, sum_block, &plan);
  }
  // Keys of secrets stay nowhere.
  if (field->generator == KITH_CHACHA) explicit_bzero(keys, static_cast<size_t>(key_bytes));
  return status;
}

}  // extern "C"
