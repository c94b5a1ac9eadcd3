// The kernel of normal random values. normal.cc divides the work.
#ifndef DEEPRECT_HOST_NORMAL_KERNELS_H_
#define DEEPRECT_HOST_NORMAL_KERNELS_H_

#include <cstdint>

#include "simd/isa.h"

namespace deeprect {

// The values are made in tiles of kCounters counters, each of which gives four values. The size of
// a tile is part of the definition of the values.
constexpr int kCounters = 16;
constexpr int kTile = 4 * kCounters;

struct NormalKernels {
  void (*fill_tile)(float* out, uint64_t tile, float std, const uint32_t* key);
};

DEEPRECT_KERNELS(NormalKernels, normal_kernels)

}  // namespace deeprect

#endif  // DEEPRECT_HOST_NORMAL_KERNELS_H_
