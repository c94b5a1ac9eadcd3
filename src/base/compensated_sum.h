// Sums that do not lose what they are asked to keep. V is a number or a vector.
//
// A product of two floats is exact in double, and a plain double accumulator keeps 29 bits to
// spare. Doubles get a sum of twice their precision: Knuth's two-sum carries along the rounding
// error of every addition, a fused multiply-add that of every product (Ogita, Rump & Oishi 2005,
// Dot2).
#ifndef DEEPRECT_BASE_COMPENSATED_SUM_H_
#define DEEPRECT_BASE_COMPENSATED_SUM_H_

#include <cmath>

#include "prelu/math.h"

namespace deeprect {

template <typename V>
struct PlainSum {
  V sum{};
  void add(V term) { sum += term; }
  void add(const PlainSum& other) { sum += other.sum; }
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
  void add(const CompensatedSum& other) {
    add(other.sum);
    error += other.error;
  }
};

inline CompensatedSum<double> compensated(const PlainSum<double>& s) { return {s.sum, 0}; }
inline CompensatedSum<double> compensated(const CompensatedSum<double>& s) { return s; }

// Once the sum is infinite or NaN its error term means nothing.
template <typename T>
DEEPRECT_HD T value(const CompensatedSum<T>& s) {
  return std::isfinite(s.sum) ? s.sum + s.error : s.sum;
}

}  // namespace deeprect

#endif  // DEEPRECT_BASE_COMPENSATED_SUM_H_
