//! Audio that is cut, altered or none at all: nothing of it is taken for whole, and nothing breaks the decoders.

use songmill_worker_deliver::{End, NotAudio, Probed, probe};

/// Three seconds of music, as vendors give it.
fn song(format: &str) -> Vec<u8> {
    songmill_simulator::audio(&format!("00000000000000aa-3000.{format}")).unwrap()
}

fn probed(bytes: &[u8]) -> Result<Probed, NotAudio> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    probe(file.path(), None)
}

const FORMATS: [&str; 3] = ["mp3", "wav", "flac"];

#[test]
fn whole_audio_is_whole() {
    for format in FORMATS {
        let found = probed(&song(format)).unwrap();
        assert_eq!((found.format, found.end), (format, End::Whole));
        assert!((2900..3100).contains(&found.duration_ms), "{format}: {}", found.duration_ms);
        assert!(found.sound.silent < 0.2 && found.sound.damaged == 0.0, "{format}: {:?}", found.sound);
    }
    // Tags and padding behind an mp3 are none of its audio.
    for tail in [&[b"TAG".as_slice(), &[0; 125]].concat(), &vec![0; 4096]] {
        assert_eq!(probed(&[song("mp3"), tail.clone()].concat()).unwrap().end, End::Whole);
    }
}

#[test]
fn audio_that_is_cut_anywhere_is_seen_to_be() {
    for format in FORMATS {
        let whole = song(format);
        for part in 1..100 {
            let cut = &whole[..whole.len() * part / 100 - 1];
            if let Ok(found) = probed(cut) {
                assert!(found.end != End::Whole, "{format} cut at {part} % plays {} ms", found.duration_ms);
            }
        }
    }
}

#[test]
fn a_wav_that_was_written_to_a_pipe_does_not_know_its_length() {
    let (whole, open, none, header) = (None, Some([0xff; 4]), Some([0; 4]), Some([36, 0, 0, 0]));
    for (riff, data) in [(open, open), (none, none), (none, open), (none, whole), (header, none)] {
        let mut wav = song("wav");
        assert_eq!(&wav[36..40], b"data");
        wav[4..8].copy_from_slice(&riff.unwrap());
        if let Some(data) = data {
            wav[40..44].copy_from_slice(&data);
        }
        let found = probed(&wav).unwrap();
        assert_eq!(found.end, End::Whole);
        assert!((2900..3100).contains(&found.duration_ms), "{riff:?} {data:?}: {}", found.duration_ms);
    }
    let mut empty = song("wav")[..44].to_vec();
    empty[40..44].fill(0);
    assert!(probed(&empty).is_err());
}

#[test]
fn altered_audio_breaks_nothing() {
    let mut dice = 88_172_645_463_325_252u64;
    let mut roll = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from(dice % sides as u64).unwrap()
    };
    for format in FORMATS {
        let whole = song(format);
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..1 + roll(200) {
                // Headers more often than what follows.
                let most = if roll(2) == 0 { 200 } else { bytes.len() };
                let at = roll(most);
                bytes[at] = u8::try_from(roll(256)).unwrap();
            }
            if let Ok(found) = probed(&bytes) {
                assert!(!found.checked || found.duration_ms > 0);
            }
        }
        // Another file's audio behind this one's header.
        let _ = probed(&[&whole[..whole.len() / 2], &song("flac")[..]].concat());
        let _ = probed(&[&whole[..64], &vec![0x55; 100_000][..]].concat());
    }
}

#[test]
fn a_small_file_that_stands_for_days_of_silence_is_not_listened_to_for_long() {
    // A wav header may promise what it likes; of flac, a few bytes stand for 65,535 silent samples.
    let mut flac = b"fLaC\x80\0\0\x22".to_vec();
    flac.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0]);
    // 8 kHz, one channel, 16 bits, length not known; no checksum.
    flac.extend([0x01, 0xf4, 0x00, 0xf0, 0, 0, 0, 0]);
    flac.extend([0; 16]);
    for number in 0..2000u32 {
        let begun = flac.len();
        // A block of 65,535 samples (said behind the number), 8 kHz, mono, 16 bits, then the frame's number.
        flac.extend([0xff, 0xf8, 0x74, 0x08]);
        match number {
            0..128 => flac.push(number as u8),
            128..2048 => flac.extend([0xc0 | (number >> 6) as u8, 0x80 | (number & 0x3f) as u8]),
            _ => unreachable!(),
        }
        flac.extend([0xff, 0xfe]);
        flac.push(crc8(&flac[begun..]));
        // A constant subframe: one sample for all.
        flac.extend([0x00, 0x00, 0x00]);
        let sum = crc16(&flac[begun..]);
        flac.extend(sum.to_be_bytes());
    }
    assert!(flac.len() < 40_000);
    // It is paid for all the same.
    let found = probed(&flac).unwrap();
    assert_eq!((found.format, found.duration_ms, found.checked), ("flac", 0, false));
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum, _| if sum & 0x80 == 0 { sum << 1 } else { sum << 1 ^ 0x07 })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(
            sum ^ u16::from(*byte) << 8,
            |sum, _| {
                if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x8005 }
            },
        )
    })
}
