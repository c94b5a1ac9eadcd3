// The vector kernels of the direct convolution. direct.cc divides the work.
#ifndef DEEPRECT_CONV_DIRECT_KERNELS_H_
#define DEEPRECT_CONV_DIRECT_KERNELS_H_

#include <cstdint>

#include "simd/isa.h"

namespace deeprect {

// Output channels that are computed together.
constexpr int kDirectChannels = 4;

// Sums over terms: sum i of channel o, sums[o * channel_stride + i], grows by the products of
// weights[t * kDirectChannels + o] and inputs[offsets[t] + i].
struct DirectSums {
  int64_t channels;  // 1 to kDirectChannels
  int64_t count;     // sums of a channel: whole vectors
  int64_t terms;
  const int64_t* offsets;
  const float *inputs, *weights;
  int64_t channel_stride;
  float* sums;
};

// A row of outputs: y = rectifier(sum + bias + summand).
struct DirectRow {
  const float *sums, *summand;  // summand may be null
  float bias, alpha;
  int64_t count;
  float* y;
};

struct DirectKernels {
  int lanes;
  // Write scale * x + shift for a row of x.
  void (*load_row)(const float* x, float scale, float shift, int64_t count, float* to);
  void (*accumulate)(const DirectSums&);
  void (*finish_row)(const DirectRow&);
};

DEEPRECT_KERNELS(DirectKernels, direct_kernels)

}  // namespace deeprect

#endif  // DEEPRECT_CONV_DIRECT_KERNELS_H_
