//! How much memory there is, and how much the process has held.

use std::fs;

/// What a run may use where the pipeline file says nothing: half of what the
/// machine or the cgroup has, in bytes.
pub(crate) fn default_limit() -> u64 {
    const WITHOUT_ANY_KNOWLEDGE: u64 = 1 << 30;
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| kibibytes(&text, "MemTotal:"));
    let cgroup = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let least = [machine, cgroup].into_iter().flatten().min();
    least.map_or(WITHOUT_ANY_KNOWLEDGE, |bytes| bytes / 2)
}

/// The most memory that this process has held so far, in bytes (`VmHWM`); 0
/// where the system does not tell.
pub(crate) fn peak() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| kibibytes(&text, "VmHWM:"))
        .unwrap_or(0)
}

/// The share of a limit that the query engine may use. The rest is for what
/// it does not count: the binary, batches on their way between threads, open
/// files being read and encoded.
pub(crate) fn engine_share(limit: u64, threads: usize) -> usize {
    const PROCESS: u64 = 96 << 20;
    const PER_THREAD: u64 = 64 << 20;
    let rest = limit.saturating_sub(PROCESS + PER_THREAD * threads as u64);
    usize::try_from(rest.max(limit / 4)).unwrap_or(usize::MAX)
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_in_kibibytes() {
        assert_eq!(
            kibibytes("VmPeak:\t 9 kB\nVmHWM:\t   12 kB\n", "VmHWM:"),
            Some(12 * 1024)
        );
        assert_eq!(kibibytes("", "VmHWM:"), None);
    }

    #[test]
    fn a_small_limit_still_leaves_the_engine_something() {
        assert_eq!(engine_share(64 << 20, 8), 16 << 20);
        assert_eq!(engine_share(512 << 20, 2), (512 - 96 - 128) << 20);
    }
}
