#include "sgd/sgd.h"

#include <algorithm>

#include "base/arithmetic.h"
#include "sgd/kernels.h"

namespace deeprect {

// Elements that a thread takes at a time. Their four arrays fit in the second-level cache.
// Chosen on 2026-11-26 against a copy of the same bytes: an update takes 0.54 to 0.85 of its time
// (docs/performance.md, "Where a training step goes").
constexpr int64_t kChunk = 1 << 14;

void sgd_update(int64_t size, const SgdSettings& settings, const float* weight, const float* grad,
                const float* velocity, const SgdResult& result) {
  const auto update = sgd_kernels().update;
  const int64_t chunks = ceil_div(size, kChunk);
#pragma omp parallel for schedule(static) if (chunks > 1)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t first = chunk * kChunk;
    update(std::min(kChunk, size - first), settings, weight + first, grad + first, velocity + first,
           {result.weight + first, result.velocity + first});
  }
}

}  // namespace deeprect
