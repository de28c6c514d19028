/*
 * memory: allocation, wrapping, fill, conversion, transfer and row gathering.
 *
 * Bytes per element: fill, the element; convert, source plus target; gather, twice the element and 4 per row.
 * Launch: 256 threads, grid-stride over packs of 8 (convert) or 16 bytes (fill, gather) of one row, 64-bit indices; the
 * rows of a matrix without padding count as one row. Packs begin where the target is aligned to 16 bytes; a source that is
 * not aligned there is read element by element. At most 8 blocks per multiprocessor: 2,048 threads with 16 to 32 bytes each
 * in flight.
 * Registers (sm_90): fill 30, convert 38 to 40, gather 30.
 * Determinism: element by element, one rounding to nearest even; NaN stays a quiet NaN. A gather with a bad index
 * writes the other rows and is reported at the next wait.
 * Emulated: all. Hardware conversions of f16 have plain twins of equal bits in convert.hpp.
 */
#include "memory_checks.hpp"

#include <cstdlib>
#include <type_traits>

#include "convert.hpp"
#include "host.hpp"
#include "launch.hpp"

namespace kith {

namespace {

constexpr int kThreads = 256;
constexpr int kPerMultiprocessor = 8;

// A row of a matrix and what the threads share of it: `head` elements, packs of `width`, the rest.
struct Shape {
  int64_t rows;
  int64_t cols;
  int64_t from_stride; /* elements */
  int64_t to_stride;
};

// Rows without padding are one row.
Shape shape_of(const Matrix& from, const Matrix& to) {
  Shape s = {to.rows, to.cols, from.stride, to.stride};
  if (from.stride == from.cols && to.stride == to.cols) {
    s.cols *= s.rows;
    s.rows = 1;
    s.from_stride = s.to_stride = s.cols;
  }
  return s;
}

// Calls single(row, column) and pack(row, column) so that every element is covered once. Work items are packs; a row's
// head and tail, each shorter than a pack, belong to its item 0 and last.
template <int W, class S, class Single, class Whole>
KITH_DEVICE void cover(const S* to, const Shape& shape, Single single, Whole whole) {
  const int64_t per_row = (shape.cols + W - 1) / W + 1;
  const int64_t items = shape.rows * per_row;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) {
    const int64_t row = shape.rows == 1 ? 0 : item / per_row;
    const int64_t index = item - row * per_row;
    const int64_t head = head_of(to + row * shape.to_stride, shape.cols);
    // Item 0 is the head, item i + 1 the i-th pack.
    const int64_t begin = index == 0 ? 0 : head + (index - 1) * W;
    int64_t end = index == 0 ? head : begin + W;
    if (end > shape.cols) end = shape.cols;
    if (end - begin == W) {
      whole(row, begin);
    } else {
      for (int64_t c = begin; c < end; c++) single(row, c);
    }
  }
}

/* ---- fill ---------------------------------------------------------------------------------------------------------- */

template <class S>
struct FillSingle {
  S* to;
  int64_t stride;
  S value;
  KITH_DEVICE void operator()(int64_t r, int64_t c) const { to[r * stride + c] = value; }
};
template <int W, class S>
struct FillWhole {
  S* to;
  int64_t stride;
  S value;
  KITH_DEVICE void operator()(int64_t r, int64_t c) const {
    Pack<S, W> pack;
    for (int i = 0; i < W; i++) pack.v[i] = value;
    store_pack<W>(to + r * stride + c, pack);
  }
};

// One rounding; what becomes an i32 was truncated before.
template <class S>
KITH_DEVICE S element_of(double value) {
  return narrow<S>(value);
}
template <>
KITH_DEVICE int32_t element_of<int32_t>(double value) {
  return static_cast<int32_t>(value);
}

template <class S>
KITH_KERNEL(kThreads)
void fill(S* to, Shape shape, double value) {
  constexpr int W = 16 / static_cast<int>(sizeof(S));
  const S element = element_of<S>(value);
  cover<W>(to, shape, FillSingle<S>{to, shape.to_stride, element}, FillWhole<W, S>{to, shape.to_stride, element});
}

template <class S>
bool launch_fill(Entry& entry, const Matrix& to, double value) {
  constexpr int W = 16 / static_cast<int>(sizeof(S));
  const Shape shape = shape_of(to, to);
  const int64_t items = shape.rows * ((shape.cols + W - 1) / W + 1);
  const unsigned blocks = entry.grid((items + kThreads - 1) / kThreads, kPerMultiprocessor);
  return entry.launched(
      KITH_LAUNCH((fill<S>), blocks, kThreads, 0, entry.stream(), reinterpret_cast<S*>(to.data), shape, value));
}

/* ---- convert ------------------------------------------------------------------------------------------------------- */

// The compute type in which nothing is lost: double where either side is.
template <class From, class To>
struct Between {
  using T = float;
};
template <class To>
struct Between<double, To> {
  using T = double;
};
template <class From>
struct Between<From, double> {
  using T = double;
};
template <>
struct Between<double, double> {
  using T = double;
};

template <class From, class To>
KITH_DEVICE To converted(From x) {
  return narrow<To>(widen<typename Between<From, To>::T>(x));
}

template <class From, class To>
struct ConvertSingle {
  const From* from;
  To* to;
  Shape shape;
  KITH_DEVICE void operator()(int64_t r, int64_t c) const {
    to[r * shape.to_stride + c] = converted<From, To>(from[r * shape.from_stride + c]);
  }
};
// Eight elements: one access where they take 16 bytes, more where they take more.
template <class From, class To>
struct ConvertWhole {
  const From* from;
  To* to;
  Shape shape;
  KITH_DEVICE void operator()(int64_t r, int64_t c) const {
    const From* source = from + r * shape.from_stride + c;
    Pack<From, 8> in;
    if (reinterpret_cast<uintptr_t>(source) % 16 == 0) {
      in = load_pack<8>(source);
    } else {
      for (int i = 0; i < 8; i++) in.v[i] = source[i];
    }
    Pack<To, 8> out;
    for (int i = 0; i < 8; i++) out.v[i] = converted<From, To>(in.v[i]);
    store_pack<8>(to + r * shape.to_stride + c, out);
  }
};

template <class From, class To>
KITH_KERNEL(kThreads)
void convert(const From* from, To* to, Shape shape) {
  cover<8>(to, shape, ConvertSingle<From, To>{from, to, shape}, ConvertWhole<From, To>{from, to, shape});
}

template <class From, class To>
bool launch_convert(Entry& entry, const Matrix& from, const Matrix& to) {
  const Shape shape = shape_of(from, to);
  const int64_t items = shape.rows * ((shape.cols + 7) / 8 + 1);
  const unsigned blocks = entry.grid((items + kThreads - 1) / kThreads, kPerMultiprocessor);
  return entry.launched(KITH_LAUNCH((convert<From, To>), blocks, kThreads, 0, entry.stream(),
                                    reinterpret_cast<const From*>(from.data), reinterpret_cast<To*>(to.data), shape));
}

// Equal dtypes are copied, not converted.
template <class From, class To>
bool convert_unlike(Entry& entry, const Matrix& from, const Matrix& to) {
  if constexpr (std::is_same_v<From, To>) {
    entry.fail(KITH_INTERNAL, "from and to are both %s", dtype_name(to.dtype));
    return false;
  } else {
    return launch_convert<From, To>(entry, from, to);
  }
}

template <class From>
bool convert_from(Entry& entry, const Matrix& from, const Matrix& to) {
  switch (to.dtype) {
    case KITH_F32:
      return convert_unlike<From, float>(entry, from, to);
    case KITH_F64:
      return convert_unlike<From, double>(entry, from, to);
    case KITH_BF16:
      return convert_unlike<From, bf16>(entry, from, to);
    default:
      return convert_unlike<From, f16>(entry, from, to);
  }
}

/* ---- copies -------------------------------------------------------------------------------------------------------- */

// Rows of bytes from one side to another; a pitch that one copy cannot take is walked row by row.
cudaError_t copy_rows(const kith_device* device, unsigned char* to, int64_t to_pitch, const unsigned char* from,
                      int64_t from_pitch, int64_t row_bytes, int64_t rows, cudaMemcpyKind kind, cudaStream_t stream) {
  if (rows <= 1 || (to_pitch == row_bytes && from_pitch == row_bytes)) {
    return cudaMemcpyAsync(to, from, static_cast<size_t>(row_bytes * rows), kind, stream);
  }
  if (to_pitch <= device->max_pitch && from_pitch <= device->max_pitch) {
    return cudaMemcpy2DAsync(to, static_cast<size_t>(to_pitch), from, static_cast<size_t>(from_pitch),
                             static_cast<size_t>(row_bytes), static_cast<size_t>(rows), kind, stream);
  }
  cudaError_t error = cudaSuccess;
  for (int64_t r = 0; r < rows && error == cudaSuccess; r++) {
    error = cudaMemcpyAsync(to + r * to_pitch, from + r * from_pitch, static_cast<size_t>(row_bytes), kind, stream);
  }
  return error;
}

bool copy(Entry& entry, const Matrix& from, const Matrix& to, cudaMemcpyKind kind) {
  if (to.rows == 0 || to.cols == 0) return true;
  const int64_t size = to.element_bytes();
  return entry.done("a copy", copy_rows(entry.device(), to.data, to.stride * size, from.data, from.stride * size,
                                        to.cols * size, to.rows, kind, entry.stream()));
}

/* ---- gather -------------------------------------------------------------------------------------------------------- */

struct GatherJob {
  const unsigned char* from;
  unsigned char* to;
  const int32_t* index;
  int64_t from_rows;
  int64_t from_pitch; /* bytes */
  int64_t to_pitch;
  int64_t row_bytes;
  int64_t rows;
  FaultTicket faults;
};

// Moves words of type V, each row a whole number of them.
template <class V>
KITH_KERNEL(kThreads)
void gather(GatherJob job) {
  // Rows without columns have one item too, for the check of the index.
  const int64_t words = job.row_bytes > 0 ? job.row_bytes / static_cast<int64_t>(sizeof(V)) : 1;
  const int64_t items = job.rows * words;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) {
    const int64_t row = item / words;
    const int64_t word = item - row * words;
    const int32_t source = job.index[row];
    if (source < 0 || source >= job.from_rows) {
      if (word == 0) report(job.faults, row, source);
      continue;
    }
    if (job.row_bytes == 0) continue;
    reinterpret_cast<V*>(job.to + row * job.to_pitch)[word] =
        reinterpret_cast<const V*>(job.from + source * job.from_pitch)[word];
  }
}

template <class V>
bool launch_gather(Entry& entry, const GatherJob& job) {
  const int64_t items = job.rows * (job.row_bytes / static_cast<int64_t>(sizeof(V)) + 1);
  const unsigned blocks = entry.grid((items + kThreads - 1) / kThreads, kPerMultiprocessor);
  return entry.launched(KITH_LAUNCH((gather<V>), blocks, kThreads, 0, entry.stream(), job));
}

void account(kith_device* device, int64_t bytes, int64_t allocations) {
  __atomic_add_fetch(&device->live_bytes, bytes, __ATOMIC_RELAXED);
  __atomic_add_fetch(&device->live_allocations, allocations, __ATOMIC_RELAXED);
}

kith_status make_memory(kith_device* device, Allocation* allocation, int64_t bytes, const char* operation,
                        kith_memory** memory, kith_call* call) {
  CudaMemory* const made = static_cast<CudaMemory*>(std::calloc(1, sizeof(CudaMemory)));
  if (made == nullptr) {
    release(allocation);
    return fail(call, KITH_OUT_OF_MEMORY, "%s: no memory for a handle", operation);
  }
  made->device = device;
  made->address = allocation->address;
  made->bytes = bytes;
  made->allocation = allocation;
  *memory = made;
  return KITH_OK;
}

}  // namespace

}  // namespace kith

using kith::Entry;
using kith::fail;
using kith::Matrix;

extern "C" {

kith_status kith_memory_allocate(kith_queue* queue, int64_t bytes, kith_memory** memory, kith_call* call) {
  const kith_status checked = kith::check_allocate(call, queue, bytes, memory);
  if (checked != KITH_OK) return checked;
  Entry entry(queue, call, "kith_memory_allocate");
  kith::Allocation* const allocation = entry.keep(nullptr, bytes);
  if (allocation == nullptr) return entry.status();
  if (bytes > 0 && !entry.done("the clearing of memory",
                               cudaMemsetAsync(allocation->address, 0, static_cast<size_t>(bytes), entry.stream()))) {
    kith::release(allocation);
    return entry.status();
  }
  const kith_status made = kith::make_memory(queue->device, allocation, bytes, "kith_memory_allocate", memory, call);
  if (made != KITH_OK) return made;
  kith::account(queue->device, bytes, 1);
  return entry.finish();
}

kith_status kith_memory_wrap(kith_device* device, void* address, int64_t bytes, kith_memory** memory, kith_call* call) {
  const kith_status checked = kith::check_wrap(call, device, address, bytes, memory);
  if (checked != KITH_OK) return checked;
  if (address != nullptr) {
    const kith::DeviceScope scope(device);
    cudaPointerAttributes attributes;
    const cudaError_t error = cudaPointerGetAttributes(&attributes, address);
    if (error != cudaSuccess) return kith::device_failed(call, "kith_memory_wrap", "the query of the address", error);
    const bool reachable = (attributes.type == cudaMemoryTypeDevice && attributes.device == device->ordinal) ||
                           attributes.type == cudaMemoryTypeManaged || attributes.type == cudaMemoryTypeHost;
    if (!reachable) {
      return fail(call, KITH_INVALID,
                  "kith_memory_wrap: the address %p is not memory of device %d; give device, managed or pinned memory",
                  address, device->ordinal);
    }
  }
  kith::Allocation* const allocation = kith::foreign(device, address, bytes);
  if (allocation == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "kith_memory_wrap: no memory for a handle");
  return kith::make_memory(device, allocation, bytes, "kith_memory_wrap", memory, call);
}

kith_status kith_memory_release(kith_memory* memory, kith_call* call) {
  if (memory == nullptr) return fail(call, KITH_INVALID, "kith_memory_release: memory is NULL; give a memory");
  kith::CudaMemory* const m = static_cast<kith::CudaMemory*>(memory);
  if (!m->allocation->foreign) kith::account(m->device, -m->bytes, -1);
  kith::release(m->allocation);
  std::free(m);
  return KITH_OK;
}

kith_status kith_memory_address(kith_memory* memory, void** address, int32_t* host, kith_call* call) {
  const kith_status checked = kith::check_address(call, memory, address, host);
  if (checked != KITH_OK) return checked;
  *address = memory->address;
  *host = 0;
  return KITH_OK;
}

kith_status kith_fill(kith_queue* queue, const kith_matrix* m, double value, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_fill");
  Matrix to;
  unsigned char pattern[8];
  if (!check_fill(entry, m, value, &to, pattern)) return entry.status();
  if (to.rows == 0 || to.cols == 0) return entry.finish();
  switch (to.dtype) {
    case KITH_F32:
      launch_fill<float>(entry, to, value);
      break;
    case KITH_F64:
      launch_fill<double>(entry, to, value);
      break;
    case KITH_I32:
      launch_fill<int32_t>(entry, to, value);
      break;
    case KITH_BF16:
      launch_fill<bf16>(entry, to, value);
      break;
    default:
      launch_fill<f16>(entry, to, value);
  }
  return entry.finish();
}

kith_status kith_convert(kith_queue* queue, const kith_matrix* from, const kith_matrix* to, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_convert");
  Matrix source, target;
  if (!check_convert(entry, from, to, &source, &target)) return entry.status();
  if (target.rows == 0 || target.cols == 0 || overlap(source, target) == Overlap::kSame) return entry.finish();
  if (source.dtype == target.dtype) {
    copy(entry, source, target, cudaMemcpyDeviceToDevice);
    return entry.finish();
  }
  switch (source.dtype) {
    case KITH_F32:
      convert_from<float>(entry, source, target);
      break;
    case KITH_F64:
      convert_from<double>(entry, source, target);
      break;
    case KITH_BF16:
      convert_from<bf16>(entry, source, target);
      break;
    default:
      convert_from<f16>(entry, source, target);
  }
  return entry.finish();
}

kith_status kith_upload(kith_queue* queue, const void* host, int64_t host_stride, const kith_matrix* to,
                        kith_call* call) {
  Entry entry(queue, call, "kith_upload");
  Matrix target, window;
  if (!kith::check_transfer(entry, "to", to, host, host_stride, &target, &window)) return entry.status();
  if (entry.not_capturing("an upload")) kith::copy(entry, window, target, cudaMemcpyHostToDevice);
  return entry.finish();
}

kith_status kith_download(kith_queue* queue, const kith_matrix* from, void* host, int64_t host_stride,
                          kith_call* call) {
  Entry entry(queue, call, "kith_download");
  Matrix source, window;
  if (!kith::check_transfer(entry, "from", from, host, host_stride, &source, &window)) return entry.status();
  if (entry.not_capturing("a download")) kith::copy(entry, source, window, cudaMemcpyDeviceToHost);
  return entry.finish();
}

kith_status kith_gather_rows(kith_queue* queue, const kith_matrix* from, const kith_matrix* index,
                             const kith_matrix* to, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_gather_rows");
  Matrix source, target, indices;
  if (!check_gather(entry, from, index, to, &source, &indices, &target)) return entry.status();
  if (target.rows == 0) return entry.finish();
  const int64_t size = target.element_bytes();
  GatherJob job = {source.data,        target.data,          reinterpret_cast<const int32_t*>(indices.data),
                   source.rows,        source.stride * size, target.stride * size,
                   target.cols * size, target.rows,          entry.faults(FaultKind::kIndex, source.rows, 1)};
  if (!entry.ok()) return entry.status();
  const uint64_t alignment = reinterpret_cast<uintptr_t>(source.data) | reinterpret_cast<uintptr_t>(target.data) |
                             static_cast<uint64_t>(job.from_pitch | job.to_pitch | job.row_bytes);
  if (alignment % 16 == 0) {
    launch_gather<Pack<uint32_t, 4>>(entry, job);
  } else if (alignment % 8 == 0) {
    launch_gather<uint64_t>(entry, job);
  } else if (alignment % 4 == 0) {
    launch_gather<uint32_t>(entry, job);
  } else {
    launch_gather<uint16_t>(entry, job);
  }
  return entry.finish();
}

}  // extern "C"
