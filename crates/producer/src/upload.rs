//! Submitting lines as they are read: good ones are taken in, bad ones are told of and kept with the batch.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream;
use songmill_core::song::{IgnoredField, Invalid};
use songmill_store::{Refused, StoreError, Upload};
use tokio::sync::mpsc;

use crate::parse::{ReadError, Row};
use crate::producer::{Producer, Submission, SubmitError, Tally};

/// What came of an upload.
#[derive(Debug, Default)]
pub struct Uploaded {
    /// How many lines became what.
    pub tally: Tally,
    /// The first of those that were refused, with each fault; bounded in number and bytes.
    pub refused: Vec<Refused>,
    /// How many were refused because the tenant may have no more: another time they may be taken.
    pub over: u64,
    /// What vendors will ignore in the new jobs.
    pub ignored: Vec<IgnoredField>,
    /// Why no more lines could be read, where that is so. Those before it are taken in.
    pub broke: Option<ReadError>,
}

/// The field of what is wrong with a line when the tenant may have no more.
const QUOTA: &str = "(quota)";
/// How many refused lines are kept, and how many bytes of them.
const KEPT: usize = 10_000;
const KEPT_BYTES: usize = 8 << 20;
/// Refused lines written at once.
const PAGE: usize = 500;

/// Where a row stands.
struct Place {
    number: u64,
    custom_id: Option<String>,
    title: Option<String>,
}

/// What was refused so far.
#[derive(Default)]
struct Bad {
    count: u64,
    over: u64,
    bytes: usize,
    lines: Vec<Refused>,
}

impl Bad {
    fn refuse(&mut self, refused: Refused) {
        self.count += 1;
        let words = refused.problems.iter().map(|one| one.field.len() + one.fault.len() + one.fix.len());
        self.bytes += 100 + words.sum::<usize>();
        if self.lines.len() < KEPT && self.bytes < KEPT_BYTES {
            self.lines.push(refused);
        }
    }
}

impl Producer {
    /// Submits lines to a batch as they are read, in bounded memory, and ends the upload. `each` is told of every line
    /// that is refused, in no particular order.
    pub async fn submit_lines(
        &self,
        upload: &Upload,
        mut rows: mpsc::Receiver<Result<Row, ReadError>>,
        each: impl FnMut(&Refused),
    ) -> Result<Uploaded, StoreError> {
        // Of an input that is refused as a whole, or has no row, there is no batch.
        let first = match rows.recv().await.unwrap_or(Err(ReadError::Empty)) {
            Ok(first) => Ok(first),
            Err(error) => return Ok(Uploaded { broke: Some(error), ..Uploaded::default() }),
        };
        let state = Mutex::new((Bad::default(), each));
        let refuse = |Place { number, custom_id, title }: Place, invalid: Invalid| {
            let (bad, each) = &mut *state.lock().unwrap_or_else(PoisonError::into_inner);
            let refused = Refused {
                upload: upload.label.clone(),
                line: number,
                custom_id,
                title,
                problems: invalid.problems,
            };
            each(&refused);
            bad.refuse(refused);
        };
        let broke = Mutex::new(None);
        // The places of lines on their way: answers come in the order of the lines.
        let ahead = Mutex::new(VecDeque::new());
        let rows = Box::pin(
            stream::once(std::future::ready(first)).chain(stream::poll_fn(move |cx| rows.poll_recv(cx))),
        );
        let submissions = stream::unfold(rows, |mut rows| async {
            loop {
                let row = match rows.next().await? {
                    Ok(row) => row,
                    Err(error) => {
                        *broke.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        return None;
                    }
                };
                let place = Place { number: row.number, custom_id: row.custom_id, title: row.title };
                match row.read {
                    Ok((song, key)) => {
                        let mut ahead = ahead.lock().unwrap_or_else(PoisonError::into_inner);
                        ahead.push_back(place);
                        return Some((Submission { key: Some(key), ..Submission::of(song) }, rows));
                    }
                    Err(invalid) => refuse(place, invalid),
                }
            }
        });
        let answered = |_, result: Result<_, SubmitError>| {
            let place = ahead.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let place = place.expect("one answer for each row");
            if let Err(error) = result {
                let over = u64::from(matches!(error, SubmitError::Over(_)));
                refuse(place, as_invalid(error));
                state.lock().unwrap_or_else(PoisonError::into_inner).0.over += over;
            }
        };
        let (tally, ignored) = self.submit_stream(upload, submissions, answered).await?;
        let (Bad { count, over, lines, .. }, _) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let of_quota = |refused: &Refused| refused.problems.iter().any(|problem| problem.field == QUOTA);
        let kept: Vec<_> = lines.iter().filter(|refused| !of_quota(refused)).cloned().collect();
        // First what was refused, then the end: whoever is told that the batch has ended finds all of it.
        for page in kept.chunks(PAGE) {
            let left_out = self.store().keep_refused(&upload.batch, page).await?;
            if left_out > 0 {
                let batch = &upload.batch;
                tracing::warn!(%batch, left_out, "rejected rows are not kept: the tenant's quota of bytes is used up");
            }
        }
        self.store().note_ignored(&upload.batch, &ignored).await?;
        self.store().end_upload(upload).await?;
        let broke = broke.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Uploaded { tally: Tally { refused: count, ..tally }, refused: lines, over, ignored, broke })
    }
}

fn as_invalid(error: SubmitError) -> Invalid {
    match error {
        SubmitError::Invalid(invalid) => invalid,
        SubmitError::Conflict { key, job } => Invalid::one(
            "custom_id",
            format!("{key:?} was submitted before with another request (job {job})"),
            "give this one another custom_id, or send it to another batch",
        ),
        SubmitError::Same(job) => Invalid::one(
            "content_key",
            format!("job {job} makes the same song"),
            "leave it out, or leave out content_key if the song is to be made again",
        ),
        error @ SubmitError::Over(_) => Invalid::one(QUOTA, error.to_string(), "send it again then"),
        error @ (SubmitError::Store(_) | SubmitError::Random) => {
            Invalid::one("(row)", error.to_string(), "send it again")
        }
    }
}
