//! Prices and budgets of the fleet: one record, which every claim reads.

use std::time::Duration;

use proptest::prelude::*;
use songmill_core::flow::Size;
use songmill_core::job::{StateName, StepKind};
use songmill_core::money::priced_by;
use songmill_core::{Estimate, Money, Price, Stage};
use songmill_store::{BudgetOf, EventId, NoticeType, Store, TenantQuota, Told};

use crate::queues::{Work, queue, run_with};
use crate::tools::{Redis, enqueue_for, until, vendor};

const PRICE: &str = include_str!("../../src/scripts/price.lua");

fn song(amount: f64) -> Price {
    Price { song: amount, ..Price::default() }
}

fn amounts() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 1e-6..1e-3, 1e-3..1.0, 1.0..1e3, Just(1e9)]
}

/// None named, up to a minute, and longer.
fn seconds() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1u32..=61, 0u32..100_000]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_script_prices_a_submission_to_the_millionth_as_a_plan_does(
        cases in prop::collection::vec(
            ((amounts(), amounts(), amounts(), amounts()), 0.0f64..4000.0, 1e-3f64..10.0, seconds(), 0u32..101, any::<bool>()),
            200,
        ),
    ) {
        let redis = &Redis::start(&[]);
        let mut args = vec!["eval".to_owned(), format!(
            "{PRICE}\nlocal out = {{}}\nfor i = 1, #ARGV, 2 do\n  out[#out + 1] = string.format('%.0f', price_of(cjson.decode(ARGV[i]), ARGV[i + 1] ~= '' and ARGV[i + 1] or nil))\nend\nreturn out"
        ), "0".into()];
        let mut expected = Vec::new();
        for ((lyrics, song, second, work_second), work_s, rate, seconds, songs, is_lyrics) in cases {
            let price = Price { lyrics, song, second, work_second, work_s, rate, ..Price::default() };
            let step = if is_lyrics { StepKind::Lyrics } else { StepKind::Song };
            let size = Size { seconds, songs };
            args.extend([serde_json::to_string(&price.terms()).unwrap(), priced_by(step, size)]);
            expected.push(price.terms().expected(step, size).to_string());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let found: Vec<_> = redis.command(&args).lines().map(str::to_owned).collect();
        prop_assert_eq!(found, expected);
    }
}

async fn state(store: &Store, id: songmill_core::JobId) -> StateName {
    store.load(id).await.unwrap().unwrap().job.state.name()
}

#[tokio::test]
async fn the_settings_fill_the_record_once_and_then_it_wins() {
    let redis = Redis::start(&[]);
    let estimate =
        |amount, date: &str| Estimate { price: song(amount), source: "a page".into(), date: date.into() };
    let with = |day, prices: &[(&str, f64)], estimates: &[(&str, f64, &str)]| Money {
        day,
        prices: prices.iter().map(|(name, amount)| (name.parse().unwrap(), song(*amount))).collect(),
        estimates: estimates
            .iter()
            .map(|(name, amount, date)| (name.parse().unwrap(), estimate(*amount, date)))
            .collect(),
        ..Money::default()
    };
    let first = redis
        .store_of(|policy| policy.money = with(5.0, &[("acme", 0.5)], &[("other", 1.0, "2026-01-01")]))
        .await;
    assert!(first.seed_fleet().await.unwrap());
    let second = redis
        .store_of(|policy| {
            policy.money = with(0.0, &[], &[("acme", 9.0, "2027-01-01"), ("other", 2.0, "2027-01-01")])
        })
        .await;
    assert!(second.seed_fleet().await.unwrap(), "a newer estimate takes the place of an older one");
    assert!(!first.seed_fleet().await.unwrap(), "an older one does not");
    let fleet = second.fleet().await.unwrap();
    assert_eq!(fleet.budgets.day, 5.0, "budgets stay as the first process had them");
    assert_eq!(fleet.prices[&vendor()].price, song(0.5), "and so do prices that were set");
    assert_eq!(fleet.prices["other"].price, song(2.0));
    assert_eq!(second.policy().money.day, 5.0, "plans of every process go by the record");
    second.set_price(&vendor(), Some(song(0.7)), "ann").await.unwrap();
    second.set_budget(&BudgetOf::Day, Some(7.0), "ann").await.unwrap();
    second.set_budget(&BudgetOf::EachBatch, Some(1.5), "ann").await.unwrap();
    assert!(!second.set_budget(&BudgetOf::Batch("none".parse().unwrap()), Some(1.0), "ann").await.unwrap());
    first.refresh_fleet().await.unwrap();
    let money = first.policy().money.clone();
    assert_eq!((money.day, money.tenant_day, money.batch), (7.0, 0.0, 1.5));
    assert_eq!(money.price(&vendor()), Some(&song(0.7)));
    let audit = redis.command(&["xrange", "{sm:0}:audit", "-", "+"]);
    assert!(audit.contains("price.set") && audit.contains("budget.set") && audit.contains("ann"), "{audit}");
    second.set_price(&vendor(), None, "ann").await.unwrap();
    let fleet = second.fleet().await.unwrap();
    assert!(fleet.prices[&vendor()].estimate.is_some(), "without a price of our own the estimate holds");
}

#[tokio::test]
async fn a_claim_prices_by_the_record_whatever_the_process_that_submits_or_claims_knows() {
    let redis = Redis::start(&[]);
    // Neither of them has a price in its settings.
    let store = redis.store().await;
    store.set_price(&vendor(), Some(song(0.4)), "ann").await.unwrap();
    store.set_budget(&BudgetOf::Day, Some(1.0), "ann").await.unwrap();
    let other = redis.store().await;
    let ids = enqueue_for(&other, "t", 5, 0).await;
    let worker = run_with(queue(&other, Stage::Submit, 8, Duration::from_secs(30)), Work::accepting());
    let generating = async || {
        let mut count = 0;
        for id in &ids {
            count += usize::from(state(&store, *id).await == StateName::Generating);
        }
        count
    };
    until("two are submitted", async || generating().await == 2).await;
    // At half the price two fifths of what is left are enough for one.
    store.set_price(&vendor(), Some(song(0.2)), "ann").await.unwrap();
    until("one more is submitted", async || generating().await == 3).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.spent_today(&"t".parse().unwrap()).await.unwrap().0, 1_000_000, "to the last cent");
    let mut prices = Vec::new();
    for job in store.load_many(&ids).await.unwrap() {
        prices.push(job.unwrap().job.price);
    }
    prices.retain(|price| *price > 0);
    prices.sort_unstable();
    assert_eq!(prices, [200_000, 400_000, 400_000], "each keeps the price it was claimed at");
    worker.stop().await;
}

#[tokio::test]
async fn a_budget_is_told_of_once_at_four_fifths_and_once_when_it_is_used_up() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    store.set_price(&vendor(), Some(song(1.0)), "ann").await.unwrap();
    let quota = TenantQuota { spend_per_day: Some(10_000_000), ..TenantQuota::default() };
    store.set_quota(&"t".parse().unwrap(), quota).await.unwrap();
    let news = async || {
        let events = store.events(&"t".parse().unwrap(), EventId::default(), 1000).await.unwrap();
        let news = events.into_iter().filter_map(|(_, told)| match told {
            Some(Told::News(news)) => Some((news.kind, news.tenant, news.limit, news.spent)),
            _ => None,
        });
        news.collect::<Vec<_>>()
    };
    let worker = run_with(queue(&store, Stage::Submit, 1, Duration::from_secs(30)), Work::accepting());
    let tenant = Some("t".parse().unwrap());
    let ids = enqueue_for(&store, "t", 7, 0).await;
    until("seven are submitted", async || state(&store, ids[6]).await == StateName::Generating).await;
    assert_eq!(news().await, []);
    let ids = crate::tools::enqueue_more(&store, "t", 7, 2).await;
    until("nine are submitted", async || state(&store, ids[1]).await == StateName::Generating).await;
    let warning = (NoticeType::BudgetWarning, tenant.clone(), 10e6, 8e6);
    assert_eq!(news().await, std::slice::from_ref(&warning));
    crate::tools::enqueue_more(&store, "t", 9, 3).await;
    until("it is used up", async || news().await.len() == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(news().await, [warning, (NoticeType::BudgetReached, tenant, 10e6, 10e6)]);
    worker.stop().await;
}

#[tokio::test]
async fn what_is_set_before_anybody_submits_is_not_overwritten_by_settings() {
    let redis = Redis::start(&[]);
    let money = Money { day: 5.0, prices: [(vendor(), song(0.5))].into(), ..Money::default() };
    let worker = redis.store_of(|policy| policy.money = money.clone()).await;
    let operator = redis.store().await;
    assert!(!operator.fleet().await.unwrap().is_seeded, "to look fills nothing");
    operator.set_price(&vendor(), Some(song(0.7)), "ann").await.unwrap();
    assert!(worker.seed_fleet().await.unwrap());
    let fleet = operator.fleet().await.unwrap();
    assert_eq!((fleet.is_seeded, fleet.budgets.day, fleet.prices[&vendor()].price), (true, 5.0, song(0.7)));
}
