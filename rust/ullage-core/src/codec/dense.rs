//! Every number as it is, in one format.

use std::fmt;

use super::piece::{Part, Piece};
use super::text::{self, Fault};
use super::weight::Weight;
use crate::model::Dtype;

/// Every number in one format, uncompressed: `dense:f16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dense {
    dtype: Dtype,
}

/// The formats, by name.
const FORMATS: [(&str, Dtype); 6] = [
    ("f16", Dtype::F16),
    ("bf16", Dtype::BF16),
    ("f32", Dtype::F32),
    ("f64", Dtype::F64),
    ("f8_e4m3", Dtype::F8_E4M3),
    ("f8_e5m2", Dtype::F8_E5M2),
];

impl Dense {
    /// 16-bit IEEE numbers.
    pub const F16: Self = Self { dtype: Dtype::F16 };

    /// The format of the numbers.
    #[must_use]
    pub const fn dtype(self) -> Dtype {
        self.dtype
    }

    /// Bits of a number.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.dtype.block().1
    }

    pub(super) fn pieces(self, weight: &Weight) -> Vec<Piece> {
        vec![Piece::new(Part::Values, weight.elements(), self.bits())]
    }

    pub(super) fn read(format: &str, options: &[&str]) -> Result<Self, Fault> {
        text::none(options)?;
        let found = FORMATS.into_iter().find(|&(name, _)| name == format);
        found.map(|(_, dtype)| Self { dtype }).ok_or_else(|| {
            let names: Vec<&str> = FORMATS.iter().map(|&(name, _)| name).collect();
            format!("formats are {}", names.join(", "))
        })
    }
}

impl fmt::Display for Dense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dense:{}", self.dtype.to_string().to_ascii_lowercase())
    }
}
