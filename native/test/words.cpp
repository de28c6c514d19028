/*
 * Words of both generators where the index of a block passes 32 bits, which no row that fits into memory reaches: each
 * word of docs/randomness.md in obvious scalar code beside what a tier makes side by side. Compiled once per tier; exits
 * with 0 where all agree, or where the processor lacks the tier.
 */
#include "words.hpp"

#include <cstdio>
#include <initializer_list>

#define KITH_TEXT(x) KITH_TEXT_OF(x)
#define KITH_TEXT_OF(x) #x

namespace {

using kith::NoiseKey;

uint32_t rotated(uint32_t x, int n) { return x << n | x >> (32 - n); }

void quarter(uint32_t* x, int a, int b, int c, int d) {
  x[a] += x[b], x[d] = rotated(x[d] ^ x[a], 16);
  x[c] += x[d], x[b] = rotated(x[b] ^ x[c], 12);
  x[a] += x[b], x[d] = rotated(x[d] ^ x[a], 8);
  x[c] += x[d], x[b] = rotated(x[b] ^ x[c], 7);
}

/* RFC 8439, 2.3. */
void chacha_block(const uint32_t* key, const uint32_t* counter, uint32_t* out) {
  uint32_t start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
  for (int i = 0; i < 8; i++) start[4 + i] = key[i];
  for (int i = 0; i < 4; i++) start[12 + i] = counter[i];
  for (int i = 0; i < 16; i++) out[i] = start[i];
  for (int r = 0; r < 10; r++) {
    for (int i = 0; i < 4; i++) quarter(out, i, 4 + i, 8 + i, 12 + i);
    for (int i = 0; i < 4; i++) quarter(out, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
  }
  for (int i = 0; i < 16; i++) out[i] += start[i];
}

void philox_block(const uint32_t* key, const uint32_t* counter, uint32_t* out) {
  uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
  uint32_t k0 = key[0], k1 = key[1];
  for (int r = 0; r < 10; r++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t p0 = static_cast<uint64_t>(c[0]) * 0xD2511F53u, p1 = static_cast<uint64_t>(c[2]) * 0xCD9E8D57u;
    const uint32_t next[4] = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
                              static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    for (int i = 0; i < 4; i++) c[i] = next[i];
  }
  for (int i = 0; i < 4; i++) out[i] = c[i];
}

uint32_t word(int32_t generator, const NoiseKey& key, int64_t index) {
  const int64_t size = generator == KITH_PHILOX ? 4 : 16, block = index / size;
  const uint32_t counter[4] = {static_cast<uint32_t>(block), key.node, key.round,
                               key.high | static_cast<uint32_t>(block >> 32)};
  uint32_t out[16];
  (generator == KITH_PHILOX ? philox_block : chacha_block)(key.words, counter, out);
  return out[index % size];
}

bool known_answers() {
  /* RFC 8439, 2.3.2, and the last vector of docs/randomness.md. */
  uint32_t key[8], out[16];
  for (uint32_t i = 0; i < 8; i++) key[i] = 0x03020100u + i * 0x04040404u;
  const uint32_t rfc[4] = {1, 0x09000000u, 0x4a000000u, 0};
  chacha_block(key, rfc, out);
  if (out[0] != 0xe4e7f110u || out[15] != 0x4e3c50a2u) return false;
  const uint32_t pair[2] = {0x89abcdefu, 0x01234567u}, counter[4] = {1, 2, 3, 4};
  philox_block(pair, counter, out);
  return out[0] == 0x99d4cb09u && out[3] == 0x327c8526u;
}

bool runs_here() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("x86-64-v4");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("x86-64-v3");
#elif defined(__SSE4_2__)
  return __builtin_cpu_supports("x86-64-v2");
#else
  return true;
#endif
}

}  // namespace

int main() {
  namespace tier = kith::KITH_TIER;
  const char* name = KITH_TEXT(KITH_TIER);
  if (!runs_here()) {
    std::printf("words, %s: not run, this processor lacks the tier\n", name);
    return 0;
  }
  if (!known_answers()) {
    std::printf("words: the scalar code misses the published answers\n");
    return 1;
  }
  NoiseKey key = {{}, 0x7fffffffu, 0xfffffffeu, 0};
  for (uint32_t i = 0; i < 8; i++) key.words[i] = 0x9E3779B9u * (i + 1);
  key.high = 14u << 24 | 2u << 16 | 0xffu << 8;
  int64_t checked = 0;
  for (int32_t generator : {KITH_PHILOX, KITH_CHACHA}) {
    const int64_t size = generator == KITH_PHILOX ? 4 : 16, carry = size << 32, last = int64_t{1} << 42;
    /* Whole vectors before and after the carry, and one across it; the last words that a row has. */
    for (int64_t first : {int64_t{0}, carry - 256, carry - 128, carry - 96, carry - 32, carry, carry + 32,
                          3 * carry - 64, last - 256}) {
      uint32_t out[tier::kWords];
      tier::random_words(generator, key, first, tier::kWords, out);
      for (int64_t i = 0; i < tier::kWords; i++, checked++) {
        if (first + i < last && out[i] != word(generator, key, first + i)) {
          std::printf("words, %s: generator %d gives %08x for word %lld and not %08x\n", name, generator, out[i],
                      static_cast<long long>(first + i), word(generator, key, first + i));
          return 1;
        }
      }
    }
  }
  std::printf("words, %s: %lld words around the carry of the block index agree\n", name,
              static_cast<long long>(checked));
  return 0;
}
