//! Live progress: a bar on a terminal, plain lines in a pipe. On standard error, so that results stay clean.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use songmill_core::BatchName;
use songmill_core::job::StateName;
use songmill_store::{Batch, Store};

use crate::exit::usage;

/// Between two looks at a batch.
const LOOK: Duration = Duration::from_millis(200);
/// Between two lines in a pipe, when something changed.
const SAY: Duration = Duration::from_secs(2);
/// How long Redis may be away before watching is given up.
const AWAY: Duration = Duration::from_secs(60);

/// Follows a batch until all its jobs have ended or are held.
pub(crate) async fn watch(store: &Store, name: &BatchName, quiet: bool) -> Result<Batch> {
    let terminal = std::io::stderr().is_terminal() && !quiet;
    let bar = ProgressBar::with_draw_target(
        Some(0),
        if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
    );
    let style = "{prefix} [{bar:32}] {pos}/{len}  {msg}  {elapsed}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is fixed").progress_chars("=> "));
    bar.set_prefix(name.to_string());
    let (mut said, mut last, mut answered) = (None::<Instant>, String::new(), Instant::now());
    loop {
        match store.batch(name).await {
            Ok(None) => return Err(usage(format!("batch {name} is not known; see `songmill batch list`"))),
            Ok(Some(batch)) => {
                answered = Instant::now();
                let words = counts(&batch);
                bar.set_length(batch.total);
                bar.set_position(batch.counts.ended());
                bar.set_message(words.clone());
                let settled = batch.is_settled();
                let due = said.is_none_or(|said| said.elapsed() >= SAY);
                if !terminal && !quiet && words != last && (due || settled) {
                    eprintln!("{name}: {}/{} ended; {words}", batch.counts.ended(), batch.total);
                    (said, last) = (Some(Instant::now()), words);
                }
                if settled {
                    bar.finish_and_clear();
                    return Ok(batch);
                }
            }
            Err(error) if error.will_pass() && answered.elapsed() < AWAY => bar.set_message("redis is away"),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The counts that are not zero, as words.
pub(crate) fn counts(batch: &Batch) -> String {
    let words: Vec<_> = StateName::ALL
        .into_iter()
        .filter_map(|state| match batch.counts.of(state) {
            0 => None,
            count => Some(format!("{count} {state}")),
        })
        .collect();
    words.join(", ")
}
