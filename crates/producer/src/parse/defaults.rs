//! Fields of requests that do not set them themselves.

use serde_json::{Map, Value};

use crate::parse::columns::{column, fields};
use crate::parse::table::put;

/// Reads `FIELD=VALUE` as a column of that name would read it, into `defaults`.
///
/// # Errors
///
/// What is wrong with it, as a sentence without its subject.
pub fn default_field(text: &str, defaults: &mut Map<String, Value>) -> Result<(), String> {
    match field(text, defaults)? {
        field @ ("custom_id" | "content_key") => {
            Err(format!("sets {field}, which differs from song to song"))
        }
        _ => Ok(()),
    }
}

/// The same for one song, of which any field may be set. Returns which; `options` for a vendor's own.
///
/// # Errors
///
/// What is wrong with it, as a sentence without its subject.
pub fn field(text: &str, request: &mut Map<String, Value>) -> Result<&'static str, String> {
    let (name, value) = text.split_once('=').ok_or("is not FIELD=VALUE, such as vendor=replicate")?;
    let column =
        column(name, name).ok_or_else(|| format!("names {name:?}, which is not a field of a song"))?;
    let value = column.kind.read(value.trim()).map_err(|wrong| format!("{}; {}", wrong.fault, wrong.fix))?;
    put(request, &column.field, value);
    Ok(fields().find(|known| **known == column.field).unwrap_or("options"))
}

/// Sets what a request does not set.
pub(crate) fn fill(request: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    for (name, value) in defaults {
        match (request.get_mut(name), value) {
            (Some(Value::Object(own)), Value::Object(defaults)) => fill(own, defaults),
            (Some(_), _) => {}
            (None, value) => drop(request.insert(name.clone(), value.clone())),
        }
    }
}
