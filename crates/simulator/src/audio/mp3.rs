//! MPEG-1 layer III, one channel.

use shine_rs::{Mp3Encoder, Mp3EncoderConfig, StereoMode};

const KBIT: u32 = 96;

/// # Panics
/// When the encoder refuses a rate it is documented to take.
pub(super) fn write(samples: &[i16], rate: u32) -> Vec<u8> {
    let config =
        Mp3EncoderConfig::new().sample_rate(rate).bitrate(KBIT).channels(1).stereo_mode(StereoMode::Mono);
    let mut encoder = Mp3Encoder::new(config).expect("44.1 kHz, mono and 96 kbit are of MPEG-1");
    let frames = encoder.encode_interleaved(samples).expect("16-bit samples can be encoded");
    let mut out = frames.concat();
    out.extend(encoder.finish().expect("what was begun can be ended"));
    out
}
