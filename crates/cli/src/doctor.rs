//! Checks of everything that must be right for nothing to be lost.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use songmill_api::views::{Budgets, Listed, VendorView};
use songmill_store::{Condition, Role, without_password};
use songmill_vendors::Vendors;

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::config::Config;
use crate::context::Context;
use crate::exit::{self, Exit, Usage};
use crate::{output, telemetry, waits};

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Read every job and queue and prove that each live job stands in exactly one queue
    #[arg(long)]
    audit: bool,
    /// Put records that were set aside, and can be read again, back into their queues
    #[arg(long)]
    put_back: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    words: String,
}

/// `songmill doctor`.
pub(crate) async fn run(global: &Global, args: &DoctorArgs) -> Result<Exit> {
    let config = Config::load(global)?;
    telemetry::start(&config.log, global, true)?;
    let mut checks = Vec::new();
    keys(&config, &mut checks);
    public_address(&config, &mut checks);
    storage(&config, &mut checks);
    if let Some(address) = &global.server {
        checks.push(server(address).await);
    }
    match Context::open(global).await {
        Ok(context) => redis(&context, args, &mut checks).await?,
        Err(error) => {
            let verdict = if error.is::<Usage>() { Verdict::Warn } else { Verdict::Bad };
            checks.push(Check { what: "redis", verdict, words: exit::message(&error) });
        }
    }
    let well = checks.iter().all(|check| check.verdict != Verdict::Bad);
    if global.json {
        output::json(&serde_json::json!({ "ok": well, "checks": checks }))?;
    } else {
        for Check { what, verdict, words } in &checks {
            let mark = match verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "warn",
                Verdict::Bad => "BAD ",
            };
            output::line(format_args!("{mark}  {what:<10} {words}"))?;
        }
    }
    Ok(if well { Exit::Ok } else { Exit::Some })
}

fn keys(config: &Config, checks: &mut Vec<Check>) {
    let usable = crate::context::vendors(config);
    let mut unset = Vec::new();
    let mut set = Vec::new();
    for card in Vendors::catalogue().cards() {
        let list = if usable.get(&card.name).is_some() { &mut set } else { &mut unset };
        list.push(card.name.to_string());
    }
    let (verdict, words) = match (set.is_empty(), unset.is_empty()) {
        (true, _) => {
            (Verdict::Bad, "no vendor has its key set; see `songmill --help` for their names".to_owned())
        }
        (false, true) => (Verdict::Ok, format!("set for {}", set.join(", "))),
        (false, false) => (Verdict::Ok, format!("set for {}; not for {}", set.join(", "), unset.join(", "))),
    };
    checks.push(Check { what: "keys", verdict, words });
}

fn public_address(config: &Config, checks: &mut Vec<Check>) {
    let (verdict, words) = match config.public_url() {
        None => (Verdict::Warn, "public_url is not set: vendors cannot call back, all is polled".to_owned()),
        Some(url) if url.starts_with("https://") => {
            (Verdict::Ok, format!("vendors call back at {url}/callbacks/…"))
        }
        Some(url) => (Verdict::Warn, format!("{url} is not https: vendors may refuse it")),
    };
    checks.push(Check { what: "callbacks", verdict, words });
}

fn storage(config: &Config, checks: &mut Vec<Check>) {
    let storage = &config.deliver.storage;
    let Some(folder) = storage.local_folder() else {
        let words = format!("{storage} is a bucket; it is tried at the first song");
        checks.push(Check { what: "storage", verdict: Verdict::Ok, words });
        return;
    };
    let (verdict, words) = match writable(&folder) {
        Ok(()) => (Verdict::Ok, format!("{} can be written to", folder.display())),
        Err(error) => (Verdict::Bad, format!("{} cannot be written to: {error}", folder.display())),
    };
    checks.push(Check { what: "storage", verdict, words });
}

fn writable(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    tempfile::Builder::new().prefix(".doctor-").tempfile_in(folder).map(drop)
}

/// Whether a server answers, and knows the key.
async fn server(address: &str) -> Check {
    let asked = async || Client::there(address)?.value::<Listed<VendorView>>(Ask::get("/v1/vendors")).await;
    let (verdict, words) = match asked().await {
        Ok(_) => (Verdict::Ok, format!("{address} answers, and accepts the key")),
        Err(error) => (Verdict::Bad, exit::message(&error)),
    };
    Check { what: "server", verdict, words }
}

/// Prices and budgets, and why work waits.
async fn money(context: &Context, checks: &mut Vec<Check>) -> Result<()> {
    for words in crate::budget::differences(&context.store).await? {
        checks.push(Check { what: "money", verdict: Verdict::Warn, words });
    }
    let client = Client::here(context)?;
    let budgets: Budgets = client.value(Ask::get("/v1/budgets")).await?;
    for budget in &budgets.data {
        let used = budget.limit.zip(budget.spent).map_or(0.0, |(limit, spent)| spent.0 / limit.0);
        if used >= 0.8 {
            let words =
                format!("{:.0} % of the budget {} are used", 100.0 * used, crate::budget::name(budget));
            checks.push(Check { what: "money", verdict: Verdict::Warn, words });
        }
    }
    let vendors: Listed<VendorView> = client.value(Ask::get("/v1/vendors")).await?;
    for wait in waits::merged(vendors.data.iter().flat_map(|vendor| &vendor.waits)) {
        let verdict = if wait.needs_person { Verdict::Bad } else { Verdict::Warn };
        checks.push(Check { what: "waiting", verdict, words: waits::line(&wait) });
    }
    Ok(())
}

/// Who works, and whether webhooks wait for somebody who does not.
async fn workers(context: &Context, checks: &mut Vec<Check>) -> Result<()> {
    let workers = context.store.workers().await?;
    let running = |role| workers.all.iter().filter(move |worker| worker.works_as(role, workers.now)).count();
    let counts = Role::ALL.map(|role| (role, running(role)));
    let running: Vec<_> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(role, count)| format!("{count} {}", role.as_str()))
        .collect();
    let (verdict, words) = match running.is_empty() {
        true => (Verdict::Warn, "none is running (`songmill up`, or `songmill serve ROLE`)".to_owned()),
        false => (Verdict::Ok, running.join(", ")),
    };
    checks.push(Check { what: "workers", verdict, words });
    for worker in workers.all.iter().filter(|worker| worker.is_lost(workers.now)) {
        let words = format!("{} gives no sign of life; see `songmill worker list`", worker.name);
        checks.push(Check { what: "workers", verdict: Verdict::Warn, words });
    }
    let nobody_sends = counts.contains(&(Role::Deliver, 0));
    if nobody_sends && context.store.has_waiting_notices().await? {
        let words = "webhooks wait and no deliver worker is running: start one with `songmill serve deliver`";
        checks.push(Check { what: "waiting", verdict: Verdict::Bad, words: words.to_owned() });
    }
    Ok(())
}

/// Most records that are named one by one.
const RECORDS: usize = 20;

/// Records that cannot be read.
async fn records(context: &Context, put_back: bool, checks: &mut Vec<Check>) -> Result<()> {
    if put_back {
        let put = context.store.put_back().await?;
        let words = format!("{put} jobs were put back into their queues");
        checks.push(Check { what: "records", verdict: Verdict::Ok, words });
    }
    let corrupt = context.store.corrupt(RECORDS + 1).await?;
    if corrupt.len() > RECORDS {
        let words = format!("more than {RECORDS} records cannot be read; these are the oldest");
        checks.push(Check { what: "records", verdict: Verdict::Bad, words });
    }
    for record in corrupt.iter().take(RECORDS) {
        let (verdict, fix) = match record.condition {
            Condition::Broken(_) => (
                Verdict::Bad,
                "restore it from a backup, then run `songmill doctor --put-back`; nothing works on it until then",
            ),
            Condition::Readable => (Verdict::Bad, "run `songmill doctor --put-back`"),
            Condition::Repaired => (Verdict::Warn, "that needs nothing, and is forgotten after a week"),
        };
        let words = format!("{}; {fix}", record.message());
        checks.push(Check { what: "records", verdict, words });
    }
    Ok(())
}

async fn redis(context: &Context, args: &DoctorArgs, checks: &mut Vec<Check>) -> Result<()> {
    let facts = context.store.facts().await?;
    let complaints = facts.complaints();
    for words in &complaints {
        checks.push(Check { what: "redis", verdict: Verdict::Bad, words: words.clone() });
    }
    if complaints.is_empty() {
        let words = format!(
            "{} at {}, noeviction, append-only file on (fsync {}), {} KiB used",
            facts.version,
            without_password(&context.config.redis.url),
            if facts.append_fsync.is_empty() { "not told" } else { &facts.append_fsync },
            facts.used_memory / 1024,
        );
        checks.push(Check { what: "redis", verdict: Verdict::Ok, words });
    }
    for command in context.store.missing_permissions().await? {
        let words = format!(
            "the user in redis.url may not run {}; give it the rights of the user songmill in deploy/redis-users.acl",
            command.to_uppercase().replace('|', " ")
        );
        checks.push(Check { what: "redis", verdict: Verdict::Bad, words });
    }
    let verdict = if facts.durability.holds() == Some(true) { Verdict::Ok } else { Verdict::Warn };
    checks.push(Check { what: "durability", verdict, words: facts.durability.sentence().to_owned() });
    for words in facts.advice() {
        checks.push(Check { what: "redis", verdict: Verdict::Warn, words });
    }
    let words = format!("ours and redis's differ by {} ms", facts.clock_offset_ms.abs());
    let verdict = if facts.clock_offset_ms.abs() < 2000 { Verdict::Ok } else { Verdict::Warn };
    checks.push(Check { what: "clock", verdict, words });
    money(context, checks).await?;
    workers(context, checks).await?;
    for (tenant, endpoint, why) in context.store.sealed_endpoints().await? {
        let words = format!("endpoint {endpoint} of tenant {tenant} is sent nothing: {why}");
        checks.push(Check { what: "webhooks", verdict: Verdict::Bad, words });
    }
    let held = context.store.held(1000).await?.len();
    if held > 0 {
        let words = format!("{held} jobs wait for `songmill job resolve`");
        checks.push(Check { what: "held", verdict: Verdict::Warn, words });
    }
    let quarantined = context.store.quarantined().await?;
    if quarantined > 0 {
        let words = format!("{quarantined} deliveries were not understood");
        checks.push(Check { what: "callbacks", verdict: Verdict::Warn, words });
    }
    records(context, args.put_back, checks).await?;
    if args.audit {
        let audit = context.store.audit().await?;
        for breach in &audit.breaches {
            let words = format!("{} {}", breach.subject, breach.what);
            checks.push(Check { what: "audit", verdict: Verdict::Bad, words });
        }
        let states: Vec<_> = audit.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let words = format!(
            "{} jobs ({}), {} queues, {} breaches, {} maybe paid twice",
            audit.jobs,
            states.join(", "),
            audit.queues,
            audit.breaches.len(),
            audit.maybe_paid_twice
        );
        let verdict = if audit.breaches.is_empty() { Verdict::Ok } else { Verdict::Bad };
        checks.push(Check { what: "audit", verdict, words });
    }
    Ok(())
}
