//! What instructions kernels are written in, and which of them this processor has.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A family of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Rust alone.
    Portable,
    /// AVX2, FMA, F16C and BMI2 of x86-64.
    Avx2,
    /// AVX-512 F, BW, DQ, VL, VBMI and VBMI2 of x86-64.
    Avx512,
    /// Advanced SIMD of 64-bit ARM.
    Neon,
}

impl Isa {
    /// All families.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// The best family this processor has.
    #[must_use]
    pub fn detect() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }

    /// The families this processor has, the best last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::Avx512::new().is_some(),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => super::neon::Neon::new().is_some(),
            _ => false,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == text).ok_or_else(|| Error::Argument {
            name: "isa",
            reason: format!("{:?} is none of portable, avx2, avx512, neon", crate::units::clip(text)),
        })
    }
}
