//! Exit codes: stable, and documented in `songmill --help`.

use std::process::ExitCode;

use songmill_store::StoreError;

use crate::client::{Silent, Unreachable, refused};

/// How a command ended when nothing broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Ok,
    /// It ran, but some jobs failed or are held, lines were refused, or checks complain.
    Some,
    /// What was checked is broken.
    Wrong,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Self::SUCCESS,
            Exit::Some => Self::from(3),
            Exit::Wrong => Self::FAILURE,
        }
    }
}

/// A mistake in how the command was called or configured.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Makes a usage error.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Says what broke and picks the code: 2 for usage, 4 for Redis, 1 for the rest.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error:#}");
    if error.chain().any(|cause| cause.is::<Usage>()) {
        return ExitCode::from(2);
    }
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(StoreError::Url(_)))) {
        return ExitCode::from(2);
    }
    let away =
        error.chain().filter_map(|cause| cause.downcast_ref::<StoreError>()).any(StoreError::will_pass);
    let unreachable = error.chain().any(|cause| cause.is::<Unreachable>() || cause.is::<Silent>());
    match refused(error).map(|problem| problem.status) {
        Some(408 | 429 | 503 | 507) => ExitCode::from(4),
        Some(400..500) => ExitCode::from(2),
        _ if away || unreachable => ExitCode::from(4),
        _ => ExitCode::FAILURE,
    }
}

/// Somebody closed the pipe, as `head` does.
fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
