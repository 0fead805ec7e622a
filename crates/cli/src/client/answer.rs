//! An answer whose body is still to come.

use std::pin::Pin;

use anyhow::Result;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::stream::{Stream, StreamExt as _};
use hyper::body::Incoming;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::{Changes, ServerError, What};
use super::remote::SILENCE;

type Chunks = Pin<Box<dyn Stream<Item = Result<bytes::Bytes>> + Send>>;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The media type of its body.
    media: String,
    /// Whether an end can be told from a break.
    framed: bool,
    from: From,
    body: Chunks,
}

/// Who answers, and what the request changes there.
#[derive(Clone)]
struct From {
    server: String,
    changes: Changes,
}

/// The longest line of an answer.
const LINE: usize = 4 << 20;

impl Answer {
    /// One of a server's.
    pub(super) fn there(answer: axum::http::Response<Incoming>, server: &str, changes: Changes) -> Self {
        let (head, body) = answer.into_parts();
        let from = From { server: server.to_owned(), changes };
        let framed = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        let framed = framed.iter().any(|name| head.headers.contains_key(name));
        let body = timely(Body::new(body).into_data_stream(), from.clone());
        Self { status: head.status, media: media(&head.headers), framed, from, body }
    }

    /// One of this process.
    pub(super) fn here(answer: axum::response::Response, changes: Changes) -> Self {
        let (head, body) = answer.into_parts();
        let from = From { server: "this process".into(), changes };
        let body = body.into_data_stream().map(|chunk| Ok(chunk?));
        Self { status: head.status, media: media(&head.headers), framed: true, from, body: Box::pin(body) }
    }

    /// That it is not what it should be.
    pub(crate) fn wrong(&self, what: What) -> ServerError {
        what.at(&self.from.server, self.from.changes)
    }

    /// The body, read whole.
    pub(crate) async fn whole(mut self) -> Result<Vec<u8>> {
        self.rest().await
    }

    async fn rest(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.body.next().await {
            body.extend_from_slice(&chunk?);
        }
        Ok(body)
    }

    /// The body as a value.
    pub(crate) async fn value<T: DeserializeOwned>(mut self) -> Result<T> {
        let body = self.rest().await?;
        serde_json::from_slice(&body).map_err(|error| {
            tracing::debug!(%error, "the answer cannot be read");
            self.wrong(What::Unexpected(kind(&body))).into()
        })
    }

    /// Nothing, where there is to be nothing.
    pub(crate) async fn nothing(mut self) -> Result<()> {
        let body = self.rest().await?;
        if self.status == StatusCode::NO_CONTENT && body.is_empty() {
            return Ok(());
        }
        Err(self.wrong(What::Unexpected(kind(&body))).into())
    }

    /// Writes the body as it comes.
    pub(crate) async fn copy(&mut self, to: &mut dyn std::io::Write) -> Result<()> {
        while let Some(chunk) = self.body.next().await {
            to.write_all(&chunk?)?;
        }
        Ok(())
    }

    /// Passes each line on: a JSON object.
    pub(crate) async fn lines(mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if !self.media.starts_with("application/jsonl") {
            let body = self.rest().await?;
            return Err(self.wrong(What::Unexpected(kind(&body))).into());
        }
        if !self.framed {
            return Err(self.wrong(What::Unexpected("lines of which nobody can say where they end")).into());
        }
        let not_json = self.wrong(What::Unexpected("a line that is no JSON object"));
        let mut each = |line: &[u8]| match serde_json::from_slice::<IgnoredAny>(line) {
            Ok(_) if line.starts_with(b"{") => each(line),
            _ => Err(not_json.clone().into()),
        };
        let mut rest = Vec::new();
        while let Some(chunk) = self.body.next().await {
            let chunk = chunk?;
            let mut parts = chunk.split(|byte| *byte == b'\n').peekable();
            while let Some(part) = parts.next() {
                rest.extend_from_slice(part);
                if rest.len() > LINE {
                    return Err(self.wrong(What::Unexpected("a line that is too long")).into());
                }
                if parts.peek().is_some() {
                    each(&rest)?;
                    rest.clear();
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { each(&rest) }
    }
}

/// A body, or an error when it is cut or falls silent.
fn timely(chunks: BodyDataStream, from: From) -> Chunks {
    let next = |(mut chunks, from): (BodyDataStream, From)| async {
        let wrong = |what: What| what.at(&from.server, from.changes).into();
        let chunk = match tokio::time::timeout(SILENCE, chunks.next()).await {
            Ok(chunk) => chunk?.map_err(|error| {
                tracing::debug!(?error, "the answer was cut");
                wrong(What::Cut)
            }),
            Err(_) => Err(wrong(What::Silent(SILENCE))),
        };
        Some((chunk, (chunks, from)))
    };
    Box::pin(futures_util::stream::unfold((chunks, from), next))
}

fn media(headers: &HeaderMap) -> String {
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
    media.unwrap_or_default().to_ascii_lowercase()
}

/// What a body is that is not what it should be.
fn kind(body: &[u8]) -> &'static str {
    match body.trim_ascii() {
        [] => "nothing",
        [b'<', ..] => "a web page",
        [b'{' | b'[', ..] if serde_json::from_slice::<IgnoredAny>(body).is_ok() => "JSON of another form",
        [b'{' | b'[', ..] => "JSON that breaks off",
        _ => "something that is no JSON",
    }
}
