//! Reading files of song requests: processor time for a row, and memory, of `songmill submit --dry-run`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rust_xlsxwriter::Workbook;

use crate::Scale;
use crate::machine;
use crate::report::{Mark, Report};

const COLUMNS: [&str; 5] = ["custom_id", "vendor", "title", "prompt", "duration_s"];

fn row(n: usize) -> [String; 5] {
    let prompt = format!("a calm piano in an empty hall, take {n}, \u{65e7}\u{4fe1}");
    [format!("track-{n}"), "replicate".into(), format!("Calm, {n}"), prompt, "20".into()]
}

fn csv(rows: usize) -> String {
    let mut text = COLUMNS.join(",") + "\r\n";
    for n in 0..rows {
        let [id, vendor, title, prompt, duration] = row(n);
        // Infallible: it is a string.
        let _ = write!(text, "{id},{vendor},\"{title}\",\"{prompt}\",{duration}\r\n");
    }
    text
}

fn json_lines(rows: usize) -> String {
    let mut text = String::new();
    for n in 0..rows {
        let [id, vendor, title, prompt, _] = row(n);
        let line = serde_json::json!({ "custom_id": id, "vendor": vendor, "title": title, "prompt": prompt,
            "duration_s": 20 });
        let _ = writeln!(text, "{line}");
    }
    text
}

fn workbook(rows: usize, file: &Path) -> Result<()> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, name) in (0..).zip(COLUMNS) {
        sheet.write(0, column, name)?;
    }
    for n in 0..rows {
        for (column, cell) in (0..).zip(row(n)) {
            sheet.write(u32::try_from(n + 1)?, column, cell)?;
        }
    }
    Ok(workbook.save(file)?)
}

/// What a dry run took.
struct Took {
    cpu: Duration,
    /// The most memory it had at a time.
    memory_mib: f64,
}

fn dry_run(file: &Path, rows: usize) -> Result<Took> {
    let folder = file.parent().context("a file has a folder")?;
    let mut child = Command::new(songmill_tests::binary()?)
        .args(["submit", "--dry-run", "--json"])
        .env("REPLICATE_API_TOKEN", "bench")
        .arg(file)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let (mut cpu, mut memory, begun) = (0.0_f64, 0.0_f64, Instant::now());
    // What it takes in its last few milliseconds is not seen.
    while child.try_wait()?.is_none() {
        ensure!(begun.elapsed() < Duration::from_secs(300), "{} is not read", file.display());
        cpu = machine::cpu(child.id()).unwrap_or(0.0).max(cpu);
        memory = machine::most_resident(child.id()).unwrap_or(0.0).max(memory);
        std::thread::sleep(Duration::from_millis(5));
    }
    let said: serde_json::Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
    let (refused, good) = (&said["refused"], &said["by_vendor"]["replicate"]);
    ensure!((refused.as_u64(), good.as_u64()) == (Some(0), Some(rows as u64)), "{said}");
    Ok(Took { cpu: Duration::from_secs_f64(cpu), memory_mib: memory })
}

pub(crate) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (many, sheet) = (scale.of(1_000_000), scale.of(100_000));
    for (name, rows, most) in
        [("songs.csv", many, 100.0), ("songs.jsonl", many, 100.0), ("songs.xlsx", sheet, 300.0)]
    {
        let file = folder.path().join(name);
        match name {
            "songs.csv" => std::fs::write(&file, csv(rows))?,
            "songs.jsonl" => std::fs::write(&file, json_lines(rows))?,
            _ => workbook(rows, &file)?,
        }
        let Took { cpu, memory_mib } = dry_run(&file, rows)?;
        let what = format!("{name}, {rows} rows, read and planned: CPU for 1,000 rows");
        report.add(what, cpu.as_secs_f64() * 1e6 / rows as f64, "ms");
        report.add("  the most memory at a time", memory_mib, "MiB").mark(Mark::Most(most));
    }
    Ok(())
}
