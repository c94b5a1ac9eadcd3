// See conv/kernels.h. DEEPRECT_ISA names the instruction set this file is being compiled for.
#include "conv/kernels.h"

#include "conv/transforms.h"
#include "simd/vector.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// ---- between planes of pixels and bands, whose pixels are vectors of channels ----

// Copies rows [y0, y1) of the planes into band[y - y0][x + left][lane], `columns` wide; what lies
// outside of the plane is zero.
void load_band(const TileRows& t, const float* x, int64_t channels, int64_t y0, int64_t y1,
               int64_t left, int64_t columns, float* band) {
  const int64_t plane = t.height * t.width;
  const int64_t row_size = columns * kLanes;
  const int64_t top = y0 < 0 ? 0 : y0, bottom = y1 < t.height ? y1 : t.height;
  const auto clear = [&](int64_t row, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) store(band + (row - y0) * row_size + i * kLanes, Vec{});
  };
  for (int64_t y = y0; y < y1; ++y) {
    const bool outside = y < top || y >= bottom;
    clear(y, 0, outside ? columns : left);
    if (!outside) clear(y, left + t.width, columns);
  }
  int64_t column = 0;
  float* to = band + (top - y0) * row_size + left * kLanes;
  for (int64_t i = top * t.width, end = bottom * t.width; i < end; i += kLanes) {
    const int64_t n = end - i < kLanes ? end - i : kLanes;
    // Small planes end before the hardware has understood that they are being read.
    for (int l = 0; l < kLanes; ++l) __builtin_prefetch(x + i + l * plane + t.ahead);
    Vec v[kLanes];
    load_transposed(x + i, plane, channels, n, v);
    for (int64_t k = 0; k < n; ++k) {
      store(to, v[k]);
      to += kLanes;
      if (++column == t.width) {
        column = 0;
        to += (columns - t.width) * kLanes;
      }
    }
  }
}

// Transforms size x size squares, a tile every `step` pixels, out of a band.
template <typename T, int n>
void transform_band(const TileRows& t, int step, const float* band, int64_t columns, float* tiles,
                    int64_t point_stride, int64_t tile_stride) {
  constexpr int size = T::kFrom;
  for (int64_t ty = 0; ty < t.last - t.first; ++ty) {
    for (int64_t tx = 0; tx < t.tiles_x; ++tx) {
      const float* corner = band + (ty * step * columns + tx * step) * kLanes;
      transform<T>([&](int i) { return load(corner + (i / size * columns + i % size) * kLanes); },
                   [&](int p, Vec v) { store(tiles + p * point_stride, v); });
      tiles += tile_stride;
    }
  }
}

template <int r, int n>
void input(const TileRows& t, const float* x, int64_t channels, float* band, float* tiles,
           int64_t point_stride, int64_t tile_stride) {
  constexpr int m = n + 1 - r;
  const int64_t y0 = t.first * m - t.pad, y1 = (t.last - 1) * m - t.pad + n;
  const int64_t needed = (t.tiles_x - 1) * m + n;
  const int64_t columns = needed < t.pad + t.width ? t.pad + t.width : needed;
  load_band(t, x, channels, y0, y1, t.pad, columns, band);
  transform_band<InputTransform<r, n>, n>(t, m, band, columns, tiles, point_stride, tile_stride);
}

template <int r, int n>
void output_gradient(const TileRows& t, const float* dy, int64_t channels, float* band,
                     float* tiles, int64_t point_stride, int64_t tile_stride) {
  constexpr int m = n + 1 - r;
  const int64_t columns = t.tiles_x * m;
  load_band(t, dy, channels, t.first * m, t.last * m, 0, columns, band);
  transform_band<OutputGradientTransform<r, n>, n>(t, m, band, columns, tiles, point_stride,
                                                   tile_stride);
}

template <int r, int n>
void output(const TileRows& t, const float* products, int64_t point_stride, int64_t tile_stride,
            int64_t channels, const float* bias, const float* alpha, int64_t alpha_stride,
            float* band, float* y) {
  constexpr int m = n + 1 - r;
  const int64_t plane = t.height * t.width;
  for (int64_t ty = t.first; ty < t.last; ++ty) {
    const int64_t rows = t.height - ty * m < m ? t.height - ty * m : m;
    for (int64_t tx = 0; tx < t.tiles_x; ++tx) {
      const int64_t columns = t.width - tx * m < m ? t.width - tx * m : m;
      float* corner = band + tx * m * kLanes;
      transform<OutputTransform<r, n>>([&](int p) { return load(products + p * point_stride); },
                                       [&](int i, Vec v) {
                                         if (i / m < rows && i % m < columns) {
                                           store(corner + (i / m * t.width + i % m) * kLanes, v);
                                         }
                                       });
      products += tile_stride;
    }
    const int64_t pixels = rows * t.width, at = ty * m * t.width;
    const auto rectified = [&](Vec v, int64_t c, const float* to, int64_t) {
      __builtin_prefetch(to + t.ahead, 1);
      const Vec sum = bias ? v + bias[c] : v;
      return alpha ? (sum > Vec{} ? sum : alpha[c * alpha_stride] * sum) : sum;
    };
    deinterleave(band, channels, pixels, y + at, plane, rectified);
  }
}

// ---- weights ----

constexpr int depth_for(int n) { return n == 8 ? 32 : 64; }
// Known when this is compiled, so that the points' addresses need no registers.
template <int n>
constexpr int kWeightsStride = odd_stride(depth_for(n) * kBlock);

template <int r, int n>
void weights(const float* w, int64_t lane_stride, int64_t k_stride, bool flipped, int64_t depth,
             int64_t width, float* u) {
  constexpr int kTaps = r * r, kRowsAhead = 8;
  const int64_t tap_stride = flipped ? -kLanes : kLanes, row = panel_row(width);
  for (int64_t k0 = 0; k0 < depth; k0 += kLanes) {
    const int64_t count = depth - k0 < kLanes ? depth - k0 : kLanes;
    for (int64_t column = 0; column < row; column += kLanes) {
      const float* from = w + k0 * k_stride + column * lane_stride;
      const int64_t lanes = width - column;
      alignas(sizeof(Vec)) float taps[kLanes * kTaps * kLanes];
      if (k_stride == kTaps) {
        interleave(from, lane_stride, lanes, count * kTaps, kLanes * kTaps, taps);
      } else {
        for (int64_t k = 0; k < count; ++k) {
          interleave(from + k * k_stride, lane_stride, lanes, kTaps, kRowsAhead * k_stride,
                     taps + k * kTaps * kLanes);
        }
      }
      for (int64_t k = 0; k < count; ++k) {
        float* to = u + (k0 + k) * row + column;
        const float* first = taps + (k * kTaps + (flipped ? kTaps - 1 : 0)) * kLanes;
        transform<WeightTransform<r, n>>(
            [&](int t) { return load(first + t * tap_stride); },
            [&](int p, Vec v) { store(to + p * kWeightsStride<n>, v); });
      }
    }
  }
}

template <int r, int n>
void weight_gradient(const float* du, int64_t point_stride, int64_t depth, int64_t width,
                     float* taps, float* dw, int64_t lane_stride, bool accumulate) {
  for (int h = 0; h < kVectors && h * kLanes < width; ++h) {
    for (int64_t k = 0; k < depth; ++k) {
      const float* from = du + k * kBlock + h * kLanes;
      transform<WeightGradientTransform<r, n>>(
          [&](int p) { return load(from + p * point_stride); },
          [&](int tap, Vec v) { store(taps + (k * r * r + tap) * kLanes, v); });
    }
    const int64_t lanes = width - h * kLanes < kLanes ? width - h * kLanes : kLanes;
    deinterleave(taps, lanes, depth * r * r, dw + h * kLanes * lane_stride, lane_stride,
                 [&](Vec v, int64_t, const float* to, int64_t count) {
                   return accumulate ? load_some(to, count) + v : v;
                 });
  }
}

template <int r, int n>
constexpr WinogradTransforms transforms() {
  return {depth_for(n),  kWeightsStride<n>, input<r, n>,          output_gradient<r, n>,
          weights<r, n>, output<r, n>,      weight_gradient<r, n>};
}

}  // namespace

extern const WinogradKernels winograd = {
    kIsa,
    product,
    {transforms<2, 4>(), transforms<2, 6>(), transforms<2, 8>()},
    {transforms<3, 4>(), transforms<3, 6>(), transforms<3, 8>()},
};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
