//! Why a job waits, in words.

use serde::Serialize;

use super::record::{Entry, Job};
use super::state::{Ended, State};
use crate::time::Timestamp;

/// Why a job waits, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What it waits for, as a sentence.
    pub waits_for: String,
    /// When it will be looked at again; `None` when nothing will happen by itself.
    pub due: Option<Timestamp>,
}

/// Says why a job waits.
pub fn explain(job: &Job, now: Timestamp) -> Explanation {
    let vendor = job.vendor();
    let waits_for = match &job.state {
        State::Queued if job.due > now => match last_trouble(job) {
            Some(Entry(_, what, words)) => {
                format!("waits to be submitted to {vendor} again, after {what}: {words}")
            }
            None => format!("waits for its time to be submitted to {vendor}"),
        },
        State::Queued => format!("waits for a free worker to submit it to {vendor}"),
        State::Submitting(attempt) => {
            format!(
                "attempt {} is being sent to {vendor}; if its worker dies, {vendor} is asked what became of it",
                attempt.number
            )
        }
        State::Uncertain { attempt, doubt } if doubt.heard => {
            format!("attempt {} exists, by its callback; {vendor} is asked for its task", attempt.number)
        }
        State::Uncertain { attempt, doubt } => format!(
            "it is not known whether {vendor} took attempt {} ({}); looked for {} times, it is sent again only when {vendor} surely does not have it",
            attempt.number, doubt.fault, doubt.looks
        ),
        State::Generating { task, polls, .. } => {
            format!("{vendor} works on task {task}; asked {polls} times, and its callback is awaited")
        }
        State::Canceling { task, because: Ended::Asked, .. } => {
            format!("{vendor} is asked to stop task {task}")
        }
        State::Canceling { task, because: Ended::Overdue, .. } => {
            format!("task {task} took too long; {vendor} is asked to stop it before another attempt")
        }
        State::Collecting { outputs, tries: 0, .. } => {
            format!("{} files are being brought in", outputs.len())
        }
        State::Collecting { outputs, tries, .. } => {
            format!("{} files are brought in again, after {tries} failures", outputs.len())
        }
        State::Completed { assets, .. } => format!("nothing: {} files are stored", assets.len()),
        State::Failed { fault, .. } => {
            format!("nothing: it failed with {fault}; `songmill job retry` tries it again")
        }
        State::Canceled { .. } => "nothing: it was canceled; `songmill job retry` tries it again".to_owned(),
        State::Held { of, .. } => format!(
            "an operator: nobody can tell what became of attempt {} at {vendor} ({}); choose with `songmill job resolve`",
            of.attempt.number, of.fault
        ),
    };
    Explanation { waits_for, due: job.place().map(|place| place.due) }
}

/// The last entry that says why the job is back in the queue.
fn last_trouble(job: &Job) -> Option<&Entry> {
    job.history.iter().rev().find(|Entry(_, what, _)| {
        matches!(&**what, "submit_failed" | "attempt_failed" | "failed_over" | "resubmitted" | "not_found")
    })
}
