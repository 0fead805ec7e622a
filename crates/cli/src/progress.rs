//! Live progress: a bar on a terminal, plain lines in a pipe. On standard error, so that results stay clean.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::http::Method;
use indicatif::{FormattedDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use songmill_api::views::{BatchView, WaitReason, WaitView};
use songmill_core::job::StateName;
use songmill_core::{BatchRef, Timestamp};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Ask, Client};
use crate::context::now;
use crate::printable::Printable;
use crate::{exit, output, waits};

mod pace;
mod stacked;

use pace::Pace;

/// Between two lines in a pipe, when something changed.
const SAY: Duration = Duration::from_secs(2);
/// How long nothing may go on without a person before watching ends.
const PERSON: Duration = Duration::from_secs(30);
/// The exit code of what a terminal's Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// How long the store may be away before watching is given up.
const AWAY: Duration = Duration::from_secs(60);

/// Who makes the songs that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// This process, for a demonstration: they end with it.
    Here,
    /// Others: they go on without it.
    Elsewhere,
}

/// Follows a batch until all its jobs have ended or are held, or for half a minute all that are left have waited for a
/// person to put something right.
pub(crate) async fn watch(client: &Client, name: &BatchRef, quiet: bool, made: Made) -> Result<BatchView> {
    let bar = free_lines(quiet);
    on_interrupt(&bar, name, made)?;
    let terminal = !bar.is_hidden();
    let (begun, mut pace) = (Instant::now(), Pace::default());
    let (mut said, mut last, mut answered) = (None::<Instant>, String::new(), Instant::now());
    let (mut waited, mut stuck) = (Vec::new(), None::<Instant>);
    loop {
        match client.value::<BatchView>(Ask::batch(Method::GET, name, "")).await {
            Ok(mut batch) => {
                answered = Instant::now();
                if made == Made::Here {
                    // By simulators, which charge nothing.
                    batch.cost = None;
                }
                let words = counts(&batch);
                let why: Vec<_> =
                    batch.waits.iter().map(|wait| (wait.vendor.clone(), wait.message.clone())).collect();
                if why != waited && !quiet {
                    bar.suspend(|| waits::note(&batch.waits));
                }
                waited = why;
                pace.note(Instant::now(), batch.ended);
                let elapsed = FormattedDuration(Duration::from_secs(begun.elapsed().as_secs())).to_string();
                let width = usize::from(console::Term::stderr().size().1);
                bar.set_message(stacked::lines(&batch, &name.to_string(), &pace, &elapsed, width));
                let due = said.is_none_or(|said| said.elapsed() >= SAY);
                if !terminal && !quiet && words != last && (due || batch.settled) {
                    let facts = stacked::facts(&batch, &pace);
                    let facts: String = facts.iter().map(|fact| format!("; {fact}")).collect();
                    output::note(format_args!(
                        "{name}: {} of {} ended; {words}{facts}",
                        batch.ended, batch.total
                    ));
                    (said, last) = (Some(Instant::now()), words);
                }
                stuck = if is_stuck(&batch, now()) { stuck.or_else(|| Some(Instant::now())) } else { None };
                let needs_person = stuck.is_some_and(|since| since.elapsed() >= patience(&batch));
                if needs_person && !quiet {
                    bar.suspend(|| {
                        output::note(format_args!(
                            "{name}: its jobs stay queued until that is resolved; follow them with `songmill batch watch {name}`"
                        ));
                    });
                }
                if batch.settled || needs_person {
                    bar.finish_and_clear();
                    return Ok(batch);
                }
            }
            Err(error) if exit::code(&error) == exit::AWAY && answered.elapsed() < AWAY => {
                bar.set_message("  Redis is away; trying again");
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(client.look()).await;
    }
}

/// From now on Ctrl-C leaves no half of a bar, and says that the songs go on.
fn on_interrupt(bar: &ProgressBar, name: &BatchRef, made: Made) -> Result<()> {
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let (bar, name) = (bar.clone(), name.clone());
    tokio::spawn(async move {
        interrupted.recv().await;
        if !bar.is_finished() {
            bar.finish_and_clear();
            if made == Made::Elsewhere {
                output::note(format_args!("{name} goes on; follow it with `songmill batch watch {name}`"));
            }
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// A pause that ends by itself within this time is waited for.
const SOON_MS: u64 = 300_000;

/// Whether a person must act before these songs go on. A budget of several batches may be given back by the others.
fn is_for_a_person(wait: &WaitView, now: Timestamp) -> bool {
    let next = wait.next_try_at.as_deref().and_then(output::millis);
    let is_soon = next.is_some_and(|at| at < now.as_millis() + SOON_MS);
    match wait.reason {
        WaitReason::Paused => wait.needs_person && (wait.code.as_deref() != Some("shut_by_hand") || !is_soon),
        WaitReason::Budget => wait.budget.as_deref() == Some("batch") || !is_soon,
        WaitReason::NoWorker => true,
        WaitReason::AskedToWait => false,
    }
}

/// How long all that is left must have waited: the tasks of others under way may give back what they reserved.
fn patience(batch: &BatchView) -> Duration {
    let of_others = |wait: &WaitView| wait.budget.as_deref().is_some_and(|budget| budget != "batch");
    if batch.waits.iter().any(of_others) { 10 * PERSON } else { PERSON }
}

/// Whether all that is left waits for a person.
fn is_stuck(batch: &BatchView, now: Timestamp) -> bool {
    let held = batch.counts.get(&StateName::Held).copied().unwrap_or(0);
    let left = batch.total.saturating_sub(batch.ended + held);
    let waiting: u64 =
        batch.waits.iter().filter(|wait| is_for_a_person(wait, now)).map(|wait| wait.songs).sum();
    batch.uploads == 0 && waiting > 0 && waiting >= left
}

/// A bar for so many jobs of a batch, on a terminal.
pub(crate) fn bar(name: &BatchRef, of: u64, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(of), target(quiet));
    let style = "{prefix}  [{bar:32}]  {pos} of {len}  {msg}  {elapsed}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is fixed").progress_chars("=> "));
    bar.set_prefix(Printable(name).to_string());
    bar
}

/// Lines of our own, on a terminal.
fn free_lines(quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target(quiet));
    bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is fixed"));
    bar
}

/// What goes on where nobody knows how much there is, on a terminal.
pub(crate) fn spinner(quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target(quiet));
    bar.set_style(ProgressStyle::with_template("{msg}  {elapsed}").expect("the template is fixed"));
    bar
}

fn target(quiet: bool) -> ProgressDrawTarget {
    let terminal = std::io::stderr().is_terminal() && !quiet;
    if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

pub(crate) use stacked::cost;

/// The counts that are not zero, in the order of states.
fn counted(batch: &BatchView) -> impl Iterator<Item = (StateName, u64)> {
    StateName::ALL
        .into_iter()
        .filter_map(|state| Some((state, *batch.counts.get(&state).filter(|count| **count > 0)?)))
}

/// The counts that are not zero, as words.
pub(crate) fn counts(batch: &BatchView) -> String {
    let words: Vec<_> = counted(batch).map(|(state, count)| format!("{count} {state}")).collect();
    words.join(", ")
}
