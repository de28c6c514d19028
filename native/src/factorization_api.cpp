// factorization: small matrices whole, several in a block; larger ones a few at a time, by rounds and panels.
#include "core.hpp"
#include "dispatch.hpp"
#include "factorization_checks.hpp"

namespace kith {

KITH_FAMILY(FactorizationKernels, factorization)

namespace {

constexpr int64_t kSmallBytes = 1 << 20;       /* of workspace: worked whole */
constexpr int64_t kBlockElements = 4096;       /* at least, of the matrices in a block */
constexpr int64_t kGroupStep = 8;              /* several are a multiple: no tier works more of them together */
constexpr int64_t kWave = 8;                   /* larger matrices that have a workspace at the same time */
constexpr int64_t kQuantum = int64_t{1} << 26; /* fused operations between two looks at the budget */

struct Context {
  FactorOperands operands;
  double* workspace;
  int64_t pitch; /* doubles of a workspace */
  int64_t group; /* matrices of a block */
  FactorState* states;
  int64_t first; /* matrix of the present wave */
};

void small_body(void* pointer, int64_t block, int32_t worker) {
  const Context& context = *static_cast<const Context*>(pointer);
  const int64_t begin = block * context.group;
  const int64_t end =
      begin + context.group < context.operands.batches ? begin + context.group : context.operands.batches;
  FactorTask tasks[kGroupStep];
  for (int64_t b = begin; b < end; b += kGroupStep) {
    const int64_t count = end - b < kGroupStep ? end - b : kGroupStep;
    for (int64_t l = 0; l < count; l++) tasks[l] = factor_task(context.operands, b + l);
    factorization().whole(tasks, count, context.workspace + worker * context.pitch);
  }
}

void start_body(void* pointer, int64_t block, int32_t) {
  static_cast<const Context*>(pointer)->states[block] = FactorState{};
}

void large_body(void* pointer, int64_t block, int32_t) {
  const Context& context = *static_cast<const Context*>(pointer);
  FactorState& state = context.states[block];
  if (state.finished) return;
  const FactorTask task = factor_task(context.operands, context.first + block);
  state.finished =
      factorization().advance[task.operation](task, state, context.workspace + block * context.pitch, kQuantum);
}

// A bound of the fused operations that a matrix takes.
int64_t most_work(const FactorTask& task) {
  const int64_t m = task.rows, n = task.cols;
  switch (task.operation) {
    case kEigen:
      return kMostSweeps * n * 3 * (n + 1) * (n + 1);
    case kPolar:
      return 4 * m * n * n + kMostSweeps * n * 4 * (n + 1) * (n + 1);
    case kSolve:
    case kUpdate:
      return 2 * n * n * task.width;
    default:
      return 4 * m * n * n;
  }
}

kith_status run(Entry& entry, Context& context) {
  const int64_t batches = context.operands.batches;
  const FactorTask task = factor_task(context.operands, 0);
  if (batches == 0 || task.cols == 0) return entry.run(0, 0, small_body, &context);
  context.pitch = (factorization().workspace(task) + 7) / 8 * 8;
  const int64_t bytes = context.pitch * static_cast<int64_t>(sizeof(double));
  const int64_t size = task.rows * task.cols + task.width * task.cols;
  const int64_t moved = 16 * size; /* keeps a few tiny matrices on the caller */
  if (bytes <= kSmallBytes) {
    context.pitch = (factorization().whole_workspace(task) + 7) / 8 * 8;
    context.workspace =
        static_cast<double*>(entry.scratch(entry.workers() * context.pitch * static_cast<int64_t>(sizeof(double))));
    if (context.workspace == nullptr) return entry.status();
    context.group =
        size >= kBlockElements ? 1 : ((kBlockElements + size - 1) / size + kGroupStep - 1) / kGroupStep * kGroupStep;
    return entry.run((batches + context.group - 1) / context.group, batches * moved, small_body, &context);
  }
  const int64_t wave = batches < kWave ? batches : kWave;
  void* const scratch = entry.scratch(wave * (bytes + static_cast<int64_t>(sizeof(FactorState))));
  if (scratch == nullptr) return entry.status();
  context.workspace = static_cast<double*>(scratch);
  context.states = reinterpret_cast<FactorState*>(static_cast<unsigned char*>(scratch) + wave * bytes);
  const int64_t looks = most_work(task) / kQuantum + 2;
  for (context.first = 0; context.first < batches; context.first += wave) {
    const int64_t count = batches - context.first < wave ? batches - context.first : wave;
    if (entry.phase(count, count * bytes, start_body, &context) != KITH_OK) return entry.status();
    for (int64_t look = 0; look < looks; look++) {
      if (entry.phase(count, count * bytes, large_body, &context) != KITH_OK) return entry.status();
    }
  }
  return entry.finish();
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_eigen(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* values,
                       const kith_batch* vectors, const kith_matrix* sweeps, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_eigen");
  Context context = {};
  if (!check_eigen(entry, batches, a, values, vectors, sweeps, &context.operands)) return entry.status();
  return run(entry, context);
}

kith_status kith_qr(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* q, const kith_batch* r,
                    kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_qr");
  Context context = {};
  if (!check_qr(entry, batches, a, q, r, &context.operands)) return entry.status();
  return run(entry, context);
}

kith_status kith_polar(kith_queue* queue, int64_t batches, const kith_batch* y, const kith_batch* x,
                       const kith_matrix* distance, const kith_matrix* rank, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_polar");
  Context context = {};
  if (!check_polar(entry, batches, y, x, distance, rank, &context.operands)) return entry.status();
  return run(entry, context);
}

kith_status kith_tangent(kith_queue* queue, int64_t batches, const kith_batch* x, const kith_batch* z,
                         const kith_batch* out, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_tangent");
  Context context = {};
  if (!check_tangent(entry, batches, x, z, out, &context.operands)) return entry.status();
  return run(entry, context);
}

kith_status kith_cholesky(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* l,
                          const kith_matrix* failed, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_cholesky");
  Context context = {};
  if (!check_cholesky(entry, batches, a, l, failed, &context.operands)) return entry.status();
  return run(entry, context);
}

kith_status kith_cholesky_solve(kith_queue* queue, int64_t batches, const kith_batch* l, const kith_batch* b,
                                const kith_batch* x, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_cholesky_solve");
  Context context = {};
  if (!check_cholesky_solve(entry, batches, l, b, x, &context.operands)) return entry.status();
  return run(entry, context);
}

kith_status kith_cholesky_update(kith_queue* queue, int64_t batches, int32_t downdate, const kith_batch* l,
                                 const kith_batch* v, const kith_matrix* failed, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_cholesky_update");
  Context context = {};
  if (!check_cholesky_update(entry, batches, downdate, l, v, failed, &context.operands)) return entry.status();
  return run(entry, context);
}

}  // extern "C"
