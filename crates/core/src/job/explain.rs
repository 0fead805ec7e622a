//! Why a job waits, in words: what for, until when, and what happens then.

use std::time::Duration;

use serde::Serialize;

use super::record::{Job, StepKind};
use super::retrieval::Retrieval;
use super::state::{Accept, Attempt, Doubt, Ended, HeldFor, Origin, Stage, State};
use crate::time::Timestamp;

/// Why a job waits, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What it waits for and what happens then, as one sentence without a capital and a full stop.
    pub waits_for: String,
    /// When it will be looked at again; `None` when nothing will happen by itself.
    pub due: Option<Timestamp>,
}

/// Says why a job waits.
pub fn explain(job: &Job, now: Timestamp) -> Explanation {
    let words = Words { job, now };
    let mut waits_for = match &job.state {
        State::Queued => words.queued(),
        State::Submitting(attempt) => words.submitting(*attempt),
        State::Uncertain { attempt, doubt } => words.uncertain(*attempt, doubt),
        State::Generating { .. } => words.generating(),
        State::Canceling { tries, because, .. } => words.canceling(*tries, *because),
        State::Collecting { origin, outputs, tries, accept, .. } => {
            words.collecting(origin, outputs.len(), *tries, *accept)
        }
        State::Completed { at, origin, assets, .. } => {
            format!("nothing: {} by {} stored {}", count(assets.len(), "file"), origin.vendor, words.ago(*at))
        }
        State::Failed { at, fault } => {
            format!(
                "nothing: it failed {}: {}; `songmill job retry` tries it again",
                words.ago(*at),
                fault.in_full()
            )
        }
        State::Canceled { at } => format!(
            "nothing: it was canceled {}{}; `songmill job retry` tries it again",
            words.ago(*at),
            words.last(&["canceled"])
        ),
        State::Held { at, of } => words.held(*at, of),
    };
    if job.cancel_asked && job.is_at(Stage::Resolve) {
        waits_for += "; the caller asked for it to stop, and as soon as the outcome is known it does";
    }
    Explanation { waits_for, due: job.place().map(|place| place.due) }
}

struct Words<'a> {
    job: &'a Job,
    now: Timestamp,
}

impl Words<'_> {
    fn queued(&self) -> String {
        let job = self.job;
        let song = match job.step_kind() {
            StepKind::Lyrics => "its lyrics",
            StepKind::Song => "its song",
        };
        let why = self.last(&[
            "submit_failed",
            "attempt_failed",
            "failed_over",
            "not_found",
            "resubmitted",
            "resolved",
            "retry_asked",
        ]);
        let number = job.submissions.saturating_add(1);
        let (vendor, due) = (job.vendor(), self.due());
        let until = match job.until.since(self.now) {
            Duration::ZERO => "its deadline has passed: the next setback ends it".into(),
            left => format!("put off for more than {} it fails", span(left)),
        };
        format!("a worker to submit {song} to {vendor} as attempt {number}, due {due}{why}; {until}")
    }

    fn submitting(&self, attempt: Attempt) -> String {
        let (vendor, since) = (self.job.vendor(), self.ago(attempt.since));
        format!(
            "{vendor} to answer attempt {}, submitted {since}; if the worker does not come back, the task is \
             looked up before anything is submitted again",
            attempt.number
        )
    }

    fn uncertain(&self, attempt: Attempt, doubt: &Doubt) -> String {
        let Doubt { fault, looks, heard, fails } = doubt;
        let then = if *heard {
            "it must be taken to exist, so nothing is submitted again without an operator"
        } else {
            "only when enough looks have found nothing is it submitted again"
        };
        let failed = match fails {
            0 => String::new(),
            fails => format!(", the last {fails} failed"),
        };
        format!(
            "a look-up to say whether {} has a task for attempt {} ({}): {} found nothing{failed}, the \
             next is due {}; {then}",
            self.job.vendor(),
            attempt.number,
            fault.in_full(),
            count(*looks as usize, "look"),
            self.due()
        )
    }

    fn generating(&self) -> String {
        let State::Generating { attempt, task, polls, denied, stops, .. } = &self.job.state else {
            return String::new();
        };
        let vendor = self.job.vendor();
        let mut text = format!(
            "{vendor} to end task {task} of attempt {}, begun {}: {} so far, the next is due {}",
            attempt.number,
            self.ago(attempt.since),
            count(*polls as usize, "look"),
            self.due()
        );
        if self.job.strikes > 0 {
            text += &match self.job.strikes {
                1 => "; the latest look failed".into(),
                strikes => format!("; the latest {strikes} looks failed"),
            };
        }
        if *denied > 0 {
            text += &format!("; {vendor} denied knowing the task {}", times(*denied));
        }
        if *stops > 0 {
            text += &format!("; it takes too long and {vendor} was asked to stop it {}", times(*stops));
        }
        text += &self.retrieval();
        text
    }

    /// How getting at the output of a task that has succeeded goes.
    fn retrieval(&self) -> String {
        let Retrieval { refreshes, unreadable, not_ready, unusable, .. } = self.job.retrieval;
        let mut text = String::new();
        if unreadable > 0 {
            text += &format!(
                "; the task has succeeded, and {} found no output that can be read: it is polled for a while, and then \
                 an operator is asked",
                count(unreadable as usize, "poll")
            );
        }
        if refreshes > 0 {
            text += &format!("; {} gave no audio", count(refreshes as usize, "address"));
            text += &self.last(&["collect_failed"]);
        }
        if not_ready + unusable > 0 {
            text += &format!("; {} gave no usable audio", count((not_ready + unusable) as usize, "download"));
            text += &self.last(&["unfit"]);
        }
        text
    }

    fn canceling(&self, tries: u32, because: Ended) -> String {
        let State::Canceling { attempt, task, .. } = &self.job.state else { return String::new() };
        let (why, then) = match because {
            Ended::Asked => ("the caller asked for that", "then it is canceled"),
            Ended::Overdue => {
                ("it takes too long", "then it is looked at once more before another is paid for")
            }
        };
        format!(
            "{} to stop task {task} of attempt {} ({why}), due {}{}; {then}",
            self.job.vendor(),
            attempt.number,
            self.due(),
            in_vain(tries)
        )
    }

    fn collecting(&self, origin: &Origin, outputs: usize, tries: u32, accept: Accept) -> String {
        let why = match (tries, accept) {
            (0, Accept::Whole) => self.retrieval(),
            (0, Accept::Partial) => self.last(&["partly"]),
            (0, Accept::Any) => self.last(&["stored_as_it_is"]),
            _ => self.last(&["collect_failed"]),
        };
        let (what, then) = match accept {
            Accept::Whole => ("", ""),
            Accept::Partial => ("what is good of ", ", if a song is among it"),
            Accept::Any => ("whatever is audio of ", ""),
        };
        format!(
            "a worker to bring {what}{} of {}, attempt {}, into storage, due {}{}{why}; then it is completed{then}",
            count(outputs, "output"),
            origin.vendor,
            origin.attempt.number,
            self.due(),
            in_vain(tries),
        )
    }

    fn held(&self, at: Timestamp, of: &HeldFor) -> String {
        let (vendor, number, fault) = (self.job.vendor(), of.attempt.number, &of.fault);
        let task = of.task.as_ref().map_or_else(|| "its task".into(), |task| format!("task {task}"));
        let about = match &*fault.code {
            "output_unreadable" => {
                format!(
                    "{vendor} says that {task} of attempt {number} succeeded, but shows no output that can be read"
                )
            }
            "output_lost" => {
                format!("the audio of {task} at {vendor} (attempt {number}) cannot be downloaded")
            }
            "audio_unfit" | "not_audio" => {
                format!("the audio of {task} at {vendor} (attempt {number}) is unusable")
            }
            _ if of.task.is_some() => {
                format!("nobody can tell what became of {task} at {vendor} for attempt {number}")
            }
            _ => format!("nobody can tell whether there is a task at {vendor} for attempt {number}"),
        };
        let store = if of.task.is_some() { ", its audio stored as it is" } else { "" };
        format!(
            "an operator, asked {}: {about} ({}); `songmill job resolve` has it submitted again at the risk of \
             paying twice, a task adopted{store}, or the job failed; a callback or a late answer settles it too",
            self.ago(at),
            fault.in_full(),
        )
    }

    /// The latest of such entries in the history.
    fn last(&self, whats: &[&str]) -> String {
        let found = self.job.history.iter().rev().find(|entry| whats.contains(&&*entry.1));
        found.map_or_else(String::new, |entry| {
            let words = if entry.2.is_empty() { String::new() } else { format!(": {}", entry.2) };
            format!(" ({} {}{words})", entry.1.replace('_', " "), self.ago(entry.0))
        })
    }

    fn due(&self) -> String {
        match self.job.due.since(self.now) {
            Duration::ZERO => "now".into(),
            wait => format!("in {}", span(wait)),
        }
    }

    fn ago(&self, at: Timestamp) -> String {
        match self.now.since(at) {
            Duration::ZERO => "just now".into(),
            past => format!("{} ago", span(past)),
        }
    }
}

fn in_vain(tries: u32) -> String {
    match tries {
        0 => String::new(),
        tries => format!(" after it was tried {} in vain", times(tries)),
    }
}

fn times(number: u32) -> String {
    match number {
        1 => "once".into(),
        2 => "twice".into(),
        number => format!("{number} times"),
    }
}

fn count(number: usize, what: &str) -> String {
    match (number, what.ends_with('s')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{number} {what}es"),
        (_, false) => format!("{number} {what}s"),
    }
}

fn span(wait: Duration) -> String {
    match wait.as_secs() {
        0 => format!("{} ms", wait.as_millis()),
        secs @ 1..120 => format!("{secs} s"),
        secs @ 120..7200 => format!("{} min", secs / 60),
        secs @ 7200..172_800 => format!("{} h", secs / 3600),
        secs => format!("{} days", secs / 86_400),
    }
}
