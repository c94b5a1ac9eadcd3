// The kernel of normal random values, compiled for DEEPRECT_ISA.
#include "host/normal_kernels.h"

#include <cstring>

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
inline void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    const uint32_t c0 = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
    const uint32_t c2 = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[0] = c0;
    c[1] = static_cast<uint32_t>(p1);
    c[2] = c2;
    c[3] = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// Return ln u for 0 < u <= 1. Library functions differ in the last bit between machines.
inline float log_of(float u) {
  int32_t bits;
  std::memcpy(&bits, &u, sizeof bits);
  // Write u = m 2^e with sqrt(1/2) <= m < sqrt(2), for which the series converges fast.
  const int32_t e = (bits - 0x3F3504F3) >> 23;
  bits -= e * (1 << 23);
  float m;
  std::memcpy(&m, &bits, sizeof m);
  const float s = (m - 1.0f) / (m + 1.0f);
  const float z = s * s;
  const float series = 1.0f + z * (1 / 3.0f + z * (1 / 5.0f + z * (1 / 7.0f + z * (1 / 9.0f))));
  return static_cast<float>(e) * 0.69314718f + 2.0f * s * series;
}

// Turn two uniform words into two independent standard normal values, by Box and Muller's formula.
inline void normal_pair(uint32_t x, uint32_t y, float* a, float* b) {
  const float u = (static_cast<float>(static_cast<int32_t>(x >> 1)) + 0.5f) * 0x1p-31f;
  const float radius = __builtin_sqrtf(-2.0f * log_of(u));
  // The angle is y 2 pi / 2^32: a quadrant, and a rest between -pi / 4 and pi / 4.
  const uint32_t quadrant = (y + 0x20000000u) >> 30;
  const float rest =
      static_cast<float>(static_cast<int32_t>(y - (quadrant << 30))) * (1.57079633f * 0x1p-30f);
  const float z = rest * rest;
  const float sine =
      rest * (1.0f - z * (1 / 6.0f - z * (1 / 120.0f - z * (1 / 5040.0f - z / 362880.0f))));
  const float cosine =
      1.0f - z * (1 / 2.0f - z * (1 / 24.0f - z * (1 / 720.0f - z * (1 / 40320.0f))));
  const bool swap = quadrant & 1;
  const float c = swap ? sine : cosine;
  const float s = swap ? cosine : sine;
  *a = radius * (((quadrant + 1) & 2) ? -c : c);
  *b = radius * ((quadrant & 2) ? -s : s);
}

// The loop over counters is vectorised by the compiler.
void fill_tile(float* out, uint64_t tile, float std, const uint32_t* key) {
  for (int lane = 0; lane < kCounters; ++lane) {
    const uint64_t counter = tile * kCounters + static_cast<uint64_t>(lane);
    uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), key[2],
                     key[3]};
    philox(c, key[0], key[1]);
    float z[4];
    normal_pair(c[0], c[1], &z[0], &z[1]);
    normal_pair(c[2], c[3], &z[2], &z[3]);
    for (int word = 0; word < 4; ++word) out[word * kCounters + lane] = std * z[word];
  }
}

}  // namespace

extern const NormalKernels normal_kernels = {fill_tile};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
