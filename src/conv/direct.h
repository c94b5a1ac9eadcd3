// Convolutions of stride 1 with kernels of any size, float32, NCHW, as plain sums. They are made
// for few output channels, for which Winograd's algorithm and blocks of channels waste work.
#ifndef DEEPRECT_CONV_DIRECT_H_
#define DEEPRECT_CONV_DIRECT_H_

#include "conv/winograd.h"

namespace deeprect {

// weight is (out, in, kernel, kernel). The bits depend on the arguments and the instruction set,
// not on the number of threads.
void convolve_directly(const Convolution&, const Input&, const float* weight, const Epilogue&,
                       float* y);

}  // namespace deeprect

#endif  // DEEPRECT_CONV_DIRECT_H_
