//! Which inputs of an operator hold quantised weights, and which the numbers that go with them.
//!
//! Integers count as parameters only where an operator takes them for weights, and the scales and zero points beside
//! them never do. Operators of the default domain: ONNX 1.23, `docs/Operators.md`; of `com.microsoft`: ONNX Runtime
//! 1.23, `docs/ContribOperators.md`.

/// How the weights of one operator are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// An element is a parameter.
    Plain,
    /// `N` times `K` parameters, by the attributes of these names.
    NTimesK,
    /// As many to a byte as an attribute, or else 4 bits, allows; an element where the type itself is narrower.
    Bits(&'static str),
}

/// The inputs of one operator, by position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles {
    /// Weights.
    pub(super) weights: &'static [usize],
    /// Scales, zero points and the like: no parameters.
    pub(super) scales: &'static [usize],
    /// How the weights are packed.
    pub(super) packing: Packing,
}

/// The roles of the inputs of `operator`, where it is one that takes quantised weights.
pub(super) fn roles(operator: &str) -> Option<Roles> {
    use Packing::{Bits, NTimesK, Plain};
    let (weights, scales, packing): (&[usize], &[usize], Packing) = match operator {
        "DequantizeLinear" => (&[0], &[1, 2], Plain),
        "QuantizeLinear" => (&[], &[1, 2], Plain),
        "MatMulInteger" | "ConvInteger" => (&[1], &[2, 3], Plain),
        "QLinearConv" | "QLinearMatMul" => (&[3, 8], &[1, 2, 4, 5, 6, 7], Plain),
        "DynamicQuantizeMatMul" => (&[1, 4], &[2, 3], Plain),
        "MatMulIntegerToFloat" => (&[1, 6], &[2, 3, 4, 5], Plain),
        "QGemm" => (&[3, 6], &[1, 2, 4, 5, 7, 8], Plain),
        "QAttention" => (&[1, 2], &[3, 4, 6, 7], Plain),
        "MatMulNBits" => (&[1], &[2, 3, 4], NTimesK),
        "MatMulBnb4" => (&[1], &[2], NTimesK),
        "GatherBlockQuantized" => (&[0], &[2, 3], Bits("bits")),
        "QMoE" => (&[2, 5, 8], &[3, 6, 9, 11, 12, 13], Bits("expert_weight_bits")),
        _ => return None,
    };
    Some(Roles { weights, scales, packing })
}
