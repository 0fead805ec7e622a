//! The control API: its conventions, uploads, live events, cancelling.

use std::io::{BufReader, Write as _};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::api::{self, Api};
use songmill_tests::{World, one_each, until};

const JSONL: (&str, &str) = ("content-type", "application/jsonl");

fn song(custom_id: &str) -> Value {
    json!({ "custom_id": custom_id, "vendor": "replicate", "prompt": "a calm piano", "duration_s": 4 })
}

fn lines(songs: impl Iterator<Item = Value>) -> String {
    songs.map(|song| format!("{song}\n")).collect()
}

/// A body that says what it says in chunks.
fn chunked(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

#[test]
fn what_is_wrong_is_said_as_a_problem_with_its_place() -> Result<()> {
    let world = World::start(&[])?;
    let (_api, api) = world.serve_api(&[], &[])?;
    let problem = |reply: api::Reply, status: u16, code: &str| {
        let body = reply.json();
        assert_eq!((reply.status, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(body["request_id"].as_str(), reply.header("x-request-id"));
        body
    };
    let body = json!({ "vendor": "tencent", "prompt": "a", "options": { "tencent": { "emotion": "x" } }, "seed": 0 });
    let wrong = problem(api.post("/v1/jobs", &body)?, 422, "invalid");
    assert_eq!(wrong["errors"][0]["pointer"], "/seed", "{wrong}");
    let wrong = problem(api.post("/v1/jobs", &json!({ "promt": "a" }))?, 422, "invalid");
    assert_eq!(wrong["errors"][0]["pointer"], "/promt", "{wrong}");
    problem(api.post("/v1/jobs", &json!([null, "replicate", "a list is no request"]))?, 422, "invalid");
    problem(api.ask("POST", "/v1/jobs", &[("content-type", "application/json")], b"{")?, 400, "bad_json");
    problem(
        api.ask("POST", "/v1/jobs", &[("content-type", "text/plain")], b"{}")?,
        415,
        "unsupported_media_type",
    );
    problem(api.get("/v1/jobs/nonsense")?, 404, "not_found");
    problem(api.get("/v1/jobs?limit=0")?, 400, "bad_query");
    problem(api.get("/v1/jobs?nonsense=1")?, 400, "bad_query");
    problem(api.get("/nowhere")?, 404, "not_found");
    let refused = api.ask("DELETE", "/v1/jobs", &[], b"")?;
    assert!(refused.header("allow").is_some_and(|allowed| allowed.contains("GET")));
    problem(refused, 405, "method_not_allowed");
    let long = json!({ "prompt": "x".repeat(3 << 20) });
    problem(api.post("/v1/jobs", &long)?, 413, "body_too_large");
    // The caller's id of a request is kept, and limits are told.
    let asked = api.ask("GET", "/v1/jobs", &[("x-request-id", "order-17")], b"")?;
    assert_eq!(asked.header("x-request-id"), Some("order-17"));
    assert!(asked.header("ratelimit").is_some_and(|left| left.contains("r=")));
    // Upload lines that are wrong are named with their number.
    let text = format!(
        "{}\nnonsense\n{}\n",
        song("a"),
        json!({ "custom_id": "b", "vendor": "nobody", "prompt": "x" })
    );
    let uploaded = api.ask("POST", "/v1/batches?name=b", &[JSONL], text.as_bytes())?;
    let told = uploaded.json();
    assert_eq!((uploaded.status, &told["created"], &told["refused"]), (202, &json!(1), &json!(2)), "{told}");
    assert_eq!((&told["errors"][0]["line"], &told["errors"][1]["line"]), (&json!(2), &json!(3)));
    assert_eq!(told["errors"][1]["custom_id"], "b");
    let errors = api.get("/v1/batches/b/errors")?.lines()?;
    assert_eq!(errors.iter().map(|error| error["line"].clone()).collect::<Vec<_>>(), [json!(2), json!(3)]);
    problem(api.ask("POST", "/v1/batches", &[JSONL], b"nonsense\n")?, 422, "invalid");
    Ok(())
}

#[test]
fn a_request_sent_again_is_done_once() -> Result<()> {
    let world = World::start(&[])?;
    let (_api, api) = world.serve_api(&[], &[])?;
    let json = ("content-type", "application/json");
    let song = json!({ "vendor": "replicate", "prompt": "a calm piano", "duration_s": 4 }).to_string();
    let submit = |key: &str, body: &str| {
        api.ask("POST", "/v1/jobs", &[json, ("idempotency-key", key)], body.as_bytes())
    };
    let (first, again) = (submit("k1", &song)?, submit("k1", &song)?);
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!((&first.body, first.header("location")), (&again.body, again.header("location")));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = submit("k1", &song.replace("calm", "loud"))?;
    assert_eq!((other.status, other.json()["code"].as_str()), (422, Some("key_reused")));
    assert_ne!(submit("k2", &song)?.body, first.body, "another key is another request");
    assert_eq!(api.get("/v1/jobs")?.json()["data"].as_array().map(Vec::len), Some(2));
    // Endpoints, which have no name of their own, are made once too.
    let hook = json!({ "url": "https://example.com/hooks" }).to_string();
    let make = || api.ask("POST", "/v1/endpoints", &[json, ("idempotency-key", "k3")], hook.as_bytes());
    assert_eq!(make()?.body, make()?.body);
    assert_eq!(api.get("/v1/endpoints")?.json()["data"].as_array().map(Vec::len), Some(1));
    // While one is under way a second is told so.
    let head = [JSONL, ("idempotency-key", "slow")];
    let mut slow = api.begin("POST", "/v1/batches?name=slow", &head, None)?;
    slow.write_all(&chunked(&format!("{}\n", self::song("a"))))?;
    until("the first line is in", || Ok(api.get("/v1/batches/slow")?.json()["total"] == 1))?;
    let second = api.ask("POST", "/v1/batches?name=slow", &head, b"")?;
    assert_eq!((second.status, second.json()["code"].as_str()), (409, Some("under_way")));
    assert!(second.header("retry-after").is_some());
    slow.write_all(&chunked(&format!("{}\n", self::song("b"))))?;
    slow.write_all(b"0\r\n\r\n")?;
    let done = api::read(&mut BufReader::new(slow))?;
    assert_eq!((done.status, &done.json()["created"]), (202, &json!(2)));
    let both = format!("{}\n{}\n", self::song("a"), self::song("b"));
    assert_eq!(api.ask("POST", "/v1/batches?name=slow", &head, both.as_bytes())?.body, done.body);
    assert_eq!(api.ask("POST", "/v1/batches?name=slow", &head, b"{}\n")?.status, 422);
    Ok(())
}

#[test]
fn a_large_upload_takes_little_memory_and_one_that_is_cut_ends_with_every_line_once() -> Result<()> {
    const LINES: usize = 200_000;
    let world = World::start(&[])?;
    let (process, api) = world.serve_api(&[], &[])?;
    let text = lines(
        (0..LINES).map(|n| json!({ "vendor": "replicate", "prompt": format!("song {n}"), "duration_s": 4 })),
    );
    let head = [JSONL, ("idempotency-key", "catalogue-2026")];
    let mut cut = api.begin("POST", "/v1/batches", &head, Some(text.len()))?;
    cut.write_all(&text.as_bytes()[..text.len() / 2])?;
    drop(cut);
    let uploaded = || -> Result<api::Reply> {
        // Until it is noticed that the other one is cut.
        let mut reply = api.ask("POST", "/v1/batches", &head, text.as_bytes())?;
        while reply.status == 409 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            reply = api.ask("POST", "/v1/batches", &head, text.as_bytes())?;
        }
        Ok(reply)
    };
    let reply = uploaded()?;
    let told = reply.json();
    let (created, known) =
        (told["created"].as_u64().context("created")?, told["known"].as_u64().context("known")?);
    assert_eq!((reply.status, created + known), (202, LINES as u64), "{told}");
    assert!(known > 1000 && created > 1000, "the cut one was taken in by half: {told}");
    let batch = api.get(reply.header("location").context("a location")?)?.json();
    assert_eq!((&batch["total"], &batch["uploads"]), (&json!(LINES), &json!(0)), "{batch}");
    assert_eq!(uploaded()?.body, reply.body, "the same answer is given again");
    let results = api.get(&format!("/v1/batches/{}/results", told["batch"].as_str().context("a name")?))?;
    assert_eq!(results.lines()?.len(), LINES);
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a high-water mark")?;
    let most: u64 = most.trim().trim_end_matches(" kB").parse()?;
    assert!(most < 150 * 1024, "the API took {most} KiB");
    Ok(())
}

#[test]
fn events_are_streamed_and_taken_up_where_they_were_cut() -> Result<()> {
    let world = World::start(&[])?;
    let (_api, api) = world.serve_api(&["generate", "deliver"], &[])?;
    let posted = api.post("/v1/jobs", &song("a"))?.json();
    let id = posted["id"].as_str().context("a job has an id")?;
    let stream = |headers: &[(&str, &str)]| -> Result<Vec<(Option<String>, String, Value)>> {
        let stream = api.begin("GET", &format!("/v1/jobs/{id}/stream"), headers, Some(0))?;
        let mut stream = BufReader::new(stream);
        let reply = api::head(&mut stream)?;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
        let mut text = String::new();
        while let Some(chunk) = api::chunk(&mut stream)? {
            text += &String::from_utf8(chunk)?;
        }
        let events = text.split("\n\n").filter(|event| event.contains("data: "));
        let field = |event: &str, name: &str| {
            event.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
        };
        events
            .map(|event| {
                let data = serde_json::from_str(&field(event, "data:").context("data")?)?;
                Ok((field(event, "id:"), field(event, "event:").context("a type")?, data))
            })
            .collect()
    };
    // The stream ends with the job, and the last that comes is how it stands.
    let events = stream(&[])?;
    let kinds: Vec<_> = events.iter().map(|(_, kind, _)| kind.as_str()).collect();
    assert_eq!(kinds[0], "job", "{kinds:?}");
    assert!(kinds.contains(&"job.completed"), "{kinds:?}");
    assert_eq!(events.last().context("a last one")?.2["state"], "completed");
    // From the beginning, then from the second event on: nothing twice, nothing missing.
    let all = stream(&[("last-event-id", "0")])?;
    let told: Vec<_> = all.iter().filter_map(|(id, kind, _)| Some((id.clone()?, kind.clone()))).collect();
    let names: Vec<_> = told.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(names, ["job.queued", "job.generating", "job.collecting", "job.completed"]);
    let rest = stream(&[("last-event-id", &told[1].0)])?;
    let rest: Vec<_> = rest.iter().filter_map(|(id, kind, _)| Some((id.clone()?, kind.clone()))).collect();
    assert_eq!(rest, told[2..]);
    // The same by pulling.
    let pulled = api.get(&format!("/v1/events?job={id}"))?.json();
    let ids: Vec<_> =
        pulled["data"].as_array().context("a list")?.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, told.iter().map(|(id, _)| json!(id)).collect::<Vec<_>>());
    let next = pulled["next"].as_str().context("a place")?;
    assert_eq!(api.get(&format!("/v1/events?after={next}"))?.json()["data"], json!([]));
    Ok(())
}

#[test]
fn a_job_is_cancelled_in_every_state() -> Result<()> {
    let world = World::start(&["faults.hold=true"])?;
    let (_api, api) = world.serve_api(&[], &[])?;
    let cancel =
        |id: &str| -> Result<Value> { Ok(api.post(&format!("/v1/jobs/{id}/cancel"), &Value::Null)?.json()) };
    let submit = |song: &Value| -> Result<String> {
        let posted = api.post("/v1/jobs", song)?.json();
        posted["id"].as_str().map(str::to_owned).with_context(|| posted.to_string())
    };
    let state =
        |id: &str| -> Result<Value> { Ok(api.get(&format!("/v1/jobs/{id}"))?.json()["state"].clone()) };
    // Queued: nobody is at work.
    let queued = submit(&song("queued"))?;
    assert_eq!(cancel(&queued)?["job"]["state"], "canceled");
    assert_eq!(cancel(&queued)?["changed"], false, "once is enough");
    // Generating: the vendor is told, where it can be.
    let generate = world.serve(&["generate"])?;
    let running = one_each().into_iter().map(|song| submit(&song)).collect::<Result<Vec<_>>>()?;
    for id in &running {
        until("it is generating", || Ok(state(id)? == "generating"))?;
        assert_eq!(cancel(id)?["changed"], true);
    }
    for id in &running {
        until("it is cancelled", || Ok(state(id)? == "canceled"))?;
    }
    for vendor in ["replicate", "inference_sh"] {
        assert_eq!(world.stats()?["vendors"][vendor]["canceled"], 1, "{vendor} was told");
    }
    // Submitting: the answer is waited for, then the task is stopped.
    world.faults(&json!({ "latency_ms": [1000, 1200] }))?;
    let submitting = submit(&song("submitting"))?;
    until("it is submitting", || Ok(state(&submitting)? == "submitting"))?;
    assert_eq!(cancel(&submitting)?["changed"], true);
    until("it is cancelled", || Ok(state(&submitting)? == "canceled"))?;
    assert_eq!(world.stats()?["vendors"]["replicate"]["canceled"], 2, "its task was stopped");
    // Collecting: nobody brings audio in.
    world.faults(&json!({ "latency_ms": [0, 0], "hold": false }))?;
    let collecting = submit(&song("collecting"))?;
    until("it is collecting", || Ok(state(&collecting)? == "collecting"))?;
    assert_eq!(cancel(&collecting)?["job"]["state"], "canceled");
    // What has ended has ended.
    drop(generate);
    let _roles = world.serve(&["generate", "deliver"])?;
    let done = submit(&song("done"))?;
    until("it is completed", || Ok(state(&done)? == "completed"))?;
    let late = api.post(&format!("/v1/jobs/{done}/cancel"), &Value::Null)?;
    assert_eq!((late.status, late.json()["code"].as_str()), (409, Some("has_ended")));
    world.audit()
}

#[test]
fn audio_is_served_whole_and_in_parts() -> Result<()> {
    let world = World::start(&[])?;
    let (_api, api) = world.serve_api(&["generate", "deliver"], &[])?;
    let posted = api.post("/v1/jobs", &song("a"))?.json();
    let path = format!("/v1/jobs/{}", posted["id"].as_str().context("a job has an id")?);
    assert_eq!(api.get(&format!("{path}/assets/1"))?.status, 404, "there is none yet");
    until("it is completed", || Ok(api.get(&path)?.json()["state"] == "completed"))?;
    let job = api.get(&path)?.json();
    let asset = &job["assets"][0];
    let whole = api.get(asset["url"].as_str().context("an address")?)?;
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("audio/wav")));
    assert_eq!(json!(whole.body.len()), asset["bytes"]);
    let part = api.ask("GET", &format!("{path}/assets/1"), &[("range", "bytes=4-7")], b"")?;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[4..8]));
    let none = api.ask("GET", &format!("{path}/assets/1"), &[("range", "bytes=999999999-")], b"")?;
    assert_eq!((none.status, none.json()["code"].as_str()), (416, Some("no_such_bytes")));
    assert_eq!(api.get(&format!("{path}/assets/2"))?.status, 404);
    Ok(())
}

#[test]
fn the_command_line_says_the_same_of_a_server_as_of_redis() -> Result<()> {
    let world = World::start(&["faults.fail_rate=1"])?.with_policy("attempts=1");
    let (_api, api) = world.serve_api(&["generate", "deliver"], &[])?;
    let server = format!("http://{}", api.addr);
    let key = world.key("default", &["admin"])?;
    let there = |args: &[&str]| -> Result<Vec<Value>> {
        let mut command = world.command(&[args, &["--server", &server, "--json"]].concat())?;
        let output = command.env("SONGMILL_KEY", &key).output()?;
        let text = String::from_utf8(output.stdout)?;
        anyhow::ensure!(!text.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    };
    world.file("b.jsonl", &[song("a"), json!({ "custom_id": "bad" }), song("b")])?;
    let planned = &there(&["plan", "b.jsonl"])?[0];
    assert_eq!((&planned["jobs"], &planned["refused"]), (&json!(2), &json!(1)), "{planned}");
    let submitted = &there(&["submit", "b.jsonl", "--batch", "b"])?[0];
    assert_eq!((&submitted["created"], &submitted["refused"]), (&json!(2), &json!(1)), "{submitted}");
    let bad: Value =
        serde_json::from_str(&std::fs::read_to_string(world.folder.path().join("b.rejected.jsonl"))?)?;
    assert_eq!((&bad["line"], &bad["custom_id"]), (&json!(2), &json!("bad")));
    let again = &there(&["submit", "b.jsonl", "--batch", "b"])?[0];
    assert_eq!((&again["created"], &again["known"]), (&json!(0), &json!(2)));
    assert_eq!(there(&["batch", "watch", "b"])?[0]["counts"], json!({ "failed": 2 }));
    let here = |args: &[&str]| world.json_lines(args);
    for args in [
        &["batch", "list"][..],
        &["batch", "show", "b"],
        &["batch", "errors", "b"],
        &["job", "list", "--state", "failed"],
        &["deadletter", "list", "--batch", "b"],
        &["key", "list"],
        &["vendor", "list"],
        &["event", "list"],
        &["tenant", "list"],
    ] {
        let (mut here, mut there) = (here(args)?, there(args)?);
        // Some lists are lines, some one array.
        for one in here.iter_mut().chain(&mut there).flat_map(|listed| match listed {
            Value::Array(all) => all.iter_mut().collect(),
            one => vec![one],
        }) {
            // One says how long ago; and what was used of a vendor's limits goes on changing.
            for moving in ["waits_for", "flow"] {
                if let Some(moving) = one.get_mut(moving) {
                    *moving = Value::Null;
                }
            }
        }
        assert_eq!(here, there, "{args:?}");
        assert!(!here.is_empty(), "{args:?}");
    }
    // Dead letters are tried again, by what they have in common.
    world.faults(&json!({ "fail_rate": 0.0 }))?;
    let code = here(&["deadletter", "list"])?[0]["fault"]["code"].clone();
    let replayed = &there(&["deadletter", "replay", "--code", code.as_str().context("a code")?])?[0];
    assert_eq!(replayed["replayed"], 2);
    assert_eq!(there(&["batch", "watch", "b"])?[0]["counts"], json!({ "completed": 2 }));
    let results = world.folder.path().join("results.jsonl");
    let output = world.run(&["batch", "results", "b", "-o", "results.jsonl"])?;
    assert!(output.status.success());
    assert_eq!(std::fs::read_to_string(results)?.lines().count(), 2);
    let id = here(&["job", "list", "--limit", "1"])?[0]["id"].clone();
    let got = world.run(&["job", "get", id.as_str().context("an id")?, "-o", "song.wav"])?;
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    assert!(std::fs::read(world.folder.path().join("song.wav"))?.starts_with(b"RIFF"));
    Ok(())
}

/// Kept so that what one key may ask is told apart from what another may.
#[test]
fn who_asks_too_often_is_told_when_to_ask_again() -> Result<()> {
    let world = World::start(&[])?;
    let (_api, api) = world.serve_api(&[], &["api.requests_per_minute=5"])?;
    let statuses: Vec<u16> = (0..7).map(|_| Ok(api.get("/v1/jobs")?.status)).collect::<Result<_>>()?;
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    let refused = api.get("/v1/jobs")?;
    assert_eq!(refused.json()["code"], "rate_limited");
    assert!(
        refused.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait <= 60))
    );
    assert_eq!(api.get("/health")?.status, 200, "health is for everybody");
    let other = Api { key: Some(world.key("default", &["read"])?), ..api };
    until("the key is known", || Ok(other.get("/v1/jobs")?.status == 200))?;
    Ok(())
}
