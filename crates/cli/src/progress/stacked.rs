//! A batch's progress in a few lines: a bar of its states, what is in each, how fast it goes and what it costs.

use console::Style;
use songmill_api::views::BatchView;
use songmill_core::job::StateName;

use super::counted;
use super::pace::{Pace, roughly};
use crate::printable::Printable;
use crate::waits;

/// How states are shown together, in the order of the bar. Each has a form of its own: colors may be off.
const PARTS: [(Part, char); 5] = [
    (Part::Completed, '█'),
    (Part::Failed, '×'),
    (Part::Held, '!'),
    (Part::Running, '▓'),
    (Part::Queued, '░'),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Completed,
    Failed,
    Held,
    Running,
    Queued,
}

impl Part {
    const fn of(state: StateName) -> Self {
        match state {
            StateName::Completed => Self::Completed,
            StateName::Failed | StateName::Canceled => Self::Failed,
            StateName::Held => Self::Held,
            StateName::Queued => Self::Queued,
            StateName::Submitting
            | StateName::Uncertain
            | StateName::Generating
            | StateName::Canceling
            | StateName::Collecting => Self::Running,
        }
    }

    fn style(self) -> Style {
        let style = Style::new().for_stderr();
        match self {
            Self::Completed => style.green(),
            Self::Failed => style.red(),
            Self::Held => style.yellow(),
            Self::Running => style.cyan(),
            Self::Queued => style.dim(),
        }
    }
}

/// The lines for a batch, none wider than the terminal.
pub(super) fn lines(batch: &BatchView, name: &str, pace: &Pace, elapsed: &str, width: usize) -> String {
    let bar: String = segments(batch, (width / 2).clamp(8, 40))
        .into_iter()
        .map(|(part, glyph, cells)| part.style().apply_to(glyph.to_string().repeat(cells)).to_string())
        .collect();
    let mut lines = vec![
        format!("{}  {bar}  {} of {}  {elapsed}", Printable(name), batch.ended, batch.total),
        format!("  {}", counts(batch)),
    ];
    let facts = facts(batch, pace);
    if !facts.is_empty() {
        lines.push(format!("  {}", facts.join(", ")));
    }
    if let Some(wait) = batch.waits.first() {
        lines.push(format!("  waiting: {}", Printable(waits::line(wait))));
    }
    // A line that is too long would be drawn on two, and not be cleared.
    let cut = |line: &String| console::truncate_str(line, width.saturating_sub(1), "…").into_owned();
    lines.iter().map(cut).collect::<Vec<_>>().join("\n")
}

/// How fast it goes, how long it will take, what it costs.
pub(super) fn facts(batch: &BatchView, pace: &Pace) -> Vec<String> {
    let mut facts = Vec::new();
    if !batch.settled {
        facts.extend(pace.per_minute().map(|rate| format!("{rate:.1} songs/min")));
        // How fast it went says nothing of what waits for a person.
        if !waits::need_person(&batch.waits) {
            facts.extend(pace.left(batch).map(|left| format!("{} left", roughly(left))));
        }
    }
    // Until all have ended it holds what may still be given back.
    let reserved = if batch.settled { "" } else { " spent or reserved" };
    facts.extend(cost(batch).map(|cost| format!("{cost}{reserved}")));
    facts
}

/// `USD 3.12 of 20.00`.
pub(crate) fn cost(batch: &BatchView) -> Option<String> {
    let (cost, currency) = (batch.cost?, batch.currency?);
    let of = batch.budget.map_or_else(String::new, |budget| format!(" of {:.2}", budget.0));
    Some(format!("{currency} {:.2}{of}", cost.0))
}

/// The counts that are not zero, each in its color.
fn counts(batch: &BatchView) -> String {
    let words = counted(batch)
        .map(|(state, count)| Part::of(state).style().apply_to(format!("{count} {state}")).to_string());
    words.collect::<Vec<_>>().join(", ")
}

/// How many cells of a bar each part gets: at least one where there is any, all of them together.
fn segments(batch: &BatchView, width: usize) -> Vec<(Part, char, usize)> {
    let of = |part| {
        batch.counts.iter().filter(|(state, _)| Part::of(**state) == part).map(|(_, n)| n).sum::<u64>()
    };
    let counts = PARTS.map(|(part, _)| of(part));
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return vec![(Part::Queued, ' ', width)];
    }
    let mut cells = counts.map(|count| match count {
        0 => 0,
        count => {
            usize::try_from(u128::from(count) * width as u128 / u128::from(total)).unwrap_or(width).max(1)
        }
    });
    // What rounding left over, or took too much of, is the largest part's.
    let largest = (0..cells.len()).max_by_key(|n| counts[*n]).unwrap_or(0);
    let others: usize = cells.iter().enumerate().filter(|(n, _)| *n != largest).map(|(_, cells)| cells).sum();
    cells[largest] = width.saturating_sub(others);
    let parts = PARTS.into_iter().zip(cells).filter(|(_, cells)| *cells > 0);
    parts.map(|((part, glyph), cells)| (part, glyph, cells)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn batch(counts: &[(StateName, u64)]) -> BatchView {
        let of = |is: fn(StateName) -> bool| {
            counts.iter().filter(|(state, _)| is(*state)).map(|(_, n)| n).sum::<u64>()
        };
        let batch = serde_json::json!({
            "name": "spring", "tenant": "default", "created_ms": 1, "total": of(|_| true),
            "ended": of(StateName::is_final), "settled": false, "refused": 0, "uploads": 0, "cost": "3.125",
            "budget": "20", "currency": "USD",
            "counts": counts.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        });
        serde_json::from_value(batch).unwrap()
    }

    #[test]
    fn every_part_has_a_cell_and_the_bar_its_width() {
        for counts in [
            &[(StateName::Completed, 998), (StateName::Failed, 1), (StateName::Held, 1)][..],
            &[(StateName::Queued, 3)],
            &[(StateName::Generating, 1), (StateName::Queued, 100_000), (StateName::Canceled, 1)],
        ] {
            let batch = batch(counts);
            let cells = segments(&batch, 30);
            assert_eq!(cells.iter().map(|(_, _, cells)| cells).sum::<usize>(), 30);
            for (state, _) in counts {
                assert!(
                    cells.iter().any(|(part, _, cells)| *part == Part::of(*state) && *cells > 0),
                    "{state}"
                );
            }
        }
        assert_eq!(segments(&batch(&[]), 30), [(Part::Queued, ' ', 30)]);
    }

    #[test]
    fn the_lines_say_what_there_is_to_know() {
        let mut pace = Pace::default();
        let begun = Instant::now();
        pace.note(begun, 0);
        pace.note(begun + Duration::from_secs(30), 12);
        let batch = batch(&[
            (StateName::Completed, 10),
            (StateName::Failed, 2),
            (StateName::Generating, 4),
            (StateName::Queued, 8),
        ]);
        let lines = lines(&batch, "spring", &pace, "30s", 80);
        let plain = console::strip_ansi_codes(&lines);
        assert_eq!(
            plain,
            "spring  ██████████████████×××▓▓▓▓▓▓░░░░░░░░░░░░░  12 of 24  30s\n\
             \x20 8 queued, 4 generating, 10 completed, 2 failed\n\
             \x20 24.0 songs/min, about 30 s left, USD 3.12 of 20.00 spent or reserved"
        );
        let narrow = super::lines(&batch, "spring\u{1b}[2J", &pace, "30s", 20);
        assert!(console::strip_ansi_codes(&narrow).lines().all(|line| line.chars().count() < 20), "{narrow}");
        assert!(!narrow.contains("\u{1b}[2J"));
    }
}
