// Causal attention on the CPU in blocks of 64 queries and 64 keys, whose products are oneDNN's small kernels for
// matrices in the cache. libtorch's own kernel asks MKL for products of this size, which takes several times as long.
// Scores, softmax and sums are float32; what goes into a product has the type of the input.
//
// After FlashAttention-2 (Dao 2023, arXiv 2307.08691): the softmax is summed block by block, the way back computes it anew.

#include "attention.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <algorithm>
#include <vector>

namespace megabyte {
namespace {

constexpr int64_t BLOCK = 64;
constexpr int64_t MAX_FEATURES = 256;
constexpr float LOG2_E = 1.44269504f;
constexpr float NOTHING = -std::numeric_limits<float>::infinity();

// A product (m, k) x (k, n), added to `c` or in its place. `b` is paired: rows 2i and 2i + 1 of bfloat16 stand side by
// side, element by element, as the processor's instruction wants them.
void product(int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t stride_a, const uint16_t *b, float *c,
             bool add) {
  at::native::cpublas::brgemm(m, n, k, stride_a, n, n, add, reinterpret_cast<const at::BFloat16 *>(a),
                              reinterpret_cast<const at::BFloat16 *>(b), c, /*is_vnni=*/true);
}
void product(int64_t m, int64_t n, int64_t k, const float *a, int64_t stride_a, const float *b, float *c, bool add) {
  at::native::cpublas::brgemm(m, n, k, stride_a, n, n, add, a, b, c, /*is_vnni=*/false);
}

// On processors whose products need it, gives back what they hold of the thread, however the work ends.
struct Held {
  ~Held() { at::native::cpublas::brgemm_release(); }
};

// Rows (count, features), up to BLOCK of them, as the right side of a product over the rows; the rest is zeros.
MB_INLINE void pair_rows(const uint16_t *rows, int64_t stride, int64_t count, int64_t features, uint16_t *to) {
  for (int64_t j = 0; j < BLOCK; j += 2, to += 2 * features) {
    const uint16_t *first = rows + j * stride, *second = first + stride;
    if (j + 1 < count) {
      for (int64_t e = 0; e < features; e++) to[2 * e] = first[e], to[2 * e + 1] = second[e];
    } else {
      for (int64_t e = 0; e < features; e++) to[2 * e] = j < count ? first[e] : 0, to[2 * e + 1] = 0;
    }
  }
}
MB_INLINE void pair_rows(const float *rows, int64_t stride, int64_t count, int64_t features, float *to) {
  for (int64_t j = 0; j < BLOCK; j++, to += features) {
    for (int64_t e = 0; e < features; e++) to[e] = j < count ? rows[j * stride + e] : 0;
  }
}

// The same rows as the right side of a product over the features: a pair of bfloat16 is moved as one number.
MB_INLINE void pair_features(const uint16_t *rows, int64_t stride, int64_t count, int64_t features, uint16_t *to) {
  for (int64_t e = 0; e < features; e += 2, to += 2 * BLOCK) {
    for (int64_t j = 0; j < count; j++) std::memcpy(to + 2 * j, rows + j * stride + e, 4);
    std::memset(to + 2 * count, 0, 4 * (BLOCK - count));
  }
}
MB_INLINE void pair_features(const float *rows, int64_t stride, int64_t count, int64_t features, float *to) {
  for (int64_t e = 0; e < features; e++, to += BLOCK) {
    for (int64_t j = 0; j < BLOCK; j++) to[j] = j < count ? rows[j * stride + e] : 0;
  }
}

// The same rows, turned: (features, BLOCK).
template <typename T>
MB_INLINE void turn(const T *rows, int64_t stride, int64_t count, int64_t features, T *to) {
  for (int64_t e = 0; e < features; e++, to += BLOCK) {
    for (int64_t j = 0; j < BLOCK; j++) to[j] = j < count ? rows[j * stride + e] : T(0);
  }
}

// Two rows of a block side by side, as `pair_rows` has them.
MB_INLINE void narrow_pairs(const float *rows, uint16_t *to) {
  uint16_t first[BLOCK], second[BLOCK];
  for (int64_t i = 0; i < BLOCK; i++) narrow(rows[i], &first[i]), narrow(rows[BLOCK + i], &second[i]);
  for (int64_t i = 0; i < BLOCK; i++) to[2 * i] = first[i], to[2 * i + 1] = second[i];
}
MB_INLINE void narrow_pairs(const float *rows, float *to) { std::memcpy(to, rows, 2 * BLOCK * sizeof(float)); }

// 2^x for x <= 0 to the precision of float32, in a form that vectorises: 2^round(x) times a series of what is left. A
// NaN stays one.
MB_INLINE float exp2_below(float power) {
  const float x = power > -126.0f ? power : -126.0f;
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
  int32_t whole, bits;
  std::memcpy(&whole, &shifted, 4);
  std::memcpy(&bits, &series, 4);
  bits += (whole - 0x4B400000) << 23;
  float out;
  std::memcpy(&out, &bits, 4);
  return power == power ? out : power;
}

// Blocks of queries, in the order 0, last, 1, last but one, ...: later ones see more keys, and threads take runs of them.
MB_INLINE int64_t fair(int64_t i, int64_t blocks) { return i % 2 == 0 ? i / 2 : blocks - 1 - i / 2; }

// The softmax of a row so far: its largest score, and the sum of the weights below it.
struct Row {
  float top, sum;
};

// One row of scores: columns from `low` up to `high` are seen. Weights to `to`, and to `row` what they change; gives
// what the sums before are multiplied with.
template <typename T> MB_INLINE float weights(float *scores, int64_t low, int64_t high, float scale, T *to, Row &row) {
  float top = NOTHING;
#pragma omp simd reduction(max : top)
  for (int64_t j = low; j < high; j++) top = scores[j] > top ? scores[j] : top;
  top = std::max(row.top, top);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = low; j < high; j++) {
    scores[j] = exp2_below((scores[j] - top) * scale);
    sum += scores[j];
  }
  for (int64_t j = 0; j < low; j++) scores[j] = 0;
  for (int64_t j = high; j < BLOCK; j++) scores[j] = 0;
  for (int64_t j = 0; j < BLOCK; j++) narrow(scores[j], &to[j]);
  const float before = row.top == NOTHING ? 0 : exp2_below((row.top - top) * scale);
  row = {top, row.sum * before + sum};
  return before;
}

template <typename T>
MB_INLINE void forward_range(int64_t begin, int64_t end, Shape shape, Strided<const T> q, Strided<const T> k,
                             Strided<const T> v, Strided<T> out, float *sums) {
  const int64_t n = shape.units, features = shape.features, all = shape.before + n;
  const int64_t blocks = (n + BLOCK - 1) / BLOCK, key_blocks = (all + BLOCK - 1) / BLOCK;
  const float scale = LOG2_E / std::sqrt(float(features));
  std::vector<T> keys(key_blocks * BLOCK * features), values(key_blocks * BLOCK * features), p(BLOCK * BLOCK);
  std::vector<float> scores(BLOCK * BLOCK), sum(BLOCK * features);
  int64_t packed = -1; // the head whose keys and values are packed
  for (int64_t at = begin; at < end; at++) {
    const int64_t head = at / blocks, first = fair(at % blocks, blocks) * BLOCK, rows = std::min(BLOCK, n - first);
    const int64_t s = head / shape.heads, h = head % shape.heads;
    const int64_t from = s % shape.parents == 0 ? shape.before : 0;
    if (packed != head) {
      for (int64_t j = from / BLOCK * BLOCK; j < all; j += BLOCK) {
        const int64_t count = std::min(BLOCK, all - j);
        pair_features(k.row(s, h, j), k.n, count, features, &keys[j * features]);
        pair_rows(v.row(s, h, j), v.n, count, features, &values[j * features]);
      }
      packed = head;
    }
    Row row[BLOCK];
    std::fill_n(row, BLOCK, Row{NOTHING, 0});
    // The first key that its first query sees, and the end of those that its last one does.
    const int64_t low = std::max(from, shape.before + first - shape.window + 1), high = shape.before + first + rows;
    bool add = false;
    for (int64_t j = low / BLOCK * BLOCK; j < high; j += BLOCK) {
      product(rows, BLOCK, features, q.row(s, h, first), q.n, &keys[j * features], scores.data(), false);
      for (int64_t i = 0; i < rows; i++) {
        const int64_t last = shape.before + first + i; // the query's own key
        const int64_t begin_i = std::max(std::max(from, last - shape.window + 1) - j, int64_t(0));
        const int64_t end_i = std::min(last + 1 - j, BLOCK);
        if (begin_i >= end_i) {
          for (int64_t e = 0; e < BLOCK; e++) p[i * BLOCK + e] = T(0);
          continue;
        }
        const float before = weights(&scores[i * BLOCK], begin_i, end_i, scale, &p[i * BLOCK], row[i]);
        if (add && before != 1) {
          for (int64_t e = 0; e < features; e++) sum[i * features + e] *= before;
        }
      }
      product(rows, features, BLOCK, p.data(), BLOCK, &values[j * features], sum.data(), add);
      add = true;
    }
    for (int64_t i = 0; i < rows; i++) {
      const float share = 1 / row[i].sum;
      T *to = out.row(s, h, first + i);
      for (int64_t e = 0; e < features; e++) narrow(sum[i * features + e] * share, &to[e]);
      sums[head * n + first + i] = row[i].top * scale + std::log2(row[i].sum);
    }
  }
}

// With weights P, dV_j = sum_i P_ij dO_i;  dS_ij = P_ij (dO_i V_j - dO_i O_i);  dQ_i = scale sum_j dS_ij K_j, dK_j alike.
// Blocks are turned, (keys, queries), so that what belongs to a query stands along a row.
template <typename T>
MB_INLINE void backward_range(int64_t begin, int64_t end, Shape shape, Strided<const T> q, Strided<const T> k,
                              Strided<const T> v, Strided<const T> out, const float *sums, Strided<const T> d_out,
                              Strided<T> d_q, Strided<T> d_k, Strided<T> d_v) {
  const int64_t n = shape.units, features = shape.features, all = shape.before + n;
  const int64_t padded = (n + BLOCK - 1) / BLOCK * BLOCK;
  const float scale = 1 / std::sqrt(float(features)), scale2 = LOG2_E * scale;
  std::vector<T> q_pairs(padded * features), q_turned(padded * features); // right sides over queries, over features
  std::vector<T> o_pairs(padded * features), o_turned(padded * features); // of the gradient of the output
  std::vector<T> k_turned(BLOCK * features), p(BLOCK * BLOCK), d_s(BLOCK * BLOCK), d_s_pairs(BLOCK * BLOCK);
  std::vector<float> scores(BLOCK * BLOCK), d_p(BLOCK * BLOCK);
  std::vector<float> d_keys(BLOCK * features), d_values(BLOCK * features), d_queries(padded * features);
  std::vector<float> total(padded), mean(padded);
  for (int64_t head = begin; head < end; head++) {
    const int64_t s = head / shape.heads, h = head % shape.heads;
    const int64_t from = s % shape.parents == 0 ? shape.before : 0;
    for (int64_t i = 0; i < n; i += BLOCK) {
      const int64_t count = std::min(BLOCK, n - i);
      pair_rows(q.row(s, h, i), q.n, count, features, &q_pairs[i * features]);
      pair_features(q.row(s, h, i), q.n, count, features, &q_turned[i * features]);
      pair_rows(d_out.row(s, h, i), d_out.n, count, features, &o_pairs[i * features]);
      pair_features(d_out.row(s, h, i), d_out.n, count, features, &o_turned[i * features]);
    }
    for (int64_t i = 0; i < n; i++) {
      const T *a = out.row(s, h, i), *b = d_out.row(s, h, i);
      float dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t e = 0; e < features; e++) dot += widen(a[e]) * widen(b[e]);
      mean[i] = dot;
      total[i] = sums[head * n + i];
    }
    std::fill(d_queries.begin(), d_queries.end(), 0.0f);
    for (int64_t j = 0; j < all; j += BLOCK) {
      const int64_t rows = std::min(BLOCK, all - j);
      // The first query that sees the last of these keys' first, and the end of those that see the last one.
      const int64_t low = std::max(j - shape.before, int64_t(0));
      const int64_t high = j + rows <= from ? 0 : std::min(n, j + rows - 1 - shape.before + shape.window);
      turn(k.row(s, h, j), k.n, rows, features, k_turned.data());
      std::fill(d_s_pairs.begin(), d_s_pairs.end(), T(0));
      bool add = false;
      for (int64_t i = low / BLOCK * BLOCK; i < high; i += BLOCK) {
        product(rows, BLOCK, features, k.row(s, h, j), k.n, &q_turned[i * features], scores.data(), false);
        product(rows, BLOCK, features, v.row(s, h, j), v.n, &o_turned[i * features], d_p.data(), false);
        for (int64_t y = 0; y < rows; y++) {
          float *weight = &scores[y * BLOCK], *slope = &d_p[y * BLOCK];
          // The queries that see this key.
          const int64_t own = j + y - shape.before - i;
          const int64_t begin_y = j + y < from ? BLOCK : std::min(std::max(own, int64_t(0)), BLOCK);
          const int64_t end_y = std::min(own + shape.window, BLOCK);
          for (int64_t x = 0; x < BLOCK; x++) {
            const float value = exp2_below(std::min(weight[x] * scale2 - total[i + x], 0.0f));
            weight[x] = x >= begin_y && x < end_y ? value : 0;
            slope[x] = scale * weight[x] * (slope[x] - mean[i + x]);
          }
          for (int64_t x = 0; x < BLOCK; x++) {
            narrow(weight[x], &p[y * BLOCK + x]);
            narrow(slope[x], &d_s[y * BLOCK + x]);
          }
        }
        if (rows % 2 == 1) std::fill_n(&d_p[rows * BLOCK], BLOCK, 0.0f);
        for (int64_t y = 0; y < rows; y += 2) narrow_pairs(&d_p[y * BLOCK], &d_s_pairs[y * BLOCK]);
        product(rows, features, BLOCK, p.data(), BLOCK, &o_pairs[i * features], d_values.data(), add);
        product(rows, features, BLOCK, d_s.data(), BLOCK, &q_pairs[i * features], d_keys.data(), add);
        product(features, BLOCK, BLOCK, k_turned.data(), BLOCK, d_s_pairs.data(), &d_queries[i * features], true);
        add = true;
      }
      for (int64_t y = 0; y < rows; y++) {
        T *key = d_k.row(s, h, j + y), *value = d_v.row(s, h, j + y);
        for (int64_t e = 0; e < features; e++) {
          narrow(add ? d_keys[y * features + e] : 0, &key[e]);
          narrow(add ? d_values[y * features + e] : 0, &value[e]);
        }
      }
    }
    for (int64_t i = 0; i < n; i++) {
      T *to = d_q.row(s, h, i);
      const float *turned = &d_queries[i / BLOCK * BLOCK * features + i % BLOCK];
      for (int64_t e = 0; e < features; e++) narrow(turned[e * BLOCK], &to[e]);
    }
  }
}

// target_clones needs plain functions: one a type and direction.
#define MB_KERNELS(NAME, T)                                                                                            \
  MB_VECTORS void forward_##NAME(int64_t begin, int64_t end, Shape shape, Strided<const T> q, Strided<const T> k,      \
                                 Strided<const T> v, Strided<T> out, float *sums) {                                    \
    forward_range<T>(begin, end, shape, q, k, v, out, sums);                                                           \
  }                                                                                                                    \
  MB_VECTORS void backward_##NAME(int64_t begin, int64_t end, Shape shape, Strided<const T> q, Strided<const T> k,     \
                                  Strided<const T> v, Strided<const T> out, const float *sums, Strided<const T> d_out, \
                                  Strided<T> d_q, Strided<T> d_k, Strided<T> d_v) {                                    \
    backward_range<T>(begin, end, shape, q, k, v, out, sums, d_out, d_q, d_k, d_v);                                    \
  }
MB_KERNELS(bfloat16, uint16_t)
MB_KERNELS(float32, float)

// Whether this processor has the kernels that take pairs of bfloat16.
bool takes_pairs() {
  static const bool takes = [] {
    const Held held;
    const uint16_t one[2 * 16] = {0x3F80, 0x3F80};
    float out[16] = {};
    try {
      product(1, 16, 2, one, 2, one, out, false);
    } catch (...) {
      return false;
    }
    return out[0] == 2 && out[1] == 0;
  }();
  return takes;
}

template <typename T, typename Forward>
void forward(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const Shape &shape, at::Tensor &out,
             at::Tensor &sums, Forward kernel) {
  const int64_t heads = q.size(0) * shape.heads, blocks = (shape.units + BLOCK - 1) / BLOCK;
  at::parallel_for(0, heads * blocks, 8, [&](int64_t begin, int64_t end) {
    const Held held;
    kernel(begin, end, shape, strided<const T>(q), strided<const T>(k), strided<const T>(v), strided<T>(out),
           sums.mutable_data_ptr<float>());
  });
}

template <typename T, typename Backward>
void backward(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &out,
              const at::Tensor &sums, const at::Tensor &d_out, const Shape &shape, at::Tensor *results,
              Backward kernel) {
  at::parallel_for(0, q.size(0) * shape.heads, 1, [&](int64_t begin, int64_t end) {
    const Held held;
    kernel(begin, end, shape, strided<const T>(q), strided<const T>(k), strided<const T>(v), strided<const T>(out),
           sums.const_data_ptr<float>(), strided<const T>(d_out), strided<T>(results[0]), strided<T>(results[1]),
           strided<T>(results[2]));
  });
}

} // namespace

bool blocked_attention_suits(const at::Tensor &q, const Shape &shape) {
  if (!q.is_cpu() || shape.units == 0 || shape.features > MAX_FEATURES) return false;
  // In float32 half empty blocks take longer than libtorch's kernel does.
  if (q.scalar_type() == at::kFloat) return shape.units > BLOCK / 2;
  return q.scalar_type() == at::kBFloat16 && shape.features % 2 == 0 && takes_pairs();
}

void blocked_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const Shape &shape,
                       at::Tensor &out, at::Tensor &sums) {
  if (q.scalar_type() == at::kFloat) return forward<float>(q, k, v, shape, out, sums, forward_float32);
  forward<uint16_t>(q, k, v, shape, out, sums, forward_bfloat16);
}

void blocked_attention_backward(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &out,
                                const at::Tensor &sums, const at::Tensor &d_out, const Shape &shape,
                                at::Tensor *results) {
  if (q.scalar_type() == at::kFloat) {
    return backward<float>(q, k, v, out, sums, d_out, shape, results, backward_float32);
  }
  backward<uint16_t>(q, k, v, out, sums, d_out, shape, results, backward_bfloat16);
}

} // namespace megabyte
