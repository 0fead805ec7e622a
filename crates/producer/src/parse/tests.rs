//! Whole inputs, as people have them.

use std::io::BufReader;

use serde_json::Map;
use songmill_core::SongRequest;

use super::*;

mod programs;

fn rows_with(bytes: &[u8], options: Options) -> (Vec<Result<Row, ReadError>>, About) {
    let mut reading = read(Input::Stream(Box::new(Cursor::new(bytes.to_vec()))), options);
    let rows = std::iter::from_fn(|| reading.rows.blocking_recv()).collect();
    (rows, reading.about.get())
}

fn rows(text: &str) -> Vec<Row> {
    rows_with(text.as_bytes(), Options::default()).0.into_iter().map(|row| row.unwrap()).collect()
}

fn songs(bytes: &[u8]) -> Vec<SongRequest> {
    rows_with(bytes, Options::default()).0.into_iter().map(|row| row.unwrap().read.unwrap().0).collect()
}

fn prompts(text: &str) -> Vec<String> {
    songs(text.as_bytes()).into_iter().map(|song| song.prompt.unwrap()).collect()
}

fn refused(bytes: &[u8]) -> String {
    let (mut rows, _) = rows_with(bytes, Options::default());
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0).unwrap_err().to_string()
}

#[test]
fn every_line_keeps_its_number_and_bad_ones_their_reason() {
    let lines = rows(
        "\u{feff}{\"prompt\":\"a\"}\n\n{\"promt\":\"b\",\"custom_id\":\"x\",\"title\":\"T\"}\nnonsense\n{\"prompt\":\"c\"}",
    );
    let numbers: Vec<_> = lines.iter().map(|line| (line.number, line.read.is_ok())).collect();
    assert_eq!(numbers, [(1, true), (3, false), (4, false), (5, true)]);
    assert_eq!((lines[1].custom_id.as_deref(), lines[1].title.as_deref()), (Some("x"), Some("T")));
    assert_eq!(lines[1].read.as_ref().unwrap_err().problems[0].field, "promt");
}

#[test]
fn what_is_written_tells_how_it_is_to_be_read() {
    for text in [
        "[{\"prompt\":\"a\"},{\"prompt\":\"b\"}]",
        "\n\n  {\"prompt\":\"a\"}\n{\"prompt\":\"b\"}",
        "\u{feff}{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}",
        "\u{feff}\n{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}",
        "{\n  \"prompt\": \"a\"\n}\n{\n  \"prompt\": \"b\"\n}\n",
        "prompt\na\nb\n",
        "\u{feff}prompt,title\na,\nb,\n",
        "sep=;\r\nprompt;title\r\na;\r\nb;\r\n",
        "\n\nPrompt\ttitle\na\t\nb\t\n",
        "提示词|标题\ra|\rb|\r",
        "\"prompt\";\"duration\"\n\"a\";\"30,5\"\n\"b\";3:20\n",
        "prompt,,\n\na,,\n,,\nb,,\n,,\n",
    ] {
        assert_eq!(prompts(text), ["a", "b"], "{text}");
    }
    assert_eq!(prompts("{\"prompt\": \"a\"}"), ["a"]);
    assert_eq!(prompts("{\n\"prompt\": \"a\"}"), ["a"]);
}

#[test]
fn gzip_and_encodings_are_undone() {
    use std::io::Write as _;
    let text = "标题;提示词\n旧信;\"我把旧信折成纸船\n放进春天的河\"\n";
    for bytes in [text.as_bytes().to_vec(), encoding_rs::GB18030.encode(text).0.into_owned()] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        let gzip = gzip.finish().unwrap();
        for bytes in [&bytes, &gzip] {
            let songs = songs(bytes);
            assert_eq!(songs[0].title.as_deref(), Some("旧信"));
            assert_eq!(songs[0].prompt.as_deref(), Some("我把旧信折成纸船\n放进春天的河"));
        }
        assert!(refused(&gzip[..gzip.len() - 9]).contains("gzip"));
    }
    let (_, about) = rows_with(&encoding_rs::GB18030.encode(text).0, Options::default());
    assert!(about.notes[0].starts_with("read as gb18030"), "{:?}", about.notes);
}

#[test]
fn a_csv_says_what_a_json_line_says() {
    let csv = rows(
        "prompt,vendor,count,instrumental,options.tencent.emotion\n\"a, b\",tencent;replicate,3,true,2\n,,,,\nonly one\n\"a\",b,c,d\n",
    );
    let (song, _) = csv[0].read.as_ref().unwrap();
    let json = SongRequest::from_json(
        br#"{"prompt":"a, b","vendor":["tencent","replicate"],"count":3,"instrumental":true,"options":{"tencent":{"emotion":2}}}"#,
    );
    assert_eq!(*song, json.unwrap());
    let wrong: Vec<_> = csv[1..].iter().map(|row| (row.number, row.read.is_err())).collect();
    assert_eq!(wrong, [(4, true), (5, true)]);
}

#[test]
fn a_bad_cell_is_named_with_its_row_and_title() {
    let rows = rows("title,prompt,duration_s,count\n旧信,a,half a minute,x\nb,#N/A,,\nc,c,10,1\n");
    let row = &rows[0];
    assert_eq!((row.number, row.title.as_deref()), (2, Some("旧信")));
    let said: Vec<_> = row.read.as_ref().unwrap_err().problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "duration_s: \"half a minute\" is not a length; write seconds, such as 30, or minutes and seconds, such as 3:20",
            "count: \"x\" is not a whole number; write digits alone, such as 2"
        ]
    );
    assert!(rows[1].read.is_err() && rows[2].read.is_ok());
}

#[test]
fn a_row_with_more_cells_than_columns_is_named() {
    let rows = rows("prompt,title\na,b,\na,b,,\ncalm, slow piano,b\nd,e\n");
    let good: Vec<_> = rows.iter().map(|row| row.read.is_ok()).collect();
    assert_eq!(good, [true, true, false, true]);
    let said = rows[2].read.as_ref().unwrap_err().problems[0].to_string();
    assert_eq!(
        said,
        "(row): has \"b\" in cell 3, but there are 2 columns; put a text with the delimiter in it in quotes"
    );
}

#[test]
fn lyrics_with_lines_that_are_like_rows_in_part_are_lyrics() {
    let header = "vendor,lyrics,duration_s\n";
    for line in ["auto, la la, for ever", "auto, replicate", "never, ever, 30", "auto, one, two, 30"] {
        let text = format!("{header}replicate,\"first\n{line}\nlast\",20\n");
        assert_eq!(songs(text.as_bytes())[0].lyrics.as_deref(), Some(&*format!("first\n{line}\nlast")));
    }
    let torn = format!("{header}replicate,\"first\nauto, la la, 30\nlast\",20\n");
    assert!(refused(torn.as_bytes()).contains("looks like"), "{}", refused(torn.as_bytes()));
}

#[test]
fn a_workbook_leaves_out_cells_at_the_end_of_a_row() {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, name) in (0..).zip(["title", "prompt", "lyrics", "duration_s"]) {
        sheet.write(0, column, name).unwrap();
    }
    sheet.write(1, 0, "a").unwrap().write(1, 1, "calm").unwrap();
    sheet.write(2, 0, "b").unwrap().write(2, 1, "jazz").unwrap().write(2, 3, 30).unwrap();
    let songs = songs(&workbook.save_to_buffer().unwrap());
    let read: Vec<_> = songs.iter().map(|song| (song.prompt.as_deref(), song.duration_s)).collect();
    assert_eq!(read, [(Some("calm"), None), (Some("jazz"), Some(30))]);
}

#[test]
fn rows_of_texts_that_a_quote_would_swallow_are_found() {
    let rows: String = (1..40).map(|n| format!("Song {n},folk,calm piano {n}\n")).collect();
    let torn = format!("title,style,prompt\n{rows}Song 40,folk,12\"\n")
        .replace(",calm piano 5\n", ",\"calm piano 5\n");
    assert!(refused(torn.as_bytes()).contains("line 6"), "{}", refused(torn.as_bytes()));
    // Lyrics with commas, as people write them, are none.
    for (header, line) in [
        ("title,lyrics,language", "la, la, la"),
        ("title,lyrics,instrumental", "No, no, no"),
        ("title,lyrics,count", "one, 2, 3"),
    ] {
        let text = format!("{header}\na,\"first\n{line}\n{line}\n{line}\nlast\",\n");
        assert_eq!(songs(text.as_bytes()).len(), 1, "{text}");
    }
}

#[test]
fn a_byte_order_mark_says_more_than_a_name() {
    for name in ["utf-8", "gb18030", "windows-1252"] {
        let options = Options { encoding: Some(name.to_owned()), ..Options::default() };
        let (rows, _) = rows_with("\u{feff}lyrics,prompt\n旧信,calm\n".as_bytes(), options);
        let (song, _) = rows[0].as_ref().unwrap().read.as_ref().unwrap();
        assert_eq!(song.lyrics.as_deref(), Some("旧信"), "{name}");
    }
}

#[test]
fn few_characters_are_read_as_what_they_most_likely_are() {
    let songs_of = |bytes: &[u8]| songs(bytes).into_iter().filter_map(|song| song.prompt).collect::<Vec<_>>();
    for prompt in ["雨", "快乐"] {
        let bytes = encoding_rs::GBK.encode(&format!("title,prompt\na,{prompt}\n")).0.into_owned();
        assert_eq!(songs_of(&bytes), [prompt]);
    }
    let mut text = "title,prompt\n".to_owned() + &"a,calm piano in an empty hall\n".repeat(5);
    text += &("b,Café\n".to_owned() + &"a,calm piano in an empty hall\n".repeat(4000) + "c,Naïve\n");
    let read = songs_of(&encoding_rs::WINDOWS_1252.encode(&text).0);
    assert!(read.contains(&"Café".to_owned()) && read.contains(&"Naïve".to_owned()));
}

#[test]
fn a_length_in_an_unknown_unit_is_refused() {
    let length =
        |header: &str, cell: &str| songs(format!("prompt,{header}\na,{cell}\n").as_bytes())[0].duration_s;
    assert_eq!(length("Duration (in minutes)", "3"), Some(180));
    assert_eq!(length("Duration (mins.)", "3"), Some(180));
    assert_eq!(length("时长（单位：分钟）", "3"), Some(180));
    assert_eq!(length("Duration (mm:ss)", "3:20"), Some(200));
    assert!(refused("prompt,Duration (ms)\na,3000\n".as_bytes()).contains("unit that is not known, \"ms\""));
}

#[test]
fn what_is_askew_is_not_read_before_somebody_has_looked() {
    let text = "title,prompt,style,lyrics\nA,calm piano, soft rain,folk,la la la\nB,\"say \"hi\" now\",folk,la\nC,x\nD,d,d,d\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let bad: Vec<_> = rows(text).iter().filter(|row| row.read.is_err()).map(|row| row.number).collect();
    assert_eq!(bad, [2, 3, 4]);
    let reasons: Vec<(u64, std::sync::Arc<str>)> = bad.iter().map(|row| (*row, "why".into())).collect();
    let mut rejected = Vec::new();
    assert!(write_rejected(file.path(), &Options::default(), &reasons, &mut rejected).unwrap());
    let rejected = String::from_utf8(rejected).unwrap();
    assert!(rows(&rejected).iter().all(|row| row.read.is_err()), "{rejected}");
    let corrected = rejected.replace("C,x,,,row not read: why", "C,x,,,");
    assert_ne!(corrected, rejected, "{rejected}");
    assert!(rows(&corrected)[2].read.is_ok(), "{corrected}");
}

#[test]
fn a_file_that_cannot_be_trusted_gives_no_row() {
    let rows: String = (1..40).map(|n| format!("r{n},replicate,calm {n}\n")).collect();
    let torn = format!("custom_id,vendor,prompt\n{rows}").replace("calm 5\n", "\"calm 5\n");
    for (text, said) in [
        (&*torn, "a quote that is not closed: it opens on line 6, in row 6, column \"prompt\""),
        ("prompt,title,Prompt\na,b,c\n", "two columns for prompt"),
        ("name of song;wish\na;b\n", "no known column in its first row (\"name of song\", \"wish\")"),
        ("[{\"prompt\":\"a\"},{\"prompt\":", "cut off in element 2"),
        ("[{\"prompt\":\"a\"} {\"prompt\":\"b\"}]", "no comma behind element 1"),
        ("[{\"prompt\":\"a\"}] x", "more behind the array"),
        ("[", "cut off"),
        ("", "no songs"),
        ("\n\n", "no songs"),
        ("prompt,title\n", "no songs"),
        ("[]", "no songs"),
        ("%PDF-1.7", "PDF"),
    ] {
        let refused = refused(text.as_bytes());
        assert!(refused.contains(said), "{text}: {refused}");
    }
}

#[test]
fn a_long_stream_gives_its_rows_before_it_ends() {
    let row = format!("{}\n", "x".repeat(1000));
    let text = format!("prompt\n{}\"never closed\n", row.repeat(9000));
    let (rows, _) = rows_with(text.as_bytes(), Options::default());
    assert_eq!(rows.len(), 9001);
    assert!(rows[9000].is_err() && rows[..9000].iter().all(Result::is_ok));
}

#[test]
fn columns_can_be_mapped_and_fields_have_defaults() {
    let mut defaults = Map::new();
    for field in ["vendor=Replicate", "duration=3:20", "options.replicate.top_k=3"] {
        default_field(field, &mut defaults).unwrap();
    }
    for (field, said) in [
        ("vendor", "FIELD=VALUE"),
        ("vender=x", "not a field"),
        ("count=many", "whole number"),
        ("id=1", "differs"),
    ] {
        let refused = default_field(field, &mut defaults).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    let mapping =
        [("Text".to_owned(), "prompt".to_owned()), ("Länge".to_owned(), "duration_s".to_owned())].into();
    let options = Options { mapping, defaults, ..Options::default() };
    let (rows, about) = rows_with("Text;Länge;Notiz\na;;x\nb;20;\n".as_bytes(), options.clone());
    let songs: Vec<_> = rows.into_iter().map(|row| row.unwrap().read.unwrap().0).collect();
    assert_eq!((songs[0].duration_s, songs[1].duration_s), (Some(200), Some(20)));
    assert_eq!(serde_json::to_value(&songs[0].vendor).unwrap(), "replicate");
    assert_eq!(about.notes, ["column \"Notiz\" is not read"]);
    assert_eq!(about.part, Part::Row);
    let options = Options { mapping: Mapping::new(), ..options };
    let line = br#"{"prompt":"a","vendor":"tencent","options":{"replicate":{"top_p":1}}}"#;
    let (rows, _) = rows_with(line, options);
    let song = rows.into_iter().next().unwrap().unwrap().read.unwrap().0;
    let song = serde_json::to_value(song).unwrap();
    assert_eq!(song["vendor"], "tencent");
    assert_eq!(song["options"]["replicate"], serde_json::json!({"top_p": 1, "top_k": 3}));
}

#[test]
fn equal_rows_are_two_songs_and_the_same_two_when_read_again() {
    let keys = |rows: Vec<Row>| -> Vec<String> { rows.into_iter().map(|row| row.read.unwrap().1).collect() };
    let once = keys(rows("{\"prompt\":\"a\"}\n{\"prompt\":\"a\"}\n"));
    assert_ne!(once[0], once[1]);
    assert_eq!(once, keys(rows("prompt\na\na\n")), "a table has the keys of its JSON");
}

#[test]
fn a_line_too_long_is_refused_and_the_next_one_read() {
    let lines = rows(&format!("{{\"prompt\":\"{}\"}}\n{{\"prompt\":\"b\"}}\n", "x".repeat(2 << 20)));
    assert_eq!(
        lines.iter().map(|line| (line.number, line.read.is_ok())).collect::<Vec<_>>(),
        [(1, false), (2, true)]
    );
}

#[test]
fn an_array_says_what_lines_say() {
    let text = r#" [ {"prompt":"a ]},[ \" b","options":{"replicate":{"top_k":3}}},{"prompt":"b"} ,
        {"promt":"c","custom_id":"x"}, 7, "x,]" ] "#;
    let elements = rows(text);
    let read: Vec<_> = elements.iter().map(|row| (row.number, row.read.is_ok())).collect();
    assert_eq!(read, [(1, true), (2, true), (3, false), (4, false), (5, false)]);
    assert_eq!(elements[0].read.as_ref().unwrap().0.prompt.as_deref(), Some("a ]},[ \" b"));
    assert_eq!(elements[2].custom_id.as_deref(), Some("x"));
}

#[test]
fn what_would_take_all_memory_is_refused() {
    let deep = format!("prompt,options{}\nx,y\n", ".a".repeat(50_000));
    assert!(rows_with(deep.as_bytes(), Options::default()).0.len() <= 2);
    let long = "x".repeat(400_000);
    let lines = rows(&format!("{{\"custom_id\":\"{long}\",\"{long}\":1}}\n[null,\"replicate\",\"hi\"]\n"));
    let problem = &lines[0].read.as_ref().unwrap_err().problems[0];
    assert!(lines[0].custom_id.as_ref().unwrap().len() <= 128 && problem.field.len() < 400);
    assert!(lines[1].read.is_err(), "a list is no request");
}

#[test]
fn the_template_is_read_without_a_complaint() {
    let (rows, about) = rows_with(template().as_bytes(), Options::default());
    assert_eq!(rows.iter().filter(|row| row.as_ref().is_ok_and(|row| row.read.is_ok())).count(), 2);
    assert_eq!(about.notes, [""; 0]);
}

#[test]
fn rejected_rows_can_be_corrected_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("songs.csv");
    let text = "sep=;\nTitle;prompt;Dauer;Error\n\"a; \"\"b\"\"\nc\";x;lang;old\n\nb;y;30;\n";
    std::fs::write(&file, text).unwrap();
    let options =
        Options { mapping: [("Dauer".to_owned(), "duration_s".to_owned())].into(), ..Options::default() };
    let mut out = Vec::new();
    let reasons = [(2, "duration_s: \"lang\" is not a length".into())];
    assert!(write_rejected(&file, &options, &reasons, &mut out).unwrap());
    let out = String::from_utf8(out).unwrap();
    assert_eq!(
        out,
        "\u{feff}Title;prompt;Dauer;error\n\"a; \"\"b\"\"\nc\";x;lang;\"duration_s: \"\"lang\"\" is not a length\"\n"
    );
    let (rows, about) = rows_with(out.replace(";lang;", ";20;").as_bytes(), options);
    let row = rows.into_iter().next().unwrap().unwrap();
    assert_eq!(row.read.unwrap().0.title.as_deref(), Some("a; \"b\"\nc"));
    assert_eq!(about.notes, [""; 0]);
}

#[test]
fn json_lines_of_a_stream_are_given_as_they_come() {
    for begin in ["", "\u{feff}", "\n\n"] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut reading = read(Input::Stream(Box::new(BufReader::new(reader))), Options::default());
        for prompt in ["a", "b"] {
            std::io::Write::write_all(
                &mut writer,
                format!("{begin}{{\"prompt\":\"{prompt}\"}}\n").as_bytes(),
            )
            .unwrap();
            // Would wait for ever if more was wanted.
            let row = reading.rows.blocking_recv().unwrap().unwrap();
            assert_eq!(row.read.unwrap().0.prompt.as_deref(), Some(prompt));
            if begin == "\u{feff}" {
                break;
            }
        }
        drop(writer);
        assert!(reading.rows.blocking_recv().is_none());
    }
}
