//! Creating a task: audio that stands in the request is uploaded in two steps, then the one paid request is sent.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Uri};
use serde::Serialize;
use serde_json::{Value, json};
use songmill_core::{Fault, FaultKind};

use super::input::{self, Input};
use super::wire::{id, unwrap};
use super::{Infra, Settings, fault};
use crate::contract::{Accepted, Card, Cost, Exchange, Next, Order};
use crate::data_url::DataUrl;
use crate::draft::Draft;
use crate::tolerant::{Object, Reply, address, post_json, request, text};

/// One submission on its way.
struct Submission {
    settings: Arc<Settings>,
    input: Input,
    webhook: String,
}

#[derive(Serialize)]
struct Run<'a> {
    app: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    infra: Option<Infra>,
    webhook: &'a str,
    input: &'a Input,
    stream: bool,
    wait: bool,
}

pub(super) fn submit(
    settings: &Arc<Settings>,
    card: &Card,
    order: &Order<'_>,
) -> Result<Exchange<Accepted>, Fault> {
    let mut draft = Draft::new(card, order.song);
    let input = input::draft(order.song, &mut draft);
    draft.fault_if_wrong()?;
    let audio = input.prompt_audio.as_deref().and_then(DataUrl::parse);
    let submission = Submission { settings: settings.clone(), input, webhook: order.callback.url.to_owned() };
    Ok(match audio {
        // A warm worker takes two files of one name for the same file.
        Some(audio) => {
            let name = format!("{}-{}.{}", order.job, order.attempt, audio.extension());
            submission.announce(name, audio)
        }
        None => submission.run(),
    })
}

impl Submission {
    /// Asks where a file may be put.
    fn announce(self, name: String, audio: DataUrl) -> Exchange<Accepted> {
        let body = json!({
            "files": [{
                "uri": "",
                "filename": name,
                "content_type": audio.media_type,
                "path": null,
                "size": audio.bytes.len(),
                "public": null,
            }],
            "category": "uploads",
        });
        let uri = self.settings.base_url.at(&["files"]);
        Exchange::free(post_json(uri, Some(&self.settings.key), &body), move |response| {
            let reply = Reply::from(response);
            if !reply.status.is_success() {
                let fault = fault::of_reply(&reply, Cost::Free, &self.settings);
                let gone = fault.kind == FaultKind::Rejected;
                return Next::fault(if gone {
                    upload_failed(fault.vendor_message.for_owner())
                } else {
                    fault
                });
            }
            let data = match reply.object().map(unwrap) {
                Ok(Some(data)) => data,
                Ok(None) => return Next::fault(fault::of_reply(&reply, Cost::Free, &self.settings)),
                Err(fault) => return Next::fault(fault),
            };
            let file = data.get(0).unwrap_or(&data).as_object();
            match file.and_then(place) {
                Some((upload, uri)) => Next::Then(self.put(upload, uri, audio)),
                None => Next::fault(reply.garbled("a file without upload_url and uri")),
            }
        })
    }

    /// Puts the file there: the address is its own permission, and our key has no business with that host.
    fn put(mut self, upload: Uri, uri: String, audio: DataUrl) -> Exchange<Accepted> {
        let mut put = request(Method::PUT, upload, None, audio.bytes);
        let media_type = HeaderValue::try_from(audio.media_type).expect("a media type was checked");
        put.headers_mut().insert(CONTENT_TYPE, media_type);
        Exchange::free(put, move |response| {
            let reply = Reply::from(response);
            if !reply.status.is_success() {
                return Next::fault(upload_failed(&format!("{}: {}", reply.status.as_u16(), reply.words())));
            }
            self.input.prompt_audio = Some(uri);
            Next::Then(self.run())
        })
    }

    /// The paid request.
    fn run(self) -> Exchange<Accepted> {
        let body = Run {
            app: &self.settings.app,
            infra: self.settings.infra,
            webhook: &self.webhook,
            input: &self.input,
            stream: false,
            wait: false,
        };
        let uri = self.settings.base_url.with_query(&["apps", "run"], &[("wait", "false")]);
        Exchange::creating(post_json(uri, Some(&self.settings.key), &body), move |response| {
            let reply = Reply::from(response);
            if !reply.status.is_success() {
                return Next::fault(fault::of_reply(&reply, Cost::Creates, &self.settings));
            }
            Next::Done(match reply.object().map(unwrap) {
                Ok(Some(Value::Object(task))) => id(&task).map(Accepted::Task),
                Ok(Some(_)) => Err(reply.garbled("an envelope without a task")),
                Ok(None) => Err(fault::of_reply(&reply, Cost::Creates, &self.settings)),
                Err(fault) => Err(fault),
            })
        })
    }
}

/// Where a file is put, and the address it has from then on.
fn place(file: &Object) -> Option<(Uri, String)> {
    let uri = text(file, &["uri", "url"]).filter(|uri| address(uri).is_some())?;
    Some((address(text(file, &["upload_url"])?)?, uri.to_owned()))
}

/// Nothing was created yet: the way to it can be tried again.
fn upload_failed(words: &str) -> Fault {
    Fault::from_vendor(FaultKind::Unavailable, "upload_failed", words)
}
