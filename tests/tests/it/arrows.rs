//! The arrows of the design: who may know whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate and those of ours that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("vendors", &["core"]),
    ("store", &["core"]),
    ("egress", &["core"]),
    ("producer", &["core", "vendors", "store", "egress"]),
    ("worker-generate", &["core", "vendors", "store", "egress"]),
    ("http-server", &[]),
    ("callback-listener", &["core", "vendors", "store", "http-server"]),
    ("worker-deliver", &["core", "store", "egress"]),
    ("api", &["core", "vendors", "store", "egress", "http-server", "producer", "worker-deliver"]),
    ("simulator", &[]),
    (
        "cli",
        &[
            "core",
            "vendors",
            "store",
            "producer",
            "egress",
            "worker-generate",
            "worker-deliver",
            "callback-listener",
            "http-server",
            "api",
            "simulator",
        ],
    ),
    ("tests", &[]),
    ("bench", &["core", "store", "tests"]),
];

/// What a crate must never depend on.
const NEVER: &[(&str, &[&str])] =
    &[("core", &["tokio", "redis", "reqwest", "axum"]), ("vendors", &["tokio", "redis", "reqwest", "axum"])];

fn dependencies() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let of = |package: &cargo_metadata::Package| {
        let normal =
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        normal.map(|dependency| dependency.name.clone()).collect()
    };
    let ours = metadata
        .packages
        .iter()
        .filter_map(|package| Some((package.name.strip_prefix("songmill-")?.to_owned(), of(package))));
    Ok(ours.collect())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

#[test]
fn crates_know_only_whom_the_design_lets_them_know() -> Result<()> {
    let dependencies = dependencies()?;
    let named: BTreeSet<_> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(dependencies.keys().cloned().collect::<BTreeSet<_>>(), named, "every crate has its arrows");
    for (name, allowed) in ARROWS {
        let ours = dependencies[*name].iter().filter_map(|dependency| dependency.strip_prefix("songmill-"));
        for known in ours {
            assert!(allowed.contains(&known), "{name} must not depend on {known}");
        }
    }
    for (name, never) in NEVER {
        for foreign in *never {
            assert!(!dependencies[*name].contains(*foreign), "{name} must not depend on {foreign}");
        }
    }
    for (name, known) in &dependencies {
        assert!(name == "store" || !known.contains("redis"), "only store talks to redis, not {name}");
    }
    Ok(())
}

#[test]
fn no_vendor_names_another() -> Result<()> {
    const VENDORS: [(&str, &[&str]); 4] = [
        ("tencent", &["Tencent"]),
        ("inference_sh", &["inference_sh", "InferenceSh", "inference.sh"]),
        ("replicate", &["replicate", "Replicate"]),
        ("senseaudio", &["senseaudio", "SenseAudio"]),
    ];
    let source = root().join("crates/vendors/src");
    for (vendor, _) in VENDORS {
        let mut files = vec![source.join(format!("{vendor}.rs"))];
        for entry in std::fs::read_dir(source.join(vendor))? {
            files.push(entry?.path());
        }
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            for (other, names) in VENDORS.iter().filter(|(other, _)| *other != vendor) {
                // The app that inference.sh runs is called tencent-song-generation.
                for name in *names {
                    assert!(!text.contains(name), "{} names {other}", file.display());
                }
            }
        }
    }
    Ok(())
}
