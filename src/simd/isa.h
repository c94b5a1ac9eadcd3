// The choice among tables of kernels, one of which was compiled for each instruction set.
#ifndef DEEPRECT_SIMD_ISA_H_
#define DEEPRECT_SIMD_ISA_H_

#include <cstring>
#include <initializer_list>

#include "prelu/cpu.h"

#if defined(__x86_64__)
#define DEEPRECT_EACH_ISA(table) {&baseline::table, &avx2::table, &avx512::table}
#else
#define DEEPRECT_EACH_ISA(table) {&baseline::table}
#endif

namespace deeprect {

// The table for the instruction set in use.
template <typename Table>
const Table& for_this_isa(std::initializer_list<const Table*> tables) {
  const Table* chosen = *tables.begin();
  for (const Table* table : tables) {
    if (!std::strcmp(table->isa, cpu_isa())) chosen = table;
  }
  return *chosen;
}

}  // namespace deeprect

#endif  // DEEPRECT_SIMD_ISA_H_
