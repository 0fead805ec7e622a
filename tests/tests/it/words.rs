//! What one tenant writes, and what vendors say of it, is for that tenant and for operators alone.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::{VENDORS, until};

mod rules;
mod stage;

use rules::{LOCKED, NAMED, SAID};
use stage::Stage;

#[test]
fn a_mark_in_everything_that_one_tenant_writes_is_found_nowhere_in_what_others_read() -> Result<()> {
    let mut stage = Stage::set(&[])?;
    // All ways to fail at once, first without lists, while another tenant has songs made.
    stage.faults(&[], Some(500))?;
    let songs = rules::songs();
    for song in &songs {
        stage.write(song)?;
    }
    stage.read("songs")?;
    let lines = [("content-type", "application/jsonl")];
    stage.reader.ask("POST", "/v1/batches?name=bad", &lines, b"{\"vendor\": \"none\"}\n")?;
    stage.is_kept_to_its_writer()?;
    stage.faults(&[], None)?;
    until("each song has had its answer", || {
        let results = stage.writer.get(&format!("/v1/batches/{NAMED}/results"))?.lines()?;
        let answered = results.iter().filter(|job| job["submissions"].as_u64() > Some(0)).count();
        Ok(answered == songs.len())
    })?;
    stage.are_made("songs")?;
    stage.is_kept_to_its_writer()?;
    let said = stage.is_told_to_its_writer()?;
    assert!(said > songs.len() / 2, "{said} jobs show what was said of them");
    stage.ends()
}

#[test]
fn what_a_vendor_says_of_its_list_is_told_to_nobody_who_is_looked_for_there() -> Result<()> {
    let mut stage = Stage::set(&["give_up=\"3s\"", "patience=\"2s\""])?;
    stage.faults(&[], Some(500))?;
    stage.world.faults(&json!({ "reply_lost_rate": 1.0, "callback_drop_rate": 1.0 }))?;
    stage.read("lost")?;
    until("they are held", || {
        let counts = stage.reader.get("/v1/batches/lost")?.json()["counts"].clone();
        Ok(counts == json!({ "held": 2 * VENDORS.len() }))
    })?;
    let held = stage.reader.get("/v1/jobs?state=held&limit=100")?.json();
    let looked_for = |job: &&Value| {
        job["fault"] == json!({ "kind": "unavailable", "code": "vendor_error", "message": "" })
    };
    let held = held["data"].as_array().context("a list")?;
    assert_eq!(held.iter().filter(looked_for).count(), 6, "all but SenseAudio's: {held:?}");
    stage.is_kept_to_its_writer()?;
    stage.logs_nothing()
}

#[test]
fn a_gate_that_words_about_one_song_have_shut_tells_others_no_word_of_them() -> Result<()> {
    let mut stage = Stage::set(&[])?;
    // Of two vendors at a time, so that songs can go elsewhere.
    for (batch, pair) in [("first", ["replicate", "senseaudio"]), ("second", ["inference_sh", "tencent"])] {
        stage.faults(&pair, None)?;
        for vendor in pair {
            stage.write(&rules::song(vendor, LOCKED))?;
        }
        until("both gates are shut", || {
            let vendors = stage.onlooker.get("/v1/vendors")?.json();
            let shut = |one: &&Value| one["gate"]["by"] == "locked";
            Ok(vendors["data"].as_array().is_some_and(|all| all.iter().filter(shut).count() == pair.len()))
        })?;
        stage.read(batch)?;
        let told = |path: &str, what: &str| -> Result<bool> {
            Ok(String::from_utf8_lossy(&stage.reader.get(path)?.body).contains(what))
        };
        until("some have gone elsewhere", || told(&format!("/v1/batches/{batch}/results"), "failed_over"))?;
        let waiting = format!("/v1/jobs?batch={batch}&custom_id={batch}-{}-alone", pair[0]);
        let waiting = stage.reader.get(&waiting)?.json()["data"][0]["id"].clone();
        let explained = format!("/v1/jobs/{}/explain", waiting.as_str().context("it waits")?);
        assert!(told(&explained, "is shut, ")?, "{}", stage.reader.get(&explained)?.json());
        stage.is_kept_to_its_writer()?;
        stage.faults(&[], None)?;
        for vendor in pair {
            stage.operator.post(&format!("/v1/vendors/{vendor}/open"), &Value::Null)?;
        }
        stage.are_made(batch)?;
    }
    assert_eq!(stage.is_told_to_its_writer()?, VENDORS.len());
    stage.ends()
}

#[test]
fn the_secret_of_a_callback_address_is_told_to_nobody_whoever_quotes_it() -> Result<()> {
    let mut stage = Stage::set(&[])?;
    let words = json!({ "message": format!("{SAID} cannot call {{quoted}}") }).to_string();
    let quoting = json!([{ "contains": "/callbacks/", "status": 422, "body": words }]);
    stage.world.faults(&json!({ "refuse": quoting }))?;
    for vendor in ["replicate", "inference_sh", "tencent"] {
        let path = format!("/v1/jobs/{}", stage.write(&rules::song(vendor, "quoted"))?);
        until("the address is quoted", || {
            let job = stage.writer.get(&path)?.json();
            Ok(job["fault"]["message"].as_str().is_some_and(|words| words.contains("/callbacks/")))
        })?;
    }
    // Callbacks cannot be read, and outputs never come: what vendors answered is kept.
    stage.world.faults(&json!({ "refuse": [], "output_never_rate": 1.0, "callback_garble_rate": 1.0 }))?;
    for vendor in VENDORS {
        stage.write(&rules::song(vendor, "never"))?;
    }
    until("their outputs never come", || {
        let held = stage.writer.get("/v1/jobs?state=held")?.json();
        Ok(held["data"].as_array().is_some_and(|held| held.len() == VENDORS.len()))
    })?;
    assert!(stage.world.log("api").contains("quarantine"), "callbacks are garbled");
    stage.world.faults(&json!({ "output_never_rate": 0.0, "callback_garble_rate": 0.0 }))?;
    stage.read("songs")?;
    stage.are_made("songs")?;
    assert_eq!(stage.is_told_to_its_writer()?, 3);
    stage.ends()
}
