//! The networks that one file or directory may hold several of.

use super::tensor::Tensor;

/// What can be done with a component when memory is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// One stage of a pipeline: it can be loaded when its turn comes and freed after it.
    Stage,
    /// Eyes or ears of a language model: who sends text alone can leave it out.
    Tower,
}

/// How the tensors of a component begin, in checkpoints of diffusers, of Stability AI, and of Transformers.
const COMPONENTS: [(&str, &str, Role); 29] = [
    ("unet.", "unet", Role::Stage),
    ("transformer.", "transformer", Role::Stage),
    ("vae.", "vae", Role::Stage),
    ("text_encoder.", "text_encoder", Role::Stage),
    ("text_encoder_2.", "text_encoder_2", Role::Stage),
    ("text_encoder_3.", "text_encoder_3", Role::Stage),
    ("image_encoder.", "image_encoder", Role::Stage),
    ("safety_checker.", "safety_checker", Role::Stage),
    ("controlnet.", "controlnet", Role::Stage),
    ("model.diffusion_model.", "unet", Role::Stage),
    ("first_stage_model.", "vae", Role::Stage),
    ("cond_stage_model.", "text_encoder", Role::Stage),
    ("conditioner.embedders.0.", "text_encoder", Role::Stage),
    ("conditioner.embedders.1.", "text_encoder_2", Role::Stage),
    ("text_encoders.", "text_encoders", Role::Stage),
    ("text_model.", "text_model", Role::Stage),
    ("vision_tower.", "vision_tower", Role::Tower),
    ("vision_model.", "vision_model", Role::Tower),
    ("visual.", "visual", Role::Tower),
    ("model.visual.", "visual", Role::Tower),
    ("model.vision_tower.", "vision_tower", Role::Tower),
    ("model.vision_model.", "vision_model", Role::Tower),
    ("audio_tower.", "audio_tower", Role::Tower),
    ("model.audio_tower.", "audio_tower", Role::Tower),
    ("multi_modal_projector.", "multi_modal_projector", Role::Tower),
    ("model.multi_modal_projector.", "multi_modal_projector", Role::Tower),
    ("v.blk.", "vision_tower", Role::Tower),
    ("a.blk.", "audio_tower", Role::Tower),
    ("mm.", "multi_modal_projector", Role::Tower),
];

impl Tensor {
    /// The component it belongs to and what can be done with it; `None` for the rest of the model.
    #[must_use]
    pub fn component(&self) -> Option<(&'static str, Role)> {
        let found = COMPONENTS.iter().find(|(prefix, ..)| self.name.starts_with(prefix));
        found.map(|&(_, component, role)| (component, role))
    }
}
