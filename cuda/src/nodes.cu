/*
 * nodes: sums over nodes, and distances from them, by a program over rows; see kith.h.
 *
 * Bytes per element (f32): 4 B per row, 4 B per row of `out`, and 4 B per row more for distances.
 * Determinism: an element is made by one thread in the order of the program; distances on the tree of chunks.hpp.
 * Emulated: all of it.
 *
 * Launch shape: 128 threads, 16 bytes of columns each; up to eight rows in flight; the stack below its top in shared
 * memory, or in device memory where programs are deeper than 48 KiB allow. Distances then as chunks.
 */
#include <cstdlib>

#include "chunks.hpp"

namespace kith {

namespace {

constexpr int kNodesThreads = 128;

template <class T>
constexpr int kVector = 16 / static_cast<int>(sizeof(T));
template <class T>
using Slot = Pack<T, kVector<T>>;

struct Nodes {
  NodesTask task; /* on the device */
  int64_t cols;
  int64_t units; /* of 16 bytes of the compute type, then single columns */
  int64_t vectors;
  int64_t head; /* single columns before the vectors */
  void* stack;  /* NULL: in shared memory */
  void* values; /* the result in the compute type, for distances; NULL: not wanted */
};

/* Slots of one thread. */
template <class T, class Memory>
struct Stack {
  Memory memory;
  int64_t first;
  int64_t step;

  KITH_DEVICE Slot<T> load(int64_t i) const { return memory[first + i * step]; }
  KITH_DEVICE void store(int64_t i, const Slot<T>& slot) { memory[first + i * step] = slot; }
};

template <class T, class Memory>
KITH_DEVICE Stack<T, Memory> stack_of(Memory memory, int64_t first, int64_t step) {
  return Stack<T, Memory>{memory, first, step};
}

template <class T, int V, class S, int kRows>
KITH_DEVICE void balanced(const NodeOperation& operation, const unsigned char* base, int64_t pitch, int64_t first_row,
                          int64_t column, T (&sum)[V]) {
  Pack<S, V> raw[kRows];
  KITH_UNROLL
  for (int r = 0; r < kRows; r++) {
    raw[r] = load_pack<V>(reinterpret_cast<const S*>(base + (operation.rows[r] - first_row) * pitch) + column);
  }
  KITH_UNROLL
  for (int i = 0; i < V; i++) {
    T v[kRows];
    KITH_UNROLL
    for (int r = 0; r < kRows; r++) v[r] = widen<T>(raw[r].v[i]);
    KITH_UNROLL
    for (int d = 1; d < kRows; d *= 2) {
      KITH_UNROLL
      for (int r = 0; r + d < kRows; r += 2 * d) v[r] = v[r] + v[r + d];
    }
    sum[i] = v[0];
  }
}

template <class T, int V, class S>
KITH_DEVICE void rows_of(const NodeOperation& operation, const unsigned char* base, int64_t pitch, int64_t first_row,
                         int64_t column, T (&sum)[V]) {
  switch (operation.kind) {
    case kNodeSum8:
      return balanced<T, V, S, 8>(operation, base, pitch, first_row, column, sum);
    case kNodeSum4:
      return balanced<T, V, S, 4>(operation, base, pitch, first_row, column, sum);
    case kNodeSum2:
      return balanced<T, V, S, 2>(operation, base, pitch, first_row, column, sum);
    default:
      return balanced<T, V, S, 1>(operation, base, pitch, first_row, column, sum);
  }
}

template <class T, int V, class S>
KITH_DEVICE void store_values(unsigned char* row, int64_t column, const T (&v)[V]) {
  Pack<S, V> out;
  KITH_UNROLL
  for (int i = 0; i < V; i++) out.v[i] = narrow<S>(v[i]);
  store_pack<V>(reinterpret_cast<S*>(row) + column, out);
}

template <class T, class S, int V, class Slots>
KITH_DEVICE void node_columns(const Nodes& nodes, int64_t column, Slots stack) {
  const NodesTask& task = nodes.task;
  T top[V];
  KITH_UNROLL
  for (int i = 0; i < V; i++) top[i] = T(0);
  int64_t height = 0;
  for (int64_t o = 0; o < task.operation_count; o++) {
    const NodeOperation& operation = task.operations[o];
    if (operation.kind == kNodeAdd) {
      height--;
      const Slot<T> below = stack.load(height - 1);
      KITH_UNROLL
      for (int i = 0; i < V; i++) top[i] = below.v[i] + top[i];
      continue;
    }
    T v[V];
    if (operation.rows[0] < task.x_rows) {
      rows_of<T, V, S>(operation, task.x, task.x_pitch, 0, column, v);
    } else if (task.remote_dtype == task.x_dtype) {
      rows_of<T, V, S>(operation, task.remote, task.remote_pitch, task.x_rows, column, v);
    } else {
      rows_of<T, V, T>(operation, task.remote, task.remote_pitch, task.x_rows, column, v);
    }
    if (operation.kind == kNodeAddRow) {
      KITH_UNROLL
      for (int i = 0; i < V; i++) top[i] = top[i] + v[i];
      continue;
    }
    if (height > 0) {
      Slot<T> slot = {};
      KITH_UNROLL
      for (int i = 0; i < V; i++) slot.v[i] = top[i];
      stack.store(height - 1, slot);
    }
    height++;
    KITH_UNROLL
    for (int i = 0; i < V; i++) top[i] = v[i];
  }
  const T divisor = static_cast<T>(task.divisor);
  for (int64_t r = 0; r < task.out_rows; r++) {
    T v[V];
    if (r + 1 == task.out_rows) {
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = top[i];
    } else {
      const Slot<T> slot = stack.load(r);
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = slot.v[i];
    }
    if (task.divisor != 1.0) {
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = v[i] / divisor;
    }
    unsigned char* row = task.out + r * task.out_pitch;
    if (task.out_dtype == KITH_BF16) {
      if (task.out != nullptr) store_values<T, V, bf16>(row, column, v);
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = rounded<bf16>(v[i]);
    } else if (task.out_dtype == KITH_F16) {
      if (task.out != nullptr) store_values<T, V, f16>(row, column, v);
      KITH_UNROLL
      for (int i = 0; i < V; i++) v[i] = rounded<f16>(v[i]);
    } else if (task.out != nullptr) {
      store_values<T, V, T>(row, column, v);
    }
    if (nodes.values != nullptr) store_values<T, V, T>(static_cast<unsigned char*>(nodes.values), column, v);
  }
}

template <class T, class S, class Slots>
KITH_DEVICE void node_units(const Nodes& nodes, Slots stack) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t unit = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; unit < nodes.units; unit += step) {
    if (unit < nodes.vectors) {
      node_columns<T, S, kVector<T>>(nodes, nodes.head + unit * kVector<T>, stack);
    } else {
      const int64_t single = unit - nodes.vectors;
      node_columns<T, S, 1>(nodes, single < nodes.head ? single : single + nodes.vectors * kVector<T>, stack);
    }
  }
}

template <class S>
KITH_KERNEL(kNodesThreads)
void reduce_columns(Nodes nodes) {
  using T = Compute<S>;
  KITH_DYNAMIC_SHARED(Slot<T>, slots);
  node_units<T, S>(nodes, stack_of<T>(slots, static_cast<int64_t>(threadIdx.x), blockDim.x));
}

/* Programs too deep for shared memory. */
template <class S>
KITH_KERNEL(kNodesThreads)
void reduce_columns_deep(Nodes nodes) {
  using T = Compute<S>;
  const int64_t self = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t all = static_cast<int64_t>(gridDim.x) * blockDim.x;
  node_units<T, S>(nodes, stack_of<T>(static_cast<Slot<T>*>(nodes.stack), self, all));
}

/* Units of as many columns as 16 bytes of the compute type hold, where all matrices can be read that way. */
void cut_nodes(const NodesOperands& operands, Nodes* nodes) {
  const int64_t width = operands.x.dtype == KITH_F64 ? 2 : 4;
  const int64_t size = operands.x.element_bytes();
  const uintptr_t past = reinterpret_cast<uintptr_t>(operands.x.data) % static_cast<uintptr_t>(width * size);
  const int64_t head = past == 0 ? 0 : width - static_cast<int64_t>(past) / size;
  bool alike = head + width <= nodes->cols;
  const Matrix* all[3] = {&operands.x, &operands.remote, &operands.out};
  for (const Matrix* m : all) {
    if (m->data == nullptr) continue;
    const uintptr_t access = static_cast<uintptr_t>(width * m->element_bytes());
    alike = alike &&
            (reinterpret_cast<uintptr_t>(m->data) + static_cast<uintptr_t>(head * m->element_bytes())) % access == 0;
    alike = alike && (m->rows <= 1 || static_cast<uintptr_t>(m->stride * m->element_bytes()) % access == 0);
  }
  nodes->head = alike ? head : 0;
  nodes->vectors = alike ? (nodes->cols - head) / width : 0;
  nodes->units = nodes->cols - nodes->vectors * (width - 1);
}

/* Bytes of stacks in device memory. */
constexpr int64_t kStackBytes = 256 << 20;

template <class S>
void launch_nodes(Entry& entry, Nodes nodes, const NodesOperands& operands) {
  using T = Compute<S>;
  const Matrix& x = operands.x;
  const int64_t slots = operands.depth > 1 ? operands.depth - 1 : 1; /* the top is in registers */
  const int64_t shared = slots * kNodesThreads * 16;
  const bool deep = shared > kPlainShared;
  const bool wanted = operands.distances.data != nullptr;
  int64_t blocks = cut_into(nodes.units, kNodesThreads);
  if (deep) {
    const int64_t most = kStackBytes / shared > 0 ? kStackBytes / shared : 1;
    if (blocks > most) blocks = most;
  }
  blocks = at_most(blocks);
  const int64_t chunks = wanted ? cut_into(x.cols, kChunk) : 0;
  const int64_t stack_bytes = deep ? rounded_up(blocks * shared) : 0;
  /* One access more than the columns: the first vector of values is aligned as that of x. */
  const int64_t value_bytes = wanted ? rounded_up((x.cols + kVector<T>)*static_cast<int64_t>(sizeof(T))) : 0;
  const int64_t sum_bytes = rounded_up(x.rows * chunks * 8 + 8);
  unsigned char* scratch = static_cast<unsigned char*>(entry.scratch(stack_bytes + value_bytes + sum_bytes));
  if (scratch == nullptr) return;
  nodes.stack = scratch;
  if (wanted) {
    const int64_t shift = (kVector<T> - nodes.head % kVector<T>) % kVector<T>;
    nodes.values = scratch + stack_bytes + shift * static_cast<int64_t>(sizeof(T));
  }
  if (nodes.units > 0) {
    if (deep) {
      entry.launched(KITH_LAUNCH((reduce_columns_deep<S>), static_cast<unsigned>(blocks), kNodesThreads, 0,
                                 entry.stream(), nodes));
    } else {
      entry.launched(KITH_LAUNCH((reduce_columns<S>), static_cast<unsigned>(blocks), kNodesThreads,
                                 static_cast<size_t>(shared), entry.stream(), nodes));
    }
  }
  if (!wanted || x.rows == 0 || !entry.ok()) return;
  Chunks task = {};
  task.a = x.data;
  task.a_pitch = x.stride * x.element_bytes();
  task.b = static_cast<unsigned char*>(nodes.values);
  task.rows = x.rows;
  task.cols = x.cols;
  task.segments = 1;
  task.total = chunks;
  task.sums = reinterpret_cast<double*>(scratch + stack_bytes + value_bytes);
  if (chunks > 0) launch_chunks<Distance, S, T>(entry, task);
  SegmentTarget target = {};
  target.sums = task.sums;
  target.segments = 1;
  target.total = chunks;
  target.out = reinterpret_cast<double*>(operands.distances.data);
  target.pitch = 1;
  if (entry.ok()) combine<Adding>(entry, target, x.rows, chunks);
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_reduce_nodes(kith_queue* queue, const kith_matrix* x, const kith_matrix* remote,
                              const int32_t* program, int64_t program_length, double divisor, const kith_matrix* out,
                              const kith_matrix* distances, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_reduce_nodes");
  NodesOperands operands;
  if (!entry.ok() || !check_nodes(entry, x, remote, program, program_length, out, distances, &operands)) {
    return entry.status();
  }
  const Matrix &mx = operands.x, &mremote = operands.remote, &mout = operands.out;
  Nodes nodes = {};
  NodesTask& task = nodes.task;
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
  task.divisor = divisor;
  NodeOperation* operations = static_cast<NodeOperation*>(
      std::malloc(static_cast<size_t>(program_length > 0 ? program_length : 1) * sizeof(NodeOperation)));
  if (operations == nullptr) {
    return entry.fail(KITH_OUT_OF_MEMORY, "no memory for a program of %lld entries",
                      static_cast<long long>(program_length));
  }
  task.operation_count = translate(program, program_length, mx.rows, operations);
  task.operations = entry.upload(operations, task.operation_count);
  std::free(operations);
  if (task.operations == nullptr) return entry.status();
  nodes.cols = mx.cols;
  cut_nodes(operands, &nodes);
  switch (mx.dtype) {
    case KITH_F64:
      launch_nodes<double>(entry, nodes, operands);
      break;
    case KITH_BF16:
      launch_nodes<bf16>(entry, nodes, operands);
      break;
    case KITH_F16:
      launch_nodes<f16>(entry, nodes, operands);
      break;
    default:
      launch_nodes<float>(entry, nodes, operands);
  }
  return entry.finish();
}

}  // extern "C"
