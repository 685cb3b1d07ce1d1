//! Neural networks from before ML programs: the weights lie within the layers.

use std::io::{Read, Seek};

use super::{Failure, LONGEST_NAME, Message, Reader};
use crate::model::{Dtype, Tensor};
use crate::units::Bytes;

/// Where a kind of layer keeps its weights: its field in `NeuralNetworkLayer`, and its fields of `WeightParams`.
const LAYERS: [(u32, &[(u32, &str)]); 17] = [
    (100, &[(90, "weights"), (91, "bias")]),  // convolution
    (1471, &[(60, "weights"), (61, "bias")]), // convolution3d
    (140, &[(20, "weights"), (21, "bias")]),  // innerProduct
    (150, &[(20, "weights"), (21, "bias")]),  // embedding
    (1040, &[(20, "weights"), (21, "bias")]), // embeddingND
    (160, &[(15, "gamma"), (16, "beta"), (17, "mean"), (18, "variance")]), // batchnorm
    (250, &[(2, "bias")]),
    (245, &[(2, "scale"), (5, "bias")]),
    (290, &[(2, "data")]),                                      // loadConstant
    (1070, &[(2, "data")]),                                     // loadConstantND
    (400, &[(30, "weights"), (31, "recursion"), (32, "bias")]), // simpleRecurrent
    (
        410,
        &[
            (30, "update"),
            (31, "reset"),
            (32, "output"),
            (50, "update_recursion"),
            (51, "reset_recursion"),
            (52, "output_recursion"),
            (70, "update_bias"),
            (71, "reset_bias"),
            (72, "output_bias"),
        ],
    ), // gru
    (500, &[(20, "weights")]),                                  // custom
    (1045, &[(8, "weights"), (9, "bias")]),                     // batchedMatmul
    (1350, &[(3, "gamma"), (4, "beta")]),                       // layerNormalization
    (420, &[]), // uniDirectionalLSTM: its weights are a message deeper
    (430, &[]), // biDirectionalLSTM
];

/// `activation`, whose PReLU and ParametricSoftplus have weights.
const ACTIVATION: u32 = 130;
const ACTIVATIONS: [(u32, &[(u32, &str)]); 2] = [(25, &[(1, "alpha")]), (71, &[(1, "alpha"), (2, "beta")])];

/// `LSTMWeightParams`, in field 20 of both kinds of LSTM.
const LSTM: u32 = 20;
const LSTM_WEIGHTS: [(u32, &str); 15] = [
    (1, "input"),
    (2, "forget"),
    (3, "block"),
    (4, "output"),
    (20, "input_recursion"),
    (21, "forget_recursion"),
    (22, "block_recursion"),
    (23, "output_recursion"),
    (40, "input_bias"),
    (41, "forget_bias"),
    (42, "block_bias"),
    (43, "output_bias"),
    (60, "input_peephole"),
    (61, "forget_peephole"),
    (62, "output_peephole"),
];

/// Bits of a weight that `QuantizationParams` may say.
const WIDTHS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

impl<R: Read + Seek> Reader<'_, '_, R> {
    /// `NeuralNetwork`, and its classifier and regressor: layers 1.
    pub(super) fn network(&mut self, message: Message, prefix: &str) -> Result<(), Failure> {
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            if field.number == 1 {
                self.layer(field.message("a layer")?, prefix)?;
            }
        }
        self.note(
            "The shapes of a network's weights are not read; each counts its elements in one row.".to_owned(),
        );
        Ok(())
    }

    /// `NeuralNetworkLayer`: name 1, and one field for its kind.
    fn layer(&mut self, message: Message, prefix: &str) -> Result<(), Failure> {
        let (mut name, mut kinds) = (String::new(), Vec::new());
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => name = field.text(self.source, LONGEST_NAME, "the name of a layer")?,
                ACTIVATION => {
                    let mut inner = field.message("an activation")?.fields();
                    while let Some(field) = inner.next(self.source)? {
                        let found = ACTIVATIONS.iter().find(|(number, _)| *number == field.number);
                        if let Some((_, weights)) = found {
                            kinds.push((field.message("an activation")?, *weights));
                        }
                    }
                }
                number => {
                    if let Some((_, weights)) = LAYERS.iter().find(|(kind, _)| *kind == number) {
                        kinds.push((field.message("a layer")?, *weights));
                    }
                }
            }
        }
        let name = format!("{prefix}{name}");
        for (kind, weights) in kinds {
            if weights.is_empty() {
                self.lstm(kind, &name)?;
            } else {
                self.weights_of(kind, weights, &name)?;
            }
        }
        Ok(())
    }

    fn lstm(&mut self, message: Message, name: &str) -> Result<(), Failure> {
        let mut fields = message.fields();
        let mut direction = "";
        while let Some(field) = fields.next(self.source)? {
            if field.number == LSTM {
                let weights = field.message("the weights of an LSTM")?;
                self.weights_of(weights, &LSTM_WEIGHTS, &format!("{name}{direction}"))?;
                direction = ".backward";
            }
        }
        Ok(())
    }

    fn weights_of(&mut self, message: Message, weights: &[(u32, &str)], name: &str) -> Result<(), Failure> {
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            if let Some((_, role)) = weights.iter().find(|(number, _)| *number == field.number) {
                let name = format!("{name}.{role}");
                self.weight_params(field.message("a weight")?, name)?;
            }
        }
        Ok(())
    }

    /// `WeightParams`: floatValue 1, float16Value 2, rawValue 30, int8RawValue 31, quantization 40.
    fn weight_params(&mut self, message: Message, name: String) -> Result<(), Failure> {
        let (mut full, mut half, mut raw, mut bytes) = (0_u64, 0_u64, 0_u64, 0_u64);
        let (mut bits, mut start, mut tables) = (8, None, 0_u64);
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            let counter = match field.number {
                // One by one where the writer did not pack them.
                1 if field.message("").is_err() => {
                    full = full.saturating_add(4);
                    continue;
                }
                1 => &mut full,
                2 => &mut half,
                30 => &mut raw,
                31 => &mut bytes,
                40 => {
                    (bits, tables) = self.quantization(field.message("a quantization")?)?;
                    continue;
                }
                _ => continue,
            };
            let data = field.message("the data of a weight")?;
            *counter = counter.saturating_add(data.length());
            start = start.or(Some(data.start));
        }
        let dtype = match (full, half, raw, bytes) {
            (0, 0, 0, 0) => return Ok(()),
            (0, 0, 0, _) => Dtype::I8,
            (0, 0, ..) => dtype_of(bits),
            (0, ..) => Dtype::F16,
            _ => Dtype::F32,
        };
        let stored = full.saturating_add(half).saturating_add(raw).saturating_add(bytes);
        let width = if raw > 0 { bits } else { dtype.block().1 };
        let elements = stored.saturating_mul(8).checked_div(width).unwrap_or(0);
        let held = Bytes::new(stored.saturating_add(tables));
        let mut tensor = Tensor::plain(name, dtype, vec![elements], start.unwrap_or(message.start), held);
        tensor.parameters = elements;
        let is_quantized = raw > 0 || bytes > 0;
        if is_quantized {
            tensor.expanded = Dtype::F32.bytes_of(elements);
        }
        self.weights.push(tensor, is_quantized.then(|| format!("quantized {width} bit")));
        Ok(())
    }

    /// `QuantizationParams`: numberOfBits 1, linear 101, look-up table 102. The bits, and the bytes of scales and tables.
    fn quantization(&mut self, message: Message) -> Result<(u64, u64), Failure> {
        let (mut bits, mut tables) = (8, 0_u64);
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => bits = field.varint("a number of bits")?,
                101 | 102 => {
                    let mut inner = field.message("a table")?.fields();
                    while let Some(field) = inner.next(self.source)? {
                        let length = field.message("").map_or(4, Message::length);
                        tables = tables.saturating_add(length);
                    }
                }
                _ => {}
            }
        }
        Ok((if WIDTHS.contains(&bits) { bits } else { 8 }, tables))
    }
}

fn dtype_of(bits: u64) -> Dtype {
    match bits {
        1 => Dtype::U1,
        2 => Dtype::U2,
        3 => Dtype::U3,
        4 => Dtype::U4,
        6 => Dtype::U6,
        // Five and seven bits have no name of their own.
        _ => Dtype::U8,
    }
}
