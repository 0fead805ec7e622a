//! Decoders of packets: the library's, and that of Opus.

use opus_pure::OpusDecoder;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;

use super::hearing::Hearing;
use super::{Fail, unreadable};

/// Decodes the packets of one track.
pub(super) enum Decoder {
    /// By the library; with the rate of the track.
    Library(Box<dyn AudioDecoder>, u32),
    /// Opus.
    Opus(Box<Opus>),
}

/// A decoder of Opus, with room for what it gives.
pub(super) struct Opus {
    decoder: OpusDecoder,
    channels: usize,
    /// Samples at the beginning that are none of the audio.
    skip: u64,
    samples: Vec<f32>,
}

/// The rate that Opus is decoded at.
const OPUS_RATE: u32 = 48_000;
/// Samples of each channel that a packet of Opus has at most: 120 ms.
const OPUS_MOST: usize = 5760;

impl Decoder {
    pub(super) fn new(params: &AudioCodecParameters) -> Result<Self, Fail> {
        if params.codec == CODEC_ID_OPUS {
            return Opus::new(params).map(|opus| Self::Opus(Box::new(opus)));
        }
        let made =
            symphonia::default::get_codecs().make_audio_decoder(params, &AudioDecoderOptions::default());
        Ok(Self::Library(made.map_err(|error| unreadable(&error))?, params.sample_rate.unwrap_or(0)))
    }

    /// Decodes a packet, and listens to it.
    pub(super) fn decode(&mut self, packet: &Packet, hearing: &mut Hearing) -> Result<(), Fail> {
        match self {
            Self::Library(decoder, rate) => match decoder.decode(packet) {
                Ok(buffer) => hearing.hear_buffer(&buffer),
                Err(Error::Unsupported(why)) if hearing.is_empty() => {
                    return Err(Fail::Unsupported(why.to_owned()));
                }
                // Also where it is the bits of one packet that end too soon.
                Err(Error::DecodeError(_) | Error::IoError(_) | Error::Unsupported(_)) => {
                    hearing.miss(packet.dur.get().min(LONGEST_PACKET), *rate);
                }
                Err(error) => return Err(unreadable(&error)),
            },
            Self::Opus(opus) => opus.decode(packet, hearing),
        }
        Ok(())
    }
}

/// Samples of each channel that a packet is taken for at most: its container may say anything.
const LONGEST_PACKET: u64 = 65_536;

impl Opus {
    /// By the head that its containers keep (RFC 7845, 5.1); its numbers are little-endian in all but MP4.
    fn new(params: &AudioCodecParameters) -> Result<Self, Fail> {
        let head = params.extra_data.as_deref().unwrap_or_default();
        let head = head.strip_prefix(b"OpusHead").unwrap_or(head);
        let channels = match (head.get(1), &params.channels) {
            (Some(channels), _) => usize::from(*channels),
            (None, Some(channels)) => channels.count(),
            (None, None) => 2,
        };
        let pair = [head.get(2).copied().unwrap_or(0), head.get(3).copied().unwrap_or(0)];
        let skip = if head.first() == Some(&0) { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        // More than two channels are several streams in one.
        let decoder = OpusDecoder::new(OPUS_RATE.cast_signed(), channels);
        let decoder = decoder.map_err(|error| Fail::Unsupported(format!("opus: {error}")))?;
        let samples = vec![0.0; OPUS_MOST * channels];
        Ok(Self { decoder, channels, skip: u64::from(skip), samples })
    }

    fn decode(&mut self, packet: &Packet, hearing: &mut Hearing) {
        if packet.data.is_empty() {
            return;
        }
        let decoded = self.decoder.decode(&packet.data, OPUS_MOST, &mut self.samples);
        let Ok(frames) = decoded else {
            hearing.miss(packet.dur.get().min(OPUS_MOST as u64), OPUS_RATE);
            return;
        };
        let end = frames.saturating_sub(packet.trim_end.get().min(OPUS_MOST as u64) as usize);
        let skipped = (self.skip as usize).min(end);
        self.skip -= skipped as u64;
        hearing.hear(&self.samples[skipped * self.channels..end * self.channels], self.channels, OPUS_RATE);
    }
}
