//! Samples that stand in a file as they are: integers, floats and the two laws of telephones.

/// How a sample is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// Unsigned, 8 bits.
    U8,
    /// Signed integers of so many bytes, 1 to 4.
    Int(u8, Order),
    /// Floats of 4 bytes.
    F32(Order),
    /// Floats of 8 bytes.
    F64(Order),
    /// A-law.
    ALaw,
    /// µ-law.
    MuLaw,
}

/// Which byte stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The lowest.
    Little,
    /// The highest.
    Big,
}

impl Sample {
    /// Integers of so many bits.
    pub(super) fn int(bits: u16, order: Order) -> Option<Self> {
        matches!(bits, 1..=32).then(|| Self::Int(bits.div_ceil(8) as u8, order))
    }

    /// Floats of so many bits.
    pub(super) fn float(bits: u16, order: Order) -> Option<Self> {
        match bits {
            32 => Some(Self::F32(order)),
            64 => Some(Self::F64(order)),
            _ => None,
        }
    }

    /// Bytes that one takes.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::MuLaw => 1,
            Self::Int(bytes, _) => bytes as usize,
            Self::F32(_) => 4,
            Self::F64(_) => 8,
        }
    }

    /// What bytes say, from -1 to 1, in place of what `samples` holds; what is no whole sample is left out.
    pub(super) fn read(self, bytes: &[u8], samples: &mut Vec<f32>) {
        samples.clear();
        match self {
            Self::U8 => samples.extend(bytes.iter().map(|byte| (f32::from(*byte) - 128.0) / 128.0)),
            Self::Int(1, _) => samples.extend(bytes.iter().map(|byte| f32::from(byte.cast_signed()) / 128.0)),
            Self::Int(2, Order::Little) => each(bytes, samples, |it| level16(i16::from_le_bytes(it))),
            Self::Int(2, Order::Big) => each(bytes, samples, |it| level16(i16::from_be_bytes(it))),
            Self::Int(3, Order::Little) => {
                each(bytes, samples, |[a, b, c]| level32(i32::from_le_bytes([0, a, b, c])));
            }
            Self::Int(3, Order::Big) => {
                each(bytes, samples, |[a, b, c]| level32(i32::from_be_bytes([a, b, c, 0])));
            }
            Self::Int(_, Order::Little) => each(bytes, samples, |it| level32(i32::from_le_bytes(it))),
            Self::Int(_, Order::Big) => each(bytes, samples, |it| level32(i32::from_be_bytes(it))),
            Self::F32(Order::Little) => each(bytes, samples, f32::from_le_bytes),
            Self::F32(Order::Big) => each(bytes, samples, f32::from_be_bytes),
            Self::F64(Order::Little) => each(bytes, samples, |it| f64::from_le_bytes(it) as f32),
            Self::F64(Order::Big) => each(bytes, samples, |it| f64::from_be_bytes(it) as f32),
            Self::ALaw => samples.extend(bytes.iter().map(|byte| level16(a_law(*byte)))),
            Self::MuLaw => samples.extend(bytes.iter().map(|byte| level16(mu_law(*byte)))),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], samples: &mut Vec<f32>, level: impl Fn([u8; N]) -> f32) {
    samples.extend(bytes.as_chunks::<N>().0.iter().map(|sample| level(*sample)));
}

fn level16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

fn level32(sample: i32) -> f32 {
    sample as f32 / 2_147_483_648.0
}

/// ITU-T G.711: a sign, three bits of an exponent, four of a mantissa; even bits are inverted.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 0x0f));
    let level = match exponent {
        0 => (mantissa << 4) + 8,
        exponent => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -level } else { level }
}

/// ITU-T G.711: as A-law, with all bits inverted and a bias of 33 (here of 16 bits: 132).
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 0x0f));
    let level = (((mantissa << 3) + 132) << exponent) - 132;
    if byte & 0x80 == 0 { level } else { -level }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sample: Sample, bytes: &[u8]) -> Vec<f32> {
        let mut samples = vec![9.0];
        sample.read(bytes, &mut samples);
        samples
    }

    #[test]
    fn half_of_full_scale_is_a_half_however_it_is_written() {
        use Order::{Big, Little};
        let (f32s, f64s) = (0.5_f32.to_le_bytes(), 0.5_f64.to_be_bytes());
        for (sample, bytes) in [
            (Sample::U8, &[192][..]),
            (Sample::Int(1, Big), &[64]),
            (Sample::Int(2, Little), &[0, 64]),
            (Sample::Int(2, Big), &[64, 0]),
            (Sample::Int(3, Little), &[0, 0, 64]),
            (Sample::Int(3, Big), &[64, 0, 0]),
            (Sample::Int(4, Little), &[0, 0, 0, 64]),
            (Sample::Int(4, Big), &[64, 0, 0, 0]),
            (Sample::F32(Little), &f32s),
            (Sample::F64(Big), &f64s),
        ] {
            assert_eq!(read(sample, bytes), [0.5], "{sample:?}");
            assert_eq!(sample.bytes(), bytes.len(), "{sample:?}");
            assert!(read(sample, &bytes[1..]).is_empty(), "{sample:?}: what is no whole sample is left out");
        }
    }

    #[test]
    fn both_laws_are_those_of_the_standard() {
        // Loudest, quietest, and one in between, of both signs.
        assert_eq!([0xaa, 0x2a, 0xd5, 0x55, 0x80].map(a_law), [32_256, -32_256, 8, -8, 5504]);
        assert_eq!([0x80, 0x00, 0xff, 0x7f, 0xa0].map(mu_law), [32_124, -32_124, 0, 0, 7932]);
    }
}
