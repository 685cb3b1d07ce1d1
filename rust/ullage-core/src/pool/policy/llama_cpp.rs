//! What the router of llama.cpp does (ggml-org/llama.cpp, `tools/server/server-models.cpp`): at most four models, whatever
//! they take; the least recently used goes first. That memory suffices for four is left to whoever sets the number; here
//! the limit holds, too.

use super::{Habits, Lru};

/// A re-statement for comparison.
#[must_use]
pub const fn llama_cpp() -> Lru {
    Lru::with("llama.cpp", Habits { most_models: Some(4), ..Habits::NONE })
}
