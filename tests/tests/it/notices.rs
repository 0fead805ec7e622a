//! Notices: what customers are told, also when workers die in between.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::{World, many, one_each, until};

/// Somebody who is told, and answers with `status`.
pub(crate) struct Customer {
    pub(crate) url: String,
    told: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Customer {
    pub(crate) fn answering(status: u16) -> Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/hook", socket.local_addr()?);
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let telling = telling.clone();
                // Whoever posts and goes, posts again.
                std::thread::spawn(move || heard(stream, status, &telling));
            }
        });
        Ok(Self { url, told })
    }

    pub(crate) fn told(&self) -> Vec<(String, Value)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn of(&self, kind: &str) -> Vec<(String, Value)> {
        self.told().into_iter().filter(|(_, told)| told["type"] == kind).collect()
    }
}

fn heard(stream: std::net::TcpStream, status: u16, told: &Mutex<Vec<(String, Value)>>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let head = songmill_tests::api::request_head(&mut reader)?;
        let length: usize = head.header("content-length").context("a length")?.parse()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let id = head.header("webhook-id").context("an id")?.to_owned();
        told.lock().unwrap_or_else(PoisonError::into_inner).push((id, serde_json::from_slice(&body)?));
        write!(reader.get_mut(), "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")?;
    }
}

#[test]
fn a_batch_is_told_of_once_although_workers_die_in_between() -> Result<()> {
    let world = World::start(&["generation_ms=[50, 400]"])?
        .with("deliver.notices.timeout=\"2s\"")
        .with("deliver.notices.schedule=[\"200ms\", \"500ms\", \"1s\", \"2s\", \"4s\"]");
    let customer = Customer::answering(204)?;
    world.json(&["endpoint", "add", &customer.url])?;
    let mut roles = world.serve(&["generate", "deliver"])?;
    let songs = 40;
    world.submit("b", &many(songs / 4, &one_each()))?;
    for _ in 0..6 {
        std::thread::sleep(std::time::Duration::from_millis(400));
        roles.kill();
        roles = world.serve(&["generate", "deliver"])?;
    }
    let counts = world.settled("b")?;
    let held = counts["held"].as_u64().unwrap_or(0);
    // What nobody can tell is decided, so that the batch ends.
    for result in world.results("b")?.iter().filter(|result| result["state"] == "held") {
        world.run(&["job", "resolve", result["id"].as_str().context("an id")?, "--fail"])?;
    }
    let ids = |kind: &str| -> BTreeMap<String, Value> { customer.of(kind).into_iter().collect() };
    until("all is told", || {
        let ended = ids("job.completed").len() + ids("job.failed").len();
        Ok(ended == songs && ids("batch.completed").len() == 1)
    })?;
    assert_eq!(ids("job.held").len() as u64, held);
    // Whoever is told twice is told under one id: each job once.
    let completed = ids("job.completed");
    let jobs: std::collections::BTreeSet<_> =
        completed.values().map(|told| told["data"]["job"]["id"].to_string()).collect();
    assert_eq!(jobs.len(), completed.len());
    std::thread::sleep(std::time::Duration::from_secs(1));
    let batch = ids("batch.completed");
    assert_eq!(batch.len(), 1);
    let told = &batch.values().next().context("one")?["data"]["batch"];
    assert_eq!(
        (&told["ended"], &told["total"]),
        (&json!(songs), &json!(songs)),
        "after the last job: {told}"
    );
    world.audit()
}

#[test]
fn a_slow_endpoint_delays_only_itself_and_a_failing_one_is_switched_off() -> Result<()> {
    let world = World::start(&[])?
        .with("deliver.notices.timeout=\"1s\"")
        .with("deliver.notices.patience=\"2s\"")
        .with("deliver.notices.each=2")
        .with(
            "deliver.notices.schedule=[\"300ms\", \"500ms\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]",
        );
    let (good, bad) = (Customer::answering(200)?, Customer::answering(500)?);
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let add = |url: &str| -> Result<String> {
        let made = world.json(&["endpoint", "add", url])?;
        made["id"].as_str().map(str::to_owned).context("an id")
    };
    add(&format!("http://{}/", silent.local_addr()?))?;
    let (failing, healthy) = (add(&bad.url)?, add(&good.url)?);
    // Nobody works: each is cancelled at once, and told of.
    world.submit("b", &many(5, &one_each()))?;
    world.run(&["batch", "cancel", "b"])?;
    let _deliver = world.serve(&["deliver"])?;
    until("the good one has all", || {
        Ok(good.of("job.canceled").len() == 20 && good.of("batch.completed").len() == 1)
    })?;
    until("the failing one is off", || {
        let listed = world.json(&["endpoint", "list"])?;
        let one = listed.as_array().context("a list")?.iter().find(|one| one["id"] == json!(failing));
        Ok(one.is_some_and(|one| one["enabled"] == false))
    })?;
    until("its owner is told", || Ok(!good.of("endpoint.disabled").is_empty()))?;
    let told = good.of("endpoint.disabled");
    assert!(told.iter().any(|(_, told)| told["data"]["endpoint"] == json!(failing)));
    // The history tells how it went, and a test of the good one goes through.
    let failed = world.json_lines(&["notice", "list", "--endpoint", &failing])?;
    assert!(failed.iter().any(|notice| notice["tries"][0]["status"] == 500), "{failed:?}");
    let tested = world.json(&["notice", "test", &healthy])?;
    assert_eq!(tested["state"], "delivered");
    Ok(())
}

#[test]
fn addresses_inside_are_refused_when_they_are_given_and_when_they_are_posted_to() -> Result<()> {
    let world =
        World::start(&[])?.with("deliver.notices.allow_private=false").with("deliver.notices.schedule=[]");
    let (_roles, api) = world.serve_api(&["deliver"], &[])?;
    for url in [
        "http://127.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/",
        "http://localhost:1/",
        "ftp://a/",
        "nonsense.example",
    ] {
        let refused = api.post("/v1/endpoints", &json!({ "url": url }))?;
        assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/url")), "{url}");
    }
    // The settings may have been others when it was given.
    let (_lenient, lenient) = world.serve_api(&[], &["deliver.notices.allow_private=true"])?;
    let made = lenient.post("/v1/endpoints", &json!({ "url": "http://localhost:1/" }))?.json();
    let tested = world.json(&["notice", "test", made["id"].as_str().context("an id")?])?;
    let error = tested["tries"][0]["error"].as_str().context("an error")?;
    assert!(error.contains("private network"), "{error}");
    assert_eq!(tested["state"], "failed");
    Ok(())
}

#[test]
fn a_held_job_is_told_of_and_so_is_what_an_operator_makes_of_it() -> Result<()> {
    let world = World::start(&["faults.reply_lost_rate=1"])?;
    let customer = Customer::answering(200)?;
    let (_roles, api) = world.serve_api(&["generate", "deliver"], &[])?;
    world.json(&["endpoint", "add", &customer.url])?;
    // Nobody can look up what became of it.
    let song = one_each().into_iter().find(|song| song["vendor"] == "senseaudio").context("one of them")?;
    let id = api.post("/v1/jobs", &song)?.json()["id"].as_str().context("an id")?.to_owned();
    until("it is held, and told of", || Ok(customer.of("job.held").len() == 1))?;
    let held = &customer.of("job.held")[0].1["data"];
    assert_eq!(
        (&held["sequence"], &held["job"]["id"], &held["job"]["state"]),
        (&json!(1), &json!(id), &json!("held"))
    );
    assert_eq!(api.get("/v1/jobs?state=held")?.json()["data"][0]["id"], json!(id));
    assert_eq!(world.json_lines(&["deadletter", "list"])?[0]["id"], json!(id));
    let resolve = format!("/v1/jobs/{id}/resolve");
    assert_eq!(api.post(&resolve, &json!({ "adopt": {} }))?.status, 422, "which task?");
    // A task of that name does not exist: it is followed all the same, and stopped at the caller's wish.
    let adopted = api.post(&resolve, &json!({ "adopt": { "task": "made-up" } }))?.json();
    assert_eq!(
        (&adopted["job"]["state"], &adopted["job"]["task"]),
        (&json!("generating"), &json!("made-up"))
    );
    let again = api.post(&resolve, &json!({ "fail": {} }))?;
    assert_eq!((again.status, again.json()["code"].as_str()), (409, Some("not_held")));
    api.post(&format!("/v1/jobs/{id}/cancel"), &Value::Null)?;
    until("its end is told of", || Ok(customer.of("job.canceled").len() == 1))?;
    assert_eq!(customer.of("job.canceled")[0].1["data"]["sequence"], 2, "the second notice of this job");
    Ok(())
}

#[test]
fn a_hundred_dead_endpoints_of_two_tenants_delay_nobody_else() -> Result<()> {
    let world = World::start(&[])?
        .with("deliver.notices.timeout=\"4s\"")
        .with("deliver.notices.schedule=[\"100ms\", \"100ms\", \"100ms\", \"100ms\", \"100ms\", \"100ms\"]");
    let (_server, api) = world.serve_api(&["api"], &[])?;
    let as_tenant =
        |tenant: &str| Ok::<_, anyhow::Error>(api.with_key(&world.key(tenant, &["submit", "read"])?));
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = |api: &songmill_tests::api::Api, url: &str| -> Result<String> {
        let made = api.post("/v1/endpoints", &json!({ "url": url }))?.json();
        made["id"].as_str().map(str::to_owned).with_context(|| format!("an id: {made}"))
    };
    for tenant in ["one", "two"] {
        let tenant = as_tenant(tenant)?;
        for _ in 0..50 {
            let id = endpoint(&tenant, &format!("http://{}/", silent.local_addr()?))?;
            tenant.post(&format!("/v1/endpoints/{id}/test"), &json!({}))?;
        }
    }
    let (good, well) = (Customer::answering(200)?, as_tenant("well")?);
    let id = endpoint(&well, &good.url)?;
    let _deliver = world.serve(&["deliver"])?;
    // Through the first time that all of them fail, and on while they are known to.
    let (begun, mut sent, mut slowest) = (std::time::Instant::now(), 0, std::time::Duration::ZERO);
    while begun.elapsed() < std::time::Duration::from_secs(14) {
        let asked = std::time::Instant::now();
        well.post(&format!("/v1/endpoints/{id}/test"), &json!({}))?;
        sent += 1;
        until("the healthy endpoint is told", || Ok(good.told().len() >= sent))?;
        if sent > 1 {
            // The first one waits for the process to start.
            slowest = slowest.max(asked.elapsed());
        }
    }
    assert!(sent > 5 && slowest < std::time::Duration::from_millis(1500), "{slowest:?} at most, of {sent}");
    Ok(())
}
