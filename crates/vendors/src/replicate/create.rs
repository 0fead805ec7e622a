//! Creating a prediction: the version is resolved, large audio uploaded, then the one paid request is sent.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use songmill_core::{Fault, FaultKind};

use super::input::{self, Input};
use super::wire::id;
use super::{Replicate, Settings, Version, throttle};
use crate::contract::{Accepted, Cost, Exchange, Next, Order};
use crate::data_url::DataUrl;
use crate::draft::Draft;
use crate::tolerant::{Object, Reply, at, blot, get, post_json, request, text};

/// One submission on its way.
struct Submission {
    settings: Arc<Settings>,
    version: Version,
    input: Input,
    webhook: String,
    name: String,
}

#[derive(Serialize)]
struct Create<'a> {
    version: &'a str,
    input: &'a Input,
    webhook: &'a str,
    webhook_events_filter: [&'static str; 1],
}

pub(super) fn submit(vendor: &Replicate, order: &Order<'_>) -> Result<Exchange<Accepted>, Fault> {
    let mut draft = Draft::new(&vendor.card, order.song);
    let input = input::draft(order.song, &vendor.settings, &mut draft);
    draft.fault_if_wrong()?;
    let submission = Submission {
        settings: vendor.settings.clone(),
        version: vendor.version.clone(),
        input,
        webhook: order.callback.url.to_owned(),
        name: format!("{}-{}", order.job, order.attempt),
    };
    Ok(match vendor.version.known() {
        Some(version) => submission.upload_or_create(version),
        None => submission.resolve(),
    })
}

impl Submission {
    /// Asks for the model's latest version.
    fn resolve(self) -> Exchange<Accepted> {
        let (owner, name) = self.settings.model.split_once('/').unwrap_or(("", &self.settings.model));
        let uri = self.settings.base_url.at(&["models", owner, name]);
        Exchange::free(get(uri, Some(&self.settings.token)), move |response| {
            let reply = Reply::from(response);
            if reply.status.as_u16() == 404 {
                return Next::fault(version_refused(&format!("there is no model {:?}", self.settings.model)));
            }
            if !reply.status.is_success() {
                return Next::fault(blot(throttle::of_reply(&reply, Cost::Free), &[&self.settings.token]));
            }
            match reply.object().and_then(|body| self.latest(&reply, &body)) {
                Ok(version) => {
                    self.version.keep(Some(version.clone()));
                    Next::Then(self.upload_or_create(version))
                }
                Err(fault) => Next::fault(fault),
            }
        })
    }

    fn latest(&self, reply: &Reply, model: &Object) -> Result<String, Fault> {
        let latest =
            model.get("latest_version").ok_or_else(|| reply.garbled("a model without latest_version"))?;
        if latest.is_null() {
            return Err(version_refused(&format!("the model {:?} has no version", self.settings.model)));
        }
        let id = latest.as_object().and_then(|latest| text(latest, &["id"]));
        id.map(str::to_owned).ok_or_else(|| reply.garbled("a latest_version without an id"))
    }

    /// Uploads audio that is too long for the request, or goes on.
    fn upload_or_create(self, version: String) -> Exchange<Accepted> {
        let long = |audio: &&String| audio.len() > self.settings.inline_audio_most;
        let audio = self.input.input_audio.as_ref().filter(long).and_then(|audio| DataUrl::parse(audio));
        match audio {
            Some(audio) => self.upload(version, &audio),
            None => self.create(&version),
        }
    }

    fn upload(mut self, version: String, audio: &DataUrl) -> Exchange<Accepted> {
        let (content_type, body) = multipart(&format!("{}.{}", self.name, audio.extension()), audio);
        let uri = self.settings.base_url.at(&["files"]);
        let mut request = request(Method::POST, uri, Some(&self.settings.token), body);
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        Exchange::free(request, move |response| {
            let reply = Reply::from(response);
            if !reply.status.is_success() {
                let mut fault = throttle::of_reply(&reply, Cost::Free);
                if fault.kind == FaultKind::Rejected {
                    fault = fault.turned_into(FaultKind::Rejected, "request_refused");
                }
                return Next::fault(blot(fault, &[&self.settings.token]));
            }
            let body = match reply.object() {
                Ok(body) => body,
                Err(fault) => return Next::fault(fault),
            };
            let Some(address) = at(&body, &["urls", "get"]).and_then(|address| address.as_str()) else {
                return Next::fault(reply.garbled("a file without an address"));
            };
            self.input.input_audio = Some(address.to_owned());
            Next::Then(self.create(&version))
        })
    }

    /// The paid request.
    fn create(self, version: &str) -> Exchange<Accepted> {
        let body = Create {
            version,
            input: &self.input,
            webhook: &self.webhook,
            webhook_events_filter: ["completed"],
        };
        let uri = self.settings.base_url.at(&["predictions"]);
        let mut request = post_json(uri, Some(&self.settings.token), &body);
        if let Some(span) = self.settings.cancel_after {
            let seconds = span.get().as_secs().clamp(5, 24 * 3600);
            request.headers_mut().insert(HeaderName::from_static("cancel-after"), seconds.into());
        }
        Exchange::creating(request, move |response| {
            let reply = Reply::from(response);
            if reply.status.is_success() {
                return Next::Done(reply.object().and_then(|body| id(&body)).map(Accepted::Task));
            }
            Next::fault(blot(self.refused(&reply), &[&self.settings.token]))
        })
    }

    fn refused(&self, reply: &Reply) -> Fault {
        if reply.status.as_u16() == 422 && speaks_of_version(reply) {
            // A newer one may be there by the time the operator has looked.
            if self.settings.version.trim().is_empty() {
                self.version.keep(None);
            }
            return version_refused(&reply.words());
        }
        throttle::of_reply(reply, Cost::Creates)
    }
}

fn speaks_of_version(reply: &Reply) -> bool {
    let Ok(body) = reply.object() else { return false };
    let title = text(&body, &["title"]);
    // What stands in the words may be quoted from the request, and so may all that is said of the input.
    let is_of_input = |field: &Object| text(field, &["field"]).is_some_and(|path| path.starts_with("input"));
    let says_so =
        |field: &Object| text(field, &["description"]) == Some("version is required") && !is_of_input(field);
    let fields = body.get("invalid_fields").and_then(Value::as_array).into_iter().flatten();
    title == Some("Invalid version or not permitted") || fields.filter_map(Value::as_object).any(says_so)
}

fn version_refused(words: &str) -> Fault {
    Fault::from_vendor(FaultKind::Locked, "version_refused", words)
}

/// One part named `content`, and the content type that goes with it.
fn multipart(name: &str, audio: &DataUrl) -> (HeaderValue, Bytes) {
    // Its own hash cannot stand in the content.
    let digest = Sha256::digest(&audio.bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let boundary = format!("songmill-{}", &hex[..32]);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{name}\"\r\nContent-Type: {}\r\n\r\n",
        audio.media_type
    );
    let mut body = Vec::with_capacity(head.len() + audio.bytes.len() + boundary.len() + 8);
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&audio.bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let content_type = format!("multipart/form-data; boundary={boundary}");
    (HeaderValue::try_from(content_type).expect("a boundary of hex is a header"), body.into())
}
