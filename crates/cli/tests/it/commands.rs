//! Every command there is, as the manual lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use crate::raw::{songmill, words};

/// How a command is run beside a server.
pub(crate) enum Row {
    /// It asks the server: these arguments.
    Asks(&'static str),
    /// It asks nobody, or says so in its own way.
    Local,
}

use Row::{Asks, Local};

/// A job, an endpoint.
const JOB: &str = "0000000000000000000000000a";
const ENDPOINT: &str = "ep_0123456789abcdef";

/// Each command by the name of its page.
fn rows() -> BTreeMap<&'static str, Row> {
    BTreeMap::from([
        ("asset-get", Asks("asset get JOB")),
        ("asset-list", Asks("asset list")),
        ("asset-verify", Local),
        ("batch-cancel", Asks("batch cancel b")),
        ("batch-errors", Asks("batch errors b")),
        ("batch-export", Asks("batch export b --to b.tar")),
        ("batch-list", Asks("batch list")),
        ("batch-report", Asks("batch report b -o -")),
        ("batch-results", Asks("batch results b")),
        ("batch-retry-failed", Asks("batch retry-failed b")),
        ("batch-show", Asks("batch show b")),
        ("batch-watch", Asks("batch watch b")),
        ("budget-list", Asks("budget list")),
        ("budget-set", Asks("budget set day 5")),
        ("completions", Local),
        ("config-check", Local),
        ("deadletter-list", Asks("deadletter list")),
        ("deadletter-replay", Asks("deadletter replay JOB")),
        ("demo", Local),
        // What it finds out stands in its table.
        ("doctor", Local),
        ("endpoint-add", Asks("endpoint add https://example.com/hook")),
        ("endpoint-disable", Asks("endpoint disable ENDPOINT")),
        ("endpoint-enable", Asks("endpoint enable ENDPOINT")),
        ("endpoint-list", Asks("endpoint list")),
        ("endpoint-remove", Asks("endpoint remove ENDPOINT")),
        ("endpoint-rotate", Asks("endpoint rotate ENDPOINT")),
        ("endpoint-show", Asks("endpoint show ENDPOINT")),
        ("event-follow", Asks("event follow")),
        ("event-list", Asks("event list")),
        ("job-cancel", Asks("job cancel JOB")),
        ("job-explain", Asks("job explain JOB")),
        ("job-get", Asks("job get JOB")),
        ("job-list", Asks("job list")),
        ("job-resolve", Asks("job resolve JOB --fail")),
        ("job-retry", Asks("job retry JOB")),
        ("job-show", Asks("job show JOB")),
        ("job-submit", Asks("job submit --vendor replicate --prompt x")),
        ("key-create", Asks("key create")),
        ("key-list", Asks("key list")),
        ("key-revoke", Asks("key revoke abc")),
        ("key-rotate", Asks("key rotate abc")),
        ("man", Local),
        ("notice-list", Asks("notice list")),
        ("notice-replay", Asks("notice replay n1")),
        ("notice-show", Asks("notice show n1")),
        ("notice-test", Asks("notice test ENDPOINT")),
        ("openapi", Local),
        ("plan", Asks("plan FILE")),
        ("price-list", Asks("price list")),
        ("price-reset", Asks("price reset replicate")),
        ("price-set", Asks("price set replicate --song 0.5")),
        ("schema", Local),
        ("serve", Local),
        ("sim", Local),
        ("spend", Asks("spend")),
        ("submit", Asks("submit FILE --batch b")),
        ("template", Local),
        ("tenant-erase", Asks("tenant erase acme --yes")),
        ("tenant-list", Asks("tenant list")),
        ("tenant-quota", Asks("tenant quota acme --open-jobs 5")),
        ("up", Local),
        ("vendor-list", Asks("vendor list")),
        ("vendor-open", Asks("vendor open replicate")),
        ("vendor-shut", Asks("vendor shut replicate")),
        ("worker-list", Asks("worker list")),
    ])
}

/// The arguments of each command that asks a server, also for JSON.
pub(crate) fn asking(file: &Path) -> Vec<Vec<String>> {
    let file = file.display().to_string();
    let of = |row: &Row| match row {
        Asks(args) => {
            let args = args.replace("JOB", JOB).replace("ENDPOINT", ENDPOINT).replace("FILE", &file);
            let (plain, mut json) = (words(&args), words(&args));
            json.push("--json".into());
            vec![plain, json]
        }
        Local => vec![],
    };
    rows().values().flat_map(of).collect()
}

#[test]
fn every_command_has_its_row_here() {
    let folder = tempfile::tempdir().unwrap();
    let man = words(&format!("man {}", folder.path().display()));
    assert!(songmill(None, &man, Stdio::null()).status.success());
    let mut found = BTreeSet::new();
    for page in std::fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap();
        let name = page.file_name().into_string().unwrap();
        let of_a_group = std::fs::read_to_string(page.path()).unwrap().contains(".SH SUBCOMMANDS");
        let name = name.strip_suffix(".1").and_then(|name| name.strip_prefix("songmill-"));
        found.extend(name.filter(|_| !of_a_group).map(str::to_owned));
    }
    let known: BTreeSet<_> = rows().into_keys().map(str::to_owned).collect();
    assert_eq!(found, known);
}

#[test]
fn a_simulator_overwrites_no_settings_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("songmill.toml");
    std::fs::write(&file, "# my own, with real keys\n").unwrap();
    let args = ["sim", "--port", "0", "--write-config"].map(str::to_owned).into_iter();
    let args: Vec<_> = args.chain([file.display().to_string()]).collect();
    let out = songmill(None, &args, Stdio::piped());
    assert_eq!(out.status.code(), Some(2));
    assert!(crate::raw::text(&out.stderr).contains("was not written by a simulator"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# my own, with real keys\n");
}
