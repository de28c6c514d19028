/*
 * The device side of the emulation: what a kernel sees. blocks.cpp runs it, runtime.cpp has the queues and the memory.
 */
#ifndef KITH_EMULATION_HPP
#define KITH_EMULATION_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_runtime.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __align__(n) alignas(n)

/* One thread of the machine runs one thread of a block at a time. Initial-exec: a load, not a call. */
#define KITH_EMULATION_LOCAL extern __thread __attribute__((tls_model("initial-exec")))
KITH_EMULATION_LOCAL uint3 threadIdx;
KITH_EMULATION_LOCAL uint3 blockIdx;
KITH_EMULATION_LOCAL uint3 blockDim;
KITH_EMULATION_LOCAL uint3 gridDim;
#undef KITH_EMULATION_LOCAL
constexpr int warpSize = 32;

namespace kith::emulation {

/* ---- what blocks.cpp gives ----------------------------------------------------------------------------------------- */

enum class Access { kRead, kWrite, kAtomic };
enum class Meeting { kNone, kBarrier, kSyncWarp, kShuffle, kVote };

/* An error of the present thread: ends its block, and the launch fails with this sentence. */
[[noreturn]] void stop(cudaError_t error, const char* format, ...) __attribute__((format(printf, 2, 3)));
/* __syncthreads; the number of threads that gave true. */
int barrier(bool predicate, unsigned line, const char* file);
/* Waits for the lanes of mask. kShuffle: the value of lane `source`; kVote: the lanes whose value is not 0. */
uint64_t meet(Meeting meeting, unsigned mask, uint64_t value, unsigned source);
/* Storage of a shared array, the same for all threads of a block. */
unsigned char* static_shared(const char* name, const void* identity, size_t bytes);
/* The block's dynamic memory and how much it is, to be seen as elements of so many bytes. */
unsigned char* dynamic_shared(size_t element, size_t* bytes);
/* Shared memory of the block that runs. Where settled[word] is the epoch, several warps have read the element that begins
   at this word since the last barrier and nobody has written it: a further read needs no look at who did what. */
struct Watch {
  const unsigned char* arena;
  const uint32_t* settled;
  uint32_t epoch;
};
extern __thread __attribute__((tls_model("initial-exec"))) Watch watch;

/* Notes and checks an access; index is for the message. */
void check(const void* address, size_t bytes, Access access, const char* name, int64_t index);
unsigned lane();

/* A launch as it is queued: `call` runs one thread of it. */
struct Kernel {
  const char* name;
  const void* function;
  void (*call)(const void* arguments);
  const void* arguments; /* 16-byte aligned */
  size_t argument_bytes;
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  cudaStream_t stream;
};
/* Copies the arguments. */
cudaError_t enqueue(const Kernel& kernel);

/* ---- launches ------------------------------------------------------------------------------------------------------ */

template <class... P>
struct Arguments {
  void (*kernel)(P...);
  std::tuple<P...> values;
};

template <class... P>
void call(const void* arguments) {
  const auto* const a = static_cast<const Arguments<P...>*>(arguments);
  std::apply(a->kernel, a->values);
}

template <class... P, class... A>
cudaError_t launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 threads, size_t shared_bytes,
                   cudaStream_t stream, A&&... arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel takes trivially copyable arguments by value");
  static_assert(alignof(Arguments<P...>) <= 16);
  alignas(16) unsigned char bytes[sizeof(Arguments<P...>)] = {};
  new (bytes) Arguments<P...>{kernel, std::tuple<P...>(static_cast<P>(arguments)...)};
  return enqueue(Kernel{name, reinterpret_cast<const void*>(kernel), &call<P...>, bytes, sizeof(bytes), grid, threads,
                        shared_bytes, stream});
}

/* ---- shared memory ------------------------------------------------------------------------------------------------- */

/* Shared memory as kernels see it: like a pointer, but every access is checked. */
template <class T>
class Shared {
  static_assert(std::is_trivially_copyable_v<T>);
  static_assert(sizeof(T) <= 2 || sizeof(T) % 4 == 0);

 public:
  /* name[i]: reads when converted to T, writes when assigned. Only as a temporary: `auto v = name[i]` does not compile. */
  class Element {
   public:
    operator T() const&& { return array_.read(index_); }
    T operator=(const T& value) const&& { return array_.write(index_, value); }
    T operator=(const Element& other) const&& { return array_.write(index_, other.array_.read(other.index_)); }
    template <class U>
    T operator+=(U&& value) const&& {
      return array_.write(index_, static_cast<T>(array_.read(index_) + std::forward<U>(value)));
    }
    template <class U>
    T operator-=(U&& value) const&& {
      return array_.write(index_, static_cast<T>(array_.read(index_) - std::forward<U>(value)));
    }
    template <class U>
    T operator*=(U&& value) const&& {
      return array_.write(index_, static_cast<T>(array_.read(index_) * std::forward<U>(value)));
    }
    template <class U>
    T operator|=(U&& value) const&& {
      return array_.write(index_, static_cast<T>(array_.read(index_) | std::forward<U>(value)));
    }
    Shared operator&() const&& { return array_ + index_; }

   private:
    friend class Shared;
    Element(const Shared& array, int64_t index) : array_(array), index_(index) {}
    Element(const Element&) = default;
    const Shared& array_;
    const int64_t index_;
  };

  Shared(const char* name, const void* identity, size_t count) : name_(name), end_(static_cast<int64_t>(count)) {
    static_assert(alignof(T) <= 16);
    data_ = reinterpret_cast<T*>(static_shared(name, identity, count * sizeof(T)));
  }
  explicit Shared(const char* name) : name_(name) {
    size_t bytes = 0;
    data_ = reinterpret_cast<T*>(dynamic_shared(sizeof(T), &bytes));
    end_ = static_cast<int64_t>(bytes / sizeof(T));
  }

  Element operator[](int64_t i) const { return Element(*this, i); }
  Element operator*() const { return Element(*this, 0); }
  Shared operator+(int64_t n) const { return Shared(name_, data_, begin_ + n, end_); }
  Shared operator-(int64_t n) const { return Shared(name_, data_, begin_ - n, end_); }

  T read(int64_t i) const {
    T value;
    std::memcpy(static_cast<void*>(&value), at(i, Access::kRead), sizeof(T));
    return value;
  }
  T write(int64_t i, const T& value) const {
    std::memcpy(static_cast<void*>(at(i, Access::kWrite)), static_cast<const void*>(&value), sizeof(T));
    return value;
  }
  /* For atomics. */
  T* atomic() const { return at(0, Access::kAtomic); }

 private:
  Shared(const char* name, T* data, int64_t begin, int64_t end) : name_(name), data_(data), begin_(begin), end_(end) {}

  T* at(int64_t i, Access access) const {
    const int64_t index = begin_ + i;
    if (index < 0 || index >= end_) [[unlikely]] {
      stop(cudaErrorIllegalAddress, "accesses %s[%lld], which has %lld elements", name_, static_cast<long long>(index),
           static_cast<long long>(end_));
    }
    T* const element = data_ + index;
    if (sizeof(T) >= 4 && access == Access::kRead) {
      const ptrdiff_t offset = reinterpret_cast<const unsigned char*>(element) - watch.arena;
      if (watch.settled[offset / 4] == watch.epoch) return element;
    }
    check(element, sizeof(T), access, name_, index);
    return element;
  }

  const char* name_;
  T* data_;
  int64_t begin_ = 0;
  int64_t end_ = 0;
};

template <class T>
T shuffle(unsigned mask, T value, unsigned source) {
  static_assert(sizeof(T) <= 8 && std::is_arithmetic_v<T>, "shuffles move numbers of up to eight bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = meet(Meeting::kShuffle, mask, bits, source);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
concept Word = std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;
template <class T>
concept Ordered = Word<T> || std::is_same_v<T, long long>;
template <class T>
using Same = std::type_identity_t<T>;

template <class T, class F>
T update(T* address, F&& make) {
  T before = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(address, &before, make(before), false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
  }
  return before;
}

}  // namespace kith::emulation

/* ---- barriers, warps ----------------------------------------------------------------------------------------------- */

inline void __syncthreads(unsigned line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  kith::emulation::barrier(false, line, file);
}
inline int __syncthreads_count(int p, unsigned line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  return kith::emulation::barrier(p != 0, line, file);
}
inline int __syncthreads_or(int p, unsigned line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  return kith::emulation::barrier(p != 0, line, file) != 0;
}
inline int __syncthreads_and(int p, unsigned line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  return kith::emulation::barrier(p == 0, line, file) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  kith::emulation::meet(kith::emulation::Meeting::kSyncWarp, mask, 0, 0);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return static_cast<unsigned>(kith::emulation::meet(kith::emulation::Meeting::kVote, mask, predicate != 0, 0));
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate == 0) == 0; }
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const unsigned w = static_cast<unsigned>(width);
  const unsigned base = kith::emulation::lane() & ~(w - 1);
  return kith::emulation::shuffle(mask, value, base + (static_cast<unsigned>(source) & (w - 1)));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const unsigned self = kith::emulation::lane(), within = self & (static_cast<unsigned>(width) - 1);
  return kith::emulation::shuffle(mask, value, delta <= within ? self - delta : self);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const unsigned self = kith::emulation::lane(), w = static_cast<unsigned>(width);
  return kith::emulation::shuffle(mask, value, delta < w && (self & (w - 1)) + delta < w ? self + delta : self);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const unsigned self = kith::emulation::lane(), w = static_cast<unsigned>(width);
  const unsigned source = self ^ static_cast<unsigned>(lanes);
  return kith::emulation::shuffle(mask, value, source < (self & ~(w - 1)) + w ? source : self);
}
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/* ---- atomics ------------------------------------------------------------------------------------------------------- */

template <kith::emulation::Word T>
T atomicAdd(T* p, kith::emulation::Same<T> v) {
  return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
template <kith::emulation::Word T>
T atomicOr(T* p, kith::emulation::Same<T> v) {
  return __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL);
}
template <kith::emulation::Word T>
T atomicAnd(T* p, kith::emulation::Same<T> v) {
  return __atomic_fetch_and(p, v, __ATOMIC_ACQ_REL);
}
template <kith::emulation::Word T>
T atomicXor(T* p, kith::emulation::Same<T> v) {
  return __atomic_fetch_xor(p, v, __ATOMIC_ACQ_REL);
}
template <kith::emulation::Word T>
T atomicExch(T* p, kith::emulation::Same<T> v) {
  return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL);
}
template <kith::emulation::Word T>
T atomicCAS(T* p, kith::emulation::Same<T> expected, kith::emulation::Same<T> v) {
  __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  return expected;
}
template <kith::emulation::Ordered T>
T atomicMin(T* p, kith::emulation::Same<T> v) {
  return kith::emulation::update(p, [v](T before) { return before < v ? before : v; });
}
template <kith::emulation::Ordered T>
T atomicMax(T* p, kith::emulation::Same<T> v) {
  return kith::emulation::update(p, [v](T before) { return before < v ? v : before; });
}
#define KITH_SHARED_ATOMIC(name)                                            \
  template <class T>                                                        \
  T name(const kith::emulation::Shared<T>& p, kith::emulation::Same<T> v) { \
    return name(p.atomic(), v);                                             \
  }
KITH_SHARED_ATOMIC(atomicAdd)
KITH_SHARED_ATOMIC(atomicOr)
KITH_SHARED_ATOMIC(atomicAnd)
KITH_SHARED_ATOMIC(atomicXor)
KITH_SHARED_ATOMIC(atomicExch)
KITH_SHARED_ATOMIC(atomicMin)
KITH_SHARED_ATOMIC(atomicMax)
#undef KITH_SHARED_ATOMIC
template <class T>
T atomicCAS(const kith::emulation::Shared<T>& p, kith::emulation::Same<T> expected, kith::emulation::Same<T> v) {
  return atomicCAS(p.atomic(), expected, v);
}

/* ---- intrinsics ---------------------------------------------------------------------------------------------------- */

#define KITH_BITS(name, From, To)          \
  inline To name(From x) {                 \
    To y;                                  \
    static_assert(sizeof(x) == sizeof(y)); \
    std::memcpy(&y, &x, sizeof(y));        \
    return y;                              \
  }
KITH_BITS(__float_as_uint, float, unsigned)
KITH_BITS(__float_as_int, float, int)
KITH_BITS(__uint_as_float, unsigned, float)
KITH_BITS(__int_as_float, int, float)
KITH_BITS(__double_as_longlong, double, long long)
KITH_BITS(__longlong_as_double, long long, double)
#undef KITH_BITS

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> v) {
  *p = v;
}
template <class T>
void __stcg(T* p, std::type_identity_t<T> v) {
  *p = v;
}

/* Compiled without contraction, so each is one rounding. */
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __drcp_rn(double a) { return 1.0 / a; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline float __double2float_rn(double a) { return static_cast<float>(a); }
inline float __int2float_rn(int a) { return static_cast<float>(a); }
inline float __uint2float_rn(unsigned a) { return static_cast<float>(a); }
inline double __ll2double_rn(long long a) { return static_cast<double>(a); }
inline float rsqrtf(float) = delete; /* not an IEEE operation: differs between devices */

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; i++) y |= (x >> i & 1u) << (31 - i);
  return y;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<long long>(a) * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<unsigned long long>(static_cast<Wide>(a) * b >> 64);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) >> (shift & 31));
}

inline int min(int a, int b) { return a < b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline long min(long a, long b) { return a < b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline long max(long a, long b) { return a < b ? b : a; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

#endif
