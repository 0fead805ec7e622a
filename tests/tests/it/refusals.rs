//! Refusals that quote what one tenant wrote, and what they mean for another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::{VENDORS, World, until};

mod table;

use table::{CASES, Case, FAILED, THROTTLED};

/// However long anything would pause a vendor, no test would live to see the end of it.
const LONG_PAUSES: [&str; 5] = [
    "locked_wait=\"10m\"",
    "throttled_wait=\"10m\"",
    "max_named_wait=\"10m\"",
    "limits.breaker_wait=\"10m\"",
    "limits.breaker_most=\"10m\"",
];
/// So many requests a minute are allowed, and ought to be all the time.
const RATE: f64 = 6000.0;
/// Within this time a tenant's songs are made whatever another one writes.
const SOON: Duration = Duration::from_secs(30);

fn world() -> Result<World> {
    let world = World::start(&["generation_ms=[200, 600]", "audio_seconds_most=2"])?.with_callbacks();
    let rates = ["creates_per_minute", "reads_per_minute"].map(|limit| format!("limits.{limit}={RATE}"));
    let settings = LONG_PAUSES.into_iter().chain(rates.iter().map(String::as_str));
    Ok(settings.fold(world, World::with_policy))
}

/// A song of this vendor's whose request has these words as they are.
fn song(vendor: &str, custom_id: &str, words: &str) -> Value {
    let lyrics = "[verse] snow on the hill ; [chorus] all is still";
    let mut song = match vendor {
        "senseaudio" => json!({ "lyrics": lyrics, "options": { "senseaudio": { "style": words } } }),
        "inference_sh" => {
            json!({ "lyrics": lyrics, "duration_s": 6, "options": { "inference_sh": { "descriptions": words } } })
        }
        _ => json!({ "prompt": words }),
    };
    (song["custom_id"], song["vendor"]) = (custom_id.into(), vendor.into());
    song
}

fn submit(world: &World, batch: &str, songs: &[Value]) -> Result<()> {
    let name = format!("{}.jsonl", batch.replace('/', "-"));
    world.file(&name, songs)?;
    let submitted = world.json(&["submit", &name, "--batch", batch])?;
    anyhow::ensure!(submitted["created"] == songs.len(), "{batch} is taken in: {submitted}");
    Ok(())
}

/// The refusals of these cases, by what each prompt is.
fn refusals<'a>(cases: impl Iterator<Item = &'a Case>) -> Value {
    let refusal = |case: &Case| {
        json!({
            "contains": case.prompt, "status": case.status, "content_type": case.content_type, "body": case.body,
        })
    };
    cases.map(refusal).collect()
}

/// The other tenant, who makes songs at one vendor.
struct Other<'a> {
    world: &'a World,
    vendor: &'a str,
    songs: usize,
}

impl Other<'_> {
    fn submit(&mut self, batch: &str, count: usize) -> Result<()> {
        let plain = |n: usize| song(self.vendor, &format!("s{n}"), "海边的清晨, a calm piano");
        submit(self.world, &format!("b/{batch}"), &(0..count).map(plain).collect::<Vec<_>>())?;
        self.songs += count;
        Ok(())
    }

    /// Waits until a batch is completed, which is soon.
    fn is_served(&self, batch: &str) -> Result<()> {
        let begun = Instant::now();
        until("the other tenant's songs are made", || {
            let batch = self.world.json(&["batch", "show", &format!("b/{batch}")])?;
            let shown = self.vendor()?;
            anyhow::ensure!(
                begun.elapsed() < SOON,
                "too late: {batch}, {}, {}",
                shown["gate"],
                shown["flow"]
            );
            Ok(batch["counts"]["completed"] == batch["total"])
        })
    }

    fn vendor(&self) -> Result<Value> {
        let vendors = self.world.json(&["vendor", "list"])?;
        let found = vendors.as_array().and_then(|all| all.iter().find(|one| one["name"] == self.vendor));
        found.cloned().context("the vendor is listed")
    }

    /// The vendor is neither shut, nor paused, nor asked less than before.
    fn is_unaffected(&self) -> Result<()> {
        let shown = self.vendor()?;
        anyhow::ensure!(shown["gate"].is_null(), "its gate: {}", shown["gate"]);
        for kind in ["creates", "reads"] {
            let rate = &shown["flow"][kind];
            anyhow::ensure!(rate["allowed"] == RATE && rate["paused"] == false, "{kind}: {rate}");
        }
        Ok(())
    }
}

/// Every refusal of a vendor's at once, while another tenant's songs were submitted a moment before, and are a moment
/// later.
fn quoted(vendor: &str) -> Result<()> {
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.vendor == vendor).collect();
    let world = world()?;
    world.faults(&json!({ "vendor": vendor, "refuse": refusals(cases.iter().copied()) }))?;
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let books = || Ok::<_, anyhow::Error>(world.stats()?["vendors"][vendor].clone());
    let mut other = Other { world: &world, vendor, songs: 0 };
    other.submit("before", 5)?;
    until("the other tenant's songs are begun", || Ok(books()?["tasks_created"] == 5))?;
    let hostile = |(n, case): (usize, &&Case)| song(vendor, &format!("c{n}"), case.prompt);
    submit(&world, "a/hostile", &cases.iter().enumerate().map(hostile).collect::<Vec<_>>())?;
    other.is_served("before")?;
    for n in 0..4 {
        let batch = format!("later-{n}");
        other.submit(&batch, 3)?;
        other.is_served(&batch)?;
        other.is_unaffected()?;
    }
    until("each of them was refused", || {
        let results = world.results("a/hostile")?;
        Ok(results.iter().all(|job| job["submissions"].as_u64() > Some(0) && job["state"] != "submitting"))
    })?;
    other.submit("last", 3)?;
    other.is_served("last")?;
    other.is_unaffected()?;
    // Each got its own refusal, and none was paid for.
    let books = books()?;
    assert_eq!(books["tasks_created"], other.songs, "{books}");
    for status in cases.iter().map(|case| case.status).filter(|status| *status >= 300) {
        let so_refused = cases.iter().filter(|case| case.status == status).count() as u64;
        assert!(books["rejected"][status.to_string()].as_u64() >= Some(so_refused), "{status}: {books}");
    }
    for job in world.results("a/hostile")? {
        let state = job["state"].as_str().unwrap_or_default();
        assert!(["queued", "submitting", "uncertain", "failed", "held"].contains(&state), "{job}");
    }
    let spend = world.json(&["spend", "--tenant", "a"])?;
    assert_eq!(spend["total"]["confirmed"], 0, "{spend}");
    world.audit()
}

#[test]
fn refusals_of_replicate_that_quote_hostile_prompts_pause_nobody_else() -> Result<()> {
    quoted("replicate")
}

#[test]
fn refusals_of_inference_sh_that_quote_hostile_prompts_pause_nobody_else() -> Result<()> {
    quoted("inference_sh")
}

#[test]
fn refusals_of_tencent_that_quote_hostile_prompts_pause_nobody_else() -> Result<()> {
    quoted("tencent")
}

#[test]
fn refusals_of_senseaudio_that_quote_hostile_prompts_pause_nobody_else() -> Result<()> {
    quoted("senseaudio")
}

#[test]
fn a_tenant_that_is_alone_with_its_refusals_keeps_nobody_waiting_who_comes_later() -> Result<()> {
    let world = world()?;
    world.faults(&json!({ "refuse": refusals(CASES.iter()) }))?;
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let hostile = |(n, case): (usize, &Case)| song(case.vendor, &format!("c{n}"), case.prompt);
    submit(&world, "a/hostile", &CASES.iter().enumerate().map(hostile).collect::<Vec<_>>())?;
    let mut shut = 0;
    for vendor in VENDORS {
        let mut other = Other { world: &world, vendor, songs: 0 };
        until("all that is let through is refused", || {
            let results = world.results("a/hostile")?;
            let mut of_vendor = results.iter().filter(|job| job["vendor"] == vendor);
            Ok(other.vendor()?["gate"].is_object()
                || of_vendor.all(|job| job["submissions"].as_u64() > Some(1) || job["state"] == "failed"))
        })?;
        shut += usize::from(other.vendor()?["gate"].is_object());
        other.submit(&format!("{vendor}-first"), 3)?;
        other.is_served(&format!("{vendor}-first"))?;
        other.submit(&format!("{vendor}-second"), 3)?;
        other.is_served(&format!("{vendor}-second"))?;
        until("its gate is open", || Ok(other.is_unaffected().is_ok()))?;
    }
    assert!(shut > 0, "nobody but it has submitted: a vendor that refuses all of its songs is left alone");
    world.audit()
}

#[test]
fn tasks_that_fail_in_words_of_hostile_prompts_pause_nobody_else() -> Result<()> {
    let world = world()?;
    let dooms: Value =
        FAILED.iter().map(|(_, prompt)| json!({ "contains": prompt, "message": "{quoted}" })).collect();
    world.faults(&json!({ "doom": dooms }))?;
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let vendors = VENDORS.into_iter().filter(|vendor| FAILED.iter().any(|(of, _)| of == vendor));
    let mut others: Vec<_> = vendors.map(|vendor| Other { world: &world, vendor, songs: 0 }).collect();
    for other in &mut others {
        other.submit(&format!("{}-before", other.vendor), 2)?;
        other.is_served(&format!("{}-before", other.vendor))?;
    }
    let hostile = |(n, (vendor, prompt)): (usize, &(&str, &str))| song(vendor, &format!("c{n}"), prompt);
    submit(&world, "a/hostile", &FAILED.iter().enumerate().map(hostile).collect::<Vec<_>>())?;
    for n in 0..3 {
        for other in &mut others {
            let batch = format!("{}-later-{n}", other.vendor);
            other.submit(&batch, 2)?;
            other.is_served(&batch)?;
            other.is_unaffected()?;
        }
    }
    until("each of them has failed once", || {
        let stats = world.stats()?;
        let failed = |vendor: &str| stats["vendors"][vendor]["failed"].as_u64().unwrap_or(0) as usize;
        Ok(VENDORS
            .iter()
            .all(|vendor| failed(vendor) >= FAILED.iter().filter(|(of, _)| of == vendor).count()))
    })?;
    for other in &mut others {
        let batch = format!("{}-last", other.vendor);
        other.submit(&batch, 2)?;
        other.is_served(&batch)?;
        other.is_unaffected()?;
    }
    world.audit()
}

#[test]
fn a_429_that_quotes_a_wait_pauses_its_vendor_for_seconds() -> Result<()> {
    let world = World::start(&["generation_ms=[200, 600]", "audio_seconds_most=2"])?.with_callbacks();
    world.faults(&json!({ "refuse": refusals(THROTTLED.iter()) }))?;
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let hostile = |case: &Case| song(case.vendor, case.vendor, case.prompt);
    submit(&world, "a/hostile", &THROTTLED.iter().map(hostile).collect::<Vec<_>>())?;
    for vendor in VENDORS {
        let mut other = Other { world: &world, vendor, songs: 0 };
        until("it was throttled", || {
            Ok(world.stats()?["vendors"][vendor]["rejected"]["429"].as_u64() > Some(0))
        })?;
        assert_eq!(other.vendor()?["gate"], Value::Null, "{vendor}");
        other.submit(vendor, 2)?;
        other.is_served(vendor)?;
    }
    // Nor does it wait longer itself than the vendor is waited for.
    for job in world.results("a/hostile")? {
        let wait = job["due_ms"].as_u64().unwrap_or(0).saturating_sub(now_ms());
        assert!(wait < 20_000, "{wait} ms: {job}");
    }
    world.audit()
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
