//! The limit: the store's own scripts, called by redis-benchmark with arguments of the same kind and size.

use anyhow::Result;
use songmill_tests::Redis;

use crate::machine::{load, redis_benchmark};

/// The scripts of the store, put together as it does.
macro_rules! script {
    ($($file:literal),*) => {
        concat!($(include_str!(concat!("../../../crates/store/src/scripts/", $file))),*)
    };
}

const ENQUEUE: &str =
    script!("shared.lua", "share.lua", "account.lua", "events.lua", "batch.lua", "enqueue.lua");
const SUBMIT: &str =
    script!("shared.lua", "taking.lua", "limit.lua", "share.lua", "price.lua", "events.lua", "submit.lua");
const COMMIT: &str =
    script!("shared.lua", "share.lua", "account.lua", "events.lua", "batch.lua", "commit.lua");
/// How many events are kept, and what a tenant may make us keep, as the store says it.
const EVENTS: &str = "20000 86400000 4294967295 604800000";
const ACCOUNT: &str = "0 3600000";
/// Where the jobs wait.
const LANE: &str = "default:n:bench";

/// What redis-benchmark replaces by a number of twelve digits.
const ID: &str = "__rand_int__";
/// Records and events as long as those of a job with one vendor and a batch.
const RECORD: &str = r#"{"b":"bench","c":"song-000000","t":1795248000000,"u":1795852800000,"r":[{"v":"replicate","s":["song"]}],"s":"queued","d":1795248000000,"h":[[1795248000000,"created",""]]}"#;
const EVENT: &str = r#"{"job":"0123456789abcdefghjkmnpqrs","batch":"bench","from":"submitting","to":"generating","vendor":"replicate"}"#;
const REQUEST: &str =
    r#"{"custom_id":"song-000000","vendor":"replicate","prompt":"tune 000000","duration_s":8}"#;

fn key(name: &str) -> String {
    format!("{{sm:0}}:{name}")
}

fn command(hash: &str, keys: &[String], args: &[String]) -> Vec<String> {
    let head = ["EVALSHA".to_owned(), hash.to_owned(), keys.len().to_string()];
    [&head[..], keys, args].concat()
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

/// Jobs a second that the enqueue script takes in, in chunks of `chunk`.
pub(crate) fn enqueue(redis: &Redis, chunk: usize, jobs: usize) -> Result<f64> {
    redis.cli(&["flushall"])?;
    let hash = load(redis, ENQUEUE)?;
    let names = [
        "events",
        "batches:default",
        "b:bench",
        "m:bench",
        "t:default",
        "tenants",
        "d:default:20778",
        "deadlines",
    ];
    let mut keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    let mut args = strings(&["bench", EVENTS, "{sm:0}:wake", "{sm:0}:b:", "default", "20778"]);
    args.extend(strings(&["1814400000", "0", ACCOUNT, "0", "{sm:0}:k:default:", "1814400000"]));
    for _ in 0..chunk {
        keys.extend([key(&format!("j:{ID}")), key("q:submit:replicate")]);
        args.extend(strings(&[ID, RECORD, REQUEST, "1795248000000", EVENT, LANE, "0", "0", ""]));
    }
    Ok(redis_benchmark(redis, 4, jobs / chunk, &command(&hash, &keys, &args))? * chunk as f64)
}

/// Fills Redis with jobs whose ids are numbers below `jobs`, all in one queue and due.
fn fill(redis: &Redis, jobs: usize, queue: &str) -> Result<()> {
    const FILL: &str = "for i = ARGV[1], ARGV[2] do local id = string.format('%012d', i) \
        redis.call('HSET', '{sm:0}:j:' .. id, 'd', ARGV[3], 'r', ARGV[4], 'v', 2, 'b', 'bench') \
        redis.call('ZADD', KEYS[1], 1, id) end return 1";
    redis.cli(&["flushall"])?;
    for from in (0..jobs).step_by(20_000) {
        let to = (from + 20_000).min(jobs) - 1;
        redis.cli(&["eval", FILL, "1", queue, &from.to_string(), &to.to_string(), RECORD, REQUEST])?;
    }
    Ok(())
}

/// Jobs a second that are claimed in chunks of `claims` and committed in chunks of `commits`, one after the other.
pub(crate) fn claim_and_commit(redis: &Redis, claims: usize, commits: usize, jobs: usize) -> Result<f64> {
    let (submit, resolve) = (key("q:submit:replicate"), key("q:resolve:replicate"));
    fill(redis, jobs, &format!("{submit}:{LANE}"))?;
    for (node, child) in [("", "default"), (":default", "n"), (":default:n", "bench")] {
        redis.cli(&["zadd", &key(&format!("w:replicate{node}")), "0", child])?;
    }
    let hash = load(redis, SUBMIT)?;
    redis.cli(&["hset", &key("fleet"), "seeded", "1"])?;
    let names =
        ["claim:1", "l:replicate", "q:poll:replicate", "q:cancel:replicate", "fleet", "events", "outbox"];
    let keys = [vec![submit.clone(), resolve.clone()], names.map(key).to_vec()].concat();
    let claims_text = claims.to_string();
    let mut args = vec![&*claims_text, "60000", "{sm:0}:j:", "5000", "1", "", "{sm:0}:b:", "{sm:0}:t:"];
    args.extend(["replicate", "{sm:0}:s:", "0", "0", "0", EVENTS, ""]);
    let calls = redis_benchmark(redis, 4, jobs / claims, &command(&hash, &keys, &strings(&args)))?;
    let claimed = calls * claims as f64;
    let committed = commit(redis, commits, jobs, &resolve, &submit)?;
    Ok(1.0 / (1.0 / claimed + 1.0 / committed))
}

/// Jobs a second that are committed in chunks, picked by chance among `jobs`.
fn commit(redis: &Redis, chunk: usize, jobs: usize, leaves: &str, enters: &str) -> Result<f64> {
    fill(redis, jobs, leaves)?;
    let hash = load(redis, COMMIT)?;
    let mut keys = vec![key("events"), key("ended"), key("totals"), key("outbox")];
    let mut args = strings(&[EVENTS, "{sm:0}:wake", "604800000", "1000000", "{sm:0}:j:", ACCOUNT]);
    for _ in 0..chunk {
        // Key and id are drawn apart, which costs the same.
        keys.extend([
            key(&format!("j:{ID}")),
            leaves.to_owned(),
            enters.to_owned(),
            key("t:default"),
            key("b:bench"),
            key("m:bench"),
            key("r:bench"),
            key("s:20778"),
        ]);
        args.extend(strings(&[
            ID,
            "2",
            RECORD,
            "1795248000000",
            "submitting",
            "queued",
            "replicate",
            "leb",
            EVENT,
            "",
            if enters.contains(":submit:") { LANE } else { "" },
            "0",
            "",
        ]));
    }
    // Few enough that most are still at the version that is expected.
    let calls = (jobs / 5 / chunk).max(1);
    let rate = redis_benchmark_below(redis, jobs, calls, &command(&hash, &keys, &args))?;
    Ok(rate * chunk as f64)
}

/// Jobs a second that are read and committed one by one, over 50 connections: what a callback takes.
pub(crate) fn read_and_commit(redis: &Redis, jobs: usize) -> Result<f64> {
    let (poll, collect) = (key("q:poll:replicate"), key("q:collect:replicate"));
    let committed = commit(redis, 1, jobs, &poll, &collect)?;
    let read = strings(&["HMGET", &key(&format!("j:{ID}")), "d", "v", "x", "c"]);
    let read = redis_benchmark_below(redis, jobs, jobs / 5, &read)?;
    Ok(1.0 / (1.0 / read + 1.0 / committed))
}

fn redis_benchmark_below(redis: &Redis, jobs: usize, calls: usize, command: &[String]) -> Result<f64> {
    // The last `-r` counts.
    let below = ["-r".to_owned(), jobs.to_string()];
    redis_benchmark(redis, 50, calls, &[&below[..], command].concat())
}
