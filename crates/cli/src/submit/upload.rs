//! Submitting a file to a server.

use std::collections::HashSet;
use std::io::BufReader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use axum::body::Body;
use axum::http::Method;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use songmill_api::ProblemError;
use songmill_api::views::{BatchErrorView, Uploaded};
use songmill_core::BatchRef;
use songmill_core::song::{Invalid, Problem};
use songmill_producer::Tally;
use songmill_producer::parse::{self, Input, Known, Options, Reading};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{SubmitArgs, Submitted};
use crate::client::{Ask, Changes, Client, What};
use crate::input::{self, media};
use crate::rejected::{Rejected, refused};

/// Sends a file to a server.
pub(super) async fn upload(
    client: &Client,
    args: &SubmitArgs,
    name: &BatchRef,
    options: &Options,
) -> Result<(Submitted, Rejected, Known)> {
    let (wishes, file) = (&args.wishes, &args.input.file);
    if let Input::File(path) = input::open(file)? {
        // What the server would refuse as a whole, and what it would find only after it had taken rows before it.
        let options = options.clone();
        let checked = tokio::task::spawn_blocking(move || parse::check(&path, &options)).await?;
        checked.map_err(|error| input::refused(file, error))?;
    }
    let (body, sent) = Sent::of(input::body(file).await?, options);
    let known = sent.known.clone();
    let mut rejected = Rejected::of(file, args.rejected.as_deref(), options, known.clone())?;
    let notify: Vec<_> = wishes.notify.iter().map(ToString::to_string).collect();
    let tenant = Some(&name.tenant).filter(|tenant| !tenant.is_default());
    let ask = Ask::post("/v1/batches")
        .with("name", Some(&name.name))
        .with("tenant", tenant)
        .with("notify", (!notify.is_empty()).then(|| notify.join(",")))
        .with("budget", wishes.budget)
        .with("weight", wishes.weight);
    let ask = input::asked(ask, options).body(media(options.format), body);
    let answer = client.ask(ask).await;
    let wrong = |what: What| what.at(client.server(), Changes::Lines);
    let answer = match answer {
        Ok(answer) => answer.value::<Uploaded>().await,
        Err(error) => Err(error),
    };
    let (uploaded, ignored, upload, mut errors) = match answer {
        Ok(Uploaded { batch, .. }) if batch != name.name => {
            return Err(wrong(What::Unexpected("the answer to another upload")).into());
        }
        Ok(Uploaded { created, known, refused, upload, errors, ignored, .. }) => {
            (Tally { created, known, refused }, ignored, upload, errors)
        }
        // Not one line was good.
        Err(error) => match crate::client::refused(&error) {
            Some(problem) if problem.errors.iter().any(|error| error.line.is_some()) => {
                let tally = Tally { refused: problem.refused.unwrap_or(0), ..Tally::default() };
                (tally, Vec::new(), problem.request_id.clone(), problem.errors.clone())
            }
            _ => return Err(error),
        },
    };
    let acknowledged = uploaded.created + uploaded.known + uploaded.refused;
    sent.are_all(acknowledged).await.map_err(wrong)?;
    // An answer names only the first of them, and the last one maybe by half; the batch has more.
    if errors.len() >= NAMED {
        let last = errors.last().and_then(|error| error.line);
        let known: HashSet<_> = errors.iter().map(|error| error.line).filter(|line| *line != last).collect();
        let mut more = Vec::new();
        let ask = Ask::batch(Method::GET, name, "/errors").with("upload", Some(&upload));
        let answer = client.ask(ask).await?;
        answer
            .lines(|line| {
                let error: BatchErrorView = serde_json::from_slice(line)
                    .map_err(|_| wrong(What::Unexpected("a line that is no error of a batch")))?;
                more.extend(error.errors.into_iter().filter(|error| !known.contains(&error.line)));
                Ok(())
            })
            .await?;
        if more.iter().any(|error| error.line == last) {
            errors.retain(|error| error.line != last);
        }
        errors.extend(more);
        errors.sort_by_key(|error| error.line);
    }
    let mut errors = errors.into_iter().peekable();
    while let Some(error) = errors.next() {
        let (line, custom_id, title) = (error.line, error.custom_id.clone(), error.title.clone());
        let mut invalid = Invalid::default();
        invalid.problems.push(problem(error));
        while let Some(more) = errors.next_if(|more| more.line == line) {
            invalid.problems.push(problem(more));
        }
        rejected.reject(&refused(line.unwrap_or(0), custom_id, title, invalid));
    }
    rejected.were(uploaded.refused);
    let tally = Tally { refused: rejected.count, ..uploaded };
    Ok((Submitted { tally, ignored, broke: None }, rejected, known))
}

/// How many errors an answer names at most.
const NAMED: usize = 100;

fn problem(error: ProblemError) -> Problem {
    let field = error.pointer.trim_start_matches('/').replace('/', ".");
    let field = if field.is_empty() { "(row)".to_owned() } else { field };
    Problem { field, fault: error.detail, fix: error.fix }
}

/// What was sent of a file: the server must acknowledge every line of it.
struct Sent {
    input: Arc<Counted>,
    known: Known,
    counting: JoinHandle<()>,
}

#[derive(Default)]
struct Counted {
    lines: AtomicU64,
    /// Whether all of it was sent.
    ended: AtomicBool,
}

/// Pieces of the file that were sent and are not counted yet.
const UNCOUNTED: usize = 4;

impl Sent {
    /// Counts the lines of a body while it is sent, as the server reads them.
    fn of(body: Body, options: &Options) -> (Body, Self) {
        let (to_count, mut pieces) = mpsc::channel::<std::io::Result<Bytes>>(UNCOUNTED);
        let input = Arc::new(Counted::default());
        let pieces = SyncIoBridge::new(StreamReader::new(stream::poll_fn(move |cx| pieces.poll_recv(cx))));
        let pieces = Input::Stream(Box::new(BufReader::new(pieces)));
        let Reading { mut rows, about } = parse::read(pieces, options.clone());
        let counted = input.clone();
        let counting = tokio::spawn(async move {
            while let Some(Ok(_)) = rows.recv().await {
                counted.lines.fetch_add(1, Ordering::AcqRel);
            }
        });
        let state = (body.into_data_stream(), to_count, input.clone());
        let body = stream::unfold(state, |(mut body, to_count, input)| async move {
            let Some(piece) = body.next().await else {
                input.ended.store(true, Ordering::Release);
                return None;
            };
            if let Ok(bytes) = &piece {
                // What cannot be read as lines is counted no further; the server says so too.
                let _ = to_count.send(Ok(bytes.clone())).await;
            }
            Some((piece, (body, to_count, input)))
        });
        (Body::from_stream(body), Self { input, known: about, counting })
    }

    /// Compares with what was acknowledged.
    async fn are_all(self, acknowledged: u64) -> Result<(), What> {
        if !self.input.ended.load(Ordering::Acquire) {
            let words =
                format!("the server acknowledged {acknowledged} lines before it had read the whole file");
            return Err(What::Partial(words));
        }
        // It has all of the file by now; should it have broken, less is counted, and that is noticed.
        let _ = self.counting.await;
        let lines = self.input.lines.load(Ordering::Acquire);
        if lines == acknowledged {
            return Ok(());
        }
        Err(What::Partial(format!("the server acknowledged {acknowledged} of {lines} lines")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(text: &str, pieces: usize) -> Sent {
        let pieces: Vec<_> = text.as_bytes().chunks(7).map(Bytes::copy_from_slice).take(pieces).collect();
        let (body, sent) = Sent::of(
            Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>))),
            &Options::default(),
        );
        let mut body = body.into_data_stream();
        while let Some(piece) = body.next().await {
            piece.unwrap();
        }
        sent
    }

    #[tokio::test]
    async fn every_line_of_the_input_must_be_acknowledged() {
        let jsonl = "{\"prompt\":\"a\"}\n\nnonsense\n{\"prompt\":\"b\"}";
        let csv = "prompt\n\"a\nb\"\nc\nd\n";
        let json = r#"[{"prompt":"a"}, {"prompt":"b"}, 7]"#;
        for text in [jsonl, csv, json] {
            assert!(sent(text, usize::MAX).await.are_all(3).await.is_ok(), "{text}");
            for wrong in [0, 2, 4] {
                assert!(sent(text, usize::MAX).await.are_all(wrong).await.is_err(), "{text}");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_before_the_end_of_the_file_acknowledges_nothing_of_the_rest() {
        let pieces =
            stream::iter(["{\"prompt\":\"a\"}\n"; 3].map(|line| Ok::<_, std::io::Error>(Bytes::from(line))));
        let (body, sent) = Sent::of(Body::from_stream(pieces), &Options::default());
        let mut body = body.into_data_stream();
        body.next().await.unwrap().unwrap();
        let wrong = sent.are_all(3).await.unwrap_err();
        assert!(wrong.to_string().contains("before it had read the whole file"), "{wrong}");
    }
}
