//! Number formats of tensors: one table says how large each is and what it holds.

use std::fmt;

use crate::units::Bytes;

/// What the elements of a tensor stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Real or complex numbers, as weights are.
    Real,
    /// Integers: buffers such as position tables, or the packed storage of a quantised checkpoint.
    Integer,
    /// Blocks of quantised weights with their scales.
    Block,
    /// Text, or something that is not known.
    Other,
}

macro_rules! dtypes {
    ($($name:ident $text:literal $kind:ident $elements:literal $bits:literal;)*) => {
        /// The number format of a tensor's elements, named as its own file format names it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each variant is the format's own name")]
        #[expect(non_camel_case_types, reason = "each variant is the format's own name")]
        pub enum Dtype {
            $($name,)*
            /// A GGML type that is not in the table, by its number.
            Unknown(u32),
        }

        impl Dtype {
            /// Every format of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Elements and bits of one block; of one element where there are no blocks. Nothing for what has no size.
            #[must_use]
            pub const fn block(self) -> (u64, u64) {
                match self {
                    $(Self::$name => ($elements, $bits),)*
                    Self::Unknown(_) => (1, 0),
                }
            }

            /// What the elements stand for.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)*
                    Self::Unknown(_) => Kind::Block,
                }
            }
        }

        impl fmt::Display for Dtype {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => f.write_str($text),)*
                    Self::Unknown(id) => write!(f, "type {id}"),
                }
            }
        }
    };
}

// Sizes: safetensors 0.8 `Dtype::bitsize`, ggml-common.h (block structs), onnx.proto, MIL.proto.
dtypes! {
    BOOL "BOOL" Integer 1 8;
    U8 "U8" Integer 1 8;
    I8 "I8" Integer 1 8;
    F4 "F4" Real 1 4;
    F6_E2M3 "F6_E2M3" Real 1 6;
    F6_E3M2 "F6_E3M2" Real 1 6;
    F8_E4M3 "F8_E4M3" Real 1 8;
    F8_E5M2 "F8_E5M2" Real 1 8;
    F8_E8M0 "F8_E8M0" Real 1 8;
    F8_E4M3FNUZ "F8_E4M3FNUZ" Real 1 8;
    F8_E5M2FNUZ "F8_E5M2FNUZ" Real 1 8;
    I16 "I16" Integer 1 16;
    U16 "U16" Integer 1 16;
    F16 "F16" Real 1 16;
    BF16 "BF16" Real 1 16;
    I32 "I32" Integer 1 32;
    U32 "U32" Integer 1 32;
    F32 "F32" Real 1 32;
    I64 "I64" Integer 1 64;
    U64 "U64" Integer 1 64;
    F64 "F64" Real 1 64;
    C32 "C32" Real 1 32;
    C64 "C64" Real 1 64;
    C128 "C128" Real 1 128;
    I1 "I1" Integer 1 1;
    U1 "U1" Integer 1 1;
    I2 "I2" Integer 1 2;
    U2 "U2" Integer 1 2;
    U3 "U3" Integer 1 3;
    I4 "I4" Integer 1 4;
    U4 "U4" Integer 1 4;
    U6 "U6" Integer 1 6;
    STRING "STRING" Other 1 0;
    Q4_0 "Q4_0" Block 32 144;
    Q4_1 "Q4_1" Block 32 160;
    Q5_0 "Q5_0" Block 32 176;
    Q5_1 "Q5_1" Block 32 192;
    Q8_0 "Q8_0" Block 32 272;
    Q8_1 "Q8_1" Block 32 288;
    IQ4_NL "IQ4_NL" Block 32 144;
    MXFP4 "MXFP4" Block 32 136;
    NVFP4 "NVFP4" Block 64 288;
    Q2_0 "Q2_0" Block 64 144;
    Q1_0 "Q1_0" Block 128 144;
    Q2_K "Q2_K" Block 256 672;
    Q3_K "Q3_K" Block 256 880;
    Q4_K "Q4_K" Block 256 1152;
    Q5_K "Q5_K" Block 256 1408;
    Q6_K "Q6_K" Block 256 1680;
    Q8_K "Q8_K" Block 256 2336;
    IQ1_S "IQ1_S" Block 256 400;
    IQ1_M "IQ1_M" Block 256 448;
    IQ2_XXS "IQ2_XXS" Block 256 528;
    IQ2_XS "IQ2_XS" Block 256 592;
    IQ2_S "IQ2_S" Block 256 656;
    IQ3_XXS "IQ3_XXS" Block 256 784;
    IQ3_S "IQ3_S" Block 256 880;
    IQ4_XS "IQ4_XS" Block 256 1088;
    TQ1_0 "TQ1_0" Block 256 432;
    TQ2_0 "TQ2_0" Block 256 528;
}

impl Dtype {
    /// Bytes of `elements` in this format, a started block or byte counted whole; `None` beyond 2^64 − 1.
    #[must_use]
    pub fn bytes_of(self, elements: u64) -> Option<Bytes> {
        let (in_block, bits) = self.block();
        let bits = u128::from(elements.div_ceil(in_block)).checked_mul(u128::from(bits))?;
        u64::try_from(bits.div_ceil(8)).ok().map(Bytes::new)
    }

    /// Whether its elements count as parameters: real numbers, or blocks of them.
    #[must_use]
    pub const fn is_weight(self) -> bool {
        matches!(self.kind(), Kind::Real | Kind::Block)
    }

    /// The counterpart of the safetensors crate's own enumeration; `None` for one that a later version of it added.
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
