#include "sgd/sgd.h"

#include <algorithm>

#include "simd/target_clones.h"

namespace deeprect {
namespace {

// Elements that a thread takes at a time: their four arrays fit into the second-level cache.
constexpr int64_t kChunk = 1 << 14;

DEEPRECT_CLONES
void update(int64_t size, SgdSettings s, const float* weight, const float* grad, float* velocity,
            float* result) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    velocity[i] = s.momentum * velocity[i] - s.lr * (s.rescale_grad * grad[i] + s.wd * weight[i]);
    result[i] = weight[i] + velocity[i];
  }
}

}  // namespace

void sgd_update(int64_t size, const SgdSettings& settings, const float* weight, const float* grad,
                float* velocity, float* result) {
  const int64_t chunks = (size + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(static) if (chunks > 1)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t first = chunk * kChunk;
    update(std::min(kChunk, size - first), settings, weight + first, grad + first, velocity + first,
           result + first);
  }
}

}  // namespace deeprect
