//! `docs/threats.md` names the test that covers each threat: it must be there.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

/// Names of all functions in a folder's Rust, and of its scripts.
fn names(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                names(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let after = text.split("fn ").skip(1);
            found.extend(after.filter_map(|after| after.split(['(', '<']).next()).map(str::to_owned));
        } else if path.extension().is_some_and(|extension| extension == "sh") {
            found.insert(name.to_owned());
        }
    }
    Ok(())
}

#[test]
fn each_threat_has_an_answer_and_a_test_that_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let mut known = BTreeSet::new();
    for folder in ["crates", "tests"] {
        names(&root.join(folder), &mut known)?;
    }
    let text = std::fs::read_to_string(root.join("docs/threats.md"))?;
    let mut rows = 0;
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Threat")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [threat, answer, tests] = cells[..] else { panic!("not three cells: {line}") };
        assert!(!threat.is_empty() && !answer.is_empty(), "{line}");
        let named: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test covers: {threat}");
        for name in named {
            let name = name.rsplit("::").next().unwrap_or(name);
            assert!(known.contains(name), "docs/threats.md: there is no test {name} ({threat})");
        }
        rows += 1;
    }
    assert!(rows > 20, "only {rows} threats are found");
    Ok(())
}
