//! Tables byte by byte as programs write them: the good row is read, the bad one is named.

use encoding_rs::{BIG5, Encoding, GBK, MACINTOSH, SHIFT_JIS, UTF_8, WINDOWS_1252};
use rust_xlsxwriter::{Format as CellFormat, Workbook};

use super::*;

/// The same table in German and in Chinese: a title with what has to be quoted, two lines of lyrics, a length with a
/// fraction; and a second song whose length is none.
struct Songs {
    header: [&'static str; 5],
    title: &'static str,
    lyrics: &'static str,
}

const GERMAN: Songs = Songs {
    header: ["Title", "Lyrics", "Prompt", "Duration (s)", "Vendor"],
    title: "Übers Meer; \"Ahoi\"",
    lyrics: "Wir fahren weit hinaus,\nüber Wellen nach Haus",
};
const CHINESE: Songs = Songs {
    header: ["标题", "歌词", "提示词", "时长", "供应商"],
    title: "旧信, \"春天\"",
    lyrics: "我把旧信折成纸船,\n放进春天的河里",
};
const ENGLISH: Songs = Songs {
    header: ["title", "lyrics", "prompt", "duration_s", "vendor"],
    title: "Over the Sea, \"Ahoy\"",
    lyrics: "We sail far out,\nover waves and home",
};

/// How a program writes text.
struct Program {
    delimiter: &'static str,
    row_end: &'static str,
    /// Line ends within a cell.
    line_end: &'static str,
    /// Whether every cell stands in quotes, or only what needs them.
    quotes_all: bool,
    before: &'static str,
}

const EXCEL: Program =
    Program { delimiter: ";", row_end: "\r\n", line_end: "\n", quotes_all: false, before: "" };

impl Program {
    fn cell(&self, text: &str) -> String {
        let text = text.replace('\n', self.line_end);
        let needs = text.contains(['"', '\n', '\r']) || text.contains(self.delimiter);
        if needs || self.quotes_all { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    }

    fn table(&self, rows: &[Vec<&str>]) -> String {
        let row = |cells: &Vec<&str>| {
            let cells: Vec<_> = cells.iter().map(|cell| self.cell(cell)).collect();
            format!("{}{}", cells.join(self.delimiter), self.row_end)
        };
        format!("{}{}", self.before, rows.iter().map(row).collect::<String>())
    }
}

impl Songs {
    fn rows(&self, length: &'static str) -> Vec<Vec<&'static str>> {
        vec![
            self.header.to_vec(),
            vec![self.title, self.lyrics, "calm", length, "tencent"],
            vec!["b", "", "jazz", "lang", "tencent"],
        ]
    }
}

/// Reads a table of those: one good row, one bad.
fn check(name: &str, songs: &Songs, bytes: &[u8], options: Options, seconds: u32) {
    let (rows, about) = rows_with(bytes, options);
    let rows: Vec<_> =
        rows.into_iter().map(|row| row.unwrap_or_else(|error| panic!("{name}: {error}"))).collect();
    assert_eq!(rows.len(), 2, "{name}: {rows:?}");
    let (song, _) = rows[0].read.as_ref().unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    assert_eq!(song.title.as_deref(), Some(songs.title), "{name}");
    let lyrics = song.lyrics.as_deref().unwrap_or_default().replace("\r\n", "\n").replace('\r', "\n");
    assert_eq!(lyrics, songs.lyrics, "{name}");
    assert_eq!(song.duration_s, Some(seconds), "{name}");
    let wrong = rows[1].read.as_ref().unwrap_err();
    assert_eq!(wrong.problems[0].field, "duration_s", "{name}: {wrong}");
    assert_eq!((rows[1].number, rows[1].title.as_deref()), (3, Some("b")), "{name}");
    assert!(about.notes.iter().all(|note| note.starts_with("read as")), "{name}: {:?}", about.notes);
}

fn bytes(text: &str, encoding: &'static Encoding) -> Vec<u8> {
    let (bytes, _, unmappable) = encoding.encode(text);
    assert!(!unmappable);
    bytes.into_owned()
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    let unit = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
    format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect()
}

#[test]
fn tables_of_every_program_are_read() {
    let comma = Program { delimiter: ",", ..EXCEL };
    let tab = Program { delimiter: "\t", ..EXCEL };
    let lf = Program { row_end: "\n", ..comma };
    let all = Program { quotes_all: true, ..lf };
    let named = |encoding: &str| Options { encoding: Some(encoding.to_owned()), ..Options::default() };
    let told = Options::default;
    let utf8 = UTF_8;
    let de = |program: &Program| program.table(&GERMAN.rows("30,4"));
    let zh = |program: &Program| program.table(&CHINESE.rows("30.4"));
    let en = |program: &Program| program.table(&ENGLISH.rows("0:30"));
    let marked = |text: String| format!("\u{feff}{text}");
    let mut tried = 0;
    #[rustfmt::skip]
    let files: Vec<(&str, &Songs, Vec<u8>, Options)> = vec![
        ("Excel, German: CSV", &GERMAN, bytes(&de(&EXCEL), WINDOWS_1252), told()),
        ("Excel, German: CSV UTF-8", &GERMAN, bytes(&marked(de(&EXCEL)), utf8), told()),
        ("Excel, German: text with tabs", &GERMAN, bytes(&de(&tab), WINDOWS_1252), told()),
        ("Excel, German: Unicode text", &GERMAN, utf16(&de(&tab), true), told()),
        ("Excel for Mac, German: CSV (Macintosh)", &GERMAN, bytes(&de(&Program { row_end: "\r", line_end: "\n", ..EXCEL }), MACINTOSH), named("macintosh")),
        ("Excel, sep= line", &GERMAN, bytes(&de(&Program { before: "sep=;\r\n", ..EXCEL }), WINDOWS_1252), told()),
        ("Excel, English: CSV", &ENGLISH, bytes(&en(&comma), WINDOWS_1252), told()),
        ("Excel, English: CSV UTF-8", &ENGLISH, bytes(&marked(en(&comma)), utf8), told()),
        ("Excel, Chinese: CSV", &CHINESE, bytes(&zh(&comma), GBK), told()),
        ("Excel, Chinese: CSV UTF-8", &CHINESE, bytes(&marked(zh(&comma)), utf8), told()),
        ("Excel, Chinese: Unicode text", &CHINESE, utf16(&zh(&tab), true), told()),
        ("Excel, Chinese: text with tabs", &CHINESE, bytes(&zh(&tab), GBK), told()),
        ("WPS, Chinese: CSV", &CHINESE, bytes(&zh(&Program { line_end: "\r\n", ..comma }), GBK), told()),
        ("WPS, Chinese: CSV UTF-8", &CHINESE, bytes(&marked(zh(&Program { line_end: "\r\n", ..comma })), utf8), told()),
        ("Numbers: CSV UTF-8", &ENGLISH, bytes(&en(&Program { row_end: "\r\n", ..comma }), utf8), told()),
        ("Numbers, German: CSV UTF-8", &GERMAN, bytes(&de(&Program { row_end: "\r\n", ..EXCEL }), utf8), told()),
        ("Numbers: CSV UTF-16", &CHINESE, utf16(&zh(&comma), false), told()),
        ("Numbers: Windows Latin 1", &GERMAN, bytes(&de(&EXCEL), WINDOWS_1252), told()),
        ("LibreOffice: CSV", &GERMAN, bytes(&de(&Program { delimiter: ",", ..lf }), utf8), told()),
        ("LibreOffice: all texts quoted", &CHINESE, bytes(&zh(&all), utf8), told()),
        ("LibreOffice: semicolons", &CHINESE, bytes(&zh(&Program { delimiter: ";", ..lf }), utf8), told()),
        ("LibreOffice: tabs, UTF-16", &CHINESE, utf16(&zh(&Program { delimiter: "\t", ..lf }), true), told()),
        ("LibreOffice: GB18030", &CHINESE, bytes(&zh(&lf), encoding_rs::GB18030), told()),
        ("Google Sheets: CSV", &CHINESE, bytes(&zh(&Program { row_end: "\r\n", ..comma }), utf8), told()),
        ("Google Sheets: CSV without a last line end", &ENGLISH, bytes(en(&comma).trim_end(), utf8), told()),
        ("a database: pipes", &ENGLISH, bytes(&en(&Program { delimiter: "|", ..lf }), utf8), told()),
        ("R: everything quoted", &ENGLISH, bytes(&en(&all), utf8), told()),
        ("PowerShell: quoted, UTF-16", &GERMAN, utf16(&de(&Program { quotes_all: true, ..EXCEL }), true), told()),
        ("another script, named", &Songs { title: "舊信", lyrics: "我把舊信\n摺成紙船", ..ENGLISH }, bytes(&comma.table(&Songs { title: "舊信", lyrics: "我把舊信\n摺成紙船", ..ENGLISH }.rows("30")), BIG5), named("big5")),
        ("Japanese, named", &Songs { title: "手紙", lyrics: "古い手紙を\n舟にする", ..ENGLISH }, bytes(&comma.table(&Songs { title: "手紙", lyrics: "古い手紙を\n舟にする", ..ENGLISH }.rows("30")), SHIFT_JIS), named("shift_jis")),
    ];
    for (name, songs, bytes, options) in files {
        check(name, songs, &bytes, options, 30);
        tried += 1;
    }
    assert!(tried >= 30, "{tried}");
}

#[test]
fn workbooks_are_read_as_they_are_shown() {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (row, cells) in CHINESE.rows("").iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            sheet.write(row as u32, column as u16, *cell).unwrap();
        }
    }
    // Half past midnight, as it is shown: 0:30.
    let shown = CellFormat::new().set_num_format("h:mm");
    sheet.write_with_format(1, 3, 30.0 / 1440.0, &shown).unwrap();
    let bytes = workbook.save_to_buffer().unwrap();
    let (_, about) = rows_with(&bytes, Options::default());
    assert_eq!(about.notes, ["1 length shown as hours and minutes is read as minutes and seconds"]);
    let (rows, _) = rows_with(&bytes, Options::default());
    let rows: Vec<_> = rows.into_iter().map(Result::unwrap).collect();
    let song = &rows[0].read.as_ref().unwrap().0;
    assert_eq!((song.lyrics.as_deref(), song.duration_s), (Some(CHINESE.lyrics), Some(30)));
    assert_eq!(rows[1].read.as_ref().unwrap_err().problems[0].field, "duration_s");
}

/// A spreadsheet program itself writes what is read, where there is one.
#[test]
fn what_libreoffice_writes_is_read() {
    let has = |name: &str| std::process::Command::new(name).arg("--version").output().is_ok();
    let Some(office) = ["soffice", "libreoffice"].into_iter().find(|name| has(name)) else {
        eprintln!("LibreOffice is not installed: nothing is tried");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("songs.csv");
    std::fs::write(&source, all_texts().table(&CHINESE.rows("30.4"))).unwrap();
    for (to, ending) in
        [("xlsx:Calc MS Excel 2007 XML", "xlsx"), ("csv:Text - txt - csv (StarCalc):59,34,76", "csv")]
    {
        let out = folder.path().join(ending);
        let run = std::process::Command::new(office)
            .args([
                "--headless",
                "--infilter=Text - txt - csv (StarCalc):44,34,76,1,,0,true",
                "--convert-to",
                to,
                "--outdir",
            ])
            .args([&out, &source])
            .env("HOME", folder.path())
            .output()
            .unwrap();
        assert!(run.status.success(), "{run:?}");
        let bytes = std::fs::read(out.join(format!("songs.{ending}"))).unwrap();
        check(&format!("LibreOffice itself: {ending}"), &CHINESE, &bytes, Options::default(), 30);
    }
}

fn all_texts() -> Program {
    Program { delimiter: ",", row_end: "\n", quotes_all: true, ..EXCEL }
}
