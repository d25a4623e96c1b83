//! The `process_*` metrics that Prometheus' client libraries agree on, read from /proc. Where there is no /proc they are
//! left out.

use std::fmt::Write;

/// Of the fields of /proc/self/stat behind the name, in clock ticks.
const UTIME: usize = 11;
const STIME: usize = 12;
const START_TIME: usize = 19;
const THREADS: usize = 17;
const VIRTUAL_BYTES: usize = 20;
const RESIDENT_PAGES: usize = 21;

/// Appends them in Prometheus' text format.
pub fn append(into: &mut String) {
    for (name, kind, help, value) in read().into_iter().flatten() {
        // A String takes everything.
        let _ = writeln!(into, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
}

type Sample = (&'static str, &'static str, &'static str, f64);

fn read() -> Option<Vec<Sample>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold blanks.
    let fields: Vec<f64> =
        stat.rsplit(") ").next()?.split(' ').map(|field| field.trim().parse().unwrap_or(0.0)).collect();
    let field = |at: usize| fields.get(at).copied();
    let ticks = per_second(nix::unistd::SysconfVar::CLK_TCK)?;
    let page = per_second(nix::unistd::SysconfVar::PAGE_SIZE)?;
    let mut samples = vec![
        (
            "process_cpu_seconds_total",
            "counter",
            "CPU time of the process, of user and system, in seconds.",
            (field(UTIME)? + field(STIME)?) / ticks,
        ),
        ("process_resident_memory_bytes", "gauge", "Resident memory in bytes.", field(RESIDENT_PAGES)? * page),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory in bytes.", field(VIRTUAL_BYTES)?),
        ("process_threads", "gauge", "Threads of the process.", field(THREADS)?),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process was started, in seconds since 1970.",
            booted_s()? + field(START_TIME)? / ticks,
        ),
    ];
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        #[expect(clippy::cast_precision_loss, reason = "a process has few descriptors")]
        samples.push(("process_open_fds", "gauge", "Open file descriptors.", open.count() as f64));
    }
    if let Some(max) = descriptors_max() {
        samples.push(("process_max_fds", "gauge", "Most file descriptors that may be open.", max));
    }
    Some(samples)
}

#[expect(clippy::cast_precision_loss, reason = "hundreds, or thousands")]
fn per_second(what: nix::unistd::SysconfVar) -> Option<f64> {
    nix::unistd::sysconf(what).ok().flatten().map(|value| value as f64)
}

/// When the machine was started, in seconds since 1970.
fn booted_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// None: unlimited, or not known.
fn descriptors_max() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_this_process() {
        let mut text = String::new();
        append(&mut text);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} in {text}")).parse().expect("a number")
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0 && value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
        assert!((now - 86_400.0..now + 2.0).contains(&value("process_start_time_seconds")));
    }
}
