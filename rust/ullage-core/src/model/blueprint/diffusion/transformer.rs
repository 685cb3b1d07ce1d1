//! Transformers that denoise: FLUX.1 and Stable Diffusion 3.

use super::super::plan::Plan;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

/// Width of the sinusoids that tell the time.
const SINUSOIDS: u64 = 256;

struct Transformer {
    width: u64,
    head: u64,
    has_query_norm: bool,
}

impl Transformer {
    fn of(root: Settings<'_>, has_query_norm: bool) -> Result<Self, Fault> {
        let head = root.needed(&["attention_head_dim"])?;
        let width = root.needed(&["num_attention_heads"])?.saturating_mul(head);
        Ok(Self { width, head, has_query_norm })
    }

    fn add_embedder(&self, plan: &mut Plan, name: &str, inputs: u64) {
        plan.linear(&format!("time_text_embed.{name}.linear_1"), self.width, inputs, true);
        plan.linear(&format!("time_text_embed.{name}.linear_2"), self.width, self.width, true);
    }

    /// Attention of the image, and of the text beside it where `suffix` names what it adds.
    fn add_attention(&self, plan: &mut Plan, name: &str, names: &[&str], norms: &[&str]) {
        plan.within(name, |plan| {
            for name in names {
                plan.linear(name, self.width, self.width, true);
            }
            for norm in norms.iter().filter(|_| self.has_query_norm) {
                plan.norm(norm, self.head, false);
            }
        });
    }

    fn add_modulation(&self, plan: &mut Plan, name: &str, vectors: u64) {
        plan.linear(&format!("{name}.linear"), self.width.saturating_mul(vectors), self.width, true);
    }

    fn add_feed(&self, plan: &mut Plan, name: &str) {
        let inner = self.width.saturating_mul(4);
        plan.linear(&format!("{name}.net.0.proj"), inner, self.width, true);
        plan.linear(&format!("{name}.net.2"), self.width, inner, true);
    }
}

const IMAGE: [&str; 4] = ["to_q", "to_k", "to_v", "to_out.0"];
const BOTH: [&str; 8] =
    ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"];
const NORMS: [&str; 4] = ["norm_q", "norm_k", "norm_added_q", "norm_added_k"];

/// Adds a `FluxTransformer2DModel`.
pub(super) fn add_flux(plan: &mut Plan, root: Settings<'_>) -> Result<(), Fault> {
    let flux = Transformer::of(root, true)?;
    let width = flux.width;
    let inputs = root.number_or("in_channels", 64)?;
    flux.add_embedder(plan, "timestep_embedder", SINUSOIDS);
    if root.flag("guidance_embeds") == Some(true) {
        flux.add_embedder(plan, "guidance_embedder", SINUSOIDS);
    }
    flux.add_embedder(plan, "text_embedder", root.number_or("pooled_projection_dim", 768)?);
    plan.linear("context_embedder", width, root.number_or("joint_attention_dim", 4096)?, true);
    plan.linear("x_embedder", width, inputs, true);
    plan.each("transformer_blocks", root.number_or("num_layers", 19)?, |plan, _| {
        flux.add_modulation(plan, "norm1", 6);
        flux.add_modulation(plan, "norm1_context", 6);
        flux.add_attention(plan, "attn", &BOTH, &NORMS);
        flux.add_feed(plan, "ff");
        flux.add_feed(plan, "ff_context");
        Ok(())
    })?;
    plan.each("single_transformer_blocks", root.number_or("num_single_layers", 38)?, |plan, _| {
        flux.add_modulation(plan, "norm", 3);
        plan.linear("proj_mlp", width.saturating_mul(4), width, true);
        plan.linear("proj_out", width, width.saturating_mul(5), true);
        flux.add_attention(plan, "attn", &IMAGE[..3], &NORMS[..2]);
        Ok(())
    })?;
    flux.add_modulation(plan, "norm_out", 2);
    let patch = root.number_or("patch_size", 1)?;
    let outputs = root.number("out_channels")?.unwrap_or(inputs);
    plan.linear("proj_out", patch.saturating_mul(patch).saturating_mul(outputs), width, true);
    Ok(())
}

/// Adds an `SD3Transformer2DModel`.
pub(super) fn add_stable_diffusion(plan: &mut Plan, root: Settings<'_>) -> Result<(), Fault> {
    let model = Transformer::of(root, root.text("qk_norm").is_some())?;
    let width = model.width;
    let patch = root.number_or("patch_size", 2)?;
    let inputs = root.number_or("in_channels", 16)?;
    let side = root.number_or("pos_embed_max_size", 96)?;
    // A table of sinusoids: stored, and learned by nobody.
    let places = [1, side.saturating_mul(side), width];
    plan.fixed("pos_embed.pos_embed", &places);
    plan.convolution("pos_embed.proj", width, inputs, &[patch, patch], true);
    model.add_embedder(plan, "timestep_embedder", SINUSOIDS);
    model.add_embedder(plan, "text_embedder", root.number_or("pooled_projection_dim", 2048)?);
    let caption = root.number("caption_projection_dim")?.unwrap_or(width);
    plan.linear("context_embedder", caption, root.number_or("joint_attention_dim", 4096)?, true);
    let dual = root.numbers("dual_attention_layers")?.unwrap_or_default();
    let count = root.number_or("num_layers", 18)?;
    plan.each("transformer_blocks", count, |plan, at| {
        let is_last = at.saturating_add(1) == count;
        let is_dual = dual.contains(&at);
        model.add_modulation(plan, "norm1", if is_dual { 9 } else { 6 });
        model.add_modulation(plan, "norm1_context", if is_last { 2 } else { 6 });
        // The text leaves the last block unused.
        model.add_attention(plan, "attn", if is_last { &BOTH[..7] } else { &BOTH }, &NORMS);
        if is_dual {
            model.add_attention(plan, "attn2", &IMAGE, &NORMS[..2]);
        }
        model.add_feed(plan, "ff");
        if !is_last {
            model.add_feed(plan, "ff_context");
        }
        Ok(())
    })?;
    model.add_modulation(plan, "norm_out", 2);
    let outputs = root.number("out_channels")?.unwrap_or(inputs);
    plan.linear("proj_out", patch.saturating_mul(patch).saturating_mul(outputs), width, true);
    Ok(())
}
