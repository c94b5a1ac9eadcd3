// Fewer page faults in memory that is written for the first time, and fewer pages to keep track of.
#ifndef DEEPRECT_BASE_HUGE_PAGES_H_
#define DEEPRECT_BASE_HUGE_PAGES_H_

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace deeprect {

// Asks for pages of 2 MB, since a fault for each 4 KB takes longer than writing them. Pages that
// are mapped already stay as they are, and a refusal only costs time.
inline void prefer_huge_pages(void* data, int64_t bytes) {
#ifdef __linux__
  constexpr uintptr_t kPage = uintptr_t{1} << 21;
  const uintptr_t address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = (address + kPage - 1) / kPage * kPage;
  const uintptr_t end = (address + bytes) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace deeprect

#endif  // DEEPRECT_BASE_HUGE_PAGES_H_
