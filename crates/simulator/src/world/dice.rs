//! Chance that follows from a seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// Dice that many throw.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    pub(crate) fn roll(&self) -> u64 {
        let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// True so often.
    pub(crate) fn chance(&self, rate: f64) -> bool {
        rate > 0.0 && (self.roll() >> 11) as f64 / (1u64 << 53) as f64 <= rate
    }

    /// A number from least to most.
    pub(crate) fn between(&self, [least, most]: [u64; 2]) -> u64 {
        least + self.roll() % (most.saturating_sub(least) + 1)
    }

    /// An id of so many characters of 0-9 and a-z.
    pub(crate) fn id(&self, chars: usize) -> String {
        (0..chars)
            .map(|_| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[(self.roll() >> 40) as usize % 32]))
            .collect()
    }

    /// An id in the form of a UUID.
    pub(crate) fn uuid(&self) -> String {
        let (a, b) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }
}
