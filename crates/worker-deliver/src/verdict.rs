//! Is a piece of audio what was asked for? What is heard is held against thresholds, and each has its consequence.

use serde::{Deserialize, Serialize};
use songmill_core::{Fault, FaultKind, Flag};

use crate::probe::Probed;

/// What follows where audio is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is taken as if nothing were odd.
    Accept,
    /// It is taken, and flagged.
    Flag,
    /// It is made anew, which is paid for, as long as the job has attempts left; then it is flagged, but for damaged
    /// audio, which is never taken then.
    Regenerate,
}

/// From where on audio is not as it should be, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// Where it is much shorter or longer than was asked for.
    pub length: Verdict,
    /// The shortest and the longest that is taken for what was asked for, as parts of it.
    pub shortest: f32,
    /// The longest.
    pub longest: f32,
    /// Where much of it is silent.
    pub silence: Verdict,
    /// From which part on that is much; wholly silent audio is always made anew.
    pub silent_most: f32,
    /// Where much of it is clipped.
    pub clipping: Verdict,
    /// From which part of its samples on that is much.
    pub clipped_most: f32,
    /// Where it is cut short, or parts of it cannot be decoded.
    pub damage: Verdict,
    /// From which part on damage counts.
    pub damaged_most: f32,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            length: Verdict::Flag,
            shortest: 0.5,
            longest: 2.0,
            silence: Verdict::Flag,
            silent_most: 0.5,
            clipping: Verdict::Flag,
            clipped_most: 0.02,
            damage: Verdict::Regenerate,
            damaged_most: 0.02,
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// What it is besides the song itself.
    pub part: Option<&'a str>,
    /// How long it was to play; 0 where that was left open.
    pub seconds: u32,
    /// Whether the job has attempts and time left.
    pub may_be_made_anew: bool,
}

/// What is odd about a piece of audio.
struct Oddity {
    flag: Flag,
    verdict: Verdict,
    /// Whether it is taken, flagged, when it cannot be made anew.
    may_stay: bool,
    words: String,
}

impl Checks {
    /// The flags of audio that is taken, or why it is to be made anew.
    pub fn judge(&self, probed: &Probed, asked: Asked<'_>) -> Result<Vec<Flag>, Fault> {
        let mut flags = Vec::new();
        for Oddity { flag, verdict, may_stay, words } in self.oddities(probed, asked) {
            match verdict {
                Verdict::Accept => {}
                Verdict::Regenerate if !may_stay || asked.may_be_made_anew => {
                    return Err(unfit(flag, &words));
                }
                Verdict::Flag | Verdict::Regenerate => flags.push(flag),
            }
        }
        Ok(flags)
    }

    fn oddities(&self, probed: &Probed, asked: Asked<'_>) -> Vec<Oddity> {
        let Asked { part, seconds: asked_s, .. } = asked;
        let sound = &probed.sound;
        let mut found = Vec::new();
        let mut find = |flag, verdict, may_stay, words| found.push(Oddity { flag, verdict, may_stay, words });
        let damaged = (sound.damaged > self.damaged_most)
            .then(|| format!("{:.0} % of it cannot be decoded", sound.damaged * 100.0));
        if let Some(words) = probed.cut.map(str::to_owned).or(damaged) {
            find(Flag::Damaged, self.damage, false, words);
        }
        let plays = probed.duration_ms as f32 / 1000.0;
        let words = || format!("it plays for {plays:.1} s where {asked_s} s were asked for");
        if asked_s > 0 && plays < asked_s as f32 * self.shortest {
            find(Flag::TooShort, self.length, true, words());
        } else if asked_s > 0 && plays > asked_s as f32 * self.longest {
            find(Flag::TooLong, self.length, true, words());
        }
        // A stem may be silent: a song without words has no voice.
        if part.is_none() && sound.silent >= 1.0 {
            find(Flag::Silent, Verdict::Regenerate, false, "all of it is silent".into());
        } else if part.is_none() && sound.silent > self.silent_most {
            find(Flag::Silent, self.silence, true, format!("{:.0} % of it is silent", sound.silent * 100.0));
        }
        if sound.clipped > self.clipped_most {
            find(
                Flag::Clipped,
                self.clipping,
                true,
                format!("{:.1} % of it is clipped", sound.clipped * 100.0),
            );
        }
        found
    }
}

fn unfit(flag: Flag, words: &str) -> Fault {
    Fault::new(FaultKind::Unknown, "audio_unfit", format!("{}: {words}", flag.as_str()))
}
