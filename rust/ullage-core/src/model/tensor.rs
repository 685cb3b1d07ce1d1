//! One tensor of a header.

use super::dtype::Dtype;
use crate::units::Bytes;

/// One tensor as a header lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Name, such as `encoder.layer.0.output.dense.weight`.
    pub name: String,
    /// Number format.
    pub dtype: Dtype,
    /// Shape, outermost dimension first; empty for a scalar.
    pub shape: Vec<u64>,
    /// First byte, counted from the start of its file.
    pub offset: u64,
    /// Bytes in the file; zero for a tensor that shares its storage with an earlier one.
    pub bytes: Bytes,
    /// Parameters it holds. That is not its number of elements where several are packed into one (GPTQ, AWQ,
    /// bitsandbytes, MXFP4), where it is a scale or a buffer (none), or where it shares its storage (none).
    pub parameters: u64,
    /// Bytes once a runtime has expanded it, where the file stores it compressed and some runtimes expand it whole.
    pub expanded: Option<Bytes>,
}

impl Tensor {
    /// A tensor stored as it is: its elements are its parameters if its dtype is one of weights.
    #[must_use]
    pub fn plain(name: String, dtype: Dtype, shape: Vec<u64>, offset: u64, bytes: Bytes) -> Self {
        let mut tensor = Self { name, dtype, shape, offset, bytes, parameters: 0, expanded: None };
        if dtype.is_weight() {
            tensor.parameters = tensor.elements();
        }
        tensor
    }

    /// Number of elements; one for a scalar.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size))
    }

    /// Whether it stands for all weights of a model of which only the size is known.
    #[must_use]
    pub fn is_lump(&self) -> bool {
        self.name == Self::LUMP && self.shape.len() == 1
    }

    /// The name of such a tensor.
    pub(super) const LUMP: &str = "weights, not itemised";

    /// Whether it is the table of token embeddings, by the names that formats and libraries give it.
    #[must_use]
    pub fn is_token_embedding(&self) -> bool {
        const NAMES: [&str; 8] = [
            "token_embd.weight",
            "embed_tokens.weight",
            "word_embeddings.weight",
            "wte.weight",
            "tok_embeddings.weight",
            "token_embedding.weight",
            "shared.weight",
            "embeddings.tok_embeddings.weight",
        ];
        self.is_called(&NAMES)
    }

    /// Whether it turns the last hidden state into a score for each token.
    #[must_use]
    pub fn is_output_head(&self) -> bool {
        self.is_called(&["output.weight", "lm_head.weight", "embed_out.weight"])
            && self.layer_number().is_none()
    }

    fn is_called(&self, names: &[&str]) -> bool {
        let is_meant = |name: &&str| {
            self.name.strip_suffix(*name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        names.iter().any(is_meant)
    }

    /// The part of the model it belongs to: the stack of numbered layers, or else its module.
    #[must_use]
    pub fn part(&self) -> &str {
        let Some((start, _)) = self.layer_number() else {
            return self.module();
        };
        self.name.get(..start.saturating_sub(1)).filter(|stack| !stack.is_empty()).unwrap_or(&self.name)
    }

    /// The numbered layer it belongs to, such as `encoder.layer.0`.
    #[must_use]
    pub fn layer(&self) -> Option<&str> {
        let (_, end) = self.layer_number()?;
        self.name.get(..end)
    }

    /// The number of that layer; `None` for a tensor of no numbered layer.
    #[must_use]
    pub fn layer_index(&self) -> Option<usize> {
        let (start, end) = self.layer_number()?;
        self.name.get(start..end)?.parse().ok()
    }

    /// Where the first all-digit segment of the name starts and ends.
    fn layer_number(&self) -> Option<(usize, usize)> {
        let mut start: usize = 0;
        for segment in self.name.split('.') {
            let end = start.saturating_add(segment.len());
            if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
                return Some((start, end));
            }
            start = end.saturating_add(1);
        }
        None
    }

    /// The name without its last segment, at most two segments of it.
    fn module(&self) -> &str {
        let dots: Vec<usize> = self.name.match_indices('.').map(|(place, _)| place).take(2).collect();
        match dots.last() {
            Some(&end) => &self.name[..end],
            None => &self.name,
        }
    }
}
