//! What the house rules say and a machine can check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The crates whose faults reach a job.
const FAULTY: [&str; 4] = ["core", "vendors", "worker-generate", "worker-deliver"];

/// Texts in fault makers that are no codes.
const NO_CODES: [&str; 2] = ["concurrency", "rate_per_min"];

/// The text literals that stand where a fault's code does: after a kind and a comma.
fn codes(source: &str) -> impl Iterator<Item = &str> {
    source.split("FaultKind::").skip(1).filter_map(|rest| {
        let (kind, after) = rest.split_once(',')?;
        let after = after.trim_start();
        kind.chars().all(char::is_alphanumeric).then_some(())?;
        let code = after.strip_prefix('"')?.split('"').next()?;
        code.chars().all(|c| c.is_ascii_lowercase() || c == '_').then_some(code)
    })
}

#[test]
fn every_fault_has_its_page() -> Result<()> {
    let mut found = BTreeSet::new();
    for name in FAULTY {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files)?;
        for file in files {
            found.extend(codes(&std::fs::read_to_string(file)?).map(str::to_owned));
        }
    }
    assert!(found.len() > 30, "the search finds codes: {found:?}");
    let page = |code: &&String| !root().join(format!("docs/faults/{code}.md")).is_file();
    let missing: Vec<_> =
        found.iter().filter(|code| !NO_CODES.contains(&code.as_str())).filter(page).collect();
    assert!(missing.is_empty(), "no page in docs/faults: {missing:?}");
    Ok(())
}

#[test]
fn no_source_file_grows_out_of_hand() -> Result<()> {
    let mut files = Vec::new();
    for krate in std::fs::read_dir(root().join("crates"))? {
        sources(&krate?.path().join("src"), &mut files)?;
    }
    for file in files {
        let lines = std::fs::read_to_string(&file)?.lines().count();
        assert!(lines <= 500, "{} has {lines} lines: look for the seam", file.display());
    }
    Ok(())
}
