//! Quantities: [`Bytes`], the only parser and the only formatter of byte counts, and [`Time`].
//!
//! KiB is 1024 and kB is 1000, always. A suffix that the field reads both ways (`G`, `8g`) is refused rather than
//! guessed, because the difference is 7.4 % at giga.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use thiserror::Error as ThisError;

/// A quantity that cannot be: part of [`crate::Error`], which has the same variants.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum UnitError {
    /// A text that is not a byte count.
    #[error("{input:?} is not a byte count: {reason}")]
    Quantity {
        /// The text as given, clipped.
        input: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A byte count beyond 2^64 − 1.
    #[error("{what} is larger than 2^64 - 1 bytes")]
    Overflow {
        /// The quantity that was being computed.
        what: &'static str,
    },
    /// A time that no clock shows.
    #[error("{name}: {reason}")]
    Argument {
        /// The argument's name.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// A number of bytes. Never negative; all arithmetic is checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);
    /// The largest count that can be expressed, 2^64 − 1.
    pub const MAX: Self = Self(u64::MAX);

    /// `count` bytes.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The count as a plain integer.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the count is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` above 2^64 − 1.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` where it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The product, or `None` above 2^64 − 1.
    #[must_use]
    pub const fn checked_mul(self, factor: u64) -> Option<Self> {
        match self.0.checked_mul(factor) {
            Some(product) => Some(Self(product)),
            None => None,
        }
    }

    /// The sum, or 2^64 − 1 where it would be larger.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or zero where it would be negative.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This count times `numerator / denominator`, rounded up.
    ///
    /// # Errors
    /// [`UnitError::Overflow`] naming `what` when the result passes 2^64 − 1 or `denominator` is zero.
    pub fn scaled(self, numerator: u64, denominator: u64, what: &'static str) -> Result<Self, UnitError> {
        let product = u128::from(self.0).checked_mul(u128::from(numerator));
        let scaled =
            product.filter(|_| denominator != 0).map(|value| value.div_ceil(u128::from(denominator)));
        scaled.and_then(|value| u64::try_from(value).ok()).map(Self).ok_or(UnitError::Overflow { what })
    }

    /// The sum of `parts`.
    ///
    /// # Errors
    /// [`UnitError::Overflow`] naming `what` when the sum passes 2^64 − 1.
    pub fn sum(parts: impl IntoIterator<Item = Self>, what: &'static str) -> Result<Self, UnitError> {
        parts.into_iter().try_fold(Self::ZERO, Self::checked_add).ok_or(UnitError::Overflow { what })
    }

    /// Shown with decimal units: `4.20 GB`.
    #[must_use]
    pub const fn decimal(self) -> impl fmt::Display {
        Scaled { bytes: self, base: 1000, units: &["B", "kB", "MB", "GB", "TB", "PB", "EB"] }
    }

    /// Shown with binary units: `3.91 GiB`.
    #[must_use]
    pub const fn binary(self) -> impl fmt::Display {
        Scaled { bytes: self, base: 1024, units: &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] }
    }
}

impl fmt::Display for Bytes {
    /// Decimal units; `{:#}` adds the binary reading: `4.20 GB (3.91 GiB)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decimal())?;
        if f.alternate() && self.0 >= 1000 {
            write!(f, " ({})", self.binary())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0)
    }
}

impl From<u64> for Bytes {
    fn from(count: u64) -> Self {
        Self(count)
    }
}

struct Scaled {
    bytes: Bytes,
    base: u64,
    units: &'static [&'static str],
}

impl fmt::Display for Scaled {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "u128 sums of u64 terms; at most six steps up the unit list"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.bytes.get();
        let mut power = 0;
        let mut divisor = 1_u64;
        // Promote at 999.995 rather than 1000, so that rounding never prints "1000.00 MB".
        while power + 1 < self.units.len()
            && u128::from(count).saturating_mul(200)
                >= u128::from(divisor).saturating_mul(u128::from(self.base) * 200 - 1)
        {
            divisor = divisor.saturating_mul(self.base);
            power += 1;
        }
        let unit = self.units[power];
        if power == 0 {
            return write!(f, "{count} {unit}");
        }
        let hundredths = (u128::from(count) * 100 + u128::from(divisor) / 2) / u128::from(divisor);
        write!(f, "{}.{:02} {unit}", hundredths / 100, hundredths % 100)
    }
}

/// The multiplier of a unit, `None` for an unknown or ambiguous one.
///
/// Case does not matter, with one exception: a small `b` after a capital prefix (`Gb`) means bits, so it is refused.
fn multiplier(unit: &str) -> Result<u64, &'static str> {
    const BITS: &str = "a small 'b' after a capital prefix means bits; write GB or GiB";
    const AMBIGUOUS: &str = "ambiguous unit: write GB (1000^3) or GiB (1024^3)";
    let bits = unit.len() > 1 && unit.ends_with('b') && unit.starts_with(|c: char| c.is_ascii_uppercase());
    if bits {
        return Err(BITS);
    }
    Ok(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "pb" => 1_000_000_000_000_000,
        "eb" => 1_000_000_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "pib" => 1 << 50,
        "eib" => 1 << 60,
        "k" | "m" | "g" | "t" | "p" | "ki" | "mi" | "gi" | "ti" | "pi" => return Err(AMBIGUOUS),
        _ => return Err("unknown unit; use B, kB, MB, GB, TB, PB, EB, KiB, MiB, GiB, TiB, PiB or EiB"),
    })
}

impl FromStr for Bytes {
    type Err = UnitError;

    /// Reads `"1500"`, `"1.5GB"`, `"24 GiB"`. A fraction of a byte is rounded up, so nothing is under-booked.
    ///
    /// # Errors
    /// [`UnitError::Quantity`] naming the text and what is wrong with it: empty, negative, not a number, unknown or
    /// ambiguous unit, above 2^64 − 1.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let fail = |reason: &'static str| UnitError::Quantity { input: clip(text), reason };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(fail("empty text is not a byte count"));
        }
        if trimmed.starts_with('-') {
            return Err(fail("a byte count cannot be negative"));
        }
        let end =
            trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let number = number.replace('_', "");
        let (whole, fraction) = number.split_once('.').unwrap_or((number.as_str(), ""));
        if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
            return Err(fail("not a number followed by a unit"));
        }
        let multiplier = u128::from(multiplier(unit.trim()).map_err(fail)?);
        let too_large = || fail("larger than 2^64 - 1 bytes");
        let whole: u128 = whole.parse().map_err(|_| too_large())?;
        // 2^64 has 20 digits; more than 18 decimals cannot change a whole byte of any unit here.
        let decimals = &fraction[..fraction.len().min(18)];
        let scale = 10_u128.checked_pow(u32::try_from(decimals.len()).unwrap_or(18)).ok_or_else(too_large)?;
        let decimals: u128 =
            if decimals.is_empty() { 0 } else { decimals.parse().map_err(|_| too_large())? };
        let from_decimals = decimals.checked_mul(multiplier).ok_or_else(too_large)?.div_ceil(scale);
        let count =
            whole.checked_mul(multiplier).and_then(|v| v.checked_add(from_decimals)).ok_or_else(too_large)?;
        u64::try_from(count).map(Self).map_err(|_| too_large())
    }
}

/// The head of a text from outside, short enough for a message.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// An instant on a clock that the caller owns: nanoseconds since an origin of its choosing.
///
/// The scheduler reads no clock; the same code runs on the wall clock and on a simulated one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `seconds` after the origin, to the nanosecond.
    ///
    /// # Errors
    /// [`UnitError::Argument`] for a negative or non-finite number, or one beyond 584 years.
    pub fn from_secs_f64(seconds: f64) -> Result<Self, UnitError> {
        let duration = duration_from_secs(seconds, "time")?;
        let nanos = u64::try_from(duration.as_nanos()).map_err(|_| UnitError::Argument {
            name: "time",
            reason: format!("{seconds} seconds is beyond the clock's range of 584 years"),
        })?;
        Ok(Self(nanos))
    }

    /// Nanoseconds after the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds after the origin.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        Duration::from_nanos(self.0).as_secs_f64()
    }

    /// The instant `duration` later, at most the end of the clock.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A span of `seconds`.
///
/// # Errors
/// [`UnitError::Argument`] naming `name` for a negative or non-finite number, or one too large to hold.
pub fn duration_from_secs(seconds: f64, name: &'static str) -> Result<Duration, UnitError> {
    Duration::try_from_secs_f64(seconds).map_err(|_| UnitError::Argument {
        name,
        reason: format!("{seconds} is not a finite, non-negative number of seconds"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> u64 {
        text.parse::<Bytes>().unwrap_or_else(|e| panic!("{text}: {e}")).get()
    }

    #[test]
    fn units_are_what_they_say() {
        for (text, count) in [
            ("0", 0),
            ("1500", 1500),
            ("1_500 B", 1500),
            ("1kB", 1000),
            ("1 KB", 1000),
            ("1KiB", 1024),
            ("1.5GB", 1_500_000_000),
            ("24GiB", 25_769_803_776),
            (" 8 gb ", 8_000_000_000),
            ("715000MB", 715_000_000_000),
            ("0.5KiB", 512),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), count, "{text}");
        }
    }

    #[test]
    fn a_fraction_of_a_byte_is_booked_whole() {
        assert_eq!(parse("0.0001 kB"), 1);
        assert_eq!(parse("1.0000000000000000000000001 GB"), 1_000_000_000);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_text() {
        for text in [
            "",
            "  ",
            "-1",
            "-0",
            "NaN",
            "inf",
            "1e9",
            "GB",
            ".5GB",
            "5.",
            "1..2",
            "1.2.3",
            "8G",
            "8g",
            "8Gi",
            "8Gb",
            "8 apples",
            "18446744073709551616",
            "99999999999999999999999999999999999999999 PB",
            "8GB8",
            "٣ GB",
        ] {
            let error = text.parse::<Bytes>().expect_err(text);
            let UnitError::Quantity { input, reason } = error else { panic!("{text}: {error:?}") };
            assert_eq!(input, text);
            assert!(!reason.is_empty());
        }
    }

    #[test]
    fn long_garbage_is_clipped_in_the_error() {
        let error = "x".repeat(10_000).parse::<Bytes>().expect_err("garbage");
        assert!(error.to_string().len() < 300);
    }

    #[test]
    fn shown_in_both_readings_and_never_as_a_thousand() {
        assert_eq!(Bytes::new(90_868_376).to_string(), "90.87 MB");
        assert_eq!(format!("{:#}", Bytes::new(4_198_400_000)), "4.20 GB (3.91 GiB)");
        assert_eq!(Bytes::new(999_999).to_string(), "1.00 MB");
        assert_eq!(Bytes::new(999).to_string(), "999 B");
        assert_eq!(Bytes::new((1 << 20) - 1).binary().to_string(), "1.00 MiB");
        assert_eq!(Bytes::MAX.binary().to_string(), "16.00 EiB");
        assert_eq!(Bytes::MAX.to_string(), "18.45 EB");
    }

    #[test]
    fn time_refuses_what_no_clock_shows() {
        for seconds in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
            assert!(matches!(Time::from_secs_f64(seconds), Err(UnitError::Argument { .. })), "{seconds}");
        }
        assert_eq!(Time::from_secs_f64(1.5).unwrap().as_nanos(), 1_500_000_000);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<Bytes>();
        }

        #[test]
        fn plain_counts_round_trip(count: u64) {
            prop_assert_eq!(parse(&count.to_string()), count);
        }

        #[test]
        fn what_is_shown_is_within_half_a_hundredth(count in 1_000_u64..1 << 60) {
            let shown = Bytes::new(count).to_string();
            let error = parse(&shown).abs_diff(count);
            prop_assert!(error <= count / 190, "{} -> {}", count, shown);
        }
    }
}
