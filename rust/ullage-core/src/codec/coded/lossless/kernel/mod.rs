//! What is done for every element, in the instructions that a processor has. All forms give the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod fused;
#[cfg(target_arch = "aarch64")]
mod neon;

use super::form::{Form, Plain};
use super::{Isa, fixed};
#[cfg(target_arch = "x86_64")]
use crate::codec::kernel::avx512::pen::BrainPen;

/// What can be done with the instructions of one family, which the processor has.
#[derive(Clone, Copy)]
pub(super) struct Kernel(Isa);

impl Kernel {
    /// The family asked for, or none where the processor does not have it.
    pub(super) fn new(isa: Isa) -> Self {
        Self(if isa.is_available() { isa } else { Isa::Portable })
    }

    /// Exponents of codes of four bits, as many as `exponents` has place for, and the escaped ones of `escapes` among them;
    /// whether those were as many as codes ask for.
    pub(super) fn expand(self, codes: &[u8], table: &[u8; 16], escapes: &[u8], exponents: &mut [u8]) -> bool {
        let mut escapes = escapes.iter();
        let is_enough = match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::expand(codes, table, &mut escapes, exponents),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::expand(codes, table, &mut escapes, exponents),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::expand(codes, table, &mut escapes, exponents),
            _ => fixed::expand(codes, table, &mut escapes, exponents),
        };
        is_enough && escapes.next().is_none()
    }

    /// Whether there is a form that does both at once, [`Kernel::fused`].
    #[cfg(target_arch = "x86_64")]
    pub(super) fn is_fused(self) -> bool {
        self.0 == Isa::Avx512
    }

    /// Both at once, for a block of BF16, where [`Kernel::is_fused`]; whether there were as many escapes as codes ask for.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn fused(self, fixed: (&[u8], &[u8; 16], &[u8]), near: &[u8], pen: &mut BrainPen<'_>) -> bool {
        let (codes, table, escapes) = fixed;
        let mut escapes = escapes.iter();
        self.is_fused() && fused::bf16(codes, table, &mut escapes, near, pen) && escapes.next().is_none()
    }

    /// Asks for what is read soon.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_variables, reason = "only x86-64 has a form for this")
    )]
    pub(super) fn prefetch(self, bytes: &[u8]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => avx2::prefetch(bytes),
            _ => {}
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

    /// Ends a run of [`Kernel::stream`]: seldom, for it waits.
    pub(super) fn drain(self) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => avx2::drain(),
            _ => {}
        }
    }

    /// Whether [`Kernel::stream`] is more than a copy.
    pub(super) fn streams(self) -> bool {
        matches!(self.0, Isa::Avx2 | Isa::Avx512)
    }
}
