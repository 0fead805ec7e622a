//! Real, playable audio: a melody that differs by prompt, in the format the vendor would give.

use std::f32::consts::TAU;

mod extra;
mod flac;
mod mp3;
mod wav;

pub(crate) use extra::Extra;

/// What a piece of audio is made from; equal recipes give equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Recipe {
    /// What the melody follows from.
    pub(crate) seed: u64,
    /// How long it plays, in ms.
    pub(crate) millis: u32,
    /// How it is written.
    pub(crate) format: Format,
}

/// How audio is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Wav,
    Mp3,
    Flac,
}

impl Format {
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/x-wav",
            Self::Mp3 => "audio/mpeg",
            Self::Flac => "audio/flac",
        }
    }

    /// The vendors' own: musicgen makes 32 kHz, the FLAC app 48 kHz.
    const fn rate(self) -> u32 {
        match self {
            Self::Wav => 32_000,
            Self::Mp3 => 44_100,
            Self::Flac => 48_000,
        }
    }
}

impl Recipe {
    /// A file name that the recipe can be read from again.
    pub(crate) fn name(&self) -> String {
        format!("{:016x}-{}.{}", self.seed, self.millis, self.format.extension())
    }

    /// The recipe of a file name, whatever stands before it.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let format = [Format::Wav, Format::Mp3, Format::Flac]
            .into_iter()
            .find(|known| known.extension() == extension)?;
        let (head, millis) = stem.rsplit_once('-')?;
        let seed = u64::from_str_radix(head.get(head.len().checked_sub(16)?..)?, 16).ok()?;
        Some(Self { seed, millis: millis.parse().ok().filter(|millis| *millis <= 600_000)?, format })
    }
}

/// Makes the audio of a recipe, so many times as loud as usual.
pub(crate) fn make(recipe: &Recipe, gain: i16) -> Vec<u8> {
    let rate = recipe.format.rate();
    let mut samples = melody(recipe.seed, u64::from(recipe.millis) * u64::from(rate) / 1000, rate);
    if gain != 1 {
        samples.iter_mut().for_each(|sample| *sample = sample.saturating_mul(gain));
    }
    match recipe.format {
        Format::Wav => wav::write(&samples, rate),
        Format::Mp3 => mp3::write(&samples, rate),
        Format::Flac => flac::write(&samples, rate),
    }
}

/// A stable number from text.
pub(crate) fn seed_of(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

const SCALES: [[i32; 5]; 4] = [[0, 2, 4, 7, 9], [0, 3, 5, 7, 10], [0, 2, 3, 7, 8], [0, 4, 5, 7, 11]];

/// Notes of a five-tone scale over a slow bass, each with a short attack and a decay.
fn melody(seed: u64, count: u64, rate: u32) -> Vec<i16> {
    let mut dice = seed | 1;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 20) % sides
    };
    let scale = SCALES[roll(4) as usize];
    let root = 196.0 * 2f32.powf(roll(12) as f32 / 12.0);
    let note_len = u64::from(rate) * (200 + roll(200)) / 1000;
    let pitch = |tone: i32| root * 2f32.powf(tone as f32 / 12.0);
    let mut samples = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    let (mut lead, mut bass, mut phase, mut low) = (root, root / 2.0, 0f32, 0f32);
    let step = 1.0 / rate as f32;
    for at in 0..count {
        let within = at % note_len;
        if within == 0 {
            lead = pitch(scale[roll(5) as usize] + 12 * (roll(2) as i32));
            if (at / note_len).is_multiple_of(4) {
                bass = pitch(scale[roll(3) as usize]) / 2.0;
            }
        }
        phase = (phase + lead * step).fract();
        low = (low + bass * step).fract();
        let time = within as f32 / note_len as f32;
        let envelope = (time * 40.0).min(1.0) * (1.0 - time).max(0.0);
        let tone = (phase * TAU).sin() + 0.3 * (phase * 2.0 * TAU).sin();
        let value = 0.42 * envelope * tone + 0.2 * (low * TAU).sin();
        samples.push((value * 24_000.0) as i16);
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_recipes_give_equal_bytes_and_other_prompts_other_ones() {
        let recipe = |seed| Recipe { seed, millis: 500, format: Format::Flac };
        assert_eq!(make(&recipe(1), 1), make(&recipe(1), 1));
        assert_ne!(make(&recipe(1), 1), make(&recipe(2), 1));
    }
}
