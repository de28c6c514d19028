// memory: allocation with accounting, wrapping, fill, conversion, transfer and row gathering.
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <cstdlib>
#include <cstring>

#include "core.hpp"
#include "dispatch.hpp"
#include "memory.hpp"
#include "memory_checks.hpp"

namespace kith {

KITH_FAMILY(MemoryKernels, memory)

namespace {

constexpr int64_t kHugePage = 2 << 20;
// Bytes of the wider side per block: long enough to hide the counter, short enough to balance and to cut.
constexpr int64_t kBlockBytes = 256 << 10;

void account(kith_device* device, int64_t bytes, int64_t allocations) {
  __atomic_add_fetch(&device->live_bytes, bytes, __ATOMIC_RELAXED);
  __atomic_add_fetch(&device->live_allocations, allocations, __ATOMIC_RELAXED);
}

int64_t free_bytes() {
  struct sysinfo info;
  return sysinfo(&info) == 0 ? static_cast<int64_t>(info.freeram) * info.mem_unit : 0;
}

kith_status allocate(kith_device* device, int64_t bytes, CpuMemory* memory, kith_call* call) {
  // Above 2 MiB the mapping is cut to begin on a huge page. Below, the system's allocator is denser.
  void* mapping = nullptr;
  int64_t mapped = 0;
  unsigned char* address = nullptr;
  const int64_t live = __atomic_load_n(&device->live_bytes, __ATOMIC_RELAXED);
  const bool absurd = device->total_bytes > 0 && bytes > device->total_bytes - live;
  if (!absurd && bytes > kHugePage) {
    mapped = (bytes + 2 * kHugePage - 1) / kHugePage * kHugePage;
    mapping = mmap(nullptr, static_cast<size_t>(mapped), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping != MAP_FAILED) {
      const uintptr_t start = reinterpret_cast<uintptr_t>(mapping);
      address = reinterpret_cast<unsigned char*>((start + kHugePage - 1) / kHugePage * kHugePage);
      // A system without huge pages refuses; ordinary pages do as well.
      madvise(address, static_cast<size_t>(bytes), MADV_HUGEPAGE);
    }
  } else if (!absurd) {
    const int64_t rounded = bytes == 0 ? 64 : (bytes + 63) / 64 * 64;
    mapping = address = static_cast<unsigned char*>(std::aligned_alloc(64, static_cast<size_t>(rounded)));
    if (address != nullptr) std::memset(address, 0, static_cast<size_t>(rounded));
  }
  if (address == nullptr) {
    return fail_memory(call, "kith_memory_allocate", bytes, free_bytes(), device->total_bytes, live);
  }
  *memory = CpuMemory{{device, address, bytes}, mapping, mapped};
  account(device, bytes, 1);
  return KITH_OK;
}

// A job over a matrix cut into blocks of `columns` columns of `rows` rows; narrow matrices take many rows per block.
struct Grid {
  int64_t rows;
  int64_t columns;
  int64_t across;
  int64_t down;

  Grid(const Matrix& m, int64_t element_bytes) {
    const int64_t elements = kBlockBytes / element_bytes;
    columns = m.cols < elements ? (m.cols > 0 ? m.cols : 1) : elements;
    rows = elements / columns;
    across = (m.cols + columns - 1) / columns;
    down = (m.rows + rows - 1) / rows;
  }
  int64_t blocks() const { return across * down; }
};

struct Span {
  int64_t row;
  int64_t row_end;
  int64_t column;
  int64_t columns;
};

Span span_of(const Grid& grid, const Matrix& m, int64_t block) {
  const int64_t row = block / grid.across * grid.rows;
  const int64_t column = block % grid.across * grid.columns;
  return Span{row, row + grid.rows < m.rows ? row + grid.rows : m.rows, column,
              column + grid.columns < m.cols ? grid.columns : m.cols - column};
}

struct Fill {
  Matrix m;
  Grid grid;
  unsigned char pattern[8];
};

void fill_block(void* context, int64_t block, int32_t) {
  const Fill& job = *static_cast<const Fill*>(context);
  const Span span = span_of(job.grid, job.m, block);
  const int64_t size = job.m.element_bytes();
  for (int64_t r = span.row; r < span.row_end; r++) {
    unsigned char* to = job.m.row(r) + span.column * size;
    if (size == 2) {
      uint16_t value;
      std::memcpy(&value, job.pattern, 2);
      uint16_t* elements = reinterpret_cast<uint16_t*>(to);
      for (int64_t i = 0; i < span.columns; i++) elements[i] = value;
    } else if (size == 4) {
      uint32_t value;
      std::memcpy(&value, job.pattern, 4);
      uint32_t* elements = reinterpret_cast<uint32_t*>(to);
      for (int64_t i = 0; i < span.columns; i++) elements[i] = value;
    } else {
      uint64_t value;
      std::memcpy(&value, job.pattern, 8);
      uint64_t* elements = reinterpret_cast<uint64_t*>(to);
      for (int64_t i = 0; i < span.columns; i++) elements[i] = value;
    }
  }
}

struct Copy {
  Matrix from;
  Matrix to;
  Grid grid;
  void (*convert)(const void*, void*, int64_t);  // NULL: the bytes as they are
};

void copy_block(void* context, int64_t block, int32_t) {
  const Copy& job = *static_cast<const Copy*>(context);
  const Span span = span_of(job.grid, job.to, block);
  for (int64_t r = span.row; r < span.row_end; r++) {
    const unsigned char* from = job.from.row(r) + span.column * job.from.element_bytes();
    unsigned char* to = job.to.row(r) + span.column * job.to.element_bytes();
    if (job.convert != nullptr) {
      job.convert(from, to, span.columns);
    } else {
      std::memcpy(to, from, static_cast<size_t>(span.columns * job.to.element_bytes()));
    }
  }
}

kith_status copy(Entry& entry, const Matrix& from, const Matrix& to) {
  const int64_t from_bytes = from.element_bytes(), to_bytes = to.element_bytes();
  Copy job{from, to, Grid(to, from_bytes > to_bytes ? from_bytes : to_bytes), memory().convert[from.dtype][to.dtype]};
  return entry.run(job.grid.blocks(), from.bytes() + to.bytes(), copy_block, &job);
}

struct Gather {
  Matrix from;
  Matrix to;
  const int32_t* index;
  Grid grid;
};

void gather_block(void* context, int64_t block, int32_t) {
  const Gather& job = *static_cast<const Gather*>(context);
  const Span span = span_of(job.grid, job.to, block);
  const int64_t size = job.to.element_bytes();
  const size_t bytes = static_cast<size_t>(span.columns * size);
  constexpr int64_t kAhead = 8;
  for (int64_t r = span.row; r < span.row_end; r++) {
    if (r + kAhead < span.row_end) __builtin_prefetch(job.from.row(job.index[r + kAhead]) + span.column * size);
    std::memcpy(job.to.row(r) + span.column * size, job.from.row(job.index[r]) + span.column * size, bytes);
  }
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
  kith::CpuMemory* made = static_cast<kith::CpuMemory*>(std::calloc(1, sizeof(kith::CpuMemory)));
  if (made == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "kith_memory_allocate: no memory for a handle");
  const kith_status status = kith::allocate(queue->device, bytes, made, call);
  if (status != KITH_OK) {
    std::free(made);
    return status;
  }
  *memory = made;
  return KITH_OK;
}

kith_status kith_memory_wrap(kith_device* device, void* address, int64_t bytes, kith_memory** memory, kith_call* call) {
  const kith_status checked = kith::check_wrap(call, device, address, bytes, memory);
  if (checked != KITH_OK) return checked;
  kith::CpuMemory* made = static_cast<kith::CpuMemory*>(std::calloc(1, sizeof(kith::CpuMemory)));
  if (made == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "kith_memory_wrap: no memory for a handle");
  *made = kith::CpuMemory{{device, static_cast<unsigned char*>(address), bytes}, nullptr, 0};
  *memory = made;
  return KITH_OK;
}

kith_status kith_memory_release(kith_memory* memory, kith_call* call) {
  if (memory == nullptr) return fail(call, KITH_INVALID, "kith_memory_release: memory is NULL; give a memory");
  const kith::CpuMemory* const own = static_cast<kith::CpuMemory*>(memory);
  if (own->mapping != nullptr) {
    kith::account(own->device, -own->bytes, -1);
    if (own->mapping_bytes > 0) {
      munmap(own->mapping, static_cast<size_t>(own->mapping_bytes));
    } else {
      std::free(own->mapping);
    }
  }
  std::free(memory);
  return KITH_OK;
}

kith_status kith_memory_address(kith_memory* memory, void** address, int32_t* host, kith_call* call) {
  const kith_status checked = kith::check_address(call, memory, address, host);
  if (checked != KITH_OK) return checked;
  *address = memory->address;
  *host = 1;
  return KITH_OK;
}

kith_status kith_fill(kith_queue* queue, const kith_matrix* m, double value, kith_call* call) {
  Entry entry(queue, call, "kith_fill");
  Matrix to;
  unsigned char pattern[8];
  if (!kith::check_fill(entry, m, value, &to, pattern)) return entry.status();
  if (kith::is_floating(to.dtype) && to.dtype != KITH_F64) {
    kith::memory().convert[KITH_F64][to.dtype](&value, pattern, 1);
  }
  kith::Fill job{to, kith::Grid(to, to.element_bytes()), {}};
  std::memcpy(job.pattern, pattern, sizeof(pattern));
  return entry.run(job.grid.blocks(), to.bytes(), kith::fill_block, &job);
}

kith_status kith_convert(kith_queue* queue, const kith_matrix* from, const kith_matrix* to, kith_call* call) {
  Entry entry(queue, call, "kith_convert");
  Matrix source, target;
  if (!kith::check_convert(entry, from, to, &source, &target)) return entry.status();
  if (kith::overlap(source, target) == kith::Overlap::kSame) return entry.finish();
  return kith::copy(entry, source, target);
}

kith_status kith_upload(kith_queue* queue, const void* host, int64_t host_stride, const kith_matrix* to,
                        kith_call* call) {
  Entry entry(queue, call, "kith_upload");
  Matrix target, window;
  if (!kith::check_transfer(entry, "to", to, host, host_stride, &target, &window)) return entry.status();
  return kith::copy(entry, window, target);
}

kith_status kith_download(kith_queue* queue, const kith_matrix* from, void* host, int64_t host_stride,
                          kith_call* call) {
  Entry entry(queue, call, "kith_download");
  Matrix source, window;
  if (!kith::check_transfer(entry, "from", from, host, host_stride, &source, &window)) return entry.status();
  return kith::copy(entry, source, window);
}

kith_status kith_gather_rows(kith_queue* queue, const kith_matrix* from, const kith_matrix* index,
                             const kith_matrix* to, kith_call* call) {
  Entry entry(queue, call, "kith_gather_rows");
  Matrix source, target, indices;
  if (!kith::check_gather(entry, from, index, to, &source, &indices, &target)) return entry.status();
  const int32_t* rows = reinterpret_cast<const int32_t*>(indices.data);
  for (int64_t i = 0; i < target.rows; i++) {
    if (rows[i] < 0 || rows[i] >= source.rows) return kith::fail_index(entry, i, rows[i], source.rows);
  }
  kith::Gather job{source, target, rows, kith::Grid(target, target.element_bytes())};
  return entry.run(job.grid.blocks(), 2 * target.bytes(), kith::gather_block, &job);
}

}  // extern "C"
