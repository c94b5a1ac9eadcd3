// Runs the threads of a CUDA grid on the CPU, deterministically: see cuda_runtime.h.
#ifndef EMULATION_H_
#define EMULATION_H_

#include <functional>

namespace emulation {

struct dim3 {
  unsigned x, y, z;
  explicit dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

extern dim3 thread_index, block_index, grid_size, block_size;

// What the next launch returns instead of running; 0 to run.
extern int last_error;

// Runs the body once for each thread of a one-dimensional grid. Throws std::logic_error if some
// threads of a block wait at a barrier that others do not reach.
void run(dim3 grid, dim3 block, const std::function<void()>& body);

// Waits for all threads of the block; line tells one barrier of the source from another.
void barrier(int line);

}  // namespace emulation

#endif  // EMULATION_H_
