//! Rates and what refusals teach: the arithmetic of the scripts under an invented clock.

use proptest::prelude::*;

use crate::tools::Redis;

const LIMIT: &str =
    concat!(include_str!("../../src/scripts/shared.lua"), include_str!("../../src/scripts/limit.lua"));
/// Asks a bucket again and again: each time so much later, for so many requests. Returns how many were allowed.
const ASK: &str = r"
local most, burst, bucket, t, out = tonumber(ARGV[1]), tonumber(ARGV[2]), {}, 1e12, {}
for i = 3, #ARGV, 2 do
  t = t + tonumber(ARGV[i])
  local wanted = tonumber(ARGV[i + 1])
  if wanted < 0 then
    learn(t, bucket, most, 0, wanted == -1 and 0 or -wanted)
    out[#out + 1] = -1
  else
    local allowed, at = may(t, wanted, bucket, most, burst)
    if allowed < wanted then
      assert(at > t, 'the next one is later')
      local then_allowed = may(at, 1, bucket, most, burst)
      local same = rate_now(t, bucket, most) == rate_now(at, bucket, most) and (bucket.p or 0) <= t
      if allowed == 0 and same then assert(then_allowed == 1, 'at the moment that was named one more is allowed') end
    end
    spend(t, allowed, bucket, most, burst)
    out[#out + 1] = allowed
  end
end
return out";

fn ask(redis: &Redis, most: u32, burst: u32, asks: &[(u64, i64)]) -> Vec<i64> {
    let script = format!("{LIMIT}{ASK}");
    let mut args = vec!["eval".to_owned(), script, "0".into(), most.to_string(), burst.to_string()];
    args.extend(asks.iter().flat_map(|(later, wanted)| [later.to_string(), wanted.to_string()]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let printed = redis.command(&args);
    printed.lines().map(|line| line.parse().unwrap_or_else(|_| panic!("{printed}"))).collect()
}

/// A refusal that names no wait.
const NO_WAIT: i64 = 1;

/// The most that was allowed in any window of a minute.
fn most_in_a_minute(asks: &[(u64, i64)], allowed: &[i64]) -> i64 {
    let mut at = 0;
    let moments: Vec<(u64, i64)> = asks
        .iter()
        .zip(allowed)
        .map(|((later, _), allowed)| {
            at += later;
            (at, (*allowed).max(0))
        })
        .collect();
    let sum_from = |i: usize| {
        let end = moments[i].0 + 60_000;
        moments[i..].iter().take_while(|(at, _)| *at < end).map(|(_, allowed)| allowed).sum::<i64>()
    };
    (0..moments.len()).map(sum_from).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_minute_sees_more_than_the_limit(
        most in 1u32..4000,
        burst in prop_oneof![Just(0u32), 1u32..500],
        asks in prop::collection::vec((0u64..4000, 0i64..300), 1..300),
    ) {
        let redis = &Redis::start(&[]);
        let allowed = ask(redis, most, burst, &asks);
        prop_assert!(most_in_a_minute(&asks, &allowed) <= i64::from(most));
    }

    #[test]
    fn who_always_asks_gets_nearly_all_of_it(most in 40u32..6000) {
        let redis = &Redis::start(&[]);
        let asks = vec![(50, 1000); 3 * 1200];
        let sum: i64 = ask(redis, most, 0, &asks).iter().sum();
        prop_assert!(sum as f64 >= 0.95 * 3.0 * f64::from(most), "{sum} in three minutes of {most} each");
    }

    #[test]
    fn refusals_teach_less_and_half_a_minute_later_four_fifths_are_back(
        most in 60u32..3000,
        refusals in 1usize..40,
        wait in prop_oneof![Just(NO_WAIT), Just(1000i64), Just(30_000)],
    ) {
        let redis = &Redis::start(&[]);
        // Refused every three seconds; then asked for as many as there are, ten times a second.
        let mut asks: Vec<(u64, i64)> = (0..refusals).flat_map(|_| [(3000, -wait)]).collect();
        asks.push((wait.unsigned_abs(), 0));
        asks.extend(vec![(100, 10_000); 900]);
        let allowed = ask(redis, most, 0, &asks);
        let sum = |from: usize, to: usize| {
            let from = refusals + 1 + 10 * from;
            allowed[from..from + 10 * to].iter().sum::<i64>() as f64
        };
        let most = f64::from(most);
        prop_assert!(sum(0, 6) <= 0.8 * most / 10.0 + 2.0, "{} in six seconds of {most} a minute", sum(0, 6));
        prop_assert!(sum(30, 30) >= 0.8 * most / 2.0 - 1.0, "{} in half a minute of {most} a minute", sum(30, 30));
        prop_assert!(sum(60, 30) >= 0.95 * most / 2.0 - 2.0, "{} in another of {most} a minute", sum(60, 30));
    }

    #[test]
    fn bursts_of_refusals_take_away_no_more_than_one_does_however_far_apart(
        most in 600u32..3000,
        apart in 10usize..60,
        bursts in 2usize..5,
    ) {
        let redis = &Redis::start(&[]);
        let a_tenth_of_a_second = (100, 10_000);
        let mut asks = vec![a_tenth_of_a_second; 300];
        for burst in 0..bursts {
            // In three seconds more than one in twenty of what was made in the last minute.
            asks.extend(vec![(15, -NO_WAIT); 200]);
            asks.extend(vec![a_tenth_of_a_second; if burst + 1 < bursts { 10 * apart } else { 600 }]);
        }
        let allowed = ask(redis, most, 0, &asks);
        let sum: i64 = allowed[asks.len() - 300..].iter().sum();
        let most = f64::from(most);
        prop_assert!(sum as f64 >= 0.8 * most / 2.0 - 1.0, "{sum} in half a minute of {most} a minute");
    }

    #[test]
    fn refusals_by_chance_teach_nothing(most in 600u32..3000) {
        let redis = &Redis::start(&[]);
        // Of a hundred requests one is refused; an eighth of a second has at least one.
        let mut asks = Vec::new();
        let mut made = 0;
        for _ in 0..8 * 180 {
            asks.push((125, 10_000));
            made += most / 480;
            if made >= 100 {
                made -= 100;
                asks.push((0, -NO_WAIT));
            }
        }
        let allowed: i64 = ask(redis, most, 0, &asks).iter().filter(|allowed| **allowed > 0).sum();
        prop_assert!(allowed as f64 >= 0.9 * 3.0 * f64::from(most), "{allowed} in three minutes of {most} each");
    }
}

#[test]
fn a_vendor_without_a_limit_is_as_fast_half_a_minute_after_refusals_as_before() {
    let redis = &Redis::start(&[]);
    let a_hundred_a_second = |seconds: usize| vec![(100, 10); 10 * seconds];
    let mut asks = a_hundred_a_second(20);
    asks.extend(vec![(20, -NO_WAIT); 200]);
    asks.push((30_000, 0));
    let before = asks.len();
    asks.extend(a_hundred_a_second(10));
    let allowed: i64 = ask(redis, 0, 0, &asks)[before..].iter().sum();
    assert!(allowed >= 800, "{allowed} in ten seconds, of 1,000");
    // However long it was not refused, refusals slow it down.
    asks.push((3_600_000, 0));
    asks.extend(a_hundred_a_second(1));
    asks.extend(vec![(300, -NO_WAIT); 20]);
    asks.push((2000, 0));
    let before = asks.len();
    asks.extend(a_hundred_a_second(2));
    let allowed: i64 = ask(redis, 0, 0, &asks)[before..].iter().sum();
    assert!((1..=120).contains(&allowed), "{allowed} in two seconds, of 200");
    // A dozen refusals among hundreds of requests are chance.
    let mut asks = a_hundred_a_second(10);
    asks.extend(vec![(500, -NO_WAIT); 12]);
    let before = asks.len();
    asks.extend(a_hundred_a_second(1));
    let allowed: i64 = ask(redis, 0, 0, &asks)[before..].iter().sum();
    assert_eq!(allowed, 100);
}
