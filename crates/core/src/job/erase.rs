//! Erasing what a job's owner and the vendors said, and nothing that the accounts need.

use super::record::{Entry, Job};
use super::state::State;
use crate::time::Timestamp;

impl Job {
    /// What is left of a job that has ended when its words are erased: ids, states, times, vendors, counts and costs.
    /// None for one that has not ended: its words are still needed; none for one that was erased before.
    ///
    /// The caller's own id goes too: it is free text, often the title, and the name of the file is made of it. So do the
    /// id of the caller's request, which is any text, and the words of faults and of the history, in which vendors quote
    /// prompts.
    pub fn without_words(&self, now: Timestamp) -> Option<Self> {
        if !self.state.name().is_final() || self.erased.is_some() {
            return None;
        }
        let mut job = Self { custom_id: None, lyrics: None, trace: None, erased: Some(now), ..self.clone() };
        job.left.iter_mut().for_each(String::clear);
        let changes = job.routes.iter_mut().flat_map(|route| &mut route.changes);
        changes.for_each(|change| change.examples.clear());
        job.history.iter_mut().for_each(|Entry(_, _, words)| words.clear());
        match &mut job.state {
            State::Completed { assets, extra, .. } => {
                for asset in assets {
                    (asset.path, asset.sha256, asset.title) = (String::new(), String::new(), None);
                }
                extra.files.iter_mut().for_each(|file| (file.value, file.name) = (String::new(), None));
            }
            State::Failed { fault, .. } => *fault = fault.clone().edited(|_| String::new()),
            State::Canceled { .. }
            | State::Queued
            | State::Submitting(_)
            | State::Uncertain { .. }
            | State::Generating { .. }
            | State::Canceling { .. }
            | State::Collecting { .. }
            | State::Held { .. } => {}
        }
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Policy, Route, StepKind, Trace, step};
    use super::*;
    use crate::fault::{Fault, FaultKind};
    use crate::id::{JobId, VendorName};
    use crate::report::{Asset, Extra, ExtraReason, Extras, Lyrics};
    use crate::song::{Change, ChangeKind};

    const MARK: &str = "marker";

    fn job(state: State) -> Job {
        let vendor = VendorName::new("replicate").unwrap();
        let mut change = Change::new("lyrics", ChangeKind::SectionAdded);
        change.add(MARK, "[verse]");
        let route = Route { changes: vec![change], ..Route::new(vendor, vec![StepKind::Song]) };
        let now = Timestamp::from_millis(1_000);
        let mut job = Job::new(JobId::derive("default", "a"), vec![route.clone(), route], now, now);
        job.route = 1;
        job.custom_id = Some(MARK.into());
        job.lyrics = Some(Lyrics { text: MARK.into(), title: Some(MARK.into()) });
        job.left = vec![MARK.into()];
        job.history = vec![Entry(now, "rejected".into(), MARK.into())];
        job.trace = Some(Box::new(Trace { request_id: MARK.into(), traceparent: Some(MARK.into()) }));
        (job.spent, job.submissions, job.state) = (7, 2, state);
        job
    }

    fn failed() -> State {
        State::Failed {
            at: Timestamp::from_millis(2_000),
            fault: Fault::new(FaultKind::Rejected, "vendor_error", MARK),
        }
    }

    #[test]
    fn no_word_is_left_of_what_was_erased_and_the_accounts_are() {
        let at = Timestamp::from_millis(3_000);
        let mut asset: Asset = serde_json::from_value(serde_json::json!({
            "path": MARK, "bytes": 9, "sha256": MARK, "format": "mp3", "duration_ms": 4000, "flags": [],
        }))
        .unwrap();
        asset.title = Some(MARK.into());
        let origin = serde_json::from_value(serde_json::json!({
            "vendor": "replicate", "attempt": { "n": 2, "since": 1500 },
        }));
        let extra = Extras { files: vec![Extra::new(MARK, Some(MARK), ExtraReason::Unusable)], more: 1 };
        let completed = State::Completed { at, origin: origin.unwrap(), assets: vec![asset], extra };
        for state in [failed(), completed, State::Canceled { at }] {
            let before = job(state);
            let after = before.without_words(at).unwrap();
            assert!(!format!("{after:?}").contains(MARK), "{after:?}");
            assert_eq!(after.state.name(), before.state.name());
            assert_eq!((after.spent, after.submissions, after.left.len()), (7, 2, 1));
            assert_eq!(after.without_words(at), None, "once is enough");
        }
    }

    #[test]
    fn what_has_not_ended_keeps_its_words_and_what_was_erased_is_not_tried_again() {
        let (now, policy) = (Timestamp::from_millis(3_000), Policy::default());
        assert_eq!(job(State::Queued).without_words(now), None);
        let before = job(failed());
        assert!(step(&before, &Event::RetryAsked, now, &policy).is_some());
        assert!(step(&before.without_words(now).unwrap(), &Event::RetryAsked, now, &policy).is_none());
    }
}
