//! Convolutional parts: the U-Net that denoises, and the autoencoder between pixels and latents.

use super::super::plan::Plan;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

const MOST_LAYERS: u64 = 64;

/// A residual block; `time` is the width of the time embedding, where it takes one.
fn add_residual(plan: &mut Plan, name: &str, inputs: u64, outputs: u64, time: Option<u64>) {
    plan.within(name, |plan| {
        plan.norm("norm1", inputs, true);
        plan.convolution("conv1", outputs, inputs, &[3, 3], true);
        if let Some(time) = time {
            plan.linear("time_emb_proj", outputs, time, true);
        }
        plan.norm("norm2", outputs, true);
        plan.convolution("conv2", outputs, outputs, &[3, 3], true);
        if inputs != outputs {
            plan.convolution("conv_shortcut", outputs, inputs, &[1, 1], true);
        }
    });
}

fn rescale(plan: &mut Plan, name: &str, channels: u64) {
    plan.convolution(&format!("{name}.0.conv"), channels, channels, &[3, 3], true);
}

fn channels(root: Settings<'_>) -> Result<Vec<u64>, Fault> {
    let channels = root.numbers("block_out_channels")?.filter(|channels| !channels.is_empty());
    channels.ok_or_else(|| Fault::missing("block_out_channels"))
}

fn depth(layers: u64) -> Result<u64, Fault> {
    if layers > MOST_LAYERS {
        return Err(Fault::new(format!("{layers} layers a block")).field("layers_per_block"));
    }
    Ok(layers)
}

struct Unet<'a> {
    root: Settings<'a>,
    /// Width of each level, from the pixels down.
    channels: Vec<u64>,
    time: u64,
}

/// Adds a `UNet2DConditionModel`.
pub(super) fn add_unet(plan: &mut Plan, root: Settings<'_>) -> Result<(), Fault> {
    let channels = channels(root)?;
    let first = channels.first().copied().unwrap_or(0);
    let time = root.number("time_embedding_dim")?.unwrap_or_else(|| first.saturating_mul(4));
    let unet = Unet { root, channels, time };
    plan.convolution("conv_in", first, root.number_or("in_channels", 4)?, &[3, 3], true);
    plan.linear("time_embedding.linear_1", time, first, true);
    plan.linear("time_embedding.linear_2", time, time, true);
    match (root.text("addition_embed_type"), root.text("class_embed_type")) {
        (None, None) => {}
        (Some("text_time"), None) => {
            let width = root.needed(&["projection_class_embeddings_input_dim"])?;
            plan.linear("add_embedding.linear_1", time, width, true);
            plan.linear("add_embedding.linear_2", time, time, true);
        }
        (other, None) => {
            return Err(Fault::new(format!("{other:?} is not known")).field("addition_embed_type"));
        }
        (_, other) => return Err(Fault::new(format!("{other:?} is not known")).field("class_embed_type")),
    }
    unet.add_down(plan)?;
    unet.add_middle(plan)?;
    unet.add_up(plan)?;
    plan.norm("conv_norm_out", first, true);
    plan.convolution("conv_out", root.number_or("out_channels", 4)?, first, &[3, 3], true);
    Ok(())
}

impl Unet<'_> {
    fn levels(&self) -> u64 {
        u64::try_from(self.channels.len()).unwrap_or(u64::MAX)
    }

    fn width(&self, level: u64) -> u64 {
        usize::try_from(level).ok().and_then(|level| self.channels.get(level)).copied().unwrap_or(0)
    }

    /// Whether the block of that list attends to the text.
    fn attends(&self, key: &str, block: u64) -> Result<bool, Fault> {
        let names = self.root.list(key).unwrap_or_default();
        let name = usize::try_from(block).ok().and_then(|block| names.get(block)?.as_str());
        match name {
            Some("CrossAttnDownBlock2D" | "CrossAttnUpBlock2D") => Ok(true),
            Some("DownBlock2D" | "UpBlock2D") => Ok(false),
            other => Err(Fault::new(format!("{other:?} is not known")).field(key)),
        }
    }

    fn depth(&self, level: u64) -> Result<u64, Fault> {
        Ok(self.root.of_layer("transformer_layers_per_block", level)?.unwrap_or(1))
    }

    fn add_down(&self, plan: &mut Plan) -> Result<(), Fault> {
        plan.each("down_blocks", self.levels(), |plan, level| {
            let width = self.width(level);
            let before = self.width(level.saturating_sub(1));
            let count = depth(self.root.of_layer("layers_per_block", level)?.unwrap_or(2))?;
            let attends = self.attends("down_block_types", level)?;
            for at in 0..count {
                if attends {
                    self.add_transformer(plan, &format!("attentions.{at}"), level)?;
                }
                let inputs = if at == 0 { before } else { width };
                add_residual(plan, &format!("resnets.{at}"), inputs, width, Some(self.time));
            }
            if level.saturating_add(1) < self.levels() {
                rescale(plan, "downsamplers", width);
            }
            Ok(())
        })
    }

    fn add_middle(&self, plan: &mut Plan) -> Result<(), Fault> {
        // Null where there is none (BK-SDM tiny), left out where it is the usual one.
        if self.root.is_null("mid_block_type") {
            return Ok(());
        }
        match self.root.text("mid_block_type").unwrap_or("UNetMidBlock2DCrossAttn") {
            "UNetMidBlock2DCrossAttn" => {}
            other => return Err(Fault::new(format!("{other:?} is not known")).field("mid_block_type")),
        }
        let last = self.levels().saturating_sub(1);
        let width = self.width(last);
        plan.within("mid_block", |plan| {
            self.add_transformer(plan, "attentions.0", last)?;
            for at in 0..2 {
                add_residual(plan, &format!("resnets.{at}"), width, width, Some(self.time));
            }
            Ok(())
        })
    }

    fn add_up(&self, plan: &mut Plan) -> Result<(), Fault> {
        let last = self.levels().saturating_sub(1);
        plan.each("up_blocks", self.levels(), |plan, block| {
            let level = last.saturating_sub(block);
            let width = self.width(level);
            let below = self.width(level.saturating_add(1).min(last));
            let above = self.width(level.saturating_sub(1));
            let count = depth(self.root.of_layer("layers_per_block", level)?.unwrap_or(2))?;
            let attends = self.attends("up_block_types", block)?;
            for at in 0..=count {
                if attends {
                    self.add_transformer(plan, &format!("attentions.{at}"), level)?;
                }
                let inputs = if at == 0 { below } else { width };
                let skipped = if at == count { above } else { width };
                let both = inputs.saturating_add(skipped);
                add_residual(plan, &format!("resnets.{at}"), both, width, Some(self.time));
            }
            if level > 0 {
                rescale(plan, "upsamplers", width);
            }
            Ok(())
        })
    }

    fn add_transformer(&self, plan: &mut Plan, name: &str, level: u64) -> Result<(), Fault> {
        let width = self.width(level);
        let text = self.root.of_layer("cross_attention_dim", level)?.unwrap_or(1280);
        let is_linear = self.root.flag("use_linear_projection") == Some(true);
        let project = |plan: &mut Plan, name: &str| {
            if is_linear {
                plan.linear(name, width, width, true);
            } else {
                plan.convolution(name, width, width, &[1, 1], true);
            }
        };
        plan.within(name, |plan| {
            plan.norm("norm", width, true);
            project(plan, "proj_in");
            plan.each("transformer_blocks", self.depth(level)?, |plan, _| {
                for (attention, source) in [("attn1", width), ("attn2", text)] {
                    plan.within(attention, |plan| {
                        plan.linear("to_q", width, width, false);
                        plan.linear("to_k", width, source, false);
                        plan.linear("to_v", width, source, false);
                        plan.linear("to_out.0", width, width, true);
                    });
                }
                plan.linear("ff.net.0.proj", width.saturating_mul(8), width, true);
                plan.linear("ff.net.2", width, width.saturating_mul(4), true);
                for norm in ["norm1", "norm2", "norm3"] {
                    plan.norm(norm, width, true);
                }
                Ok(())
            })?;
            project(plan, "proj_out");
            Ok(())
        })
    }
}

/// Adds an `AutoencoderKL`.
pub(super) fn add_autoencoder(plan: &mut Plan, root: Settings<'_>) -> Result<(), Fault> {
    let channels = channels(root)?;
    let (first, last) = (channels.first().copied().unwrap_or(0), channels.last().copied().unwrap_or(0));
    let latent = root.number_or("latent_channels", 4)?;
    let both = latent.saturating_mul(2);
    let count = depth(root.number_or("layers_per_block", 1)?)?;
    let has = |key: &str| root.flag(key) != Some(false);
    plan.within("encoder", |plan| {
        plan.convolution("conv_in", first, root.number_or("in_channels", 3)?, &[3, 3], true);
        add_levels(plan, "down_blocks", "downsamplers", &channels, count);
        add_middle(plan, last, has("mid_block_add_attention"));
        plan.norm("conv_norm_out", last, true);
        plan.convolution("conv_out", both, last, &[3, 3], true);
        Ok::<_, Fault>(())
    })?;
    if has("use_quant_conv") {
        plan.convolution("quant_conv", both, both, &[1, 1], true);
    }
    if has("use_post_quant_conv") {
        plan.convolution("post_quant_conv", latent, latent, &[1, 1], true);
    }
    let upwards: Vec<u64> = channels.into_iter().rev().collect();
    plan.within("decoder", |plan| {
        plan.convolution("conv_in", last, latent, &[3, 3], true);
        add_middle(plan, last, has("mid_block_add_attention"));
        add_levels(plan, "up_blocks", "upsamplers", &upwards, count.saturating_add(1));
        plan.norm("conv_norm_out", first, true);
        plan.convolution("conv_out", root.number_or("out_channels", 3)?, first, &[3, 3], true);
        Ok(())
    })
}

fn add_levels(plan: &mut Plan, name: &str, rescaling: &str, widths: &[u64], count: u64) {
    let mut inputs = widths.first().copied().unwrap_or(0);
    for (level, &width) in widths.iter().enumerate() {
        plan.within(&format!("{name}.{level}"), |plan| {
            for at in 0..count {
                add_residual(plan, &format!("resnets.{at}"), inputs, width, None);
                inputs = width;
            }
            if level < widths.len().saturating_sub(1) {
                rescale(plan, rescaling, width);
            }
        });
    }
}

fn add_middle(plan: &mut Plan, width: u64, attends: bool) {
    plan.within("mid_block", |plan| {
        if attends {
            plan.within("attentions.0", |plan| {
                plan.norm("group_norm", width, true);
                for name in ["to_q", "to_k", "to_v", "to_out.0"] {
                    plan.linear(name, width, width, true);
                }
            });
        }
        for at in 0..2 {
            add_residual(plan, &format!("resnets.{at}"), width, width, None);
        }
    });
}
