//! Answers that quote what was sent, as those of vendors and of firewalls do.

use axum::response::Response;
use serde_json::Value;

use crate::reply;
use crate::settings::{Faults, Refused};
use crate::world::Kind;

/// What stands for the quoted text.
const QUOTED: &str = "{quoted}";

/// How a request is refused for what it contains, if it is.
pub(crate) fn refusal(faults: &Faults, kind: Kind, body: &[u8]) -> Option<Response> {
    let of = match kind {
        Kind::Create => Refused::Submissions,
        Kind::LookUp => Refused::LookUps,
        Kind::Read | Kind::Other => return None,
    };
    let mut fits = faults.refuse.iter().filter(|refusal| refusal.of == of);
    let (refusal, quoted) = fits.find_map(|refusal| Some((refusal, quoted(&refusal.contains, body)?)))?;
    let quoted = if refusal.content_type.contains("json") { in_json(&quoted) } else { quoted };
    let response = reply::typed(refusal.status, &refusal.content_type, refusal.body.replace(QUOTED, &quoted));
    Some(refusal.headers.iter().fold(response, |response, (name, value)| reply::with(response, name, value)))
}

/// What the task of a submission fails with for what it contains, if it does.
pub(crate) fn doom(faults: &Faults, body: &[u8]) -> Option<String> {
    let mut dooms = faults.doom.iter();
    dooms.find_map(|doom| Some(doom.message.replace(QUOTED, &quoted(&doom.contains, body)?)))
}

/// The text of a request that contains another one; nothing is quoted where every request is meant.
fn quoted(contains: &str, body: &[u8]) -> Option<String> {
    if contains.is_empty() {
        return Some(String::new());
    }
    let sent: Value = serde_json::from_slice(body).ok()?;
    text_with(contains, &sent).map(str::to_owned)
}

fn text_with<'a>(contains: &str, value: &'a Value) -> Option<&'a str> {
    match value {
        Value::String(text) => text.contains(contains).then_some(text),
        Value::Array(items) => items.iter().find_map(|item| text_with(contains, item)),
        Value::Object(fields) => fields.values().find_map(|field| text_with(contains, field)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A text as it stands between the quotation marks of JSON.
fn in_json(text: &str) -> String {
    let written = Value::from(text).to_string();
    written[1..written.len() - 1].to_owned()
}
