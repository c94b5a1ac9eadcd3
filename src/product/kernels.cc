// The kernels of matrix products, compiled for DEEPRECT_ISA.
#include "product/kernels.h"

#include <array>
#include <utility>

#include "product/panel.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// The number of rows that are multiplied with so many vectors at a time. Their sums, the vectors
// and one factor fill the registers.
constexpr int max_rows(int vectors) {
  const int rows = (kRegisters - 1 - vectors) / vectors;
  return rows < 12 ? rows : 12;
}

// The distance of the prefetch, in steps of the depth. Chosen on 2026-11-23 with the kernels.
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
      // Adding sums of parts has smaller rounding errors than one long sum.
      store(to, accumulate ? load(to) + sum[i][h] : sum[i][h]);
    }
  }
}

using MultiplyRows = void (*)(int64_t, const float*, int64_t, int64_t, const float*, float*);

// Element n is the function for n + 1 rows.
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
  // Groups of equal size: two of eight rows are faster than one of nine and one of seven.
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

// Element n is the function for n + 1 vectors.
template <bool accumulate, int... vectors>
constexpr std::array<MultiplyVectors, kVectors> by_vectors(std::integer_sequence<int, vectors...>) {
  return {multiply_vectors<vectors + 1, accumulate>...};
}

void multiply(ProductSize size, Matrix left, const float* right, float* c, bool accumulate) {
  constexpr auto all = std::make_integer_sequence<int, kVectors>();
  static constexpr auto fresh = by_vectors<false>(all), added = by_vectors<true>(all);
  const int64_t vectors = panel_row(size.columns) / kLanes;
  (accumulate ? added : fresh)[vectors - 1](size.rows, size.depth, left.data, left.column, left.row,
                                            right, c);
}

// Pack a panel whose columns are contiguous in b: transpose vectors of k.
void pack_columns(const float* b, int64_t stride, int64_t depth, int64_t width, float* right) {
  constexpr int64_t kFloatsAhead = 64;  // chosen on 2026-11-26, with the dense layers
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

// Pack panels whose rows are contiguous in b: take all panels of a row at a time, to read long
// runs.
void pack_rows(const float* b, int64_t stride, int64_t depth, int64_t width, Result right) {
  constexpr int64_t kRowsAhead = 4;  // chosen on 2026-11-26, with the dense layers
  for (int64_t k = 0; k < depth; ++k) {
    const float* from = b + k * stride;
    float* panel = right.data;
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
      panel += right.stride;
    }
  }
}

void pack(Matrix b, int64_t depth, int64_t columns, Result right) {
  if (b.column == 1) {
    pack_rows(b.data, b.row, depth, columns, right);
    return;
  }
  for (int64_t at = 0; at < columns; at += kBlock) {
    pack_columns(b.data + at * b.column, b.column, depth, columns - at, right.data);
    right.data += right.stride;
  }
}

void unpack(const float* product, int64_t rows, int64_t columns, const float* bias, bool streaming,
            Result c) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t l = 0; l < columns; l += kLanes) {
      Vec sum = load(product + i * kBlock + l);
      const int64_t n = columns - l;
      float* to = c.data + i * c.stride + l;
      if (n < kLanes) {
        store_some(to, bias ? sum + load_some(bias + l, n) : sum, n);
        continue;
      }
      if (bias) sum += load(bias + l);
      streaming ? stream(to, sum) : store(to, sum);
    }
  }
}

// Dot products of `rows` rows of the left with `columns` rows of the right.
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

void dot(ProductSize size, Matrix left, Matrix right, const float* bias, Result c) {
  constexpr int64_t kColumns = 4;
  static_assert(kFewRows == 2);
  const bool two = size.rows == 2;
  for (int64_t j = 0; j < size.columns;) {
    const bool several = size.columns - j >= kColumns;
    const auto tile = several ? two ? dot_tile<2, kColumns> : dot_tile<1, kColumns>
                      : two ? dot_tile<2, 1>
                              : dot_tile<1, 1>;
    tile(size.depth, left.data, left.row, right.data + j * right.row, right.row, bias + j,
         c.data + j, c.stride);
    j += several ? kColumns : 1;
  }
}

enum class Into { kFresh, kSum, kStream };

// Write `terms` rows of `right`, weighted and added up, into every row of c. Prefetch what lies
// `ahead` of `right`.
template <int rows, int terms>
void add_terms(int64_t columns, Matrix left, Matrix right, int64_t ahead, Into into, Result c) {
  float factors[terms][rows];
  for (int t = 0; t < terms; ++t) {
    for (int i = 0; i < rows; ++i) factors[t][i] = left.data[t * left.column + i * left.row];
  }
  for (int64_t j = 0; j < columns; j += kLanes) {
    const int64_t n = columns - j;
    const auto get = [&](const float* p) { return n < kLanes ? load_some(p, n) : load(p); };
    Vec sum[rows] = {};
    for (int t = 0; t < terms; ++t) {
      const float* from = right.data + t * right.row + j;
      __builtin_prefetch(from + ahead);
      const Vec v = get(from);
      for (int i = 0; i < rows; ++i) sum[i] += factors[t][i] * v;
    }
    for (int i = 0; i < rows; ++i) {
      float* to = c.data + i * c.stride + j;
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

// Element n is the function for n + 1 rows or terms.
template <int terms, int... rows>
constexpr std::array<AddTerms, kFewAdded> add_by_rows(std::integer_sequence<int, rows...>) {
  return {add_terms<rows + 1, terms>...};
}
template <int... terms>
constexpr std::array<AddTerms, kFewAdded> add_by_terms(std::integer_sequence<int, terms...>) {
  return {add_terms<1, terms + 1>...};
}

void few_rows(ProductSize size, Matrix left, Matrix right, Result c) {
  constexpr int kTerms = 4;
  constexpr auto all = std::make_integer_sequence<int, kFewAdded>();
  static constexpr auto one = add_by_rows<1>(all), several = add_by_rows<kTerms>(all);
  for (int64_t k = 0; k < size.depth;) {
    const int terms = size.depth - k < kTerms ? 1 : kTerms;
    (terms == 1 ? one : several)[size.rows - 1](size.columns, left, right, kTerms * right.row,
                                                k == 0 ? Into::kFresh : Into::kSum, c);
    left.data += terms * left.column;
    right.data += terms * right.row;
    k += terms;
  }
}

void few_terms(ProductSize size, Matrix left, Matrix right, bool streaming, Result c) {
  static constexpr auto of_a_row = add_by_terms(std::make_integer_sequence<int, kFewAdded>());
  for (int64_t i = 0; i < size.rows; ++i) {
    of_a_row[size.depth - 1](size.columns, left, right, 0, streaming ? Into::kStream : Into::kFresh,
                             c);
    left.data += left.row;
    c.data += c.stride;
  }
}

}  // namespace

extern const ProductKernels product_kernels = {
    kLanes, kBlock, max_rows(kVectors), multiply, pack, unpack, dot, few_rows, few_terms,
};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
