//! A report of a batch for people: a row for each song, as CSV or as a workbook.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use axum::http::Method;
use clap::Args;
use rust_xlsxwriter::{Format, Workbook};
use songmill_api::views::BatchView;
use songmill_core::BatchRef;
use songmill_core::view::JobView;

use crate::args::Global;
use crate::batch::Lines;
use crate::client::{Ask, Changes, Client, What};
use crate::exit::{Exit, usage};
use crate::output;

/// What is reported, and where to.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Batch name; TENANT/NAME for another tenant's
    name: BatchRef,
    /// Write CSV (UTF-8), which is the default
    #[arg(long, conflicts_with = "xlsx")]
    csv: bool,
    /// Write an Excel workbook
    #[arg(long)]
    xlsx: bool,
    /// Output file; - for standard output [default: NAME.report.csv or NAME.report.xlsx]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const COLUMNS: [&str; 9] =
    ["custom_id", "title", "state", "vendor", "duration_s", "cost", "file", "error", "job"];

/// A row: a file of a song, or a song without any.
#[derive(Debug, Default, PartialEq)]
struct Row {
    texts: [String; 7],
    /// The file's length in seconds.
    duration: Option<f64>,
    /// What the job cost, in the first of its rows.
    cost: Option<f64>,
}

impl Row {
    fn cells(&self) -> [Cell<'_>; 9] {
        let [custom_id, title, state, vendor, file, error, job] = &self.texts;
        let text = |text| Cell::Text(text);
        [
            text(custom_id),
            text(title),
            text(state),
            text(vendor),
            self.duration.map_or(Cell::Text(""), Cell::Number),
            self.cost.map_or(Cell::Text(""), Cell::Number),
            text(file),
            text(error),
            text(job),
        ]
    }
}

enum Cell<'a> {
    Text(&'a str),
    Number(f64),
}

/// The rows of a line of results.
fn rows(line: &[u8]) -> Option<Vec<Row>> {
    let Ok(job) = serde_json::from_slice::<JobView>(line) else {
        let gone: serde_json::Value = serde_json::from_slice(line).ok()?;
        let (id, state) = (gone["id"].as_str()?, gone["state"].as_str()?);
        let mut row = Row::default();
        (row.texts[2], row.texts[6]) = (state.to_owned(), id.to_owned());
        return Some(vec![row]);
    };
    let error = job.fault.as_ref().map_or_else(String::new, ToString::to_string);
    let of = |title: Option<&String>, file: &str| {
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        [
            text(job.custom_id.as_ref()),
            text(title),
            job.state.to_string(),
            job.vendor.to_string(),
            file.to_owned(),
            error.clone(),
            job.id.to_string(),
        ]
    };
    let mut rows: Vec<_> = job
        .assets
        .iter()
        .map(|asset| Row {
            texts: of(asset.title.as_ref().or(job.title.as_ref()), &asset.path),
            duration: Some((asset.duration_ms as f64 / 100.0).round() / 10.0),
            cost: None,
        })
        .collect();
    if rows.is_empty() {
        rows.push(Row { texts: of(job.title.as_ref(), ""), ..Row::default() });
    }
    rows[0].cost = Some(job.cost);
    Some(rows)
}

/// `songmill batch report`.
pub(crate) async fn run(global: &Global, client: &Client, args: &ReportArgs) -> Result<Exit> {
    let named = args.output.as_ref().and_then(|to| to.extension());
    let names_workbook = named.is_some_and(|ending| ending.eq_ignore_ascii_case("xlsx"));
    if names_workbook && args.csv {
        return Err(usage("--csv: the output file ends in .xlsx; name one that ends in .csv"));
    }
    let as_workbook = args.xlsx || names_workbook;
    let ending = if as_workbook { "xlsx" } else { "csv" };
    let to =
        args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.report.{ending}", args.name.name)));
    let unexpected = || What::Unexpected("a line that is no result").at(client.server(), Changes::Nothing);
    let mut all = Vec::new();
    let batch: BatchView = client.value(Ask::batch(Method::GET, &args.name, "")).await?;
    let results = Lines { ask: Ask::batch(Method::GET, &args.name, "/results"), least: batch.total };
    results
        .each(client, |line| {
            all.extend(rows(line).ok_or_else(unexpected)?);
            Ok(())
        })
        .await?;
    if to == Path::new("-") {
        output::text(&written(&all, as_workbook)?)?;
        return Ok(Exit::Ok);
    }
    let bytes = written(&all, as_workbook)?;
    output::write_whole(&to, async |out| Ok(out.write_all(&bytes)?)).await?;
    if global.json {
        output::json(&serde_json::json!({ "batch": args.name.to_string(), "rows": all.len(), "file": to }))?;
    } else {
        output::line(format_args!("{} rows in {}", all.len(), to.display()))?;
    }
    Ok(Exit::Ok)
}

fn written(rows: &[Row], as_workbook: bool) -> Result<Vec<u8>> {
    if as_workbook { workbook(rows) } else { csv(rows) }
}

/// With the mark by which spreadsheets know UTF-8.
fn csv(rows: &[Row]) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
    csv.write_record(COLUMNS)?;
    for row in rows {
        csv.write_record(row.cells().map(|cell| match cell {
            Cell::Text(text) => plain(text),
            Cell::Number(number) => number.to_string(),
        }))?;
    }
    csv.into_inner().context("the report cannot be written")
}

/// What others wrote is no formula: a spreadsheet would run it.
fn plain(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

fn workbook(rows: &[Row]) -> Result<Vec<u8>> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let bold = Format::new().set_bold();
    for (n, name) in (0..).zip(COLUMNS) {
        sheet.write_with_format(0, n, name, &bold)?;
    }
    for (n, row) in (1..).zip(rows) {
        for (column, cell) in (0..).zip(row.cells()) {
            match cell {
                Cell::Text("") => {}
                Cell::Text(text) => drop(sheet.write_string(n, column, text)?),
                Cell::Number(number) => drop(sheet.write_number(n, column, number)?),
            }
        }
    }
    sheet.set_freeze_panes(1, 0)?;
    Ok(workbook.save_to_buffer()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(title: &str, cost: Option<f64>) -> Row {
        let text = |text: &str| text.to_owned();
        let texts = [
            text("a"),
            text(title),
            text("completed"),
            text("replicate"),
            text("a.mp3"),
            text(""),
            text("id"),
        ];
        Row { texts, duration: Some(3.2), cost }
    }

    #[test]
    fn a_report_is_no_program() {
        let rows = [row("旧信, \"春\"", Some(0.1)), row("=HYPERLINK(\"x\")", None)];
        let text = String::from_utf8(csv(&rows).unwrap()).unwrap();
        assert_eq!(
            text,
            "\u{feff}custom_id,title,state,vendor,duration_s,cost,file,error,job\n\
             a,\"旧信, \"\"春\"\"\",completed,replicate,3.2,0.1,a.mp3,,id\n\
             a,\"'=HYPERLINK(\"\"x\"\")\",completed,replicate,3.2,,a.mp3,,id\n"
        );
        assert!(workbook(&rows).unwrap().starts_with(b"PK"));
    }

    #[test]
    fn a_song_that_is_kept_no_more_has_a_row() {
        let rows = rows(br#"{"id":"01","state":"gone"}"#).unwrap();
        assert_eq!((&*rows[0].texts[2], &*rows[0].texts[6]), ("gone", "01"));
        assert!(self::rows(b"nonsense").is_none());
    }
}
