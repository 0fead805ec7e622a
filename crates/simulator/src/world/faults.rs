//! Which task meets which fault: by the seed, the task's id and the fault's name, so the same each time.

/// A fault that strikes tasks, as the books name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Failed,
    OutputLate,
    OutputNever,
    OutputShape,
    AddressForm,
    ContentEncoding,
    NotReady,
    OutputExpired,
    OutputExpiredOnce,
    Audio,
    WrongDuration,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::Failed,
        Self::OutputLate,
        Self::OutputNever,
        Self::OutputShape,
        Self::AddressForm,
        Self::ContentEncoding,
        Self::NotReady,
        Self::OutputExpired,
        Self::OutputExpiredOnce,
        Self::Audio,
        Self::WrongDuration,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::OutputLate => "output_late",
            Self::OutputNever => "output_never",
            Self::OutputShape => "output_shape",
            Self::AddressForm => "address_form",
            Self::ContentEncoding => "content_encoding",
            Self::NotReady => "not_ready",
            Self::OutputExpired => "output_expired",
            Self::OutputExpiredOnce => "output_expired_once",
            Self::Audio => "audio",
            Self::WrongDuration => "wrong_duration",
        }
    }
}

/// The faults that were applied to a task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Applied(u16);

impl Applied {
    /// Adds a fault; whether it is new.
    pub(crate) fn add(&mut self, fault: Fault) -> bool {
        let bit = 1 << fault as u16;
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }

    pub(crate) const fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u16) != 0
    }
}

/// A number that follows from the seed, a name and an id; equal for equal ones.
pub(crate) fn draw(seed: u64, name: &str, id: &str) -> u64 {
    let mut x = crate::audio::seed_of(&format!("{seed}/{name}/{id}"));
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Whether a fault of this rate strikes an id.
pub(crate) fn strikes(seed: u64, fault: Fault, id: &str, rate: f64) -> bool {
    let unit = (draw(seed, fault.name(), id) >> 11) as f64 / (1u64 << 53) as f64;
    unit < rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_equal_for_equal_ids_and_as_frequent_as_its_rate() {
        let hits = |seed, fault, rate| {
            (0..2000).filter(|n| strikes(seed, fault, &format!("task{n}"), rate)).collect::<Vec<_>>()
        };
        let late = hits(1, Fault::OutputLate, 0.3);
        assert_eq!(late, hits(1, Fault::OutputLate, 0.3));
        assert!((500..700).contains(&late.len()), "{}", late.len());
        assert_ne!(late, hits(2, Fault::OutputLate, 0.3), "another seed strikes others");
        assert_ne!(late, hits(1, Fault::NotReady, 0.3), "and so does another fault");
        assert_eq!((hits(1, Fault::Audio, 0.0).len(), hits(1, Fault::Audio, 1.0).len()), (0, 2000));
    }
}
