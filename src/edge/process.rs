//! What the operating system says of this process, for metrics.

/// Use of resources so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time.
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub open_files: u64,
    /// Since the epoch.
    pub started_seconds: f64,
}

/// `None` where `/proc` is not there.
pub fn usage() -> Option<Usage> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the command in brackets and may hold spaces; fields are counted after it (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    // SAFETY: sysconf has no preconditions.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK) as f64, libc::sysconf(libc::_SC_PAGESIZE) as u64) };
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(Usage {
        cpu_seconds: (number(14)? + number(15)?) as f64 / ticks,
        resident_bytes: number(24)? * page,
        open_files: std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as u64).unwrap_or(0),
        started_seconds: boot + number(22)? as f64 / ticks,
    })
}

/// User and system time of all threads of this process.
pub fn cpu_seconds() -> f64 {
    clock_seconds(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The same of this thread alone.
pub fn thread_cpu_seconds() -> f64 {
    clock_seconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_seconds(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A file that may not grow any more is an error to whoever writes it, like a full disk, and not the end of the process.
pub fn take_file_limits_as_errors() {
    // SAFETY: ignoring a signal installs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_something() {
        let usage = super::usage().expect("Linux has /proc");
        assert!(usage.resident_bytes > 1 << 20 && usage.open_files > 0 && usage.started_seconds > 1e9, "{usage:?}");
    }
}
