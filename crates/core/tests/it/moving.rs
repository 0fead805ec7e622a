//! Going from vendor to vendor while a gate is shut, and what that costs.

use songmill_core::job::{Accepted, OnUnknown, Packed, StateName, StepKind, Via};
use songmill_core::{Event, Fault, FaultKind, JobId, Money, Output, Price, Product, Report, VendorName};

use crate::story::{Story, accepted, submit_failed, task, vendor};

fn shut(of: &str) -> Event {
    Event::Shut { vendor: vendor(of), fault: Fault::new(FaultKind::Locked, "shut_by_hand", "mended at noon") }
}

fn three() -> Story {
    let song: &[StepKind] = &[StepKind::Song];
    Story::with(&[("a", song), ("b", song), ("c", song)], |_| {})
}

fn priced(mut story: Story) -> Story {
    let price = |song| Price { song, ..Price::default() };
    let prices = [(vendor("a"), price(1.0)), (vendor("b"), price(2.0))].into();
    story.policy = story.policy.clone().with_money(Money { prices, ..Money::default() });
    story
}

#[test]
fn a_shut_gate_moves_only_the_jobs_that_wait_there() {
    let mut story = three();
    story.tell(shut("a")).is(StateName::Queued);
    assert_eq!((story.job.vendor(), story.job.left.len()), (&vendor("b"), 1));
    // Another process saw it at the first one, too.
    story.ignores(shut("a"));
    story.tell(shut("b")).tell(Event::Claimed).ignores(shut("c"));
    assert_eq!((story.job.vendor(), story.job.submissions), (&vendor("c"), 1));
}

#[test]
fn the_last_vendor_is_waited_for() {
    let mut story = Story::new();
    story.ignores(shut("a"));
    story.is(StateName::Queued);
}

#[test]
fn a_probe_that_fails_is_no_strike_and_goes_on_if_it_can() {
    let probe = |attempt| Event::ProbeFailed {
        attempt,
        fault: Fault::new(FaultKind::Unavailable, "vendor_unreachable", ""),
    };
    let mut story = Story::new();
    for attempt in 1..=40 {
        story.tell(Event::Claimed).tell(probe(attempt)).is(StateName::Queued).is_due_in(1..=3);
    }
    assert_eq!((story.job.strikes, story.job.paid, story.job.undone), (0, 0, 40));
    let mut story = three();
    story.tell(Event::Claimed).tell(probe(1)).is(StateName::Queued);
    assert_eq!(story.job.vendor(), &vendor("b"));
}

#[test]
fn nothing_goes_elsewhere_while_a_task_may_exist() {
    let song: &[StepKind] = &[StepKind::Song];
    let mut story = Story::with(&[("a", song), ("b", song)], |policy| {
        policy.look_up = false;
        policy.on_unknown = OnUnknown::Resubmit;
    });
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Unknown)).is(StateName::Queued);
    story.ignores(shut("a"));
    story.tell(Event::Claimed).tell(submit_failed(2, FaultKind::Rejected));
    story.failed_with("test_fault");
    assert_eq!(story.job.vendor(), &vendor("a"));
    // An operator knows what he does.
    story.tell(Event::RetryAsked).tell(shut("a"));
    assert_eq!(story.job.vendor(), &vendor("b"));
}

#[test]
fn every_submission_is_settled_once_and_costs_what_it_made() {
    let mut story = priced(Story::new());
    let books =
        |story: &Story| (story.job.confirmed, story.job.undone, story.job.possibly_paid(), story.job.spent);
    story.tell(Event::Claimed);
    assert_eq!(books(&story), (0, 0, 1, 0));
    story.tell(submit_failed(1, FaultKind::Unavailable));
    assert_eq!(books(&story), (0, 1, 0, 0));
    story.tell(Event::Claimed).tell(accepted(2, "t2"));
    assert_eq!(books(&story), (1, 1, 0, 1_000_000));
    let two = Product::Audio(vec![Output::at("https://a/1"), Output::at("https://a/2")].into());
    let vendor: VendorName = vendor("a");
    let done = Event::Reported {
        attempt: 2,
        vendor,
        task: Some(task("t2")),
        report: Report::Done(two),
        via: Via::Callback,
    };
    story.tell(done);
    assert_eq!(books(&story), (1, 1, 0, 2_000_000), "two songs came");
}

#[test]
fn a_song_that_comes_late_is_booked_after_all() {
    let mut story = priced(Story::new());
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Unavailable));
    assert_eq!((story.job.confirmed, story.job.undone), (0, 1));
    let done = Event::Reported {
        attempt: 1,
        vendor: vendor("a"),
        task: Some(task("t1")),
        report: Report::Done(Product::Audio(vec![Output::at("https://a/1")].into())),
        via: Via::Callback,
    };
    story.tell(done).is(StateName::Collecting);
    assert_eq!((story.job.confirmed, story.job.undone, story.job.spent), (1, 0, 1_000_000));
}

#[test]
fn a_job_takes_its_own_song_of_a_task_that_it_shares() {
    let mut story = Story::new();
    let into = |place| Packed { job: JobId::derive("t", "leader"), attempt: 7, own: 1, place };
    story.tell(Event::Claimed);
    story.tell(Event::Packed { attempt: 1, into: into(2) });
    story.ignores(Event::Packed { attempt: 1, into: into(2) });
    // One before it dropped out.
    story.tell(Event::Packed { attempt: 1, into: into(1) });
    story.tell(Event::Accepted { attempt: 1, accepted: Accepted::Task(task("t")) });
    let songs =
        Product::Audio(["x", "y", "z"].map(|name| Output::at(format!("https://a/{name}"))).to_vec().into());
    let done = Event::Reported {
        attempt: 1,
        vendor: vendor("a"),
        task: Some(task("t")),
        report: Report::Done(songs),
        via: Via::Callback,
    };
    story.tell(done).is(StateName::Collecting);
    let songmill_core::State::Collecting { outputs, .. } = &story.job.state else { panic!() };
    assert_eq!(outputs, &[Output::at("https://a/y")]);
}

#[test]
fn a_task_costs_what_its_terms_were_when_it_was_claimed_whatever_prices_do_meanwhile() {
    let mut story = priced(Story::new());
    story.tell(Event::Claimed).tell(accepted(1, "t1"));
    assert_eq!(story.job.spent, 1_000_000);
    let dear = Price { song: 50.0, ..Price::default() };
    story.policy.money.prices.insert(vendor("a"), dear);
    let done = Event::Reported {
        attempt: 1,
        vendor: vendor("a"),
        task: Some(task("t1")),
        report: Report::Done(Product::Audio(
            vec![Output::at("https://a/1"), Output::at("https://a/2")].into(),
        )),
        via: Via::Callback,
    };
    story.tell(done);
    assert_eq!((story.job.spent, story.job.price), (2_000_000, 1_000_000), "two songs at the old price");
}

#[test]
fn what_is_given_back_is_what_was_booked() {
    let mut story = priced(Story::new());
    story.tell(Event::Claimed).tell(accepted(1, "t1"));
    let two = Product::Audio(vec![Output::at("https://a/1"), Output::at("https://a/2")].into());
    let of = |report| Event::Reported {
        attempt: 1,
        vendor: vendor("a"),
        task: Some(task("t1")),
        report,
        via: Via::Poll { asked: songmill_core::Timestamp::from_millis(u64::MAX / 2) },
    };
    story.tell(of(Report::Done(two)));
    assert_eq!(story.job.spent, 2_000_000);
    // The addresses do not serve, and the vendor says that the account may not run it after all: nothing is charged.
    story.tell(crate::story::collect_failed(FaultKind::Rejected)).is(StateName::Generating);
    story.tell(of(Report::Failed(Fault::new(FaultKind::Locked, "balance_empty", "")))).is(StateName::Queued);
    assert_eq!((story.job.spent, story.job.undone, story.job.confirmed), (0, 1, 0));
}

/// A report that an attempt at `a` gave one song.
fn reported(attempt: u32, id: &str) -> Event {
    Event::Reported {
        attempt,
        vendor: vendor("a"),
        task: Some(task(id)),
        report: Report::Done(Product::Audio(vec![Output::at("https://a/1")].into())),
        via: Via::Callback,
    }
}

#[test]
fn a_late_song_is_booked_at_the_terms_of_its_own_submission() {
    // `b` charges by the second that it works, and nothing else.
    let mut story = priced(Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |policy| {
        policy.strikes = 1
    }));
    let by_work = Price { work_second: 0.5, ..Price::default() };
    story.policy.money.prices.insert(vendor("b"), by_work);
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Unavailable));
    assert_eq!((story.job.vendor(), story.job.settled), (&vendor("b"), 1_000_000), "it is given back");
    story.tell(Event::Claimed);
    assert_eq!(story.job.price, 30_000_000);
    story.tell(reported(1, "t1")).is(StateName::Collecting);
    assert_eq!(story.job.spent, 1_000_000, "the song of `a` costs what `a` charges");
}

#[test]
fn of_two_submissions_each_is_booked_at_the_price_of_its_own_claim() {
    let mut story = priced(Story::without_look_up(OnUnknown::Resubmit));
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Unknown)).is(StateName::Queued);
    let dear = Price { song: 3.0, ..Price::default() };
    story.policy.money.prices.insert(vendor("a"), dear);
    story.wait(600).tell(Event::Claimed);
    assert_eq!((story.job.price, story.job.earlier.len()), (3_000_000, 1));
    story.tell(reported(1, "t1")).is(StateName::Collecting);
    // What is settled is the first one's; the second one's stays reserved.
    assert_eq!((story.job.spent, story.job.settled, story.job.possibly_paid()), (1_000_000, 1_000_000, 1));
}
