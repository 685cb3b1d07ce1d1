//! Number formats of tensors.

use std::fmt;

/// The number format of a tensor's elements, as safetensors names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the format's own name")]
#[expect(non_camel_case_types, reason = "each variant is the format's own name")]
pub enum Dtype {
    BOOL,
    U8,
    I8,
    F4,
    F6_E2M3,
    F6_E3M2,
    F8_E4M3,
    F8_E5M2,
    F8_E8M0,
    F8_E4M3FNUZ,
    F8_E5M2FNUZ,
    I16,
    U16,
    F16,
    BF16,
    I32,
    U32,
    F32,
    I64,
    U64,
    F64,
    C64,
}

impl Dtype {
    /// Bits of one element.
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::F4 => 4,
            Self::F6_E2M3 | Self::F6_E3M2 => 6,
            Self::BOOL
            | Self::U8
            | Self::I8
            | Self::F8_E4M3
            | Self::F8_E5M2
            | Self::F8_E8M0
            | Self::F8_E4M3FNUZ
            | Self::F8_E5M2FNUZ => 8,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 16,
            Self::I32 | Self::U32 | Self::F32 => 32,
            Self::I64 | Self::U64 | Self::F64 | Self::C64 => 64,
        }
    }

    /// Whether elements are real numbers, as weights are; integers are buffers or packed storage.
    #[must_use]
    pub const fn is_float(self) -> bool {
        !matches!(
            self,
            Self::BOOL
                | Self::U8
                | Self::I8
                | Self::I16
                | Self::U16
                | Self::I32
                | Self::U32
                | Self::I64
                | Self::U64
        )
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Dtype {
    /// The counterpart of the format's own enumeration; `None` for one that a later version of it added.
    pub(super) fn of(dtype: ::safetensors::Dtype) -> Option<Self> {
        use ::safetensors::Dtype as Theirs;
        Some(match dtype {
            Theirs::BOOL => Self::BOOL,
            Theirs::U8 => Self::U8,
            Theirs::I8 => Self::I8,
            Theirs::F4 => Self::F4,
            Theirs::F6_E2M3 => Self::F6_E2M3,
            Theirs::F6_E3M2 => Self::F6_E3M2,
            Theirs::F8_E4M3 => Self::F8_E4M3,
            Theirs::F8_E5M2 => Self::F8_E5M2,
            Theirs::F8_E8M0 => Self::F8_E8M0,
            Theirs::F8_E4M3FNUZ => Self::F8_E4M3FNUZ,
            Theirs::F8_E5M2FNUZ => Self::F8_E5M2FNUZ,
            Theirs::I16 => Self::I16,
            Theirs::U16 => Self::U16,
            Theirs::F16 => Self::F16,
            Theirs::BF16 => Self::BF16,
            Theirs::I32 => Self::I32,
            Theirs::U32 => Self::U32,
            Theirs::F32 => Self::F32,
            Theirs::I64 => Self::I64,
            Theirs::U64 => Self::U64,
            Theirs::F64 => Self::F64,
            Theirs::C64 => Self::C64,
            _ => return None,
        })
    }
}
