// Causal attention on the CPU: what its kernels have in common.
//
// Shapes: S sequences, H heads, n units, E features a head. Queries are (S, H, n, E), keys and values (S, H, r + n, E)
// with r units of the sequence before in front of the own ones; E is dense.

#pragma once

#include <ATen/core/Tensor.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

// The widest vectors of the machine it runs on, not of the one it was built on.
#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
#define MB_VECTORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MB_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MB_VECTORS
#endif
#define MB_INLINE inline __attribute__((always_inline))

namespace megabyte {

// How many sequences, and of what; which keys a query sees.
struct Shape {
  int64_t heads, units, features;
  int64_t before;  // r: query i sees keys up to r + i
  int64_t parents; // every first of so many sequences sees none of the r
  int64_t window;  // a query sees no more keys than this, the last ones
};

// bfloat16 is the upper half of float32; written out so that the loops vectorise.
MB_INLINE float widen(uint16_t x) {
  uint32_t bits = uint32_t(x) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}
MB_INLINE float widen(float x) { return x; }
MB_INLINE double widen(double x) { return x; }

MB_INLINE void narrow(float x, uint16_t *out) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  // Round to nearest, ties to even; a NaN stays one.
  uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  *out = x == x ? uint16_t(rounded) : uint16_t(0x7FC0);
}
MB_INLINE void narrow(float x, float *out) { *out = x; }
MB_INLINE void narrow(double x, double *out) { *out = x; }

template <typename T> struct Strided {
  T *data;
  int64_t s, h, n;
  MB_INLINE T *row(int64_t at_s, int64_t at_h, int64_t i) const { return data + at_s * s + at_h * h + i * n; }
};

template <typename T> Strided<T> strided(const at::Tensor &x) {
  return {static_cast<T *>(const_cast<void *>(x.const_data_ptr())), x.stride(0), x.stride(1), x.stride(2)};
}

// A few units: `results` are (out), or with `d_out` the gradients (d_q, d_k, d_v).
bool short_attention_suits(const at::Tensor &q, const Shape &shape);
void short_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor *d_out,
                     const Shape &shape, at::Tensor *results);

// Many: `sums` (S, H, n), float32, holds what the way back needs of the softmax.
bool blocked_attention_suits(const at::Tensor &q, const Shape &shape);
void blocked_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const Shape &shape,
                       at::Tensor &out, at::Tensor &sums);
void blocked_attention_backward(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &out,
                                const at::Tensor &sums, const at::Tensor &d_out, const Shape &shape,
                                at::Tensor *results);

} // namespace megabyte
