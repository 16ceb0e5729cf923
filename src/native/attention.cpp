// Causal attention over very short sequences on the CPU: the finest level has one of a few bytes for every patch,
// thousands of them, and libtorch's kernel spends its time there on setting up matrix products of 8 x 64.
// Here one thread keeps a whole sequence of a head in its first-level cache. All sums are float32 or wider.
//
// Shapes: S sequences, H heads, n units, E features a head. Queries are (S, H, n, E), keys and values (S, H, r + n, E)
// with r units of the sequence before in front of the own ones; E is dense.

#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/record_function.h>
#include <cmath>
#include <cstring>
#include <exception>
#include <torch/csrc/autograd/custom_function.h>

// The widest vectors of the machine it runs on, not of the one it was built on.
#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
#define MB_VECTORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MB_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MB_VECTORS
#endif
#define MB_INLINE inline __attribute__((always_inline))

namespace {

constexpr int64_t MAX_UNITS = 16;
constexpr int64_t MAX_KEYS = 2 * MAX_UNITS;
constexpr int64_t MAX_FEATURES = 128;

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

// How many sequences, and of what.
struct Shape {
  int64_t heads, units, features;
  int64_t before;  // r
  int64_t parents; // every first of so many sequences sees none of the r
};

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

template <typename T> Strided<T> strided(const at::Tensor &x) {
  return {static_cast<T *>(const_cast<void *>(x.const_data_ptr())), x.stride(0), x.stride(1), x.stride(2)};
}

// A result (S, H, n, E) that lies in memory as (S, n, H, E), so that joining the heads copies nothing.
at::Tensor like(const at::Tensor &x) {
  return at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2);
}

template <typename T, typename Forward, typename Backward>
void run(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor *d_out, int64_t parents,
         at::Tensor *results, Forward forward, Backward backward) {
  const Shape shape{q.size(1), q.size(2), q.size(3), k.size(2) - q.size(2), parents};
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

void dispatch(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor *d_out, int64_t parents,
              at::Tensor *results) {
  switch (q.scalar_type()) {
  case at::kBFloat16:
    return run<uint16_t>(q, k, v, d_out, parents, results, forward_bfloat16, backward_bfloat16);
  case at::kFloat: return run<float>(q, k, v, d_out, parents, results, forward_float32, backward_float32);
  case at::kDouble: return run<double>(q, k, v, d_out, parents, results, forward_float64, backward_float64);
  default: throw std::invalid_argument("short attention is for bfloat16, float32 and float64");
  }
}

at::Tensor dense(const at::Tensor &x) { return x.stride(3) == 1 ? x : x.contiguous(); }

struct ShortAttention : torch::autograd::Function<ShortAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, at::Tensor q, at::Tensor k, at::Tensor v,
                            int64_t parents) {
    RECORD_FUNCTION("megabyte::short_attention", c10::ArrayRef<const c10::IValue>{});
    q = dense(q), k = dense(k), v = dense(v);
    context->save_for_backward({q, k, v});
    context->saved_data["parents"] = parents;
    at::Tensor out = like(q);
    dispatch(q, k, v, nullptr, parents, &out);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    RECORD_FUNCTION("megabyte::short_attention_backward", c10::ArrayRef<const c10::IValue>{});
    auto saved = context->get_saved_variables();
    at::Tensor d_out = dense(gradients[0]);
    at::Tensor results[3] = {like(saved[0]), like(saved[1]), like(saved[2])};
    dispatch(saved[0], saved[1], saved[2], &d_out, context->saved_data["parents"].toInt(), results);
    return {results[0], results[1], results[2], at::Tensor()};
  }
};

} // namespace

extern "C" {

// Causal attention on the CPU of q (S, H, n, E) to k and v (S, H, r + n, E) of one type, n and r up to 16 and E up to
// 128: query i attends to keys up to r + i, but in every first of `parents` sequences not to the first r. The caller
// owns the result, (S, H, n, E).
char *mb_short_attention(const at::Tensor *q, const at::Tensor *k, const at::Tensor *v, int64_t parents,
                         at::Tensor **out) {
  try {
    const bool fits = q->dim() == 4 && k->dim() == 4 && k->sizes() == v->sizes() && q->is_cpu() && k->is_cpu() &&
                      v->is_cpu() && q->scalar_type() == k->scalar_type() && q->scalar_type() == v->scalar_type() &&
                      q->size(0) == k->size(0) && q->size(1) == k->size(1) && q->size(3) == k->size(3) &&
                      q->size(2) <= MAX_UNITS && q->size(2) <= k->size(2) && k->size(2) - q->size(2) <= MAX_UNITS &&
                      q->size(3) <= MAX_FEATURES && parents > 0;
    if (!fits) throw std::invalid_argument("short attention is for CPU tensors, up to 16 units of 128 features");
    *out = new at::Tensor(ShortAttention::apply(*q, *k, *v, parents));
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}
}
