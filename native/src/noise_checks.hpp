/* Checks of the family noise, the same in every library. */
#ifndef KITH_NOISE_CHECKS_HPP
#define KITH_NOISE_CHECKS_HPP

#include "arguments.hpp"
#include "noise.hpp"

namespace kith {

/* Columns that a row draws at most: words of one key, stream, node and round. */
inline constexpr int64_t kMostNoiseColumns = int64_t{1} << 42;
bool check_noise(Arguments& entry, const kith_weights* weights, const kith_field* field, double scale, int32_t add,
                 const kith_matrix* y, Matrix* out);
/* A field alone. */
bool check_field(Arguments& entry, const kith_field* field);
/* The keys of a field that was checked. */
void noise_keys(const kith_field& field, NoiseKey* keys);

}  // namespace kith

#endif
