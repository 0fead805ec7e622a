//! How long tasks take and whether callbacks come, as far as recent ones tell: when to look at a task.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::VendorName;
use crate::job::{Job, StepKind};

/// Tasks that take about as long: lyrics, or songs of about the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

/// The longest songs of each kind, in seconds.
const LENGTHS: [u32; 6] = [15, 30, 60, 120, 240, 600];

impl Kind {
    /// The kind of the task that a job is with, or will be.
    pub fn of(job: &Job) -> Self {
        match (job.step_kind(), job.size().seconds) {
            (StepKind::Lyrics, _) => Self(0),
            (StepKind::Song, 0) => Self(1),
            (StepKind::Song, asked) => {
                let place = LENGTHS.iter().position(|most| asked <= *most).unwrap_or(LENGTHS.len());
                Self(2 + u8::try_from(place).unwrap_or(u8::MAX))
            }
        }
    }
}

/// How many tasks took how long, by steps of a quarter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Took(BTreeMap<u8, u32>);

/// The upper edge of the first step, in ms; each next one is a quarter higher.
const FIRST_MS: f64 = 100.0;
const STEP: f64 = 1.25;
const STEPS: u8 = 90;
/// As few tell nothing.
const FEW: u32 = 20;

impl Took {
    /// The step that so long a time belongs to.
    pub fn step(took: Duration) -> u8 {
        let millis = (took.as_millis() as f64).max(1.0);
        let step = ((millis / FIRST_MS).ln() / STEP.ln()).ceil();
        step.clamp(0.0, f64::from(STEPS)) as u8
    }

    /// Counts so many at a step.
    pub fn add(&mut self, step: u8, count: u32) {
        *self.0.entry(step.min(STEPS)).or_default() += count;
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.values().sum()
    }

    /// The time within which this part of them (0 to 1) had ended; none when there are too few.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let all = self.count();
        if all < FEW {
            return None;
        }
        let wanted = (f64::from(all) * part).ceil() as u32;
        let mut seen = 0;
        let (step, _) = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        })?;
        Some(Duration::from_secs_f64(FIRST_MS * STEP.powi(i32::from(*step)) / 1000.0))
    }
}

/// Ends of tasks that a callback told of, and those that a look found first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Callbacks {
    /// Told of.
    pub came: u32,
    /// Found by looking, though a callback was expected.
    pub missed: u32,
}

/// Whether callbacks can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Too few tasks have ended to say.
    #[default]
    Unknown,
    /// They come.
    Good,
    /// Few come, or none.
    Quiet,
}

impl Callbacks {
    /// Whether they can be relied on.
    pub fn health(self) -> Health {
        let all = u64::from(self.came) + u64::from(self.missed);
        match all {
            0..10 => Health::Unknown,
            _ if u64::from(self.came) * 10 >= all * 8 => Health::Good,
            _ => Health::Quiet,
        }
    }
}

/// What is known of vendors' tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// How long they take.
    pub took: BTreeMap<VendorName, BTreeMap<Kind, Took>>,
    /// Whether callbacks come.
    pub callbacks: BTreeMap<VendorName, Callbacks>,
    /// How long it takes to look at all tasks under way once, with the requests that are allowed: looking at one of them
    /// sooner would keep another one waiting.
    pub round: BTreeMap<VendorName, Duration>,
}

impl Pace {
    /// Whether a vendor's callbacks can be relied on.
    pub fn health(&self, vendor: &VendorName) -> Health {
        self.callbacks.get(vendor).copied().unwrap_or_default().health()
    }

    /// The time within which this part (0 to 1) of a vendor's tasks of this kind has ended.
    pub fn quantile(&self, vendor: &VendorName, kind: Kind, part: f64) -> Option<Duration> {
        self.took.get(vendor)?.get(&kind)?.quantile(part)
    }

    /// From a submission to the first look at its task: where callbacks come, only when it should long have ended;
    /// else when the first of its kind end. `set` where nothing is known.
    pub fn first_look(&self, vendor: &VendorName, kind: Kind, set: Duration) -> Duration {
        match self.health(vendor) {
            Health::Good => match self.quantile(vendor, kind, 0.95) {
                Some(most) => set.max(most.mul_f64(1.25)),
                None => set,
            },
            // A little before most have ended: should all be faster now, the next ones are looked at sooner still.
            Health::Unknown | Health::Quiet => match self.quantile(vendor, kind, 0.2) {
                Some(first) => first.mul_f64(0.75),
                None => set,
            },
        }
    }

    /// How long one look at each task under way takes.
    pub fn round(&self, vendor: &VendorName) -> Duration {
        self.round.get(vendor).copied().unwrap_or_default()
    }

    /// How much longer than set the waits between looks are.
    pub fn stretch(&self, vendor: &VendorName) -> u32 {
        if self.health(vendor) == Health::Good { 4 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(millis: &[u64], callbacks: Callbacks) -> (Pace, VendorName) {
        let vendor = VendorName::new("acme").unwrap();
        let mut took = Took::default();
        millis.iter().for_each(|ms| took.add(Took::step(Duration::from_millis(*ms)), 1));
        let took = BTreeMap::from([(vendor.clone(), BTreeMap::from([(Kind(1), took)]))]);
        (
            Pace { took, round: BTreeMap::new(), callbacks: BTreeMap::from([(vendor.clone(), callbacks)]) },
            vendor,
        )
    }

    #[test]
    fn quantiles_are_right_within_a_step() {
        let all: Vec<u64> = (1..=1000).map(|n| n * 100).collect();
        let (pace, vendor) = pace(&all, Callbacks::default());
        for part in [0.2, 0.5, 0.95] {
            let found = pace.quantile(&vendor, Kind(1), part).unwrap().as_millis() as f64;
            let exact = part * 100_000.0;
            assert!((exact..=exact * 1.26).contains(&found), "{part}: {found}");
        }
        assert_eq!(pace.quantile(&vendor, Kind(2), 0.5), None);
    }

    #[test]
    fn looks_come_late_while_callbacks_come_and_early_when_they_do_not() {
        let set = Duration::from_secs(10);
        let ms = vec![40_000; 50];
        let first = |came, missed| {
            let (pace, vendor) = pace(&ms, Callbacks { came, missed });
            (pace.first_look(&vendor, Kind(1), set).as_secs(), pace.stretch(&vendor))
        };
        assert!((45..70).contains(&first(50, 1).0) && first(50, 1).1 == 4);
        assert!((30..45).contains(&first(5, 30).0) && first(5, 30).1 == 1);
        let (few, vendor) = pace(&[1000; 5], Callbacks::default());
        assert_eq!(few.first_look(&vendor, Kind(1), set), set, "as set while nothing is known");
    }

    #[test]
    fn a_vendor_that_gets_faster_is_found_out() {
        // All are found at the first look, whenever that is: it must come sooner and sooner.
        let mut look = 60_000;
        for _ in 0..20 {
            let (pace, vendor) = pace(&[look; 50], Callbacks::default());
            let next = pace.first_look(&vendor, Kind(1), Duration::ZERO).as_millis() as u64;
            assert!(next < look, "{next} {look}");
            look = next;
        }
        assert!(look < 20_000, "{look}");
    }
}
