//! Fields of requests that do not set them themselves.

use serde_json::{Map, Value};

use crate::parse::columns::column;
use crate::parse::table::put;

/// Reads `FIELD=VALUE` as a column of that name would read it, into `defaults`.
///
/// # Errors
///
/// What is wrong with it, as a sentence without its subject.
pub fn default_field(text: &str, defaults: &mut Map<String, Value>) -> Result<(), String> {
    let (name, value) = text.split_once('=').ok_or("is not FIELD=VALUE, such as vendor=replicate")?;
    let column =
        column(name, name).ok_or_else(|| format!("names {name:?}, which is not a field of a song"))?;
    if ["custom_id", "content_key"].contains(&column.field.as_str()) {
        return Err(format!("sets {}, which differs from song to song", column.field));
    }
    let value = column.kind.read(value.trim()).map_err(|wrong| format!("{}; {}", wrong.fault, wrong.fix))?;
    put(defaults, &column.field, value);
    Ok(())
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
