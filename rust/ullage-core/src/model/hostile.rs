//! What every reader must survive: a file cut short anywhere, and a file with bytes changed anywhere.

#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

/// Reads every truncation of `bytes` and many corruptions of it. `read` must return, with whatever it returns; what
/// comes of a file cut short is given to `cut`.
pub(super) fn survive<T>(bytes: &[u8], read: impl Fn(&[u8]) -> T, cut: impl Fn(usize, T)) {
    for end in 0..bytes.len() {
        cut(end, read(&bytes[..end]));
    }
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(limit).unwrap()).unwrap()
    };
    for place in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff, bytes[place] ^ (1 << next(8))] {
            let mut changed = bytes.to_vec();
            changed[place] = value;
            read(&changed);
        }
    }
    for _ in 0..2000 {
        let mut changed = bytes.to_vec();
        for _ in 0..=next(8) {
            let place = next(changed.len());
            changed[place] = u8::try_from(next(256)).unwrap();
        }
        read(&changed);
    }
}
