//! From "it has succeeded" to outputs that can be downloaded: what cannot be read may come later, and is never paid for
//! again.

use std::time::Duration;

use super::{Changed, Turn};
use crate::fault::{Fault, FaultKind};
use crate::id::TaskId;
use crate::job::event::Via;
use crate::job::policy::backoff;
use crate::job::retrieval::fingerprint;
use crate::job::state::{Attempt, Origin};
use crate::report::{Extra, ExtraReason, Extras, Output, Outputs, RawAnswer, Source};
use crate::song::Field;
use crate::time::{Span, Timestamp};

/// The fewest polls before an output counts as not coming.
const MIN_POLLS: u32 = 6;
/// The same, and how long it is waited for, where a task shows other songs.
const PARTIAL_POLLS: u32 = 3;
const PARTIAL_GRACE: Duration = Duration::from_secs(10);
/// The longest wait between two of them.
const MAX_WAIT: Span = Span::secs(30);
/// Songs that are delivered although fewer were requested: some vendors make two and charge for both.
const BONUS_SONGS: usize = 4;
/// Parts of songs that are delivered at the most.
const MAX_PARTS: usize = 32;

/// What is delivered of a task's outputs, and what is only listed.
pub(super) struct Selected {
    pub(super) outputs: Vec<Output>,
    pub(super) extra: Extras,
    /// Whether a song is not there yet that may come.
    pub(super) may_come: bool,
}

impl Turn<'_> {
    /// A song's task gave these outputs.
    pub(super) fn song_ended(
        &mut self,
        attempt: Attempt,
        task: Option<TaskId>,
        outputs: Outputs,
        via: Via,
    ) -> Changed {
        let selected = self.selected(attempt.number, outputs);
        if self.is_stale(&selected.outputs, via) {
            return Changed::No;
        }
        if selected.outputs.is_empty() {
            let answer = RawAnswer::new(&listed(&selected.extra));
            return self.output_unreadable(attempt, task, &answer, via);
        }
        if selected.may_come && task.is_some() && !self.has_waited(PARTIAL_POLLS, PARTIAL_GRACE) {
            return self.wait_for_output(attempt, task, via);
        }
        let vendor = self.job.vendor().clone();
        // Downloaded once more it costs nothing more.
        if !self.job.retrieval.booked {
            self.book(attempt.number, &selected.outputs);
        }
        self.collect(Origin { vendor, attempt, task }, selected)
    }

    /// Whether these are the addresses that did not serve, said by somebody who may be behind: a list, or a callback that
    /// comes late or twice.
    fn is_stale(&self, outputs: &[Output], via: Via) -> bool {
        let stale = self.job.retrieval.stale;
        let is_behind = match via {
            Via::Poll { .. } => false,
            Via::List { .. } | Via::Callback => true,
        };
        is_behind && stale != 0 && stale == fingerprint(outputs)
    }

    /// Remembers which addresses did not serve.
    pub(super) fn note_stale(&mut self, outputs: &[Output]) {
        self.job.retrieval.stale = fingerprint(outputs);
    }

    /// What of a task's outputs is delivered: up to as many songs as were requested, and their parts.
    pub(super) fn selected(&self, attempt: u32, outputs: Outputs) -> Selected {
        let Outputs { audio, mut extra } = self.own_of(attempt, outputs);
        let (songs, parts): (Vec<_>, Vec<_>) = audio.into_iter().partition(|output| output.part.is_none());
        let requested = self.job.size().songs.max(1) as usize;
        let usable = songs.iter().filter(|song| song.is_usable()).count();
        let most = if usable <= requested.max(BONUS_SONGS) { usable } else { requested };
        let mut may_come = false;
        let mut outputs = Vec::new();
        for output in songs.into_iter().chain(parts) {
            let room = if output.part.is_none() { most } else { most + MAX_PARTS };
            let reason = match &output.source {
                Source::Unusable(text) => {
                    may_come |= text.is_empty();
                    if text.is_empty() { ExtraReason::Missing } else { ExtraReason::Unusable }
                }
                Source::Url(_) | Source::Object { .. } if outputs.len() < room => {
                    outputs.push(output);
                    continue;
                }
                Source::Url(_) | Source::Object { .. } => ExtraReason::NotRequested,
            };
            extra.push(Extra::new(output.source.as_str(), output.part.as_deref(), reason));
        }
        let is_alone = self.job.packed.is_none_or(|packed| attempt != packed.own);
        if is_alone && self.makes_many() && usable < requested && usable > 0 && !may_come {
            may_come = true;
            let missing = format!("{} of {requested} songs", requested - usable);
            extra.push(Extra::new(&missing, None, ExtraReason::Missing));
        }
        Selected { outputs, extra, may_come }
    }

    /// Whether the vendor that the job is with makes as many songs as were requested.
    fn makes_many(&self) -> bool {
        self.job.route == 0 && !self.job.here().dropped.contains(&Field::Count)
    }

    /// Of a task that it shares with other jobs, a job's own song.
    fn own_of(&self, attempt: u32, outputs: Outputs) -> Outputs {
        match self.job.packed {
            Some(packed) if attempt == packed.own => {
                let own = outputs.audio.into_iter().nth(packed.place as usize);
                Outputs { audio: vec![own.unwrap_or_else(|| Output::unusable(""))], extra: Extras::default() }
            }
            _ => outputs,
        }
    }

    /// The task has succeeded, and nothing can be read of its output: it may come later. It is polled for a while, and
    /// then an operator decides.
    pub(super) fn output_unreadable(
        &mut self,
        attempt: Attempt,
        task: Option<TaskId>,
        answer: &RawAnswer,
        via: Via,
    ) -> Changed {
        if self.job.cancel_asked {
            return self.cancel("the task had ended");
        }
        if self.has_waited(MIN_POLLS, self.policy.jobs.output_grace.get()) {
            let polls = self.job.retrieval.unreadable;
            let words = format!("the task succeeded, and {polls} polls found no output that can be read");
            let fault = Fault::new(FaultKind::Unknown, "output_unreadable", words);
            return self.hold_with(attempt, task.as_ref(), &fault, Some(answer.clone()));
        }
        self.wait_for_output(attempt, task, via)
    }

    /// Whether the vendor has said of the task that is followed that it succeeded.
    pub(super) fn has_succeeded(&self) -> bool {
        !self.job.retrieval.is_new()
    }

    /// Whether the output of the task was waited for this long.
    fn has_waited(&self, polls: u32, grace: Duration) -> bool {
        let retrieval = &self.job.retrieval;
        retrieval.unreadable >= polls
            && retrieval.unreadable_since > Timestamp::default()
            && self.now.since(retrieval.unreadable_since) >= grace
    }

    /// Polls the task again in a moment.
    fn wait_for_output(&mut self, attempt: Attempt, task: Option<TaskId>, via: Via) -> Changed {
        let Some(task) = task else { return Changed::No };
        if self.job.retrieval.unreadable_since == Timestamp::default() {
            self.job.note(
                self.now,
                "output_awaited",
                "the task succeeded and does not show all of its output",
            );
        }
        let polled = matches!(via, Via::Poll { .. });
        self.job.retrieval.count_unreadable(self.now, polled);
        let polls = self.job.retrieval.unreadable;
        let spread = self.spread(attempt.number, polls);
        let wait = backoff(self.policy.jobs.collect_backoff, MAX_WAIT, polls.saturating_sub(1), spread);
        self.follow(attempt, task, self.now + wait)
    }
}

/// What was found instead of audio, for an operator.
fn listed(extra: &Extras) -> String {
    let of = |extra: &Extra| {
        let name = extra.name.as_deref().map_or_else(String::new, |name| format!("{name}: "));
        format!("{name}{} ({})", extra.value, extra.reason.as_str())
    };
    extra.files.iter().map(of).collect::<Vec<_>>().join("\n")
}
