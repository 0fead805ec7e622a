//! `songmill price`: what vendors charge.

use anyhow::Result;
use axum::http::Method;
use clap::{Args, Subcommand};
use songmill_api::views::{NewPrice, PriceView, Prices};
use songmill_core::money::Amount;
use songmill_core::{Currency, VendorName};

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum PriceCommand {
    /// List what each vendor charges, and where that is from
    List,
    /// Set what a vendor charges, for the whole fleet
    #[command(after_help = EXAMPLES)]
    Set(SetArgs),
    /// Go back to the estimate that ships with Songmill
    Reset {
        /// Vendor
        vendor: VendorName,
    },
}

const EXAMPLES: &str = "\
Examples:
  songmill price set replicate --work-second 0.000975
  songmill price set senseaudio --song 0.5 --currency CNY --rate 0.14";

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Vendor
    vendor: VendorName,
    /// For each song
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    song: Option<Amount>,
    /// For each second of each song that was asked for
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    second: Option<Amount>,
    /// For lyrics
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    lyrics: Option<Amount>,
    /// For each second that the vendor works on a task
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    work_second: Option<Amount>,
    /// Seconds of work reserved for a song of up to a minute [default: 60]
    #[arg(long, value_name = "SECONDS")]
    work_s: Option<f64>,
    /// Currency of these amounts [default: that of the budgets]
    #[arg(long, value_name = "CODE")]
    currency: Option<Currency>,
    /// What one unit of that currency is worth in that of the budgets
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    rate: Option<Amount>,
}

/// `songmill price`.
pub(crate) async fn run(global: &Global, command: PriceCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    match command {
        PriceCommand::List => {
            let prices: Prices = client.value(Ask::get("/v1/prices")).await?;
            if global.json {
                output::json(&prices)?;
            } else {
                list(&prices)?;
            }
        }
        PriceCommand::Set(SetArgs { vendor, song, second, lyrics, work_second, work_s, currency, rate }) => {
            let new = NewPrice { lyrics, song, second, work_second, work_s, currency, rate };
            let ask = Ask::new(Method::PUT, format!("/v1/prices/{vendor}")).json(&new)?;
            changed(global, &client.value(ask).await?)?;
        }
        PriceCommand::Reset { vendor } => {
            let ask = Ask::new(Method::DELETE, format!("/v1/prices/{vendor}"));
            changed(global, &client.value(ask).await?)?;
        }
    }
    Ok(Exit::Ok)
}

fn changed(global: &Global, price: &PriceView) -> Result<()> {
    if global.json {
        return output::json(price);
    }
    output::line(format_args!("Price of {}: {}", price.vendor, summary(price)))
}

/// A price in a line: `0.50 CNY a song (estimate)`.
fn summary(price: &PriceView) -> String {
    let currency = price.currency;
    let amounts = [
        (price.song, "a song"),
        (price.second, "a second asked for"),
        (price.lyrics, "for lyrics"),
        (price.work_second, "a second of work"),
    ];
    let parts: Vec<_> = amounts
        .into_iter()
        .filter(|(amount, _)| amount.0 > 0.0)
        .map(|(amount, of)| format!("{amount} {currency} {of}"))
        .collect();
    let parts = if parts.is_empty() { "free".to_owned() } else { parts.join(" + ") };
    if price.estimate { format!("{parts} (estimate)") } else { parts }
}

fn list(prices: &Prices) -> Result<()> {
    let mut table = output::table(&["VENDOR", "PRICE", "RATE", "SET BY", "UPDATED"]);
    for price in &prices.data {
        let rate = match price.currency == prices.currency {
            true => String::new(),
            false => format!("{} {}", price.rate, prices.currency),
        };
        let updated = price.source_date.as_deref().or(price.updated_at.as_deref()).unwrap_or_default();
        let by = if price.estimate { "estimate" } else { &price.updated_by };
        let date = updated.split('T').next().unwrap_or_default();
        table.add_row([price.vendor.to_string(), summary(price), rate, by.into(), date.into()]);
    }
    output::print(&table)?;
    for price in &prices.data {
        if let Some(source) = &price.source {
            output::line(format_args!("{}: estimate ({source})", price.vendor))?;
        }
    }
    if prices.data.iter().any(|price| price.estimate) {
        output::line("Set what your account is charged: songmill price set VENDOR --song AMOUNT")?;
    }
    Ok(())
}
