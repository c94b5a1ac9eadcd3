// Working memory that is kept between calls. Fresh memory costs a page fault for every 4 KiB, which
// for large tensors takes longer than the arithmetic on them.
#ifndef DEEPRECT_BASE_SCRATCH_H_
#define DEEPRECT_BASE_SCRATCH_H_

#include <cstddef>
#include <cstdint>

namespace deeprect {

// Floats, uninitialised, aligned to a cache line. Any number of threads may hold one at a time.
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
