#include "simd/isa.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace deeprect {
namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};

// The widest instruction set that the processor has. The lists are those of setup.py's flags.
Isa widest() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) return kAvx512;
  if (avx2) return kAvx2;
#endif
  return kBaseline;
}

Isa choose() {
  const char* wanted = std::getenv("DEEPRECT_ISA");
  for (int isa = widest(); isa >= kBaseline; --isa) {
    if (!wanted || std::string(wanted) == kNames[isa]) return static_cast<Isa>(isa);
  }
  throw std::runtime_error("DEEPRECT_ISA=" + std::string(wanted) +
                           ": this processor or build has no such instruction set; unset it, or "
                           "set baseline, avx2 or avx512");
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

const char* isa_name() { return kNames[isa()]; }

}  // namespace deeprect
