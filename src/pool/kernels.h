// The kernels of max pooling. max_pool.cc divides the work.
#ifndef DEEPRECT_POOL_KERNELS_H_
#define DEEPRECT_POOL_KERNELS_H_

#include <cstdint>

#include "simd/isa.h"

namespace deeprect {

// A strip of some planes: `rows` rows of windows, and the rows of the map that they reach. The
// planes are `in_plane` floats apart in the map and `out_plane` in the result.
struct PoolStrip {
  int64_t window, stride, width, out_width, rows;
  int64_t in_plane, out_plane;

  int64_t in_rows() const { return (rows - 1) * stride + window; }
};

// A kernel takes up to `lanes` planes at a time. x, y and their gradients are the strip's first
// elements in the first plane. `scratch` has room for lanes * (2 * in_rows * width + rows *
// out_width) floats.
struct PoolKernels {
  int lanes;
  void (*forward)(const PoolStrip&, int64_t planes, const float* x, float* scratch, float* y);
  void (*backward)(const PoolStrip&, int64_t planes, const float* dy, const float* x,
                   float* scratch, float* dx);
};

DEEPRECT_KERNELS(PoolKernels, pool_kernels)

}  // namespace deeprect

#endif  // DEEPRECT_POOL_KERNELS_H_
