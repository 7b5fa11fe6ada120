/* Words of C for programs that the verifier is to follow. */
#pragma once
#include "kernel.h"

#define INLINE static always_inline
#define GLOBAL noinline /* the verifier checks a global function once, by itself */
#define UNUSED __attribute__((unused))
#define NULL ((void *)0)

/* Keeps the compiler from knowing anything of a number, and so from folding away a bound that the verifier needs. */
#define OPAQUE(n) asm volatile("" : "+r"(n))

/* length, which is at least 1, kept within 1 and most (a power of two).  length - 1 goes through OPAQUE, or clang folds
 * the whole into a form whose bound the verifier of 6.1 does not see. */
INLINE u32 within(u32 length, u32 most)
{
	u32 n = length - 1;
	OPAQUE(n);
	n &= most - 1;
	return n + 1;
}
