//! What keys and file names say of an output.

/// What an output is, as far as its name tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A song, or a part of one.
    Audio,
    /// Something else: a picture, a score, words.
    Other,
    /// Its name does not tell.
    #[default]
    Unknown,
}

impl Kind {
    pub(super) const fn may_be_audio(self) -> bool {
        match self {
            Self::Audio | Self::Unknown => true,
            Self::Other => false,
        }
    }
}

/// Keys under which one song's addresses stand, the best first: of several in one object the first is the song.
const ONE_SONG: [&str; 34] = [
    "generated_audio",
    "audio_url",
    "audio",
    "song_url",
    "song",
    "music_url",
    "music",
    "download_url",
    "url",
    "uri",
    "href",
    "file_url",
    "file",
    "link",
    "src",
    "wav_url",
    "wav",
    "flac_url",
    "flac",
    "mp3_url",
    "mp3",
    "audio_file",
    "audio_path",
    "audio_link",
    "output_audio",
    "output_url",
    "result_url",
    "track_url",
    "play_url",
    "media_url",
    "source_audio_url",
    "stream_audio_url",
    "source_stream_audio_url",
    "stream_url",
];

/// Parts of a song, by words in their keys.
const PARTS: [(&str, &str); 11] = [
    ("vocals", "vocal"),
    ("vocal", "vocal"),
    ("voice", "vocal"),
    ("acapella", "vocal"),
    ("bgm", "bgm"),
    ("instrumental", "bgm"),
    ("accompaniment", "bgm"),
    ("karaoke", "bgm"),
    ("drums", "drums"),
    ("bass", "bass"),
    ("stem", "stem"),
];

/// Words in keys of what is no audio.
const OTHER: [&str; 28] = [
    "image",
    "picture",
    "photo",
    "cover",
    "thumbnail",
    "thumb",
    "poster",
    "avatar",
    "icon",
    "spectrogram",
    "waveform",
    "chart",
    "midi",
    "score",
    "sheet",
    "lyric",
    "lyrics",
    "caption",
    "subtitle",
    "transcript",
    "text",
    "json",
    "log",
    "webhook",
    "callback",
    "page",
    "video",
    "metadata",
];

/// Words in keys of audio.
const AUDIO: [&str; 16] = [
    "audio",
    "song",
    "songs",
    "music",
    "track",
    "tracks",
    "sound",
    "mp3",
    "wav",
    "flac",
    "ogg",
    "m4a",
    "clip",
    "clips",
    "stream",
    "recording",
];

/// Keys that say nothing of a song though they may hold addresses.
const CONTROL: [&str; 8] = ["id", "task_id", "status", "model", "version", "prompt", "error", "message"];

const AUDIO_ENDINGS: [&str; 24] = [
    "mp3", "mp2", "mpga", "wav", "wave", "flac", "ogg", "oga", "opus", "m4a", "m4b", "aac", "aif", "aiff",
    "aifc", "caf", "wma", "weba", "mka", "amr", "au", "w64", "rf64", "alac",
];

const OTHER_ENDINGS: [&str; 30] = [
    "png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "bmp", "tif", "tiff", "ico", "mid", "midi", "json",
    "txt", "pdf", "zip", "gz", "tar", "srt", "lrc", "vtt", "xml", "musicxml", "mxl", "html", "htm", "csv",
    "md", "yaml",
];

/// Where a key stands among those of one song; none for others.
pub(super) fn rank(key: &str) -> Option<usize> {
    let key = snake(key);
    ONE_SONG.iter().position(|known| *known == key)
}

/// What a key says of what stands under it, given what those above say; and which part of a song it names.
pub(super) fn kind_of_key(key: &str, above: Kind) -> (Kind, Option<&'static str>) {
    let key = snake(key);
    let words = || key.split(['_', '-', '.', ' ']);
    let part = words().find_map(|word| PARTS.iter().find(|(name, _)| *name == word)).map(|(_, part)| *part);
    let kind = if words().any(|word| OTHER.contains(&word)) || CONTROL.contains(&&*key) {
        Kind::Other
    } else if part.is_some() || words().any(|word| AUDIO.contains(&word)) {
        Kind::Audio
    } else {
        above
    };
    (kind, part.filter(|_| kind == Kind::Audio))
}

/// What the ending of an address's path says; without one it is what its key says.
pub(super) fn kind_of_path(url: &str, by_key: Kind) -> Kind {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some(ending) if AUDIO_ENDINGS.contains(&ending) => Kind::Audio,
        Some(ending) if OTHER_ENDINGS.contains(&ending) => Kind::Other,
        _ => by_key,
    }
}

/// A key in `snake_case`, whatever its own form.
fn snake(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    let mut was_lower = false;
    for c in key.trim().chars() {
        if c.is_ascii_uppercase() && was_lower {
            snake.push('_');
        }
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
