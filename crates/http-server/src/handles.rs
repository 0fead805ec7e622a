//! File handles: as many as the system lets us have, and some kept for our own work.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's limit of open files as far as the system allows; the limit then.
pub fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (now, most) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(ENOUGH));
    if now >= most {
        return now;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }) {
        Ok(()) => most,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised from {now} to {most}");
            now
        }
    }
}

/// Where the system names no limit.
const ENOUGH: u64 = 1 << 20;

/// How many connections each of so many servers may have, so that files are left for our own work: Redis, vendors,
/// storage.
pub fn connections_within(open_files: u64, servers: usize) -> usize {
    let reserve = (open_files / 4).clamp(256, 4096);
    let left = open_files.saturating_sub(reserve) / servers.max(1) as u64;
    usize::try_from(left).unwrap_or(usize::MAX).max(FEWEST)
}

/// Connections of a server, however few files there may be.
const FEWEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_our_own_work() {
        for (open_files, servers, expected) in
            [(1024, 1, 768), (1024, 2, 384), (20_000, 2, 7952), (1 << 20, 1, (1 << 20) - 4096), (100, 1, 64)]
        {
            assert_eq!(connections_within(open_files, servers), expected, "{open_files} {servers}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        let limit = raise_open_files();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current.unwrap_or(u64::MAX), limit);
        assert_eq!(now.current, now.maximum.or(now.current));
    }
}
