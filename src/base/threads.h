// Set the number of OpenMP threads in the threads of MXNet's engine.
#ifndef DEEPRECT_BASE_THREADS_H_
#define DEEPRECT_BASE_THREADS_H_

#include <omp.h>

#include <atomic>

namespace deeprect {

// 0 keeps the setting of each thread.
inline std::atomic<int> wanted_threads{0};

// OpenMP keeps the number for each calling thread, and code outside of MXNet cannot reach the
// threads of its engine. So every operator calls this function first, in the thread that runs it.
// MXNet's own operators in the same thread then use the same number.
inline void apply_wanted_threads() {
  thread_local int applied = 0;
  const int wanted = wanted_threads.load(std::memory_order_relaxed);
  if (wanted == applied) return;
  omp_set_num_threads(wanted);
  applied = wanted;
}

}  // namespace deeprect

#endif  // DEEPRECT_BASE_THREADS_H_
