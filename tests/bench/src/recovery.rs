//! How soon submissions are as fast as before once a vendor has stopped refusing them with 429: their speed in spans of
//! five seconds after the last refusal and its wait, in percent of the speed before the first one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use songmill_tests::{World, http};

use crate::Scale;
use crate::journeys::requests;
use crate::limits::fleet;
use crate::report::{Mark, Report};

/// How often the simulator's books are read.
const EVERY: Duration = Duration::from_millis(50);
/// How long the fleet submits before it is measured: what was saved up is spent by then.
const WARM: f64 = 5.0;
/// How long a span is, and at which seconds after the last refusal and its wait the curve has a point: each is the
/// speed of the span that ends there.
const SPAN: f64 = 5.0;
const POINTS: [u32; 7] = [5, 10, 15, 20, 25, 30, 40];
/// What is promised: so many percent at that point.
const BACK: (u32, f64) = (30, 80.0);
/// Where no limit is set, a fleet of four with 32 submissions each and replies that take so long (ms) makes some 140 a
/// second.
const SLOW: u32 = 1000;

/// When a vendor refuses.
struct Case {
    what: &'static str,
    /// Submissions a minute, as the vendor counts them and as it is set; 0 for none.
    limit: u32,
    /// What the refusals name as `Retry-After`, in seconds; 0 for nothing.
    wait: u32,
    bursts: u32,
    /// How long a burst is, and how long it is from its end to the next one, in seconds.
    lasts: f64,
    apart: f64,
    /// How many of the submissions are refused then, from 0 to 1, and with how many refusals a burst is over.
    rate: f64,
    most: f64,
}

impl Case {
    const fn new(what: &'static str, limit: u32, wait: u32) -> Self {
        Self { what, limit, wait, bursts: 1, lasts: 6.0, apart: 0.0, rate: 1.0, most: f64::INFINITY }
    }

    /// From the first burst to the end of the last, in seconds, at most.
    fn refuses_for(&self) -> f64 {
        f64::from(self.bursts) * (self.lasts + self.apart) - self.apart
    }
}

const CASES: [Case; 11] = [
    Case::new("60 a minute, Retry-After: 5", 60, 5),
    Case::new("60 a minute, no wait named", 60, 0),
    Case::new("600 a minute, Retry-After: 5", 600, 5),
    Case { lasts: 60.0, ..Case::new("600 a minute, Retry-After: 5, for a minute", 600, 5) },
    Case::new("600 a minute, no wait named", 600, 0),
    Case::new("3,000 a minute, Retry-After: 5", 3000, 5),
    Case::new("3,000 a minute, no wait named", 3000, 0),
    Case {
        bursts: 4,
        lasts: 3.0,
        apart: 8.0,
        ..Case::new("600 a minute, four bursts of 3 s, 8 s apart", 600, 0)
    },
    Case { bursts: 3, apart: 30.0, ..Case::new("600 a minute, three bursts, 30 s apart", 600, 0) },
    Case::new("no limit set, no wait named", 0, 0),
    Case { lasts: 12.0, rate: 0.02, most: 12.0, ..Case::new("no limit set, a dozen stray ones", 0, 0) },
];

/// What a case came to.
struct Curve {
    before: f64,
    refused: f64,
    over: f64,
    percent: [f64; POINTS.len()],
}

pub(crate) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    // In haste, what takes long is left out.
    let (watched, longest) = (10.0 + scale.of(20) as f64, scale.of(120) as f64);
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.refuses_for() <= longest).collect();
    // All at once: together they are a hundredth of what the machine can do, and each takes a minute or two.
    let curves: Vec<Result<Curve>> = std::thread::scope(|scope| {
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(move || measure(case, watched))).collect();
        running
            .into_iter()
            .map(|case| case.join().unwrap_or_else(|_| bail!("a measurement panicked")))
            .collect()
    });
    for (case, curve) in cases.into_iter().zip(curves) {
        let curve = curve.with_context(|| case.what)?;
        report.add(format!("429s, {}: speed before", case.what), curve.before, "/s");
        report.add("  refused", curve.refused, "");
        for (point, percent) in POINTS.into_iter().zip(curve.percent) {
            let figure = report.add(format!("  {point} s after the last one and its wait"), percent, "%");
            if point == BACK.0 {
                figure.mark(Mark::Least(BACK.1));
            }
        }
        if case.limit > 0 {
            report.add("  beyond the limit", curve.over, "").mark(Mark::Most(0.0));
        }
    }
    Ok(())
}

fn measure(case: &Case, watched: f64) -> Result<Curve> {
    let latency = if case.limit == 0 { SLOW } else { 0 };
    let world = World::start_plain(&[
        &format!("faults.creates_most={}", case.limit),
        &format!("faults.latency_ms=[{}, {latency}]", latency * 4 / 5),
        "generation_ms=[3600000, 3600000]",
    ])?
    .with_callbacks()
    .with_policy("poll_first=\"30m\"")
    .with(format!("policy.vendors.replicate.limits.creates_per_minute={}", case.limit));
    let seconds = WARM + watched + case.refuses_for() + 60.0;
    let a_second = if case.limit == 0 { 200.0 } else { f64::from(case.limit) / 60.0 };
    world.file("bench.jsonl", &requests((a_second * seconds) as usize))?;
    world.json(&["submit", "bench.jsonl", "--batch", "bench"])?;
    let _fleet = fleet(&world)?;

    let mut watch = Watch::new(&world);
    watch.until(60.0, |watch| watch.made() > 0.0)?;
    if watch.made() == 0.0 {
        bail!("nothing is submitted: {}", world.log("generate-0"));
    }
    watch.until(WARM, |_| false)?;
    let begun = watch.now();
    watch.until(watched, |_| false)?;
    // Up to the last one: what comes next is refused, and one submission is a thirtieth at 60 a minute.
    let before = watch.speed(begun, watch.made_at());
    for burst in 0..case.bursts {
        let so_far = watch.refused;
        world.faults(&json!({ "throttle_rate": case.rate, "retry_after_s": case.wait }))?;
        watch.until(case.lasts, |watch| watch.refused >= so_far + case.most)?;
        world.faults(&json!({ "throttle_rate": 0.0 }))?;
        if burst + 1 < case.bursts {
            watch.until(case.apart, |_| false)?;
        }
    }
    // One more span: the last point lies between two submissions.
    let last = f64::from(case.wait) + f64::from(POINTS[POINTS.len() - 1]) + SPAN;
    watch.until(last, |_| false)?;
    let zero = watch.refused_at + f64::from(case.wait);
    let percent = POINTS.map(|point| {
        let end = zero + f64::from(point);
        100.0 * watch.speed(end - SPAN, end) / before
    });
    let over = Watch::books(&world)?["over_limit"]["creates"].as_f64().unwrap_or(f64::NAN);
    Ok(Curve { before, refused: watch.refused - over, over, percent })
}

/// Reads the simulator's books again and again, and keeps when tasks were made and submissions refused.
struct Watch<'a> {
    world: &'a World,
    begun: Instant,
    /// When there were how many tasks, in seconds, wherever there were more than before.
    made: Vec<(f64, f64)>,
    refused: f64,
    refused_at: f64,
}

impl<'a> Watch<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, begun: Instant::now(), made: vec![(0.0, 0.0)], refused: 0.0, refused_at: 0.0 }
    }

    fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn made(&self) -> f64 {
        self.made.last().map_or(0.0, |(_, count)| *count)
    }

    /// When the last one was made.
    fn made_at(&self) -> f64 {
        self.made.last().map_or(0.0, |(at, _)| *at)
    }

    fn books(world: &World) -> Result<Value> {
        let (_, mut books) = http(world.sim, "GET", "/_sim/stats", None)?;
        Ok(books["vendors"]["replicate"].take())
    }

    /// Watches for so many seconds, or until something is so.
    fn until(&mut self, seconds: f64, so: impl Fn(&Self) -> bool) -> Result<()> {
        let end = self.now() + seconds;
        while self.now() < end && !so(self) {
            std::thread::sleep(EVERY);
            let at = self.now();
            let books = Self::books(self.world)?;
            let made = books["tasks_created"].as_f64().context("tasks are counted")?;
            if made > self.made() {
                self.made.push((at, made));
            }
            let refused = books["rejected"]["429"].as_f64().unwrap_or(0.0);
            if refused > self.refused {
                (self.refused, self.refused_at) = (refused, at);
            }
        }
        Ok(())
    }

    /// Tasks made by then; between two moments with more of them they are taken to become more evenly.
    fn count(&self, at: f64) -> f64 {
        let next = self.made.partition_point(|(then, _)| *then < at);
        match (self.made.get(next.wrapping_sub(1)), self.made.get(next)) {
            (Some((from, few)), Some((to, many))) => few + (many - few) * (at - from) / (to - from),
            (Some((_, count)), None) => *count,
            (None, _) => 0.0,
        }
    }

    /// Tasks made a second between two moments.
    fn speed(&self, from: f64, to: f64) -> f64 {
        (self.count(to) - self.count(from)) / (to - from)
    }
}
