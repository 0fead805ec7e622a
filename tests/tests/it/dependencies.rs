//! What is built in: licences, sources and bans, as `deny.toml` has them for cargo-deny.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand};
use toml::{Table, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

fn table(file: &str) -> Result<Table> {
    Ok(std::fs::read_to_string(root().join(file))?.parse()?)
}

fn texts<'a>(value: &'a Value, what: &str) -> Vec<&'a str> {
    value.get(what).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What is built for this machine, from what was fetched for the build.
fn metadata() -> Result<Metadata> {
    let version = Command::new("rustc").arg("-vV").output()?.stdout;
    let version = String::from_utf8(version)?;
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    let options = ["--locked", "--filter-platform", host].map(str::to_owned);
    Ok(MetadataCommand::new().manifest_path(root().join("Cargo.toml")).other_options(options).exec()?)
}

/// Whether an expression such as `(MIT OR Apache-2.0) AND ISC` can be met.
fn is_allowed(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let expression = expression.trim();
    for (operator, needs_all) in [(" AND ", true), (" OR ", false)] {
        let parts = outermost(expression, operator);
        if parts.len() > 1 {
            let mut parts = parts.into_iter().map(|part| is_allowed(part, allowed));
            return if needs_all { parts.all(|met| met) } else { parts.any(|met| met) };
        }
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_allowed(inner, allowed),
        None => allowed(expression),
    }
}

/// Divides at an operator that stands in no brackets.
fn outermost<'a>(expression: &'a str, operator: &str) -> Vec<&'a str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    for (at, _) in expression.match_indices(operator) {
        let before = &expression[begin..at];
        if before.matches('(').count() == before.matches(')').count() {
            parts.push(before);
            begin = at + operator.len();
        }
    }
    parts.push(&expression[begin..]);
    parts
}

#[test]
fn licences_and_bans_are_kept() -> Result<()> {
    let deny = table("deny.toml")?;
    let allow = texts(&deny["licenses"], "allow");
    let exceptions = deny["licenses"]["exceptions"].as_array().context("exceptions")?;
    let banned = deny["bans"]["deny"].as_array().context("bans")?;
    let metadata = metadata()?;
    assert!(metadata.packages.len() > 200, "only {} packages", metadata.packages.len());
    for package in &metadata.packages {
        let name = package.name.as_str();
        let is_named = |rule: &&Value| rule["crate"].as_str() == Some(name);
        assert!(!banned.iter().any(|rule| is_named(&rule)), "{name} is banned by deny.toml");
        let own: Vec<_> = exceptions.iter().filter(is_named).flat_map(|rule| texts(rule, "allow")).collect();
        let license = package.license.as_deref().with_context(|| format!("{name} names no licence"))?;
        let allowed = |one: &str| allow.contains(&one) || own.contains(&one);
        let expression = license.replace(" / ", " OR ").replace('/', " OR ");
        assert!(is_allowed(&expression, &allowed), "{name}: {license} is not allowed by deny.toml");
    }
    Ok(())
}

#[test]
fn all_comes_from_the_registries_that_are_allowed() -> Result<()> {
    let (deny, lock) = (table("deny.toml")?, table("Cargo.lock")?);
    let allowed = texts(&deny["sources"], "allow-registry");
    for package in lock["package"].as_array().context("packages")? {
        let Some(source) = package.get("source").and_then(Value::as_str) else { continue };
        let registry = source.strip_prefix("registry+");
        assert!(
            registry.is_some_and(|registry| allowed.contains(&registry)),
            "{} comes from {source}",
            package["name"]
        );
        assert!(package.get("checksum").is_some(), "{} has no checksum", package["name"]);
    }
    Ok(())
}

#[test]
fn an_expression_of_licences_is_read_as_it_is_meant() {
    let allowed = |one: &str| matches!(one, "MIT" | "ISC");
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR Apache-2.0) AND ISC", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), met, "{expression}");
    }
}
