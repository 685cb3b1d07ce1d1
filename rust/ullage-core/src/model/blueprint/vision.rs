//! Encoders of images, and the pairs of an image and a text encoder: `ViT`, `DINOv2`, CLIP, `SigLIP`.

use super::plan::Plan;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

/// Families of this file.
pub(super) const FAMILIES: [&str; 9] = [
    "clip",
    "clip_text_model",
    "clip_vision_model",
    "deit",
    "dinov2",
    "siglip",
    "siglip_text_model",
    "siglip_vision_model",
    "vit",
];

/// Adds the tensors of a model of `family`.
pub(super) fn add(plan: &mut Plan, root: Settings<'_>, family: &str) -> Result<(), Fault> {
    match family {
        "clip" => add_clip(plan, root),
        "siglip" => add_siglip(plan, root),
        "clip_text_model" | "siglip_text_model" | "clip_vision_model" | "siglip_vision_model" => {
            let is_text = family.ends_with("text_model");
            let half = half(root, family, if is_text { "text_config" } else { "vision_config" });
            let tower = Tower::of(half, family.starts_with("siglip"))?;
            if is_text {
                tower.add_text(plan)?;
            } else {
                tower.add_vision(plan)?;
            }
            if class(root).ends_with("WithProjection") {
                let name = if is_text { "text_projection" } else { "visual_projection" };
                plan.dense(name, half.needed(&["projection_dim"])?, tower.hidden, false);
            }
            Ok(())
        }
        "dinov2" => add_dinov2(plan, root),
        _ => add_vit(plan, root, family),
    }
}

fn class(root: Settings<'_>) -> &str {
    root.list("architectures").and_then(|classes| classes.first()?.as_str()).unwrap_or_default()
}

fn half<'a>(root: Settings<'a>, family: &str, key: &str) -> Settings<'a> {
    root.section(key).unwrap_or(root).of_class(family)
}

fn add_clip(plan: &mut Plan, root: Settings<'_>) -> Result<(), Fault> {
    let text = Tower::of(half(root, "clip_text_model", "text_config"), false)?;
    let vision = Tower::of(half(root, "clip_vision_model", "vision_config"), false)?;
    let width = root.number_or("projection_dim", 512)?;
    plan.tensor("logit_scale", &[]);
    text.add_text(plan)?;
    vision.add_vision(plan)?;
    plan.dense("text_projection", width, text.hidden, false);
    plan.dense("visual_projection", width, vision.hidden, false);
    Ok(())
}

fn add_siglip(plan: &mut Plan, root: Settings<'_>) -> Result<(), Fault> {
    plan.tensor("logit_scale", &[1]);
    plan.tensor("logit_bias", &[1]);
    Tower::of(half(root, "siglip_text_model", "text_config"), true)?.add_text(plan)?;
    Tower::of(half(root, "siglip_vision_model", "vision_config"), true)?.add_vision(plan)
}

/// The image encoder of a larger model whose `vision_config` is one of `SigLIP`'s.
pub(super) fn add_siglip_vision(plan: &mut Plan, vision: Settings<'_>) -> Result<(), Fault> {
    Tower::of(vision.of_class("siglip_vision_model"), true)?.add_vision(plan)
}

/// One half of CLIP or `SigLIP`.
struct Tower<'a> {
    settings: Settings<'a>,
    is_siglip: bool,
    hidden: u64,
    inner: u64,
    count: u64,
}

impl<'a> Tower<'a> {
    fn of(settings: Settings<'a>, is_siglip: bool) -> Result<Self, Fault> {
        Ok(Self {
            settings,
            is_siglip,
            hidden: settings.needed(&["hidden_size"])?,
            inner: settings.needed(&["intermediate_size"])?,
            count: settings.needed(&["num_hidden_layers"])?,
        })
    }

    fn add_text(&self, plan: &mut Plan) -> Result<(), Fault> {
        let positions = self.settings.needed(&["max_position_embeddings"])?;
        let vocabulary = self.settings.needed(&["vocab_size"])?;
        plan.within("text_model", |plan| {
            plan.embedding("embeddings.token_embedding", vocabulary, self.hidden);
            plan.embedding("embeddings.position_embedding", positions, self.hidden);
            self.add_layers(plan)?;
            plan.norm("final_layer_norm", self.hidden, true);
            if self.is_siglip {
                plan.dense(
                    "head",
                    self.settings.number_or("projection_size", self.hidden)?,
                    self.hidden,
                    true,
                );
            }
            Ok(())
        })
    }

    fn add_vision(&self, plan: &mut Plan) -> Result<(), Fault> {
        let (hidden, patch) = (self.hidden, self.settings.needed(&["patch_size"])?);
        let patches = patches(self.settings)?;
        let channels = self.settings.number_or("num_channels", 3)?;
        plan.within("vision_model", |plan| {
            let kernel = [patch, patch];
            plan.convolution("embeddings.patch_embedding", hidden, channels, &kernel, self.is_siglip);
            if self.is_siglip {
                plan.embedding("embeddings.position_embedding", patches, hidden);
            } else {
                plan.tensor("embeddings.class_embedding", &[hidden]);
                plan.embedding("embeddings.position_embedding", patches.saturating_add(1), hidden);
                plan.norm("pre_layrnorm", hidden, true);
            }
            self.add_layers(plan)?;
            plan.norm("post_layernorm", hidden, true);
            if self.is_siglip && self.settings.flag("vision_use_head") != Some(false) {
                plan.within("head", |plan| self.add_pooling(plan));
            }
            Ok(())
        })
    }

    fn add_layers(&self, plan: &mut Plan) -> Result<(), Fault> {
        plan.each("encoder.layers", self.count, |plan, _| {
            for name in ["k_proj", "v_proj", "q_proj", "out_proj"] {
                plan.linear(&format!("self_attn.{name}"), self.hidden, self.hidden, true);
            }
            plan.norm("layer_norm1", self.hidden, true);
            self.add_feed(plan);
            plan.norm("layer_norm2", self.hidden, true);
            Ok(())
        })
    }

    fn add_feed(&self, plan: &mut Plan) {
        plan.linear("mlp.fc1", self.inner, self.hidden, true);
        plan.linear("mlp.fc2", self.hidden, self.inner, true);
    }

    /// Attention of one learned query over the patches.
    fn add_pooling(&self, plan: &mut Plan) {
        let hidden = self.hidden;
        plan.tensor("probe", &[1, 1, hidden]);
        plan.tensor("attention.in_proj_weight", &[hidden.saturating_mul(3), hidden]);
        plan.tensor("attention.in_proj_bias", &[hidden.saturating_mul(3)]);
        plan.dense("attention.out_proj", hidden, hidden, true);
        plan.norm("layernorm", hidden, true);
        self.add_feed(plan);
    }
}

fn patches(settings: Settings<'_>) -> Result<u64, Fault> {
    let (image, patch) = (settings.needed(&["image_size"])?, settings.needed(&["patch_size"])?);
    let side = image.checked_div(patch).filter(|&side| side > 0);
    let side = side.ok_or_else(|| {
        Fault::new(format!("patches of {patch} pixels in an image of {image}")).field("patch_size")
    })?;
    Ok(side.saturating_mul(side))
}

fn add_vit(plan: &mut Plan, root: Settings<'_>, family: &str) -> Result<(), Fault> {
    let hidden = root.needed(&["hidden_size"])?;
    let (patch, inner) = (root.needed(&["patch_size"])?, root.needed(&["intermediate_size"])?);
    let class = class(root);
    let classifies = class.ends_with("ForImageClassification");
    // DeiT has a second token, for its teacher.
    let tokens = if family == "deit" { 2 } else { 1 };
    let positions = patches(root)?.saturating_add(tokens);
    plan.within(if classifies { family } else { "" }, |plan| {
        plan.tensor("embeddings.cls_token", &[1, 1, hidden]);
        if family == "deit" {
            plan.tensor("embeddings.distillation_token", &[1, 1, hidden]);
        }
        plan.tensor("embeddings.position_embeddings", &[1, positions, hidden]);
        let channels = root.number_or("num_channels", 3)?;
        plan.convolution("embeddings.patch_embeddings.projection", hidden, channels, &[patch, patch], true);
        let bias = root.flag("qkv_bias") != Some(false);
        plan.each("encoder.layer", root.needed(&["num_hidden_layers"])?, |plan, _| {
            for name in ["query", "key", "value"] {
                plan.linear(&format!("attention.attention.{name}"), hidden, hidden, bias);
            }
            plan.linear("attention.output.dense", hidden, hidden, true);
            plan.linear("intermediate.dense", inner, hidden, true);
            plan.linear("output.dense", hidden, inner, true);
            plan.norm("layernorm_before", hidden, true);
            plan.norm("layernorm_after", hidden, true);
            Ok(())
        })?;
        plan.norm("layernorm", hidden, true);
        if !classifies {
            plan.dense("pooler.dense", hidden, hidden, true);
        }
        Ok::<_, Fault>(())
    })?;
    if classifies {
        plan.dense("classifier", labels(root)?, hidden, true);
    }
    Ok(())
}

fn labels(root: Settings<'_>) -> Result<u64, Fault> {
    match root.section("id2label") {
        Some(labels) => Ok(labels.count()),
        None => root.number_or("num_labels", 2),
    }
}

fn add_dinov2(plan: &mut Plan, root: Settings<'_>) -> Result<(), Fault> {
    let hidden = root.needed(&["hidden_size"])?;
    let patch = root.needed(&["patch_size"])?;
    let inner = hidden.saturating_mul(root.number_or("mlp_ratio", 4)?);
    let is_gated = root.flag("use_swiglu_ffn") == Some(true);
    // Two thirds of the width, rounded up to a multiple of 8.
    let gated = (inner.saturating_mul(2) / 3).next_multiple_of(8);
    let classifies = class(root).ends_with("ForImageClassification");
    plan.within(if classifies { "dinov2" } else { "" }, |plan| {
        plan.tensor("embeddings.cls_token", &[1, 1, hidden]);
        plan.tensor("embeddings.mask_token", &[1, hidden]);
        plan.tensor("embeddings.position_embeddings", &[1, patches(root)?.saturating_add(1), hidden]);
        let channels = root.number_or("num_channels", 3)?;
        plan.convolution("embeddings.patch_embeddings.projection", hidden, channels, &[patch, patch], true);
        let bias = root.flag("qkv_bias") != Some(false);
        plan.each("encoder.layer", root.needed(&["num_hidden_layers"])?, |plan, _| {
            plan.norm("norm1", hidden, true);
            for name in ["query", "key", "value"] {
                plan.linear(&format!("attention.attention.{name}"), hidden, hidden, bias);
            }
            plan.linear("attention.output.dense", hidden, hidden, true);
            plan.tensor("layer_scale1.lambda1", &[hidden]);
            plan.norm("norm2", hidden, true);
            if is_gated {
                plan.linear("mlp.weights_in", gated.saturating_mul(2), hidden, true);
                plan.linear("mlp.weights_out", hidden, gated, true);
            } else {
                plan.linear("mlp.fc1", inner, hidden, true);
                plan.linear("mlp.fc2", hidden, inner, true);
            }
            plan.tensor("layer_scale2.lambda1", &[hidden]);
            Ok(())
        })?;
        plan.norm("layernorm", hidden, true);
        Ok::<_, Fault>(())
    })?;
    if classifies {
        plan.dense("classifier", labels(root)?, hidden.saturating_mul(2), true);
    }
    Ok(())
}
