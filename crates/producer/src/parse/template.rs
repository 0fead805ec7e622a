//! A table to begin with.

/// The columns that most people need, and what they may hold.
const ROWS: [[&str; 8]; 3] = [
    ["custom_id", "title", "vendor", "prompt", "style", "lyrics", "duration_s", "count"],
    ["song-1", "Paper boats", "replicate", "calm piano, soft rain", "", "", "30", "1"],
    [
        "song-2",
        "纸船",
        "senseaudio",
        "温暖的民谣，木吉他",
        "folk, female vocal",
        "[verse]\n我把旧信折成纸船\n放进春天的河\n[chorus]\n慢慢漂 慢慢漂",
        "",
        "",
    ],
];

/// A table of two songs, as UTF-8 with the mark that spreadsheets need to know it by.
pub fn template() -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in ROWS {
        csv.write_record(row).expect("nothing fails in memory");
    }
    let bytes = csv.into_inner().expect("nothing fails in memory");
    format!("\u{feff}{}", String::from_utf8(bytes).expect("it is made of texts"))
}
