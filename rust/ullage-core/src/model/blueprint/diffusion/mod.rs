//! Parts of diffusion pipelines, after the `_class_name` that diffusers writes into their configurations.

mod convolution;
mod transformer;

use super::plan::Plan;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

/// The name of the class, where the file is of this kind.
pub(in crate::model) fn class(root: Settings<'_>) -> Option<&str> {
    root.text("_class_name")
}

/// Adds the tensors of the part that `root` describes.
pub(super) fn add(plan: &mut Plan, root: Settings<'_>, class: &str) -> Result<(), Fault> {
    match class {
        "AutoencoderKL" => convolution::add_autoencoder(plan, root),
        "FluxTransformer2DModel" => transformer::add_flux(plan, root),
        "SD3Transformer2DModel" => transformer::add_stable_diffusion(plan, root),
        "UNet2DConditionModel" => convolution::add_unet(plan, root),
        other => {
            let reason = format!("no layout of tensors is known for {other:?}; point at the weights");
            Err(Fault::new(reason).field("_class_name"))
        }
    }
}
