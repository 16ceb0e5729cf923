//! What libtorch's operations are for, by their names.

use serde::Serialize;

use crate::native::profile::{Row, Span};

/// A part of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Products of matrices.
    Matrices,
    /// Attention, without the matrices around it.
    Attention,
    /// Sums, nonlinearities, norms, dropout, random numbers.
    Elementwise,
    /// From symbols to vectors, and from logits to nats.
    EmbeddingLoss,
    /// Numbers copied, cast, joined or set.
    Copies,
    /// Views, new tensors, and the nodes of autograd: work that touches no numbers.
    Bookkeeping,
    /// Operations that no row of the table knows.
    Other,
    /// Forward and backward between operations: this program, and tensors freed.
    Between,
    /// Everything from gradients to new parameters.
    Optimizer,
    /// Batches, waited for and brought to the device.
    Data,
    /// The rest of the loop: metrics, logs, what else there is.
    Rest,
}

/// Names without `aten::`, nor the underscore of what works in place. Where libtorch composes attention of other
/// operations, as with dropped weights on a CPU, the products in it count as products.
const TABLE: [(Part, &str); 6] = [
    (
        Part::Matrices,
        "addmm mm bmm baddbmm addbmm matmul linear linear_backward mkldnn_linear mkldnn_linear_backward \
         conv1d convolution _convolution convolution_backward mkldnn_convolution",
    ),
    (
        Part::Attention,
        "scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu \
         _scaled_dot_product_flash_attention_for_cpu_backward _scaled_dot_product_attention_math \
         attention attention_backward softmax _softmax _softmax_backward_data _safe_softmax \
         isneginf all scalar_tensor tril triu",
    ),
    (
        Part::Elementwise,
        "add sub rsub mul div neg exp log sqrt rsqrt pow square sin cos abs sum mean sigmoid silu \
         silu_backward gelu gelu_backward relu threshold_backward clamp clamp_min clamp_max where \
         masked_fill eq ne lt gt le ge logical_and logical_not layer_norm native_layer_norm \
         native_layer_norm_backward rms_norm _fused_rms_norm _fused_rms_norm_backward dropout \
         native_dropout native_dropout_backward bernoulli randint random",
    ),
    (
        Part::EmbeddingLoss,
        "embedding embedding_backward embedding_dense_backward index_select log_softmax _log_softmax \
         _log_softmax_backward_data cross_entropy_loss nll_loss nll_loss_nd nll_loss_forward \
         nll_loss_backward",
    ),
    (
        Part::Copies,
        "copy to _to_copy type_as clone contiguous cat stack fill zero zeros zeros_like ones ones_like \
         full new_zeros slice_backward select_backward constant_pad_nd item _local_scalar_dense",
    ),
    (
        Part::Bookkeeping,
        "view reshape _reshape_alias _unsafe_view view_as as_strided transpose t permute expand narrow \
         slice select unbind chunk split split_with_sizes squeeze unsqueeze detach alias resize \
         resolve_conj resolve_neg empty empty_like empty_strided new_empty new_empty_strided",
    ),
];

impl Part {
    /// Every part, in the order in which they are shown.
    pub const ALL: [Part; 11] = [
        Part::Matrices,
        Part::Attention,
        Part::Elementwise,
        Part::EmbeddingLoss,
        Part::Copies,
        Part::Bookkeeping,
        Part::Other,
        Part::Between,
        Part::Optimizer,
        Part::Data,
        Part::Rest,
    ];

    /// What a row of a recording belongs to.
    pub fn of(row: &Row) -> Part {
        match (row.span, row.name.as_str()) {
            (None, _) => Part::Rest,
            (Some(Span::Data), _) => Part::Data,
            (Some(Span::Optimizer), _) => Part::Optimizer,
            (Some(Span::Model), "") => Part::Between,
            (Some(Span::Model), name) => Part::of_operation(name),
        }
    }

    /// What an operation of the way there or back is for.
    fn of_operation(name: &str) -> Part {
        let Some(bare) = name.strip_prefix("aten::").or_else(|| name.strip_prefix("megabyte::")) else {
            // AddmmBackward0, autograd::engine::evaluate_function: AddmmBackward0, and what these do themselves.
            let node = name.contains("autograd::") || name.contains("Backward") || name == "detach";
            return if node { Part::Bookkeeping } else { Part::Other };
        };
        let bare = bare.strip_suffix('_').unwrap_or(bare);
        TABLE.iter().find(|(_, names)| names.split(' ').any(|name| name == bare)).map_or(Part::Other, |&(part, _)| part)
    }

    /// The part for people.
    pub fn label(self) -> &'static str {
        match self {
            Part::Matrices => "matrix products",
            Part::Attention => "attention",
            Part::Elementwise => "elementwise and norms",
            Part::EmbeddingLoss => "embedding, softmax, loss",
            Part::Copies => "copies and casts",
            Part::Bookkeeping => "views, allocation, autograd",
            Part::Other => "other operations",
            Part::Between => "between operations",
            Part::Optimizer => "optimizer",
            Part::Data => "data",
            Part::Rest => "rest of the loop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_parts_and_unknown_ones_are_shown() {
        for (name, part) in [
            ("aten::mm", Part::Matrices),
            ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", Part::Attention),
            ("megabyte::attention_backward", Part::Attention),
            ("aten::relu_", Part::Elementwise),
            ("aten::native_layer_norm_backward", Part::Elementwise),
            ("aten::embedding_dense_backward", Part::EmbeddingLoss),
            ("aten::copy_", Part::Copies),
            ("aten::transpose", Part::Bookkeeping),
            ("AddmmBackward0", Part::Bookkeeping),
            ("autograd::engine::evaluate_function: MmBackward0", Part::Bookkeeping),
            ("aten::_no_such_operation", Part::Other),
            ("mm", Part::Other),
        ] {
            assert_eq!(Part::of_operation(name), part, "{name}");
        }
        let mut names: Vec<&str> = TABLE.iter().flat_map(|(_, names)| names.split(' ')).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name is in one part alone");
    }

    #[test]
    fn what_is_inside_a_span_of_its_own_counts_there() {
        let row = |span, name: &str| Row { span, name: name.to_owned(), calls: 1, seconds: 1.0 };
        for (span, name, part) in [
            (Some(Span::Optimizer), "aten::add_", Part::Optimizer),
            (Some(Span::Data), "", Part::Data),
            (Some(Span::Model), "", Part::Between),
            (Some(Span::Model), "aten::add", Part::Elementwise),
            (None, "aten::add", Part::Rest),
        ] {
            assert_eq!(Part::of(&row(span, name)), part, "{span:?} {name}");
        }
    }
}
