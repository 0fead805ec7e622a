//! `songmill vendor` and `songmill spend`: how much goes on at vendors, their gates, and what it costs.

use anyhow::Result;
use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use songmill_api::views::{FlowView, GateBy, GateView, Listed, Spend, SpendRow, VendorView};
use songmill_core::time::Span;
use songmill_core::{Tenant, VendorName};

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::Exit;
use crate::{output, waits};

#[derive(Debug, Subcommand)]
pub(crate) enum VendorCommand {
    /// Lists vendors: gates, limits and what is used of them, and how many jobs wait there
    List,
    /// Shuts a vendor's gate: nothing is submitted to it until it is opened
    Shut {
        /// The vendor
        vendor: VendorName,
        /// For how long, such as 2h [default: until it is opened]
        #[arg(long = "for")]
        span: Option<Span>,
        /// Why, for those who read what their jobs wait for
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Opens a vendor's gate, whatever shut it
    Open {
        /// The vendor
        vendor: VendorName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SpendArgs {
    /// What the rows are for
    #[arg(long, value_enum, default_value = "day")]
    by: By,
    /// How many days back, today (UTC) included
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=400))]
    days: u64,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<Tenant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// A row for each day
    Day,
    /// A row for each vendor
    Vendor,
    /// A row for each tenant
    Tenant,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Vendor => "vendor",
            Self::Tenant => "tenant",
        }
    }
}

/// `songmill vendor`.
pub(crate) async fn run(global: &Global, command: VendorCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    let vendors = match command {
        VendorCommand::List => client.value::<Listed<VendorView>>(Ask::get("/v1/vendors")).await?.data,
        VendorCommand::Shut { vendor, span, why } => {
            let body = serde_json::json!({ "for_s": span.map(|span| span.secs_up()), "words": why });
            let ask = Ask::new(Method::POST, format!("/v1/vendors/{vendor}/shut")).json(&body)?;
            vec![client.value(ask).await?]
        }
        VendorCommand::Open { vendor } => {
            vec![client.value(Ask::post(format!("/v1/vendors/{vendor}/open"))).await?]
        }
    };
    if global.json {
        output::json(&vendors)?;
        return Ok(Exit::Ok);
    }
    let mut table = output::table(&[
        "VENDOR",
        "KEY",
        "GATE",
        "UNDER WAY",
        "SUBMITTED/MIN",
        "OTHER/MIN",
        "CALLBACKS",
        "USUAL",
        "WAITING",
    ]);
    for vendor in &vendors {
        let flow = vendor.flow.as_ref();
        let show = |part: fn(&FlowView) -> String| flow.map_or_else(String::new, part);
        table.add_row([
            vendor.name.to_string(),
            if vendor.usable { "set" } else { "not set" }.into(),
            gate(vendor),
            show(|flow| of(flow.in_flight, f64::from(flow.most_in_flight))),
            show(|flow| of(flow.creates.made, flow.creates.allowed)),
            show(|flow| of(flow.reads.made, flow.reads.allowed)),
            match vendor.calls_back {
                true => show(|flow| flow.callbacks.clone()),
                false => "none".into(),
            },
            flow.and_then(|flow| flow.usual_s).map_or_else(String::new, |usual| format!("{usual:.0} s")),
            waiting(vendor),
        ]);
    }
    output::print(&table)?;
    for wait in waits::merged(vendors.iter().flat_map(|vendor| &vendor.waits)) {
        output::line(format_args!("waiting: {}", waits::line(&wait)))?;
    }
    Ok(Exit::Ok)
}

fn gate(vendor: &VendorView) -> String {
    if let Some(GateView { tenant: Some(tenant), code, .. }) = &vendor.tenant_gate {
        return format!("open; shut for {tenant}: {code}");
    }
    let Some(gate) = &vendor.gate else { return "open".into() };
    let (by, without) = match gate.by {
        GateBy::Hand => ("by hand", " until it is opened"),
        GateBy::Locked | GateBy::Failing => (gate.code.as_str(), ""),
    };
    let until =
        gate.until_ms.map_or_else(|| without.to_owned(), |at| format!(" until {}", output::moment(at)));
    format!("shut: {by}{until}")
}

fn of(used: u64, most: f64) -> String {
    if most > 0.0 { format!("{used} of {most:.0}") } else { used.to_string() }
}

fn waiting(vendor: &VendorView) -> String {
    let stages = vendor.waiting.iter().flatten().filter(|(_, count)| **count > 0);
    let mut parts: Vec<_> = stages.map(|(stage, count)| format!("{count} {stage}")).collect();
    if let Some(flow) = vendor.flow.as_ref().filter(|flow| flow.later > 0) {
        parts.push(format!("{} of them later", flow.later));
    }
    parts.join(", ")
}

/// `songmill spend`.
pub(crate) async fn spend(global: &Global, args: &SpendArgs) -> Result<Exit> {
    let client = Client::open(global).await?;
    let ask = Ask::get("/v1/spend")
        .with("by", Some(args.by.as_str()))
        .with("days", Some(args.days))
        .with("tenant", args.tenant.as_ref());
    let spend: Spend = client.value(ask).await?;
    if global.json {
        output::json(&spend)?;
        return Ok(Exit::Ok);
    }
    let Spend { currency, data, total, today, cap, estimated } = &spend;
    let amount = format!("COST ({currency})");
    let by = args.by.as_str().to_uppercase();
    let mut table = output::table(&[
        by.as_str(),
        "SUBMITTED",
        "CONFIRMED",
        "NOT DONE",
        "POSSIBLY PAID",
        "POSSIBLY TWICE",
        "EXPECTED",
        amount.as_str(),
    ]);
    let mut row = |name: &str, row: &SpendRow| {
        let counts =
            [row.sent, row.confirmed, row.not_done, row.possibly_paid, row.possibly_duplicate_paid_creates];
        let mut cells = vec![name.to_owned()];
        cells.extend(counts.map(|count| count.to_string()));
        cells.extend([format!("{:.4}", row.expected), format!("{:.4}", row.cost)]);
        table.add_row(cells);
    };
    for one in data {
        let name = match args.by {
            By::Day => one.day.clone(),
            By::Vendor => one.vendor.as_ref().map(ToString::to_string),
            By::Tenant => one.tenant.as_ref().map(ToString::to_string),
        };
        row(&name.unwrap_or_default(), one);
    }
    row("all", total);
    output::print(&table)?;
    let cap = cap.map_or_else(|| "no cap is set".into(), |cap| format!("at most {cap:.4} may be"));
    output::line(format_args!("today {today:.4} {currency} are spent or reserved; {cap}"))?;
    if !estimated.is_empty() {
        let names: Vec<_> = estimated.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        output::line(format_args!(
            "costs are estimates for {names}; set what you are charged with `songmill price set`"
        ))?;
    }
    if total.possibly_duplicate_paid_creates > 0 {
        output::line(
            "possibly twice: submissions made again while it was not known whether the first was taken \
             (policy on_unknown, `songmill job resolve`); `songmill job explain` says why for each job",
        )?;
    }
    Ok(Exit::Ok)
}
