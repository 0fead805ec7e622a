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
const PARTS: [(&str, &str); 19] = [
    ("vocals", "vocal"),
    ("vocal", "vocal"),
    ("voice", "vocal"),
    ("acapella", "vocal"),
    ("acappella", "vocal"),
    ("bgm", "bgm"),
    ("instrumental", "bgm"),
    ("instrumentals", "bgm"),
    ("accompaniment", "bgm"),
    ("karaoke", "bgm"),
    ("backing", "bgm"),
    ("drum", "drums"),
    ("drums", "drums"),
    ("percussion", "drums"),
    ("bass", "bass"),
    ("guitar", "guitar"),
    ("piano", "piano"),
    ("stem", "stem"),
    ("stems", "stem"),
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
const AUDIO: [&str; 13] = [
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
    "recording",
];

/// The same, where no other word of the key tells: a stream may be one of pictures.
const WEAK_AUDIO: [&str; 3] = ["clip", "clips", "stream"];

/// Words with which keys begin under which an answer repeats what was requested: audio there is no output.
const REPEATED: [&str; 8] =
    ["input", "inputs", "request", "prompt", "reference", "ref", "params", "parameters"];

/// Keys of one song's addresses that may be a page about it, unless their ending says that they are audio.
const PAGES: [&str; 11] = [
    "song_url",
    "song",
    "music_url",
    "music",
    "download_url",
    "url",
    "uri",
    "href",
    "link",
    "track_url",
    "play_url",
];

/// Keys that say nothing of a song though they may hold addresses.
const CONTROL: [&str; 8] = ["id", "task_id", "status", "model", "version", "prompt", "error", "message"];

const AUDIO_ENDINGS: [&str; 24] = [
    "mp3", "mp2", "mpga", "wav", "wave", "flac", "ogg", "oga", "opus", "m4a", "m4b", "aac", "aif", "aiff",
    "aifc", "caf", "wma", "weba", "mka", "amr", "au", "w64", "rf64", "alac",
];

const OTHER_ENDINGS: [&str; 47] = [
    "png",
    "jpg",
    "jpeg",
    "gif",
    "webp",
    "avif",
    "svg",
    "bmp",
    "tif",
    "tiff",
    "ico",
    "heic",
    "mid",
    "midi",
    "json",
    "txt",
    "pdf",
    "zip",
    "gz",
    "tar",
    "srt",
    "lrc",
    "vtt",
    "xml",
    "musicxml",
    "mxl",
    "html",
    "htm",
    "csv",
    "md",
    "yaml",
    "yml",
    "toml",
    "log",
    "tsv",
    "npy",
    "npz",
    "pt",
    "pth",
    "pkl",
    "safetensors",
    "ckpt",
    "m3u8",
    "m3u",
    "pls",
    "mpd",
    "ass",
];

/// Where a key stands among those of one song; none for others.
pub(super) fn rank(key: &str) -> Option<usize> {
    let key = snake(key);
    ONE_SONG.iter().position(|known| *known == key)
}

/// Whether a key of one song's addresses may stand for a page about it.
pub(super) fn may_be_page(key: &str) -> bool {
    PAGES.contains(&&*snake(key))
}

/// Whether what a stream is addressed by stands under a key: it may be what there is until the song is whole.
pub(super) fn is_stream(key: &str) -> bool {
    snake(key).contains("stream")
}

/// Whether an answer repeats under a key what was requested.
pub(super) fn is_repeated(key: &str) -> bool {
    snake(key).split(SEPARATORS).next().is_some_and(|word| REPEATED.contains(&word))
}

/// Whether a key says that audio is addressed under it, and not only named or described.
pub(super) fn is_address_of_audio(key: &str) -> bool {
    const DESCRIBES: [&str; 8] = ["name", "filename", "path", "format", "type", "codec", "title", "id"];
    let is_audio = kind_of_key(key, Kind::Unknown).0 == Kind::Audio;
    is_audio && !snake(key).split(SEPARATORS).any(|word| DESCRIBES.contains(&word))
}

const SEPARATORS: [char; 4] = ['_', '-', '.', ' '];

/// What a key says of what stands under it, given what those above say; and which part of a song it names. Of several
/// words the last decides: `cover_audio` is audio, and `audio_cover` a picture.
pub(super) fn kind_of_key(key: &str, above: Kind) -> (Kind, Option<&'static str>) {
    let key = snake(key);
    let words = || key.split(SEPARATORS);
    let part = words().find_map(|word| PARTS.iter().find(|(name, _)| *name == word)).map(|(_, part)| *part);
    let is_without = words().any(|word| matches!(word, "no" | "without" | "minus" | "off"));
    let part = if is_without && part == Some("vocal") { Some("bgm") } else { part };
    let kind_of_word = |word: &str| match word {
        _ if OTHER.contains(&word) => Some(Kind::Other),
        _ if AUDIO.contains(&word) || PARTS.iter().any(|(name, _)| *name == word) => Some(Kind::Audio),
        _ => None,
    };
    let kind = if CONTROL.contains(&&*key) {
        Kind::Other
    } else if let Some(kind) = words().filter_map(kind_of_word).next_back() {
        kind
    } else if words().any(|word| WEAK_AUDIO.contains(&word)) {
        Kind::Audio
    } else {
        above
    };
    (kind, part.filter(|_| kind == Kind::Audio))
}

/// The part that a key names which says nothing by itself, beside keys that name parts.
pub(super) fn other_part(key: &str) -> Option<&'static str> {
    matches!(&*snake(key), "other" | "others" | "rest").then_some("other")
}

/// What the ending of an address's path says; without one it is what its key says.
pub(super) fn kind_of_path(url: &str, by_key: Kind) -> Kind {
    let ending = split_ending(url).map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some(ending) if AUDIO_ENDINGS.contains(&ending) => Kind::Audio,
        Some(ending) if OTHER_ENDINGS.contains(&ending) => Kind::Other,
        _ => by_key,
    }
}

/// An address without its query and the ending of its file, and that ending.
pub(super) fn split_ending(url: &str) -> Option<(&str, &str)> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit_once('.').filter(|(_, ending)| !ending.contains('/'))
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
