//! What a crash of Redis, or of its machine, may take back of what Redis acknowledged.

use std::collections::BTreeMap;

/// How durable an acknowledged write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// It is on Redis' disk before Redis answers.
    Fsync,
    /// It is on the disk within about a second, but not while the append-only file is rewritten.
    FsyncButRewrites,
    /// It is on the disk within about a second.
    EverySecond,
    /// It is on the disk when the operating system writes it.
    System,
    /// It is in the next snapshot, if there is one.
    Snapshot,
    /// Redis does not say.
    NotTold,
}

impl Durability {
    /// From `INFO persistence` (`aof_enabled`), and `CONFIG GET appendfsync` and `no-appendfsync-on-rewrite` where Redis
    /// answers them.
    pub(crate) fn of(
        info: &BTreeMap<&str, &str>,
        append_fsync: Option<&str>,
        not_on_rewrite: Option<&str>,
    ) -> Self {
        match (info.get("aof_enabled").copied(), append_fsync) {
            (Some("0"), _) => Self::Snapshot,
            (Some("1"), Some("always")) if not_on_rewrite == Some("yes") => Self::FsyncButRewrites,
            (Some("1"), Some("always")) => Self::Fsync,
            (Some("1"), Some("everysec")) => Self::EverySecond,
            (Some("1"), Some("no")) => Self::System,
            _ => Self::NotTold,
        }
    }

    /// Whether all that was acknowledged outlives a crash of Redis; none where that is not known.
    pub const fn holds(self) -> Option<bool> {
        match self {
            Self::Fsync => Some(true),
            Self::NotTold => None,
            Self::FsyncButRewrites | Self::EverySecond | Self::System | Self::Snapshot => Some(false),
        }
    }

    /// Which promise holds, in one sentence, with what would make it hold.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Fsync => "Nothing that Redis acknowledged is lost when it crashes (appendfsync always).",
            Self::FsyncButRewrites => {
                "A crash of Redis while it rewrites its append-only file loses what it acknowledged meanwhile; set \
                 no-appendfsync-on-rewrite to no."
            }
            Self::EverySecond => {
                "A crash of Redis loses what it acknowledged in the last second (appendfsync everysec): requests may be gone, and \
                 songs be paid for twice; set appendfsync to always."
            }
            Self::System => {
                "A crash of Redis' machine loses what it acknowledged in the last half minute (appendfsync no): requests may be \
                 gone, and songs be paid for twice; set appendfsync to always."
            }
            Self::Snapshot => {
                "A restart of Redis loses what it acknowledged since its last snapshot (appendonly no): requests may be gone, and \
                 songs be paid for twice; set appendonly to yes and appendfsync to always."
            }
            Self::NotTold => {
                "Redis does not say what a crash takes back of what it acknowledged (its user may not run CONFIG GET); ask it as \
                 its operator: appendfsync should be always."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_synced_file_keeps_the_promise() {
        let of =
            |aof, fsync, rewrite| Durability::of(&BTreeMap::from([("aof_enabled", aof)]), fsync, rewrite);
        for (found, expected, holds) in [
            (of("1", Some("always"), Some("no")), Durability::Fsync, Some(true)),
            (of("1", Some("always"), Some("yes")), Durability::FsyncButRewrites, Some(false)),
            (of("1", Some("everysec"), Some("no")), Durability::EverySecond, Some(false)),
            (of("1", Some("no"), None), Durability::System, Some(false)),
            (of("0", Some("always"), Some("no")), Durability::Snapshot, Some(false)),
            (of("1", None, None), Durability::NotTold, None),
            (Durability::of(&BTreeMap::new(), Some("always"), None), Durability::NotTold, None),
        ] {
            assert_eq!((found, found.holds()), (expected, holds));
            let says_what_to_do = found.sentence().contains("; set ");
            assert_eq!(says_what_to_do, holds == Some(false), "{found:?}");
        }
    }
}
