//! What is said of mistakes: in our words, never in a library's.

use std::process::Stdio;

use crate::raw::{songmill, text};

/// What only libraries, and programmers, say.
const FOREIGN: &[&str] = &[
    "invalid digit",
    "invalid float",
    "number too",
    "expected u",
    "expected i",
    "expected f",
    "expected struct",
    "expected `u",
    "expected one of `",
    "struct ",
    "enum ",
    "Utf8",
    "utf-8 sequence",
    "Error(",
    "Error {",
    "RedisError",
    "An error was signalled",
    "for key \"",
    ".rs:",
    "os error",
    " at line ",
    "our fault",
    "untagged",
    "panicked",
    "called `",
];

#[test]
fn no_mistake_is_answered_in_a_librarys_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let song = |field: &str| format!("{{\"vendor\":\"replicate\",\"prompt\":\"x\",{field}}}\n");
    let fields = [
        "\"seed\":\"abc\"",
        "\"duration_s\":-1",
        "\"duration_s\":1e99",
        "\"prompt\":3",
        "\"lyrics\":[1]",
        "\"instrumental\":\"perhaps\"",
        "\"not_before\":\"soon\"",
        "\"policy\":7",
        "\"options\":{\"replicate\":[]}",
        "\"nonsense\":1",
        "\"count\":99999999999",
        "\"vendor\":\"nobody\"",
        "\"prompt\":\"\\ud800\"",
        "\"priority\":{}",
    ];
    let lines: String = fields.iter().map(|field| song(field)).collect();
    let table: String = ["vendor,prompt,seed,duration_s,instrumental,not_before\n"]
        .into_iter()
        .chain([
            "replicate,x,abc,,,\n",
            "replicate,x,,half a minute,,\n",
            "replicate,x,,,perhaps,\n",
            "replicate,x,,,,soon\n",
            "nobody,x,,,,\n",
            "replicate,x,99999999999999999999999,,,\n",
            "replicate,x,,,,,,,\n",
        ])
        .collect();
    let files = [
        file("lines.jsonl", lines.as_bytes()),
        file("cut.jsonl", b"{\"vendor\":\n{]\n\xff\xfe\n[1]\n\"a\"\n"),
        file("array.json", b"[{\"vendor\":\"replicate\",\"prompt\":1},"),
        file("table.csv", table.as_bytes()),
        file("bytes.csv", b"\x00\x01\xff\x02,\x03\n\x04\n"),
        file("latin.csv", b"vendor,prompt\nreplicate,\xe9t\xe9\n"),
        file("bytes.xlsx", b"\x50\x4b\x03\x04nonsense"),
        file("bytes.csv.gz", b"\x1f\x8bnonsense"),
        file("empty.csv", b""),
        file("quote.csv", b"vendor,prompt\nreplicate,\"x\nreplicate,y\n"),
        folder.path().display().to_string(),
        folder.path().join("nowhere.csv").display().to_string(),
    ];
    let mut calls: Vec<Vec<String>> =
        files.iter().map(|file| ["submit", "--dry-run", file].map(str::to_owned).to_vec()).collect();
    let settings = [
        "money.day=abc",
        "money.day=-1",
        "redis.url=nonsense",
        "redis.url=5",
        "listener.listen=x",
        "log.level=,,=x=",
        "log.format=yaml",
        "deliver=7",
        "generate.concurrency=-1",
        "generate.concurrency=x",
        "nonsense=1",
        "vendors.replicate.token=5",
        "limits.replicate.per_minute=x",
        "deliver.storage.url=nonsense",
        "redis.pool=99999999999999999999999999",
        "=",
        "x",
        "a b=1",
        "webhooks.secret_key=x",
        "callbacks.keys=[1]",
        "vendors.nobody.token=x",
        "deliver.tags=perhaps",
        "generate.lease=90x",
    ];
    for setting in settings {
        calls.push(["doctor", "--set", setting].map(str::to_owned).to_vec());
        calls.push(["config", "check", "--set", setting].map(str::to_owned).to_vec());
    }
    for (name, toml) in [
        ("syntax.toml", "nonsense ["),
        ("type.toml", "[redis]\nurl = 5\n"),
        ("twice.toml", "[redis]\nurl = \"a\"\nurl = \"b\"\n"),
        ("unknown.toml", "[redis]\nulr = \"a\"\n[vendors.replicate]\ntoken = [1]\n"),
        ("bytes.toml", "\u{0}\u{1}"),
    ] {
        let settings = file(name, toml.as_bytes());
        calls.push(["doctor", "--config", &settings].map(str::to_owned).to_vec());
    }
    for line in [
        "sim --with replicate.retention_s=abc",
        "sim --with nonsense=1",
        "sim --with faults.nothing=1",
        "sim --port x",
        "job list --limit x",
        "job list --limit 99999999999999999999999",
        "job list --state asleep",
        "job show xyz",
        "asset get a/b",
        "asset get x/1",
        "batch show a,b",
        "batch list --limit -1",
        "batch export b -o x --names {x",
        "vendor shut replicate --for 2",
        "key create --expires-in 90",
        "key create --scope all",
        "spend --days x",
        "budget set day abc",
        "price set replicate --song abc",
        "submit x.csv --budget abc",
        "submit x.csv --weight abc",
        "event list --limit x",
        "doctor --server nonsense",
        "job list --server http://127.0.0.1:1",
        "job submit --vendor replicate --duration 30",
        "job submit --vendor replicate --seed x",
        "tenant quota a --bytes x",
    ] {
        calls.push(line.split(' ').map(str::to_owned).collect());
    }
    let mut wrong = Vec::new();
    for args in calls {
        let out = songmill(None, &args, Stdio::piped());
        let said = format!("{}{}", text(&out.stdout), text(&out.stderr));
        assert!(!said.is_empty() || out.status.success(), "{args:?} says nothing");
        let foreign = FOREIGN.iter().filter(|words| said.contains(**words));
        wrong.extend(foreign.map(|words| format!("{args:?}: {words:?} in {said}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
