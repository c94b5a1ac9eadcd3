// How many OpenMP threads the operators, and MXNet's own in the same engine thread, may use.
#ifndef DEEPRECT_BASE_THREADS_H_
#define DEEPRECT_BASE_THREADS_H_

#include <omp.h>

#include <atomic>

namespace deeprect {

// 0 leaves each thread's own setting.
inline std::atomic<int> wanted_threads{0};

// OpenMP keeps the number for each calling thread, and the threads of MXNet's engine cannot be
// reached from outside: every operator calls this first, in whichever of them it runs.
inline void apply_wanted_threads() {
  thread_local int applied = 0;
  const int wanted = wanted_threads.load(std::memory_order_relaxed);
  if (wanted == applied) return;
  omp_set_num_threads(wanted);
  applied = wanted;
}

}  // namespace deeprect

#endif  // DEEPRECT_BASE_THREADS_H_
