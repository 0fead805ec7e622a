//! Is a piece of audio what was asked for? What is heard is held against thresholds, and each has its consequence.

use serde::{Deserialize, Serialize};
use songmill_core::Flag;
use songmill_core::time::Span;

use crate::probe::{End, Probed};

/// What follows where audio is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is taken as if nothing were odd.
    Accept,
    /// It is taken, and flagged.
    Flag,
    /// It is made again, which is paid for, where `on_unusable` is `remake`, the task gave one file and the job may be
    /// remade; else it is flagged, but for damaged audio, which is unusable.
    Regenerate,
}

/// From where on audio is not as it should be, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// The shortest that is a song at all, whatever was asked for.
    pub min_duration: Span,
    /// Where it is much shorter or longer than was asked for.
    pub length: Verdict,
    /// The shortest and the longest that is taken for what was asked for, as parts of it.
    pub shortest: f32,
    /// The longest.
    pub longest: f32,
    /// Where much of it is silent.
    pub silence: Verdict,
    /// From which part on that is much; wholly silent audio is unusable.
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
            min_duration: Span::secs(1),
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
    /// How long it plays by the vendor's own words, in ms.
    pub vendor_ms: Option<u64>,
}

/// What the checks find in a piece of audio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// All that is odd about it; what is stored has these flags.
    pub flags: Vec<Flag>,
    /// Why it is certainly unusable: it is silent, broken, or no song by its length.
    pub unusable: Option<Finding>,
    /// Why it should be made anew, by checks that are set so.
    pub remake: Option<Finding>,
    /// Why it may not be whole, though nothing proves it: another download may bring more. If that brings the same, it
    /// is what there is.
    pub maybe_cut: Option<Finding>,
}

/// What is odd about a piece of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its flag.
    pub flag: Flag,
    /// What was found, in words.
    pub words: String,
}

/// Audio that may be missing at the end, in ms: what nobody hears is no reason to make a song anew.
const MISSING_MOST: u64 = 250;

impl Checks {
    /// Checks audio.
    pub fn judge(&self, probed: &Probed, asked: Asked<'_>) -> Assessment {
        let mut judged = Assessment::default();
        if !probed.checked {
            judged.flags.push(Flag::Unchecked);
            return judged;
        }
        self.judge_damage(probed, asked, &mut judged);
        self.judge_length(probed, asked, &mut judged);
        let (part, sound) = (asked.part, &probed.sound);
        // A stem may be silent: a song without words has no voice.
        if part.is_none() && sound.silent >= 1.0 {
            judged.reject(Flag::Silent, "all of it is silent".into());
        } else if part.is_none() && sound.silent > self.silent_most {
            judged.find(Flag::Silent, self.silence, || {
                format!("{:.0} % of it is silent", sound.silent * 100.0)
            });
        }
        if sound.clipped > self.clipped_most {
            let words = || format!("{:.1} % of it is clipped", sound.clipped * 100.0);
            judged.find(Flag::Clipped, self.clipping, words);
        }
        judged
    }

    fn judge_damage(&self, probed: &Probed, asked: Asked<'_>, judged: &mut Assessment) {
        if self.damage == Verdict::Accept {
            return;
        }
        let (plays, damaged) = (probed.duration_ms, probed.sound.damaged);
        let seconds = |ms: u64| ms as f32 / 1000.0;
        // A tenth less than it should be.
        let is_less = |whole: u64| u128::from(plays) * 10 <= u128::from(whole) * 9;
        let badly = match probed.end {
            End::Short(ms) if ms > MISSING_MOST => {
                Some(format!("the last {:.1} s of its audio are missing", seconds(ms)))
            }
            _ if damaged > self.damaged_most => {
                Some(format!("{:.0} % of it cannot be decoded", damaged * 100.0))
            }
            _ => None,
        };
        match badly {
            Some(words) if self.damage == Verdict::Regenerate => judged.reject(Flag::Damaged, words),
            Some(_) => judged.flag(Flag::Damaged),
            None if probed.end != End::Whole || damaged > 0.0 => judged.flag(Flag::Damaged),
            None => {}
        }
        // Others may be wrong about its length, and then it is whole: that is never a reason to pay for it again.
        let by_vendor = asked.vendor_ms.filter(|ms| is_less(*ms)).map(|ms| {
            judged.flag(Flag::Damaged);
            format!("it plays for {:.1} s where the vendor says {:.1} s", seconds(plays), seconds(ms))
        });
        let open = (probed.end == End::Open).then(|| "audio ends in the middle of a frame".to_owned());
        if judged.unusable.is_none() {
            let finding = |words| Finding { flag: Flag::Damaged, words };
            judged.maybe_cut = by_vendor.or(open).map(finding);
        }
    }

    fn judge_length(&self, probed: &Probed, asked: Asked<'_>, judged: &mut Assessment) {
        let (plays, asked_s) = (probed.duration_ms as f32 / 1000.0, asked.seconds);
        let least = self.min_duration.get();
        if u128::from(probed.duration_ms) < least.as_millis() {
            let words = format!("it plays for {plays:.2} s, and a song for {:.1} s", least.as_secs_f32());
            return judged.reject(Flag::TooShort, words);
        }
        let words = || format!("it plays for {plays:.1} s where {asked_s} s were asked for");
        if asked_s > 0 && plays < asked_s as f32 * self.shortest {
            judged.find(Flag::TooShort, self.length, words);
        } else if asked_s > 0 && plays > asked_s as f32 * self.longest {
            judged.find(Flag::TooLong, self.length, words);
        }
    }
}

impl Assessment {
    fn flag(&mut self, flag: Flag) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    fn reject(&mut self, flag: Flag, words: String) {
        self.flag(flag);
        self.unusable.get_or_insert(Finding { flag, words });
    }

    fn find(&mut self, flag: Flag, verdict: Verdict, words: impl FnOnce() -> String) {
        match verdict {
            Verdict::Accept => {}
            Verdict::Flag => self.flag(flag),
            Verdict::Regenerate => {
                self.flag(flag);
                self.remake.get_or_insert_with(|| Finding { flag, words: words() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::Sound;

    fn song(duration_ms: u64) -> Probed {
        Probed { format: "mp3", duration_ms, checked: true, end: End::Whole, sound: Sound::default() }
    }

    fn judged(probed: &Probed, asked: Asked<'_>) -> (Vec<Flag>, Option<Flag>) {
        let judged = Checks::default().judge(probed, asked);
        (judged.flags, judged.unusable.map(|finding| finding.flag))
    }

    #[test]
    fn what_is_whole_and_long_enough_has_no_flags() {
        assert_eq!(judged(&song(30_000), Asked::default()), (vec![], None));
    }

    #[test]
    fn a_quarter_of_a_second_less_is_flagged_and_more_is_unusable() {
        let short = |ms| judged(&Probed { end: End::Short(ms), ..song(30_000) }, Asked::default());
        assert_eq!(short(26), (vec![Flag::Damaged], None));
        assert_eq!(short(250), (vec![Flag::Damaged], None));
        assert_eq!(short(251), (vec![Flag::Damaged], Some(Flag::Damaged)));
    }

    #[test]
    fn what_cannot_be_decoded_is_flagged_up_to_a_share_and_unusable_beyond() {
        let damaged = |damaged| {
            judged(&Probed { sound: Sound { damaged, ..Sound::default() }, ..song(30_000) }, Asked::default())
        };
        assert_eq!(damaged(0.01), (vec![Flag::Damaged], None));
        assert_eq!(damaged(0.03), (vec![Flag::Damaged], Some(Flag::Damaged)));
    }

    #[test]
    fn a_tenth_less_than_the_vendor_says_is_doubted_and_flagged_and_never_unusable() {
        let by_vendor = |vendor_ms| {
            let asked = Asked { vendor_ms: Some(vendor_ms), ..Asked::default() };
            let judged = Checks::default().judge(&song(1800), asked);
            assert_eq!(judged.unusable, None, "the vendor's figure may be wrong");
            (judged.flags, judged.maybe_cut.is_some())
        };
        assert_eq!(by_vendor(3000), (vec![Flag::Damaged], true));
        assert_eq!(by_vendor(2000), (vec![Flag::Damaged], true));
        assert_eq!(by_vendor(1999), (vec![], false));
        assert_eq!(by_vendor(900), (vec![], false), "more than it says is no damage");
    }

    #[test]
    fn what_is_shorter_than_any_song_is_unusable_even_as_a_part() {
        for part in [None, Some("vocal")] {
            let asked = Asked { part, ..Asked::default() };
            assert_eq!(judged(&song(999), asked), (vec![Flag::TooShort], Some(Flag::TooShort)));
            assert_eq!(judged(&song(1000), asked), (vec![], None));
        }
    }

    #[test]
    fn audio_that_ends_in_the_middle_of_a_frame_may_be_cut_where_nothing_proves_it() {
        let open = Probed { end: End::Open, ..song(9000) };
        let checks = Checks::default();
        let asked = |seconds| checks.judge(&open, Asked { seconds, ..Asked::default() });
        assert!(asked(0).maybe_cut.is_some() && asked(0).unusable.is_none());
        assert!(asked(10).maybe_cut.is_some() && asked(10).flags == [Flag::Damaged]);
        assert!(asked(10).unusable.is_none(), "what was asked for proves nothing");
    }

    #[test]
    fn silence_is_unusable_but_in_a_stem() {
        let silent = Probed { sound: Sound { silent: 1.0, ..Sound::default() }, ..song(9000) };
        assert_eq!(judged(&silent, Asked::default()), (vec![Flag::Silent], Some(Flag::Silent)));
        let stem = Asked { part: Some("vocal"), ..Asked::default() };
        assert_eq!(judged(&silent, stem), (vec![], None));
    }

    #[test]
    fn checks_have_the_consequence_that_they_are_set_to() {
        let long = |length| {
            let checks = Checks { length, ..Checks::default() };
            let judged = checks.judge(&song(90_000), Asked { seconds: 30, ..Asked::default() });
            (judged.flags, judged.remake.map(|finding| finding.flag), judged.unusable)
        };
        assert_eq!(long(Verdict::Accept), (vec![], None, None));
        assert_eq!(long(Verdict::Flag), (vec![Flag::TooLong], None, None));
        assert_eq!(long(Verdict::Regenerate), (vec![Flag::TooLong], Some(Flag::TooLong), None));
        let cut = Probed { end: End::Short(9000), ..song(9000) };
        let damage = |damage| Checks { damage, ..Checks::default() }.judge(&cut, Asked::default());
        assert_eq!(damage(Verdict::Accept), Assessment::default());
        assert_eq!(damage(Verdict::Flag).flags, [Flag::Damaged]);
        assert!(damage(Verdict::Flag).unusable.is_none() && damage(Verdict::Regenerate).unusable.is_some());
    }

    #[test]
    fn what_was_not_decoded_is_flagged_and_nothing_else_is_said_of_it() {
        let foreign = Probed { checked: false, duration_ms: 0, ..song(0) };
        assert_eq!(
            judged(&foreign, Asked { seconds: 30, ..Asked::default() }),
            (vec![Flag::Unchecked], None)
        );
    }
}
