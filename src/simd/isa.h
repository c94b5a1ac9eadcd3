// Choose an instruction set, and declare kernels that are compiled for each.
//
// setup.py compiles every file whose name ends in kernels.cc once for each instruction set, with
// DEEPRECT_ISA set to its name. The file defines one table of functions in the namespace of that
// name. Its header declares the tables by DEEPRECT_KERNELS.
#ifndef DEEPRECT_SIMD_ISA_H_
#define DEEPRECT_SIMD_ISA_H_

namespace deeprect {

enum Isa { kBaseline, kAvx2, kAvx512 };

// Return the instruction set in use: the widest that the processor has, or the one that
// $DEEPRECT_ISA names. Throw std::runtime_error if the processor or the build does not have it.
Isa isa();

// Return its name: baseline, avx2 or avx512.
const char* isa_name();

}  // namespace deeprect

// Declare the tables `name` of type Table of all instruction sets, and the function name() that
// returns the table in use.
#if defined(__x86_64__)
#define DEEPRECT_KERNELS(Table, name)                                                   \
  namespace baseline {                                                                  \
  extern const Table name;                                                              \
  }                                                                                     \
  namespace avx2 {                                                                      \
  extern const Table name;                                                              \
  }                                                                                     \
  namespace avx512 {                                                                    \
  extern const Table name;                                                              \
  }                                                                                     \
  inline const Table& name() {                                                          \
    static const Table* const tables[] = {&baseline::name, &avx2::name, &avx512::name}; \
    static const Table& chosen = *tables[isa()];                                        \
    return chosen;                                                                      \
  }
#else
#define DEEPRECT_KERNELS(Table, name) \
  namespace baseline {                \
  extern const Table name;            \
  }                                   \
  inline const Table& name() { return baseline::name; }
#endif

#endif  // DEEPRECT_SIMD_ISA_H_
