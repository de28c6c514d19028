/*
 * Tests of the emulation: what it must run, and planted bugs that it must find. Every bug stands beside the same code
 * without it, which must pass. A test that ends its process, or that needs its own environment, runs this program again
 * with its name. Without an argument all tests run.
 */
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "launch.hpp"

namespace {

int failures = 0;

void expect(bool good, const char* what, int line) {
  if (good) return;
  std::printf("emulation_test.cu:%d: failed: %s\n", line, what);
  failures++;
}
#define EXPECT(condition) expect(condition, #condition, __LINE__)
#define OK(call) expect_status(call, cudaSuccess, #call, __LINE__)

void expect_status(cudaError_t error, cudaError_t wanted, const char* what, int line) {
  if (error == wanted) return;
  std::printf("emulation_test.cu:%d: %s gave %s (%s)\n", line, what, cudaGetErrorName(error),
              cudaGetErrorString(error));
  failures++;
}

/* The next wait must report an error whose sentence has all of these parts. */
void expect_finding(cudaError_t wanted, std::vector<const char*> parts, int line) {
  const cudaError_t error = cudaDeviceSynchronize();
  expect_status(error, wanted, "the wait", line);
  const std::string text = cudaGetErrorString(error);
  for (const char* part : parts) {
    if (text.find(part) == std::string::npos) {
      std::printf("emulation_test.cu:%d: \"%s\" lacks \"%s\"\n", line, text.c_str(), part);
      failures++;
    }
  }
  cudaGetLastError();
  expect_status(cudaDeviceSynchronize(), cudaSuccess, "the wait after an error was reported", line);
}
#define FINDS(error, ...) expect_finding(error, {__VA_ARGS__}, __LINE__)

/* Device memory for a test. */
template <class T>
struct Array {
  T* data = nullptr;
  size_t count;
  explicit Array(size_t n) : count(n) { OK(cudaMalloc(reinterpret_cast<void**>(&data), n * sizeof(T))); }
  ~Array() { OK(cudaFree(data)); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  std::vector<T> host() const {
    std::vector<T> h(count);
    OK(cudaMemcpy(h.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost));
    return h;
  }
};

struct Stream {
  cudaStream_t handle = nullptr;
  Stream() { OK(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking)); }
  ~Stream() { OK(cudaStreamDestroy(handle)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

constexpr int kTrials = 64; /* of what only some orders show */

/* ---- what must run ------------------------------------------------------------------------------------------------- */

/* Sums the numbers of its block's slice by a tree in shared memory, then by shuffles. */
KITH_KERNEL(256) void tree(const int* x, int* sums) {
  KITH_SHARED(int, tile, 256);
  const unsigned t = threadIdx.x;
  tile[t] = x[blockIdx.x * 256 + t];
  __syncthreads();
  for (unsigned s = 128; s >= 32; s /= 2) {
    if (t < s) tile[t] += tile[t + s];
    __syncthreads();
  }
  if (t < 32) {
    int v = tile[t];
    for (unsigned s = 16; s >= 1; s /= 2) v += __shfl_down_sync(0xffffffffu, v, s);
    if (t == 0) sums[blockIdx.x] = v;
  }
}

void treesAddUp() {
  constexpr int kBlocks = 100;
  std::vector<int> x(kBlocks * 256);
  for (size_t i = 0; i < x.size(); i++) x[i] = static_cast<int>(i * 7 % 1001);
  Array<int> in(x.size()), out(kBlocks);
  OK(cudaMemcpy(in.data, x.data(), x.size() * sizeof(int), cudaMemcpyHostToDevice));
  OK(KITH_LAUNCH(tree, kBlocks, 256, 0, nullptr, in.data, out.data));
  const std::vector<int> sums = out.host();
  for (int b = 0; b < kBlocks; b++) {
    int sum = 0;
    for (int i = 0; i < 256; i++) sum += x[static_cast<size_t>(b * 256 + i)];
    EXPECT(sums[static_cast<size_t>(b)] == sum);
  }
}

KITH_KERNEL(64) void warps(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const unsigned all = 0xffffffffu, upper = 0xffff0000u;
  int* row = out + threadIdx.x * 12;
  row[0] = __shfl_sync(all, lane, 3);
  row[1] = __shfl_up_sync(all, lane, 2);
  row[2] = __shfl_down_sync(all, lane, 5);
  row[3] = __shfl_xor_sync(all, lane, 9);
  row[4] = __shfl_sync(all, lane, 1, 8);
  row[5] = static_cast<int>(__ballot_sync(all, lane % 3 == 0));
  row[6] = __any_sync(all, lane == 31);
  row[7] = __all_sync(all, lane < 31);
  row[8] = static_cast<int>(__shfl_xor_sync(all, static_cast<double>(lane), 1));
  row[9] = lane >= 16 ? __shfl_xor_sync(upper, lane, 4) : -1;
  row[10] = __syncthreads_count(lane < 10);
  row[11] = __syncthreads_and(lane < 32) + __syncthreads_or(lane == 40);
}

void warpsTalk() {
  Array<int> out(64 * 12);
  OK(KITH_LAUNCH(warps, 1, 64, 0, nullptr, out.data));
  const std::vector<int> h = out.host();
  unsigned thirds = 0;
  for (unsigned l = 0; l < 32; l += 3) thirds |= 1u << l;
  for (int t = 0; t < 64; t++) {
    const int lane = t % 32;
    const int* row = h.data() + t * 12;
    EXPECT(row[0] == 3);
    EXPECT(row[1] == (lane >= 2 ? lane - 2 : lane));
    EXPECT(row[2] == (lane + 5 < 32 ? lane + 5 : lane));
    EXPECT(row[3] == (lane ^ 9));
    EXPECT(row[4] == lane / 8 * 8 + 1);
    EXPECT(static_cast<unsigned>(row[5]) == thirds);
    EXPECT(row[6] == 1);
    EXPECT(row[7] == 0);
    EXPECT(row[8] == (lane ^ 1));
    EXPECT(row[9] == (lane >= 16 ? (lane ^ 4) : -1));
    EXPECT(row[10] == 20);
    EXPECT(row[11] == 1);
  }
}

KITH_KERNEL(128) void histogram(const int* x, int n, int* bins, unsigned long long* least) {
  KITH_DYNAMIC_SHARED(int, local);
  for (int b = static_cast<int>(threadIdx.x); b < 16; b += 128) local[b] = 0;
  __syncthreads();
  for (int i = static_cast<int>(blockIdx.x * 128 + threadIdx.x); i < n; i += static_cast<int>(gridDim.x * 128)) {
    atomicAdd(&local[x[i] & 15], 1);
    atomicMin(least, static_cast<unsigned long long>(x[i]));
  }
  __syncthreads();
  if (threadIdx.x < 16) atomicAdd(bins + threadIdx.x, local[threadIdx.x]);
}

void atomicsCount() {
  std::vector<int> x(20000);
  for (size_t i = 0; i < x.size(); i++) x[i] = static_cast<int>(i * i % 9973 + 5);
  Array<int> in(x.size()), bins(16);
  Array<unsigned long long> least(1);
  OK(cudaMemcpy(in.data, x.data(), x.size() * sizeof(int), cudaMemcpyHostToDevice));
  OK(cudaMemset(bins.data, 0, 16 * sizeof(int)));
  OK(cudaMemset(least.data, 0xff, 8));
  OK(KITH_LAUNCH(histogram, 50, 128, 16 * sizeof(int), nullptr, in.data, 20000, bins.data, least.data));
  int wanted[16] = {};
  for (const int v : x) wanted[v & 15]++;
  const std::vector<int> h = bins.host();
  for (size_t b = 0; b < 16; b++) EXPECT(h[b] == wanted[b]);
  EXPECT(least.host()[0] == 5);
}

KITH_KERNEL(96) void positions(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * 96 + thread] = static_cast<int>(block * 1000 + thread);
}

void gridsAreCovered() {
  Array<int> out(2 * 3 * 4 * 96);
  OK(KITH_LAUNCH(positions, dim3(2, 3, 4), dim3(8, 6, 2), 0, nullptr, out.data));
  const std::vector<int> h = out.host();
  for (size_t i = 0; i < h.size(); i++) EXPECT(h[i] == static_cast<int>(i / 96 * 1000 + i % 96));
}

template <class T, int N>
KITH_KERNEL(N)
void constant(T* x, T value) {
  x[threadIdx.x] = value;
}

void graphsRepeat() {
  Stream a, b;
  cudaEvent_t fork, join;
  OK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  OK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  Array<int> x(8), y(8);
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  for (const bool joined : {true, false}) {
    OK(cudaStreamBeginCapture(a.handle, cudaStreamCaptureModeRelaxed));
    OK(KITH_LAUNCH((constant<int, 8>), 1, 8, 0, a.handle, x.data, 3));
    OK(cudaEventRecord(fork, a.handle));
    OK(cudaStreamWaitEvent(b.handle, fork));
    OK(cudaMemcpyAsync(y.data, x.data, 32, cudaMemcpyDeviceToDevice, b.handle));
    OK(cudaEventRecord(join, b.handle));
    if (joined) OK(cudaStreamWaitEvent(a.handle, join));
    EXPECT(cudaStreamSynchronize(a.handle) == cudaErrorStreamCaptureUnsupported);
    const cudaError_t ended = cudaStreamEndCapture(a.handle, &graph);
    EXPECT(ended == (joined ? cudaSuccess : cudaErrorStreamCaptureUnjoined));
    if (!joined) continue;
    OK(cudaGraphInstantiate(&executable, graph));
    OK(cudaGraphDestroy(graph));
    EXPECT(y.host()[0] == -1); /* nothing ran yet */
    OK(cudaGraphLaunch(executable, a.handle));
    OK(cudaStreamSynchronize(a.handle));
    EXPECT(y.host()[7] == 3);
    OK(cudaMemset(y.data, 0, 32));
    OK(cudaGraphLaunch(executable, b.handle));
    OK(cudaStreamSynchronize(b.handle));
    EXPECT(y.host()[7] == 3);
    OK(cudaGraphExecDestroy(executable));
  }
  cudaGetLastError();
  OK(cudaEventDestroy(fork));
  OK(cudaEventDestroy(join));
}

void queriesEnd() {
  Stream s;
  Array<int> x(4);
  cudaEvent_t event;
  OK(cudaEventCreate(&event));
  OK(cudaEventQuery(event));
  for (int i = 0; i < 100; i++) OK(KITH_LAUNCH((constant<int, 4>), 1, 4, 0, s.handle, x.data, i));
  OK(cudaEventRecord(event, s.handle));
  EXPECT(cudaEventQuery(event) == cudaErrorNotReady);
  while (cudaEventQuery(event) == cudaErrorNotReady) {
  }
  OK(cudaStreamQuery(s.handle));
  EXPECT(x.host()[0] == 99);
  for (int i = 0; i < 5000; i++) OK(KITH_LAUNCH((constant<int, 4>), 1, 4, 0, s.handle, x.data, i));
  while (cudaStreamQuery(s.handle) == cudaErrorNotReady) {
  }
  EXPECT(x.host()[3] == 4999);
  OK(cudaEventDestroy(event));
}

void uploadsConsumeTheirSource() {
  Stream s;
  Array<int> x(64);
  std::vector<int> h(64, 5);
  OK(cudaMemcpyAsync(x.data, h.data(), 256, cudaMemcpyHostToDevice, s.handle));
  h.assign(64, 6); /* pageable: was read */
  OK(cudaStreamSynchronize(s.handle));
  EXPECT(x.host()[63] == 5);
  int* pinned;
  OK(cudaHostAlloc(reinterpret_cast<void**>(&pinned), 256, cudaHostAllocPortable));
  for (int i = 0; i < 64; i++) pinned[i] = 7;
  OK(cudaMemcpyAsync(x.data, pinned, 256, cudaMemcpyHostToDevice, s.handle));
  pinned[63] = 8; /* pinned: is read when the copy runs */
  OK(cudaStreamSynchronize(s.handle));
  EXPECT(x.host()[63] == 8);
  OK(cudaFreeHost(pinned));
  std::vector<int> grid(12, 0);
  OK(cudaMemcpy2D(x.data, 32, h.data(), 16, 12, 3, cudaMemcpyHostToDevice));
  OK(cudaMemcpy2D(grid.data(), 16, x.data, 32, 12, 3, cudaMemcpyDeviceToHost));
  EXPECT(grid[0] == 6 && grid[3] == 0 && grid[10] == 6);
}

KITH_KERNEL(64) void touch(int*) {}

void wrongCallsAreRefused() {
  Array<int> x(16);
  Stream s;
  EXPECT(KITH_LAUNCH(touch, 1, 1025, 0, nullptr, x.data) == cudaErrorInvalidConfiguration);
  EXPECT(KITH_LAUNCH(touch, 0, 32, 0, nullptr, x.data) == cudaErrorInvalidConfiguration);
  EXPECT(cudaGetLastError() == cudaErrorInvalidConfiguration);
  EXPECT(cudaGetLastError() == cudaSuccess);
  EXPECT(KITH_LAUNCH(touch, 1, 32, (48 << 10) + 4, nullptr, x.data) == cudaErrorInvalidValue);
  OK(cudaFuncSetAttribute(touch, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10));
  OK(KITH_LAUNCH(touch, 1, 32, 64 << 10, nullptr, x.data));
  EXPECT(cudaFuncSetAttribute(touch, cudaFuncAttributeMaxDynamicSharedMemorySize, 65 << 10) == cudaErrorInvalidValue);
  int local[64] = {};
  EXPECT(cudaMemcpy(x.data, local, 68, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  EXPECT(cudaMemcpy(x.data, local, 64, cudaMemcpyDeviceToHost) == cudaErrorInvalidMemcpyDirection);
  EXPECT(cudaFree(x.data + 1) == cudaErrorInvalidValue);
  EXPECT(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(local)) == cudaErrorInvalidResourceHandle);
  size_t before, after, total;
  OK(cudaMemGetInfo(&before, &total));
  void* p = nullptr;
  EXPECT(cudaMallocAsync(&p, total + 1, s.handle) == cudaErrorMemoryAllocation && p == nullptr);
  OK(cudaMallocAsync(&p, 1000, s.handle));
  OK(cudaMemGetInfo(&after, &total));
  EXPECT(before - after == 1000);
  OK(cudaFreeAsync(p, s.handle));
  EXPECT(cudaFreeAsync(p, s.handle) == cudaErrorInvalidValue);
  OK(cudaStreamSynchronize(s.handle));
  OK(cudaMemGetInfo(&after, &total));
  EXPECT(before == after);
  cudaPointerAttributes attributes;
  OK(cudaPointerGetAttributes(&attributes, x.data + 3));
  EXPECT(attributes.type == cudaMemoryTypeDevice);
  OK(cudaPointerGetAttributes(&attributes, local));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered);
  OK(cudaDeviceSynchronize());
  cudaGetLastError();
}

void threadsShareTheDevice() {
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; n++) {
    threads.emplace_back([n] {
      Stream s;
      for (int i = 0; i < 20; i++) {
        Array<int> x(256);
        OK(KITH_LAUNCH((constant<int, 256>), 1, 256, 0, s.handle, x.data, n * 100 + i));
        std::vector<int> h(256);
        OK(cudaMemcpyAsync(h.data(), x.data, 1024, cudaMemcpyDeviceToHost, s.handle));
        OK(cudaStreamSynchronize(s.handle));
        EXPECT(h[255] == n * 100 + i);
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

/* ---- planted bugs -------------------------------------------------------------------------------------------------- */

template <bool kBug>
KITH_KERNEL(64)
void reverse(int* x) {
  KITH_SHARED(int, tile, 64);
  tile[threadIdx.x] = x[threadIdx.x];
  if constexpr (!kBug) __syncthreads();
  x[threadIdx.x] = tile[63 - threadIdx.x];
}

void missingSyncthreads() {
  Array<int> x(64);
  OK(KITH_LAUNCH((reverse<false>), 1, 64, 0, nullptr, x.data));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH((reverse<true>), 1, 64, 0, nullptr, x.data));
  /* Read before or after it was written: which of the two is said depends on the order. */
  FINDS(cudaErrorLaunchFailure, "kernel reverse<true>, block (0, 0, 0), thread (", " tile[");
}

/* The values of a first turn are read by all before the second turn overwrites them. */
template <bool kBug>
KITH_KERNEL(64)
void turns(int* x) {
  KITH_SHARED(int, tile, 64);
  const unsigned t = threadIdx.x;
  int sum = 0;
  for (int turn = 0; turn < 2; turn++) {
    tile[t] = turn;
    __syncthreads();
    sum += tile[(t + 33) % 64];
    if constexpr (!kBug) __syncthreads();
  }
  x[t] = sum;
}

void missingSecondSyncthreads() {
  Array<int> x(64);
  OK(KITH_LAUNCH((turns<false>), 1, 64, 0, nullptr, x.data));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH((turns<true>), 1, 64, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "kernel turns<true>", " tile[", "with no barrier between the two; put __syncthreads()");
}

template <bool kBug>
KITH_KERNEL(32)
void neighbours(int* x) {
  KITH_SHARED(int, tile, 32);
  const unsigned t = threadIdx.x;
  tile[t] = x[t];
  __syncwarp();
  for (unsigned s = 16; s >= 1; s /= 2) {
    const int other = tile[t ^ s];
    if constexpr (!kBug) __syncwarp();
    tile[t] = tile[t] + other;
    __syncwarp();
  }
  x[t] = tile[t];
}

void missingSyncwarp() {
  Array<int> x(32);
  OK(cudaMemset(x.data, 0, 128));
  OK(KITH_LAUNCH((neighbours<false>), 1, 32, 0, nullptr, x.data));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH((neighbours<true>), 1, 32, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "kernel neighbours<true>", " tile[", "put __syncwarp() there");
}

struct Four {
  int v[4];
};

/* Elements of 16 bytes in dynamic memory, in part also seen as words. */
template <bool kBug, bool kWords>
KITH_KERNEL(64)
void elements(int* x) {
  KITH_DYNAMIC_SHARED(Four, wide);
  const unsigned t = threadIdx.x;
  wide[t] = Four{{1, 2, 3, static_cast<int>(t)}};
  if constexpr (!kBug) __syncthreads();
  if constexpr (kWords) {
    KITH_DYNAMIC_SHARED(int, narrow);
    x[t] = narrow[4 * (63 - t) + 3];
  } else {
    const Four other = wide[63 - t];
    x[t] = other.v[3];
  }
}

template <bool kWords>
void missingSyncthreadsOfElements() {
  Array<int> x(64);
  OK(KITH_LAUNCH((elements<false, kWords>), 1, 64, 1024, nullptr, x.data));
  EXPECT(x.host()[1] == 62);
  OK(KITH_LAUNCH((elements<true, kWords>), 1, 64, 1024, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "kernel elements<true, kWords>, block (0, 0, 0), thread (",
        kWords ? " narrow[" : " wide[");
}
void raceOfWideElements() { missingSyncthreadsOfElements<false>(); }
void raceOfWideElementsAndWords() { missingSyncthreadsOfElements<true>(); }

/* Half a warp meets, the other half writes: only the lanes that met are ordered. */
template <bool kBug>
KITH_KERNEL(32)
void halves(int* x) {
  KITH_SHARED(int, tile, 32);
  const unsigned t = threadIdx.x;
  tile[t] = static_cast<int>(t);
  const unsigned mask = t < 16 ? 0x0000ffffu : 0xffff0000u;
  __syncwarp(mask);
  x[t] = tile[kBug ? 31 - t : t ^ 15];
}

void missingLanesInAMask() {
  Array<int> x(32);
  OK(KITH_LAUNCH((halves<false>), 1, 32, 0, nullptr, x.data));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH((halves<true>), 1, 32, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "kernel halves<true>", " tile[");
}

template <bool kBug>
KITH_KERNEL(64)
void flag(int* x) {
  KITH_SHARED(int, any, 1);
  if (threadIdx.x == 0) any[0] = 0;
  __syncthreads();
  if (kBug) {
    any[0] = 1;
  } else {
    atomicOr(&any[0], 1);
  }
  __syncthreads();
  x[threadIdx.x] = any[0];
}

void sameValueRace() {
  Array<int> x(64);
  OK(KITH_LAUNCH((flag<false>), 1, 64, 0, nullptr, x.data));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH((flag<true>), 1, 64, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "kernel flag<true>", "writes any[0], which thread (", "wrote");
}

template <bool kBug>
KITH_KERNEL(64)
void increment(float* x, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (kBug ? i <= n : i < n) x[i] = 1.0f;
}
KITH_KERNEL(64) void increment_shared(int* x, int n) {
  KITH_SHARED(int, tile, 32);
  for (int i = static_cast<int>(threadIdx.x); i <= n; i += 64) tile[i] = 1;
  x[0] = 1;
}

/* Ends the process in a build with the sanitizer. */
void outOfBoundsByOne() {
  Array<float> x(33);
  OK(KITH_LAUNCH((increment<false>), 1, 64, 0, nullptr, x.data, 33));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH((increment<true>), 1, 64, 0, nullptr, x.data, 33));
  FINDS(cudaErrorIllegalAddress, "kernel increment<true> wrote 0 bytes after the end of an allocation of 132 bytes");
}

void outOfBoundsInSharedMemory() {
  Array<int> x(1);
  OK(KITH_LAUNCH(increment_shared, 1, 64, 0, nullptr, x.data, 31));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH(increment_shared, 1, 64, 0, nullptr, x.data, 32));
  FINDS(cudaErrorIllegalAddress, "thread (32, 0, 0) accesses tile[32], which has 32 elements");
}

void unwrittenOutput() {
  Array<float> x(33);
  OK(KITH_LAUNCH((increment<false>), 1, 64, 0, nullptr, x.data, 33));
  for (const float v : x.host()) EXPECT(v == 1.0f);
  Array<float> y(33);
  OK(KITH_LAUNCH((increment<false>), 1, 64, 0, nullptr, y.data, 32));
  EXPECT(y.host()[31] == 1.0f);
  EXPECT(std::isnan(y.host()[32]));
}

template <bool kBug>
KITH_KERNEL(32)
void partly(int* x) {
  KITH_SHARED(int, tile, 32);
  if (threadIdx.x < (kBug ? 31 : 32)) tile[threadIdx.x] = 1;
  __syncthreads();
  x[threadIdx.x] = tile[31 - threadIdx.x];
}

void unwrittenSharedMemory() {
  Array<int> x(32);
  OK(KITH_LAUNCH((partly<false>), 1, 32, 0, nullptr, x.data));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH((partly<true>), 1, 32, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "thread (0, 0, 0) reads tile[31], which no thread of its block has written");
}

void hostReadWithoutSync() {
  Stream s;
  Array<float> x(32);
  std::vector<float> h(32, 5.0f);
  OK(KITH_LAUNCH((constant<float, 32>), 1, 32, 0, s.handle, x.data, 2.0f));
  EXPECT(std::isnan(x.data[0])); /* by its address */
  OK(cudaMemcpyAsync(h.data(), x.data, 128, cudaMemcpyDeviceToHost, s.handle));
  for (const float v : h) EXPECT(std::isnan(v));
  OK(cudaStreamSynchronize(s.handle));
  for (const float v : h) EXPECT(v == 2.0f);
}

/* Trials in which a second queue did not see what the first wrote. */
int wrongReads(bool with_event) {
  Stream first, second;
  cudaEvent_t event;
  OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  int wrong = 0;
  for (int trial = 0; trial < kTrials; trial++) {
    Array<float> x(32);
    std::vector<float> h(32);
    OK(KITH_LAUNCH((constant<float, 32>), 1, 32, 0, first.handle, x.data, 2.0f));
    OK(cudaEventRecord(event, first.handle));
    if (with_event) OK(cudaStreamWaitEvent(second.handle, event));
    OK(cudaMemcpyAsync(h.data(), x.data, 128, cudaMemcpyDeviceToHost, second.handle));
    OK(cudaStreamSynchronize(second.handle));
    wrong += h[0] != 2.0f;
    OK(cudaStreamSynchronize(first.handle));
  }
  OK(cudaEventDestroy(event));
  return wrong;
}

void missingEventBetweenQueues() {
  EXPECT(wrongReads(true) == 0);
  const int wrong = wrongReads(false);
  EXPECT(wrong > 0 && wrong < kTrials); /* both orders happen */
}

/* Trials in which memory went back on a second queue while a call on the first still had to use it. */
int usesAfterClose(bool with_event) {
  Stream first, second;
  cudaEvent_t event;
  OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  int found = 0;
  for (int trial = 0; trial < kTrials; trial++) {
    float* x = nullptr;
    OK(cudaMallocAsync(reinterpret_cast<void**>(&x), 128, first.handle));
    OK(cudaStreamSynchronize(first.handle));
    OK(KITH_LAUNCH((constant<float, 32>), 1, 32, 0, first.handle, x, 2.0f));
    OK(cudaEventRecord(event, first.handle));
    if (with_event) OK(cudaStreamWaitEvent(second.handle, event));
    OK(cudaFreeAsync(x, second.handle));
    const cudaError_t error = cudaDeviceSynchronize();
    if (error == cudaSuccess) continue;
    EXPECT(error == cudaErrorIllegalAddress);
    EXPECT(std::string(cudaGetErrorString(error))
               .find("kernel constant<float, 32> uses an allocation of 128 bytes that "
                     "was freed before it ran") == 0);
    found++;
  }
  cudaGetLastError();
  OK(cudaEventDestroy(event));
  return found;
}

void closeDuringACall() {
  EXPECT(usesAfterClose(false) > 0);
  EXPECT(usesAfterClose(true) == 0);
}

/* A stale pointer writes into memory after it went back. */
KITH_KERNEL(1) void write_through(float* const* pointer) { (*pointer)[5] = 1.0f; }

/* Not with the sanitizer, which ends the process. */
void writeAfterClose() {
  Array<float*> stale(1);
  float* x = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&x), 4096));
  OK(cudaMemcpy(stale.data, &x, sizeof(x), cudaMemcpyHostToDevice));
  OK(cudaFree(x));
  OK(KITH_LAUNCH(write_through, 1, 1, 0, nullptr, stale.data));
  OK(cudaDeviceSynchronize());
  for (int i = 0; i < 2; i++) Array<char> more(24 << 20); /* the freed block leaves the quarantine */
  FINDS(cudaErrorIllegalAddress, "byte 20 of an allocation of 4096 bytes after it was freed");
}

template <bool kBug>
KITH_KERNEL(32)
void diverging(int* x) {
  if (kBug ? threadIdx.x < 16 : true) __syncthreads();
  x[threadIdx.x] = 1;
}
KITH_KERNEL(32) void two_barriers(int* x) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  x[threadIdx.x] = 1;
}
KITH_KERNEL(32) void lacking_lane(int* x) {
  if (threadIdx.x < 8) x[threadIdx.x] = __shfl_sync(0x00ffu, 1, 0);
  if (threadIdx.x == 8) __syncwarp(0x00ffu);
}
KITH_KERNEL(64) void deadlock(int* x) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else if (threadIdx.x < 40) {
    __syncwarp();
  } else {
    __syncthreads();
  }
  x[threadIdx.x] = 1;
}

void divergentBarrier() {
  Array<int> x(64);
  OK(KITH_LAUNCH((diverging<false>), 1, 32, 0, nullptr, x.data));
  OK(cudaDeviceSynchronize());
  OK(KITH_LAUNCH((diverging<true>), 1, 32, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "kernel diverging<true>, block (0, 0, 0), thread (0, 0, 0) waits at __syncthreads",
        "for thread (16, 0, 0), which has ended");
  OK(KITH_LAUNCH(two_barriers, 1, 32, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "waits at the barrier of line", "must meet at one __syncthreads()");
  OK(KITH_LAUNCH(lacking_lane, 1, 32, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure,
        "thread (8, 0, 0) calls __syncwarp with the mask 0x000000ff, which lacks its own lane 8");
  OK(KITH_LAUNCH(deadlock, 1, 64, 0, nullptr, x.data));
  FINDS(cudaErrorLaunchFailure, "kernel deadlock", "which waits elsewhere");
}

/* ---- runs of their own --------------------------------------------------------------------------------------------- */

void leakedStream() {
  cudaStream_t stream;
  OK(cudaStreamCreate(&stream));
}

/* In the order in which threads and blocks ran. */
KITH_KERNEL(32) void order(unsigned* ticket, unsigned* seen) {
  seen[atomicAdd(ticket, 1u)] = blockIdx.x * 32 + threadIdx.x;
}
void printOrder() {
  Array<unsigned> ticket(1), seen(256);
  OK(cudaMemset(ticket.data, 0, 4));
  OK(KITH_LAUNCH(order, 8, 32, 0, nullptr, ticket.data, seen.data));
  for (const unsigned v : seen.host()) std::printf("%u ", v);
}

void misaligned() {
  Array<float> x(16);
  OK(KITH_LAUNCH((constant<float4, 1>), 1, 1, 0, nullptr, reinterpret_cast<float4*>(x.data + 1),
                 make_float4(1, 2, 3, 4)));
  OK(cudaDeviceSynchronize());
}

void countDevices() {
  int count = -1, driver = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  OK(cudaDriverGetVersion(&driver));
  std::printf("%s %d %d", cudaGetErrorName(error), count, driver);
}

/* What four calls give, the last of which needs no work done. */
void fillThrice() {
  Array<int> x(4);
  void* more = nullptr;
  for (int i = 0; i < 3; i++) std::printf("%s ", cudaGetErrorName(cudaMemset(x.data, i, 16)));
  std::printf("%s", cudaGetErrorName(cudaMalloc(&more, 4)));
  if (more != nullptr) OK(cudaFree(more));
}

/* The output of a run of this program, with its exit status at the end. */
std::string outcome(const std::string& environment, const char* test) {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) return "no path";
  FILE* const pipe = popen((environment + " '" + self + "' " + test + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "no run";
  std::string text;
  char part[512];
  while (std::fgets(part, sizeof(part), pipe) != nullptr) text += part;
  const int status = pclose(pipe);
  return text + " status " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}
bool has(const std::string& text, const char* part) {
  if (text.find(part) != std::string::npos) return true;
  std::printf("\"%s\" lacks \"%s\"\n", text.c_str(), part);
  return false;
}

void leaksAreReported() {
  EXPECT(has(outcome("", "leakedStream"), "never released: 1 streams, 0 events, 0 graphs, 0 allocations of 0 bytes"));
  EXPECT(has(outcome("", "leakedStream"), "status 0"));
  EXPECT(has(outcome("KITH_EMULATION_LEAKS=2", "leakedStream"), "status 1"));
  EXPECT(has(outcome("KITH_EMULATION_LEAKS=2", "printOrder"), "status 0"));
  EXPECT(outcome("", "printOrder").find("never released") == std::string::npos);
}

void seedsGiveTheOrder() {
  const std::string one = outcome("KITH_EMULATION_SEED=1", "printOrder");
  EXPECT(has(one, "status 0"));
  EXPECT(one == outcome("KITH_EMULATION_SEED=1", "printOrder"));
  EXPECT(one != outcome("KITH_EMULATION_SEED=2", "printOrder"));
}

void devicesComeFromTheEnvironment() {
  EXPECT(has(outcome("", "countDevices"), "cudaSuccess 1 13000"));
  EXPECT(has(outcome("KITH_EMULATION_DEVICES=3", "countDevices"), "cudaSuccess 3 13000"));
  EXPECT(has(outcome("KITH_EMULATION_DEVICES=0", "countDevices"), "cudaErrorNoDevice 0 13000"));
  EXPECT(has(outcome("KITH_EMULATION_DRIVER=12040", "countDevices"), "cudaErrorInsufficientDriver 0 12040"));
}

void aDeviceCanBeLost() {
  EXPECT(has(outcome("", "fillThrice"), "cudaSuccess cudaSuccess cudaSuccess cudaSuccess status 0"));
  EXPECT(has(outcome("KITH_EMULATION_LOST_AFTER=2", "fillThrice"),
             "cudaSuccess cudaSuccess cudaErrorLaunchFailure cudaErrorLaunchFailure status 0"));
}

void sanitizersEndTheProcess() {
#if defined(__SANITIZE_ADDRESS__)
  EXPECT(has(outcome("", "outOfBoundsByOne"), "use-after-poison"));
  EXPECT(has(outcome("", "writeAfterClose"), "use-after-poison"));
#endif
#if defined(KITH_UNDEFINED_SANITIZER)
  EXPECT(has(outcome("", "misaligned"), "misaligned address"));
#endif
}

struct Test {
  const char* name;
  void (*run)();
  enum class Kind { kAlways, kWithoutSanitizer, kChild } kind = Kind::kAlways;
};
#define TEST(name) \
  { #name, name, Test::Kind::kAlways }
#define PLAIN_TEST(name) \
  { #name, name, Test::Kind::kWithoutSanitizer }
#define CHILD(name) \
  { #name, name, Test::Kind::kChild }
constexpr Test kTests[] = {TEST(treesAddUp),
                           TEST(warpsTalk),
                           TEST(atomicsCount),
                           TEST(gridsAreCovered),
                           TEST(graphsRepeat),
                           TEST(queriesEnd),
                           TEST(uploadsConsumeTheirSource),
                           TEST(wrongCallsAreRefused),
                           TEST(threadsShareTheDevice),
                           TEST(missingSyncthreads),
                           TEST(missingSecondSyncthreads),
                           TEST(missingSyncwarp),
                           TEST(missingLanesInAMask),
                           TEST(raceOfWideElements),
                           TEST(raceOfWideElementsAndWords),
                           TEST(sameValueRace),
                           PLAIN_TEST(outOfBoundsByOne),
                           TEST(outOfBoundsInSharedMemory),
                           TEST(unwrittenOutput),
                           TEST(unwrittenSharedMemory),
                           TEST(hostReadWithoutSync),
                           TEST(missingEventBetweenQueues),
                           TEST(closeDuringACall),
                           PLAIN_TEST(writeAfterClose),
                           TEST(divergentBarrier),
                           TEST(leaksAreReported),
                           TEST(seedsGiveTheOrder),
                           TEST(devicesComeFromTheEnvironment),
                           TEST(aDeviceCanBeLost),
                           TEST(sanitizersEndTheProcess),
                           CHILD(leakedStream),
                           CHILD(printOrder),
                           CHILD(misaligned),
                           CHILD(countDevices),
                           CHILD(fillThrice)};

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

}  // namespace

int main(int count, char** arguments) {
  int run = 0;
  for (const Test& test : kTests) {
    const bool named = count == 2 && std::strcmp(arguments[1], test.name) == 0;
    const bool all = count < 2 && test.kind != Test::Kind::kChild &&
                     !(kAddressSanitizer && test.kind == Test::Kind::kWithoutSanitizer);
    if (!named && !all) continue;
    const int before = failures;
    test.run();
    run++;
    if (failures != before) std::printf("FAILED %s\n", test.name);
  }
  if (run == 0) {
    std::printf("no test %s\n", arguments[1]);
    return 2;
  }
  if (count < 2) std::printf("%d tests, %d failures\n", run, failures);
  return failures == 0 ? 0 : 1;
}
