//! What is to be heard in samples: how loud they are, where there are none to speak of, and where they are clipped.

use symphonia::core::audio::GenericAudioBufferRef;

use crate::sidecar::Sound;

/// Listens to samples as they come.
#[derive(Default)]
pub(super) struct Hearing {
    /// Samples a second: of what is heard now, and of the first.
    rate: u32,
    first_rate: u32,
    channels: usize,
    /// How long it has played and how much of it is missed, in ns, up to where the rate changed last.
    played_ns: u128,
    missed_ns: u128,
    frames: u64,
    missed: u64,
    /// Frames that are heard, and still none of the audio.
    trimmed_ns: u128,
    samples: u64,
    buffer: Vec<f32>,
    peak: f32,
    squares: f64,
    /// The part of a twentieth of a second that is being heard: its frames and its loudest sample.
    part: (u32, f32),
    /// The loudest sample of each part.
    parts: Vec<f32>,
    /// For each channel, samples at full scale in a row.
    loud: Vec<u32>,
    clipped: u64,
}

/// Parts a second.
const PARTS: u32 = 20;
/// Below this a part is silent: -60 dB.
const SILENCE: f32 = 0.001;
/// At full scale, but for rounding.
const FULL: f32 = 0.9995;
/// So many in a row are clipped and no mere peak.
const ROW: u32 = 3;
/// The longest that is listened to, in seconds, and in samples of all channels.
pub(super) const LONGEST_S: u64 = 3600;
const SAMPLES_MOST: u64 = 8 * 48_000 * LONGEST_S;
/// Parts of a waveform.
const PEAKS: usize = 200;

impl Hearing {
    /// Takes in what a decoder gives.
    pub(super) fn hear_buffer(&mut self, decoded: &GenericAudioBufferRef<'_>) {
        let mut samples = std::mem::take(&mut self.buffer);
        decoded.copy_to_vec_interleaved(&mut samples);
        self.hear(&samples, decoded.num_planes(), decoded.spec().rate());
        self.buffer = samples;
    }

    /// Takes in interleaved samples of so many channels.
    pub(super) fn hear(&mut self, samples: &[f32], channels: usize, rate: u32) {
        if channels == 0 || rate == 0 || samples.len() < channels {
            return;
        }
        self.turn_to(rate);
        self.channels = self.channels.max(channels);
        self.loud.resize(self.channels, 0);
        let each = (self.rate / PARTS).max(1);
        let mut left = samples;
        while left.len() >= channels {
            let frames = (left.len() / channels).min((each - self.part.0) as usize);
            let (piece, others) = left.split_at(frames * channels);
            let (loudest, squares) = levels(piece);
            self.squares += squares;
            if loudest >= FULL || self.loud.iter().any(|row| *row > 0) {
                self.count_clipped(piece, channels);
            }
            self.part = (self.part.0 + frames as u32, self.part.1.max(loudest));
            if self.part.0 >= each {
                self.end_part();
            }
            left = others;
        }
        self.frames += (samples.len() / channels) as u64;
        self.samples += samples.len() as u64;
    }

    fn count_clipped(&mut self, samples: &[f32], channels: usize) {
        for (channel, row) in self.loud.iter_mut().enumerate().take(channels) {
            for sample in samples.iter().skip(channel).step_by(channels) {
                if sample.abs() >= FULL {
                    *row += 1;
                    self.clipped += if *row == ROW { u64::from(ROW) } else { u64::from(*row > ROW) };
                } else {
                    *row = 0;
                }
            }
        }
    }

    /// Takes in that so many frames cannot be decoded.
    pub(super) fn miss(&mut self, frames: u64, rate: u32) {
        if rate > 0 {
            self.turn_to(rate);
            self.missed = self.missed.saturating_add(frames);
        }
    }

    /// Takes in that so many frames of what was heard are none of the audio.
    pub(super) fn trim(&mut self, frames: u64) {
        self.trimmed_ns += nanos(frames, self.rate);
    }

    fn turn_to(&mut self, rate: u32) {
        if self.rate == rate {
            return;
        }
        if self.part.0 > 0 {
            self.end_part();
        }
        self.played_ns += nanos(std::mem::take(&mut self.frames), self.rate);
        self.missed_ns += nanos(std::mem::take(&mut self.missed), self.rate);
        self.rate = rate;
        if self.first_rate == 0 {
            self.first_rate = rate;
        }
    }

    fn end_part(&mut self) {
        let (_, loudest) = std::mem::take(&mut self.part);
        self.peak = self.peak.max(loudest);
        self.parts.push(loudest);
    }

    /// Whether nothing is heard yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// How long it has played.
    pub(super) fn played_ms(&self) -> u64 {
        let played = self.played_ns + nanos(self.frames, self.rate);
        (played.saturating_sub(self.trimmed_ns) / 1_000_000) as u64
    }

    /// How much of it could not be decoded.
    pub(super) fn missed_ms(&self) -> u64 {
        ((self.missed_ns + nanos(self.missed, self.rate)) / 1_000_000) as u64
    }

    /// Whether it plays for longer than anything that is listened to: a few bytes can stand for days of silence.
    pub(super) fn is_too_long(&self) -> bool {
        self.samples > SAMPLES_MOST || (self.played_ms() + self.missed_ms()) / 1000 > LONGEST_S
    }

    /// All in all.
    pub(super) fn heard(mut self) -> Sound {
        if self.part.0 > 0 {
            self.end_part();
        }
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f32 / of as f32 };
        let silent = self.parts.iter().filter(|loudest| **loudest < SILENCE).count();
        let mean = (self.squares / self.samples.max(1) as f64).sqrt() as f32;
        Sound {
            rate: self.first_rate,
            channels: u16::try_from(self.channels).unwrap_or(u16::MAX),
            peak_db: decibels(self.peak),
            mean_db: decibels(mean),
            silent: share(silent as u64, self.parts.len() as u64),
            clipped: share(self.clipped, self.samples),
            damaged: share(self.missed_ms(), self.missed_ms() + self.played_ms()),
            peaks: waveform(&self.parts),
        }
    }
}

/// How long so many frames play.
fn nanos(frames: u64, rate: u32) -> u128 {
    u128::from(frames) * 1_000_000_000 / u128::from(rate.max(1))
}

/// The loudest of samples, and the sum of their squares. Of eight at a time, so that the processor can do them together.
fn levels(samples: &[f32]) -> (f32, f64) {
    let (mut loudest, mut squares) = ([0.0_f32; 8], [0.0_f64; 8]);
    let (eights, rest) = samples.as_chunks::<8>();
    let padded = std::array::from_fn(|n| rest.get(n).copied().unwrap_or(0.0));
    for eight in eights.iter().chain([&padded]) {
        for ((sample, loudest), square) in eight.iter().zip(&mut loudest).zip(&mut squares) {
            let level = sample.abs();
            // NaN is no sound.
            *loudest = if level > *loudest { level } else { *loudest };
            let level = f64::from(if level <= f32::MAX { level } else { 0.0 });
            *square += level * level;
        }
    }
    (loudest.into_iter().fold(0.0, f32::max), squares.into_iter().sum())
}

fn decibels(level: f32) -> Option<f32> {
    (level.is_finite() && level > 0.0).then(|| (20.0 * level.log10() * 10.0).round() / 10.0)
}

/// The loudest sample of each of up to 200 equal parts.
fn waveform(parts: &[f32]) -> String {
    let count = parts.len().min(PEAKS);
    let loudest = |n: usize| {
        let (from, to) = (n * parts.len() / count, (n + 1) * parts.len() / count);
        parts[from..to].iter().fold(0.0_f32, |most, part| most.max(*part))
    };
    (0..count).map(|n| format!("{:02x}", (loudest(n).min(1.0) * 255.0).round() as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(samples: &[f32], channels: usize) -> Sound {
        let mut hearing = Hearing::default();
        // In pieces of odd length, as they come.
        samples.chunks(channels * 37).for_each(|piece| hearing.hear(piece, channels, 1000));
        hearing.heard()
    }

    proptest::proptest! {
        #[test]
        fn levels_are_those_of_one_sample_after_the_other(
            samples in proptest::collection::vec(
                proptest::prop_oneof![-1.0_f32..1.0, proptest::num::f32::ANY], 0..99,
            ),
        ) {
            let sounds = || samples.iter().map(|sample| sample.abs()).filter(|level| !level.is_nan());
            let (loudest, squares) = levels(&samples);
            assert_eq!(loudest, sounds().fold(0.0, f32::max));
            let exact: f64 = sounds().filter(|level| level.is_finite()).map(|level| f64::from(level).powi(2)).sum();
            assert!((squares - exact).abs() <= exact * 1e-9, "{squares} {exact}");
        }

        #[test]
        fn clipped_are_as_many_however_the_samples_come(
            samples in proptest::collection::vec(proptest::sample::select(vec![0.5_f32, 1.0, -1.0]), 0..400),
            channels in 1..4_usize,
            piece in 1..50_usize,
        ) {
            let whole = samples.len() / channels * channels;
            let mut hearing = Hearing::default();
            samples[..whole].chunks(channels * piece).for_each(|piece| hearing.hear(piece, channels, 100));
            let rows = |channel: usize| {
                let loud: Vec<bool> =
                    samples[..whole].iter().skip(channel).step_by(channels).map(|sample| sample.abs() >= FULL).collect();
                loud.split(|loud| !loud).map(<[bool]>::len).filter(|row| *row >= ROW as usize).sum::<usize>()
            };
            assert_eq!(hearing.clipped, (0..channels).map(rows).sum::<usize>() as u64);
        }
    }

    #[test]
    fn silence_is_counted_by_the_twentieth_of_a_second() {
        let mut samples = vec![0.5; 1000];
        samples.extend(vec![0.0004; 3000]);
        let sound = heard(&samples, 1);
        assert_eq!((sound.silent, sound.peak_db), (0.75, Some(-6.0)));
        assert_eq!(heard(&[0.0; 100], 1).peak_db, None);
    }

    #[test]
    fn clipped_are_samples_at_full_scale_in_a_row_in_one_channel() {
        let mut samples = vec![0.1; 1000];
        samples[10..14].fill(1.0);
        samples[20] = -1.0;
        assert_eq!(heard(&samples, 1).clipped, 0.004);
        assert_eq!(heard(&samples, 2).clipped, 0.0, "two in each channel are a peak");
    }

    #[test]
    fn a_waveform_is_the_loudest_of_each_part() {
        let mut samples = vec![0.0; 20_000];
        samples[19_999] = 1.0;
        let peaks = heard(&samples, 1).peaks;
        assert_eq!((peaks.len(), &peaks[396..]), (400, "00ff"));
        assert_eq!(heard(&[0.5; 120], 1).peaks, "808080", "short ones have fewer");
    }

    #[test]
    fn what_is_no_number_is_no_sound() {
        let sound = heard(&[f32::NAN, f32::INFINITY, 0.1], 1);
        assert_eq!(sound.peak_db, None);
    }
}
