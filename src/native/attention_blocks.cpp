// Causal attention on the CPU in blocks of 64 queries and 64 keys, whose products are oneDNN's small kernels for
// matrices in the cache. libtorch's own kernel asks MKL for products of this size, which takes several times as long.
// Scores, softmax and sums are float32. What goes into a product has the type of the input where the processor multiplies
// it, and else is float32: without an instruction for bfloat16, a product of that type takes many times as long.
//
// After FlashAttention-2 (Dao 2023, arXiv 2307.08691): the softmax is summed block by block, the way back computes it anew.

#include "attention.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <stdexcept>
#include <type_traits>
#include <vector>

#if MB_X86
#include <immintrin.h>

namespace megabyte {
namespace {

constexpr int64_t BLOCK = 64;
constexpr int64_t MAX_FEATURES = 256;
// Sequences that go back together where each sees the end of the one before.
constexpr int64_t AT_ONCE = 8;
constexpr float NOTHING = -std::numeric_limits<float>::infinity();

// A product (m, k) x (k, n), added to `c` or in its place. `b` is paired: rows 2i and 2i + 1 of bfloat16 stand side by
// side, element by element, as the processor's instruction wants them.
void product(int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t stride_a, const uint16_t *b, int64_t stride_b,
             float *c, int64_t stride_c, bool add) {
  at::native::cpublas::brgemm(m, n, k, stride_a, stride_b, stride_c, add, reinterpret_cast<const at::BFloat16 *>(a),
                              reinterpret_cast<const at::BFloat16 *>(b), c, /*is_vnni=*/true);
}
void product(int64_t m, int64_t n, int64_t k, const float *a, int64_t stride_a, const float *b, int64_t stride_b,
             float *c, int64_t stride_c, bool add) {
  at::native::cpublas::brgemm(m, n, k, stride_a, stride_b, stride_c, add, a, b, c, /*is_vnni=*/false);
}

// On processors whose products need it, gives back what they hold of the thread, however the work ends.
struct Held {
  ~Held() { at::native::cpublas::brgemm_release(); }
};

// Columns of a product of which `count` are wanted: whole vectors of float32. Pairs are taken in whole blocks.
template <typename P> MB_INLINE int64_t wide(int64_t count) {
  return std::is_same_v<P, float> ? (count + 15) / 16 * 16 : BLOCK;
}

// Numbers of 4 bytes, (rows, columns) to (columns, rows), of which the first row is `stride` bytes from the second.
__attribute__((target("avx2"))) void turn_words(const void *from, int64_t stride, int64_t rows, int64_t columns,
                                                 void *to, int64_t stride_to) {
  const char *in = static_cast<const char *>(from);
  char *out = static_cast<char *>(to);
  const int64_t whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
  for (int64_t i = 0; i < whole_rows; i += 8) {
    for (int64_t j = 0; j < whole_columns; j += 8) {
      __m256 r[8], s[8];
#pragma GCC unroll 8
      for (int64_t x = 0; x < 8; x++) {
        r[x] = _mm256_loadu_ps(reinterpret_cast<const float *>(in + (i + x) * stride + 4 * j));
      }
#pragma GCC unroll 4
      for (int64_t x = 0; x < 8; x += 2) {
        s[x] = _mm256_unpacklo_ps(r[x], r[x + 1]), s[x + 1] = _mm256_unpackhi_ps(r[x], r[x + 1]);
      }
#pragma GCC unroll 2
      for (int64_t x = 0; x < 8; x += 4) {
        r[x] = _mm256_shuffle_ps(s[x], s[x + 2], 0x44), r[x + 1] = _mm256_shuffle_ps(s[x], s[x + 2], 0xEE);
        r[x + 2] = _mm256_shuffle_ps(s[x + 1], s[x + 3], 0x44), r[x + 3] = _mm256_shuffle_ps(s[x + 1], s[x + 3], 0xEE);
      }
#pragma GCC unroll 4
      for (int64_t x = 0; x < 4; x++) {
        char *low = out + (j + x) * stride_to + 4 * i, *high = low + 4 * stride_to;
        _mm256_storeu_ps(reinterpret_cast<float *>(low), _mm256_permute2f128_ps(r[x], r[x + 4], 0x20));
        _mm256_storeu_ps(reinterpret_cast<float *>(high), _mm256_permute2f128_ps(r[x], r[x + 4], 0x31));
      }
    }
  }
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; j++) {
      std::memcpy(out + j * stride_to + 4 * i, in + i * stride + 4 * j, 4);
    }
  }
}

// Rows (count, features), up to BLOCK of them, as the right side of a product over the rows; the rest of as many as a
// product takes is zeros.
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
template <typename T>
MB_INLINE void pair_rows(const T *rows, int64_t stride, int64_t count, int64_t features, float *to) {
  for (int64_t j = 0; j < count; j++, to += features) {
    for (int64_t e = 0; e < features; e++) to[e] = widen(rows[j * stride + e]);
  }
  std::fill_n(to, (wide<float>(count) - count) * features, 0.0f);
}

// The same rows as the left side of one: where they stand, or widened.
template <typename P> struct Left {
  const P *data;
  int64_t stride;
};
MB_INLINE Left<uint16_t> left(const uint16_t *rows, int64_t stride, int64_t, int64_t, uint16_t *) {
  return {rows, stride};
}
MB_INLINE Left<float> left(const float *rows, int64_t stride, int64_t, int64_t, float *) { return {rows, stride}; }
MB_INLINE Left<float> left(const uint16_t *rows, int64_t stride, int64_t count, int64_t features, float *room) {
  for (int64_t j = 0; j < count; j++) {
    for (int64_t e = 0; e < features; e++) room[j * features + e] = widen(rows[j * stride + e]);
  }
  return {room, features};
}

// The same rows as the right side of a product over the features, BLOCK to a row: a pair of bfloat16 is moved as one
// number. `room` is for BLOCK rows.
MB_INLINE void pair_features(const uint16_t *rows, int64_t stride, int64_t count, int64_t features, uint16_t *to,
                             uint16_t *) {
  if (count < BLOCK) std::fill_n(to, BLOCK * features, uint16_t(0));
  turn_words(rows, 2 * stride, count, features / 2, to, 4 * BLOCK);
}
template <typename T>
MB_INLINE void pair_features(const T *rows, int64_t stride, int64_t count, int64_t features, float *to, float *room) {
  const Left<float> wanted = left(rows, stride, count, features, room);
  if (count < wide<float>(count)) std::fill_n(to, BLOCK * features, 0.0f);
  turn_words(wanted.data, 4 * wanted.stride, count, features, to, 4 * BLOCK);
}

// The same rows, turned, as a left side: (features, BLOCK).
MB_INLINE void turn(const uint16_t *rows, int64_t stride, int64_t count, int64_t features, uint16_t *to, uint16_t *) {
  for (int64_t e = 0; e < features; e++, to += BLOCK) {
    for (int64_t j = 0; j < BLOCK; j++) to[j] = j < count ? rows[j * stride + e] : 0;
  }
}
template <typename T>
MB_INLINE void turn(const T *rows, int64_t stride, int64_t count, int64_t features, float *to, float *room) {
  pair_features(rows, stride, count, features, to, room);
}

// A block of float32 as the left side of a product, and rows of it as the right side: nothing to do but for bfloat16.
MB_INLINE const float *narrowed(const float *block, int64_t, float *) { return block; }
MB_INLINE const uint16_t *narrowed(const float *block, int64_t rows, uint16_t *to) {
  for (int64_t i = 0; i < rows * BLOCK; i++) narrow(block[i], &to[i]);
  return to;
}
MB_INLINE const float *paired(const float *block, int64_t, float *) { return block; }
MB_INLINE const uint16_t *paired(float *block, int64_t rows, uint16_t *to) {
  if (rows < BLOCK) std::fill_n(block + rows * BLOCK, (BLOCK - rows) * BLOCK, 0.0f);
  for (int64_t y = 0; y < BLOCK; y += 2) {
    uint16_t first[BLOCK], second[BLOCK];
    for (int64_t i = 0; i < BLOCK; i++) {
      narrow(block[y * BLOCK + i], &first[i]), narrow(block[(y + 1) * BLOCK + i], &second[i]);
    }
    for (int64_t i = 0; i < BLOCK; i++) to[y * BLOCK + 2 * i] = first[i], to[y * BLOCK + 2 * i + 1] = second[i];
  }
  return to;
}

// Blocks of queries, in the order 0, last, 1, last but one, ...: later ones see more keys, and threads take runs of them.
MB_INLINE int64_t fair(int64_t i, int64_t blocks) { return i % 2 == 0 ? i / 2 : blocks - 1 - i / 2; }

// The softmax of a row so far: its largest score, and the sum of the weights below it.
struct Row {
  float top, sum;
};

// One row of `columns` scores, those from `low` up to `high` seen, to weights, the others 0; to `row` what they change.
// Gives what the sums before are multiplied with.
MB_INLINE float weights(float *scores, int64_t low, int64_t high, int64_t columns, float scale, Row &row) {
  std::fill_n(scores, low, NOTHING);
  std::fill_n(scores + high, columns - high, NOTHING);
  float top = NOTHING, sum = 0;
#pragma omp simd reduction(max : top)
  for (int64_t j = 0; j < columns; j++) top = scores[j] > top ? scores[j] : top;
  top = std::max(row.top, top);
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < columns; j++) {
    scores[j] = exp2_below((scores[j] - top) * scale);
    sum += scores[j];
  }
  const float before = row.top == NOTHING ? 0 : exp2_below((row.top - top) * scale);
  row = {top, row.sum * before + sum};
  return before;
}

// Keys are counted from the first that a sequence's queries see, `from` of those before being none.
template <typename T, typename P>
MB_INLINE void forward_range(int64_t begin, int64_t end, const Shape &shape, Strided<const T> q, Strided<const T> k,
                             Strided<const T> v, Strided<T> out, float *sums) {
  const int64_t n = shape.units, features = shape.features, all = shape.before + n;
  const int64_t blocks = (n + BLOCK - 1) / BLOCK, key_blocks = (all + BLOCK - 1) / BLOCK;
  const float scale = LOG2_E / std::sqrt(float(features)), kept = float(shape.dropout.scale);
  const uint32_t below = shape.dropout.below;
  std::vector<P> keys(key_blocks * BLOCK * features), values(key_blocks * BLOCK * features), p(BLOCK * BLOCK);
  std::vector<P> room(BLOCK * features);
  std::vector<float> scores(BLOCK * BLOCK), sum(BLOCK * features);
  int64_t packed = -1; // the head whose keys and values are packed
  for (int64_t at = begin; at < end; at++) {
    const int64_t head = at / blocks, first = fair(at % blocks, blocks) * BLOCK, rows = std::min(BLOCK, n - first);
    const int64_t s = head / shape.heads, h = head % shape.heads;
    const int64_t from = s % shape.parents == 0 ? shape.before : 0, before = shape.before - from, seen = before + n;
    if (packed != head) {
      for (int64_t j = 0; j < seen; j += BLOCK) {
        const int64_t count = std::min(BLOCK, seen - j);
        pair_features(k.row(s, h, j - before), k.n, count, features, &keys[j * features], room.data());
        pair_rows(v.row(s, h, j - before), v.n, count, features, &values[j * features]);
      }
      packed = head;
    }
    Row row[BLOCK];
    std::fill_n(row, BLOCK, Row{NOTHING, 0});
    // The first key that its first query sees, and the end of those that its last one does.
    const int64_t low = std::max(int64_t(0), before + first - shape.window + 1), high = before + first + rows;
    const Left<P> asked = left(q.row(s, h, first), q.n, rows, features, room.data());
    bool add = false;
    for (int64_t j = low / BLOCK * BLOCK; j < high; j += BLOCK) {
      const int64_t columns = wide<P>(std::min(BLOCK, seen - j));
      product(rows, columns, features, asked.data, asked.stride, &keys[j * features], BLOCK, scores.data(), BLOCK,
              false);
      for (int64_t i = 0; i < rows; i++) {
        const int64_t last = before + first + i; // the query's own key
        const int64_t begin_i = std::max(std::max(int64_t(0), last - shape.window + 1) - j, int64_t(0));
        const int64_t end_i = std::min(last + 1 - j, columns);
        float *weight = &scores[i * BLOCK];
        if (begin_i >= end_i) {
          std::fill_n(weight, columns, 0.0f);
          continue;
        }
        const float shrunk = weights(weight, begin_i, end_i, columns, scale, row[i]);
        if (below > 0) {
          const RowKey key = row_key(shape.dropout.seed, uint64_t(head * n + first + i));
          const uint32_t place = uint32_t(from + j);
          for (int64_t x = 0; x < columns; x++) {
            weight[x] = draw(key.low, key.high, place + uint32_t(x)) >= below ? weight[x] : 0;
          }
        }
        if (add && shrunk != 1) {
          for (int64_t e = 0; e < features; e++) sum[i * features + e] *= shrunk;
        }
      }
      product(rows, features, columns, narrowed(scores.data(), rows, p.data()), BLOCK, &values[j * features], features,
              sum.data(), features, add);
      add = true;
    }
    for (int64_t i = 0; i < rows; i++) {
      const float share = kept / row[i].sum;
      T *to = out.row(s, h, first + i);
      for (int64_t e = 0; e < features; e++) narrow(sum[i * features + e] * share, &to[e]);
      sums[head * n + first + i] = row[i].top * scale + std::log2(row[i].sum);
    }
  }
}

// With weights P, dV_j = sum_i P_ij dO_i;  dS_ij = P_ij (dO_i V_j - dO_i O_i);  dQ_i = scale sum_j dS_ij K_j, dK_j alike.
// Where weights were dropped, those in dV and those that dO V meets are what was left of them.
// Blocks are turned, (keys, queries), so that what belongs to a query stands along a row.
template <typename T, typename P> struct Back {
  const Shape &shape;
  Strided<const T> q, k, v, out, d_out;
  const float *sums;
  Strided<T> d_q, d_k, d_v;
  int64_t n = shape.units, features = shape.features, padded = (n + BLOCK - 1) / BLOCK * BLOCK;
  float scale = 1 / std::sqrt(float(features)), scale2 = LOG2_E * scale;
  std::vector<P> q_pairs{}, q_turned{}; // right sides over queries, over features
  std::vector<P> o_pairs{}, o_turned{}; // of the gradient of the output
  std::vector<P> k_turned{}, p{}, d_s{}, d_s_pairs{}, room{}, left_k{}, left_v{};
  std::vector<float> scores{}, d_p{}, d_keys{}, d_values{}, d_queries{}, total{}, mean{};
  std::vector<uint32_t> low{}, high{}; // what the draws of each query begin from
  // Where sequences see the end of the one before: gradients of that one's keys and values, complete but for what this
  // one adds.
  std::vector<float> held_keys{}, held_values{};

  MB_INLINE void begin() {
    for (auto *each : {&q_pairs, &q_turned, &o_pairs, &o_turned}) each->resize(padded * features);
    for (auto *each : {&k_turned, &room, &left_k, &left_v}) each->resize(BLOCK * features);
    for (auto *each : {&p, &d_s, &d_s_pairs}) each->resize(BLOCK * BLOCK);
    scores.resize(BLOCK * BLOCK), d_p.resize(BLOCK * BLOCK), d_queries.resize(padded * features);
    d_keys.resize(BLOCK * features), d_values.resize(BLOCK * features), total.resize(padded), mean.resize(padded);
    if (shape.dropout.below > 0) low.resize(padded), high.resize(padded);
    if (shape.before > 0) held_keys.resize(2 * n * features), held_values.resize(2 * n * features);
  }

  // What belongs to the queries of sequence s and head h.
  MB_INLINE void read(int64_t s, int64_t h) {
    for (int64_t i = 0; i < n; i += BLOCK) {
      const int64_t count = std::min(BLOCK, n - i), at = i * features;
      pair_rows(q.row(s, h, i), q.n, count, features, &q_pairs[at]);
      pair_features(q.row(s, h, i), q.n, count, features, &q_turned[at], room.data());
      pair_rows(d_out.row(s, h, i), d_out.n, count, features, &o_pairs[at]);
      pair_features(d_out.row(s, h, i), d_out.n, count, features, &o_turned[at], room.data());
    }
    const int64_t rows = (s * shape.heads + h) * n;
    for (int64_t i = 0; i < n; i++) {
      const T *a = out.row(s, h, i), *b = d_out.row(s, h, i);
      float dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t e = 0; e < features; e++) dot += widen(a[e]) * widen(b[e]);
      mean[i] = dot;
      total[i] = sums[rows + i];
      if (shape.dropout.below > 0) {
        const RowKey key = row_key(shape.dropout.seed, uint64_t(rows + i));
        low[i] = key.low, high[i] = key.high;
      }
    }
    std::fill(d_queries.begin(), d_queries.end(), 0.0f);
  }

  // Weights of a key, in a row of products with `columns` queries, and gradients of its scores in a row of others. The
  // queries from `begin` up to `end` see it.
  MB_INLINE void slopes(float *weight, float *slope, int64_t begin, int64_t end, int64_t columns, const float *tops,
                        const float *means) const {
    // What no query sees may be anything here.
    for (int64_t x = 0; x < columns; x++) weight[x] = exp2_below(weight[x] * scale2 - tops[x]);
    std::fill_n(weight, std::min(begin, columns), 0.0f);
    if (end < columns) std::fill_n(weight + end, columns - end, 0.0f);
    for (int64_t x = 0; x < columns; x++) slope[x] = scale * weight[x] * (slope[x] - means[x]);
  }

  // The same where weights were dropped.
  MB_INLINE void slopes_dropped(float *weight, float *slope, int64_t begin, int64_t end, int64_t columns,
                                const float *tops, const float *means, int64_t first, uint32_t place) const {
    const uint32_t below = shape.dropout.below;
    const float kept = float(shape.dropout.scale);
    float factor[BLOCK];
    for (int64_t x = 0; x < columns; x++) factor[x] = draw(low[first + x], high[first + x], place) >= below ? kept : 0;
    for (int64_t x = 0; x < columns; x++) slope[x] *= factor[x];
    slopes(weight, slope, begin, end, columns, tops, means);
    for (int64_t x = 0; x < columns; x++) weight[x] *= factor[x];
  }

  // Gradients of sequence s and head h, but for what the next sequence adds; of the queries too, or of the `before` keys
  // alone.
  MB_INLINE void sequence(int64_t s, int64_t h, bool first, bool whole) {
    const int64_t from = s % shape.parents == 0 ? shape.before : 0, before = shape.before - from;
    const int64_t seen = whole ? before + n : before;
    read(s, h);
    for (int64_t j = 0; j < seen; j += BLOCK) {
      const int64_t rows = std::min(BLOCK, seen - j), depth = std::is_same_v<P, float> ? rows : BLOCK;
      // The first query that sees the first of these keys, and the end of those that see the last one.
      const int64_t start = std::max(j - before, int64_t(0));
      const int64_t stop = std::min(n, j + rows - 1 - before + shape.window);
      const T *key_rows = k.row(s, h, j - before), *value_rows = v.row(s, h, j - before);
      turn(key_rows, k.n, rows, features, k_turned.data(), room.data());
      const Left<P> keys = left(key_rows, k.n, rows, features, left_k.data());
      const Left<P> values = left(value_rows, v.n, rows, features, left_v.data());
      bool add = false;
      for (int64_t i = start / BLOCK * BLOCK; i < stop; i += BLOCK) {
        const int64_t columns = wide<P>(std::min(BLOCK, n - i)), at = i * features;
        product(rows, columns, features, keys.data, keys.stride, &q_turned[at], BLOCK, scores.data(), BLOCK, false);
        product(rows, columns, features, values.data, values.stride, &o_turned[at], BLOCK, d_p.data(), BLOCK, false);
        for (int64_t y = 0; y < rows; y++) {
          float *weight = &scores[y * BLOCK], *slope = &d_p[y * BLOCK];
          const int64_t own = j + y - before - i; // the first query that sees this key
          const int64_t begin_y = std::max(own, int64_t(0));
          const int64_t end_y = std::max(std::min(own + shape.window, BLOCK), int64_t(0));
          if (shape.dropout.below > 0) {
            slopes_dropped(weight, slope, begin_y, end_y, columns, &total[i], &mean[i], i, uint32_t(from + j + y));
          } else {
            slopes(weight, slope, begin_y, end_y, columns, &total[i], &mean[i]);
          }
        }
        product(rows, features, columns, narrowed(scores.data(), rows, p.data()), BLOCK, &o_pairs[at], features,
                d_values.data(), features, add);
        product(rows, features, columns, narrowed(d_p.data(), rows, d_s.data()), BLOCK, &q_pairs[at], features,
                d_keys.data(), features, add);
        if (whole) {
          product(features, columns, depth, k_turned.data(), BLOCK, paired(d_p.data(), rows, d_s_pairs.data()), BLOCK,
                  &d_queries[at], BLOCK, true);
        }
        add = true;
      }
      if (!add) std::fill(d_keys.begin(), d_keys.end(), 0.0f), std::fill(d_values.begin(), d_values.end(), 0.0f);
      for (int64_t y = 0; y < rows; y++) put(s, h, j + y - before, &d_keys[y * features], &d_values[y * features], first);
    }
    if (whole) write_queries(s, h);
  }

  // The gradients of key and value `unit`, which is below 0 in the sequence before.
  MB_INLINE void put(int64_t s, int64_t h, int64_t unit, const float *key, const float *value, bool first) {
    if (shape.before == 0) {
      T *to_key = d_k.row(s, h, unit), *to_value = d_v.row(s, h, unit);
      for (int64_t e = 0; e < features; e++) narrow(key[e], &to_key[e]), narrow(value[e], &to_value[e]);
    } else if (unit >= 0) {
      std::copy_n(key, features, &held_keys[(n + unit) * features]);
      std::copy_n(value, features, &held_values[(n + unit) * features]);
    } else if (!first) {
      float *to_key = &held_keys[(n + unit) * features], *to_value = &held_values[(n + unit) * features];
      for (int64_t e = 0; e < features; e++) to_key[e] += key[e], to_value[e] += value[e];
    }
  }

  MB_INLINE void write_queries(int64_t s, int64_t h) {
    for (int64_t i = 0; i < n; i += BLOCK) {
      const int64_t count = std::min(BLOCK, n - i);
      // What the rows of keys' gradients were in is free by now.
      turn_words(&d_queries[i * features], 4 * BLOCK, features, count, d_keys.data(), 4 * features);
      for (int64_t y = 0; y < count; y++) {
        T *to = d_q.row(s, h, i + y);
        for (int64_t e = 0; e < features; e++) narrow(d_keys[y * features + e], &to[e]);
      }
    }
  }

  // What is held of sequence s is complete.
  MB_INLINE void write_held(int64_t s, int64_t h) {
    for (int64_t i = 0; i < n; i++) {
      T *key = d_k.row(s, h, i), *value = d_v.row(s, h, i);
      for (int64_t e = 0; e < features; e++) {
        narrow(held_keys[i * features + e], &key[e]), narrow(held_values[i * features + e], &value[e]);
      }
    }
  }

  // Pieces, each of a head, from `from` up to `to`.
  MB_INLINE void run(int64_t from, int64_t to) {
    begin();
    const Pieces pieces(shape, AT_ONCE);
    for (int64_t at = from; at < to; at++) {
      const int64_t h = at % shape.heads, first = pieces.first(at / shape.heads), last = pieces.end(at / shape.heads);
      // The one after the last, for its part in the gradients of the last one's keys.
      const int64_t stop = shape.before > 0 && last % shape.parents != 0 ? last + 1 : last;
      for (int64_t s = first; s < stop; s++) {
        sequence(s, h, s == first, s < last);
        if (shape.before == 0) continue;
        if (s > first) write_held(s - 1, h);
        std::copy_n(&held_keys[n * features], n * features, held_keys.data());
        std::copy_n(&held_values[n * features], n * features, held_values.data());
      }
      if (shape.before > 0 && stop == last) write_held(last - 1, h);
    }
  }
};

template <typename T> using Forward = void (*)(int64_t, int64_t, const Shape &, Strided<const T>, Strided<const T>,
                                               Strided<const T>, Strided<T>, float *);
template <typename T> using Backward = void (*)(int64_t, int64_t, const Shape &, Strided<const T>, Strided<const T>,
                                                Strided<const T>, Strided<const T>, const float *, Strided<const T>,
                                                Strided<T>, Strided<T>, Strided<T>);

// The same code for the instructions of a level: plain functions, one for each type, that of products, and direction.
#define MB_KERNELS(LEVEL, NAME, T, P)                                                                                  \
  LEVEL void forward_##NAME(int64_t begin, int64_t end, const Shape &shape, Strided<const T> q, Strided<const T> k,    \
                            Strided<const T> v, Strided<T> out, float *sums) {                                         \
    forward_range<T, P>(begin, end, shape, q, k, v, out, sums);                                                        \
  }                                                                                                                    \
  LEVEL void backward_##NAME(int64_t begin, int64_t end, const Shape &shape, Strided<const T> q, Strided<const T> k,   \
                             Strided<const T> v, Strided<const T> out, const float *sums, Strided<const T> d_out,      \
                             Strided<T> d_q, Strided<T> d_k, Strided<T> d_v) {                                         \
    Back<T, P>{shape, q, k, v, out, d_out, sums, d_q, d_k, d_v}.run(begin, end);                                       \
  }
MB_KERNELS(MB_AVX2, float32_avx2, float, float)
MB_KERNELS(MB_AVX512, float32_avx512, float, float)
MB_KERNELS(MB_AVX2, bfloat16_avx2, uint16_t, float)
MB_KERNELS(MB_AVX512, bfloat16_avx512, uint16_t, float)
MB_KERNELS(MB_AVX512, bfloat16_pairs, uint16_t, uint16_t)

// Whether libtorch has the products of pairs of bfloat16 here.
bool takes_pairs() {
  static const bool takes = [] {
    const Held held;
    const uint16_t one[2 * 16] = {0x3F80, 0x3F80};
    float out[16] = {};
    try {
      product(1, 16, 2, one, 2, one, 16, out, 16, false);
    } catch (...) {
      return false;
    }
    return out[0] == 2 && out[1] == 0;
  }();
  return takes;
}

template <typename T>
void forward(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const Shape &shape, at::Tensor &out,
             at::Tensor &sums, Forward<T> kernel) {
  const int64_t heads = q.size(0) * shape.heads, blocks = (shape.units + BLOCK - 1) / BLOCK;
  at::parallel_for(0, heads * blocks, 8, [&](int64_t begin, int64_t end) {
    const Held held;
    kernel(begin, end, shape, strided<const T>(q), strided<const T>(k), strided<const T>(v), strided<T>(out),
           sums.mutable_data_ptr<float>());
  });
}

template <typename T>
void backward(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &out,
              const at::Tensor &sums, const at::Tensor &d_out, const Shape &shape, at::Tensor *results,
              Backward<T> kernel) {
  at::parallel_for(0, Pieces(shape, AT_ONCE).count(q.size(0)) * shape.heads, 1, [&](int64_t begin, int64_t end) {
    const Held held;
    kernel(begin, end, shape, strided<const T>(q), strided<const T>(k), strided<const T>(v), strided<const T>(out),
           sums.const_data_ptr<float>(), strided<const T>(d_out), strided<T>(results[0]), strided<T>(results[1]),
           strided<T>(results[2]));
  });
}

bool pairs(Level level) { return level >= Level::AVX512_BF16 && takes_pairs(); }

} // namespace

bool blocked_attention_suits(Level level, const at::Tensor &q, const Shape &shape) {
  if (!q.is_cpu() || level < Level::AVX2 || shape.units == 0 || shape.features > MAX_FEATURES) return false;
  if (q.scalar_type() == at::kBFloat16) return shape.features % 2 == 0;
  if (q.scalar_type() != at::kFloat) return false;
  // libtorch's kernel neither drops weights nor sees the sequence before: what it is composed of then takes longer.
  if (shape.dropout.below > 0 || shape.before > 0 || shape.window < shape.units) return true;
  // Else blocks that are half empty take longer than it does, and with narrower vectors those a third empty.
  if (level >= Level::AVX512) return shape.units > BLOCK / 2;
  return shape.units == BLOCK || shape.units >= 3 * BLOCK / 2;
}

void blocked_attention(Level level, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const Shape &shape,
                       at::Tensor &out, at::Tensor &sums) {
  const bool wide = level >= Level::AVX512;
  if (q.scalar_type() == at::kFloat) {
    return forward<float>(q, k, v, shape, out, sums, wide ? forward_float32_avx512 : forward_float32_avx2);
  }
  const Forward<uint16_t> plain = wide ? forward_bfloat16_avx512 : forward_bfloat16_avx2;
  forward<uint16_t>(q, k, v, shape, out, sums, pairs(level) ? forward_bfloat16_pairs : plain);
}

void blocked_attention_backward(Level level, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                const at::Tensor &out, const at::Tensor &sums, const at::Tensor &d_out,
                                const Shape &shape, at::Tensor *results) {
  const bool wide = level >= Level::AVX512;
  if (q.scalar_type() == at::kFloat) {
    const Backward<float> kernel = wide ? backward_float32_avx512 : backward_float32_avx2;
    return backward<float>(q, k, v, out, sums, d_out, shape, results, kernel);
  }
  const Backward<uint16_t> plain = wide ? backward_bfloat16_avx512 : backward_bfloat16_avx2;
  const Backward<uint16_t> kernel = pairs(level) ? backward_bfloat16_pairs : plain;
  backward<uint16_t>(q, k, v, out, sums, d_out, shape, results, kernel);
}

} // namespace megabyte

#else

namespace megabyte {

bool blocked_attention_suits(Level, const at::Tensor &, const Shape &) { return false; }

void blocked_attention(Level, const at::Tensor &, const at::Tensor &, const at::Tensor &, const Shape &, at::Tensor &,
                       at::Tensor &) {
  throw std::logic_error("attention in blocks is for x86-64");
}

void blocked_attention_backward(Level, const at::Tensor &, const at::Tensor &, const at::Tensor &, const at::Tensor &,
                                const at::Tensor &, const at::Tensor &, const Shape &, at::Tensor *) {
  throw std::logic_error("attention in blocks is for x86-64");
}

} // namespace megabyte

#endif
