//! A reader that has enough, as `head` has.

use std::io::Write as _;
use std::process::Stdio;

use crate::raw::{answer, serve, songmill, text, words};

const BATCH: &str = r#"{"name":"b","tenant":"default","created_ms":1,"total":0,"ended":0,"settled":true,"refused":0,"uploads":0,"counts":{}}"#;
const SPEND: &str = r#"{"currency":"USD","data":[],"total":{"sent":0,"confirmed":0,"not_done":0,"possibly_paid":0,"possibly_duplicate_paid_creates":0,"expected":0.0,"cost":0.0},"today":0.0}"#;

/// Commands that print lists, beside a server that has nothing to list.
const LISTS: &[&str] = &[
    "asset list",
    "batch list",
    "batch show b",
    "batch watch b",
    "batch results b",
    "batch errors b",
    "deadletter list",
    "endpoint list",
    "event list --limit 1",
    "job list",
    "key list",
    "notice list",
    "tenant list",
    "vendor list",
    "spend",
];
/// Commands that ask nobody.
const OTHERS: &[&str] = &[
    "schema",
    "openapi",
    "config",
    "config --default",
    "completions bash",
    "doctor",
    "submit FILE --dry-run",
    "--help",
];

#[test]
fn who_closes_our_output_is_no_error() {
    let server = serve(|head, connection| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (media, body) = match path {
            "/v1/batches/b" => ("application/json", BATCH),
            _ if path.starts_with("/v1/batches/b/") => ("application/jsonl", ""),
            _ if path.starts_with("/v1/spend") => ("application/json", SPEND),
            _ => ("application/json", r#"{"data":[]}"#),
        };
        answer(connection, "200 OK", media, body);
    });
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
    writeln!(file, "nonsense").unwrap();
    let file = file.path().display().to_string();
    let commands =
        LISTS.iter().map(|args| (Some(server), args)).chain(OTHERS.iter().map(|args| (None, args)));
    for (server, args) in commands {
        for json in [false, true] {
            let mut args = words(&args.replace("FILE", &file));
            if json {
                args.push("--json".into());
            }
            let open = songmill(server, &args, Stdio::piped());
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let closed = songmill(server, &args, writer.into());
            assert!(!text(&open.stderr).contains("error"), "{args:?}: {}", text(&open.stderr));
            assert!(!text(&closed.stderr).contains("error"), "{args:?}: {}", text(&closed.stderr));
            let prints = !open.stdout.is_empty();
            assert_eq!(closed.status.code(), if prints { Some(0) } else { open.status.code() }, "{args:?}");
        }
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    for args in ["schema", "config --default", "openapi", "completions bash"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = songmill(None, &words(args), full.into());
        assert_eq!(output.status.code(), Some(1), "{args}");
        let error = "error: cannot write to standard output: No space left on device\n";
        assert_eq!(text(&output.stderr), error, "{args}");
    }
}
