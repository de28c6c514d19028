// Which tier answers: CPUID says what the CPU can, XCR0 what the operating system saves, KITH_MAX_ISA what is wanted.
#include "dispatch.hpp"

#include <cstdlib>
#include <cstring>

#include "core.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace kith {

namespace {

constexpr const char* kNames[] = {"scalar", "v2", "v3", "v4"};
constexpr int kUnset = -1;

int chosen = kUnset;  // __atomic

int tier_named(const char* name) {
  for (int t = kTierScalar; t <= kTierV4; t++) {
    if (std::strcmp(name, kNames[t]) == 0) return t;
  }
  return -1;
}

#if defined(__x86_64__)
uint64_t extended_control_register() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool has(uint32_t value, uint32_t mask) { return (value & mask) == mask; }

int detect() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return kTierScalar;
  const uint32_t leaf1 = c;
  // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT
  if (!has(leaf1, 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23)) return kTierScalar;
  if (!__get_cpuid(0x80000001u, &a, &b, &c, &d) || !has(c, 1u << 0)) return kTierScalar;  // LAHF
  const uint32_t extended = c;
  // FMA, MOVBE, OSXSAVE, AVX, F16C; LZCNT
  if (!has(leaf1, 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29) || !has(extended, 1u << 5)) return kTierV2;
  const uint64_t saved = extended_control_register();
  if ((saved & 0x6) != 0x6) return kTierV2;  // XMM and YMM
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return kTierV2;
  if (!has(b, 1u << 3 | 1u << 5 | 1u << 8)) return kTierV2;  // BMI1, AVX2, BMI2
  if ((saved & 0xe6) != 0xe6) return kTierV3;                // opmask, ZMM
  // AVX-512 F, DQ, CD, BW, VL
  if (!has(b, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31)) return kTierV3;
  return kTierV4;
}
#else
int detect() { return kTierScalar; }
#endif

// NULL or "" counts as not set.
const char* cap_variable() {
  const char* value = std::getenv("KITH_MAX_ISA");
  return value != nullptr && value[0] != 0 ? value : nullptr;
}

int best() {
  const char* variable = cap_variable();
  const int available = detect();
  const int cap = variable == nullptr ? available : tier_named(variable);
  if (cap < 0) return available;  // check_tier_cap refuses it where it can be reported
  return available < cap ? available : cap;
}

}  // namespace

int tier() {
  const int present = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
  if (present != kUnset) return present;
  int expected = kUnset;
  __atomic_compare_exchange_n(&chosen, &expected, best(), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return __atomic_load_n(&chosen, __ATOMIC_RELAXED);
}

kith_status check_tier_cap(kith_call* call) {
  const char* variable = cap_variable();
  if (variable == nullptr || tier_named(variable) >= 0) return KITH_OK;
  return fail(call, KITH_INVALID, "KITH_MAX_ISA is \"%.64s\"; set it to one of scalar, v2, v3, v4 or unset it",
              variable);
}

}  // namespace kith

extern "C" {

const char* kith_cpu_tier(void) { return kith::kNames[kith::tier()]; }

kith_status kith_select_tier(const char* tier, kith_call* call) {
  if (tier == nullptr)
    return kith::fail(call, KITH_INVALID, "kith_select_tier: tier is NULL; name scalar, v2, v3 or v4");
  const int wanted = kith::tier_named(tier);
  if (wanted < 0) {
    return kith::fail(call, KITH_INVALID, "kith_select_tier: \"%.64s\" is no tier; use scalar, v2, v3 or v4", tier);
  }
  if (wanted > kith::detect()) {
    return kith::fail(call, KITH_UNSUPPORTED, "kith_select_tier: this machine or library lacks %s; the best is %s",
                      tier, kith::kNames[kith::detect()]);
  }
  const char* cap = kith::cap_variable();
  if (cap != nullptr && wanted > kith::tier_named(cap)) {
    return kith::fail(call, KITH_UNSUPPORTED, "kith_select_tier: KITH_MAX_ISA=%.64s forbids %s", cap, tier);
  }
  if (!kith::begin_exclusive()) {
    return kith::fail(call, KITH_BUSY, "kith_select_tier: operations are running; change the tier between them");
  }
  __atomic_store_n(&kith::chosen, wanted, __ATOMIC_RELAXED);
  kith::end_exclusive();
  return KITH_OK;
}

}  // extern "C"
