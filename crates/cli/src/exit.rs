//! Exit codes: stable, and documented in `songmill --help`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use songmill_store::StoreError;

use crate::client::{ServerError, refused, refused_code};
use crate::output::{self, OutputError};

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

/// An input that cannot be read.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    usage(format!("cannot open {}: {}", path.display(), plain(&error.to_string())))
}

/// How the program ends: what is printed must have arrived.
pub(crate) fn ended(ended: anyhow::Result<Exit>) -> ExitCode {
    match ended.and_then(|exit| output::flush().map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(error) => failed(&error),
    }
}

/// What clap has to say: of a mistake, or help that was asked for.
pub(crate) fn called_wrongly(error: &clap::Error) -> ExitCode {
    let styled = error.render();
    let on_terminal = match error.use_stderr() {
        true => std::io::stderr().is_terminal(),
        false => output::is_terminal(),
    };
    let mut text = if on_terminal { styled.ansi().to_string() } else { styled.to_string() };
    for (theirs, ours) in NUMBERS {
        text = text.replace(theirs, ours);
    }
    if error.use_stderr() {
        output::help(&text);
        return ExitCode::from(2);
    }
    ended(output::text(text.as_bytes()).map(|()| Exit::Ok))
}

/// What Rust says of numbers, and what we do.
const NUMBERS: [(&str, &str); 6] = [
    ("invalid digit found in string", "write a whole number"),
    ("cannot parse integer from empty string", "write a whole number"),
    ("number too large to fit in target type", "the number is too large"),
    ("number too small to fit in target type", "the number is too small"),
    ("invalid float literal", "write a number"),
    ("cannot parse float from empty string", "write a number"),
];

/// Says what broke and picks the code.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    if matches!(output::output_error(error), Some(OutputError::Closed)) {
        return ExitCode::SUCCESS;
    }
    output::note(format_args!("error: {}", message(error)));
    if let Some(hint) = find::<ServerError>(error).map(ServerError::hint) {
        output::note(format_args!("hint: {hint}"));
    }
    ExitCode::from(code(error))
}

/// The code for a Redis or server that is not there: waiting may help.
pub(crate) const AWAY: u8 = 4;

/// 2 for usage and what a server refuses, 4 for a Redis or server that is not there, 3 for what was done in part, 1 for the
/// rest.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    if find::<Usage>(error).is_some() {
        return 2;
    }
    if let Some(problem) = refused(error) {
        return refused_code(problem.status);
    }
    if let Some(server) = find::<ServerError>(error) {
        return server.exit_code();
    }
    match find::<StoreError>(error) {
        Some(StoreError::Url(_) | StoreError::Files(_) | StoreError::Tls(..)) => 2,
        Some(error) if error.will_pass() => AWAY,
        _ => 1,
    }
}

fn find<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// What broke and why, as one sentence: no cause twice, no numbers of the operating system, no control characters.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let words = plain(&in_our_words(cause));
        if message.contains(&words) {
            continue;
        }
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&words);
    }
    message
}

/// A library's error, of those that are written for programmers. (What is wrong with settings is told by `load`.)
fn in_our_words(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<serde_json::Error>() {
        Some(error) => format!("its JSON {}", songmill_core::json::fault(error)),
        None => cause.to_string(),
    }
}

fn plain(text: &str) -> String {
    let mut plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while let Some(begin) = plain.find(" (os error ") {
        let end = plain[begin..].find(')').map_or(plain.len(), |end| begin + end + 1);
        plain.replace_range(begin..end, "");
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    fn broken_pipe() -> io::Error {
        io::Error::from_raw_os_error(32)
    }

    #[test]
    fn only_our_own_output_that_is_closed_is_well() {
        let ours = anyhow::Error::new(io::Error::other(OutputError::Closed)).context("a table");
        assert!(matches!(output::output_error(&ours), Some(OutputError::Closed)));
        let full = anyhow::Error::new(io::Error::other(OutputError::Failed(broken_pipe())));
        for other in [full, broken_pipe().into(), anyhow::Error::new(broken_pipe()).context("the body")] {
            assert!(!matches!(output::output_error(&other), Some(OutputError::Closed)), "{other:?}");
            assert_eq!(code(&other), 1);
        }
    }

    #[test]
    fn a_message_names_each_cause_once_and_no_numbers() {
        let error = Err::<(), _>(broken_pipe()).context("cannot write a.jsonl").unwrap_err();
        assert_eq!(message(&error), "cannot write a.jsonl: Broken pipe");
        let twice = anyhow::anyhow!("redis is away").context("redis is away\nnow");
        assert_eq!(message(&twice), "redis is away now");
    }
}
