//! Figures, for people and for programs.

use anyhow::Result;
use serde::Serialize;

/// What a figure should reach.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mark {
    /// This or more.
    Least(f64),
    /// This or less.
    Most(f64),
    /// This share of the limit or more.
    ShareOfLimit(f64),
}

/// Something measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The same work as far as Redis is concerned, done by redis-benchmark in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
}

/// All that was measured, in order.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// Notes a figure and prints its line.
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) -> &mut Figure {
        let figure = Figure { what: what.into(), value, unit, limit: None, mark: None, met: None };
        self.figures.push(figure);
        let last = self.figures.len() - 1;
        &mut self.figures[last]
    }

    /// Prints the lines from one on.
    pub(crate) fn print_from(&self, from: usize) {
        for figure in &self.figures[from..] {
            println!("{}", figure.line());
        }
    }

    pub(crate) fn write(&self, file: &std::path::Path) -> Result<()> {
        Ok(std::fs::write(file, serde_json::to_vec_pretty(self)?)?)
    }
}

/// The heads of the columns of [`Figure::line`].
pub(crate) fn head() -> String {
    format!("{:<62} {:>12} {:<12} {:>10} {:>9}  {}", "WHAT", "FIGURE", "", "LIMIT", "OF LIMIT", "MARK")
}

impl Figure {
    pub(crate) fn limit(&mut self, limit: f64) -> &mut Self {
        self.limit = Some(limit);
        self
    }

    pub(crate) fn mark(&mut self, mark: Mark) -> &mut Self {
        self.mark = Some(mark);
        self.met = Some(match mark {
            Mark::Least(least) => self.value >= least,
            Mark::Most(most) => self.value <= most,
            Mark::ShareOfLimit(share) => self.limit.is_some_and(|limit| self.value >= limit * share),
        });
        self
    }

    fn line(&self) -> String {
        let limit = self.limit.map_or(String::new(), number);
        let share = self.limit.map_or(String::new(), |limit| format!("{:.0} %", 100.0 * self.value / limit));
        let mark = match self.mark {
            None => String::new(),
            Some(Mark::Least(least)) => format!("≥ {}", number(least)),
            Some(Mark::Most(most)) => format!("≤ {}", number(most)),
            Some(Mark::ShareOfLimit(share)) => format!("≥ {:.0} % of limit", 100.0 * share),
        };
        let met = match self.met {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        let value = number(self.value);
        let line =
            format!("{:<62} {value:>12} {:<12} {limit:>10} {share:>9}  {mark} {met}", self.what, self.unit);
        line.trim_end().to_owned()
    }
}

/// A number with as many digits as mean something.
fn number(value: f64) -> String {
    let text = if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or(grouped.clone(), |rest| format!("{grouped}.{rest}"))
}

/// A percentile of samples, from 0 to 100.
pub(crate) fn percentile(samples: &mut [f64], percent: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * percent / 100.0).round() as usize).copied().unwrap_or(f64::NAN)
}
