// The panels that hold the right matrix of a product, for the instruction set that the file is
// compiled for (DEEPRECT_ISA).
#ifndef DEEPRECT_PRODUCT_PANEL_H_
#define DEEPRECT_PRODUCT_PANEL_H_

#include "simd/vector.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// Vectors in a row of a panel. With AVX-512, nine rows by three vectors load less per product than
// twelve rows by two, which they replaced on 2026-11-27; six by four were no faster
// (docs/performance.md, "Tried without gain").
#if defined(__AVX512F__)
constexpr int kRegisters = 32, kVectors = 3;
#else
constexpr int kRegisters = 16, kVectors = 2;
#endif
constexpr int kBlock = kVectors * kLanes;

// Floats in a row of a panel of `width` columns: whole vectors, at most a block.
inline int64_t panel_row(int64_t width) {
  return width < kBlock ? (width + kLanes - 1) / kLanes * kLanes : kBlock;
}

}  // namespace
}  // namespace DEEPRECT_ISA
}  // namespace deeprect

#endif  // DEEPRECT_PRODUCT_PANEL_H_
