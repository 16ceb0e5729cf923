// Causal attention on the CPU, differentiable, by the kernel that suits its size.

#include "attention.h"
#include "guard.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/record_function.h>
#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <torch/csrc/autograd/custom_function.h>
#include <vector>

namespace {

using megabyte::Dropout;
using megabyte::guarded;
using megabyte::Level;
using megabyte::Shape;

// What a call says of a shape, apart from the tensors; kept for the way back.
struct Call {
  int64_t before, parents, window;
  Dropout dropout;
  Level level;

  Shape shape(const at::Tensor &q) const {
    return {q.size(1), q.size(2), q.size(3), before, parents, std::min(window, before + q.size(2)), dropout};
  }
};

bool suits(Level level, const at::Tensor &q, const Shape &shape) {
  return megabyte::short_attention_suits(level, q, shape) || megabyte::blocked_attention_suits(level, q, shape);
}

at::Tensor dense(const at::Tensor &x) { return x.stride(3) == 1 ? x : x.contiguous(); }

// A result (S, H, n, E) that lies in memory as (S, n, H, E), so that joining the heads copies nothing.
at::Tensor like(const at::Tensor &x) {
  return at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2);
}

// Keys or values of which each sequence's first unit follows the last one of the sequence before it in memory.
at::Tensor in_line(const at::Tensor &x) {
  const bool follows = x.size(0) == 1 || x.stride(0) == x.size(2) * x.stride(2);
  return follows && x.stride(3) == 1 ? x : x.transpose(1, 2).contiguous().transpose(1, 2);
}

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, at::Tensor q, at::Tensor k, at::Tensor v,
                            const Call &call) {
    RECORD_FUNCTION("megabyte::attention", c10::ArrayRef<const c10::IValue>{});
    q = dense(q);
    k = call.before > 0 ? in_line(k) : dense(k);
    v = call.before > 0 ? in_line(v) : dense(v);
    const Shape shape = call.shape(q);
    at::Tensor out = like(q), sums;
    if (megabyte::short_attention_suits(call.level, q, shape)) {
      megabyte::short_attention(call.level, q, k, v, nullptr, shape, &out);
    } else {
      sums = at::empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(at::kFloat));
      megabyte::blocked_attention(call.level, q, k, v, shape, out, sums);
    }
    context->save_for_backward(sums.defined() ? torch::autograd::variable_list{q, k, v, out, sums}
                                              : torch::autograd::variable_list{q, k, v});
    auto &saved = context->saved_data;
    saved["call"] = std::vector<int64_t>{call.before, call.parents, call.window, int64_t(call.dropout.seed),
                                         int64_t(call.dropout.below), int64_t(call.level)};
    saved["scale"] = call.dropout.scale;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    RECORD_FUNCTION("megabyte::attention_backward", c10::ArrayRef<const c10::IValue>{});
    auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const auto numbers = context->saved_data["call"].toIntVector();
    const Dropout dropout{uint64_t(numbers[3]), uint32_t(numbers[4]), context->saved_data["scale"].toDouble()};
    // The level of the way there, whatever the thread's is by now.
    const Call call{numbers[0], numbers[1], numbers[2], dropout, Level(numbers[5])};
    const Shape shape = call.shape(q);
    at::Tensor d_out = dense(gradients[0]);
    at::Tensor results[3] = {like(q), like(k), like(v)};
    if (saved.size() == 3) {
      megabyte::short_attention(call.level, q, k, v, &d_out, shape, results);
    } else {
      megabyte::blocked_attention_backward(call.level, q, k, v, saved[3], saved[4], d_out, shape, results);
    }
    return {results[0], results[1], results[2], at::Tensor()};
  }
};

// A share as the draws are compared with it: to 2^-32 of what it is.
Dropout dropout_of(double share, uint64_t seed) {
  const double below = std::round(share * 4294967296.0);
  if (!(share >= 0 && below < 4294967296.0)) throw std::invalid_argument("a share from 0 to below 1 is dropped");
  return {seed, uint32_t(below), 1 / (1 - below / 4294967296.0)};
}

} // namespace

extern "C" {

// Whether mb_attention takes queries like q (S, H, n, E) that see `before` units of the sequence before, and a share of
// whose weights is dropped.
char *mb_attention_suits(const at::Tensor *q, int64_t before, int64_t window, double dropped, bool *answer) {
  return guarded([&] {
    const Call call{before, 1, window, dropout_of(dropped, 0), megabyte::level()};
    *answer = q->dim() == 4 && suits(call.level, *q, call.shape(*q));
  });
}

// Causal attention on the CPU of q (S, H, n, E) to k and v, of one shape and type, where mb_attention_suits: query i
// attends to the last `window` keys up to i. In every sequence but each first of `parents` there are the last `before`
// units of the sequence before it too. The share `dropped` of the weights is 0 and the others are larger, by draws that
// `seed` decides. The caller owns the result, (S, H, n, E).
char *mb_attention(const at::Tensor *q, const at::Tensor *k, const at::Tensor *v, int64_t before, int64_t parents,
                   int64_t window, double dropped, uint64_t seed, at::Tensor **out) {
  return guarded([&] {
    const Call call{before, parents, window, dropout_of(dropped, seed), megabyte::level()};
    const bool fits = q->dim() == 4 && k->sizes() == q->sizes() && v->sizes() == q->sizes() && k->is_cpu() &&
                      v->is_cpu() && q->scalar_type() == k->scalar_type() && q->scalar_type() == v->scalar_type() &&
                      before >= 0 && before <= q->size(2) && parents > 0 && q->size(0) % parents == 0 && window > 0 &&
                      suits(call.level, *q, call.shape(*q));
    if (!fits) throw std::invalid_argument("queries, keys and values of one shape and type on the CPU are wanted");
    *out = new at::Tensor(CausalAttention::apply(*q, *k, *v, call));
  });
}

// A number that libtorch's generator on the CPU decides.
char *mb_draw(uint64_t *out) {
  return guarded([&] {
    auto generator = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(generator.mutex());
    *out = at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
  });
}
}
