//! Caches as the operating system lists them.

use crate::jit::figure::Origin;
use crate::jit::profile::Cache;

/// Data caches of the first processor, by level; a guess where nothing is listed.
#[must_use]
pub fn caches() -> Vec<Cache> {
    let mut found: Vec<Cache> = (0..8).filter_map(listed).collect();
    found.sort_by_key(|cache| cache.level);
    if found.iter().any(|cache| cache.level >= 2) {
        return found;
    }
    let assumed = |level, bytes| Cache { level, bytes, origin: Origin::Assumed };
    vec![assumed(1, 32 << 10), assumed(2, 1 << 20), assumed(3, 32 << 20)]
}

fn listed(index: u32) -> Option<Cache> {
    let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("{folder}/{name}")).ok()?;
        Some(text.trim().to_owned())
    };
    if read("type")? == "Instruction" {
        return None;
    }
    let size = read("size")?;
    let (digits, factor) = match size.strip_suffix('K') {
        Some(digits) => (digits, 1_u64 << 10),
        None => size.strip_suffix('M').map_or((size.as_str(), 1), |digits| (digits, 1 << 20)),
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(factor).filter(|&bytes| bytes > 0)?;
    Some(Cache { level: read("level")?.parse().ok()?, bytes, origin: Origin::Measured })
}
