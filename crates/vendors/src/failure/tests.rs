use std::fmt::Write as _;

use songmill_core::FaultKind;

use super::*;
use crate::{inference_sh, replicate, senseaudio, tencent};

const TABLES: [(&str, &[Row]); 5] = [
    ("Replicate", replicate::fault::FAILURES),
    ("inference.sh", inference_sh::fault::FAILURES),
    ("SenseAudio", senseaudio::fault::FAILURES),
    ("Tencent", tencent::fault::FAILURES),
    ("Every vendor", EVERYWHERE),
];

fn means(words: &str) -> (FaultKind, String) {
    let fault = fault(&[], Some(words), "silent");
    (fault.kind, fault.code.into_owned())
}

#[track_caller]
fn again(words: &str) {
    assert_eq!(means(words).0, FaultKind::Unavailable, "{words}");
}

#[track_caller]
fn content_refused(words: &str) {
    assert_eq!(means(words), (FaultKind::Rejected, "content_refused".to_owned()), "{words}");
}

#[test]
fn each_phrase_of_each_table_is_found_and_means_what_its_row_says() {
    for (name, table) in TABLES {
        for row in table {
            let codes = row.codes.iter().flat_map(|code| {
                [
                    format!("Something happened ({code})"),
                    format!("{code}: x"),
                    format!("it ended (code: {code})"),
                ]
            });
            let starts = row.starts.iter().map(|start| format!("{start} xyz"));
            let has = row.has.iter().flat_map(|phrase| {
                let upper = phrase.to_uppercase();
                [(*phrase).to_owned(), format!("xyz, {phrase}."), format!("Xyz: {upper}!")]
            });
            for words in codes.chain(starts).chain(has) {
                let fault = fault(table, Some(&words), "silent");
                let got = (fault.kind, &*fault.code, fault.retry_after());
                let kind = if row.of_all { FaultKind::Unavailable } else { row.kind };
                assert_eq!(got, (kind, row.code, row.wait), "{name}: {words}");
                assert_eq!(fault.suspicion(), row.of_all.then_some(row.code), "{name}: {words}");
            }
        }
    }
}

#[test]
fn what_no_row_knows_and_what_gives_no_reason_is_tried_again() {
    for words in ["", "  ", "weird", "{}", "[]", "null", "失败", "E7777", "list index out of range", "''"] {
        again(words);
    }
    assert_eq!(fault(&[], None, "silent").message, "silent");
    assert_eq!(fault(&[], Some(" "), "silent").kind, FaultKind::Unavailable);
}

#[test]
fn words_that_a_vendor_quotes_decide_nothing() {
    for words in [
        "generation of 'sensitive words' ended badly",
        "render of \"nsfw content policy\" crashed",
        "cannot sing “敏感词和违规” now",
        "合成《涉黄》时出错",
        "failed on `invalid lyrics format`",
        "lost \"sensitive words that were cut o",
        "it broke at 'don't flag my sensitive words'",
        "crashed on sensitive hearts",
        "failed on \"she said \"hello\" and sensitive words came\"",
        "合成「他说「敏感词」然后走了违规」时出错",
        "crashed on her sensitive heart and out of memory",
    ] {
        again(words);
    }
    content_refused("the prompt 'out of memory' was flagged");
    content_refused("Blocked by content moderation: \"CUDA out of memory, please retry\"");
    assert_eq!(means("ValueError: bad prompt 'CUDA out of memory'").0, FaultKind::Rejected);
    assert_eq!(means("Must provide either prompt or input_audio, got 'timed out'").0, FaultKind::Rejected);
}

#[test]
fn of_several_phrases_the_first_decides_and_of_two_in_one_place_the_longer() {
    again("CUDA out of memory while singing of sensitive words");
    again("Internal error while the moderation was asked");
    again("审核超时");
    again("内容审核服务异常");
    content_refused("内容审核不通过，请重试");
    content_refused(
        "The input or output was flagged as sensitive. Please try again with different inputs. (E005) (x)",
    );
    content_refused("Rejected by content moderation after a timeout");
    content_refused("Our moderation service has rejected this prompt");
    content_refused("审核服务拒绝了该内容");
    content_refused("the prompt \"x\" was flagged because of \"y\"");
    again("moderation service unavailable");
}

#[test]
fn a_phrase_is_whole_words() {
    again("the insensitive words");
    again("zoom to the room");
    again("unmoderation");
    content_refused("SENSITIVE_WORD_ERROR");
    content_refused("{\"error\":{\"message\":\"Sensitive   words\\ndetected\"}}");
    content_refused("RuntimeError('NSFW content detected')");
    content_refused("\"sensitive words\"");
}

#[test]
fn a_code_counts_only_where_it_is_named_as_a_code() {
    let table = &[Row::refused("x").codes(&["PA", "E1"])];
    for words in ["PA", "PA: x", "x (PA)", "x (code: PA); y", "Error E1 came", "Error (E1): x"] {
        assert_eq!(fault(table, Some(words), "silent").code, "x", "{words}");
    }
    for words in ["my PA sings", "PAX", "x 'PA'", "(PAY)", "x pa", "the E1 train"] {
        assert_eq!(fault(table, Some(words), "silent").code, "task_failed", "{words}");
    }
}

/// The tables as they stand in `docs/failures.md`.
fn page() -> String {
    let mut page = String::new();
    let marks = |all: &[&str]| all.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    for (name, table) in TABLES {
        writeln!(page, "\n## {name}\n").unwrap();
        if table.is_empty() {
            writeln!(page, "Documents no reasons: only the rows of every vendor.").unwrap();
            continue;
        }
        writeln!(page, "| meaning | code, or words | source |\n|---|---|---|").unwrap();
        for row in table {
            let then = match row.kind {
                FaultKind::Rejected => "final",
                FaultKind::Locked => "tried again; waits for an operator once another job confirms it",
                _ => "tried again",
            };
            let wait = row.wait.map(|wait| format!(" after {} s", wait.as_secs())).unwrap_or_default();
            let mut said = Vec::new();
            if !row.codes.is_empty() {
                said.push(format!("code {}", marks(row.codes)));
            }
            if !row.starts.is_empty() {
                said.push(format!("begins with {}", marks(row.starts)));
            }
            if !row.has.is_empty() {
                said.push(format!("has {}", marks(row.has)));
            }
            let said = said.join("; ");
            writeln!(page, "| {then}{wait}: [{0}](faults/{0}.md) | {said} | {1} |", row.code, row.source)
                .unwrap();
        }
    }
    page
}

#[test]
fn the_page_of_failures_shows_these_tables() {
    const BEGIN: &str = "<!-- tables: begin -->\n";
    const END: &str = "\n<!-- tables: end -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/failures.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", page())).unwrap();
        return;
    }
    assert!(shown == page(), "docs/failures.md differs from the tables: run this test with UPDATE_DOCS=1");
}
