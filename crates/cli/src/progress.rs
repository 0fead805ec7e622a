//! Live progress: a bar on a terminal, plain lines in a pipe. On standard error, so that results stay clean.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::http::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use songmill_api::views::BatchView;
use songmill_core::BatchRef;
use songmill_core::job::StateName;

use crate::client::{Ask, Client};
use crate::{exit, output};

/// Between two lines in a pipe, when something changed.
const SAY: Duration = Duration::from_secs(2);
/// How long the store may be away before watching is given up.
const AWAY: Duration = Duration::from_secs(60);

/// Follows a batch until all its jobs have ended or are held.
pub(crate) async fn watch(client: &Client, name: &BatchRef, quiet: bool) -> Result<BatchView> {
    let bar = bar(name, 0, quiet);
    let terminal = !bar.is_hidden();
    let (mut said, mut last, mut answered) = (None::<Instant>, String::new(), Instant::now());
    loop {
        match client.value::<BatchView>(Ask::batch(Method::GET, name, "")).await {
            Ok(batch) => {
                answered = Instant::now();
                let words = counts(&batch);
                bar.set_length(batch.total);
                bar.set_position(batch.ended);
                bar.set_message(words.clone());
                let due = said.is_none_or(|said| said.elapsed() >= SAY);
                if !terminal && !quiet && words != last && (due || batch.settled) {
                    output::note(format_args!("{name}: {}/{} ended; {words}", batch.ended, batch.total));
                    (said, last) = (Some(Instant::now()), words);
                }
                if batch.settled {
                    bar.finish_and_clear();
                    return Ok(batch);
                }
            }
            Err(error) if exit::code(&error) == exit::AWAY && answered.elapsed() < AWAY => {
                bar.set_message("the store is away");
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(client.look()).await;
    }
}

/// A bar for so many jobs of a batch, on a terminal.
pub(crate) fn bar(name: &BatchRef, of: u64, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(of), target(quiet));
    let style = "{prefix} [{bar:32}] {pos}/{len}  {msg}  {elapsed}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is fixed").progress_chars("=> "));
    bar.set_prefix(name.to_string());
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

/// The counts that are not zero, as words.
pub(crate) fn counts(batch: &BatchView) -> String {
    let words = StateName::ALL.into_iter().filter_map(|state| {
        let count = batch.counts.get(&state)?;
        Some(format!("{count} {state}"))
    });
    words.collect::<Vec<_>>().join(", ")
}
