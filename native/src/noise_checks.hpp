/* Checks of the family noise, the same in every library. */
#ifndef KITH_NOISE_CHECKS_HPP
#define KITH_NOISE_CHECKS_HPP

#include "arguments.hpp"
#include "noise.hpp"

namespace kith {

bool check_noise(Arguments& entry, const kith_weights* weights, const kith_field* field, double scale, int32_t add,
                 const kith_matrix* y, Matrix* out);
/* A field alone. */
bool check_field(Arguments& entry, const kith_field* field);
/* The keys of a field that was checked. */
void noise_keys(const kith_field& field, NoiseKey* keys);

}  // namespace kith

#endif
