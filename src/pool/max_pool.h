// Max pooling without padding on the CPU. Knows nothing of MXNet.
#ifndef DEEPRECT_POOL_MAX_POOL_H_
#define DEEPRECT_POOL_MAX_POOL_H_

#include <cstdint>

namespace deeprect {

// Square windows. The first starts at the corner of a plane; windows that do not fit are left out.
struct MaxPool {
  int64_t planes, height, width;
  int64_t window, stride;

  int64_t out_height() const { return (height - window) / stride + 1; }
  int64_t out_width() const { return (width - window) / stride + 1; }
  // Return whether windows reach every row of the map.
  bool covers() const { return window >= stride && (out_height() - 1) * stride + window == height; }
};

// The maximum of a window with a NaN is NaN.
void max_pool_forward(const MaxPool& pool, const float* x, float* y);

// The gradient of a window goes to its first maximum in row-major order.
void max_pool_backward(const MaxPool& pool, const float* dy, const float* x, float* dx);

}  // namespace deeprect

#endif  // DEEPRECT_POOL_MAX_POOL_H_
