//! Fair shares: the scripts' arithmetic under an invented clock; and gates, money and lanes in the store.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use songmill_core::job::StateName;
use songmill_core::{Fault, FaultKind, Limits, Stage};
use songmill_store::{
    BudgetOf, EventId, Gate, Heeded, NoticeType, ShutBy, Signal, Standing, Store, TenantQuota, Told, Watch,
};

use crate::queues::{Work, queue, run_with};
use crate::tools::{Redis, accepted, enqueue_for, rejected, until, vendor};

const SHARE: &str =
    concat!(include_str!("../../src/scripts/shared.lua"), include_str!("../../src/scripts/share.lua"));

/// Fills lanes and takes jobs in claims of so many; prints whose each was.
/// ARGV: claims, most of each, then for each lane: name, jobs, weight of its tenant, weight of its batch
const TAKE: &str = r"
redis.call('FLUSHALL')
local queue, tenants, batches, out = '{t:0}:q:submit:v', {}, {}, {}
for i = 3, #ARGV, 4 do
  local list = {}
  for n = 1, tonumber(ARGV[i + 1]) do
    list[#list + 1], list[#list + 2] = n, ARGV[i] .. '/' .. n
    if #list >= 2000 then enter_lanes(queue, { [ARGV[i]] = list }); list = {} end
  end
  if #list > 0 then enter_lanes(queue, { [ARGV[i]] = list }) end
  local tenant, _, batch = string.match(ARGV[i], '^([^:]*):([^:]*):(.*)$')
  tenants[tenant], batches[tenant .. '/' .. batch] = ARGV[i + 2], ARGV[i + 3]
end
local weights = {
  function(tenant) return tenants[tenant] end,
  function(_, class) return CLASS_WEIGHTS[class] end,
  function(tenant, _, batch) return batches[tenant .. '/' .. batch] end,
}
for _ = 1, tonumber(ARGV[1]) do
  local most = tonumber(ARGV[2])
  local tree = tree_of(queue, most, weights)
  local function next_of(lane)
    local id = redis.call('ZRANGE', lane.key, lane.taken, lane.taken)[1]
    if not id then return nil end
    lane.taken = lane.taken + 1
    return id, {}
  end
  for _ = 1, most do
    local id = tree:pick(next_of)
    if not id then break end
    out[#out + 1] = id
  end
  tree:close(0)
end
return out";

/// A lane: its name, how many jobs it has, the weights of its tenant and of its batch.
type Lane = (String, u32, u32, u32);

fn served(redis: &Redis, claims: usize, most: usize, lanes: &[Lane]) -> Vec<String> {
    let script = format!("{SHARE}{TAKE}");
    let mut args = vec!["eval".to_owned(), script, "0".into(), claims.to_string(), most.to_string()];
    for (lane, jobs, tenant, batch) in lanes {
        args.extend([lane.clone(), jobs.to_string(), tenant.to_string(), batch.to_string()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let printed = redis.command(&args);
    assert!(!printed.starts_with("ERR"), "{printed}");
    printed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// How many of these were whose.
fn by<'a>(ids: &'a [String], whose: impl Fn(&'a str) -> &'a str) -> BTreeMap<&'a str, u32> {
    ids.iter().fold(BTreeMap::new(), |mut counts, id| {
        *counts.entry(whose(id)).or_default() += 1;
        counts
    })
}

fn tenant(id: &str) -> &str {
    id.split(':').next().unwrap()
}

fn lane(id: &str) -> &str {
    id.rsplit_once('/').unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_thousand_claims_are_shared_by_weight(
        weights in prop::collection::vec((1u32..4, prop::collection::vec(1u32..3, 1..4)), 2..8),
        most in 1usize..128,
    ) {
        let redis = &Redis::start(&[]);
        let lanes: Vec<Lane> = weights
            .iter()
            .enumerate()
            .flat_map(|(t, (weight, batches))| {
                let lane = move |(b, of): (usize, &u32)| (format!("t{t}:n:b{b}"), 3000, *weight, *of);
                batches.iter().enumerate().map(lane).collect::<Vec<_>>()
            })
            .collect();
        let ids = served(redis, 3000_usize.div_ceil(most), most, &lanes);
        let all: u32 = weights.iter().map(|(weight, _)| weight).sum();
        for window in ids.windows(1000).step_by(97) {
            let counts = by(window, tenant);
            let shares: Vec<f64> = weights
                .iter()
                .enumerate()
                .map(|(t, (weight, _))| {
                    let count = *counts.get(format!("t{t}").as_str()).unwrap_or(&0);
                    f64::from(count) * f64::from(all) / f64::from(*weight) / 1000.0
                })
                .collect();
            for share in &shares {
                prop_assert!((0.95..=1.05).contains(share), "{shares:?} of {weights:?} in claims of {most}");
            }
            let lanes_of = by(window, lane);
            for (t, (_, batches)) in weights.iter().enumerate() {
                let whole = f64::from(counts[format!("t{t}").as_str()]) / f64::from(batches.iter().sum::<u32>());
                for (b, weight) in batches.iter().enumerate() {
                    let count = f64::from(*lanes_of.get(format!("t{t}:n:b{b}").as_str()).unwrap_or(&0));
                    let share = whole * f64::from(*weight);
                    prop_assert!((count - share).abs() <= 0.1 * share + 2.0, "{lanes_of:?} of {weights:?}");
                }
            }
        }
    }
}

#[test]
fn classes_of_priority_have_their_shares_and_none_starves() {
    let lanes = ["h", "n", "l"].map(|class| (format!("t:{class}:b"), 3000, 1, 1));
    let ids = served(&Redis::start(&[]), 28, 50, &lanes);
    let counts = by(&ids, lane);
    assert_eq!((counts["t:h:b"], counts["t:n:b"], counts["t:l:b"]), (1000, 300, 100));
}

#[test]
fn who_comes_late_is_next_and_gains_nothing_by_going_and_coming() {
    let redis = &Redis::start(&[]);
    let crowd: Vec<Lane> = (0..10).map(|t| (format!("t{t}:n:b"), 2000, 1, 1)).collect();
    served(redis, 10, 100, &crowd);
    // One song at a time, handed in again as soon as the last one was taken: its share is a tenant's, no more.
    let script = format!(
        "{SHARE}{}",
        TAKE.replace("redis.call('FLUSHALL')", "").replace(
            "  tree:close(0)",
            "  tree:close(0)\n  enter_lanes(queue, { ['late:n:b'] = { 1, 'late:n:b/' .. #out } })",
        )
    );
    let printed = redis.command(&["eval", &script, "0", "1100", "1", "late:n:b", "1", "1", "1"]);
    let ids: Vec<String> = printed.lines().map(str::to_owned).collect();
    assert!(ids[..2].contains(&"late:n:b/1".to_owned()), "it is next: {:?}", &ids[..4]);
    let late = by(&ids, tenant)["late"];
    assert!((95..=115).contains(&late), "{late} of 1100 for one of eleven");
}

async fn state(store: &Store, id: songmill_core::JobId) -> StateName {
    store.load(id).await.unwrap().unwrap().job.state.name()
}

/// A job of a tenant, which need not be in the store.
fn of(tenant: &str, n: usize) -> songmill_core::Job {
    let route = songmill_core::job::Route::new(vendor(), vec![songmill_core::job::StepKind::Song]);
    let now = songmill_core::Timestamp::from_millis(1);
    let id = songmill_core::JobId::derive(tenant, &format!("signal {n}"));
    let mut job = songmill_core::Job::new(id, vec![route], now, now);
    job.tenant = tenant.parse().unwrap();
    job
}

#[tokio::test]
async fn who_has_no_money_left_keeps_nobody_from_being_served() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    for n in 0..5 {
        let tenant = format!("poor{n}");
        let quota = TenantQuota { spend_per_day: Some(1), ..TenantQuota::default() };
        store.set_quota(&tenant.parse().unwrap(), quota).await.unwrap();
        enqueue_for(&store, &tenant, 3, 1_000_000).await;
    }
    let rich = enqueue_for(&store, "rich", 2, 1_000_000).await;
    // One at a time, as while a gate is half open.
    let worker = run_with(queue(&store, Stage::Submit, 1, Duration::from_secs(30)), Work::accepting());
    for id in rich {
        until("it is served", async || state(&store, id).await == StateName::Generating).await;
    }
    let poor = store.load(songmill_core::JobId::derive("poor0", "0")).await.unwrap().unwrap();
    assert!(
        matches!(store.standing(&poor).await.unwrap(), Standing::Money(purse) if purse.price == 1_000_000)
    );
    assert_eq!(store.audit().await.unwrap().breaches, [], "they wait for money, and are looked at again");
    // More of it, and they go on by themselves.
    store.set_budget(&BudgetOf::Tenant("poor0".parse().unwrap()), None, "test").await.unwrap();
    until("it goes on", async || state(&store, poor.job.id).await == StateName::Generating).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_shut_gate_lets_one_through_to_find_out_and_opens_when_that_goes_well() {
    let redis = Redis::start(&[]);
    let brief = songmill_core::time::Span::millis(300);
    let limits = Limits { breaker: 3, breaker_wait: brief, breaker_most: brief, ..Limits::default() };
    let store = redis.store_of(|policy| policy.vendors.get_mut(&vendor()).unwrap().limits = limits).await;
    let fault = Fault::new(FaultKind::Unavailable, "vendor_error", "oh no");
    for n in 1..=3 {
        assert_eq!(told(&store, &of("t", 0), Watch::None, Signal::Failing(&fault)).await, n == 3, "{n}");
    }
    // Those that were under way fail or succeed as well: that changes nothing.
    told(&store, &of("t", 0), Watch::None, Signal::Answered).await;
    told(&store, &of("t", 0), Watch::None, Signal::Failing(&fault)).await;
    let gate = store.flow(&vendor()).await.unwrap().gate.unwrap();
    assert_eq!((gate.code.as_str(), gate.words.as_str(), gate.trips), ("vendor_error", "", 1));
    assert_eq!(gate.only, Some("t".parse().unwrap()), "nobody else has failed");
    let ids = enqueue_for(&store, "t", 20, 0).await;
    let work = Work::holding();
    let worker = run_with(queue(&store, Stage::Submit, 8, Duration::from_secs(30)), work.clone());
    until("one is let through", async || !work.leases().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let leases = work.leases();
    assert_eq!((leases.len(), leases[0].watch), (1, Watch::Probe));
    // It tells nothing: another one may.
    told(&store, &of("t", 0), Watch::None, Signal::Unprobed).await;
    until("another is let through", async || work.leases().len() == 2).await;
    assert!(told(&store, &of("t", 0), Watch::Probe, Signal::Answered).await, "it opens");
    work.release();
    for id in ids {
        until("all go on", async || state(&store, id).await == StateName::Generating).await;
    }
    assert_eq!(store.flow(&vendor()).await.unwrap().gate, None);
    worker.stop().await;
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

/// A store whose gate is shut for as long as a test may take.
async fn patient(redis: &Redis) -> Store {
    let long = songmill_core::time::Span::secs(600);
    let limits = Limits { breaker: 3, breaker_wait: long, breaker_most: long, ..Limits::default() };
    redis
        .store_of(|policy| {
            let own = policy.vendors.get_mut(&vendor()).unwrap();
            (own.limits, own.locked_wait) = (limits, long);
        })
        .await
}

/// Tells a signal under a lease; whether the gate was shut or opened by it, or stays shut because of it.
async fn told(store: &Store, job: &songmill_core::Job, watch: Watch, signal: Signal<'_>) -> bool {
    store.signal(&vendor(), (job, watch), signal).await.unwrap() != Heeded::No
}

async fn gate(store: &Store) -> Gate {
    store.flow(&vendor()).await.unwrap().gate.unwrap()
}

#[tokio::test]
async fn one_tenants_failures_shut_the_gate_for_nobody_else() {
    let redis = Redis::start(&[]);
    let store = patient(&redis).await;
    let fault = Fault::new(FaultKind::Unavailable, "vendor_error", "");
    for n in 0..3 {
        assert_eq!(told(&store, &of("a", n), Watch::None, Signal::Failing(&fault)).await, n == 2);
    }
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    let flow = store.flow(&vendor()).await.unwrap();
    assert_eq!((flow.gate_for(&a).is_some(), flow.gate_for(&b).is_some()), (true, false));
    let waiting = enqueue_for(&store, "a", 200, 0).await;
    let work = Work::holding();
    let worker = run_with(queue(&store, Stage::Submit, 8, Duration::from_secs(30)), work.clone());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(work.leases().len(), 0, "it is shut");
    // One that has no money left hides nobody.
    let quota = TenantQuota { spend_per_day: Some(1), ..TenantQuota::default() };
    store.set_quota(&"poor".parse().unwrap(), quota).await.unwrap();
    enqueue_for(&store, "poor", 1, 1_000_000).await;
    enqueue_for(&store, "b", 3, 0).await;
    until("another tenant finds out", async || !work.leases().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let lease = work.leases().remove(0);
    assert_eq!((work.leases().len(), lease.watch, lease.job.tenant.as_str()), (1, Watch::Probe, "b"));
    assert!(!told(&store, &of("a", 9), Watch::Wanted, Signal::Failing(&fault)).await, "it was under way");
    assert!(told(&store, &lease.job, Watch::Probe, Signal::Answered).await, "it opens for all");
    work.release();
    until("all go on", async || state(&store, waiting[199]).await == StateName::Generating).await;
    worker.stop().await;
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn failures_of_two_tenants_shut_the_gate_for_all() {
    let redis = Redis::start(&[]);
    let store = patient(&redis).await;
    let fault = Fault::new(FaultKind::Unavailable, "vendor_error", "");
    for (n, tenant) in ["a", "b", "a"].into_iter().enumerate() {
        assert_eq!(told(&store, &of(tenant, n), Watch::None, Signal::Failing(&fault)).await, n == 2);
    }
    assert_eq!(gate(&store).await.only, None);
    store.open_gate(&vendor()).await.unwrap();
    // So does another tenant's that was let through where one tenant's had shut it; and that is told of.
    for n in 0..3 {
        told(&store, &of("a", n), Watch::None, Signal::Failing(&fault)).await;
    }
    assert_eq!(gate(&store).await.only, Some("a".parse().unwrap()));
    assert!(told(&store, &of("b", 0), Watch::Probe, Signal::Failing(&fault)).await);
    assert_eq!(gate(&store).await.only, None);
    let events = store.events(&"a".parse().unwrap(), EventId::default(), 100).await.unwrap().into_iter();
    let paused = events.filter_map(|(_, told)| match told {
        Some(Told::News(news)) if news.kind == NoticeType::VendorPaused => Some(news.tenant),
        _ => None,
    });
    assert_eq!(paused.collect::<Vec<_>>(), [None, Some("a".parse().unwrap()), None]);
}

#[tokio::test]
async fn a_suspicion_counts_when_another_job_confirms_it() {
    let redis = Redis::start(&[]);
    let store = patient(&redis).await;
    let fault = Fault::suspecting("key_refused", "no access: my secret song");
    let suspected =
        async |tenant: &str, n| told(&store, &of(tenant, n), Watch::None, Signal::Suspected(&fault)).await;
    assert!(!suspected("a", 0).await, "it is about this song as far as anybody knows");
    assert!(!suspected("a", 0).await, "it is the same job");
    told(&store, &of("b", 0), Watch::Wanted, Signal::Answered).await;
    assert!(!suspected("b", 1).await, "the account was in order since");
    assert!(suspected("a", 1).await, "two tenants are refused");
    let shut = gate(&store).await;
    assert_eq!((shut.by, shut.code.as_str(), shut.words.as_str()), (ShutBy::Locked, "key_refused", ""));
    assert_eq!(shut.only, None);
    assert!(!redis.command(&["hgetall", "{sm:0}:l:acme"]).contains("secret"), "no words are kept");
    // Two jobs of one tenant stop this one alone.
    store.open_gate(&vendor()).await.unwrap();
    assert!(!suspected("a", 2).await);
    assert!(suspected("a", 3).await);
    assert_eq!(gate(&store).await.only, Some("a".parse().unwrap()));
}

#[tokio::test]
async fn a_suspicion_of_the_one_that_was_let_through_says_nothing_of_the_others() {
    let redis = Redis::start(&[]);
    let store = patient(&redis).await;
    let (fails, fault) =
        (Fault::new(FaultKind::Unavailable, "vendor_error", ""), Fault::suspecting("key_refused", ""));
    for (n, tenant) in ["a", "b", "a"].into_iter().enumerate() {
        told(&store, &of(tenant, n), Watch::None, Signal::Failing(&fails)).await;
    }
    let before = gate(&store).await;
    assert!(!told(&store, &of("a", 5), Watch::Probe, Signal::Suspected(&fault)).await);
    assert_eq!(gate(&store).await, before, "another one finds out");
    // Where that is why it is shut, it is confirmed.
    store.open_gate(&vendor()).await.unwrap();
    told(&store, &of("a", 0), Watch::None, Signal::Suspected(&fault)).await;
    told(&store, &of("b", 0), Watch::None, Signal::Suspected(&fault)).await;
    assert!(told(&store, &of("a", 5), Watch::Probe, Signal::Suspected(&fault)).await);
    assert_eq!((gate(&store).await.trips, gate(&store).await.only), (2, None));
}

#[tokio::test]
async fn submissions_that_go_well_say_nothing_for_tasks_that_fail() {
    let redis = Redis::start(&[]);
    let store = patient(&redis).await;
    let fault = Fault::new(FaultKind::Unavailable, "vendor_setup_failed", "").to_be_confirmed();
    assert!(!told(&store, &of("a", 0), Watch::None, Signal::SuspectedOfTasks(&fault)).await);
    told(&store, &of("b", 0), Watch::Wanted, Signal::Answered).await;
    assert!(told(&store, &of("b", 1), Watch::None, Signal::SuspectedOfTasks(&fault)).await);
    assert_eq!((gate(&store).await.by, gate(&store).await.only), (ShutBy::Failing, None));
    // What a task says of our account locks it.
    store.open_gate(&vendor()).await.unwrap();
    let fault = Fault::new(FaultKind::Unavailable, "requirements_not_met", "").to_be_confirmed();
    told(&store, &of("a", 0), Watch::None, Signal::SuspectedOfTasks(&fault)).await;
    told(&store, &of("b", 0), Watch::None, Signal::SuspectedOfTasks(&fault)).await;
    assert_eq!(gate(&store).await.by, ShutBy::Locked);
}

#[tokio::test]
async fn a_gate_on_trial_opens_at_its_time_however_many_are_let_through_meanwhile() {
    let redis = Redis::start(&[]);
    let store = patient(&redis).await;
    let fault = Fault::new(FaultKind::Unavailable, "vendor_setup_failed", "").to_be_confirmed();
    for n in 0..2 {
        told(&store, &of("a", n), Watch::None, Signal::SuspectedOfTasks(&fault)).await;
    }
    told(&store, &of("b", 0), Watch::Probe, Signal::Answered).await;
    let until = gate(&store).await.until;
    tokio::time::sleep(Duration::from_millis(50)).await;
    told(&store, &of("b", 1), Watch::Probe, Signal::Answered).await;
    assert_eq!(gate(&store).await.until, until);
}

#[tokio::test]
async fn a_gate_that_failed_tasks_shut_opens_only_after_a_task_has_had_the_time_to_fail_again() {
    let redis = Redis::start(&[]);
    let brief = songmill_core::time::Span::millis(100);
    let limits = Limits { breaker_wait: brief, breaker_most: brief, ..Limits::default() };
    let store = redis
        .store_of(|policy| {
            let own = policy.vendors.get_mut(&vendor()).unwrap();
            (own.limits, own.poll_first) = (limits, songmill_core::time::Span::millis(200));
        })
        .await;
    let fault = Fault::new(FaultKind::Unavailable, "vendor_setup_failed", "setup failed: no checkpoint");
    assert!(told(&store, &of("t", 0), Watch::None, Signal::Down(&fault)).await, "one is enough");
    enqueue_for(&store, "t", 5, 0).await;
    let work = Work::holding();
    let worker = run_with(queue(&store, Stage::Submit, 8, Duration::from_secs(30)), work.clone());
    until("one is let through", async || work.leases().len() == 1).await;
    // Taken, and its task fails all the same.
    assert!(!told(&store, &of("t", 0), Watch::Probe, Signal::Answered).await, "that says nothing yet");
    told(&store, &of("t", 0), Watch::None, Signal::Down(&fault)).await;
    assert_eq!(store.flow(&vendor()).await.unwrap().gate.unwrap().trips, 2);
    // The next one's does not: the gate opens by itself.
    until("another is let through", async || work.leases().len() == 2).await;
    told(&store, &of("t", 0), Watch::Probe, Signal::Answered).await;
    until("all others follow", async || work.leases().len() == 5).await;
    work.release();
    worker.stop().await;
}

#[tokio::test]
async fn a_gate_that_is_shut_by_hand_stays_shut_until_it_is_opened() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    assert!(store.shut_gate(&vendor(), None, "the invoice").await.unwrap());
    let fault = Fault::new(FaultKind::Locked, "key_refused", "");
    told(&store, &of("t", 0), Watch::None, Signal::Locked(&fault)).await;
    told(&store, &of("t", 0), Watch::None, Signal::Answered).await;
    let ids = enqueue_for(&store, "t", 1, 0).await;
    let worker = run_with(queue(&store, Stage::Submit, 8, Duration::from_secs(30)), Work::accepting());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waits = store.load(ids[0]).await.unwrap().unwrap();
    let Standing::Gate(gate) = store.standing(&waits).await.unwrap() else { panic!() };
    assert_eq!((gate.code.as_str(), gate.words.as_str(), gate.until), ("shut_by_hand", "the invoice", None));
    assert!(store.open_gate(&vendor()).await.unwrap());
    until("it goes on at once", async || state(&store, ids[0]).await == StateName::Generating).await;
    // And for a time: it opens by itself.
    let soon = store.now() + Duration::from_millis(400);
    store.shut_gate(&vendor(), Some(soon), "").await.unwrap();
    let ids = enqueue_for(&store, "u", 1, 0).await;
    until("its time is over", async || state(&store, ids[0]).await == StateName::Generating).await;
    assert!(store.now() >= soon);
    worker.stop().await;
}

#[tokio::test]
async fn the_ledger_says_what_was_begun_and_what_came_of_it() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let ids = enqueue_for(&store, "t", 3, 250_000).await;
    let work = Work::holding();
    let worker = run_with(queue(&store, Stage::Submit, 8, Duration::from_secs(30)), work.clone());
    until("all are begun", async || work.leases().len() == 3).await;
    store.apply(ids[0], &accepted(1)).await.unwrap();
    store.apply(ids[1], &rejected(1)).await.unwrap();
    let spent: Vec<_> = store.spent(1, None).await.unwrap().into_values().collect();
    assert_eq!(spent.len(), 1);
    assert_eq!((spent[0].confirmed, spent[0].not_done, spent[0].cost), (1, 1, 250_000));
    assert_eq!((spent[0].sent, spent[0].expected, spent[0].possibly_paid()), (3, 750_000, 1));
    assert_eq!(store.spent_today(&"t".parse().unwrap()).await.unwrap(), (500_000, 500_000));
    work.release();
    worker.stop().await;
    assert_eq!(store.spent(1, Some(&"other".parse().unwrap())).await.unwrap().len(), 0, "tenants are apart");
}
