//! What path and headers can refuse is refused before the body comes, and bodies take no more memory than they may.

use std::io::{BufReader, Write as _};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::api::{self, Api};
use songmill_tests::{World, one_each, until};

use super::{SOON, memory, song};
use crate::callbacks::given;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends the head of a request alone; what that is answered.
fn refused(
    api: &Api,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    length: usize,
) -> Result<api::Reply> {
    let begun = Instant::now();
    let stream = TcpAsIs(api).begin(method, path, headers, length)?;
    stream.set_read_timeout(Some(SOON))?;
    let reply = api::read(&mut BufReader::new(stream))
        .with_context(|| format!("{method} {path} {headers:?} waits for its body"))?;
    anyhow::ensure!(begun.elapsed() < SOON, "{method} {path} took {:?}", begun.elapsed());
    anyhow::ensure!(
        reply.header("connection") == Some("close"),
        "{method} {path} {headers:?}: the connection stays open ({})",
        reply.status
    );
    Ok(reply)
}

/// A request that does not ask for the connection to be closed.
struct TcpAsIs<'a>(&'a Api);

impl TcpAsIs<'_> {
    fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> Result<std::net::TcpStream> {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n", self.0.addr);
        if let Some(key) = &self.0.key {
            head += &format!("authorization: Bearer {key}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = std::net::TcpStream::connect(self.0.addr)?;
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        Ok(stream)
    }
}

#[test]
fn every_operation_refuses_what_it_can_before_the_body() -> Result<()> {
    let world = World::start(&[])?;
    let settings = ["api.body_timeout=\"60s\"", "api.upload_silence=\"60s\""];
    let (_process, api) = world.serve_api(&[], &settings)?;
    let admin = api.with_key(&world.key("ours", &["admin"])?);
    let (ours, reader, writer) = (
        api.with_key(&world.key("ours", &["submit", "read"])?),
        api.with_key(&world.key("ours", &["read"])?),
        api.with_key(&world.key("ours", &["submit"])?),
    );
    let guess = api.with_key("sm_abcdefghij_0123456789");
    let job = admin.post("/v1/jobs?batch=b", &song("a"))?.json()["id"].as_str().context("an id")?.to_owned();
    let hook = admin.post("/v1/endpoints", &json!({ "url": "https://192.0.2.1/" }))?.json();
    let endpoint = hook["id"].as_str().unwrap_or("ep_00000000").to_owned();
    let document = admin.get("/openapi.json")?.json();
    let mut tried = 0;
    for (template, methods) in document["paths"].as_object().context("paths")? {
        for (method, operation) in methods.as_object().context("methods")? {
            let Some(contents) = operation["requestBody"]["content"].as_object() else { continue };
            let method = method.to_uppercase();
            let parameters = operation["parameters"].as_array().context("parameters")?;
            let has = |place: &str, name: &str| {
                parameters.iter().any(|one| one["in"] == place && (name.is_empty() || one["name"] == name))
            };
            let path = template
                .replace("{id}", &job)
                .replace("{batch}", "b")
                .replace("{endpoint}", &endpoint)
                .replace("{key}", "abcdefghij")
                .replace("{vendor}", "replicate")
                .replace("{tenant}", "ours");
            let mut expect = |who: &Api, path: &str, headers: &[(&str, &str)], length: usize, status: u16| {
                tried += 1;
                let reply = refused(who, &method, path, headers, length)?;
                anyhow::ensure!(reply.status == status, "{method} {path} {headers:?}: {}", reply.json());
                anyhow::Ok(())
            };
            expect(&api, &path, &[JSON], 1000, 401)?;
            expect(&guess, &path, &[JSON], 1000, 401)?;
            let without = if operation["x-scope"] == "read" { &writer } else { &reader };
            expect(without, &path, &[JSON], 1000, 403)?;
            expect(&admin, &path, &[("content-type", "text/html")], 1000, 415)?;
            if contents.len() == 1 {
                expect(&admin, &path, &[JSON], 1 << 40, 413)?;
            }
            if has("path", "") {
                let parts = template.split('/').map(|part| if part.starts_with('{') { "%20" } else { part });
                let bad = parts.collect::<Vec<_>>().join("/");
                expect(&admin, &bad, &[JSON], 1000, 404)?;
            }
            if has("query", "") {
                expect(&admin, &format!("{path}?nonsense=1"), &[JSON], 1000, 400)?;
            }
            if has("query", "tenant") && operation["x-scope"] != "admin" {
                expect(&ours, &format!("{path}?tenant=theirs"), &[JSON], 1000, 403)?;
            }
            if has("header", "Idempotency-Key") {
                expect(&admin, &path, &[JSON, ("idempotency-key", "a b")], 1000, 400)?;
            }
        }
    }
    assert!(tried > 60, "only {tried} requests were tried");
    Ok(())
}

#[test]
fn a_callback_is_refused_before_its_body_where_address_and_headers_can_refuse_it() -> Result<()> {
    let world = World::start(&["faults.hold=true"])?.with_callbacks().with("listener.body_timeout=\"60s\"");
    let _roles = world.serve(&["generate", "listener"])?;
    world.submit("b", &one_each()[1..3])?;
    let known = |vendor: &str| given(&world, vendor).is_ok();
    until("the tasks are made", || Ok(known("inference_sh") && known("replicate")))?;
    let (unsigned, signed) = (given(&world, "inference_sh")?, given(&world, "replicate")?);
    let listener = Api { addr: world.listener, key: None };
    let now = jiff::Timestamp::now().as_second().to_string();
    let standard = |stamp: &'static str| {
        [("webhook-id", "msg_1"), ("webhook-timestamp", stamp), ("webhook-signature", "v1,AAAA")]
    };
    let (old, unstamped) = (standard("1"), [("webhook-id", "msg_1"), ("webhook-signature", "v1,AAAA")]);
    let unversioned =
        [("webhook-id", "msg_1"), ("webhook-timestamp", &*now), ("webhook-signature", "v0,AAAA")];
    let forged = format!("{}AAAA", &unsigned[..unsigned.len() - 4]);
    for (path, headers, length, status) in [
        (forged.as_str(), &[][..], 1000, 401),
        (&unsigned.replace("/1/", "/2/"), &[], 1000, 401),
        ("/callbacks/a/b/c/d", &[], 1000, 404),
        ("/elsewhere", &[], 1000, 404),
        (&unsigned, &[], 1 << 40, 413),
        (&signed, &[], 1000, 401),
        (&signed, &unstamped, 1000, 401),
        (&signed, &old, 1000, 401),
        (&signed, &unversioned, 1000, 401),
    ] {
        let reply = refused(&listener, "POST", path, headers, length)?;
        assert_eq!(reply.status, status, "{path} {headers:?}");
    }
    Ok(())
}

#[test]
fn bodies_that_do_not_end_take_little_memory_and_nobody_elses_place() -> Result<()> {
    let world = World::start(&[])?.with("listener.body_timeout=\"60s\"");
    let settings = ["api.body_timeout=\"60s\"", "api.http.max_buffered_bytes=8388608"];
    let (process, api) = world.serve_api(&["listener"], &settings)?;
    let job = api.post("/v1/jobs", &song("z"))?.json()["id"].as_str().context("an id")?.to_owned();
    let greedy = api.with_key(&world.key("greedy", &["submit"])?);
    let other = api.with_key(&world.key("other", &["submit"])?);
    let before = memory(process.id(), "VmRSS")?;
    let listener = Api { addr: world.listener, key: None };
    let forged = &format!("/callbacks/replicate/{job}/1/k0.AAAA");
    let megabyte = vec![b'x'; 1 << 20];
    let mut open = Vec::new();
    for n in 0..300 {
        let (who, path) = match n % 3 {
            0 => (&listener, forged.as_str()),
            1 => (&api, "/v1/jobs"),
            _ => (&greedy, "/v1/jobs"),
        };
        let mut stream = TcpAsIs(who).begin("POST", path, &[JSON], (1 << 20) + 1)?;
        stream.set_write_timeout(Some(std::time::Duration::from_millis(20)))?;
        // What is refused is cut, and what has to wait is not read.
        let _ = stream.write_all(&megabyte);
        open.push(stream);
    }
    let more = memory(process.id(), "VmHWM")?.saturating_sub(before);
    assert!(more < 60, "{more} MiB for bodies that have not come");
    let begun = Instant::now();
    let taken = other.post("/v1/jobs", &song("a"))?;
    assert_eq!(taken.status, 202, "{}", taken.json());
    assert!(begun.elapsed() < SOON, "another waited {:?}", begun.elapsed());
    drop(open);
    until("there is room again", || Ok(greedy.post("/v1/jobs", &song("b"))?.status == 202))?;
    assert_eq!(other.post("/v1/jobs", &Value::Null)?.status, 422);
    Ok(())
}
