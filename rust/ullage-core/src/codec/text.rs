//! Reading schemes: `kind:first,option,name=value`.

/// What is wrong with a text, in words that follow it.
pub(super) type Fault = String;

/// The number in `option`, if it is `name=number`.
pub(super) fn sized(option: &str, name: &str) -> Option<Result<u64, Fault>> {
    let value = option.strip_prefix(name)?.strip_prefix('=')?;
    let size = value.parse().ok().filter(|&size: &u64| size > 0);
    Some(size.ok_or_else(|| format!("{name} is a whole number from 1 on")))
}

/// The number of bits, if it is one of `allowed`.
pub(super) fn bits(word: &str, allowed: &[u32]) -> Result<u32, Fault> {
    word.parse().ok().filter(|bits| allowed.contains(bits)).ok_or_else(|| {
        let list: Vec<String> = allowed.iter().map(u32::to_string).collect();
        format!("bits are {}", list.join(", "))
    })
}

/// An option that a kind of scheme does not have.
pub(super) fn unknown<T>(option: &str, options: &str) -> Result<T, Fault> {
    Err(format!("{:?} is none of its options, which are {options}", crate::units::clip(option)))
}

/// A kind of scheme without options.
pub(super) fn none(options: &[&str]) -> Result<(), Fault> {
    options
        .first()
        .map_or(Ok(()), |option| Err(format!("it takes no option such as {:?}", crate::units::clip(option))))
}
