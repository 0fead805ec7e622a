//! Fire: two processes of every role under faults of the vendors, kills, stops and a Redis that comes and goes; then
//! three books are compared, ours, the vendors' and the files on disk.

mod books;
mod fleet;
mod front;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

pub use books::Books;
use fleet::Fleet;
use front::Front;

use crate::{Process, World, many, one_each};

/// How much fire.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds of one request for each vendor.
    pub rounds: usize,
    /// Processes of ours that are killed, at least.
    pub kills: u32,
    /// What all chance follows from.
    pub seed: u64,
    /// How long the kills may take.
    pub most: Duration,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// The three books, compared.
    pub books: Books,
    /// What was done to the processes, by name.
    pub done: Vec<(&'static str, u32)>,
    /// The longest time from a kill until every job that was claimed then had moved, while Redis was well.
    pub longest_still: Duration,
    /// How long it took.
    pub took: Duration,
}

/// What the vendors do.
const FAULTS: &[&str] = &[
    "generation_ms=[100, 2500]",
    "audio_seconds_most=2",
    "faults.latency_ms=[0, 600]",
    "faults.reply_lost_rate=0.05",
    "faults.callback_drop_rate=0.1",
    "faults.callback_double_rate=0.1",
    "faults.callback_late_rate=0.05",
    "faults.server_error_rate=0.03",
    "faults.throttle_rate=0.02",
    "faults.output_late_rate=0.1",
    "faults.output_late_ms=1500",
    "faults.output_shape=mixed",
    "faults.output_shape_rate=0.2",
    "faults.output_many=30",
    "faults.address_form=mixed",
    "faults.address_form_rate=0.3",
    "faults.content_encoding=mixed",
    "faults.content_encoding_rate=0.2",
    "faults.not_ready=mixed",
    "faults.not_ready_ms=2000",
    "faults.not_ready_rate=0.15",
    "faults.output_expired_once_rate=0.15",
    "faults.close_idle_ms=2000",
];
/// Between two blows, at least and at most, in ms.
const BETWEEN: [u64; 2] = [50, 500];
/// How long no job may come to its end after the kills: look-ups wait for the rate that refusals have left.
const QUIET: Duration = Duration::from_secs(180);
/// How often it is looked whether jobs have moved.
const TICK: Duration = Duration::from_millis(50);

/// Chance that follows from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.roll() >> 11) as usize % most.max(1)
    }

    fn between(&mut self, [least, most]: [u64; 2]) -> Duration {
        Duration::from_millis(least + self.roll() % (most - least + 1))
    }
}

/// Runs a plan to its end.
pub fn run(plan: Plan) -> Result<Outcome> {
    let begun = Instant::now();
    let front = Front::open()?;
    let seed = format!("seed={}", plan.seed);
    let mut world = World::start(&[FAULTS, &[&seed]].concat())?.with_callbacks_at(front.addr());
    let mut fleet = Fleet::start(&world, &front)?;
    let mut feed = Feed::new(plan.rounds);
    let mut dice = Dice(plan.seed);
    let mut next = Instant::now();
    while fleet.kills() < plan.kills || !feed.is_done() {
        if begun.elapsed() > plan.most {
            bail!("the fire takes too long: {} of {} kills; {feed:?}", fleet.kills(), plan.kills);
        }
        fleet.tend(&mut world)?;
        // As many requests have been handed in as kills are over.
        feed.tend(&world, fleet.kills() as usize * plan.rounds / plan.kills.max(1) as usize, &mut dice)?;
        if Instant::now() >= next {
            // Redis is left alone for the first third, so that it can be seen how soon a killed worker's jobs move.
            let with_redis = 3 * fleet.kills() >= plan.kills;
            fleet.strike(&mut world, &mut dice, with_redis)?;
            next = Instant::now() + dice.between(BETWEEN);
        }
        std::thread::sleep(TICK);
    }
    fleet.calm(&mut world)?;
    let (mut over, mut moved) = (0, Instant::now());
    loop {
        fleet.tend(&mut world)?;
        let shown = world.json(&["batch", "show", BATCH])?;
        let held = shown["counts"]["held"].as_u64().unwrap_or(0);
        let ended: u64 = ["completed", "failed", "canceled"]
            .iter()
            .filter_map(|state| shown["counts"][*state].as_u64())
            .sum();
        if held + ended == shown["total"].as_u64().unwrap_or(u64::MAX) {
            break;
        }
        if held + ended != over {
            (over, moved) = (held + ended, Instant::now());
        }
        if moved.elapsed() > QUIET {
            bail!("no job has come to its end for {} s: {shown}", QUIET.as_secs());
        }
        std::thread::sleep(4 * TICK);
    }
    // Whoever still works ends first: it could change a book while another is read.
    let (done, longest_still) = fleet.end()?;
    let books = Books::compare(&world, feed.requests())?;
    Ok(Outcome { books, done, longest_still, took: begun.elapsed() })
}

const BATCH: &str = "chaos";

/// Hands requests in, a few at a time, by a producer that is killed as well.
#[derive(Debug)]
struct Feed {
    requests: Vec<Value>,
    given: usize,
    under_way: Option<(usize, Process)>,
}

impl Feed {
    fn new(rounds: usize) -> Self {
        let mut requests = many(rounds, &one_each());
        for (n, request) in
            requests.iter_mut().enumerate().filter(|(_, request)| request["vendor"] == "senseaudio")
        {
            request["lyrics"] = format!("[verse] snow on hill {n} ; [chorus] all is still").into();
        }
        Self { requests, given: 0, under_way: None }
    }

    fn requests(&self) -> &[Value] {
        &self.requests
    }

    fn is_done(&self) -> bool {
        self.given == self.requests.len()
    }

    /// Sees to it that the requests of so many rounds are handed in.
    fn tend(&mut self, world: &World, rounds: usize, dice: &mut Dice) -> Result<()> {
        if let Some((upto, mut producer)) = self.under_way.take() {
            match producer.ended()? {
                Some(Some(0)) => self.given = upto,
                // Redis was away, or we killed it: the same file again.
                Some(_) => {}
                None if dice.below(8) == 0 => producer.crash(),
                None => self.under_way = Some((upto, producer)),
            }
        }
        let upto = (rounds * one_each().len()).min(self.requests.len());
        if self.under_way.is_none() && upto > self.given {
            world.file("wave.jsonl", &self.requests[self.given..upto])?;
            let mut command = world.command(&["submit", "wave.jsonl", "--batch", BATCH])?;
            let log = world.folder.path().join("submit.log");
            self.under_way = Some((upto, Process::spawn(command.stdout(std::process::Stdio::null()), &log)?));
        }
        Ok(())
    }
}

impl Outcome {
    /// Whether every promise was kept.
    pub fn is_well(&self) -> bool {
        self.books.is_well()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.done {
            writeln!(f, "{what:<58} {count:>8}")?;
        }
        write!(f, "{}", self.books)?;
        let still = self.longest_still.as_secs_f64();
        writeln!(f, "{:<58} {still:>8.1} s", "longest from a kill until all that was claimed had moved")?;
        write!(f, "{:<58} {:>8.1} s", "took", self.took.as_secs_f64())
    }
}
