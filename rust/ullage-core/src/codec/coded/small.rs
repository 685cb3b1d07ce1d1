//! 8-bit floating-point numbers, to and from 32 bits (arXiv 2209.05433): rounded to the nearest, ties to even.

#![expect(clippy::arithmetic_side_effects, reason = "exponents of numbers of 8 and 32 bits")]

/// How the seven bits beside the sign are split.
#[derive(Clone, Copy)]
pub(super) struct Form {
    mantissa: u8,
    /// What exponents count from.
    bias: i32,
    /// The bits of infinity, if there is one; what is above is no number.
    infinity: Option<u8>,
}

/// Four exponent bits, no infinity, and up to 448.
pub(super) const E4M3: Form = Form { mantissa: 3, bias: 7, infinity: None };
/// Five exponent bits, and up to 57,344.
pub(super) const E5M2: Form = Form { mantissa: 2, bias: 15, infinity: Some(0x7C) };

/// The nearest number; what is too large becomes infinite, or no number where nothing is.
pub(super) fn to_small(value: f32, form: Form) -> u8 {
    let sign = u8::from(value.is_sign_negative()) << 7;
    let none = sign | form.infinity.map_or(0x7F, |infinity| infinity | 1 << (form.mantissa - 1));
    if value.is_nan() {
        return none;
    }
    let above = sign | form.infinity.unwrap_or(0x7F);
    if value.is_infinite() {
        return above;
    }
    let bits = value.abs().to_bits();
    let exponent = i32::try_from(bits >> 23).unwrap_or(0) - 127;
    // Below the least normal number, steps get no finer.
    let exponent = exponent.max(1 - form.bias);
    let step = 2.0_f64.powi(i32::from(form.mantissa) - exponent);
    let steps = whole((f64::from(value.abs()) * step).round_ties_even());
    let code = ((exponent + form.bias - 1) << form.mantissa) + steps;
    let largest = form.infinity.map_or(0x7E, |infinity| infinity - 1);
    u8::try_from(code).ok().filter(|&code| code <= largest).map_or(above, |code| sign | code)
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 16")]
const fn whole(value: f64) -> i32 {
    value as i32
}

/// The same number in 32 bits.
pub(super) fn from_small(bits: u8, form: Form) -> f32 {
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let size = bits & 0x7F;
    match form.infinity {
        None if size == 0x7F => return f32::NAN,
        Some(infinity) if size == infinity => return sign * f32::INFINITY,
        Some(infinity) if size > infinity => return f32::NAN,
        _ => {}
    }
    let exponent = i32::from(size >> form.mantissa);
    let mantissa = f32::from(size & ((1 << form.mantissa) - 1));
    let hidden = if exponent == 0 { 0.0 } else { f32::from(1_u8 << form.mantissa) };
    sign * (hidden + mantissa) * 2.0_f32.powi(exponent.max(1) - form.bias - i32::from(form.mantissa))
}
