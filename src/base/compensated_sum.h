// Plain and compensated accumulators. V is a number or a vector.
//
// Sums of float products use PlainSum in double: such a product is exact in double, and 29 bits are
// left for carries. Sums of double products use CompensatedSum, which has twice the precision of
// double: Knuth's two-sum keeps the rounding error of every addition, and the caller adds the error
// of every product, found by a fused multiply-add (Ogita, Rump & Oishi 2005, algorithm Dot2).
#ifndef DEEPRECT_BASE_COMPENSATED_SUM_H_
#define DEEPRECT_BASE_COMPENSATED_SUM_H_

#include <cmath>

#include "base/arithmetic.h"

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

// Return the total. The error of an infinite or NaN sum has no meaning and is left out.
template <typename T>
DEEPRECT_HD T value(const CompensatedSum<T>& s) {
  return std::isfinite(s.sum) ? s.sum + s.error : s.sum;
}

}  // namespace deeprect

#endif  // DEEPRECT_BASE_COMPENSATED_SUM_H_
