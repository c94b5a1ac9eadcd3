// Working memory that is kept between calls. New memory costs a page fault for every 4 KiB; for
// large tensors these faults take longer than the arithmetic.
#ifndef DEEPRECT_BASE_SCRATCH_H_
#define DEEPRECT_BASE_SCRATCH_H_

#include <cstddef>
#include <cstdint>

namespace deeprect {

// Uninitialised floats, aligned to a cache line. Many threads may hold buffers at the same time.
class Scratch {
 public:
  explicit Scratch(int64_t floats);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  float* data() const { return data_; }

 private:
  float* data_;
  size_t bytes_;
};

}  // namespace deeprect

#endif  // DEEPRECT_BASE_SCRATCH_H_
