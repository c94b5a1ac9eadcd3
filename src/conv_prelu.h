// Convolution + bias + PReLU on the CPU by Winograd's algorithm: stride 1, kernels of 3x3 and 2x2,
// float32, NCHW. Knows nothing of MXNet.
#ifndef DEEPRECT_CONV_PRELU_H_
#define DEEPRECT_CONV_PRELU_H_

#include <cstdint>

namespace deeprect {

struct Convolution {
  int64_t images, in_channels, out_channels;
  int64_t height, width;  // of the input
  int64_t kernel, pad;    // kernel is 2 or 3, pad less than kernel

  int64_t out_height() const { return height + 2 * pad + 1 - kernel; }
  int64_t out_width() const { return width + 2 * pad + 1 - kernel; }
};

// z = convolution + bias, y = prelu(z). weight is (out, in, kernel, kernel); bias may be null, and
// z, where it is not wanted. alpha holds a slope for each output channel, or one for all.
void conv_prelu_forward(const Convolution&, const float* x, const float* weight, const float* bias,
                        const float* alpha, bool shared_alpha, float* z, float* y);

// All gradients, from z of the forward. dbias may be null, and dx, where it is not wanted. The bits
// depend on the arguments and the instruction set, not on the number of threads.
void conv_prelu_backward(const Convolution&, const float* dy, const float* x, const float* weight,
                         const float* alpha, bool shared_alpha, const float* z, float* dx,
                         float* dweight, float* dbias, float* dalpha);

}  // namespace deeprect

#endif  // DEEPRECT_CONV_PRELU_H_
