// The kernel of crops, which filters the rows of the image.
#ifndef DEEPRECT_HOST_CROP_KERNELS_H_
#define DEEPRECT_HOST_CROP_KERNELS_H_

#include <cstdint>

#include "simd/isa.h"

namespace deeprect {

struct CropKernels {
  // The weighted mean of `count` rows of `length` elements that are `stride` apart.
  void (*mean_of_rows)(const uint8_t* rows, int64_t stride, const float* weights, int64_t count,
                       int64_t length, float* out);
};

DEEPRECT_KERNELS(CropKernels, crop_kernels)

}  // namespace deeprect

#endif  // DEEPRECT_HOST_CROP_KERNELS_H_
