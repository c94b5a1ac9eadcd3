// Compiles a function for several instruction sets; the loader chooses the widest that there is.
// For functions whose bits are the same for all of them.
#ifndef DEEPRECT_SIMD_TARGET_CLONES_H_
#define DEEPRECT_SIMD_TARGET_CLONES_H_

#if defined(__x86_64__) && defined(__GNUC__)
#define DEEPRECT_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define DEEPRECT_CLONES
#endif

#endif  // DEEPRECT_SIMD_TARGET_CLONES_H_
