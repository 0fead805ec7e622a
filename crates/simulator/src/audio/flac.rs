//! FLAC with fixed predictors and Rice codes, one channel of 16 bits (RFC 9639).

const BLOCK: usize = 4096;

pub(super) fn write(samples: &[i16], rate: u32) -> Vec<u8> {
    let mut out = b"fLaC".to_vec();
    out.extend_from_slice(&[0x80, 0, 0, 34]);
    let mut info = Bits::default();
    info.put(BLOCK as u64, 16);
    info.put(BLOCK as u64, 16);
    // Frame sizes and the checksum of the samples are left unknown: zero says so.
    info.put(0, 48);
    info.put(u64::from(rate), 20);
    info.put(0, 3);
    info.put(15, 5);
    info.put(samples.len() as u64, 36);
    out.extend_from_slice(&info.bytes);
    out.extend_from_slice(&[0; 16]);
    for (number, block) in samples.chunks(BLOCK).enumerate() {
        out.extend(frame(number as u64, block));
    }
    out
}

fn frame(number: u64, block: &[i16]) -> Vec<u8> {
    let mut bits = Bits::default();
    // Sync code, fixed block size; size of 16 bits at the end of the header, rate and depth from the stream.
    bits.put(0b1111_1111_1111_1000, 16);
    bits.put(0b0111_0000, 8);
    bits.put(0, 8);
    utf8_like(number, &mut bits);
    bits.put(block.len() as u64 - 1, 16);
    let crc = crc8(&bits.bytes);
    bits.put(u64::from(crc), 8);
    subframe(block, &mut bits);
    bits.align();
    let crc = crc16(&bits.bytes);
    bits.put(u64::from(crc), 16);
    bits.bytes
}

/// The second-order fixed predictor, one Rice partition.
fn subframe(block: &[i16], bits: &mut Bits) {
    let order = 2.min(block.len());
    bits.put(0b0001_0000 | (order as u64) << 1, 8);
    for sample in &block[..order] {
        bits.put(u64::from(sample.cast_unsigned()), 16);
    }
    let at = |i: usize| i32::from(block[i]);
    let residual = |i: usize| at(i) - 2 * at(i - 1) + at(i - 2);
    let folded: Vec<u32> =
        (order..block.len()).map(residual).map(|r| ((r << 1) ^ (r >> 31)).cast_unsigned()).collect();
    let mean = folded.iter().map(|&value| u64::from(value)).sum::<u64>() / (folded.len().max(1) as u64);
    let rice = (u64::BITS - mean.leading_zeros()).saturating_sub(1).min(14);
    bits.put(0, 6);
    bits.put(u64::from(rice), 4);
    for value in folded {
        let value = u64::from(value);
        for _ in 0..value >> rice {
            bits.put(0, 1);
        }
        bits.put(1, 1);
        bits.put(value & ((1 << rice) - 1), rice);
    }
}

fn utf8_like(number: u64, bits: &mut Bits) {
    match number {
        0..0x80 => bits.put(number, 8),
        0x80..0x800 => {
            bits.put(0b1100_0000 | number >> 6, 8);
            bits.put(0b1000_0000 | number & 0x3f, 8);
        }
        _ => {
            bits.put(0b1110_0000 | (number >> 12) & 0xf, 8);
            bits.put(0b1000_0000 | number >> 6 & 0x3f, 8);
            bits.put(0b1000_0000 | number & 0x3f, 8);
        }
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u64, width: u32) {
        for bit in (0..width).rev() {
            self.pending = self.pending << 1 | (value >> bit & 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.pending as u8);
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    fn align(&mut self) {
        while self.count != 0 {
            self.put(0, 1);
        }
    }
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc: u8, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| if crc & 0x8000 != 0 { crc << 1 ^ 0x8005 } else { crc << 1 },
        )
    })
}
