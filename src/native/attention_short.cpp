// Causal attention over very short sequences on the CPU: the finest level has one of a few bytes for every patch,
// thousands of them, and libtorch's kernel spends its time there on setting up matrix products of 8 x 64.
// Here one thread keeps a whole sequence of a head in its first-level cache. All sums are float32 or wider. Four queries are
// summed together, so that a value which is no number may spoil up to three queries before it, of the same sequence and head.

#include "attention.h"

#include <ATen/Parallel.h>
#include <stdexcept>

// Vectors are passed to inlined functions alone.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace megabyte {
namespace {

constexpr int64_t MAX_UNITS = 16;
constexpr int64_t MAX_KEYS = 2 * MAX_UNITS;
constexpr int64_t MAX_FEATURES = 128;
// Sequences that go back together where each sees the end of the one before.
constexpr int64_t AT_ONCE = 32;

// A vector of BYTES, which are those of the level's registers: compilers make little of wider ones.
template <typename A, int BYTES> struct Lanes {
  typedef A Vector __attribute__((vector_size(BYTES)));
  static constexpr int64_t COUNT = BYTES / int64_t(sizeof(A));
};
template <typename A, int BYTES> using Vector = typename Lanes<A, BYTES>::Vector;

template <typename A, int BYTES> MB_INLINE Vector<A, BYTES> get(const A *from) {
  Vector<A, BYTES> out;
  std::memcpy(&out, from, BYTES);
  return out;
}
template <typename A, int BYTES> MB_INLINE void put(const Vector<A, BYTES> &x, A *to) { std::memcpy(to, &x, BYTES); }
template <typename A, int BYTES> MB_INLINE A total(const Vector<A, BYTES> &x) {
  if constexpr (BYTES > 16) {
    Vector<A, BYTES / 2> halves[2];
    std::memcpy(halves, &x, BYTES);
    return total<A, BYTES / 2>(halves[0] + halves[1]);
  } else if constexpr (sizeof(A) == 4) {
    return (x[0] + x[2]) + (x[1] + x[3]);
  } else {
    return x[0] + x[1];
  }
}

template <typename T, typename A> MB_INLINE void load(const T *from, A *to, int64_t features) {
  for (int64_t e = 0; e < features; e++) to[e] = widen(from[e]);
}
template <typename T, typename A> MB_INLINE void store(const A *from, T *to, int64_t features) {
  for (int64_t e = 0; e < features; e++) narrow(from[e], &to[e]);
}

// Products of one row with `rows` from `begin` up to `end`, four at a time: those beside are written too.
template <int BYTES, typename A>
MB_INLINE void dots(const A *one, const A *rows, int64_t begin, int64_t end, int64_t padded, A *out) {
  for (int64_t j = begin / 4 * 4; j < end; j += 4) {
    Vector<A, BYTES> sums[4] = {};
    for (int64_t e = 0; e < padded; e += Lanes<A, BYTES>::COUNT) {
      const Vector<A, BYTES> x = get<A, BYTES>(one + e);
#pragma GCC unroll 4
      for (int64_t r = 0; r < 4; r++) sums[r] += x * get<A, BYTES>(rows + (j + r) * padded + e);
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < 4; r++) out[j + r] = total<A, BYTES>(sums[r]);
  }
}

// R rows: row r of `to` is the sum of `rows` from `begin` up to `end`, weighted by weights[r * by_row + j * by_key].
template <int64_t R, int BYTES, typename A>
MB_INLINE void combine(const A *weights, int64_t by_row, int64_t by_key, const A *rows, int64_t begin, int64_t end,
                       int64_t padded, A *to) {
  for (int64_t e = 0; e < padded; e += Lanes<A, BYTES>::COUNT) {
    Vector<A, BYTES> sums[R] = {};
    for (int64_t j = begin; j < end; j++) {
      const Vector<A, BYTES> x = get<A, BYTES>(rows + j * padded + e);
#pragma GCC unroll 4
      for (int64_t r = 0; r < R; r++) sums[r] += weights[r * by_row + j * by_key] * x;
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < R; r++) put<A, BYTES>(sums[r], to + r * padded + e);
  }
}

// What one thread works with: a sequence of a head, in rows of whole vectors whose last features may be zeros.
template <typename A> struct Work {
  int64_t padded;
  alignas(64) A keys[MAX_KEYS * MAX_FEATURES], values[MAX_KEYS * MAX_FEATURES];
  A d_keys[MAX_KEYS * MAX_FEATURES], d_values[MAX_KEYS * MAX_FEATURES];
  A queries[MAX_UNITS * MAX_FEATURES], grads[MAX_UNITS * MAX_FEATURES], out[MAX_UNITS * MAX_FEATURES];
  // Gradients of the sequence before: complete but for what this one adds.
  A held_keys[MAX_UNITS * MAX_FEATURES], held_values[MAX_UNITS * MAX_FEATURES];
  // Rows of weights, and of gradients of scores; 0 where a query does not see.
  A p[MAX_UNITS][MAX_KEYS], d_s[MAX_UNITS][MAX_KEYS];

  Work(const Shape &shape, int64_t lanes) : padded((shape.features + lanes - 1) / lanes * lanes) {
    // Products are of four keys at a time, some of which may be none.
    const int64_t rows = (shape.before + shape.units + 3) / 4 * 4;
    for (A *each : {keys, values}) std::fill_n(each, rows * padded, A(0));
    for (A *each : {queries, grads}) std::fill_n(each, shape.units * padded, A(0));
  }
};

// The softmax of the scaled scores of a query with keys `from` up to `to`, and 0 elsewhere.
template <int BYTES, typename A>
MB_INLINE void softmax(const A *q, const A *k, int64_t from, int64_t to, int64_t padded, A scale,
                       A *p) {
  dots<BYTES, A>(q, k, from, to, padded, p);
  A top = -std::numeric_limits<A>::infinity();
  for (int64_t j = from; j < to; j++) top = p[j] > top ? p[j] : top;
  for (int64_t j = 0; j < from; j++) p[j] = 0;
  for (int64_t j = to; j < MAX_KEYS; j++) p[j] = 0;
  A sum = 0;
  if constexpr (sizeof(A) == 4) {
    // Whole vectors: the fast function has no branch.
    const int64_t end = (to + 7) / 8 * 8;
    for (int64_t j = 0; j < end; j++) p[j] = exp2_below((p[j] - top) * scale);
    for (int64_t j = 0; j < from; j++) p[j] = 0;
    for (int64_t j = to; j < end; j++) p[j] = 0;
  } else {
    for (int64_t j = from; j < to; j++) p[j] = exp2_below((p[j] - top) * scale);
  }
  for (int64_t j = from; j < to; j++) sum += p[j];
  const A share = 1 / sum;
  for (int64_t j = from; j < to; j++) p[j] *= share;
}

// What the draws make of a query's weights: 0, or the scale of those that stay.
template <typename A>
MB_INLINE void keep(const Dropout &dropout, int64_t row, int64_t to, A *factor) {
  const RowKey key = row_key(dropout.seed, uint64_t(row));
  const A scale = A(dropout.scale);
  for (int64_t j = 0; j < to; j++) factor[j] = draw(key.low, key.high, uint32_t(j)) >= dropout.below ? scale : A(0);
}

template <typename A> MB_INLINE A score_scale(int64_t features) {
  return A(1.4426950408889634) / std::sqrt(A(features)); // the softmax is one of powers of 2
}

template <typename T, typename A, int BYTES>
MB_INLINE void forward_range(int64_t begin, int64_t end, const Shape &shape, Strided<const T> q, Strided<const T> k,
                             Strided<const T> v, Strided<T> out) {
  Work<A> work(shape, Lanes<A, BYTES>::COUNT);
  const int64_t features = shape.features, before = shape.before, n = shape.units;
  const int64_t padded = work.padded;
  const A scale = score_scale<A>(features);
  for (int64_t at = begin; at < end; at++) {
    const int64_t s = at / shape.heads, h = at % shape.heads;
    const int64_t from = s % shape.parents == 0 ? before : 0;
    for (int64_t j = from; j < before + n; j++) {
      load(k.row(s, h, j - before), work.keys + j * padded, features);
      load(v.row(s, h, j - before), work.values + j * padded, features);
    }
    for (int64_t i = 0; i < n; i++) {
      load(q.row(s, h, i), work.queries + i * padded, features);
      softmax<BYTES, A>(work.queries + i * padded, work.keys, from, before + i + 1, padded, scale, work.p[i]);
      if (shape.dropout.below > 0) {
        A factor[MAX_KEYS];
        keep<A>(shape.dropout, at * n + i, before + i + 1, factor);
        for (int64_t j = from; j < before + i + 1; j++) work.p[i][j] *= factor[j];
      }
    }
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
      combine<4, BYTES, A>(work.p[i], MAX_KEYS, 1, work.values, from, before + i + 4, padded, work.out + i * padded);
    }
    for (; i < n; i++) {
      combine<1, BYTES, A>(work.p[i], MAX_KEYS, 1, work.values, from, before + i + 1, padded, work.out + i * padded);
    }
    for (i = 0; i < n; i++) store(work.out + i * padded, out.row(s, h, i), features);
  }
}

// dV_j = sum_i P_ij dO_i;  dS_ij = P_ij (dO_i V_j - sum_k P_ik dO_i V_k);  dQ_i = scale sum_j dS_ij K_j, dK_j alike.
// Where weights were dropped, those in dV and those that dO V meets are what was left of them.
template <typename T, typename A, int BYTES>
MB_INLINE void backward_range(int64_t begin, int64_t end, const Shape &shape, Strided<const T> q, Strided<const T> k,
                              Strided<const T> v, Strided<const T> d_out, Strided<T> d_q, Strided<T> d_k,
                              Strided<T> d_v) {
  Work<A> work(shape, Lanes<A, BYTES>::COUNT);
  const int64_t features = shape.features, before = shape.before, n = shape.units, all = before + n;
  const int64_t padded = work.padded;
  const A scale = score_scale<A>(features), slope = 1 / std::sqrt(A(features));
  const Pieces pieces(shape, AT_ONCE);
  for (int64_t at = begin; at < end; at++) {
    const int64_t h = at % shape.heads, first = pieces.first(at / shape.heads), last = pieces.end(at / shape.heads);
    // The one after the last, for its part in the gradients of the last one's keys.
    const int64_t stop = before > 0 && last % shape.parents != 0 ? last + 1 : last;
    for (int64_t s = first; s < stop; s++) {
      const int64_t from = s % shape.parents == 0 ? before : 0;
      for (int64_t j = from; j < all; j++) {
        load(k.row(s, h, j - before), work.keys + j * padded, features);
        load(v.row(s, h, j - before), work.values + j * padded, features);
      }
      for (int64_t i = 0; i < n; i++) {
        const int64_t to = before + i + 1;
        A *p = work.p[i], *d_s = work.d_s[i];
        load(q.row(s, h, i), work.queries + i * padded, features);
        load(d_out.row(s, h, i), work.grads + i * padded, features);
        softmax<BYTES, A>(work.queries + i * padded, work.keys, from, to, padded, scale, p);
        dots<BYTES, A>(work.grads + i * padded, work.values, from, to, padded, d_s);
        A factor[MAX_KEYS], mean = 0;
        if (shape.dropout.below > 0) {
          keep<A>(shape.dropout, (s * shape.heads + h) * n + i, to, factor);
          for (int64_t j = from; j < to; j++) d_s[j] *= factor[j];
        }
        for (int64_t j = from; j < to; j++) mean += p[j] * d_s[j];
        for (int64_t j = from; j < to; j++) d_s[j] = slope * p[j] * (d_s[j] - mean);
        for (int64_t j = 0; j < from; j++) d_s[j] = 0;
        for (int64_t j = to; j < MAX_KEYS; j++) d_s[j] = 0;
        if (shape.dropout.below > 0) {
          for (int64_t j = from; j < to; j++) p[j] *= factor[j];
        }
      }
      if (s < last) {
        int64_t i = 0;
        for (; i + 4 <= n; i += 4) {
          combine<4, BYTES, A>(work.d_s[i], MAX_KEYS, 1, work.keys, from, before + i + 4, padded, work.out + i * padded);
        }
        for (; i < n; i++) {
          combine<1, BYTES, A>(work.d_s[i], MAX_KEYS, 1, work.keys, from, before + i + 1, padded, work.out + i * padded);
        }
        for (i = 0; i < n; i++) store(work.out + i * padded, d_q.row(s, h, i), features);
      }
      // Of a sequence that is here for its part in another's gradients, the keys before it alone.
      const int64_t keys = s < last ? all : before;
      int64_t j = from / 4 * 4;
      for (; j + 4 <= keys; j += 4) {
        const int64_t sees = std::max(j - before, int64_t(0)); // the first query that sees one of them
        combine<4, BYTES, A>(work.p[0] + j, 1, MAX_KEYS, work.grads, sees, n, padded, work.d_values + j * padded);
        combine<4, BYTES, A>(work.d_s[0] + j, 1, MAX_KEYS, work.queries, sees, n, padded, work.d_keys + j * padded);
      }
      for (; j < keys; j++) {
        const int64_t sees = std::max(j - before, int64_t(0));
        combine<1, BYTES, A>(work.p[0] + j, 1, MAX_KEYS, work.grads, sees, n, padded, work.d_values + j * padded);
        combine<1, BYTES, A>(work.d_s[0] + j, 1, MAX_KEYS, work.queries, sees, n, padded, work.d_keys + j * padded);
      }
      if (s > first) {
        for (int64_t j = from; j < before; j++) {
          A *key = work.held_keys + (n - before + j) * padded, *value = work.held_values + (n - before + j) * padded;
          for (int64_t e = 0; e < padded; e++) key[e] += work.d_keys[j * padded + e], value[e] += work.d_values[j * padded + e];
        }
        for (int64_t i = 0; i < n; i++) {
          store(work.held_keys + i * padded, d_k.row(s - 1, h, i), features);
          store(work.held_values + i * padded, d_v.row(s - 1, h, i), features);
        }
      }
      std::copy_n(work.d_keys + before * padded, n * padded, work.held_keys);
      std::copy_n(work.d_values + before * padded, n * padded, work.held_values);
    }
    if (stop == last) {
      for (int64_t i = 0; i < n; i++) {
        store(work.held_keys + i * padded, d_k.row(last - 1, h, i), features);
        store(work.held_values + i * padded, d_v.row(last - 1, h, i), features);
      }
    }
  }
}

template <typename T> using Forward = void (*)(int64_t, int64_t, const Shape &, Strided<const T>, Strided<const T>,
                                               Strided<const T>, Strided<T>);
template <typename T> using Backward = void (*)(int64_t, int64_t, const Shape &, Strided<const T>, Strided<const T>,
                                                Strided<const T>, Strided<const T>, Strided<T>, Strided<T>,
                                                Strided<T>);

// The same code for the instructions of a level: plain functions, one a type, direction and level.
#define MB_KERNELS(LEVEL, BYTES, NAME, T, A)                                                                                  \
  LEVEL void forward_##NAME(int64_t begin, int64_t end, const Shape &shape, Strided<const T> q, Strided<const T> k,    \
                            Strided<const T> v, Strided<T> out) {                                                      \
    forward_range<T, A, BYTES>(begin, end, shape, q, k, v, out);                                                              \
  }                                                                                                                    \
  LEVEL void backward_##NAME(int64_t begin, int64_t end, const Shape &shape, Strided<const T> q, Strided<const T> k,   \
                             Strided<const T> v, Strided<const T> d_out, Strided<T> d_q, Strided<T> d_k,               \
                             Strided<T> d_v) {                                                                         \
    backward_range<T, A, BYTES>(begin, end, shape, q, k, v, d_out, d_q, d_k, d_v);                                            \
  }
#define MB_TYPES(LEVEL, BYTES, NAME)                                                                                          \
  MB_KERNELS(LEVEL, BYTES, bfloat16_##NAME, uint16_t, float)                                                                  \
  MB_KERNELS(LEVEL, BYTES, float32_##NAME, float, float)                                                                      \
  MB_KERNELS(LEVEL, BYTES, float64_##NAME, double, double)
MB_TYPES(, 16, none)
#if MB_X86
MB_TYPES(MB_AVX2, 32, avx2)
MB_TYPES(MB_AVX512, 64, avx512)
#define MB_CHOOSE(NAME) (level >= Level::AVX512 ? NAME##_avx512 : level >= Level::AVX2 ? NAME##_avx2 : NAME##_none)
#else
#define MB_CHOOSE(NAME) NAME##_none
#endif

template <typename T>
void run(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor *d_out, const Shape &shape,
         at::Tensor *results, Forward<T> forward, Backward<T> backward) {
  const auto queries = strided<const T>(q), keys = strided<const T>(k), values = strided<const T>(v);
  // About 20 microseconds of work a thread and more.
  if (d_out == nullptr) {
    at::parallel_for(0, q.size(0) * shape.heads, 16, [&](int64_t begin, int64_t end) {
      forward(begin, end, shape, queries, keys, values, strided<T>(results[0]));
    });
    return;
  }
  const Pieces pieces(shape, AT_ONCE);
  at::parallel_for(0, pieces.count(q.size(0)) * shape.heads, 16 / std::min(pieces.length, int64_t(16)),
                   [&](int64_t begin, int64_t end) {
                     backward(begin, end, shape, queries, keys, values, strided<const T>(*d_out),
                              strided<T>(results[0]), strided<T>(results[1]), strided<T>(results[2]));
                   });
}

} // namespace

bool short_attention_suits(Level level, const at::Tensor &q, const Shape &shape) {
  const bool bfloat16 = q.scalar_type() == at::kBFloat16;
  if (!q.is_cpu() || !(bfloat16 || q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble)) return false;
  // In narrow vectors, longer sequences take longer than libtorch's products do; its products of bfloat16 are slow.
  const int64_t most = level == Level::NONE && !bfloat16 ? MAX_UNITS / 2 : MAX_UNITS;
  return shape.units <= most && shape.before <= most && shape.features <= MAX_FEATURES &&
         shape.window >= shape.before + shape.units;
}

void short_attention(Level level, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                     const at::Tensor *d_out, const Shape &shape, at::Tensor *results) {
  switch (q.scalar_type()) {
  case at::kBFloat16:
    return run<uint16_t>(q, k, v, d_out, shape, results, MB_CHOOSE(forward_bfloat16), MB_CHOOSE(backward_bfloat16));
  case at::kFloat:
    return run<float>(q, k, v, d_out, shape, results, MB_CHOOSE(forward_float32), MB_CHOOSE(backward_float32));
  case at::kDouble:
    return run<double>(q, k, v, d_out, shape, results, MB_CHOOSE(forward_float64), MB_CHOOSE(backward_float64));
  default: throw std::invalid_argument("short attention is for bfloat16, float32 and float64");
  }
}

} // namespace megabyte
