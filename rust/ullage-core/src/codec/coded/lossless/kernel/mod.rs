//! What is done for every element, in the instructions that a processor has. All forms give the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use super::form::{Form, Plain};
use super::{Isa, fixed};

/// What can be done with the instructions of one family, which the processor has.
#[derive(Clone, Copy)]
pub(super) struct Kernel(Isa);

impl Kernel {
    /// The family asked for, or none where the processor does not have it.
    pub(super) fn new(isa: Isa) -> Self {
        Self(if isa.is_available() { isa } else { Isa::Portable })
    }

    /// Exponents of codes of four bits, as many as `exponents` has place for; whether one is an escape.
    pub(super) fn expand(self, codes: &[u8], table: &[u8; 16], exponents: &mut [u8]) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::expand(codes, table, exponents),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::expand(codes, table, exponents),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::expand(codes, table, exponents),
            _ => fixed::expand(codes, table, exponents),
        }
    }

    /// Puts numbers together, as many as there are exponents.
    pub(super) fn merge(self, form: Form, exponents: &[u8], plain: Plain<'_>, out: &mut [u8]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::merge(form, exponents, plain, out),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::merge(form, exponents, plain, out),
            // What the compiler makes of the plain form is Advanced SIMD already.
            _ => form.merge(exponents, plain, out),
        }
    }

    /// Copies past the caches, where there are stores for that.
    pub(super) fn stream(self, from: &[u8], to: &mut [u8]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::stream(from, to),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::stream(from, to),
            _ => to.copy_from_slice(from),
        }
    }

    /// Whether [`Kernel::stream`] is more than a copy.
    pub(super) fn streams(self) -> bool {
        matches!(self.0, Isa::Avx2 | Isa::Avx512)
    }
}
