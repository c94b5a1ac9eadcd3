// Sums that do not lose what they are asked to keep. A float's products are exact in double, and a
// plain double accumulator keeps 29 bits to spare; doubles get Knuth's two-sum, which carries the
// rounding error of every addition along. V is a number or a vector.
#ifndef DEEPRECT_COMPENSATED_SUM_H_
#define DEEPRECT_COMPENSATED_SUM_H_

#include <cmath>

#include "prelu_math.h"

namespace deeprect {

template <typename V>
struct PlainSum {
  V sum{};
  void add(V term) { sum += term; }
};

template <typename V>
struct CompensatedSum {
  V sum{};
  V error{};
  DEEPRECT_HD void add(V term) {
    const V total = sum + term;
    const V part = total - sum;
    error += (sum - (total - part)) + (term - part);
    sum = total;
  }
};

inline double value(const PlainSum<double>& s) { return s.sum; }
// Once the sum is infinite or NaN its error term means nothing.
template <typename T>
DEEPRECT_HD T value(const CompensatedSum<T>& s) {
  return std::isfinite(s.sum) ? s.sum + s.error : s.sum;
}

}  // namespace deeprect

#endif  // DEEPRECT_COMPENSATED_SUM_H_
