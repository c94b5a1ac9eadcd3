// Winograd's transforms, as templates of the kernel's side r and the tile's side n.
//
// Winograd's minimal filtering F(m x m, r x r) by Toom-Cook interpolation at 0, at pairs +-p and at
// infinity (Lavin & Gray 2016, "Fast algorithms for convolutional neural networks"):
//   y = A^T [(G g G^T) . (B^T d B)] A,     dg = G^T [(A dy A^T) . (B^T d B)] G.
// A and G hold the Vandermonde rows of these points, and B the Lagrange polynomials. The Lagrange
// denominators are folded into the constants of B, at no run-time cost. Vectors run over channels,
// so that all transforms are plain vector arithmetic.
#ifndef DEEPRECT_CONV_TRANSFORMS_H_
#define DEEPRECT_CONV_TRANSFORMS_H_

#include "simd/vector.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// ---- one-dimensional transforms ----

// The finite points other than 0 come in pairs +-p. They were chosen for small rounding errors;
// docs/performance.md lists the errors that follow ("Accuracy").
template <int n>
constexpr float kPairs[] = {1};
template <>
constexpr float kPairs<6>[] = {0.625f, 1.5f};
template <>
constexpr float kPairs<8>[] = {0.5f, 1, 2};

template <int n>
struct Constants {
  static constexpr int kCount = n / 2 - 1;  // of pairs
  // `all` are the coefficients, constant term first, of the product of (t - p^2) over all pairs p.
  // `others` are those of the product over all pairs but one, divided by the denominators of the
  // Lagrange polynomials at that pair.
  float all[n / 2] = {}, others[kCount][n / 2] = {};
  float powers[kCount][n] = {};

  constexpr Constants() {
    multiply_out(all, -1);
    for (int k = 0; k < kCount; ++k) {
      multiply_out(others[k], k);
      const float p = kPairs<n>[k];
      float denominator = 2 * p * p;
      for (int j = 0; j < kCount; ++j) {
        if (j != k) denominator *= p * p - kPairs<n>[j] * kPairs<n>[j];
      }
      for (float& coefficient : others[k]) coefficient /= denominator;
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
  static inline void apply(const Vec* d, Vec* t) {
    constexpr const Constants<n>& c = kConstants<n>;
    Vec zero = d[0], infinity = c.all[0] * d[1];
    DEEPRECT_UNROLL
    for (int i = 1; i < n / 2; ++i) {
      zero += c.all[i] / c.all[0] * d[2 * i];
      infinity += c.all[i] * d[2 * i + 1];
    }
    t[0] = zero;
    t[n - 1] = infinity;
    DEEPRECT_UNROLL
    for (int k = 0; k < c.kCount; ++k) {
      Vec even = c.others[k][0] * d[2], odd = c.powers[k][1] * c.others[k][0] * d[1];
      DEEPRECT_UNROLL
      for (int i = 1; i < n / 2 - 1; ++i) {
        even += c.others[k][i] * d[2 * i + 2];
        odd += c.powers[k][1] * c.others[k][i] * d[2 * i + 1];
      }
      t[2 * k + 1] = even + odd;
      t[2 * k + 2] = even - odd;
    }
  }
};

// Evaluate the polynomial with coefficients g at the points: multiply by the Vandermonde matrix.
template <int size, int n>
inline void evaluate(const Vec* g, Vec* t) {
  constexpr const Constants<n>& c = kConstants<n>;
  t[0] = g[0];
  t[n - 1] = g[size - 1];
  DEEPRECT_UNROLL
  for (int k = 0; k < c.kCount; ++k) {
    Vec even = g[0], odd = c.powers[k][1] * g[1];
    DEEPRECT_UNROLL
    for (int i = 2; i < size; ++i) (i % 2 ? odd : even) += c.powers[k][i] * g[i];
    t[2 * k + 1] = even + odd;
    t[2 * k + 2] = even - odd;
  }
}

// Multiply by the transpose of that matrix.
template <int size, int n>
inline void collect(const Vec* t, Vec* y) {
  constexpr const Constants<n>& c = kConstants<n>;
  Vec sum[size] = {};
  sum[0] = t[0];
  sum[size - 1] += t[n - 1];
  DEEPRECT_UNROLL
  for (int k = 0; k < c.kCount; ++k) {
    const Vec even = t[2 * k + 1] + t[2 * k + 2];
    const Vec odd = t[2 * k + 1] - t[2 * k + 2];
    DEEPRECT_UNROLL
    for (int i = 0; i < size; ++i) sum[i] += c.powers[k][i] * (i % 2 ? odd : even);
  }
  DEEPRECT_UNROLL
  for (int i = 0; i < size; ++i) y[i] = sum[i];
}

template <int r, int n>
struct WeightTransform {  // G g
  static constexpr int kFrom = r, kTo = n;
  static inline void apply(const Vec* g, Vec* t) { evaluate<r, n>(g, t); }
};

template <int r, int n>
struct WeightGradientTransform {  // G^T t
  static constexpr int kFrom = n, kTo = r;
  static inline void apply(const Vec* t, Vec* g) { collect<r, n>(t, g); }
};

template <int r, int n>
struct OutputTransform {  // A^T t
  static constexpr int kFrom = n, kTo = n + 1 - r;
  static inline void apply(const Vec* t, Vec* y) { collect<kTo, n>(t, y); }
};

template <int r, int n>
struct OutputGradientTransform {  // A dy
  static constexpr int kFrom = n + 1 - r, kTo = n;
  static inline void apply(const Vec* y, Vec* t) { evaluate<kFrom, n>(y, t); }
};

// Compute T d T^T for a square d. get(i) returns its elements in row-major order; put(i, v) takes
// those of the result.
template <typename T, typename Get, typename Put>
inline void transform(Get&& get, Put&& put) {
  alignas(sizeof(Vec)) Vec half[T::kTo * T::kFrom];
  DEEPRECT_UNROLL
  for (int j = 0; j < T::kFrom; ++j) {
    Vec from[T::kFrom], to[T::kTo];
    DEEPRECT_UNROLL
    for (int i = 0; i < T::kFrom; ++i) from[i] = get(i * T::kFrom + j);
    T::apply(from, to);
    DEEPRECT_UNROLL
    for (int i = 0; i < T::kTo; ++i) half[i * T::kFrom + j] = to[i];
  }
  DEEPRECT_UNROLL
  for (int i = 0; i < T::kTo; ++i) {
    Vec to[T::kTo];
    T::apply(half + i * T::kFrom, to);
    DEEPRECT_UNROLL
    for (int j = 0; j < T::kTo; ++j) put(i * T::kTo + j, to[j]);
  }
}

}  // namespace
}  // namespace DEEPRECT_ISA
}  // namespace deeprect

#endif  // DEEPRECT_CONV_TRANSFORMS_H_
