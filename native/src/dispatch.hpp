/*
 * Tiers: the kernels of a family are compiled once per instruction-set tier, each into its own namespace, and reached
 * through one table of function pointers per family and tier. In FAMILY_api.cpp, inside namespace kith:
 *
 *   KITH_FAMILY(ThingKernels, thing)     // struct ThingKernels comes from thing.hpp
 *   ... thing().block(...)               // the table of the tier in use
 */
#ifndef KITH_DISPATCH_HPP
#define KITH_DISPATCH_HPP

#include "kith.h"

namespace kith {

enum Tier { kTierScalar = 0, kTierV2 = 1, kTierV3 = 2, kTierV4 = 3 };

/* The tier in use: the best of the CPU and the system under the cap, or what kith_select_tier chose. */
int tier();
/* KITH_INVALID with the list of names when KITH_MAX_ISA holds no tier. */
kith_status check_tier_cap(kith_call* call);

}  // namespace kith

#if defined(__x86_64__)
#define KITH_FAMILY(Kernels, family)                                                                                 \
  namespace scalar {                                                                                                 \
  extern const Kernels family##_kernels;                                                                             \
  }                                                                                                                  \
  namespace v2 {                                                                                                     \
  extern const Kernels family##_kernels;                                                                             \
  }                                                                                                                  \
  namespace v3 {                                                                                                     \
  extern const Kernels family##_kernels;                                                                             \
  }                                                                                                                  \
  namespace v4 {                                                                                                     \
  extern const Kernels family##_kernels;                                                                             \
  }                                                                                                                  \
  namespace {                                                                                                        \
  const Kernels& family() {                                                                                          \
    static const Kernels* const tables[] = {&scalar::family##_kernels, &v2::family##_kernels, &v3::family##_kernels, \
                                            &v4::family##_kernels};                                                  \
    return *tables[tier()];                                                                                          \
  }                                                                                                                  \
  }
#else
#define KITH_FAMILY(Kernels, family)                           \
  namespace scalar {                                           \
  extern const Kernels family##_kernels;                       \
  }                                                            \
  namespace {                                                  \
  const Kernels& family() { return scalar::family##_kernels; } \
  }
#endif

#endif
