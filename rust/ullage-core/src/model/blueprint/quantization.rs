//! How a quantised checkpoint stores a matrix, after the `quantization_config` of its configuration.
//!
//! Layouts are those of the checkpoints themselves: FP8 with block scales (DeepSeek-V3), GPTQ and AWQ (`AutoGPTQ`,
//! `AutoAWQ`), bitsandbytes, and MXFP4 experts (gpt-oss).

use super::plan::Plan;
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

    /// Adds the matrix that stands at the plan's place.
    pub(super) fn add_matrix(&self, plan: &mut Plan, outputs: u64, inputs: u64) {
        let form = if self.spares(plan.place()) { Form::None } else { self.form };
        let count = outputs.saturating_mul(inputs);
        let words = |size: u64, bits: u64| size.saturating_mul(bits).div_ceil(32);
        match form {
            Form::None | Form::Mxfp4 => plan.tensor("weight", &[outputs, inputs]),
            Form::Fp8Block(rows, columns) => {
                plan.typed("weight", Dtype::F8_E4M3, &[outputs, inputs]);
                let scales = [outputs.div_ceil(rows), inputs.div_ceil(columns)];
                plan.packed("weight_scale_inv", Dtype::F32, &scales, 0);
            }
            Form::Fp8 => {
                plan.typed("weight", Dtype::F8_E4M3, &[outputs, inputs]);
                plan.packed("weight_scale", Dtype::F32, &[1], 0);
            }
            Form::Gptq { bits, group } => {
                let groups = inputs.div_ceil(group.min(inputs).max(1));
                plan.packed("g_idx", Dtype::I32, &[inputs], 0);
                plan.packed("qweight", Dtype::I32, &[words(inputs, bits), outputs], count);
                plan.packed("qzeros", Dtype::I32, &[groups, words(outputs, bits)], 0);
                plan.packed("scales", Dtype::F16, &[groups, outputs], 0);
            }
            Form::Awq { bits, group } => {
                let groups = inputs.div_ceil(group.min(inputs).max(1));
                plan.packed("qweight", Dtype::I32, &[inputs, words(outputs, bits)], count);
                plan.packed("qzeros", Dtype::I32, &[groups, words(outputs, bits)], 0);
                plan.packed("scales", Dtype::F16, &[groups, outputs], 0);
            }
            Form::Bitsandbytes4 { nested } => add_four_bits(plan, count, nested),
            Form::Bitsandbytes8 => {
                plan.packed("weight", Dtype::I8, &[outputs, inputs], count);
                plan.packed("SCB", Dtype::F32, &[outputs], 0);
            }
        }
    }

    /// Adds a stack of experts `[experts, outputs, inputs]` in one tensor.
    pub(super) fn add_experts(&self, plan: &mut Plan, name: &str, [experts, outputs, inputs]: [u64; 3]) {
        if self.form != Form::Mxfp4 || self.spares(plan.place()) {
            plan.tensor(name, &[experts, outputs, inputs]);
            return;
        }
        let blocks = inputs.div_ceil(32);
        let count = experts.saturating_mul(outputs).saturating_mul(inputs);
        plan.packed(&format!("{name}_blocks"), Dtype::U8, &[experts, outputs, blocks, 16], count);
        plan.packed(&format!("{name}_scales"), Dtype::U8, &[experts, outputs, blocks], 0);
    }

    /// Whether a name of the list is a run of whole segments of `place`.
    fn spares(&self, place: &str) -> bool {
        let place = format!(".{place}.");
        self.spared.iter().any(|name| place.contains(name.as_str()))
    }
}

/// Four bits each, with an absolute maximum for each 64, which may itself be stored in eight bits with one for each 256.
fn add_four_bits(plan: &mut Plan, count: u64, nested: bool) {
    plan.packed("weight", Dtype::U8, &[count.div_ceil(2), 1], count);
    let blocks = count.div_ceil(64);
    if nested {
        plan.packed("weight.absmax", Dtype::U8, &[blocks], 0);
        plan.packed("weight.nested_absmax", Dtype::F32, &[blocks.div_ceil(256)], 0);
        plan.packed("weight.nested_quant_map", Dtype::F32, &[256], 0);
    } else {
        plan.packed("weight.absmax", Dtype::F32, &[blocks], 0);
    }
    plan.packed("weight.quant_map", Dtype::F32, &[16], 0);
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
