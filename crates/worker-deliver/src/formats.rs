//! The kinds of files that are stored: their extensions and their content types.

/// Each format by the extension of its files, with its content type.
pub(crate) const FORMATS: [(&str, &str); 44] = [
    ("3gp", "video/3gpp"),
    ("8svx", "audio/x-8svx"),
    ("aac", "audio/aac"),
    ("ac3", "audio/ac3"),
    ("aiff", "audio/aiff"),
    ("amr", "audio/amr"),
    ("ape", "audio/x-ape"),
    ("au", "audio/basic"),
    ("avi", "video/x-msvideo"),
    ("caf", "audio/x-caf"),
    ("dff", "audio/x-dff"),
    ("dsf", "audio/x-dsf"),
    ("dts", "audio/vnd.dts"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("latm", "audio/x-latm"),
    ("m4a", "audio/mp4"),
    ("mka", "audio/x-matroska"),
    ("mkv", "video/x-matroska"),
    ("mp1", "audio/mpeg"),
    ("mp2", "audio/mpeg"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpc", "audio/x-musepack"),
    ("mpg", "video/mpeg"),
    ("ofr", "audio/x-ofr"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("qoa", "audio/x-qoa"),
    ("ra", "audio/vnd.rn-realaudio"),
    ("rm", "audio/x-pn-realaudio"),
    ("shn", "audio/x-shn"),
    ("sph", "audio/x-nist"),
    ("spx", "audio/ogg"),
    ("tak", "audio/x-tak"),
    ("ts", "video/mp2t"),
    ("tta", "audio/x-tta"),
    ("voc", "audio/x-voc"),
    ("w64", "audio/x-w64"),
    ("wav", "audio/wav"),
    ("webm", "audio/webm"),
    ("wma", "audio/x-ms-wma"),
    ("wv", "audio/x-wavpack"),
];

/// The content type of a file in storage, by its name.
pub fn content_type(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = FORMATS.iter().find(|(known, _)| *known == extension);
    known.map_or(
        if extension == "json" { "application/json" } else { "application/octet-stream" },
        |(_, kind)| *kind,
    )
}

/// Whether a file in storage is audio, by its name.
pub fn is_audio(path: &str) -> bool {
    let kind = content_type(path);
    kind.starts_with("audio/") || kind.starts_with("video/")
}

/// All content types of audio in storage, each once.
pub fn audio_types() -> impl Iterator<Item = &'static str> {
    let new = |n: &usize| FORMATS[..*n].iter().all(|(_, kind)| *kind != FORMATS[*n].1);
    (0..FORMATS.len()).filter(new).map(|n| FORMATS[n].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_told_from_what_stands_beside_it() {
        for (path, kind, audio) in [
            ("a/b.mp3", "audio/mpeg", true),
            ("a/b.opus", "audio/ogg", true),
            ("a/b.mp4", "video/mp4", true),
            ("a/b.mp3.json", "application/json", false),
            ("a/b", "application/octet-stream", false),
        ] {
            assert_eq!((content_type(path), is_audio(path)), (kind, audio), "{path}");
        }
        assert_eq!(audio_types().filter(|kind| *kind == "audio/mpeg").count(), 1);
    }
}
