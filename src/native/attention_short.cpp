// Causal attention over very short sequences on the CPU: the finest level has one of a few bytes for every patch,
// thousands of them, and libtorch's kernel spends its time there on setting up matrix products of 8 x 64.
// Here one thread keeps a whole sequence of a head in its first-level cache. All sums are float32 or wider.

#include "attention.h"

#include <ATen/Parallel.h>
#include <stdexcept>

namespace megabyte {
namespace {

constexpr int64_t MAX_UNITS = 16;
constexpr int64_t MAX_KEYS = 2 * MAX_UNITS;
constexpr int64_t MAX_FEATURES = 128;

template <typename T, typename A> MB_INLINE void load(const T *from, A *to, int64_t features) {
  for (int64_t e = 0; e < features; e++) to[e] = widen(from[e]);
}
template <typename T, typename A> MB_INLINE void store(const A *from, T *to, int64_t features) {
  for (int64_t e = 0; e < features; e++) narrow(from[e], &to[e]);
}
template <typename A> MB_INLINE A dot(const A *a, const A *b, int64_t features) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t e = 0; e < features; e++) sum += a[e] * b[e];
  return sum;
}
template <typename A> MB_INLINE void add_scaled(A *to, A scale, const A *from, int64_t features) {
#pragma omp simd
  for (int64_t e = 0; e < features; e++) to[e] += scale * from[e];
}

// Softmax of the scaled scores of a query with keys `from` to `to`, the last one included.
template <typename A>
MB_INLINE void weights(const A *q, const A (*k)[MAX_FEATURES], int64_t from, int64_t to, int64_t features, A scale,
                       A *p) {
  A top = -std::numeric_limits<A>::infinity();
  for (int64_t j = from; j <= to; j++) {
    p[j] = scale * dot(q, k[j], features);
    top = p[j] > top ? p[j] : top;
  }
  A total = 0;
  for (int64_t j = from; j <= to; j++) {
    p[j] = std::exp(p[j] - top);
    total += p[j];
  }
  for (int64_t j = from; j <= to; j++) p[j] /= total;
}

template <typename T, typename A>
MB_INLINE void forward_range(int64_t begin, int64_t end, Shape shape, Strided<const T> q, Strided<const T> k,
                             Strided<const T> v, Strided<T> out) {
  alignas(64) A keys[MAX_KEYS][MAX_FEATURES], values[MAX_KEYS][MAX_FEATURES];
  alignas(64) A query[MAX_FEATURES], sum[MAX_FEATURES], p[MAX_KEYS];
  const int64_t features = shape.features, before = shape.before;
  const A scale = A(1) / std::sqrt(A(features));
  for (int64_t at = begin; at < end; at++) {
    const int64_t s = at / shape.heads, h = at % shape.heads;
    const int64_t from = s % shape.parents == 0 ? before : 0;
    for (int64_t j = from; j < before + shape.units; j++) {
      load(k.row(s, h, j), keys[j], features);
      load(v.row(s, h, j), values[j], features);
    }
    for (int64_t i = 0; i < shape.units; i++) {
      load(q.row(s, h, i), query, features);
      weights(query, keys, from, before + i, features, scale, p);
      for (int64_t e = 0; e < features; e++) sum[e] = 0;
      for (int64_t j = from; j <= before + i; j++) add_scaled(sum, p[j], values[j], features);
      store(sum, out.row(s, h, i), features);
    }
  }
}

// dV_j = sum_i P_ij dO_i;  dS_ij = P_ij (dO_i V_j - sum_k P_ik dO_i V_k);  dQ_i = scale sum_j dS_ij K_j, dK_j alike.
template <typename T, typename A>
MB_INLINE void backward_range(int64_t begin, int64_t end, Shape shape, Strided<const T> q, Strided<const T> k,
                              Strided<const T> v, Strided<const T> d_out, Strided<T> d_q, Strided<T> d_k,
                              Strided<T> d_v) {
  alignas(64) A keys[MAX_KEYS][MAX_FEATURES], values[MAX_KEYS][MAX_FEATURES];
  alignas(64) A d_keys[MAX_KEYS][MAX_FEATURES], d_values[MAX_KEYS][MAX_FEATURES];
  alignas(64) A query[MAX_FEATURES], d_query[MAX_FEATURES], grad[MAX_FEATURES], p[MAX_KEYS], d_p[MAX_KEYS];
  const int64_t features = shape.features, before = shape.before, all = before + shape.units;
  const A scale = A(1) / std::sqrt(A(features));
  for (int64_t at = begin; at < end; at++) {
    const int64_t s = at / shape.heads, h = at % shape.heads;
    const int64_t from = s % shape.parents == 0 ? before : 0;
    for (int64_t j = 0; j < all; j++) {
      if (j >= from) {
        load(k.row(s, h, j), keys[j], features);
        load(v.row(s, h, j), values[j], features);
      }
      for (int64_t e = 0; e < features; e++) d_keys[j][e] = d_values[j][e] = 0;
    }
    for (int64_t i = 0; i < shape.units; i++) {
      const int64_t to = before + i;
      load(q.row(s, h, i), query, features);
      load(d_out.row(s, h, i), grad, features);
      weights(query, keys, from, to, features, scale, p);
      A mean = 0;
      for (int64_t j = from; j <= to; j++) {
        d_p[j] = dot(grad, values[j], features);
        mean += p[j] * d_p[j];
      }
      for (int64_t e = 0; e < features; e++) d_query[e] = 0;
      for (int64_t j = from; j <= to; j++) {
        const A d_score = scale * p[j] * (d_p[j] - mean);
        add_scaled(d_values[j], p[j], grad, features);
        add_scaled(d_query, d_score, keys[j], features);
        add_scaled(d_keys[j], d_score, query, features);
      }
      store(d_query, d_q.row(s, h, i), features);
    }
    for (int64_t j = 0; j < all; j++) {
      store(d_keys[j], d_k.row(s, h, j), features);
      store(d_values[j], d_v.row(s, h, j), features);
    }
  }
}

// target_clones needs plain functions: one a type and direction.
#define MB_KERNELS(NAME, T, A)                                                                                         \
  MB_VECTORS void forward_##NAME(int64_t begin, int64_t end, Shape shape, Strided<const T> q, Strided<const T> k,      \
                                 Strided<const T> v, Strided<T> out) {                                                 \
    forward_range<T, A>(begin, end, shape, q, k, v, out);                                                              \
  }                                                                                                                    \
  MB_VECTORS void backward_##NAME(int64_t begin, int64_t end, Shape shape, Strided<const T> q, Strided<const T> k,     \
                                  Strided<const T> v, Strided<const T> d_out, Strided<T> d_q, Strided<T> d_k,          \
                                  Strided<T> d_v) {                                                                    \
    backward_range<T, A>(begin, end, shape, q, k, v, d_out, d_q, d_k, d_v);                                            \
  }
MB_KERNELS(bfloat16, uint16_t, float)
MB_KERNELS(float32, float, float)
MB_KERNELS(float64, double, double)

template <typename T, typename Forward, typename Backward>
void run(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor *d_out, const Shape &shape,
         at::Tensor *results, Forward forward, Backward backward) {
  // About 20 microseconds of work a thread and more.
  at::parallel_for(0, q.size(0) * shape.heads, 16, [&](int64_t begin, int64_t end) {
    if (d_out == nullptr) {
      forward(begin, end, shape, strided<const T>(q), strided<const T>(k), strided<const T>(v),
              strided<T>(results[0]));
    } else {
      backward(begin, end, shape, strided<const T>(q), strided<const T>(k), strided<const T>(v),
               strided<const T>(*d_out), strided<T>(results[0]), strided<T>(results[1]), strided<T>(results[2]));
    }
  });
}

} // namespace

bool short_attention_suits(const at::Tensor &q, const Shape &shape) {
  const bool type = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble;
  return q.is_cpu() && type && shape.units <= MAX_UNITS && shape.before <= MAX_UNITS &&
         shape.features <= MAX_FEATURES && shape.window >= shape.before + shape.units;
}

void short_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor *d_out,
                     const Shape &shape, at::Tensor *results) {
  switch (q.scalar_type()) {
  case at::kBFloat16:
    return run<uint16_t>(q, k, v, d_out, shape, results, forward_bfloat16, backward_bfloat16);
  case at::kFloat: return run<float>(q, k, v, d_out, shape, results, forward_float32, backward_float32);
  case at::kDouble: return run<double>(q, k, v, d_out, shape, results, forward_float64, backward_float64);
  default: throw std::invalid_argument("short attention is for bfloat16, float32 and float64");
  }
}

} // namespace megabyte
