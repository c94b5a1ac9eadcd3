// Ask Linux for 2 MB pages, so that new buffers cause fewer page faults.
#ifndef DEEPRECT_BASE_HUGE_PAGES_H_
#define DEEPRECT_BASE_HUGE_PAGES_H_

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace deeprect {

// Ask for 2 MB pages behind a buffer. A page fault for every 4 KB takes longer than writing the 4
// KB. Pages that are mapped already do not change. If the system refuses, nothing else happens.
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
