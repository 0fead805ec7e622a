//! Conversion to another format, and to an even loudness, by ffmpeg. Off unless it is set.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use songmill_core::time::Span;
use tempfile::TempPath;
use tokio::process::Command;

use crate::incoming::beside;
use crate::probe::{Probed, probe};

/// What becomes of audio before it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Convert {
    /// The format that all audio is converted to; none keeps what the vendor gave.
    #[serde(with = "none_is_empty")]
    pub format: Option<Target>,
    /// The rate of a lossy format, as ffmpeg takes it.
    pub bitrate: String,
    /// The loudness that all audio is brought to, in LUFS (such as -14); 0 leaves it.
    pub loudness: f32,
    /// The program.
    pub program: String,
    /// How long one file may take.
    pub timeout: Span,
}

/// A format that audio can be converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// MPEG-1 layer III.
    Mp3,
    /// Lossless.
    Flac,
    /// Opus in Ogg.
    Opus,
}

mod none_is_empty {
    use serde::de::IntoDeserializer as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Target;

    pub(super) fn serialize<S: Serializer>(format: &Option<Target>, to: S) -> Result<S::Ok, S::Error> {
        match format {
            Some(format) => format.serialize(to),
            None => to.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Target>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(None);
        }
        Target::deserialize(text.into_deserializer()).map(Some)
    }
}

impl Default for Convert {
    fn default() -> Self {
        Self {
            format: None,
            bitrate: "192k".into(),
            loudness: 0.0,
            program: "ffmpeg".into(),
            timeout: Span::secs(300),
        }
    }
}

/// The loudest that a sample may become, in dB; and how much louder than the mean loud passages may be.
const PEAK: &str = "TP=-1:LRA=11";
/// The longest that is written.
const LONGEST: &str = "3600";

impl Convert {
    /// Whether anything is done.
    pub(crate) fn is_on(&self) -> bool {
        self.format.is_some() || self.loudness != 0.0
    }

    /// Whether the program is there.
    pub(crate) async fn check(&self) -> std::io::Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let asked = Command::new(&self.program).arg("-version").stdin(Stdio::null()).output().await?;
        if asked.status.success() { Ok(()) } else { Err(std::io::Error::other(asked.status.to_string())) }
    }

    /// Converts a file; a new one beside it, and its format.
    pub(crate) async fn convert(
        &self,
        file: &Path,
        probed: &Probed,
    ) -> Result<(TempPath, &'static str), NotConverted> {
        let to = beside(file)?.into_temp_path();
        let (format, codec, container) = match (self.format, probed.format) {
            (Some(Target::Mp3), _) | (None, "mp3") => ("mp3", "libmp3lame", "mp3"),
            (Some(Target::Flac), _) | (None, "flac") => ("flac", "flac", "flac"),
            (Some(Target::Opus), _) => ("opus", "libopus", "ogg"),
            (None, _) => ("wav", "pcm_s16le", "wav"),
        };
        let mut command = Command::new(&self.program);
        command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file"]);
        // A file that is no audio reaches nothing else: neither networks nor other files.
        command.args(["-f", demuxer(probed.format)]).arg("-i").arg(file);
        command.args(["-map", "0:a:0", "-vn", "-map_metadata", "-1", "-t", LONGEST]);
        if self.loudness != 0.0 {
            command.arg("-af").arg(format!("loudnorm=I={}:{PEAK}", self.loudness));
        }
        // Loudness is worked on at a higher rate.
        match format {
            "opus" => {}
            _ if probed.sound.rate == 0 => {}
            "mp3" => drop(command.args(["-ar", &probed.sound.rate.min(MP3_RATE).to_string()])),
            _ => drop(command.args(["-ar", &probed.sound.rate.to_string()])),
        }
        command.args(["-c:a", codec]);
        if matches!(format, "mp3" | "opus") {
            command.args(["-b:a", &self.bitrate]);
        }
        command.args(["-f", container, "-y"]).arg(&to);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let most: Duration = self.timeout.get();
        let ended =
            tokio::time::timeout(most, command.output()).await.map_err(|_| NotConverted::Late(most))??;
        if !ended.status.success() {
            let words = String::from_utf8_lossy(&ended.stderr);
            let words = words.lines().last().unwrap_or_default().chars().take(200).collect();
            return Err(NotConverted::Failed(ended.status, words));
        }
        let (made, whole) = (to.to_path_buf(), probed.duration_ms);
        let found =
            tokio::task::spawn_blocking(move || probe(&made, None)).await.map_err(std::io::Error::other)?;
        let found = found.map_err(|not| NotConverted::Other(not.to_string()))?;
        if probed.checked && found.duration_ms.abs_diff(whole) > LENGTHS_DIFFER_MS {
            return Err(NotConverted::Other(format!(
                "it plays for {} ms, not for {whole}",
                found.duration_ms
            )));
        }
        Ok((to, format))
    }
}

/// What ffmpeg calls the container of such files.
fn demuxer(format: &'static str) -> &'static str {
    match format {
        "m4a" | "mp4" | "3gp" => "mov",
        "mka" | "mkv" | "webm" => "matroska",
        "opus" | "spx" | "ogv" => "ogg",
        "wma" => "asf",
        "latm" => "loas",
        "mp1" | "mp2" => "mp3",
        "mpg" => "mpeg",
        "ts" => "mpegts",
        format => format,
    }
}

/// The highest rate that an mp3 can have.
const MP3_RATE: u32 = 48_000;
/// By how much lengths may differ: encoders fill up their last frames.
const LENGTHS_DIFFER_MS: u64 = 500;

/// Why a file is not converted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConverted {
    /// It takes too long.
    #[error("not done after {} s", .0.as_secs())]
    Late(Duration),
    /// The program refuses it.
    #[error("{0}: {1}")]
    Failed(std::process::ExitStatus, String),
    /// What was made is not the same audio.
    #[error("the result is not the same audio: {0}")]
    Other(String),
    /// Files or programs cannot be had.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
