//! Tenants: who may do what, and that nobody sees what is another's.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::{World, until};

fn song(custom_id: &str) -> Value {
    json!({ "custom_id": custom_id, "vendor": "replicate", "prompt": "a calm piano", "duration_s": 4 })
}

#[test]
fn without_a_key_only_this_machine_is_heard_and_with_one_nobody_without() -> Result<()> {
    let world = World::start(&[])?;
    let (process, api) = world.serve_api(&[], &["api.listen=\"0.0.0.0:0\""])?;
    drop(process);
    // Asked to listen everywhere, it listens here alone and says so.
    let port = api.addr.port();
    let settings = [format!("api.listen=\"0.0.0.0:{port}\"")];
    let process = world.serve_as("open", &["api"], &settings)?;
    until("it says where it listens", || Ok(world.log("open").contains("api: serves")))?;
    let log = world.log("open");
    assert!(
        log.contains(&format!("http://127.0.0.1:{port}")) && log.contains("there is no key yet"),
        "{log}"
    );
    assert_eq!(api.get("/v1/jobs")?.status, 200);
    for headers in [
        &[("host", "songs.example.com")][..],
        &[("origin", "https://evil.example")],
        &[("x-forwarded-for", "203.0.113.7")],
    ] {
        assert_eq!(api.ask("GET", "/v1/jobs", headers, b"")?.status, 401, "{headers:?}");
    }
    let key = world.key("default", &["read"])?;
    until("a key is asked for", || Ok(api.get("/v1/jobs")?.status == 401))?;
    assert_eq!(api.get("/v1/jobs")?.header("www-authenticate"), Some("Bearer realm=\"songmill\""));
    assert_eq!(api.with_key(&key).get("/v1/jobs")?.status, 200);
    assert_eq!(api.with_key(&format!("{key}x")).get("/v1/jobs")?.status, 401);
    // A store that is suddenly empty opens nothing.
    world.redis.cli(&["flushall"])?;
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(api.get("/v1/jobs")?.status, 401);
    drop(process);
    // With a key it listens where it was told.
    world.key("default", &["read"])?;
    let _process = world.serve_as("wide", &["api"], &settings)?;
    until("it says where it listens", || Ok(world.log("wide").contains(&format!("http://0.0.0.0:{port}"))))
}

#[test]
fn across_the_border_there_is_nothing() -> Result<()> {
    let world = World::start(&[])?;
    let settings = ["log.level=\"debug\"", "deliver.notices.schedule=[\"1d\"]"];
    let (_api, api) = world.serve_api(&["generate", "deliver"], &settings)?;
    let (ours, theirs) = (world.key("ours", &["submit", "read"])?, world.key("theirs", &["submit", "read"])?);
    let admin = world.key("default", &["admin"])?;
    let (ours, theirs, operator) = (api.with_key(&ours), api.with_key(&theirs), api.with_key(&admin));
    // One of everything, of ours.
    let job = ours.post("/v1/jobs?batch=b", &song("a"))?.json()["id"].as_str().context("an id")?.to_owned();
    let made = ours.post("/v1/endpoints", &json!({ "url": "http://127.0.0.1:9/" }))?.json();
    let endpoint = made["id"].as_str().context("an id")?.to_owned();
    let notice = ours.post(&format!("/v1/endpoints/{endpoint}/test"), &Value::Null)?.json();
    let notice = notice["id"].as_str().context("an id")?.to_owned();
    until("it is completed", || Ok(ours.get(&format!("/v1/jobs/{job}"))?.json()["state"] == "completed"))?;
    // Every operation there is, on what is ours, by their key.
    let document = api.get("/openapi.json")?.json();
    let mut tried = 0;
    for (template, methods) in document["paths"].as_object().context("paths")? {
        if !template.starts_with("/v1/") {
            continue;
        }
        let path = template
            .replace("{id}", &job)
            .replace("{batch}", "b")
            .replace("{endpoint}", &endpoint)
            .replace("{notice}", &notice)
            .replace("{key}", "0000000000")
            .replace("{tenant}", "ours")
            .replace("{n}", "1");
        for (method, operation) in methods.as_object().context("methods")? {
            let method = method.to_uppercase();
            let headers = [("content-type", "application/json")];
            let names_tenant = operation["parameters"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["name"] == "tenant" && one["in"] == "query"));
            let mut paths = vec![path.clone()];
            if names_tenant {
                paths.push(format!("{path}?tenant=ours"));
            }
            for (n, path) in paths.iter().enumerate() {
                if path == template && n == 0 {
                    // It is about the caller's own.
                    continue;
                }
                let body = match template.as_str() {
                    "/v1/jobs" => song("x"),
                    "/v1/endpoints" => json!({ "url": "http://127.0.0.1:9/" }),
                    "/v1/jobs/{id}/resolve" => json!({ "fail": {} }),
                    _ => json!({}),
                };
                let status = theirs.ask(&method, path, &headers, body.to_string().as_bytes())?.status;
                assert!(matches!(status, 403 | 404), "{method} {path} answers {status}");
                let nobody = api.ask(&method, path, &headers, b"{}")?.status;
                assert_eq!(nobody, 401, "{method} {path} without a key");
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "only {tried} operations were tried");
    // Lists hold nothing of ours, and what has the same name is another thing.
    for path in ["/v1/jobs", "/v1/batches", "/v1/endpoints", "/v1/notices", "/v1/events"] {
        assert_eq!(theirs.get(path)?.json()["data"], json!([]), "{path}");
        assert_ne!(ours.get(path)?.json()["data"], json!([]), "{path}");
        assert_ne!(operator.get(&format!("{path}?tenant=ours"))?.json()["data"], json!([]), "{path}");
    }
    let same = theirs.post("/v1/jobs?batch=b", &song("a"))?.json();
    assert_ne!(same["id"], json!(job));
    assert_eq!(theirs.get("/v1/batches/b")?.json()["total"], 1);
    let named = theirs.post(&format!("/v1/jobs?notify={endpoint}"), &song("z"))?;
    assert_eq!(named.status, 400, "another's endpoint is told nothing");
    // An operator's answer for ours is not given to somebody of the operator's own tenant.
    let own = api.with_key(&world.key("default", &["submit"])?);
    let head = [("content-type", "application/json"), ("idempotency-key", "setup")];
    let hook = json!({ "url": "http://127.0.0.1:9/" }).to_string();
    let path = "/v1/endpoints?tenant=ours";
    assert_eq!(operator.ask("POST", path, &head, hook.as_bytes())?.status, 201);
    assert_eq!(own.ask("POST", path, &head, hook.as_bytes())?.status, 403);
    // Scopes, and keys that are taken back.
    let reader = world.key("ours", &["read"])?;
    assert_eq!(api.with_key(&reader).post("/v1/jobs", &song("b"))?.status, 403);
    assert_eq!(ours.get("/v1/keys")?.status, 403);
    let revoked = world.run(&["key", "revoke", &reader])?;
    assert!(revoked.status.success());
    until("it is refused", || Ok(api.with_key(&reader).get("/v1/jobs")?.status == 401))?;
    // Neither logs nor lists have a secret.
    let keys = [&ours, &theirs, &operator].map(|api| api.key.clone().unwrap_or_default());
    let (log, listed) = (world.log("api"), world.run(&["key", "list", "--json"])?.stdout);
    assert!(log.contains("answered 200"), "requests are logged");
    for key in keys.iter().chain([&reader]) {
        let secret = key.rsplit('_').next().context("a secret")?;
        assert!(!log.contains(secret) && !String::from_utf8_lossy(&listed).contains(secret));
    }
    Ok(())
}

#[test]
fn a_tenant_has_no_more_than_it_may_have() -> Result<()> {
    let world = World::start(&[])?;
    let (_api, api) = world.serve_api(&[], &[])?;
    world.json(&["tenant", "quota", "small", "--open-jobs", "3"])?;
    let (admin, key) =
        (api.with_key(&world.key("default", &["admin"])?), world.key("small", &["submit", "read"])?);
    let api = api.with_key(&key);
    let text: String = (0..5).map(|n| format!("{}\n", song(&n.to_string()))).collect();
    let upload = |text: &str| {
        api.ask("POST", "/v1/batches?name=b", &[("content-type", "application/jsonl")], text.as_bytes())
    };
    let told = upload(&text)?.json();
    assert_eq!((&told["created"], &told["refused"]), (&json!(3), &json!(2)), "{told}");
    let refused = api.post("/v1/jobs", &song("x"))?;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("quota")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(upload(&format!("{}\n", song("y")))?.status, 429);
    // Known requests are no new ones, and what has ended makes room.
    assert_eq!(upload(&text)?.json()["known"], 3);
    let canceled = api.post("/v1/batches/b/cancel", &Value::Null)?.json();
    assert_eq!(canceled["changed"], 3);
    assert_eq!(upload(&text)?.json()["created"], 2);
    let usage = api.get("/v1/tenants/small")?.json();
    assert_eq!((&usage["open_jobs"], &usage["most_open_jobs"]), (&json!(2), &json!(3)), "{usage}");
    assert_eq!(api.get("/v1/batches/b/errors")?.lines()?.len(), 0, "what was over is no error any more");
    // Bytes and jobs a day are counted too.
    let quota = |body: Value| {
        let head = [("content-type", "application/json")];
        admin.ask("PUT", "/v1/tenants/small/quota", &head, body.to_string().as_bytes())
    };
    assert_eq!(quota(json!({ "jobs_per_day": 6 }))?.status, 200);
    assert_eq!(api.post("/v1/jobs", &song("1st"))?.status, 202);
    let refused = api.post("/v1/jobs", &song("2nd"))?;
    assert_eq!(refused.status, 429);
    assert!(refused.json()["detail"].as_str().is_some_and(|detail| detail.contains("0:00 UTC")));
    assert_eq!(quota(json!({ "bytes": 300 }))?.status, 200);
    assert_eq!(api.post("/v1/jobs", &song("3rd"))?.status, 429);
    world.audit()
}
