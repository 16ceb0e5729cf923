// Causal attention on the CPU: what its kernels have in common.
//
// Shapes: S sequences of n units, H heads, E features a head; queries, keys and values are (S, H, n, E), and E is dense.
// Of `parents` consecutive sequences each but the first also sees the last r units of the one before it, in place.

#pragma once

#include <ATen/core/Tensor.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#define MB_INLINE inline __attribute__((always_inline))
#if defined(__x86_64__)
#define MB_X86 1
#define MB_AVX2 __attribute__((target("avx2,fma")))
#define MB_AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define MB_X86 0
#endif

namespace megabyte {

// The instructions that the kernels use: each level has those of the ones before it.
enum class Level : int { NONE, AVX2, AVX512, AVX512_BF16 };

// The calling thread's: the best that this CPU has, and that nobody forbids. Throws where the environment is wrong.
Level level();

// Which attention weights are dropped: those whose draw is below `below`; the others are multiplied by `scale`.
struct Dropout {
  uint64_t seed;
  uint32_t below; // 0 is no dropout
  double scale;
};

// How many sequences, and of what; which keys a query sees.
struct Shape {
  int64_t heads, units, features;
  int64_t before;  // r: query i sees keys from -r on, those below 0 being the last of the sequence before
  int64_t parents; // every first of so many sequences sees none of the r
  int64_t window;  // a query sees no more keys than this, the last ones
  Dropout dropout;
};

// What the draws of one query's weights begin from: 64 bits for each row of the weights (SplitMix64, Steele et al. 2014).
struct RowKey {
  uint32_t low, high;
};
MB_INLINE RowKey row_key(uint64_t seed, uint64_t row) {
  uint64_t z = seed + (row + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  z ^= z >> 31;
  return {uint32_t(z), uint32_t(z >> 32)};
}
// The draw for its key j, which counts from the first of the r: the same numbers there and back, whoever asks. The
// multipliers are those of a well tried hash of 32 bits (lowbias32, C. Wellons), in a form that vectorises.
MB_INLINE uint32_t draw(uint32_t low, uint32_t high, uint32_t j) {
  uint32_t x = low + j * 0x9E3779B9u;
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = ((x ^ (x >> 15)) + high) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

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

constexpr float LOG2_E = 1.44269504f;

// 2^x for x <= 0 to the precision of float32, in a form that vectorises: 2^round(x) times a series of what is left. From
// -127 down it is 0; a NaN stays one.
MB_INLINE float exp2_below(float power) {
  const float x = power > -127.0f ? power : -127.0f;
  const float shifted = x + 12582912.0f; // 1.5 * 2^23: the sum has no fraction
  const float rest = x - (shifted - 12582912.0f);
  // ln(2)^k / k!
  float series = 1.52527338e-5f;
  series = series * rest + 1.54035304e-4f;
  series = series * rest + 1.33335581e-3f;
  series = series * rest + 9.61812911e-3f;
  series = series * rest + 5.55041087e-2f;
  series = series * rest + 2.40226507e-1f;
  series = series * rest + 6.93147181e-1f;
  series = series * rest + 1.0f;
  uint32_t whole, bits;
  std::memcpy(&whole, &shifted, 4);
  std::memcpy(&bits, &series, 4);
  bits += (whole - 0x4B400000u) << 23;
  float out;
  std::memcpy(&out, &bits, 4);
  return power == power ? out : power;
}
MB_INLINE double exp2_below(double power) { return std::exp2(power); }

template <typename T> struct Strided {
  T *data;
  int64_t s, h, n;
  MB_INLINE T *row(int64_t at_s, int64_t at_h, int64_t i) const { return data + at_s * s + at_h * h + i * n; }
};

template <typename T> Strided<T> strided(const at::Tensor &x) {
  return {static_cast<T *>(const_cast<void *>(x.const_data_ptr())), x.stride(0), x.stride(1), x.stride(2)};
}

// Sequences that share their ends go back together, so many at a time: a piece computes the first after it once more, for
// what that adds to the gradients of its own last keys. Pieces are the same whatever the number of threads.
struct Pieces {
  int64_t parents, length, each; // `each` pieces of `length` sequences, of `parents` consecutive ones
  Pieces(const Shape &shape, int64_t at_once)
      : parents(shape.before > 0 ? shape.parents : 1), length(shape.before > 0 ? at_once : 1),
        each((parents + length - 1) / length) {}
  int64_t count(int64_t sequences) const { return sequences / parents * each; }
  int64_t first(int64_t piece) const { return piece / each * parents + piece % each * length; }
  int64_t end(int64_t piece) const { return std::min(first(piece) + length, (piece / each + 1) * parents); }
};

// A few units: `results` are (out), or with `d_out` the gradients (d_q, d_k, d_v).
bool short_attention_suits(Level level, const at::Tensor &q, const Shape &shape);
void short_attention(Level level, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                     const at::Tensor *d_out, const Shape &shape, at::Tensor *results);

// Many: `sums` (S, H, n), float32, holds what the way back needs of the softmax.
bool blocked_attention_suits(Level level, const at::Tensor &q, const Shape &shape);
void blocked_attention(Level level, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const Shape &shape,
                       at::Tensor &out, at::Tensor &sums);
void blocked_attention_backward(Level level, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                const at::Tensor &out, const at::Tensor &sums, const at::Tensor &d_out,
                                const Shape &shape, at::Tensor *results);

} // namespace megabyte
