//! What the operating system says this process takes.

/// Bytes resident now; `None` where that cannot be read.
#[cfg(target_os = "linux")]
pub(super) fn resident() -> Option<u64> {
    field("/proc/self/smaps_rollup", "Rss:").or_else(|| field("/proc/self/status", "VmRSS:"))
}

/// Begins to look for a new peak; whether it can.
#[cfg(target_os = "linux")]
pub(super) fn forget_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The most bytes resident since the peak was forgotten.
#[cfg(target_os = "linux")]
pub(super) fn peak() -> Option<u64> {
    field("/proc/self/status", "VmHWM:")
}

#[cfg(target_os = "linux")]
fn field(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn resident() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn forget_peak() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(super) fn peak() -> Option<u64> {
    None
}
