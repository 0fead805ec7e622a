//! Workbooks as Excel writes them.

use rust_xlsxwriter::{Format, Workbook};

use super::*;

fn rows(bytes: &[u8]) -> Vec<(u64, Vec<String>)> {
    let mut sheet = Sheet::read_from(bytes, 64 << 20).unwrap();
    let (mut record, mut rows) = (Record::default(), Vec::new());
    while sheet.read(&mut record) {
        rows.push((
            record.row,
            record.cells().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect(),
        ));
    }
    rows
}

#[test]
fn cells_are_the_texts_that_people_see() {
    let mut workbook = Workbook::new();
    workbook.add_worksheet().set_name("Empty").unwrap();
    let sheet = workbook.add_worksheet().set_name("Songs").unwrap();
    for (n, name) in ["title", "duration", "count", "instrumental"].iter().enumerate() {
        sheet.write(1, n as u16, *name).unwrap();
    }
    let of = |format: &str| Format::new().set_num_format(format);
    // 3:20 as Excel understands it: twenty past three.
    sheet.write(2, 0, "旧信\nzwei").unwrap();
    sheet.write_with_format(2, 1, 200.0 / 1440.0, &of("h:mm")).unwrap();
    sheet.write(2, 2, 3).unwrap();
    sheet.write(2, 3, true).unwrap();
    sheet.write_with_format(4, 1, 200.0 / 86_400.0, &of("h:mm:ss")).unwrap();
    sheet.write_with_format(5, 1, 200.0 / 86_400.0, &of("mm:ss")).unwrap();
    sheet.write(5, 2, 2.5).unwrap();
    sheet.write_with_format(6, 0, 45_000.0, &of("yyyy-mm-dd")).unwrap();
    workbook.add_worksheet().set_name("Notes").unwrap().write(0, 0, "x").unwrap();
    let bytes = workbook.save_to_buffer().unwrap();
    let expected = [
        (2, vec!["title", "duration", "count", "instrumental"]),
        (3, vec!["旧信\nzwei", "3:20", "3", "TRUE"]),
        (5, vec!["", "0:03:20"]),
        (6, vec!["", "3:20", "2.5"]),
        (7, vec!["2023-03-15"]),
    ];
    let expected: Vec<(u64, Vec<String>)> =
        expected.into_iter().map(|(n, cells)| (n, cells.into_iter().map(str::to_owned).collect())).collect();
    assert_eq!(rows(&bytes), expected);
    let sheet = Sheet::read_from(&bytes[..], 64 << 20).unwrap();
    assert_eq!(
        (&*sheet.name, sheet.by_clock, sheet.others),
        ("Songs", vec![(3, 1)], vec!["Notes".to_owned()])
    );
}

#[test]
fn what_is_no_workbook_says_what_it_is() {
    let zip = |names: &[&str]| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    for (bytes, said) in [
        (zip(&["Index/Document.iwa"]), "Numbers"),
        (zip(&["content.xml"]), "OpenDocument"),
        (zip(&["songs.csv"]), "zip archive"),
        (zip(&["[Content_Types].xml", "xl/workbook.xml"]), "cannot be read"),
        (b"PK\x03\x04 and so on".to_vec(), "not a whole workbook"),
    ] {
        let refused = Sheet::read_from(&bytes[..], 64 << 20).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

/// An archive with one part that has this text so often.
fn bomb(part: &str, text: &str, times: usize) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("[Content_Types].xml", zip::write::SimpleFileOptions::default()).unwrap();
    zip.start_file(part, zip::write::SimpleFileOptions::default()).unwrap();
    let block = text.repeat((1 << 20) / text.len());
    for _ in 0..(text.len() * times).div_ceil(block.len()) {
        std::io::Write::write_all(&mut zip, block.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_workbook_that_unpacks_to_very_much_is_refused() {
    let item = "<si><t>a</t></si>";
    for (bytes, said) in [
        (bomb("xl/worksheets/sheet1.xml", " ", 513 << 20), "512 MiB"),
        (bomb("xl/sharedStrings.xml", " ", 193 << 20), "192 MiB"),
        (bomb("xl/sharedStrings.xml", item, 2_100_000), "2 million texts"),
    ] {
        assert!(bytes.len() < 4 << 20);
        let refused = Sheet::read_from(&bytes[..], 64 << 20).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn cells_far_to_the_right_are_counted_with_those_before_them() {
    let mut sheet = Sheet::default();
    let rows = 1..=(CELLS / COLUMNS) as u64 + 1;
    let refused = rows.into_iter().find_map(|row| sheet.cell(row, COLUMNS - 1, "x").err()).unwrap();
    assert!(refused.to_string().contains("8 million cells"), "{refused}");
    let mut sheet = Sheet::default();
    sheet.cell(1, 2, "c").unwrap();
    assert!(sheet.cell(1, 1, "b").unwrap_err().to_string().contains("in no order"));
}

proptest::proptest! {
    /// A broken workbook is refused, whatever is broken.
    #[test]
    fn no_workbook_panics(at in 0_usize..4000, byte: u8) {
        let mut workbook = Workbook::new();
        workbook.add_worksheet().write(0, 0, "title").unwrap();
        let mut bytes = workbook.save_to_buffer().unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Sheet::read_from(&bytes[..], 64 << 20);
    }
}
