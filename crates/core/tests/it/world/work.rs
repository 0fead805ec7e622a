//! What workers do with the job that they have.

use super::*;

impl World {
    pub(super) fn work(&mut self, stage: Stage) {
        // A worker that dies says nothing; the lease runs out.
        if stage != Stage::Submit && self.tape.chance(10) {
            self.due = self.now + LEASE;
            return;
        }
        match stage {
            Stage::Submit => self.submit(),
            Stage::Resolve => self.resolve(),
            Stage::Poll => self.poll(),
            Stage::Cancel => self.cancel(),
            Stage::Collect => self.collect(),
        }
    }

    fn submit(&mut self) {
        if self.tape.chance(8) {
            // Its vendor's gate is shut: it may go on to the next one it names.
            self.tell(&Event::Shut {
                vendor: self.job.vendor().clone(),
                fault: Fault::new(FaultKind::Locked, "shut_by_hand", ""),
            });
            return;
        }
        self.tell(&Event::Claimed);
        let attempt = self.job.submissions;
        let failed = |kind, secs: Option<u64>| Event::SubmitFailed {
            attempt,
            fault: Fault::new(kind, "failed", "").after(secs.map(Duration::from_secs)),
        };
        match self.tape.choose(24) {
            // The worker dies before it sends, or after.
            1 => {}
            2 | 3 => drop(self.create(attempt)),
            4 | 5 => {
                self.create(attempt);
                self.news(failed(FaultKind::Unknown, None));
            }
            6 => self.news(failed(FaultKind::Unknown, None)),
            7 => {
                self.create(attempt);
                self.news(failed(FaultKind::Garbled, None));
            }
            8 => self.news(failed(FaultKind::Unavailable, None)),
            9 => self.news(failed(FaultKind::Throttled, Some(40))),
            10 => self.news(failed(FaultKind::Locked, None)),
            11 => self.news(failed(FaultKind::Rejected, None)),
            12 => self.news(Event::HandedBack { attempt }),
            13 | 14 => {
                // Slow: the answer comes when somebody else may be looking already.
                let took = LEASE + self.tape.secs(30);
                let event = self.create(attempt);
                self.deliveries.push((self.now + took, event));
            }
            _ => {
                let event = self.create(attempt);
                self.news(event);
            }
        }
    }

    /// The vendor takes a submission: is that one too many?
    fn create(&mut self, attempt: u32) -> Event {
        let (kind, name, now) = (self.job.step_kind(), self.job.vendor().clone(), self.now);
        if self.vendor_policy().on_unknown != OnUnknown::Resubmit && self.allowed == 0 {
            let other = self.tasks.iter().find(|task| task.step == kind && task.counts(now));
            assert!(other.is_none(), "{other:?} is there already\n{}", self.log.join("\n"));
        }
        let fate = match self.tape.choose(16) {
            1 | 2 => Fate::Badly(FaultKind::Unavailable),
            3 => Fate::Badly(FaultKind::Rejected),
            4 => Fate::Badly(FaultKind::Locked),
            5 => Fate::Badly(FaultKind::Throttled),
            6 | 7 => Fate::Never,
            _ => Fate::Well,
        };
        let id = task(&format!("t{attempt}"));
        let ends = now + Duration::from_secs(1 + u64::from(self.tape.choose(255)) * 8);
        let known = VendorTask {
            id: id.clone(),
            vendor: name,
            attempt,
            step: kind,
            created: now,
            fate,
            ends,
            stopped: None,
            wasted: false,
        };
        self.tasks.push(known);
        let same = self
            .tasks
            .iter()
            .filter(|task| task.step == kind && task.vendor == *self.job.vendor() && task.is_paid());
        let (paid, most) = (same.count(), self.vendor_policy().attempts + self.allowed);
        assert!(paid <= most as usize, "{paid} tasks, {most} allowed\n{}", self.log.join("\n"));
        if kind == StepKind::Lyrics && self.lyrics_at_once {
            let known = self.tasks.last_mut().expect("it was pushed just now");
            (known.fate, known.ends) = (Fate::Well, now);
            return Event::Accepted { attempt, accepted: Accepted::Done(written()) };
        }
        for _ in 0..self.tape.choose(4) {
            let late = self.tape.secs(200);
            let event = if self.tape.chance(128) {
                Event::Heard { attempt }
            } else {
                let report = self.shown(attempt, ends);
                self.reported(attempt, report, Via::Callback)
            };
            if fate != Fate::Never {
                self.deliveries.push((ends + late, event));
            }
        }
        if self.tape.chance(50) {
            let event = self.reported(attempt, Report::Pending, Via::Callback);
            self.deliveries.push((now + self.tape.secs(60), event));
        }
        Event::Accepted { attempt, accepted: Accepted::Task(id) }
    }

    fn truth(&self, attempt: u32, now: Timestamp) -> Report {
        let Some(known) = self.tasks.iter().find(|task| task.attempt == attempt) else {
            return Report::Pending;
        };
        match known.fate {
            _ if known.is_stopped(now) => Report::Canceled,
            _ if !known.has_ended(now) => Report::Pending,
            Fate::Well if known.step == StepKind::Lyrics => Report::Done(written()),
            Fate::Well => Report::Done(Product::Audio(vec![Output::at("https://audio.example/1")].into())),
            Fate::Badly(kind) => Report::Failed(Fault::new(kind, "task_failed", "")),
            Fate::Never => Report::Pending,
        }
    }

    fn reported(&self, attempt: u32, report: Report, via: Via) -> Event {
        let known = self.tasks.iter().find(|task| task.attempt == attempt).expect("a task is reported of");
        Event::Reported { attempt, vendor: known.vendor.clone(), task: Some(known.id.clone()), report, via }
    }

    fn resolve(&mut self) {
        let attempt = self.job.state.attempt().expect("it is being submitted").number;
        // Where the answer is the product, there is no task to find.
        let at_once = self.lyrics_at_once && self.job.step_kind() == StepKind::Lyrics;
        if !self.vendor_policy().look_up || at_once {
            return self.news(Event::CannotTell { attempt });
        }
        if self.tape.chance(40) {
            let fault = Fault::new(FaultKind::Unavailable, "look_failed", "");
            return self.news(Event::LookFailed { attempt, fault });
        }
        let seen = self.tasks.iter().find(|task| task.attempt == attempt && task.created + LAG <= self.now);
        match seen {
            Some(known) => self.news(Event::Found { attempt, task: known.id.clone() }),
            // Told while it is true: the event does not say when it was asked.
            None => self.tell(&Event::NotFound { attempt, asked: crate::JUST_NOW }),
        }
    }

    fn poll(&mut self) {
        let attempt = self.job.state.attempt().expect("it is followed").number;
        let known = self.tasks.iter().find(|task| task.attempt == attempt).expect("what is followed exists");
        let kind = match self.tape.choose(12) {
            1 => Some(FaultKind::Unavailable),
            2 => Some(FaultKind::Throttled),
            3 => Some(FaultKind::Garbled),
            4 if known.created + LAG > self.now => Some(FaultKind::Rejected),
            _ => None,
        };
        let event = match kind {
            Some(kind) => Event::PollFailed { attempt, fault: Fault::new(kind, "poll_failed", "") },
            None => {
                let (asked, report) = (self.now, self.shown(attempt, self.now));
                let is_listed = self.job.retrieval.is_new() && self.tape.chance(60);
                let via = if is_listed { Via::List { asked } } else { Via::Poll { asked } };
                self.reported(attempt, report, via)
            }
        };
        self.news(event);
    }

    /// What an answer shows: a task that has ended well may not show its output yet.
    fn shown(&mut self, attempt: u32, now: Timestamp) -> Report {
        match self.truth(attempt, now) {
            Report::Done(_) if self.tape.chance(40) => unreadable(),
            // A replica that is behind.
            Report::Done(_) if self.tape.chance(20) => Report::Pending,
            report => report,
        }
    }

    fn cancel(&mut self) {
        let attempt = self.job.state.attempt().expect("it is stopped").number;
        if self.tape.chance(40) {
            let fault = Fault::new(FaultKind::Unavailable, "cancel_failed", "");
            return self.news(Event::CancelFailed { attempt, fault });
        }
        let late = self.tape.secs(60);
        let now = self.now;
        for known in self.tasks.iter_mut().filter(|task| task.attempt == attempt) {
            if !known.has_ended(now + late) {
                known.stopped.get_or_insert(now + late);
                // It will not end by itself any more, and nobody will be told that it did.
                self.deliveries.retain(|(_, event)| {
                    !matches!(event, Event::Reported { attempt: of, report: Report::Done(_) | Report::Failed(_), .. }
                        if *of == attempt)
                });
            }
        }
        self.news(Event::CancelDone { attempt });
    }

    fn collect(&mut self) {
        let kind = match self.tape.choose(18) {
            1 | 2 => FaultKind::Unavailable,
            3 | 4 => FaultKind::Rejected,
            5 => FaultKind::Garbled,
            6 => FaultKind::Locked,
            7 => FaultKind::Throttled,
            8 | 9 => return self.tell(&rejected(Defect::NotReady)),
            10 => return self.tell(&rejected(Defect::Unusable)),
            _ => return self.tell(&stored()),
        };
        self.tell(&Event::CollectFailed { fault: Fault::new(kind, "collect_failed", "") });
    }

    /// An operator looks what is at the vendor and decides.
    pub(super) fn resolve_held(&mut self) {
        let State::Held { of, .. } = &self.job.state else { return };
        let known = self.tasks.iter().find(|task| task.attempt == of.attempt.number);
        let choice = match (known, self.tape.choose(3)) {
            (_, 1) => Choice::Fail,
            (Some(known), 0) => Choice::Adopt(known.id.clone()),
            _ => Choice::Resubmit,
        };
        self.allowed += u32::from(choice == Choice::Resubmit);
        self.tell(&Event::Resolved(choice));
    }
}
