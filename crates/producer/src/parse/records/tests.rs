//! What spreadsheets write, and what they never do.

use super::*;

struct Never;

impl Shape for Never {
    fn looks_like_a_row(&self, _: &[&[u8]]) -> bool {
        false
    }

    fn resembles_a_row(&self, _: &[&[u8]]) -> bool {
        false
    }
}

/// Rows of three cells of which the second is a vendor.
struct OfThree;

impl Shape for OfThree {
    fn looks_like_a_row(&self, cells: &[&[u8]]) -> bool {
        cells.len() == 3 && cells[1] == b"replicate"
    }

    fn resembles_a_row(&self, _: &[&[u8]]) -> bool {
        false
    }
}

type Rows = Vec<(u64, Vec<String>)>;

fn read_with(text: &[u8], delimiter: u8, buffer: usize, shape: &impl Shape) -> (Rows, Option<Torn>) {
    let mut records = Records::new(std::io::BufReader::with_capacity(buffer, text), delimiter);
    let (mut record, mut rows) = (Record::default(), Vec::new());
    loop {
        match records.read(&mut record, shape) {
            Ok(false) => return (rows, None),
            Ok(true) => {
                let cells = record.cells().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect();
                rows.push((record.row, cells));
            }
            Err(torn) => return (rows, Some(torn)),
        }
    }
}

fn read(text: &str) -> Rows {
    let (rows, torn) = read_with(text.as_bytes(), b',', 7, &Never);
    assert!(torn.is_none(), "{torn:?}");
    rows
}

fn torn(text: &str) -> (usize, Opened) {
    for buffer in [1, 16, 1 << 16] {
        let (rows, torn) = read_with(text.as_bytes(), b',', buffer, &OfThree);
        let Some(Torn::Quote(opened)) = torn else { panic!("{text:?}: {torn:?}") };
        if buffer > 16 {
            return (rows.len(), opened);
        }
    }
    unreachable!()
}

fn cells(rows: &Rows) -> Vec<Vec<&str>> {
    rows.iter().map(|(_, cells)| cells.iter().map(String::as_str).collect()).collect()
}

#[test]
fn records_end_with_any_line_end_and_cells_may_be_quoted() {
    let rows = read("a,b\r\n\"c, d\",\"e\"\"f\"\n\"g\r\nh\", i \r\r\n\"\",\"j\" \n , \"k\"");
    assert_eq!(
        cells(&rows),
        [vec!["a", "b"], vec!["c, d", "e\"f"], vec!["g\r\nh", "i"], vec![""], vec!["", "j"], vec!["", "k"]]
    );
    assert_eq!(rows.last().unwrap().0, 6, "blank rows count");
    assert_eq!(cells(&read("a\rb\r")), [["a"], ["b"]]);
    assert_eq!(cells(&read("5\" vinyl,a\"b\n")), [["5\" vinyl", "a\"b"]], "a quote within a cell is one");
    assert!(read("").is_empty());
}

#[test]
fn a_quote_that_is_not_closed_is_named_where_it_opens() {
    let file = |fifth: &str, rest: &str| {
        let head: String = (1..5).map(|n| format!("r{n},replicate,calm {n}\n")).collect();
        format!("id,vendor,prompt\n{head}{fifth}\n{rest}")
    };
    let rest: String = (6..13).map(|n| format!("r{n},replicate,calm {n}\n")).collect();
    for (text, why) in [
        (file("r5,replicate,\"never closed", &rest), Why::NeverClosed),
        (file("r5,replicate,\"never closed", "r6,replicate,\"calm, and so on\"\n"), Why::ClosedWithin(7)),
        (
            file("r5,replicate,\"never closed", "r6,replicate,\"\"\nr7,replicate,\"calm\"\n"),
            Why::ClosedWithin(8),
        ),
        (file("r5,replicate,\"never closed", "r6,replicate,calm\"\n"), Why::HoldsRows(7)),
        (file("r5,replicate,\"never closed", &format!("{rest}r13,replicate,calm\"\n")), Why::HoldsRows(7)),
        (file("r5,replicate,\"a \"b\" c", &rest), Why::ClosedWithin(6)),
        (file("r5,replicate,\"never closed", &format!("{}\"\n", "la\n".repeat(300))), Why::TooLong),
    ] {
        let (rows, opened) = torn(&text);
        assert_eq!((rows, opened), (5, Opened { row: 6, line: 6, cell: 2, why }), "{text}");
    }
}

#[test]
fn a_quote_that_is_not_doubled_costs_its_row_alone() {
    let mut records = Records::new(&b"a,\"say \"hi\" now\",c\nd,e,f\n"[..], b',');
    let mut record = Record::default();
    assert!(records.read(&mut record, &Never).unwrap());
    assert_eq!(record.stray_quote, Some(1));
    assert!(records.read(&mut record, &Never).unwrap());
    assert_eq!((record.cell(1), record.stray_quote), (&b"e"[..], None));
}

#[test]
fn lyrics_are_no_rows() {
    let lyrics = "\"oh, baby, baby\nr2,you,and me\n\nla, la, la\"";
    let text = format!("id,vendor,lyrics\nr1,replicate,{lyrics}\n");
    let (rows, torn) = read_with(text.as_bytes(), b',', 64, &OfThree);
    assert!(torn.is_none() && rows.len() == 2, "{torn:?}");
}

#[test]
fn a_record_takes_no_more_than_a_megabyte() {
    let long = "x".repeat(3 << 20);
    assert!(matches!(
        read_with(long.as_bytes(), b',', 1 << 16, &Never).1,
        Some(Torn::TooLong { row: 1, line: 1 })
    ));
    let quoted = format!("a\n\"{long}");
    let (_, torn) = read_with(quoted.as_bytes(), b',', 1 << 16, &Never);
    assert!(matches!(torn, Some(Torn::TooLong { row: 2, line: 2 })), "{torn:?}");
    let lines = format!("a\n\"{}", format!("{}\n", "x".repeat(100_000)).repeat(15));
    let (_, torn) = read_with(lines.as_bytes(), b',', 1 << 16, &Never);
    assert!(
        matches!(torn, Some(Torn::Quote(Opened { row: 2, line: 2, cell: 0, why: Why::TooLong }))),
        "{torn:?}"
    );
}

proptest::proptest! {
    /// Whatever a writer of CSV writes is read as it was.
    #[test]
    fn what_is_written_is_read(
        table in proptest::collection::vec(proptest::collection::vec("[a-z \",;\n\r|é字]{0,9}", 1..5), 1..6),
        delimiter in proptest::sample::select(vec![b',', b';', b'\t', b'|']),
        buffer in 1_usize..40,
        crlf: bool,
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let style = if crlf { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter).terminator(terminator).quote_style(style).flexible(true).from_writer(Vec::new());
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let (rows, torn) = read_with(&text, delimiter, buffer, &Never);
        proptest::prop_assert!(torn.is_none(), "{:?} of {:?}", torn, String::from_utf8_lossy(&text));
        let read: Vec<Vec<String>> = rows.into_iter().map(|(_, cells)| cells).collect();
        let trimmed: Vec<Vec<String>> = table.iter()
            .map(|row| row.iter().map(|cell| cell.trim_matches([' ', '\n', '\r']).to_owned()).collect()).collect();
        proptest::prop_assert_eq!(read, trimmed);
    }
}
