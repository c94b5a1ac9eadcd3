// The entry points of the library: MXNet's, and the C functions that Python calls.
#include <mxnet/lib_api.h>

#include <exception>

#include "base/threads.h"
#include "simd/isa.h"

mxnet::ext::MXReturnValue initialize(int version) {
  // Patch releases after 1.9.1 keep the interface; an older MXNet lacks parts of it.
  return version >= 10901 ? mxnet::ext::MX_SUCCESS : mxnet::ext::MX_FAIL;
}

extern "C" {
const char* deeprect_version() { return DEEPRECT_VERSION; }
// Return null if $DEEPRECT_ISA names an instruction set that cannot be used.
const char* deeprect_cpu_isa() {
  try {
    return deeprect::isa_name();
  } catch (const std::exception&) {
    return nullptr;
  }
}
void deeprect_set_threads(int count) { deeprect::wanted_threads = count; }
}
