//! The processes, and what is done to them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Dice;
use super::front::Front;
use crate::{PATIENCE, Process, World, free_port};

const ROLES: [&str; 3] = ["generate", "deliver", "listener"];
/// Processes of each role.
const EACH: usize = 2;
/// How long Redis stays away, and how long it answers nobody, at most, in ms.
const AWAY: [u64; 2] = [100, 1500];
/// How long a stopped process stays stopped: some longer than their leases.
const STOPPED: [u64; 2] = [200, 9000];

/// One place of a role: the process that fills it, and what it is told.
struct Place {
    role: &'static str,
    name: String,
    settings: Vec<String>,
    process: Process,
    /// Until when it is stopped.
    stopped: Option<Instant>,
}

pub(super) struct Fleet {
    places: Vec<Place>,
    /// Told to end; they may take their time.
    leaving: Vec<(String, Process, Instant)>,
    redis_back: Option<Instant>,
    done: BTreeMap<&'static str, u32>,
    watch: Watch,
}

impl Fleet {
    pub(super) fn start(world: &World, front: &Front) -> Result<Self> {
        let mut places = Vec::new();
        for role in ROLES {
            for n in 0..EACH {
                let settings = if role == "listener" {
                    let addr = free_port()?;
                    front.add(addr);
                    vec![format!("listener.listen=\"{addr}\"")]
                } else {
                    vec![]
                };
                let name = format!("{role}-{n}");
                let process = world.serve_as(&name, &[role], &settings)?;
                places.push(Place { role, name, settings, process, stopped: None });
            }
        }
        let watch = Watch::default();
        Ok(Self { places, leaving: vec![], redis_back: None, done: BTreeMap::new(), watch })
    }

    pub(super) fn kills(&self) -> u32 {
        self.done.get(KILL).copied().unwrap_or(0)
    }

    /// Does one thing to one of them, or to Redis.
    pub(super) fn strike(&mut self, world: &mut World, dice: &mut Dice, with_redis: bool) -> Result<()> {
        let place = dice.below(self.places.len());
        match dice.below(if with_redis { 20 } else { 17 }) {
            0..=12 => self.kill(world, place),
            13..=14 => self.replace(world, place),
            15..=16 => self.stop(place, dice),
            17 => self.redis(world, dice, "redis killed", crate::Redis::crash),
            18 => self.redis(world, dice, "redis stopped in order", |redis| redis.stop().unwrap_or_default()),
            _ if self.redis_back.is_none() => {
                let pause = dice.between(AWAY).as_millis().to_string();
                world.redis.cli(&["client", "pause", &pause, "all"])?;
                self.count("redis stalled");
                self.watch.forget();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn start_anew(&mut self, world: &World, place: usize) -> Result<Process> {
        let Place { role, name, settings, process, stopped } = &mut self.places[place];
        *stopped = None;
        Ok(std::mem::replace(process, world.serve_as(name, &[role], settings)?))
    }

    fn kill(&mut self, world: &World, place: usize) -> Result<()> {
        // Gone first: the next one needs its port.
        self.places[place].process.kill();
        self.start_anew(world, place)?;
        self.count(KILL);
        if self.redis_back.is_none() {
            self.watch.begin(world)?;
        }
        Ok(())
    }

    /// As in a deployment: told to end, and the next one started at once.
    fn replace(&mut self, world: &World, place: usize) -> Result<()> {
        if self.places[place].stopped.is_some() || self.places[place].role == "listener" {
            return Ok(());
        }
        self.places[place].process.signal("TERM")?;
        let leaving = self.start_anew(world, place)?;
        self.leaving.push((self.places[place].name.clone(), leaving, Instant::now()));
        self.count("processes told to end (SIGTERM) and replaced");
        Ok(())
    }

    fn stop(&mut self, place: usize, dice: &mut Dice) -> Result<()> {
        let place = &mut self.places[place];
        if place.stopped.is_none() {
            place.process.signal("STOP")?;
            place.stopped = Some(Instant::now() + dice.between(STOPPED));
            self.count("processes stopped and continued (SIGSTOP, SIGCONT)");
        }
        Ok(())
    }

    fn redis(
        &mut self,
        world: &mut World,
        dice: &mut Dice,
        what: &'static str,
        end: impl Fn(&mut crate::Redis),
    ) -> Result<()> {
        if self.redis_back.is_none() {
            end(&mut world.redis);
            self.redis_back = Some(Instant::now() + dice.between(AWAY));
            self.count(what);
            self.watch.forget();
        }
        Ok(())
    }

    /// Brings back what is due back, and sees that nothing has ended by itself.
    pub(super) fn tend(&mut self, world: &mut World) -> Result<()> {
        let now = Instant::now();
        if self.redis_back.is_some_and(|back| now >= back) {
            world.redis.resume()?;
            self.redis_back = None;
        }
        for n in 0..self.places.len() {
            let place = &mut self.places[n];
            if place.stopped.is_some_and(|until| now >= until) {
                place.process.signal("CONT")?;
                place.stopped = None;
            }
            if place.stopped.is_none()
                && let Some(code) = place.process.ended()?
            {
                // Whoever runs it starts it again when it found no Redis, or when its port was some connection's just
                // then.
                let log = world.log(&place.name);
                let port_taken = log.trim_end().ends_with("Address already in use (os error 98)");
                match code {
                    Some(4) => self.count("processes that found no redis when they started"),
                    Some(1) if port_taken => self.count("listeners that found their port taken"),
                    code => bail!("{} ended by itself with {code:?}: {log}", self.places[n].name),
                }
                self.start_anew(world, n)?;
            }
        }
        let mut leaving = Vec::new();
        for (name, mut process, since) in self.leaving.drain(..) {
            match process.ended()? {
                Some(Some(0)) => {}
                // One that was told so early that it did not listen yet.
                Some(None) => {}
                Some(Some(4)) => {}
                Some(code) => bail!("{name} ended with {code:?} when it was told to: {}", world.log(&name)),
                None if since.elapsed() > PATIENCE => bail!("{name} does not end: {}", world.log(&name)),
                None => leaving.push((name, process, since)),
            }
        }
        self.leaving = leaving;
        if self.redis_back.is_none() { self.watch.look(world) } else { Ok(()) }
    }

    /// Brings everything back.
    pub(super) fn calm(&mut self, world: &mut World) -> Result<()> {
        if self.redis_back.take().is_some() {
            world.redis.resume()?;
        }
        for place in &mut self.places {
            if place.stopped.take().is_some() {
                place.process.signal("CONT")?;
            }
        }
        Ok(())
    }

    /// What was done, and the longest that claimed jobs stood still after a kill. All are told to end and must.
    pub(super) fn end(mut self) -> Result<(Vec<(&'static str, u32)>, Duration)> {
        for (name, process, _) in self.leaving.drain(..) {
            process.stop().with_context(|| format!("{name} was told to end long ago"))?;
        }
        for place in self.places.drain(..) {
            let (_, code) = place.process.stop()?;
            if code != Some(0) {
                bail!("{} ended with {code:?} at the end", place.name);
            }
        }
        Ok((self.done.into_iter().collect(), self.watch.longest))
    }
}

const KILL: &str = "processes killed (SIGKILL)";

/// Jobs that were claimed when a process was killed, until each has moved.
#[derive(Default)]
struct Watch {
    claimed: Vec<(Instant, BTreeMap<String, String>)>,
    longest: Duration,
}

/// Claimed jobs with their versions: what has claims has no outcome yet.
const CLAIMED: &str = "local out = {} for _, key in ipairs(redis.call('KEYS', '*:j:*')) do \
    local known = redis.call('HMGET', key, 'c', 'v') \
    if known[1] and tonumber(known[1]) > 0 then out[#out + 1] = key .. ' ' .. known[2] end end return out";

impl Watch {
    fn claimed(world: &World) -> Result<Option<BTreeMap<String, String>>> {
        let lines = world.redis.cli(&["eval", CLAIMED, "0"])?;
        // While Redis reads its file it answers with an error.
        if lines.contains("LOADING") || lines.contains("Could not connect") {
            return Ok(None);
        }
        let pair = |line: &str| {
            let (key, version) = line.split_once(' ').with_context(|| format!("redis-cli said {line}"))?;
            Ok((key.to_owned(), version.to_owned()))
        };
        lines.lines().filter(|line| !line.trim().is_empty()).map(pair).collect::<Result<_>>().map(Some)
    }

    fn begin(&mut self, world: &World) -> Result<()> {
        let begun = Instant::now();
        if let Some(claimed) = Self::claimed(world)? {
            self.claimed.push((begun, claimed));
        }
        Ok(())
    }

    /// With Redis away nothing can move; what has not moved until then has stood still for that long.
    fn forget(&mut self) {
        let still = self.claimed.drain(..).map(|(begun, _)| begun.elapsed()).max();
        self.longest = self.longest.max(still.unwrap_or_default());
    }

    fn look(&mut self, world: &World) -> Result<()> {
        if self.claimed.is_empty() {
            return Ok(());
        }
        let Some(now) = Self::claimed(world)? else { return Ok(()) };
        for (begun, claimed) in &mut self.claimed {
            claimed.retain(|key, version| now.get(key) == Some(version));
            if claimed.is_empty() {
                self.longest = self.longest.max(begun.elapsed());
            }
        }
        self.claimed.retain(|(_, claimed)| !claimed.is_empty());
        Ok(())
    }
}
