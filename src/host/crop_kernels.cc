// The kernel of crops, compiled for DEEPRECT_ISA.
#include "host/crop_kernels.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

void mean_of_rows(const uint8_t* rows, int64_t stride, const float* weights, int64_t count,
                  int64_t length, float* out) {
  for (int64_t i = 0; i < length; ++i) out[i] = weights[0] * static_cast<float>(rows[i]);
  for (int64_t k = 1; k < count; ++k) {
    const uint8_t* row = rows + k * stride;
    for (int64_t i = 0; i < length; ++i) out[i] += weights[k] * static_cast<float>(row[i]);
  }
}

}  // namespace

extern const CropKernels crop_kernels = {mean_of_rows};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
