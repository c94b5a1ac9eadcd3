// See winograd_kernels.h. DEEPRECT_ISA names the instruction set this file is being compiled for.
//
// Winograd's minimal filtering F(m x m, r x r) by Toom-Cook interpolation at 0, pairs +-p
// and infinity (Lavin & Gray 2016, "Fast algorithms for convolutional neural networks"). With the
// Vandermonde rows of these points in A and G, and the Lagrange polynomials in B,
//   y = A^T [(G g G^T) . (B^T d B)] A,     dg = G^T [(A dy A^T) . (B^T d B)] G.
// Vectors run over channels, so that all transforms are plain vector arithmetic.
#include "winograd_kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

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

// `count` floats, or a full vector of them, that lie `stride` apart; zeros for the rest.
inline Vec load_strided(const float* p, int64_t stride, int64_t count) {
#if defined(__AVX512F__)
  if (count >= kLanes) {
    const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i offsets = _mm512_mullo_epi32(steps, _mm512_set1_epi32(int(stride)));
    return (Vec)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, offsets, p, 4);
  }
#endif
  Vec v{};
  for (int l = 0; l < kLanes && l < count; ++l) v[l] = p[l * stride];
  return v;
}

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

// The finite points but 0 come in pairs +-p. Chosen for small rounding errors.
template <int n>
constexpr float kPairs[] = {1};
template <>
constexpr float kPairs<6>[] = {0.625f, 1.5f};
template <>
constexpr float kPairs<8>[] = {0.5f, 1, 2};

template <int n>
struct Constants {
  static constexpr int kCount = n / 2 - 1;  // of pairs
  // Coefficients, constant term first, of the product of (t - p^2) over all pairs p, and of that
  // over all but one.
  float all[n / 2] = {}, others[kCount][n / 2] = {};
  // Denominators of Lagrange's polynomials, inverted: for the point 0, and for each pair.
  float inverse_zero = 1, inverse[kCount] = {};
  float powers[kCount][n] = {};

  constexpr Constants() {
    multiply_out(all, -1);
    inverse_zero = 1 / all[0];
    for (int k = 0; k < kCount; ++k) {
      multiply_out(others[k], k);
      const float p = kPairs<n>[k];
      float denominator = 2 * p * p;
      for (int j = 0; j < kCount; ++j) {
        if (j != k) denominator *= p * p - kPairs<n>[j] * kPairs<n>[j];
      }
      inverse[k] = 1 / denominator;
      powers[k][0] = 1;
      for (int i = 1; i < n; ++i) powers[k][i] = p * powers[k][i - 1];
    }
  }
  static constexpr void multiply_out(float* c, int left_out) {
    c[0] = 1;
    for (int j = 0; j < kCount; ++j) {
      if (j == left_out) continue;
      for (int i = n / 2 - 1; i >= 0; --i) {
        c[i] = (i > 0 ? c[i - 1] : 0) - kPairs<n>[j] * kPairs<n>[j] * c[i];
      }
    }
  }
};
template <int n>
constexpr Constants<n> kConstants{};

#define DEEPRECT_UNROLL _Pragma("GCC unroll 8")

template <int r, int n>
struct InputTransform {  // B^T d
  static constexpr int kFrom = n, kTo = n;
  static inline void apply(const Vec* d, int s, Vec* t, int q) {
    constexpr const Constants<n>& c = kConstants<n>;
    Vec zero = c.all[0] * d[0], infinity = c.all[0] * d[s];
    DEEPRECT_UNROLL
    for (int i = 1; i < n / 2; ++i) {
      zero += c.all[i] * d[2 * i * s];
      infinity += c.all[i] * d[(2 * i + 1) * s];
    }
    t[0] = zero;
    t[(n - 1) * q] = infinity;
    DEEPRECT_UNROLL
    for (int k = 0; k < c.kCount; ++k) {
      Vec even = c.others[k][0] * d[2 * s], odd = c.powers[k][1] * c.others[k][0] * d[s];
      DEEPRECT_UNROLL
      for (int i = 1; i < n / 2 - 1; ++i) {
        even += c.others[k][i] * d[(2 * i + 2) * s];
        odd += c.powers[k][1] * c.others[k][i] * d[(2 * i + 1) * s];
      }
      t[(2 * k + 1) * q] = even + odd;
      t[(2 * k + 2) * q] = even - odd;
    }
  }
};

// Values of the polynomial with coefficients g at the points: the Vandermonde matrix.
template <int size, int n, bool scaled>
inline void evaluate(const Vec* g, int s, Vec* t, int q) {
  constexpr const Constants<n>& c = kConstants<n>;
  t[0] = scaled ? c.inverse_zero * g[0] : g[0];
  t[(n - 1) * q] = g[(size - 1) * s];
  DEEPRECT_UNROLL
  for (int k = 0; k < c.kCount; ++k) {
    const float scale = scaled ? c.inverse[k] : 1;
    Vec even = scale * g[0], odd = scale * c.powers[k][1] * g[s];
    DEEPRECT_UNROLL
    for (int i = 2; i < size; ++i) {
      if (i % 2) {
        odd += scale * c.powers[k][i] * g[i * s];
      } else {
        even += scale * c.powers[k][i] * g[i * s];
      }
    }
    t[(2 * k + 1) * q] = even + odd;
    t[(2 * k + 2) * q] = even - odd;
  }
}

// The transpose of evaluate.
template <int size, int n, bool scaled>
inline void collect(const Vec* t, int s, Vec* y, int q) {
  constexpr const Constants<n>& c = kConstants<n>;
  Vec sum[size] = {};
  sum[0] = scaled ? c.inverse_zero * t[0] : t[0];
  sum[size - 1] += t[(n - 1) * s];
  DEEPRECT_UNROLL
  for (int k = 0; k < c.kCount; ++k) {
    const float scale = scaled ? c.inverse[k] : 1;
    const Vec even = t[(2 * k + 1) * s] + t[(2 * k + 2) * s];
    const Vec odd = t[(2 * k + 1) * s] - t[(2 * k + 2) * s];
    DEEPRECT_UNROLL
    for (int i = 0; i < size; ++i) sum[i] += scale * c.powers[k][i] * (i % 2 ? odd : even);
  }
  DEEPRECT_UNROLL
  for (int i = 0; i < size; ++i) y[i * q] = sum[i];
}

template <int r, int n>
struct WeightTransform {  // G g
  static constexpr int kFrom = r, kTo = n;
  static inline void apply(const Vec* g, int s, Vec* t, int q) { evaluate<r, n, true>(g, s, t, q); }
};

template <int r, int n>
struct WeightGradientTransform {  // G^T t
  static constexpr int kFrom = n, kTo = r;
  static inline void apply(const Vec* t, int s, Vec* g, int q) { collect<r, n, true>(t, s, g, q); }
};

template <int r, int n>
struct OutputTransform {  // A^T t
  static constexpr int kFrom = n, kTo = n + 1 - r;
  static inline void apply(const Vec* t, int s, Vec* y, int q) {
    collect<kTo, n, false>(t, s, y, q);
  }
};

template <int r, int n>
struct OutputGradientTransform {  // A dy
  static constexpr int kFrom = n + 1 - r, kTo = n;
  static inline void apply(const Vec* y, int s, Vec* t, int q) {
    evaluate<kFrom, n, false>(y, s, t, q);
  }
};

// T d T^T of a square, in row-major order.
template <typename T>
inline void transform(const Vec* in, Vec* out) {
  Vec half[T::kTo * T::kFrom];
  DEEPRECT_UNROLL
  for (int j = 0; j < T::kFrom; ++j) T::apply(in + j, T::kFrom, half + j, T::kFrom);
  DEEPRECT_UNROLL
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
template <typename T, int n>
void transform_band(const TileRows& t, int step, const float* band, int64_t columns, float* tiles,
                    int64_t point_stride, int64_t tile_stride) {
  constexpr int size = T::kFrom;
  for (int64_t ty = 0; ty < t.last - t.first; ++ty) {
    for (int64_t tx = 0; tx < t.tiles_x; ++tx) {
      Vec in[size * size], out[n * n];
      const float* corner = band + (ty * step * columns + tx * step) * kLanes;
      for (int i = 0; i < size; ++i) {
        for (int j = 0; j < size; ++j) in[i * size + j] = load(corner + (i * columns + j) * kLanes);
      }
      transform<T>(in, out);
      for (int p = 0; p < n * n; ++p) store(tiles + p * point_stride, out[p]);
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
      Vec in[n * n], out[m * m];
      for (int p = 0; p < n * n; ++p) in[p] = load(products + p * point_stride);
      products += tile_stride;
      transform<OutputTransform<r, n>>(in, out);
      const int64_t columns = t.width - tx * m < m ? t.width - tx * m : m;
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          store(band + (i * t.width + tx * m + j) * kLanes, out[i * m + j]);
        }
      }
    }
    const int64_t pixels = rows * t.width, at = ty * m * t.width;
    for (int64_t i = 0; i < pixels; i += kLanes) {
      const int64_t count = pixels - i < kLanes ? pixels - i : kLanes;
      Vec v[kLanes];
      for (int k = 0; k < kLanes; ++k) v[k] = k < count ? load(band + (i + k) * kLanes) : Vec{};
      transpose(v);
      for (int64_t c = 0; c < channels; ++c) {
        Vec sum = bias ? v[c] + bias[c] : v[c];
        if (alpha) sum = sum > Vec{} ? sum : alpha[c * alpha_stride] * sum;
        float* to = y + c * plane + at + i;
        count == kLanes ? store(to, sum) : store_some(to, sum, count);
      }
    }
  }
}

// ---- weights ----

template <int r, int n>
void weights(const float* w, int64_t lane_stride, int64_t k_stride, bool flipped, int64_t depth,
             int64_t width, float* u, int64_t point_stride) {
  for (int64_t k = 0; k < depth; ++k) {
    for (int h = 0; h < kVectors; ++h) {
      const int64_t lanes = width - h * kLanes;
      Vec in[r * r], out[n * n];
      for (int tap = 0; tap < r * r; ++tap) {
        const float* from =
            w + k * k_stride + h * kLanes * lane_stride + (flipped ? r * r - 1 - tap : tap);
        in[tap] = load_strided(from, lane_stride, lanes);
      }
      transform<WeightTransform<r, n>>(in, out);
      for (int p = 0; p < n * n; ++p) store(u + p * point_stride + k * kBlock + h * kLanes, out[p]);
    }
  }
}

template <int r, int n>
void weight_gradient(const float* du, int64_t point_stride, int64_t depth, int64_t width,
                     float* taps, float* dw, int64_t lane_stride, bool accumulate) {
  for (int h = 0; h < kVectors && h * kLanes < width; ++h) {
    for (int64_t k = 0; k < depth; ++k) {
      Vec in[n * n], out[r * r];
      for (int p = 0; p < n * n; ++p) in[p] = load(du + p * point_stride + k * kBlock + h * kLanes);
      transform<WeightGradientTransform<r, n>>(in, out);
      for (int tap = 0; tap < r * r; ++tap) store(taps + (k * r * r + tap) * kLanes, out[tap]);
    }
    const int64_t lanes = width - h * kLanes < kLanes ? width - h * kLanes : kLanes;
    for (int64_t i = 0; i < depth * r * r; i += kLanes) {
      const int64_t count = depth * r * r - i < kLanes ? depth * r * r - i : kLanes;
      Vec v[kLanes];
      for (int k = 0; k < kLanes; ++k) v[k] = k < count ? load(taps + (i + k) * kLanes) : Vec{};
      transpose(v);
      for (int64_t l = 0; l < lanes; ++l) {
        float* to = dw + (h * kLanes + l) * lane_stride + i;
        if (count == kLanes) {
          store(to, accumulate ? load(to) + v[l] : v[l]);
        } else {
          store_some(to, accumulate ? load_some(to, count) + v[l] : v[l], count);
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

template <int r, int n>
constexpr WinogradTransforms transforms() {
  return {input<r, n>, output_gradient<r, n>, weights<r, n>, output<r, n>, weight_gradient<r, n>};
}

#define DEEPRECT_STRING_(x) #x
#define DEEPRECT_STRING(x) DEEPRECT_STRING_(x)

}  // namespace

extern const WinogradKernels winograd = {
    DEEPRECT_STRING(DEEPRECT_ISA),
    kLanes,
    kBlock,
    multiply,
    {transforms<2, 4>(), transforms<2, 6>(), transforms<2, 8>()},
    {transforms<3, 4>(), transforms<3, 6>(), transforms<3, 8>()},
};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
