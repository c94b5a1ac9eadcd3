// The kernels of Winograd's convolution, compiled for DEEPRECT_ISA.
#include "conv/kernels.h"

#include "base/arithmetic.h"
#include "conv/transforms.h"
#include "product/panel.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// ---- between planes of pixels and bands, whose pixels are vectors of channels
// ----

// Rows [y0, y1) of a plane, `columns` wide, with `left` columns before those of the plane.
struct Band {
  int64_t y0, y1, left, columns;
  float* data;
};

// Copy planes into a band, as data[y - y0][x + left][lane]. What lies outside of a plane is zero.
void load_band(const TileRows& t, const Input& input, int64_t channels, const Band& band) {
  const float* const x = input.x;
  const bool scaled = input.scale != nullptr;
  const int64_t known = channels < kLanes ? channels : kLanes;
  const Vec scale = scaled ? load_some(input.scale, known) : Vec{};
  const Vec shift = scaled ? load_some(input.shift, known) : Vec{};
  const int64_t height = t.planes.height, width = t.planes.width, plane = height * width;
  const int64_t left = band.left, columns = band.columns, row_size = columns * kLanes;
  const int64_t top = band.y0 < 0 ? 0 : band.y0, bottom = band.y1 < height ? band.y1 : height;
  const auto clear = [&](int64_t row, int64_t from, int64_t to) {
    float* const start = band.data + (row - band.y0) * row_size;
    for (int64_t i = from; i < to; ++i) store(start + i * kLanes, Vec{});
  };
  for (int64_t y = band.y0; y < band.y1; ++y) {
    const bool outside = y < top || y >= bottom;
    clear(y, 0, outside ? columns : left);
    if (!outside) clear(y, left + width, columns);
  }
  int64_t column = 0;
  float* to = band.data + (top - band.y0) * row_size + left * kLanes;
  for (int64_t i = top * width, end = bottom * width; i < end; i += kLanes) {
    const int64_t n = end - i < kLanes ? end - i : kLanes;
    // Prefetch by hand: small planes end before the hardware prefetcher starts.
    for (int l = 0; l < kLanes; ++l) __builtin_prefetch(x + i + l * plane + t.ahead);
    Vec v[kLanes];
    load_transposed(x + i, plane, channels, n, v);
    for (int64_t k = 0; k < n; ++k) {
      store(to, scaled ? scale * v[k] + shift : v[k]);
      to += kLanes;
      if (++column == width) {
        column = 0;
        to += (columns - width) * kLanes;
      }
    }
  }
}

// Transform size x size squares, a tile every `step` pixels, out of a band.
template <typename T, int n>
void transform_band(const TileRows& t, int step, const Band& band, PointTiles tiles) {
  constexpr int size = T::kFrom;
  const int64_t columns = band.columns;
  for (int64_t ty = 0; ty < t.last - t.first; ++ty) {
    for (int64_t tx = 0; tx < t.tiles_x; ++tx) {
      const float* corner = band.data + (ty * step * columns + tx * step) * kLanes;
      transform<T>([&](int i) { return load(corner + (i / size * columns + i % size) * kLanes); },
                   [&](int p, Vec v) { store(tiles.data + p * tiles.point_stride, v); });
      tiles.data += tiles.tile_stride;
    }
  }
}

template <int r, int n>
void input(const TileRows& t, const Input& x, int64_t channels, float* data, PointTiles tiles) {
  constexpr int m = n + 1 - r;
  const int64_t pad = t.planes.pad, filled = pad + t.planes.width;
  const int64_t needed = (t.tiles_x - 1) * m + n;
  const Band band{t.first * m - pad, (t.last - 1) * m - pad + n, pad,
                  needed < filled ? filled : needed, data};
  load_band(t, x, channels, band);
  transform_band<InputTransform<r, n>, n>(t, m, band, tiles);
}

template <int r, int n>
void output_gradient(const TileRows& t, const Input& dy, int64_t channels, float* data,
                     PointTiles tiles) {
  constexpr int m = n + 1 - r;
  const Band band{t.first * m, t.last * m, 0, t.tiles_x * m, data};
  load_band(t, dy, channels, band);
  transform_band<OutputGradientTransform<r, n>, n>(t, m, band, tiles);
}

template <int r, int n>
void output(const TileRows& t, PointTiles products, int64_t channels, Epilogue end, float* band,
            float* y) {
  constexpr int m = n + 1 - r;
  const int64_t height = t.planes.height, width = t.planes.width, plane = height * width;
  const float *const bias = end.bias, *const alpha = end.alpha;
  const int64_t alpha_stride = end.alpha_stride;
  for (int64_t ty = t.first; ty < t.last; ++ty) {
    const int64_t rows = height - ty * m < m ? height - ty * m : m;
    for (int64_t tx = 0; tx < t.tiles_x; ++tx) {
      const int64_t columns = width - tx * m < m ? width - tx * m : m;
      float* corner = band + tx * m * kLanes;
      transform<OutputTransform<r, n>>(
          [&](int p) { return load(products.data + p * products.point_stride); },
          [&](int i, Vec v) {
            if (i / m < rows && i % m < columns) {
              store(corner + (i / m * width + i % m) * kLanes, v);
            }
          });
      products.data += products.tile_stride;
    }
    const int64_t pixels = rows * width, at = ty * m * width;
    const auto rectified = [&](Vec v, int64_t c, const float* to, int64_t count) {
      __builtin_prefetch(to + t.ahead, 1);
      Vec sum = bias ? v + bias[c] : v;
      if (end.summand) sum += load_some(end.summand + (to - y), count);
      return alpha ? (sum > Vec{} ? sum : alpha[c * alpha_stride] * sum) : sum;
    };
    deinterleave(band, channels, pixels, y + at, plane, rectified);
  }
}

// ---- weights ----

// More and less of the depth at a time were no faster (docs/performance.md).
constexpr int depth_for(int n) { return n == 8 ? 32 : 64; }
// A constant, so that the addresses of the points need no registers.
template <int n>
constexpr int kWeightsStride = odd_stride(depth_for(n) * kBlock);

template <int r, int n>
void weights(WeightMatrix w, int64_t depth, int64_t width, float* u) {
  constexpr int kTaps = r * r;
  // Chosen on 2026-11-26 against gathers, which took a fifth to a half of a convolution's time.
  constexpr int kRowsAhead = 8;
  const int64_t lane_stride = w.column_stride, k_stride = w.row_stride;
  const bool flipped = w.flipped;
  const int64_t tap_stride = flipped ? -kLanes : kLanes, row = panel_row(width);
  for (int64_t k0 = 0; k0 < depth; k0 += kLanes) {
    const int64_t count = depth - k0 < kLanes ? depth - k0 : kLanes;
    for (int64_t column = 0; column < row; column += kLanes) {
      const float* from = w.data + k0 * k_stride + column * lane_stride;
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
void weight_gradient(WeightGradientBlock b, bool accumulate, float* taps) {
  for (int h = 0; h < kVectors && h * kLanes < b.width; ++h) {
    for (int64_t k = 0; k < b.depth; ++k) {
      const float* from = b.products + k * kBlock + h * kLanes;
      transform<WeightGradientTransform<r, n>>(
          [&](int p) { return load(from + p * b.point_stride); },
          [&](int tap, Vec v) { store(taps + (k * r * r + tap) * kLanes, v); });
    }
    const int64_t lanes = b.width - h * kLanes < kLanes ? b.width - h * kLanes : kLanes;
    deinterleave(taps, lanes, b.depth * r * r, b.dweight + h * kLanes * b.filter_stride,
                 b.filter_stride, [&](Vec v, int64_t, const float* to, int64_t count) {
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

extern const WinogradKernels winograd_kernels = {
    {transforms<2, 4>(), transforms<2, 6>(), transforms<2, 8>()},
    {transforms<3, 4>(), transforms<3, 6>(), transforms<3, 8>()},
};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
