// The kernels of max pooling, compiled for DEEPRECT_ISA.
//
// Vectorise across planes: rows are shorter than a vector, and then all lanes share one window.
#include "pool/kernels.h"

#include "simd/vector.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// Return the lanes in which v replaces the maximum so far. A NaN replaces every number, and nothing
// replaces a NaN.
inline Index exceeds(Vec v, Vec best) { return ~(v <= best) & (best == best); }

// The distance of the prefetch, in floats.
constexpr int64_t kAhead = 2 * kLanes;

inline Vec unchanged(Vec v, int64_t, const float*, int64_t) { return v; }

// Call f(o, corner) for every window, with its number and the number of its first pixel.
template <typename F>
inline void for_each_window(const PoolStrip& s, F&& f) {
  for (int64_t row = 0; row < s.rows; ++row) {
    for (int64_t column = 0; column < s.out_width; ++column) {
      f(row * s.out_width + column, (row * s.width + column) * s.stride);
    }
  }
}

void forward(const PoolStrip& s, int64_t planes, const float* x, float* scratch, float* y) {
  const int64_t pixels = s.in_rows() * s.width;
  float* const out = scratch + pixels * kLanes;
  interleave(x, s.in_plane, planes, pixels, kAhead, scratch);
  for_each_window(s, [&](int64_t o, int64_t corner) {
    Vec best = load(scratch + corner * kLanes);
    for (int64_t row = 0; row < s.window; ++row) {
      for (int64_t i = 0; i < s.window; ++i) {
        const Vec v = load(scratch + (corner + row * s.width + i) * kLanes);
        best = exceeds(v, best) ? v : best;
      }
    }
    store(out + o * kLanes, best);
  });
  deinterleave(out, planes, s.rows * s.out_width, y, s.out_plane, unchanged);
}

void backward(const PoolStrip& s, int64_t planes, const float* dy, const float* x, float* scratch,
              float* dx) {
  const int64_t pixels = s.in_rows() * s.width, windows = s.rows * s.out_width;
  float* const gradient = scratch + pixels * kLanes;
  float* const out = gradient + pixels * kLanes;
  interleave(x, s.in_plane, planes, pixels, kAhead, scratch);
  interleave(dy, s.out_plane, planes, windows, kAhead, out);
  for (int64_t i = 0; i < pixels; ++i) store(gradient + i * kLanes, Vec{});
  for_each_window(s, [&](int64_t o, int64_t corner) {
    Vec best = load(scratch + corner * kLanes);
    Index first{};
    int32_t number = 0;
    for (int64_t row = 0; row < s.window; ++row) {
      for (int64_t i = 0; i < s.window; ++i, ++number) {
        const Vec v = load(scratch + (corner + row * s.width + i) * kLanes);
        const Index better = exceeds(v, best);
        best = better ? v : best;
        first = better ? Index{} + number : first;
      }
    }
    const Vec g = load(out + o * kLanes);
    number = 0;
    for (int64_t row = 0; row < s.window; ++row) {
      for (int64_t i = 0; i < s.window; ++i, ++number) {
        float* const at = gradient + (corner + row * s.width + i) * kLanes;
        store(at, load(at) + (first == Index{} + number ? g : Vec{}));
      }
    }
  });
  deinterleave(gradient, planes, pixels, dx, s.in_plane, unchanged);
}

}  // namespace

extern const PoolKernels pool_kernels = {kLanes, forward, backward};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
