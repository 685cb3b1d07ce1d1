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

/// The families of instructions that there are forms for and this processor has, the best last.
pub(super) fn available() -> Vec<Isa> {
    let mut found = vec![Isa::Portable];
    #[cfg(target_arch = "aarch64")]
    found.push(Isa::Neon);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
        found.push(Isa::Avx2);
        let has_words = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512dq");
        let has_lengths = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        let has_bytes = is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512vbmi2");
        if has_words && has_lengths && has_bytes {
            found.push(Isa::Avx512);
        }
    }
    found
}

/// What can be done with the instructions of one family, which the processor has.
#[derive(Clone, Copy)]
pub(super) struct Kernel(Isa);

impl Kernel {
    /// The family asked for, or none where the processor does not have it.
    pub(super) fn new(isa: Isa) -> Self {
        Self(if available().contains(&isa) { isa } else { Isa::Portable })
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

    /// Both at once, for a block of BF16; `None` where there is no form for that.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_variables, reason = "only x86-64 has a form for this")
    )]
    pub(super) fn fused(
        self,
        fixed: (&[u8], &[u8; 16], &[u8]),
        near: &[u8],
        out: &mut [u8],
        streamed: bool,
    ) -> Option<bool> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                let (codes, table, escapes) = fixed;
                let mut escapes = escapes.iter();
                let is_enough = fused::bf16(codes, table, &mut escapes, near, out, streamed);
                Some(is_enough && escapes.next().is_none())
            }
            _ => None,
        }
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
