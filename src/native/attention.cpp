// Causal attention on the CPU, differentiable, by the kernel that suits its size.

#include "attention.h"
#include "guard.h"

#include <ATen/ops/empty.h>
#include <ATen/record_function.h>
#include <algorithm>
#include <stdexcept>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using megabyte::Shape;

Shape shape_of(const at::Tensor &q, int64_t before, int64_t parents, int64_t window) {
  return {q.size(1), q.size(2), q.size(3), before, parents, std::min(window, before + q.size(2))};
}

bool suits(const at::Tensor &q, const Shape &shape) {
  return megabyte::short_attention_suits(q, shape) || megabyte::blocked_attention_suits(q, shape);
}

at::Tensor dense(const at::Tensor &x) { return x.stride(3) == 1 ? x : x.contiguous(); }

// A result (S, H, n, E) that lies in memory as (S, n, H, E), so that joining the heads copies nothing.
at::Tensor like(const at::Tensor &x) {
  return at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2);
}

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, at::Tensor q, at::Tensor k, at::Tensor v,
                            int64_t parents, int64_t window) {
    RECORD_FUNCTION("megabyte::attention", c10::ArrayRef<const c10::IValue>{});
    q = dense(q), k = dense(k), v = dense(v);
    const Shape shape = shape_of(q, k.size(2) - q.size(2), parents, window);
    at::Tensor out = like(q), sums;
    if (megabyte::short_attention_suits(q, shape)) {
      megabyte::short_attention(q, k, v, nullptr, shape, &out);
    } else {
      sums = at::empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(at::kFloat));
      megabyte::blocked_attention(q, k, v, shape, out, sums);
    }
    context->save_for_backward(sums.defined() ? torch::autograd::variable_list{q, k, v, out, sums}
                                              : torch::autograd::variable_list{q, k, v});
    context->saved_data["parents"] = parents;
    context->saved_data["window"] = window;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    RECORD_FUNCTION("megabyte::attention_backward", c10::ArrayRef<const c10::IValue>{});
    auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const Shape shape = shape_of(q, k.size(2) - q.size(2), context->saved_data["parents"].toInt(),
                                 context->saved_data["window"].toInt());
    at::Tensor d_out = dense(gradients[0]);
    at::Tensor results[3] = {like(q), like(k), like(v)};
    if (saved.size() == 3) {
      megabyte::short_attention(q, k, v, &d_out, shape, results);
    } else {
      megabyte::blocked_attention_backward(q, k, v, saved[3], saved[4], d_out, shape, results);
    }
    return {results[0], results[1], results[2], at::Tensor(), at::Tensor()};
  }
};

} // namespace

extern "C" {

// Whether mb_attention takes queries like q (S, H, n, E) with `before` more keys.
char *mb_attention_suits(const at::Tensor *q, int64_t before, int64_t window, bool *out) {
  return megabyte::guarded([&] { *out = q->dim() == 4 && suits(*q, shape_of(*q, before, 1, window)); });
}

// Causal attention on the CPU of q (S, H, n, E) to k and v (S, H, r + n, E) of one type, where mb_attention_suits: query
// i attends to the last `window` keys up to r + i, but in every first of `parents` sequences not to the first r. The
// caller owns the result, (S, H, n, E).
char *mb_attention(const at::Tensor *q, const at::Tensor *k, const at::Tensor *v, int64_t parents, int64_t window,
                   at::Tensor **out) {
  return megabyte::guarded([&] {
    const bool fits = q->dim() == 4 && k->dim() == 4 && k->sizes() == v->sizes() && k->is_cpu() && v->is_cpu() &&
                      q->scalar_type() == k->scalar_type() && q->scalar_type() == v->scalar_type() &&
                      q->size(0) == k->size(0) && q->size(1) == k->size(1) && q->size(3) == k->size(3) &&
                      q->size(2) <= k->size(2) && parents > 0 && window > 0 &&
                      suits(*q, shape_of(*q, k->size(2) - q->size(2), parents, window));
    if (!fits) throw std::invalid_argument("queries, keys and values of one shape and type on the CPU are wanted");
    *out = new at::Tensor(CausalAttention::apply(*q, *k, *v, parents, window));
  });
}
}
