// lowrank: the cut of all tensors of all rows into blocks, and the sums of more than one block put together.
#include <cstring>

#include "core.hpp"
#include "cpu_weights.hpp"
#include "dispatch.hpp"
#include "lowrank_checks.hpp"

namespace kith {

KITH_FAMILY(LowRankKernels, lowrank)

namespace {

// Columns of a block where rows are written, and elements of one.
constexpr int64_t kColumns = 1024;
constexpr int64_t kBlock = 64 << 10;
// Sums of right that should stay in the first-level cache beside the rows that enter them.
constexpr int64_t kRightSums = 4096;
constexpr int64_t kRightColumns = 128;  // at least
// What a block of accumulate may multiply, so that long rows of W do not hold up a call.
constexpr int64_t kSumWork = 32 << 20;
// Outputs of this size do not stay in the caches for whoever reads them next.
constexpr int64_t kStreamBytes = 16 << 20;

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t rounded_up(int64_t n, int64_t multiple) { return cut_into(n, multiple) * multiple; }

// A tensor, its factors, and its place among the blocks of a row.
struct Plan {
  kith_shape shape;
  int64_t p_column;
  int64_t q_column;
  int64_t first_block;
  int64_t down;
  int64_t across;
  int64_t row_step;
  int64_t column_step;
  int64_t node; /* of its sums; meaningful where it has several nodes */
  int64_t nodes;
};

struct Task {
  LowRankOperands operands;
  const Plan* plans;
  int64_t count;
  int64_t blocks_per_row;
  double* nodes;
  int64_t nodes_per_row;
  unsigned char* scratch;
  int64_t scratch_step;
  bool right;
  int64_t rank;   /* the largest */
  int64_t column; /* of orthonormalise */
};

// Lists the tensors; `cut` fills down, across, steps and nodes of a plan.
template <class Cut>
void list(const kith_shape* shapes, int64_t count, Plan* plans, Task* task, Cut cut) {
  int64_t p = 0, q = 0, blocks = 0, nodes = 0;
  for (int64_t t = 0; t < count; t++) {
    Plan& plan = plans[t];
    plan = Plan{};
    plan.shape = shapes[t];
    plan.p_column = p;
    plan.q_column = q;
    plan.nodes = 1;
    cut(plan);
    plan.down = cut_into(plan.shape.rows, plan.row_step);
    plan.across = cut_into(plan.shape.cols, plan.column_step);
    plan.first_block = blocks;
    plan.node = nodes;
    blocks += plan.down * plan.across;
    const int64_t factor = plan.shape.rank * (task->right ? plan.shape.cols : plan.shape.rows);
    if (plan.nodes > 1) nodes += plan.nodes * factor;
    p += plan.shape.rank * plan.shape.rows;
    q += plan.shape.rank * plan.shape.cols;
  }
  task->plans = plans;
  task->count = count;
  task->blocks_per_row = blocks;
  task->nodes_per_row = nodes;
}

// The last tensor that begins at or before block `block` of a row.
const Plan& plan_of(const Task& task, int64_t block) {
  int64_t low = 0, high = task.count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (task.plans[middle].first_block <= block) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return task.plans[low];
}

struct Block {
  const Plan* plan;
  int64_t r; /* row of the operands */
  int64_t row;
  int64_t row_end;
  int64_t column;
  int64_t column_end;
};

Block block_of(const Task& task, int64_t number) {
  Block b;
  b.r = number / task.blocks_per_row;
  const int64_t inside = number % task.blocks_per_row;
  b.plan = &plan_of(task, inside);
  const kith_shape& shape = b.plan->shape;
  const int64_t at = inside - b.plan->first_block;
  b.row = at / b.plan->across * b.plan->row_step;
  b.column = at % b.plan->across * b.plan->column_step;
  b.row_end = shape.rows - b.row < b.plan->row_step ? shape.rows : b.row + b.plan->row_step;
  b.column_end = shape.cols - b.column < b.plan->column_step ? shape.cols : b.column + b.plan->column_step;
  return b;
}

float* element(const Matrix& m, int64_t r, int64_t column) {
  return m.data == nullptr ? nullptr : reinterpret_cast<float*>(m.row(r)) + column;
}

LowRankTensor tensor_of(const Task& task, const Plan& plan, int64_t r) {
  const LowRankOperands& o = task.operands;
  return LowRankTensor{element(o.x, r, plan.shape.offset),
                       element(o.minus, r, plan.shape.offset),
                       element(o.residual, r, plan.shape.offset),
                       o.p.data == nullptr ? nullptr : factor_row(o.p, r) + plan.p_column,
                       o.q.data == nullptr ? nullptr : factor_row(o.q, r) + plan.q_column,
                       element(o.out, r, plan.shape.offset),
                       plan.shape.rows,
                       plan.shape.cols,
                       plan.shape.rank};
}

int64_t source_bytes(const LowRankOperands& o) { return o.x.bytes() + o.minus.bytes() + o.residual.bytes(); }

/* ---- left and right ---------------------------------------------------------------------------------------------- */

void left_body(void* context, int64_t number, int32_t worker) {
  const Task& task = *static_cast<const Task*>(context);
  const Block b = block_of(task, number);
  const kith_shape& shape = b.plan->shape;
  unsigned char* const scratch = task.scratch + worker * task.scratch_step;
  double* const sums = reinterpret_cast<double*>(scratch);
  const int64_t rows = b.row_end - b.row;
  const bool found =
      lowrank().left(tensor_of(task, *b.plan, b.r), b.row, rows, b.column, b.column_end - b.column,
                     task.operands.flags.data != nullptr, sums, scratch + kLeftRows * KITH_MAX_RANK * sizeof(double));
  if (found) __atomic_fetch_or(reinterpret_cast<int32_t*>(task.operands.flags.data) + b.r, 1, __ATOMIC_RELAXED);
  float* const p = element(task.operands.p, b.r, b.plan->p_column);
  double* const node =
      task.nodes + b.r * task.nodes_per_row + b.plan->node + b.column / b.plan->column_step * shape.rank * shape.rows;
  for (int64_t k = 0; k < shape.rank; k++) {
    for (int64_t i = 0; i < rows; i++) {
      const double sum = sums[i * shape.rank + k];
      const int64_t at = k * shape.rows + b.row + i;
      if (b.plan->nodes > 1) {
        node[at] = sum;
      } else {
        p[at] = static_cast<float>(sum);
      }
    }
  }
}

void right_body(void* context, int64_t number, int32_t worker) {
  const Task& task = *static_cast<const Task*>(context);
  const Block b = block_of(task, number);
  const kith_shape& shape = b.plan->shape;
  const int64_t n = b.column_end - b.column;
  double* const sums = reinterpret_cast<double*>(task.scratch + worker * task.scratch_step);
  lowrank().right(tensor_of(task, *b.plan, b.r), b.row, b.row_end - b.row, b.column, n, sums, sums + shape.rank * n);
  float* const q = element(task.operands.q, b.r, b.plan->q_column);
  double* const node =
      task.nodes + b.r * task.nodes_per_row + b.plan->node + b.row / b.plan->row_step * shape.rank * shape.cols;
  for (int64_t k = 0; k < shape.rank; k++) {
    const int64_t at = k * shape.cols + b.column;
    if (b.plan->nodes > 1) {
      std::memcpy(node + at, sums + k * n, static_cast<size_t>(n) * sizeof(double));
    } else {
      for (int64_t j = 0; j < n; j++) q[at + j] = static_cast<float>(sums[k * n + j]);
    }
  }
}

// One column of a factor whose sums are several nodes: combined pairwise, neighbours first, an odd last one moving up.
void finish_body(void* context, int64_t number, int32_t) {
  const Task& task = *static_cast<const Task*>(context);
  const int64_t k = number % task.rank;
  const Plan& plan = task.plans[number / task.rank % task.count];
  const int64_t r = number / task.rank / task.count;
  if (plan.nodes == 1 || k >= plan.shape.rank) return;
  const int64_t length = task.right ? plan.shape.cols : plan.shape.rows;
  const int64_t pitch = plan.shape.rank * length;
  double* const first = task.nodes + r * task.nodes_per_row + plan.node + k * length;
  for (int64_t step = 1; step < plan.nodes; step *= 2) {
    for (int64_t i = 0; i + step < plan.nodes; i += 2 * step) {
      double* const a = first + i * pitch;
      const double* const b = first + (i + step) * pitch;
      for (int64_t j = 0; j < length; j++) a[j] = a[j] + b[j];
    }
  }
  const Matrix& out = task.right ? task.operands.q : task.operands.p;
  float* const to = element(out, r, (task.right ? plan.q_column : plan.p_column) + k * length);
  for (int64_t j = 0; j < length; j++) to[j] = static_cast<float>(first[j]);
}

int64_t right_columns(int64_t rank) {
  const int64_t columns = kRightSums / rank / kRightColumns * kRightColumns;
  return columns < kRightColumns ? kRightColumns : columns > kColumns ? kColumns : columns;
}

// After the operands were checked.
kith_status products(Entry& entry, const kith_shape* shapes, int64_t count, Task* task) {
  const int64_t rows = task->operands.x.rows;
  if (rows == 0 || count == 0) return entry.finish();
  const int64_t plan_bytes = rounded_up(count * static_cast<int64_t>(sizeof(Plan)), 64);
  int64_t rank = 1, sums_bytes = 0, own_bytes = 0;
  const auto cut = [&](Plan& plan) {
    const kith_shape& shape = plan.shape;
    plan.row_step = task->right ? kRightNode : kLeftRows;
    plan.column_step = task->right ? right_columns(shape.rank) : kLeftNode;
    plan.nodes = task->right ? cut_into(shape.rows, kRightNode) : cut_into(shape.cols, kLeftNode);
    if (shape.rank > rank) rank = shape.rank;
    if (!task->right) return;
    const int64_t n = plan.column_step < shape.cols ? plan.column_step : shape.cols;
    const int64_t bytes = shape.rank * n * 8 + lowrank().right_scratch(shape.rank, n);
    if (bytes > own_bytes) own_bytes = bytes;
  };
  // Counted first: the plans stand in the scratch that is asked for.
  for (int64_t t = 0; t < count; t++) {
    Plan plan = {};
    plan.shape = shapes[t];
    cut(plan);
    const int64_t length = task->right ? shapes[t].cols : shapes[t].rows;
    if (plan.nodes > 1) sums_bytes += plan.nodes * shapes[t].rank * length * 8;
  }
  if (!task->right) {
    own_bytes = kLeftRows * KITH_MAX_RANK * static_cast<int64_t>(sizeof(double)) + lowrank().left_scratch(rank);
  }
  task->scratch_step = rounded_up(own_bytes, 64);
  sums_bytes = rounded_up(rows * sums_bytes, 64);
  unsigned char* const scratch =
      static_cast<unsigned char*>(entry.scratch(plan_bytes + sums_bytes + entry.workers() * task->scratch_step));
  if (scratch == nullptr) return entry.status();
  task->nodes = reinterpret_cast<double*>(scratch + plan_bytes);
  task->scratch = scratch + plan_bytes + sums_bytes;
  list(shapes, count, reinterpret_cast<Plan*>(scratch), task, cut);
  task->rank = rank;
  const int64_t bytes = source_bytes(task->operands) + task->operands.p.bytes() + task->operands.q.bytes();
  if (entry.phase(rows * task->blocks_per_row, bytes, task->right ? right_body : left_body, task) != KITH_OK) {
    return entry.status();
  }
  if (sums_bytes > 0 && entry.phase(rows * count * rank, sums_bytes, finish_body, task) != KITH_OK) {
    return entry.status();
  }
  return entry.finish();
}

/* ---- orthonormalise ------------------------------------------------------------------------------------------------ */

void orthonormalise_body(void* context, int64_t number, int32_t) {
  const Task& task = *static_cast<const Task*>(context);
  const Plan& plan = task.plans[number % task.count];
  if (task.column >= plan.shape.rank) return;
  lowrank().orthonormalise(element(task.operands.out, number / task.count, task.right ? plan.q_column : plan.p_column),
                           task.right ? plan.shape.cols : plan.shape.rows, task.column);
}

/* ---- residual and accumulate --------------------------------------------------------------------------------------- */

void cut_writes(Plan& plan, int64_t work_per_element) {
  plan.column_step = plan.shape.cols < kColumns ? plan.shape.cols : kColumns;
  const int64_t elements = kSumWork / work_per_element < kBlock ? kSumWork / work_per_element : kBlock;
  plan.row_step = elements < plan.column_step ? 1 : elements / plan.column_step;
}

void residual_body(void* context, int64_t number, int32_t) {
  const Task& task = *static_cast<const Task*>(context);
  const Block b = block_of(task, number);
  lowrank().residual(tensor_of(task, *b.plan, b.r), b.row, b.row_end, b.column, b.column_end);
}

struct SumTask {
  Task task;
  LowRankSumOperands operands;
  const CpuWeights* weights; /* NULL: the identity */
  bool add;
  bool streaming;
};

const float* factor_of(const Matrix& own, const Matrix& halo, int64_t nodes, int64_t j, int64_t column) {
  const bool far = j >= nodes && halo.data != nullptr;
  return far ? element(halo, j - nodes, column) : factor_row(own, j) + column;
}

void accumulate_body(void* context, int64_t number, int32_t worker) {
  const SumTask& sums = *static_cast<const SumTask*>(context);
  const Task& task = sums.task;
  const LowRankSumOperands& o = sums.operands;
  const Block b = block_of(task, number);
  const CpuWeights* const w = sums.weights;
  LowRankTerm* const terms = reinterpret_cast<LowRankTerm*>(task.scratch + worker * task.scratch_step);
  int64_t count = 0;
  const auto enter = [&](int64_t j, float weight) {
    terms[count++] = LowRankTerm{factor_of(o.p, o.halo_p, o.nodes, j, b.plan->p_column),
                                 factor_of(o.q, o.halo_q, o.nodes, j, b.plan->q_column), weight};
  };
  int64_t row = b.r;
  if (w == nullptr) {
    enter(b.r, 1);
  } else {
    for (int64_t e = w->offsets[b.r]; e < w->offsets[b.r + 1]; e++) enter(w->columns[e], w->values32[e]);
    if (w->output_rows != nullptr) row = w->output_rows[b.r];
  }
  const kith_shape& shape = b.plan->shape;
  const LowRankSum sum = {terms,        count,      element(o.y, row, shape.offset),
                          shape.rows,   shape.cols, shape.rank,
                          w == nullptr, sums.add,   sums.streaming};
  lowrank().accumulate(sum, b.row, b.row_end, b.column, b.column_end);
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_lowrank_left(kith_queue* queue, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                              const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* q,
                              const kith_matrix* p, const kith_matrix* flags, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_left");
  Task task = {};
  if (!check_lowrank_left(entry, shapes, count, x, minus, residual, q, p, flags, &task.operands)) {
    return entry.status();
  }
  return products(entry, shapes, count, &task);
}

kith_status kith_lowrank_right(kith_queue* queue, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                               const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* p,
                               const kith_matrix* q, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_right");
  Task task = {};
  task.right = true;
  if (!check_lowrank_right(entry, shapes, count, x, minus, residual, p, q, &task.operands)) return entry.status();
  return products(entry, shapes, count, &task);
}

kith_status kith_lowrank_orthonormalise(kith_queue* queue, const kith_shape* shapes, int64_t count, int32_t right,
                                        const kith_matrix* factors, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_orthonormalise");
  Task task = {};
  task.right = right == 1;
  if (!check_lowrank_orthonormalise(entry, shapes, count, right, factors, &task.operands.out)) return entry.status();
  const int64_t rows = task.operands.out.rows;
  if (rows == 0 || count == 0) return entry.finish();
  Plan* const plans = static_cast<Plan*>(entry.scratch(count * static_cast<int64_t>(sizeof(Plan))));
  if (plans == nullptr) return entry.status();
  int64_t rank = 0;
  list(shapes, count, plans, &task, [&](Plan& plan) {
    plan.row_step = plan.shape.rows;
    plan.column_step = plan.shape.cols;
    if (plan.shape.rank > rank) rank = plan.shape.rank;
  });
  // A column needs those before it.
  for (task.column = 0; task.column < rank; task.column++) {
    const int64_t bytes = task.operands.out.bytes() / rank * (task.column + 1) * 4;
    if (entry.phase(rows * count, bytes, orthonormalise_body, &task) != KITH_OK) return entry.status();
  }
  return entry.finish();
}

kith_status kith_lowrank_residual(kith_queue* queue, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                                  const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* p,
                                  const kith_matrix* q, const kith_matrix* out, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_residual");
  Task task = {};
  if (!check_lowrank_residual(entry, shapes, count, x, minus, residual, p, q, out, &task.operands)) {
    return entry.status();
  }
  const int64_t rows = task.operands.x.rows;
  if (rows == 0 || count == 0) return entry.finish();
  Plan* const plans = static_cast<Plan*>(entry.scratch(count * static_cast<int64_t>(sizeof(Plan))));
  if (plans == nullptr) return entry.status();
  list(shapes, count, plans, &task, [](Plan& plan) { cut_writes(plan, plan.shape.rank); });
  const int64_t bytes = source_bytes(task.operands) + task.operands.out.bytes();
  return entry.run(rows * task.blocks_per_row, bytes, residual_body, &task);
}

kith_status kith_lowrank_accumulate(kith_queue* queue, const kith_weights* weights, const kith_shape* shapes,
                                    int64_t count, const kith_matrix* p, const kith_matrix* q,
                                    const kith_matrix* halo_p, const kith_matrix* halo_q, int32_t add,
                                    const kith_matrix* y, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_lowrank_accumulate");
  SumTask sums = {};
  if (!check_lowrank_accumulate(entry, weights, shapes, count, p, q, halo_p, halo_q, add, y, &sums.operands)) {
    return entry.status();
  }
  sums.weights = static_cast<const CpuWeights*>(weights);
  if (weights != nullptr && sums.weights->offsets == nullptr) {
    return entry.fail(KITH_UNSUPPORTED, "weights are dense; low-rank factors are added with sparse ones");
  }
  const int64_t rows = weights == nullptr ? sums.operands.y.rows : weights->rows;
  if (rows == 0 || count == 0) return entry.finish();
  const int64_t longest = weights == nullptr ? 1 : sums.weights->longest;
  Task& task = sums.task;
  const int64_t plan_bytes = rounded_up(count * static_cast<int64_t>(sizeof(Plan)), 64);
  task.scratch_step = rounded_up(longest * static_cast<int64_t>(sizeof(LowRankTerm)), 64);
  unsigned char* const scratch =
      static_cast<unsigned char*>(entry.scratch(plan_bytes + entry.workers() * task.scratch_step));
  if (scratch == nullptr) return entry.status();
  task.scratch = scratch + plan_bytes;
  list(shapes, count, reinterpret_cast<Plan*>(scratch), &task,
       [&](Plan& plan) { cut_writes(plan, 1 + longest * plan.shape.rank); });
  sums.add = add == 1;
  sums.streaming = !sums.add && sums.operands.y.bytes() >= kStreamBytes;
  const int64_t bytes = sums.operands.y.bytes() * 2;
  return entry.run(rows * task.blocks_per_row, bytes, accumulate_body, &sums);
}

}  // extern "C"
