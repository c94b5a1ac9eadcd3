// The kernels of max pooling. pool/kernels.cc is compiled once for each instruction set; every
// build fills a table.
#ifndef DEEPRECT_POOL_KERNELS_H_
#define DEEPRECT_POOL_KERNELS_H_

#include <cstdint>

namespace deeprect {

// A strip of some planes, which lie `in_plane` and `out_plane` floats apart: `rows` rows of windows
// and the rows of the map below them, down to the last that a window reaches.
struct PoolStrip {
  int64_t window, stride, width, out_width, rows;
  int64_t in_plane, out_plane;

  int64_t in_rows() const { return (rows - 1) * stride + window; }
};

// Kernels take up to `lanes` planes together. x, y and their gradients are the strip's first
// elements in the first plane; `scratch` has room for lanes * (2 * in_rows * width + rows *
// out_width) floats.
struct PoolKernels {
  const char* isa;
  int lanes;
  void (*forward)(const PoolStrip&, int64_t planes, const float* x, float* scratch, float* y);
  void (*backward)(const PoolStrip&, int64_t planes, const float* dy, const float* x,
                   float* scratch, float* dx);
};

namespace baseline {
extern const PoolKernels pool;
}
#if defined(__x86_64__)
namespace avx2 {
extern const PoolKernels pool;
}
namespace avx512 {
extern const PoolKernels pool;
}
#endif

}  // namespace deeprect

#endif  // DEEPRECT_POOL_KERNELS_H_
