//! Schema and settings.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use serde_json::{Map, Value, json};
use songmill_core::SongRequest;
use songmill_vendors::Vendors;

use crate::args::{Args, Global};
use crate::config::Config;
use crate::exit::{Exit, usage};
use crate::load::{self, Loaded, Problem};
use crate::output;

/// `songmill template`.
pub(crate) fn template() -> Result<Exit> {
    output::text(songmill_producer::parse::template().as_bytes())?;
    Ok(Exit::Ok)
}

/// `songmill schema`: the form of a song request, with every vendor's own fields.
pub(crate) fn schema() -> Result<Exit> {
    let mut schema = serde_json::to_value(schemars::schema_for!(SongRequest))?;
    let mut options = Map::new();
    let mut names = Vec::new();
    for card in Vendors::catalogue().cards() {
        names.push(Value::from(card.name.as_str()));
        options.insert(card.name.to_string(), serde_json::to_value(&card.options)?);
    }
    schema["properties"]["options"] = json!({
        "description": "Each vendor's own fields, by vendor name, in that vendor's own words.",
        "type": "object",
        "properties": options,
        "additionalProperties": false,
    });
    schema["$defs"]["VendorName"] = json!({ "type": "string", "enum": names });
    output::json_text(&serde_json::to_string_pretty(&schema)?)?;
    Ok(Exit::Ok)
}

/// `songmill config`: what is in force, without secrets.
pub(crate) fn config(global: &Global) -> Result<Exit> {
    let config = Config::load(global)?;
    if global.json {
        output::json(&config)?;
    } else {
        output::lines(toml::to_string(&without_null(serde_json::to_value(&config)?))?.trim_end())?;
    }
    Ok(Exit::Ok)
}

/// `songmill config check`: everything that is wrong with the settings.
pub(crate) fn check(global: &Global) -> Result<Exit> {
    let Loaded { problems, .. } = load::read(global)?;
    if global.json {
        let one = |problem: &Problem| {
            let set_at = problem.origin.as_ref().map(ToString::to_string);
            json!({ "setting": problem.path, "set_at": set_at, "message": problem.message })
        };
        let problems: Vec<_> = problems.iter().map(one).collect();
        output::json(&json!({ "ok": problems.is_empty(), "problems": problems }))?;
    } else if problems.is_empty() {
        output::line("The settings are right.")?;
    } else {
        problems.iter().try_for_each(output::line)?;
    }
    match problems.len() {
        0 => Ok(Exit::Ok),
        1 => Err(usage("1 problem in the settings")),
        count => Err(usage(format!("{count} problems in the settings"))),
    }
}

/// TOML has no null: what is not set is left out.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_null(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_null).collect()),
        other => other,
    }
}

/// Prints the API's OpenAPI document.
pub(crate) fn openapi() -> Result<Exit> {
    output::json(&songmill_api::document())?;
    Ok(Exit::Ok)
}

/// Prints completions for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Exit> {
    let mut command = Args::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "songmill", &mut script);
    output::text(&script)?;
    Ok(Exit::Ok)
}

/// Writes the manual's pages: one for the program, one for each command.
pub(crate) fn manual(folder: &std::path::Path) -> Result<Exit> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(Args::command(), folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    output::line(format_args!(
        "the manual is in {}; read it with `man -l {0}/songmill.1`",
        folder.display()
    ))?;
    Ok(Exit::Ok)
}
