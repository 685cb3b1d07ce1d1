//! How a quantised checkpoint stores a matrix, after the `quantization_config` of its configuration.
//!
//! Layouts are those of the checkpoints themselves: FP8 with block scales (DeepSeek-V3), GPTQ and AWQ (`AutoGPTQ`,
//! `AutoAWQ`), bitsandbytes, and MXFP4 experts (gpt-oss).

use crate::model::dtype::Dtype;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quantization {
    form: Form,
    /// Runs of segments, between dots, whose matrices stay as they are.
    spared: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    None,
    /// Eight bits, with a scale for each block of so many outputs and inputs.
    Fp8Block(u64, u64),
    /// Eight bits, with one scale for the matrix.
    Fp8,
    Gptq {
        bits: u64,
        group: u64,
    },
    Awq {
        bits: u64,
        group: u64,
    },
    Bitsandbytes4 {
        nested: bool,
    },
    Bitsandbytes8,
    /// Experts alone, four bits with a scale for each 32.
    Mxfp4,
}

/// One tensor of a stored matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    /// Parameters it holds; scales and indices hold none.
    pub(super) parameters: u64,
}

impl Stored {
    fn new(name: &str, dtype: Dtype, shape: &[u64], parameters: u64) -> Self {
        Self { name: name.to_owned(), dtype, shape: shape.to_vec(), parameters }
    }

    fn extra(name: &str, dtype: Dtype, shape: &[u64]) -> Self {
        Self::new(name, dtype, shape, 0)
    }
}

const KEY: &str = "quantization_config";

/// Every matrix is compared with each name; real lists have a few hundred.
const MOST_SPARED: usize = 1 << 12;

impl Quantization {
    pub(super) fn of(root: Settings<'_>) -> Result<Self, Fault> {
        let found = root.section(KEY).or_else(|| root.language().section(KEY));
        let Some(config) = found else { return Ok(Self { form: Form::None, spared: Vec::new() }) };
        let skipped = config.list("modules_to_not_convert").or_else(|| config.list("llm_int8_skip_modules"));
        let skipped = skipped.unwrap_or_default();
        if skipped.len() > MOST_SPARED {
            let reason = format!("a list of {} names", skipped.len());
            return Err(Fault::new(reason).field("quantization_config.modules_to_not_convert"));
        }
        let spared = skipped.iter().filter_map(|name| Some(format!(".{}.", name.as_str()?))).collect();
        Ok(Self { form: form(config)?, spared })
    }

    /// The tensors that the matrix at `place` is stored in; `dtype` is the model's own number format.
    pub(super) fn matrix(&self, place: &str, dtype: Dtype, outputs: u64, inputs: u64) -> Vec<Stored> {
        let form = if self.spares(place) { Form::None } else { self.form };
        let count = outputs.saturating_mul(inputs);
        let words = |size: u64, bits: u64| size.saturating_mul(bits).div_ceil(32);
        let groups = |group: u64| inputs.div_ceil(group.min(inputs).max(1));
        match form {
            Form::None | Form::Mxfp4 => vec![Stored::new("weight", dtype, &[outputs, inputs], count)],
            Form::Fp8Block(rows, columns) => vec![
                Stored::new("weight", Dtype::F8_E4M3, &[outputs, inputs], count),
                Stored::extra(
                    "weight_scale_inv",
                    Dtype::F32,
                    &[outputs.div_ceil(rows), inputs.div_ceil(columns)],
                ),
            ],
            Form::Fp8 => vec![
                Stored::new("weight", Dtype::F8_E4M3, &[outputs, inputs], count),
                Stored::extra("weight_scale", Dtype::F32, &[1]),
            ],
            Form::Gptq { bits, group } => vec![
                Stored::extra("g_idx", Dtype::I32, &[inputs]),
                Stored::new("qweight", Dtype::I32, &[words(inputs, bits), outputs], count),
                Stored::extra("qzeros", Dtype::I32, &[groups(group), words(outputs, bits)]),
                Stored::extra("scales", Dtype::F16, &[groups(group), outputs]),
            ],
            Form::Awq { bits, group } => vec![
                Stored::new("qweight", Dtype::I32, &[inputs, words(outputs, bits)], count),
                Stored::extra("qzeros", Dtype::I32, &[groups(group), words(outputs, bits)]),
                Stored::extra("scales", Dtype::F16, &[groups(group), outputs]),
            ],
            Form::Bitsandbytes4 { nested } => four_bits(count, nested),
            Form::Bitsandbytes8 => vec![
                Stored::new("weight", Dtype::I8, &[outputs, inputs], count),
                Stored::extra("SCB", Dtype::F32, &[outputs]),
            ],
        }
    }

    /// The tensors that a stack of experts `[experts, outputs, inputs]` called `name` at `place` is stored in.
    pub(super) fn experts(&self, place: &str, name: &str, dtype: Dtype, shape: [u64; 3]) -> Vec<Stored> {
        let [experts, outputs, inputs] = shape;
        let count = experts.saturating_mul(outputs).saturating_mul(inputs);
        if self.form != Form::Mxfp4 || self.spares(place) {
            return vec![Stored::new(name, dtype, &shape, count)];
        }
        let blocks = inputs.div_ceil(32);
        vec![
            Stored::new(&format!("{name}_blocks"), Dtype::U8, &[experts, outputs, blocks, 16], count),
            Stored::extra(&format!("{name}_scales"), Dtype::U8, &[experts, outputs, blocks]),
        ]
    }

    /// Whether a name of the list is a run of whole segments of `place`.
    fn spares(&self, place: &str) -> bool {
        let place = format!(".{place}.");
        self.spared.iter().any(|name| place.contains(name.as_str()))
    }
}

/// Four bits each, with an absolute maximum for each 64, which may itself be stored in eight bits with one for each 256.
fn four_bits(count: u64, nested: bool) -> Vec<Stored> {
    let blocks = count.div_ceil(64);
    let mut stored = vec![Stored::new("weight", Dtype::U8, &[count.div_ceil(2), 1], count)];
    if nested {
        stored.push(Stored::extra("weight.absmax", Dtype::U8, &[blocks]));
        stored.push(Stored::extra("weight.nested_absmax", Dtype::F32, &[blocks.div_ceil(256)]));
        stored.push(Stored::extra("weight.nested_quant_map", Dtype::F32, &[256]));
    } else {
        stored.push(Stored::extra("weight.absmax", Dtype::F32, &[blocks]));
    }
    stored.push(Stored::extra("weight.quant_map", Dtype::F32, &[16]));
    stored
}

fn form(config: Settings<'_>) -> Result<Form, Fault> {
    let is = |key: &str| config.flag(key) == Some(true);
    let method = config.text("quant_method").unwrap_or(if is("load_in_4bit") || is("load_in_8bit") {
        "bitsandbytes"
    } else {
        ""
    });
    let bits = config.first(&["bits", "w_bit"])?.unwrap_or(4);
    // A group of -1 is the whole row.
    let group = config.first(&["group_size", "q_group_size"]).ok().flatten().unwrap_or(u64::MAX);
    match method {
        "fp8" | "fbgemm_fp8" => Ok(match config.numbers("weight_block_size")?.as_deref() {
            Some([rows, columns]) if *rows > 0 && *columns > 0 => Form::Fp8Block(*rows, *columns),
            _ => Form::Fp8,
        }),
        "gptq" | "awq" if !(1..=16).contains(&bits) => {
            Err(Fault::new(format!("{bits} bits a weight")).field("quantization_config.bits"))
        }
        "gptq" => Ok(Form::Gptq { bits, group }),
        "awq" => Ok(Form::Awq { bits, group }),
        "bitsandbytes" if is("load_in_8bit") => Ok(Form::Bitsandbytes8),
        "bitsandbytes" => Ok(Form::Bitsandbytes4 { nested: is("bnb_4bit_use_double_quant") }),
        "mxfp4" => Ok(Form::Mxfp4),
        other => {
            let reason =
                format!("no layout is known for checkpoints quantised by {other:?}; point at the weights");
            Err(Fault::new(reason).field("quantization_config.quant_method"))
        }
    }
}
