// See product/kernels.h. DEEPRECT_ISA names the instruction set this file is being compiled for.
#include "product/kernels.h"

#include <array>
#include <utility>

#include "simd/vector.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// Rows that are multiplied together with so many vectors: as many sums as there are registers for
// beside the vectors and a factor.
constexpr int max_rows(int vectors) {
  const int rows = (kRegisters - 1 - vectors) / vectors;
  return rows < 12 ? rows : 12;
}

constexpr int kAhead = 16;
template <int vectors, int rows, bool accumulate>
void multiply_rows(int64_t depth, const float* left, int64_t left_k, int64_t left_i,
                   const float* right, float* c) {
  Vec sum[rows][vectors];
  for (int i = 0; i < rows; ++i) {
    for (int h = 0; h < vectors; ++h) sum[i][h] = Vec{};
  }
  const float* next = left_k == 1 ? left + rows * left_i : left + kAhead * left_k;
  const int64_t next_step = left_k == 1 ? 16 : left_k;
  do {
    Vec row[vectors];
    for (int h = 0; h < vectors; ++h) row[h] = load(right + h * kLanes);
    for (int i = 0; i < rows; ++i) {
      const float factor = left[i * left_i];
      for (int h = 0; h < vectors; ++h) sum[i][h] += factor * row[h];
    }
    __builtin_prefetch(next);
    for (int h = 0; h < vectors; ++h) __builtin_prefetch(right + (kAhead * vectors + h) * kLanes);
    next += next_step;
    left += left_k;
    right += vectors * kLanes;
  } while (--depth);
  for (int i = 0; i < rows; ++i) {
    for (int h = 0; h < vectors; ++h) {
      float* to = c + i * kBlock + h * kLanes;
      // Sums of sums have smaller rounding errors than one long sum.
      store(to, accumulate ? load(to) + sum[i][h] : sum[i][h]);
    }
  }
}

using MultiplyRows = void (*)(int64_t, const float*, int64_t, int64_t, const float*, float*);

// By number of rows, less one.
template <int vectors, bool accumulate, int... rows>
constexpr std::array<MultiplyRows, max_rows(vectors)> by_rows(std::integer_sequence<int, rows...>) {
  return {multiply_rows<vectors, rows + 1, accumulate>...};
}

template <int vectors, bool accumulate>
void multiply_vectors(int64_t rows, int64_t depth, const float* left, int64_t left_k,
                      int64_t left_i, const float* right, float* c) {
  constexpr int most = max_rows(vectors);
  static constexpr auto table =
      by_rows<vectors, accumulate>(std::make_integer_sequence<int, most>());
  // Even groups: two of eight rows are faster than one of nine and one of seven.
  for (int64_t groups = (rows + most - 1) / most; groups > 0; --groups) {
    const int64_t n = (rows + groups - 1) / groups;
    table[n - 1](depth, left, left_k, left_i, right, c);
    left += n * left_i;
    c += n * kBlock;
    rows -= n;
  }
}

using MultiplyVectors = void (*)(int64_t, int64_t, const float*, int64_t, int64_t, const float*,
                                 float*);

// By number of vectors, less one.
template <bool accumulate, int... vectors>
constexpr std::array<MultiplyVectors, kVectors> by_vectors(std::integer_sequence<int, vectors...>) {
  return {multiply_vectors<vectors + 1, accumulate>...};
}

void multiply(int64_t rows, int64_t width, int64_t depth, const float* left, int64_t left_k,
              int64_t left_i, const float* right, float* c, bool accumulate) {
  constexpr auto all = std::make_integer_sequence<int, kVectors>();
  static constexpr auto fresh = by_vectors<false>(all), added = by_vectors<true>(all);
  const int64_t vectors = panel_row(width) / kLanes;
  (accumulate ? added : fresh)[vectors - 1](rows, depth, left, left_k, left_i, right, c);
}

// Columns are rows of b: vectors of k are transposed.
void pack_columns(const float* b, int64_t stride, int64_t depth, int64_t width, float* right) {
  constexpr int64_t kFloatsAhead = 64;
  const int64_t row = panel_row(width);
  for (int64_t k0 = 0; k0 < depth; k0 += kLanes) {
    const int64_t count = depth - k0 < kLanes ? depth - k0 : kLanes;
    for (int64_t column = 0; column < row; column += kLanes) {
      const float* from = b + column * stride + k0;
      const int64_t lanes = width - column;
      for (int64_t l = 0; l < lanes && l < kLanes; ++l) {
        __builtin_prefetch(from + l * stride + kFloatsAhead);
      }
      Vec v[kLanes];
      load_transposed(from, stride, lanes, count, v);
      for (int64_t k = 0; k < count; ++k) store(right + (k0 + k) * row + column, v[k]);
    }
  }
}

// Rows are rows of b; all panels of a row at a time, for long runs.
void pack_rows(const float* b, int64_t stride, int64_t depth, int64_t width, float* right,
               int64_t panel_stride) {
  constexpr int64_t kRowsAhead = 4;
  for (int64_t k = 0; k < depth; ++k) {
    const float* from = b + k * stride;
    float* panel = right;
    for (int64_t rest = width; rest > 0; rest -= kBlock) {
      const int64_t row = panel_row(rest);
      float* to = panel + k * row;
      for (int64_t column = 0; column < row; column += kLanes) {
        const int64_t n = rest - column;
        constexpr int kFarCaches = 2;
        __builtin_prefetch(from + kRowsAhead * stride + column, 0, kFarCaches);
        store(to + column, n >= kLanes ? load(from + column) : load_some(from + column, n));
      }
      from += kBlock;
      panel += panel_stride;
    }
  }
}

void pack(const float* b, int64_t k_stride, int64_t column_stride, int64_t depth, int64_t width,
          float* right, int64_t panel_stride) {
  if (column_stride == 1) {
    pack_rows(b, k_stride, depth, width, right, panel_stride);
    return;
  }
  for (int64_t at = 0; at < width; at += kBlock) {
    pack_columns(b + at * column_stride, column_stride, depth, width - at, right);
    right += panel_stride;
  }
}

void unpack(const float* product, int64_t rows, int64_t width, const float* bias, bool streaming,
            float* c, int64_t c_stride) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t l = 0; l < width; l += kLanes) {
      Vec sum = load(product + i * kBlock + l);
      const int64_t n = width - l;
      float* to = c + i * c_stride + l;
      if (n < kLanes) {
        store_some(to, bias ? sum + load_some(bias + l, n) : sum, n);
        continue;
      }
      if (bias) sum += load(bias + l);
      streaming ? stream(to, sum) : store(to, sum);
    }
  }
}

// `rows` of the left against `columns` of the right; whole vectors of the depth first.
template <int rows, int columns>
void dot_tile(int64_t depth, const float* left, int64_t left_stride, const float* right,
              int64_t right_stride, const float* bias, float* c, int64_t c_stride) {
  Vec sum[rows][columns] = {};
  for (int64_t k = 0; k < depth; k += kLanes) {
    const int64_t n = depth - k;
    const auto get = [&](const float* p) { return n < kLanes ? load_some(p, n) : load(p); };
    for (int j = 0; j < columns; ++j) {
      const Vec weights = get(right + j * right_stride + k);
      for (int i = 0; i < rows; ++i) sum[i][j] += get(left + i * left_stride + k) * weights;
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      float total = bias[j];
      for (int l = 0; l < kLanes; ++l) total += sum[i][j][l];
      c[i * c_stride + j] = total;
    }
  }
}

void dot(int64_t rows, int64_t columns, int64_t depth, const float* left, int64_t left_stride,
         const float* right, int64_t right_stride, const float* bias, float* c, int64_t c_stride) {
  constexpr int64_t kColumns = 4;
  static_assert(kFewRows == 2);
  for (int64_t j = 0; j < columns;) {
    const bool several = columns - j >= kColumns;
    (several     ? rows == 2 ? dot_tile<2, kColumns> : dot_tile<1, kColumns>
         : rows == 2 ? dot_tile<2, 1>
                 : dot_tile<1, 1>)(depth, left, left_stride, right + j * right_stride, right_stride,
                                   bias + j, c + j, c_stride);
    j += several ? kColumns : 1;
  }
}

enum class Into { kFresh, kSum, kStream };

// Puts `terms` rows of `right`, weighted and added up, into every row of c. What lies `ahead` of
// `right` is prefetched.
template <int rows, int terms>
void add_terms(int64_t columns, const float* left, int64_t left_k, int64_t left_i,
               const float* right, int64_t right_stride, int64_t ahead, Into into, float* c,
               int64_t c_stride) {
  float factors[terms][rows];
  for (int t = 0; t < terms; ++t) {
    for (int i = 0; i < rows; ++i) factors[t][i] = left[t * left_k + i * left_i];
  }
  for (int64_t j = 0; j < columns; j += kLanes) {
    const int64_t n = columns - j;
    const auto get = [&](const float* p) { return n < kLanes ? load_some(p, n) : load(p); };
    Vec sum[rows] = {};
    for (int t = 0; t < terms; ++t) {
      const float* from = right + t * right_stride + j;
      __builtin_prefetch(from + ahead);
      const Vec v = get(from);
      for (int i = 0; i < rows; ++i) sum[i] += factors[t][i] * v;
    }
    for (int i = 0; i < rows; ++i) {
      float* to = c + i * c_stride + j;
      if (into == Into::kSum) sum[i] += get(to);
      if (into == Into::kStream) {
        stream(to, sum[i]);
      } else {
        n < kLanes ? store_some(to, sum[i], n) : store(to, sum[i]);
      }
    }
  }
}

using AddTerms = decltype(&add_terms<1, 1>);

// By number of rows or terms, less one.
template <int terms, int... rows>
constexpr std::array<AddTerms, kFewAdded> add_by_rows(std::integer_sequence<int, rows...>) {
  return {add_terms<rows + 1, terms>...};
}
template <int... terms>
constexpr std::array<AddTerms, kFewAdded> add_by_terms(std::integer_sequence<int, terms...>) {
  return {add_terms<1, terms + 1>...};
}

void few_rows(int64_t rows, int64_t columns, int64_t depth, const float* left, int64_t left_k,
              int64_t left_i, const float* right, int64_t right_stride, float* c,
              int64_t c_stride) {
  constexpr int kTerms = 4;
  constexpr auto all = std::make_integer_sequence<int, kFewAdded>();
  static constexpr auto one = add_by_rows<1>(all), several = add_by_rows<kTerms>(all);
  for (int64_t k = 0; k < depth;) {
    const int terms = depth - k < kTerms ? 1 : kTerms;
    (terms == 1 ? one : several)[rows - 1](
        columns, left + k * left_k, left_k, left_i, right + k * right_stride, right_stride,
        kTerms * right_stride, k == 0 ? Into::kFresh : Into::kSum, c, c_stride);
    k += terms;
  }
}

void few_terms(int64_t rows, int64_t columns, int64_t depth, const float* left, int64_t left_k,
               int64_t left_i, const float* right, int64_t right_stride, bool streaming, float* c,
               int64_t c_stride) {
  static constexpr auto of_a_row = add_by_terms(std::make_integer_sequence<int, kFewAdded>());
  for (int64_t i = 0; i < rows; ++i) {
    of_a_row[depth - 1](columns, left + i * left_i, left_k, left_i, right, right_stride, 0,
                        streaming ? Into::kStream : Into::kFresh, c + i * c_stride, c_stride);
  }
}

}  // namespace

extern const ProductKernels product = {
    kIsa, kLanes, kBlock, max_rows(kVectors), multiply, pack, unpack, dot, few_rows, few_terms,
};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
