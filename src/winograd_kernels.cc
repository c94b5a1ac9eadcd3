// See winograd_kernels.h. DEEPRECT_ISA names the instruction set this file is being compiled for.
//
// Winograd's minimal filtering F(m x m, r x r) by Toom-Cook interpolation at 0, +-a, +-b and
// infinity (Lavin & Gray 2016, "Fast algorithms for convolutional neural networks"). With the
// Vandermonde rows of these points in A and G, and the Lagrange polynomials in B,
//   y = A^T [(G g G^T) . (B^T d B)] A,     dg = G^T [(A dy A^T) . (B^T d B)] G.
// Vectors run over channels, so that all transforms are plain vector arithmetic.
#include "winograd_kernels.h"

#include <array>
#include <cstring>
#include <utility>

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16, kMaxRows = 12;
#elif defined(__AVX__)
constexpr int kLanes = 8, kMaxRows = 6;
#else
constexpr int kLanes = 4, kMaxRows = 6;
#endif
constexpr int kVectors = 2;
constexpr int kBlock = kVectors * kLanes;

typedef float Vec __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef int32_t Index __attribute__((vector_size(4 * kLanes)));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
inline Vec load_some(const float* p, int64_t n) {
  Vec v{};
  std::memcpy(&v, p, n * sizeof(float));
  return v;
}
inline void store_some(float* p, Vec v, int64_t n) { std::memcpy(p, &v, n * sizeof(float)); }

// Swaps the off-diagonal halves of every 2s x 2s block.
template <int s>
inline void transpose_step(Vec* v) {
  Index low, high;
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i & s ? kLanes + (i ^ s) : i;
    high[i] = i & s ? kLanes + i : i ^ s;
  }
  for (int i = 0; i < kLanes; ++i) {
    if (i & s) continue;
    const Vec a = v[i], b = v[i + s];
    v[i] = __builtin_shuffle(a, b, low);
    v[i + s] = __builtin_shuffle(a, b, high);
  }
}

inline void transpose(Vec* v) {
  transpose_step<1>(v);
  transpose_step<2>(v);
  if constexpr (kLanes > 4) transpose_step<4>(v);
  if constexpr (kLanes > 8) transpose_step<8>(v);
}

// ---- one-dimensional transforms; the arrays are read and written with a stride ----

constexpr float a = 0.625f, b = 1.5f;
constexpr float a2 = a * a, b2 = b * b;
constexpr float kInverse0 = 1 / (a2 * b2);
constexpr float kInverseA = 1 / (2 * a2 * (a2 - b2));
constexpr float kInverseB = 1 / (2 * b2 * (b2 - a2));

struct InputTransform {  // B^T d
  static constexpr int kFrom = kTile, kTo = kTile;
  static void apply(const Vec* d, int s, Vec* t, int q) {
    const Vec d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s];
    const Vec even_a = d4 - b2 * d2, odd_a = a * (d3 - b2 * d1);
    const Vec even_b = d4 - a2 * d2, odd_b = b * (d3 - a2 * d1);
    t[0] = a2 * b2 * d[0] - (a2 + b2) * d2 + d4;
    t[q] = even_a + odd_a;
    t[2 * q] = even_a - odd_a;
    t[3 * q] = even_b + odd_b;
    t[4 * q] = even_b - odd_b;
    t[5 * q] = a2 * b2 * d1 - (a2 + b2) * d3 + d[5 * s];
  }
};

template <int r>
struct WeightTransform {  // G g
  static constexpr int kFrom = r, kTo = kTile;
  static void apply(const Vec* g, int s, Vec* t, int q) {
    Vec even_a = g[0], even_b = g[0];
    if constexpr (r == 3) {
      even_a += a2 * g[2 * s];
      even_b += b2 * g[2 * s];
    }
    const Vec odd_a = a * g[s], odd_b = b * g[s];
    t[0] = kInverse0 * g[0];
    t[q] = kInverseA * (even_a + odd_a);
    t[2 * q] = kInverseA * (even_a - odd_a);
    t[3 * q] = kInverseB * (even_b + odd_b);
    t[4 * q] = kInverseB * (even_b - odd_b);
    t[5 * q] = g[(r - 1) * s];
  }
};

template <int r>
struct OutputTransform {  // A^T t
  static constexpr int kFrom = kTile, kTo = kTile + 1 - r;
  static void apply(const Vec* t, int s, Vec* y, int q) {
    const Vec even_a = t[s] + t[2 * s], odd_a = a * (t[s] - t[2 * s]);
    const Vec even_b = t[3 * s] + t[4 * s], odd_b = b * (t[3 * s] - t[4 * s]);
    y[0] = t[0] + even_a + even_b;
    y[q] = odd_a + odd_b;
    y[2 * q] = a2 * even_a + b2 * even_b;
    y[3 * q] = a2 * odd_a + b2 * odd_b;
    if constexpr (kTo == 5) y[4 * q] = a2 * a2 * even_a + b2 * b2 * even_b;
    y[(kTo - 1) * q] += t[5 * s];
  }
};

template <int r>
struct OutputGradientTransform {  // A dy
  static constexpr int kFrom = kTile + 1 - r, kTo = kTile;
  static void apply(const Vec* y, int s, Vec* t, int q) {
    Vec even_a = y[0] + a2 * y[2 * s], even_b = y[0] + b2 * y[2 * s];
    if constexpr (kFrom == 5) {
      even_a += a2 * a2 * y[4 * s];
      even_b += b2 * b2 * y[4 * s];
    }
    const Vec odd_a = a * (y[s] + a2 * y[3 * s]), odd_b = b * (y[s] + b2 * y[3 * s]);
    t[0] = y[0];
    t[q] = even_a + odd_a;
    t[2 * q] = even_a - odd_a;
    t[3 * q] = even_b + odd_b;
    t[4 * q] = even_b - odd_b;
    t[5 * q] = y[(kFrom - 1) * s];
  }
};

template <int r>
struct WeightGradientTransform {  // G^T t
  static constexpr int kFrom = kTile, kTo = r;
  static void apply(const Vec* t, int s, Vec* g, int q) {
    const Vec even_a = kInverseA * (t[s] + t[2 * s]), odd_a = (a * kInverseA) * (t[s] - t[2 * s]);
    const Vec even_b = kInverseB * (t[3 * s] + t[4 * s]);
    const Vec odd_b = (b * kInverseB) * (t[3 * s] - t[4 * s]);
    g[0] = kInverse0 * t[0] + even_a + even_b;
    g[q] = odd_a + odd_b;
    if constexpr (r == 3) g[2 * q] = a2 * even_a + b2 * even_b;
    g[(r - 1) * q] += t[5 * s];
  }
};

// T d T^T of a square, in row-major order.
template <typename T>
inline void transform(const Vec* in, Vec* out) {
  Vec half[T::kTo * T::kFrom];
  for (int j = 0; j < T::kFrom; ++j) T::apply(in + j, T::kFrom, half + j, T::kFrom);
  for (int i = 0; i < T::kTo; ++i) T::apply(half + i * T::kFrom, 1, out + i * T::kTo, 1);
}

// ---- between planes of pixels and bands, whose pixels are vectors of channels ----

// Copies rows [y0, y1) of the planes into band[y - y0][x + left][lane], `columns` wide; what lies
// outside of the plane is zero.
void load_band(const TileRows& t, const float* x, int64_t channels, int64_t y0, int64_t y1,
               int64_t left, int64_t columns, float* band) {
  const int64_t plane = t.height * t.width;
  const int64_t row_size = columns * kLanes;
  const int64_t top = y0 < 0 ? 0 : y0, bottom = y1 < t.height ? y1 : t.height;
  for (int64_t y = y0; y < y1; ++y) {
    float* row = band + (y - y0) * row_size;
    if (y < top || y >= bottom) {
      std::memset(row, 0, row_size * sizeof(float));
    } else {
      const int64_t right = left + t.width;
      std::memset(row, 0, left * kLanes * sizeof(float));
      std::memset(row + right * kLanes, 0, (columns - right) * kLanes * sizeof(float));
    }
  }
  int64_t column = 0;
  float* to = band + (top - y0) * row_size + left * kLanes;
  for (int64_t i = top * t.width, end = bottom * t.width; i < end; i += kLanes) {
    const int64_t n = end - i < kLanes ? end - i : kLanes;
    Vec v[kLanes];
    for (int c = 0; c < kLanes; ++c) {
      v[c] = c >= channels ? Vec{}
             : n == kLanes ? load(x + c * plane + i)
                           : load_some(x + c * plane + i, n);
    }
    transpose(v);
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
template <typename T>
void transform_band(const TileRows& t, int step, const float* band, int64_t columns, float* tiles,
                    int64_t point_stride, int64_t tile_stride) {
  constexpr int size = T::kFrom;
  for (int64_t ty = 0; ty < t.last - t.first; ++ty) {
    for (int64_t tx = 0; tx < t.tiles_x; ++tx) {
      Vec in[size * size], out[kPoints];
      const float* corner = band + (ty * step * columns + tx * step) * kLanes;
      for (int i = 0; i < size; ++i) {
        for (int j = 0; j < size; ++j) in[i * size + j] = load(corner + (i * columns + j) * kLanes);
      }
      transform<T>(in, out);
      for (int p = 0; p < kPoints; ++p) store(tiles + p * point_stride, out[p]);
      tiles += tile_stride;
    }
  }
}

template <int r>
void input(const TileRows& t, const float* x, int64_t channels, float* band, float* tiles,
           int64_t point_stride, int64_t tile_stride) {
  constexpr int m = kTile + 1 - r;
  const int64_t y0 = t.first * m - t.pad, y1 = (t.last - 1) * m - t.pad + kTile;
  const int64_t needed = (t.tiles_x - 1) * m + kTile;
  const int64_t columns = needed < t.pad + t.width ? t.pad + t.width : needed;
  load_band(t, x, channels, y0, y1, t.pad, columns, band);
  transform_band<InputTransform>(t, m, band, columns, tiles, point_stride, tile_stride);
}

template <int r>
void output_gradient(const TileRows& t, const float* dy, int64_t channels, float* band,
                     float* tiles, int64_t point_stride, int64_t tile_stride) {
  constexpr int m = kTile + 1 - r;
  const int64_t columns = t.tiles_x * m;
  load_band(t, dy, channels, t.first * m, t.last * m, 0, columns, band);
  transform_band<OutputGradientTransform<r>>(t, m, band, columns, tiles, point_stride, tile_stride);
}

template <int r>
void output(const TileRows& t, const float* products, int64_t point_stride, int64_t tile_stride,
            int64_t channels, const float* bias, const float* alpha, int64_t alpha_stride,
            float* band, float* y) {
  constexpr int m = kTile + 1 - r;
  const int64_t plane = t.height * t.width;
  for (int64_t ty = t.first; ty < t.last; ++ty) {
    const int64_t rows = t.height - ty * m < m ? t.height - ty * m : m;
    for (int64_t tx = 0; tx < t.tiles_x; ++tx) {
      Vec in[kPoints], out[m * m];
      for (int p = 0; p < kPoints; ++p) in[p] = load(products + p * point_stride);
      products += tile_stride;
      transform<OutputTransform<r>>(in, out);
      const int64_t columns = t.width - tx * m < m ? t.width - tx * m : m;
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          store(band + (i * t.width + tx * m + j) * kLanes, out[i * m + j]);
        }
      }
    }
    const int64_t pixels = rows * t.width, at = ty * m * t.width;
    for (int64_t i = 0; i < pixels; i += kLanes) {
      const int64_t n = pixels - i < kLanes ? pixels - i : kLanes;
      Vec v[kLanes];
      for (int k = 0; k < kLanes; ++k) v[k] = k < n ? load(band + (i + k) * kLanes) : Vec{};
      transpose(v);
      for (int64_t c = 0; c < channels; ++c) {
        Vec sum = bias ? v[c] + bias[c] : v[c];
        if (alpha) sum = sum > Vec{} ? sum : alpha[c * alpha_stride] * sum;
        float* to = y + c * plane + at + i;
        n == kLanes ? store(to, sum) : store_some(to, sum, n);
      }
    }
  }
}

// ---- weights ----

template <int r>
void weights(const float* w, int64_t lane_stride, int64_t k_stride, bool flipped, int64_t depth,
             int64_t width, float* u, int64_t point_stride) {
  for (int64_t k = 0; k < depth; ++k) {
    for (int h = 0; h < kVectors; ++h) {
      const int64_t lanes = width - h * kLanes;
      Vec in[r * r] = {}, out[kPoints];
      for (int tap = 0; tap < r * r; ++tap) {
        const float* from =
            w + k * k_stride + h * kLanes * lane_stride + (flipped ? r * r - 1 - tap : tap);
        for (int l = 0; l < kLanes; ++l) in[tap][l] = l < lanes ? from[l * lane_stride] : 0;
      }
      transform<WeightTransform<r>>(in, out);
      for (int p = 0; p < kPoints; ++p)
        store(u + p * point_stride + k * kBlock + h * kLanes, out[p]);
    }
  }
}

template <int r>
void weight_gradient(const float* du, int64_t point_stride, int64_t depth, int64_t width,
                     float* taps, float* dw, int64_t lane_stride, bool accumulate) {
  for (int h = 0; h < kVectors && h * kLanes < width; ++h) {
    for (int64_t k = 0; k < depth; ++k) {
      Vec in[kPoints], out[r * r];
      for (int p = 0; p < kPoints; ++p)
        in[p] = load(du + p * point_stride + k * kBlock + h * kLanes);
      transform<WeightGradientTransform<r>>(in, out);
      for (int tap = 0; tap < r * r; ++tap) store(taps + (k * r * r + tap) * kLanes, out[tap]);
    }
    const int64_t lanes = width - h * kLanes < kLanes ? width - h * kLanes : kLanes;
    for (int64_t i = 0; i < depth * r * r; i += kLanes) {
      const int64_t n = depth * r * r - i < kLanes ? depth * r * r - i : kLanes;
      Vec v[kLanes];
      for (int k = 0; k < kLanes; ++k) v[k] = k < n ? load(taps + (i + k) * kLanes) : Vec{};
      transpose(v);
      for (int64_t l = 0; l < lanes; ++l) {
        float* to = dw + (h * kLanes + l) * lane_stride + i;
        if (n == kLanes) {
          store(to, accumulate ? load(to) + v[l] : v[l]);
        } else {
          store_some(to, accumulate ? load_some(to, n) + v[l] : v[l], n);
        }
      }
    }
  }
}

// ---- the matrix product ----

constexpr int kAhead = 16;
template <int rows, bool accumulate>
void multiply_rows(int64_t depth, const float* left, int64_t left_k, int64_t left_i,
                   const float* right, float* c) {
  Vec sum[rows][kVectors];
  for (int i = 0; i < rows; ++i) {
    for (int h = 0; h < kVectors; ++h) {
      sum[i][h] = accumulate ? load(c + i * kBlock + h * kLanes) : Vec{};
    }
  }
  const float* next = left_k == 1 ? left + rows * left_i : left + kAhead * left_k;
  const int64_t next_step = left_k == 1 ? 16 : left_k;
  do {
    Vec row[kVectors];
    for (int h = 0; h < kVectors; ++h) row[h] = load(right + h * kLanes);
    for (int i = 0; i < rows; ++i) {
      const float factor = left[i * left_i];
      for (int h = 0; h < kVectors; ++h) sum[i][h] += factor * row[h];
    }
    __builtin_prefetch(next);
    __builtin_prefetch(right + kAhead * kBlock);
    __builtin_prefetch(right + kAhead * kBlock + kLanes);
    next += next_step;
    left += left_k;
    right += kBlock;
  } while (--depth);
  for (int i = 0; i < rows; ++i) {
    for (int h = 0; h < kVectors; ++h) store(c + i * kBlock + h * kLanes, sum[i][h]);
  }
}

using MultiplyRows = void (*)(int64_t, const float*, int64_t, int64_t, const float*, float*);

// By number of rows, less one.
template <bool accumulate, int... rows>
constexpr std::array<MultiplyRows, kMaxRows> table_of(std::integer_sequence<int, rows...>) {
  return {multiply_rows<rows + 1, accumulate>...};
}

void multiply(int64_t rows, int64_t depth, const float* left, int64_t left_k, int64_t left_i,
              const float* right, float* c, bool accumulate) {
  constexpr auto all = std::make_integer_sequence<int, kMaxRows>();
  static constexpr auto fresh = table_of<false>(all), added = table_of<true>(all);
  // Even groups: two of eight rows are faster than one of twelve and one of four.
  for (int64_t groups = (rows + kMaxRows - 1) / kMaxRows; groups > 0; --groups) {
    const int64_t n = (rows + groups - 1) / groups;
    (accumulate ? added : fresh)[n - 1](depth, left, left_k, left_i, right, c);
    left += n * left_i;
    c += n * kBlock;
    rows -= n;
  }
}

template <int r>
constexpr WinogradTransforms transforms() {
  return {input<r>, output_gradient<r>, weights<r>, output<r>, weight_gradient<r>};
}

#define DEEPRECT_STRING_(x) #x
#define DEEPRECT_STRING(x) DEEPRECT_STRING_(x)

}  // namespace

extern const WinogradKernels winograd = {
    DEEPRECT_STRING(DEEPRECT_ISA), kLanes, kBlock, multiply, transforms<2>(), transforms<3>(),
};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
