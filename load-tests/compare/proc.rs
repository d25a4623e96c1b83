//! What /proc says of processes: processor time and resident memory.

use std::path::Path;

use super::common::as_f64;

/// USER_HZ, which is 100 on every Linux that matters.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of a process and of its ended children that it waited for, in seconds; 0 when it is gone.
pub fn cpu_seconds(pid: u32) -> f64 {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(0.0, |stat| parse_stat(&stat))
}

/// The four times of /proc/PID/stat: utime, stime, cutime, cstime.
fn parse_stat(stat: &str) -> f64 {
    // The command, in parentheses, may hold spaces and parentheses.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    as_f64(ticks) / TICKS_PER_SECOND
}

/// The same of every process whose working directory is `folder`. A process that ends in between moves into the time of
/// its parent, which for PostgreSQL is the postmaster and has the same directory, so that nothing is lost.
pub fn cpu_seconds_in(folder: &Path) -> f64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder))
        .map(cpu_seconds)
        .sum()
}

/// Resident memory of a process now, in MiB.
pub fn resident_mib(pid: u32) -> f64 {
    status_mib(pid, "VmRSS:")
}

/// Largest resident memory since [`reset_peak`], in MiB.
pub fn peak_mib(pid: u32) -> f64 {
    status_mib(pid, "VmHWM:")
}

/// Forgets the peak; false where the kernel does not let us, and the peak is that of the process's life.
pub fn reset_peak(pid: u32) -> bool {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok()
}

fn status_mib(pid: u32, field: &str) -> f64 {
    std::fs::read_to_string(format!("/proc/{pid}/status")).map_or(0.0, |status| parse_kib(&status, field) / 1024.0)
}

/// The number behind a field's name in /proc/PID/status or /proc/meminfo, in KiB; 0 when it is not there.
pub fn parse_kib(text: &str, field: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 200 0 0 150 50 25 75 20 0 9 0 12345 1 2";
        assert!((parse_stat(stat) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn this_process_has_memory_and_its_peak_is_not_less() {
        let pid = std::process::id();
        assert!(resident_mib(pid) > 1.0 && peak_mib(pid) >= resident_mib(pid) * 0.5);
        assert!(parse_kib("VmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n", "VmRSS:") > 1023.0);
    }
}
