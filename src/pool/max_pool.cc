// Take planes in groups, one plane for each lane of a vector, and cut them into strips that fit in
// the first two caches.
#include "pool/max_pool.h"

#include <omp.h>

#include <algorithm>

#include "base/arithmetic.h"
#include "base/scratch.h"
#include "pool/kernels.h"

namespace deeprect {
namespace {

// Floats of a strip, with all its planes and both maps: 128 KiB. Chosen on 2026-11-26 against
// MXNet's pooling, which takes 0.97 to 1.22 of the time forward (docs/performance.md, "Single
// layers").
constexpr int64_t kStripFloats = int64_t{1} << 15;

// Call f(strip, planes, first element of x, first element of y, scratch) for every strip of every
// group of planes. Overlapping windows share pixels, so they stay in one strip.
template <typename F>
void for_each_strip(const MaxPool& pool, F&& f) {
  const int64_t lanes = pool_kernels().lanes, rows = pool.out_height();
  const int64_t fitting = kStripFloats / (2 * pool.stride * pool.width * lanes);
  const int64_t step = pool.window > pool.stride ? rows : std::clamp<int64_t>(fitting, 1, rows);
  const int64_t strips = ceil_div(rows, step), groups = ceil_div(pool.planes, lanes);
  const PoolStrip whole{pool.window,
                        pool.stride,
                        pool.width,
                        pool.out_width(),
                        step,
                        pool.height * pool.width,
                        rows * pool.out_width()};
  const int64_t floats = lanes * (2 * whole.in_rows() * pool.width + step * pool.out_width());
  const int threads = omp_get_max_threads();
  const Scratch own(threads * floats);
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t i = 0; i < strips; ++i) {
      PoolStrip strip = whole;
      strip.rows = std::min(step, rows - i * step);
      const int64_t plane = group * lanes;
      f(strip, std::min(lanes, pool.planes - plane),
        plane * strip.in_plane + i * step * pool.stride * pool.width,
        plane * strip.out_plane + i * step * pool.out_width(),
        own.data() + omp_get_thread_num() * floats);
    }
  }
}

}  // namespace

void max_pool_forward(const MaxPool& pool, const float* x, float* y) {
  for_each_strip(
      pool, [&](const PoolStrip& strip, int64_t planes, int64_t in, int64_t out, float* scratch) {
        pool_kernels().forward(strip, planes, x + in, scratch, y + out);
      });
}

void max_pool_backward(const MaxPool& pool, const float* dy, const float* x, float* dx) {
  if (!pool.covers()) std::fill_n(dx, pool.planes * pool.height * pool.width, 0.0f);
  for_each_strip(
      pool, [&](const PoolStrip& strip, int64_t planes, int64_t in, int64_t out, float* scratch) {
        pool_kernels().backward(strip, planes, dy + out, x + in, scratch, dx + in);
      });
}

}  // namespace deeprect
