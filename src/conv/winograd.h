// Convolutions of stride 1 with kernels of 3x3 and 2x2, float32, NCHW, by Winograd's algorithm.
#ifndef DEEPRECT_CONV_WINOGRAD_H_
#define DEEPRECT_CONV_WINOGRAD_H_

#include <cstdint>

namespace deeprect {

struct Convolution {
  int64_t images, in_channels, out_channels;
  int64_t height, width;  // of the input
  int64_t kernel, pad;    // kernel is 2 or 3, pad less than kernel

  int64_t out_height() const { return height + 2 * pad + 1 - kernel; }
  int64_t out_width() const { return width + 2 * pad + 1 - kernel; }
};

// Weights as a matrix of `depth` rows (channels read) and `width` columns (channels written).
struct WeightMatrix {
  const float* data;
  int64_t column_stride, row_stride;
  bool flipped;
};

struct Epilogue {
  const float* bias;   // null: none
  const float* alpha;  // null: no rectifier
  int64_t alpha_stride;
};

// y = rectifier(convolution of x + bias).
void convolve(const Convolution&, const float* x, const WeightMatrix&, const Epilogue&, float* y);

// The gradient of the weights, (out, in, kernel, kernel), from that of the outputs.
void weight_gradient(const Convolution&, const float* x, const float* dz, float* dweight);

}  // namespace deeprect

#endif  // DEEPRECT_CONV_WINOGRAD_H_
