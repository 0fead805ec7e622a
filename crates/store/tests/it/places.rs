//! Who gets the places of those that send webhooks, when there are more endpoints than places.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use songmill_core::{EndpointId, Tenant};
use songmill_store::{
    Claimed, Endpoint, Held, NewNotice, Notice, NoticeState, NoticeType, Places, Store, Taken,
};

use crate::customers::endpoint;
use crate::tools::Redis;

/// As many as a process has.
const PLACES: usize = 64;
const LEASE: Duration = Duration::from_secs(60);

/// Free places that nobody has any of.
pub(crate) fn places(free: usize) -> Places {
    Places { free, slow: free.div_ceil(2), held: BTreeMap::new() }
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

/// Writes a webhook for each of a tenant's endpoints, which are made if there are none yet.
async fn due(store: &Store, tenant: &Tenant, endpoints: usize, round: usize) {
    let mut notices = Vec::new();
    for n in 0..endpoints {
        let id: EndpointId = format!("ep_{n}").parse().unwrap();
        if round == 0 {
            store.add_endpoint(tenant, &endpoint(id.as_str())).await.unwrap();
        }
        let notice = Notice::new(format!("msg_{tenant}_{n}_{round}"), id, NoticeType::Test, store.now());
        notices.push(NewNotice { tenant: tenant.clone(), notice, payload: "{}".into() });
    }
    store.tell(&[(String::new(), notices)]).await.unwrap();
}

/// A process with its places, and what it sends.
#[derive(Default)]
struct Process {
    sending: Vec<Claimed>,
}

impl Process {
    fn places(&self) -> Places {
        let mut held: BTreeMap<Tenant, Held> = BTreeMap::new();
        for claimed in &self.sending {
            let held = held.entry(claimed.tenant.clone()).or_default();
            held.all += 1;
            held.slow += usize::from(claimed.slow);
        }
        let slow: usize = held.values().map(|held| held.slow).sum();
        Places { free: PLACES - self.sending.len(), slow: PLACES / 2 - slow, held }
    }

    /// Takes what it may; how many endpoints of each tenant.
    async fn take(&mut self, store: &Store) -> (BTreeMap<String, usize>, Taken) {
        let mut taken = store.take_notices(&self.places(), 16, LEASE).await.unwrap();
        let mut counts = BTreeMap::new();
        for claimed in taken.claimed.drain(..) {
            *counts.entry(claimed.tenant.to_string()).or_default() += 1;
            self.sending.push(claimed);
        }
        let slow = self.sending.iter().filter(|claimed| claimed.slow).count();
        assert!(self.sending.len() <= PLACES && slow <= PLACES / 2, "{} and {slow}", self.sending.len());
        (counts, taken)
    }

    /// Everything that is being sent ends: well, or for these tenants badly.
    async fn end(&mut self, store: &Store, dead: &[&Tenant]) {
        for claimed in self.sending.drain(..) {
            let fails = dead.contains(&&claimed.tenant);
            let ended = claimed.notices.iter().map(|(notice, _)| {
                let mut notice = notice.clone();
                (notice.state, notice.due_ms) = if fails {
                    (NoticeState::Waiting, Some(store.now().as_millis()))
                } else {
                    (NoticeState::Delivered, None)
                };
                notice
            });
            let ended: Vec<Notice> = ended.collect();
            let before = store.endpoint(&claimed.tenant, &claimed.endpoint).await.unwrap().unwrap();
            let failing_since_ms = fails.then(|| before.failing_since_ms.unwrap_or(1));
            let after = Endpoint { failing_since_ms, ..before.clone() };
            store.told(&claimed, &ended, Some((&before, &after))).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_hundred_dead_endpoints_of_two_tenants_leave_a_place_for_whoever_comes() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let (one, two, well) = (tenant("one"), tenant("two"), tenant("well"));
    due(&store, &one, 50, 0).await;
    due(&store, &two, 50, 0).await;
    let mut process = Process::default();
    // Nobody knows yet that they are dead.
    let (counts, taken) = process.take(&store).await;
    assert_eq!(
        counts,
        BTreeMap::from([("one".into(), 22), ("two".into(), 21)]),
        "about as many as stay free"
    );
    assert!(
        taken.next_due.is_none_or(|due| due > store.now()),
        "those passed by wait for a place, not for a time"
    );
    due(&store, &well, 3, 0).await;
    assert_eq!(
        process.take(&store).await.0,
        BTreeMap::from([("well".into(), 3)]),
        "while all the others hang"
    );
    process.end(&store, &[&one, &two]).await;
    // Until each has failed once.
    loop {
        let slow = process.take(&store).await.0.values().sum::<usize>();
        process.end(&store, &[&one, &two]).await;
        let mut failing = 0;
        for tenant in [&one, &two] {
            let endpoints = store.endpoints(tenant).await.unwrap();
            failing += endpoints.iter().filter(|endpoint| endpoint.failing_since_ms.is_some()).count();
        }
        if failing == 100 {
            break;
        }
        assert!(slow > 0, "the slow lane waits");
    }
    // Now all that is due is in the slow lane: a third of its places each.
    let (counts, _) = process.take(&store).await;
    assert_eq!(counts, BTreeMap::from([("one".into(), 11), ("two".into(), 11)]));
    assert!(process.sending.iter().all(|claimed| claimed.slow));
    // One that begins to fail finds a place there, too, and one that goes well never needed it.
    due(&store, &well, 3, 1).await;
    assert_eq!(process.take(&store).await.0, BTreeMap::from([("well".into(), 3)]));
    process.end(&store, &[&one, &two, &well]).await;
    let (counts, _) = process.take(&store).await;
    assert_eq!(counts["well"], 3, "{counts:?}");
}

#[tokio::test]
async fn an_endpoint_leaves_the_slow_lane_with_its_first_success_a_new_address_or_its_end() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let (one, mut process) = (tenant("one"), Process::default());
    due(&store, &one, 1, 0).await;
    let id: EndpointId = "ep_0".parse().unwrap();
    let slow = |process: &Process| process.sending.iter().map(|claimed| claimed.slow).collect::<Vec<_>>();
    for (dead, expected) in [(true, false), (true, true), (false, true)] {
        process.take(&store).await;
        assert_eq!(slow(&process), [expected]);
        let fails: &[_] = &[&one];
        process.end(&store, if dead { fails } else { &[] }).await;
    }
    for round in 1..=2 {
        due(&store, &one, 1, round).await;
        process.take(&store).await;
        assert_eq!(slow(&process), [false], "{round}");
        process.end(&store, &[&one]).await;
        let repaired = store.change_endpoint(&one, &id, |endpoint| {
            endpoint.failing_since_ms = None;
            Ok::<_, ()>(())
        });
        repaired.await.unwrap().unwrap().unwrap();
        process.take(&store).await;
        assert_eq!(slow(&process), [false], "what waited comes by the fast lane, {round}");
        process.end(&store, &[]).await;
    }
    due(&store, &one, 1, 3).await;
    process.take(&store).await;
    process.end(&store, &[&one]).await;
    store.remove_endpoint(&one, &id).await.unwrap();
    assert!(process.take(&store).await.0.is_empty());
    assert_eq!(redis.command(&["KEYS", "*:notify*"]), "", "nothing of it is left");
}

#[tokio::test]
async fn tenants_take_turns_and_everything_is_sent_once() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let tenants: Vec<Tenant> = (0..30).map(|n| tenant(&format!("t{n}"))).collect();
    let wanted: usize = (0..tenants.len()).map(|n| 1 + (n * 7) % 20).sum();
    for (n, tenant) in tenants.iter().enumerate() {
        due(&store, tenant, 1 + (n * 7) % 20, 0).await;
    }
    let (mut process, mut seen, mut rounds) = (Process::default(), BTreeSet::new(), 0);
    while seen.len() < wanted {
        let (counts, _) = process.take(&store).await;
        rounds += 1;
        assert!(rounds < 100 && !counts.is_empty(), "{} of {wanted} in {rounds} rounds", seen.len());
        if rounds == 1 {
            assert_eq!(counts.len(), tenants.len(), "each has a place in the first round: {counts:?}");
            assert!(counts.values().all(|&count| count <= 3), "{counts:?}");
        }
        for claimed in &process.sending {
            for (notice, _) in &claimed.notices {
                assert!(seen.insert(notice.id.clone()), "{} is sent twice", notice.id);
            }
        }
        process.end(&store, &[]).await;
    }
    let (counts, taken) = process.take(&store).await;
    assert!(counts.is_empty() && taken.next_due.is_none());
}

#[tokio::test]
async fn endpoints_that_an_earlier_version_left_due_are_taken() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let tenant = tenant("t");
    due(&store, &tenant, 2, 0).await;
    redis.command(&["del", "{sm:0}:notify", "{sm:0}:notify:e:t"]);
    redis.command(&["zadd", "{sm:0}:notify", "1", "t/ep_0", "1", "t/ep_1"]);
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let taken = store.take_notices(&places(10), 16, LEASE).await.unwrap();
        ids.extend(taken.claimed.iter().map(|claimed| claimed.endpoint.to_string()));
    }
    assert_eq!(Vec::from_iter(ids), ["ep_0", "ep_1"]);
}

#[tokio::test]
async fn nobody_asks_again_at_once_for_what_the_slow_lane_has_no_place_for() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let tenants: Vec<Tenant> = (0..12).map(|n| tenant(&format!("t{n}"))).collect();
    for tenant in &tenants {
        due(&store, tenant, 1, 0).await;
    }
    let mut process = Process::default();
    process.take(&store).await;
    process.end(&store, &Vec::from_iter(&tenants)).await;
    let full = Places { slow: 0, ..places(10) };
    let taken = store.take_notices(&full, 16, LEASE).await.unwrap();
    assert!(taken.claimed.is_empty());
    assert_eq!(taken.next_due, None, "a place that becomes free is what they wait for");
    // With a place of the slow lane there is something to be had, and more after it.
    let taken = store.take_notices(&Places { slow: 1, ..places(10) }, 16, LEASE).await.unwrap();
    assert_eq!(taken.claimed.len(), 1);
    assert_eq!(taken.next_due, None);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_read_goes_and_the_others_of_its_endpoint_are_sent() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let one = tenant("one");
    due(&store, &one, 1, 0).await;
    redis.command(&["hset", "{sm:0}:n:msg_one_0_0", "d", "{\"id\":7}"]);
    due(&store, &one, 1, 1).await;
    let mut process = Process::default();
    process.take(&store).await;
    let sent = |process: &Process| -> Vec<String> {
        process
            .sending
            .iter()
            .flat_map(|claimed| &claimed.notices)
            .map(|(notice, _)| notice.id.clone())
            .collect()
    };
    assert_eq!(sent(&process), ["msg_one_0_1"]);
    process.end(&store, &[]).await;
    assert_eq!(redis.command(&["zrange", "{sm:0}:nq:one/ep_0", "0", "-1"]), "", "none is due for ever");
    // One alone holds up nobody either: its endpoint is free for what comes.
    due(&store, &one, 1, 2).await;
    redis.command(&["hset", "{sm:0}:n:msg_one_0_2", "d", "?"]);
    let (counts, _) = process.take(&store).await;
    assert!(counts.is_empty(), "{counts:?}");
    due(&store, &one, 1, 3).await;
    process.take(&store).await;
    assert_eq!(sent(&process), ["msg_one_0_3"]);
}

#[tokio::test]
async fn webhooks_that_wait_are_seen_wherever_they_stand() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let (one, mut process) = (tenant("one"), Process::default());
    assert!(!store.has_waiting_notices().await.unwrap());
    due(&store, &one, 1, 0).await;
    assert!(store.has_waiting_notices().await.unwrap());
    process.take(&store).await;
    assert!(store.has_waiting_notices().await.unwrap(), "being sent");
    process.end(&store, &[&one]).await;
    assert!(store.has_waiting_notices().await.unwrap(), "in the slow lane");
    process.take(&store).await;
    process.end(&store, &[]).await;
    assert!(!store.has_waiting_notices().await.unwrap());
}
