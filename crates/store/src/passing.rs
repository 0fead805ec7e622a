//! What passes by itself or by an operator: Redis is there, and refuses for a while.

use redis::RedisError;

/// Why Redis refuses for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// It cannot write to its disk.
    Disk,
    /// It is still reading its file.
    Loading,
    /// It is a replica.
    ReadOnly,
    /// A script of somebody's runs for too long.
    Busy,
    /// Too few replicas are connected.
    NoReplicas,
    /// It is a replica without its primary.
    NoPrimary,
    /// A part of the cluster is down, or on the move.
    Cluster,
    /// It has as many clients as it may have.
    Clients,
}

/// The codes that Redis answers with.
const CODES: [(&str, Passing); 8] = [
    ("MISCONF", Passing::Disk),
    ("LOADING", Passing::Loading),
    ("READONLY", Passing::ReadOnly),
    ("BUSY", Passing::Busy),
    ("NOREPLICAS", Passing::NoReplicas),
    ("MASTERDOWN", Passing::NoPrimary),
    ("CLUSTERDOWN", Passing::Cluster),
    ("TRYAGAIN", Passing::Cluster),
];

/// What Redis says where `maxclients` is reached; it has no code.
const CLIENTS: &str = "max number of clients reached";

impl Passing {
    /// Every one.
    #[cfg(test)]
    const ALL: [Self; 8] = [
        Self::Disk,
        Self::Loading,
        Self::ReadOnly,
        Self::Busy,
        Self::NoReplicas,
        Self::NoPrimary,
        Self::Cluster,
        Self::Clients,
    ];

    pub(crate) fn of(error: &RedisError) -> Option<Self> {
        if error.to_string().contains(CLIENTS) {
            return Some(Self::Clients);
        }
        CODES.into_iter().find(|(code, _)| has_code(error, code)).map(|(_, passing)| passing)
    }

    /// What is the matter, and what to do about it.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Disk => {
                "redis refuses writes because it cannot write to its disk (MISCONF): free disk space; its log says more"
            }
            Self::Loading => "redis is still reading its file (LOADING): it serves when it has",
            Self::ReadOnly => {
                "redis is a read-only replica (READONLY): a failover may be under way, or redis.url names a replica instead of \
                 the primary"
            }
            Self::Busy => {
                "redis is busy with a script of another program (BUSY): `redis-cli SCRIPT KILL` ends that"
            }
            Self::NoReplicas => {
                "redis refuses writes because too few replicas are connected (NOREPLICAS): start them, or lower \
                 min-replicas-to-write"
            }
            Self::NoPrimary => {
                "redis is a replica that has lost its primary (MASTERDOWN): start that, or have redis.url name another"
            }
            Self::Cluster => "a part of the redis cluster is down or on the move (CLUSTERDOWN)",
            Self::Clients => "redis has as many clients as it may have: raise maxclients, or close others",
        }
    }
}

/// Whether an error has this code, or one of those of a pipeline has; older versions of Redis quote what happened inside
/// a script.
pub(crate) fn has_code(error: &RedisError, code: &str) -> bool {
    let Some(errors) = error.clone().into_server_errors() else { return error.code() == Some(code) };
    let quoted = format!("-{code} ");
    errors.iter().any(|(_, error)| {
        error.code() == code || error.details().is_some_and(|details| details.contains(&quoted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::StoreError;

    fn answered(line: &str) -> RedisError {
        redis::parse_redis_value(line.as_bytes())
            .and_then(|value| value.extract_error())
            .expect_err("it is an error")
    }

    #[test]
    fn every_passing_fault_is_told_from_others_alone_and_within_a_script() {
        let mut known = Vec::new();
        for (code, passing) in CODES {
            for line in [
                format!("-{code} Redis says so.\r\n"),
                format!("-{code} Redis says so. script: 77ab, on @user_script:12.\r\n"),
                format!(
                    "-ERR Error running script (call to f_77ab): @user_script:12: -{code} Redis says so. \r\n"
                ),
            ] {
                let error = StoreError::from(answered(&line));
                assert!(
                    matches!(error, StoreError::Passing(found, _) if found == passing),
                    "{line}: {error:?}"
                );
                assert!(error.will_pass());
                assert_eq!(error.to_string(), passing.message());
            }
            known.push(passing);
        }
        let full = StoreError::from(answered("-ERR max number of clients reached\r\n"));
        assert!(matches!(full, StoreError::Passing(Passing::Clients, _)));
        known.push(Passing::Clients);
        assert!(Passing::ALL.iter().all(|passing| known.contains(passing)));
        for line in
            ["-OOM command not allowed\r\n", "-ERR Error running script: @user_script:12: -OOM no \r\n"]
        {
            assert!(matches!(StoreError::from(answered(line)), StoreError::Full(_)), "{line}");
        }
        for line in ["-ERR unknown command\r\n", "-WRONGTYPE Operation\r\n", "-ERR a BUSY night\r\n"] {
            let error = StoreError::from(answered(line));
            assert!(matches!(error, StoreError::Refused(_)) && !error.will_pass(), "{line}");
        }
        for code in ["NOAUTH", "WRONGPASS", "NOPERM"] {
            let error = StoreError::from(answered(&format!("-{code} No.\r\n")));
            assert!(matches!(error, StoreError::Denied(_)) && !error.will_pass(), "{code}: {error:?}");
        }
    }
}
