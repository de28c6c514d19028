// reduction: rows, segments, Gram matrices and sums over nodes. How work is cut into nodes of the tree, and put together.
#include <cmath>
#include <cstring>

#include "core.hpp"
#include "dispatch.hpp"
#include "reduction_checks.hpp"
#include "tree_sums.hpp"

namespace kith {

KITH_FAMILY(ReductionKernels, reduction)

namespace {

// A tile of columns of all rows should stay in the second-level cache between its sum and its distances.
constexpr int64_t kTileBytes = 64 << 10;
// Sums of pairs that wait for the last block; more pairs of tiles than this allows are done one after the other.
constexpr int64_t kGramSums = 4 << 20;

int64_t rounded_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }

double least(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return __builtin_nan("");
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

double greatest(double a, double b) { return -least(-a, -b); }

double combined(int32_t reduction, double a, double b) {
  switch (reduction) {
    case KITH_REDUCE_MIN:
      return least(a, b);
    case KITH_REDUCE_MAX:
    case KITH_REDUCE_MAX_ABS:
      return greatest(a, b);
    default:
      return a + b;
  }
}

/* ---- rows and segments ----------------------------------------------------------------------------------------- */

// What one block does in one row: one block of a long segment, or several short segments as a whole.
struct Part {
  int64_t segment;
  int64_t segments;
  int64_t block; /* of a long segment; -1: short segments */
  int64_t sum;   /* where a long segment's block puts its result */
};

struct RowTask {
  Matrix a;
  Matrix b;
  Matrix out; /* one row of results per row of a, whatever its window says */
  int64_t out_pitch;
  int32_t reduction;
  bool binary;
  const int64_t* bounds;
  const Part* parts;
  int64_t part_count;
  int64_t rows_per_block;
  double* sums;
  int64_t sums_per_row;

  double* result(int64_t row, int64_t segment) const {
    return reinterpret_cast<double*>(out.data) + row * out_pitch + segment;
  }
  double reduce(int64_t row, int64_t column, int64_t n) const {
    const unsigned char* x = a.row(row) + column * a.element_bytes();
    const unsigned char* y = binary ? b.row(b.rows == 1 ? 0 : row) + column * b.element_bytes() : nullptr;
    return kith::reduction().row_block(reduction, a.dtype, x, y, n);
  }
};

// Lists the parts of one row (only counts them when parts is NULL).
void list_parts(const int64_t* bounds, int64_t segments, Part* parts, int64_t* part_count, int64_t* sums_per_row) {
  int64_t count = 0, sums = 0, filled = 0;
  bool open = false;
  for (int64_t s = 0; s < segments; s++) {
    const int64_t length = bounds[s + 1] - bounds[s];
    if (length > kRowBlock) {
      for (int64_t block = 0; block * kRowBlock < length; block++) {
        if (parts != nullptr) parts[count] = Part{s, 1, block, sums};
        count++;
        sums++;
      }
      open = false;
      continue;
    }
    const int64_t cost = length + 64;  // folding the lanes of a short segment costs about that
    if (open && filled + cost <= kRowBlock) {
      if (parts != nullptr) parts[count - 1].segments++;
      filled += cost;
    } else {
      if (parts != nullptr) parts[count] = Part{s, 1, -1, -1};
      count++;
      open = true;
      filled = cost;
    }
  }
  *part_count = count;
  *sums_per_row = sums;
}

// Infinities of an empty minimum or maximum; +0 otherwise.
double empty_row(int32_t reduction) {
  return reduction == KITH_REDUCE_MIN ? HUGE_VAL : reduction == KITH_REDUCE_MAX ? -HUGE_VAL : 0.0;
}

void row_body(void* context, int64_t block, int32_t) {
  const RowTask& task = *static_cast<const RowTask*>(context);
  const Part& part = task.parts[block % task.part_count];
  const int64_t first = block / task.part_count * task.rows_per_block;
  const int64_t end = first + task.rows_per_block < task.a.rows ? first + task.rows_per_block : task.a.rows;
  for (int64_t r = first; r < end; r++) {
    if (part.block >= 0) {
      const int64_t column = task.bounds[part.segment] + part.block * kRowBlock;
      const int64_t left = task.bounds[part.segment + 1] - column;
      task.sums[r * task.sums_per_row + part.sum] = task.reduce(r, column, left < kRowBlock ? left : kRowBlock);
      continue;
    }
    for (int64_t s = part.segment; s < part.segment + part.segments; s++) {
      const int64_t length = task.bounds[s + 1] - task.bounds[s];
      *task.result(r, s) = length == 0 ? empty_row(task.reduction) : plain_nan(task.reduce(r, task.bounds[s], length));
    }
  }
}

void finish_row(void* context, int64_t row, int32_t) {
  const RowTask& task = *static_cast<const RowTask*>(context);
  for (int64_t p = 0; p < task.part_count; p++) {
    const Part& part = task.parts[p];
    if (part.block != 0) continue;
    const int64_t blocks = cut_into(task.bounds[part.segment + 1] - task.bounds[part.segment], kRowBlock);
    double* sums = task.sums + row * task.sums_per_row + part.sum;
    if (task.reduction == KITH_REDUCE_MIN || task.reduction == KITH_REDUCE_MAX ||
        task.reduction == KITH_REDUCE_MAX_ABS) {
      for (int64_t i = 1; i < blocks; i++) sums[0] = combined(task.reduction, sums[0], sums[i]);
    } else {
      combine_vectors(sums, blocks, 1, 1);
    }
    *task.result(row, part.segment) = plain_nan(sums[0]);
  }
}

kith_status reduce(Entry& entry, int32_t reduction, const kith_matrix* a, const kith_matrix* b, const int64_t* bounds,
                   int64_t segments, const kith_matrix* out) {
  RowTask task = {};
  ReduceOperands operands;
  if (!check_reduce(entry, reduction, a, b, bounds, segments, out, &operands)) return entry.status();
  task.reduction = reduction;
  task.a = operands.a;
  task.b = operands.b;
  task.out = operands.out;
  task.binary = operands.binary;
  const int64_t whole[2] = {0, task.a.cols};
  task.out_pitch = bounds == nullptr ? 1 : task.out.stride;
  if (bounds == nullptr) bounds = whole;
  if (task.a.rows == 0 || segments == 0) return entry.finish();

  task.bounds = bounds;
  list_parts(bounds, segments, nullptr, &task.part_count, &task.sums_per_row);
  const int64_t part_bytes = rounded_up(task.part_count * static_cast<int64_t>(sizeof(Part)), 64);
  void* scratch = entry.scratch(part_bytes + task.a.rows * task.sums_per_row * 8);
  if (scratch == nullptr) return entry.status();
  Part* parts = static_cast<Part*>(scratch);
  list_parts(bounds, segments, parts, &task.part_count, &task.sums_per_row);
  task.parts = parts;
  task.sums = reinterpret_cast<double*>(static_cast<unsigned char*>(scratch) + part_bytes);
  task.rows_per_block = 1;
  if (task.part_count == 1 && task.sums_per_row == 0) {
    const int64_t cost = task.a.cols + 64 * segments;
    task.rows_per_block = cost < kRowBlock ? kRowBlock / cost : 1;
  }
  const int64_t bytes = task.a.bytes() + (task.binary ? task.b.bytes() : 0);
  const int64_t blocks = cut_into(task.a.rows, task.rows_per_block) * task.part_count;
  if (entry.phase(blocks, bytes, row_body, &task) != KITH_OK) return entry.status();
  if (task.sums_per_row > 0) {
    const int64_t sum_bytes = task.a.rows * task.sums_per_row * 8;
    if (entry.phase(task.a.rows, sum_bytes, finish_row, &task) != KITH_OK) return entry.status();
  }
  return entry.finish();
}

/* ---- Gram matrices ------------------------------------------------------------------------------------------------ */

struct TilePair {
  int64_t i; /* numbers of the tiles */
  int64_t j;
};

struct GramContext {
  Matrix a;
  Matrix b;
  Matrix out;
  bool symmetric;
  int64_t blocks;
  int64_t pairs; /* of tiles, in this round */
  const TilePair* pair;
  double* sums; /* pair by pair, block by block, kGramTile x kGramTile each */
  unsigned char* workspace;
  int64_t workspace_bytes; /* per worker */
};

GramTask tile_task(const GramContext& context, const TilePair& pair) {
  const int64_t i = pair.i * kGramTile;
  const int64_t j = pair.j * kGramTile;
  GramTask task = {};
  task.a = context.a.row(i);
  task.b = context.b.row(j);
  task.a_pitch = context.a.stride * context.a.element_bytes();
  task.b_pitch = context.b.stride * context.b.element_bytes();
  task.a_rows = context.a.rows - i < kGramTile ? context.a.rows - i : kGramTile;
  task.b_rows = context.b.rows - j < kGramTile ? context.b.rows - j : kGramTile;
  task.dtype = context.a.dtype;
  task.symmetric = context.symmetric && i == j ? 1 : 0;
  return task;
}

constexpr int64_t kPairSums = kGramTile * kGramTile;

// Pairs of one column block follow one another: its rows are then in a shared cache.
void gram_body(void* pointer, int64_t unit, int32_t worker) {
  const GramContext& context = *static_cast<const GramContext*>(pointer);
  const int64_t block = unit / context.pairs;
  const int64_t p = unit % context.pairs;
  const GramTask task = tile_task(context, context.pair[p]);
  const int64_t column = block * kGramBlock;
  const int64_t left = context.a.cols - column;
  reduction().gram_block(task, column, left < kGramBlock ? left : kGramBlock,
                         context.sums + (p * context.blocks + block) * kPairSums,
                         context.workspace + worker * context.workspace_bytes);
}

void finish_pair(void* pointer, int64_t p, int32_t) {
  const GramContext& context = *static_cast<const GramContext*>(pointer);
  const TilePair pair = context.pair[p];
  const GramTask task = tile_task(context, pair);
  double* sums = context.sums + p * context.blocks * kPairSums;
  combine_vectors(sums, context.blocks, kPairSums, task.a_rows * task.b_rows);
  double* out = reinterpret_cast<double*>(context.out.data);
  for (int64_t i = 0; i < task.a_rows; i++) {
    for (int64_t j = task.symmetric != 0 ? i : 0; j < task.b_rows; j++) {
      const double value = context.blocks == 0 ? 0.0 : plain_nan(sums[i * task.b_rows + j]);
      const int64_t row = pair.i * kGramTile + i;
      const int64_t column = pair.j * kGramTile + j;
      out[row * context.out.stride + column] = value;
      if (context.symmetric) out[column * context.out.stride + row] = value;
    }
  }
}

/* ---- sums over nodes ------------------------------------------------------------------------------------------------ */

struct NodesContext {
  NodesTask task;
  int64_t cols;
  int64_t blocks;
  double* sums; /* block by block, x_rows each */
  double* distances;
  unsigned char* workspace;
  int64_t workspace_bytes; /* per worker */
};

void nodes_body(void* pointer, int64_t block, int32_t worker) {
  const NodesContext& context = *static_cast<const NodesContext*>(pointer);
  const int64_t column = block * kNodesBlock;
  const int64_t left = context.cols - column;
  reduction().nodes_block(context.task, column, left < kNodesBlock ? left : kNodesBlock,
                          context.sums + block * context.task.x_rows,
                          context.workspace + worker * context.workspace_bytes);
}

// Rows per block of the last phase.
constexpr int64_t kDistanceRows = 1024;

void finish_distances(void* pointer, int64_t part, int32_t) {
  const NodesContext& context = *static_cast<const NodesContext*>(pointer);
  const int64_t rows = context.task.x_rows;
  const int64_t first = part * kDistanceRows;
  const int64_t width = rows - first < kDistanceRows ? rows - first : kDistanceRows;
  combine_vectors(context.sums + first, context.blocks, rows, width);
  for (int64_t r = first; r < first + width; r++) {
    context.distances[r] = context.blocks == 0 ? 0.0 : plain_nan(context.sums[r]);
  }
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
  if (!entry.ok()) return entry.status();
  if (!kith::check_bounds(entry, bounds, segments)) return entry.status();
  return kith::reduce(entry, reduction, a, b, bounds, segments, out);
}

kith_status kith_gram(kith_queue* queue, const kith_matrix* a, const kith_matrix* b, const kith_matrix* out,
                      kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_gram");
  GramContext context = {};
  GramOperands operands;
  if (!check_gram(entry, a, b, out, &operands)) return entry.status();
  context.a = operands.a;
  context.b = operands.b;
  context.out = operands.out;
  context.symmetric = b == nullptr;

  const int64_t a_tiles = cut_into(context.a.rows, kGramTile);
  const int64_t b_tiles = cut_into(context.b.rows, kGramTile);
  const int64_t all_pairs = context.symmetric ? a_tiles * (a_tiles + 1) / 2 : a_tiles * b_tiles;
  if (all_pairs == 0) return entry.finish();
  context.blocks = cut_into(context.a.cols, kGramBlock);
  const int64_t pair_sums = (context.blocks > 0 ? context.blocks : 1) * kPairSums;
  int64_t round = kGramSums / pair_sums;
  if (round < 1) round = 1;
  if (round > all_pairs) round = all_pairs;
  const int64_t pair_bytes = rounded_up(round * static_cast<int64_t>(sizeof(TilePair)), 64);
  const int64_t sum_bytes = round * pair_sums * 8;
  context.workspace_bytes = rounded_up(reduction().gram_scratch(context.a.dtype), 64);
  unsigned char* scratch =
      static_cast<unsigned char*>(entry.scratch(pair_bytes + sum_bytes + entry.workers() * context.workspace_bytes));
  if (scratch == nullptr) return entry.status();
  TilePair* const pairs = reinterpret_cast<TilePair*>(scratch);
  context.pair = pairs;
  context.sums = reinterpret_cast<double*>(scratch + pair_bytes);
  context.workspace = scratch + pair_bytes + sum_bytes;

  TilePair next = {0, 0};
  for (int64_t first = 0; first < all_pairs; first += round) {
    context.pairs = all_pairs - first < round ? all_pairs - first : round;
    for (int64_t p = 0; p < context.pairs; p++) {
      pairs[p] = next;
      if (++next.j == b_tiles) {
        next.i++;
        next.j = context.symmetric ? next.i : 0;
      }
    }
    // Every pair of rows is work, so the bytes are counted once per tile.
    const int64_t bytes = context.pairs * kGramTile * context.a.cols * context.a.element_bytes();
    if (entry.phase(context.blocks * context.pairs, bytes, gram_body, &context) != KITH_OK) return entry.status();
    if (entry.phase(context.pairs, sum_bytes, finish_pair, &context) != KITH_OK) return entry.status();
  }
  return entry.finish();
}

kith_status kith_reduce_nodes(kith_queue* queue, const kith_matrix* x, const kith_matrix* remote,
                              const int32_t* program, int64_t program_length, double divisor, const kith_matrix* out,
                              const kith_matrix* distances, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_reduce_nodes");
  NodesContext context = {};
  NodesTask& task = context.task;
  NodesOperands operands;
  if (!check_nodes(entry, x, remote, program, program_length, out, distances, &operands)) return entry.status();
  const Matrix &mx = operands.x, &mremote = operands.remote, &mout = operands.out;

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
  task.depth = operands.depth;
  task.divisor = divisor;
  task.distances = distances != nullptr ? 1 : 0;
  task.tile = kChunk;
  const int64_t row_bytes = (mx.rows > 0 ? mx.rows : 1) * mx.element_bytes();
  while (task.tile > 64 && task.tile * row_bytes > kTileBytes) task.tile /= 2;
  context.cols = mx.cols;
  context.blocks = cut_into(mx.cols, kNodesBlock);

  const int64_t operation_bytes = rounded_up(program_length * static_cast<int64_t>(sizeof(NodeOperation)), 64);
  const int64_t sum_bytes = rounded_up(task.distances != 0 ? context.blocks * mx.rows * 8 : 0, 64);
  context.workspace_bytes = rounded_up(reduction().nodes_scratch(task), 64);
  unsigned char* scratch = static_cast<unsigned char*>(
      entry.scratch(operation_bytes + sum_bytes + entry.workers() * context.workspace_bytes));
  if (scratch == nullptr) return entry.status();
  NodeOperation* const operations = reinterpret_cast<NodeOperation*>(scratch);
  task.operations = operations;
  task.operation_count = translate(program, program_length, mx.rows, operations);
  context.sums = reinterpret_cast<double*>(scratch + operation_bytes);
  context.workspace = scratch + operation_bytes + sum_bytes;
  context.distances = reinterpret_cast<double*>(operands.distances.data);
  const int64_t bytes = mx.bytes() + mremote.bytes() + mout.bytes();
  if (entry.phase(context.blocks, bytes, nodes_body, &context) != KITH_OK) return entry.status();
  if (task.distances != 0) {
    const int64_t parts = cut_into(mx.rows, kDistanceRows);
    if (entry.phase(parts, sum_bytes, finish_distances, &context) != KITH_OK) return entry.status();
  }
  return entry.finish();
}

}  // extern "C"
