// Convolutions of stride 1 with kernels of 3x3 and 2x2, float32, NCHW, by Winograd's algorithm.
#ifndef DEEPRECT_CONV_WINOGRAD_H_
#define DEEPRECT_CONV_WINOGRAD_H_

#include <cstdint>

namespace deeprect {

// The planes of an image: `channels` planes of height x width, each surrounded by `pad` rows and
// columns of zeros.
struct Planes {
  int64_t channels, height, width, pad;

  int64_t offset(int64_t image, int64_t channel) const {
    return (image * channels + channel) * height * width;
  }
};

struct Convolution {
  int64_t images, in_channels, out_channels;
  int64_t height, width;  // of the input
  int64_t kernel, pad;    // pad is less than kernel; Winograd's kernels are 2 and 3

  int64_t out_height() const { return height + 2 * pad + 1 - kernel; }
  int64_t out_width() const { return width + 2 * pad + 1 - kernel; }
  int64_t taps() const { return kernel * kernel; }
  Planes in_planes() const { return {in_channels, height, width, pad}; }
  Planes out_planes() const { return {out_channels, out_height(), out_width(), 0}; }
};

// Weights as a matrix of rows (channels that are read) and columns (channels that are written).
// `flipped` reverses the taps.
struct WeightMatrix {
  const float* data;
  int64_t column_stride, row_stride;
  bool flipped;
};

// What a convolution reads: scale * x + shift, where a channel has an element of each; x if they
// are null. The border of zeros is put around that.
struct Input {
  const float* x;
  const float* scale = nullptr;
  const float* shift = nullptr;

  // The input of the channels from `channel` on, whose first plane is at `offset`.
  Input from(int64_t channel, int64_t offset) const {
    return {x + offset, scale ? scale + channel : nullptr, scale ? shift + channel : nullptr};
  }
};

// What is done to a convolution's sums: y = rectifier(sum + bias + summand).
struct Epilogue {
  const float* bias;   // null: none
  const float* alpha;  // null: no rectifier
  int64_t alpha_stride;
  const float* summand = nullptr;  // of the shape of y; null: none

  // The epilogue of the channels from `channel` on, whose first plane is at `offset`.
  Epilogue from(int64_t channel, int64_t offset) const {
    return {bias ? bias + channel : nullptr, alpha ? alpha + channel * alpha_stride : nullptr,
            alpha_stride, summand ? summand + offset : nullptr};
  }
};

void convolve(const Convolution&, const Input&, const WeightMatrix&, const Epilogue&, float* y);

// Compute the gradient of the weights, (out, in, kernel, kernel), from the gradient of the outputs.
void weight_gradient(const Convolution&, const float* x, const float* dz, float* dweight);

}  // namespace deeprect

#endif  // DEEPRECT_CONV_WINOGRAD_H_
