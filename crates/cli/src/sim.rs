//! Running the simulator.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use songmill_simulator::Simulator;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::config::{Log, LogFormat};
use crate::exit::{Exit, usage};
use crate::{output, telemetry};

#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// The port; 0 for a free one, which is printed
    #[arg(long, default_value_t = 9090)]
    port: u16,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: std::net::IpAddr,
    /// A setting of the simulator, such as faults.reply_lost_rate=0.05; may be given several times
    #[arg(long, value_name = "PATH=VALUE")]
    with: Vec<String>,
    /// Write settings for songmill that use this simulator
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
}

/// `songmill sim`.
pub(crate) async fn run(global: &Global, args: SimArgs) -> Result<Exit> {
    telemetry::start(&Log { level: "info".into(), format: LogFormat::Text }, global, false)?;
    let mut config = config(&args.with)?;
    config.listen = SocketAddr::new(args.host, args.port);
    let simulator = Simulator::bind(config).await.context("the simulator cannot start")?;
    let addr = simulator.addr();
    output::line(format_args!("simulator on http://{addr}"))?;
    if let Some(file) = &args.write_config {
        let others = std::fs::read_to_string(file).is_ok_and(|there| !there.starts_with(SETTINGS));
        if others {
            return Err(usage(format!(
                "--write-config: {} is there already, and was not written by a simulator; name another file",
                file.display()
            )));
        }
        std::fs::write(file, settings(addr)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let stop = CancellationToken::new();
    let told = stop.clone();
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        // Cancel-safe: either signal ends it.
        tokio::select! {
            _ = term.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        told.cancel();
    });
    simulator.serve(stop).await.context("the simulator ended")?;
    Ok(Exit::Ok)
}

/// The simulator's settings from `path=value` flags.
pub(crate) fn config(with: &[String]) -> Result<songmill_simulator::Config> {
    let mut figment = figment::Figment::new();
    for setting in with {
        figment = figment.merge(crate::config::flag(setting)?);
    }
    figment.extract().map_err(|error| usage(format!("--with: {}", crate::load::said(&error))))
}

/// What such settings begin with.
const SETTINGS: &str = "# Settings for a simulator at ";

/// Settings for songmill that use a simulator at this address.
pub(crate) fn settings(addr: SocketAddr) -> String {
    format!(
        r#"{SETTINGS}{addr}: nothing here costs money.
[vendors.replicate]
base_url = "http://{addr}/v1"
token = "sim-replicate"
webhook_secrets = ["{secret}"]

[vendors.inference_sh]
base_url = "http://{addr}"
key = "sim-inference"

[vendors.senseaudio]
base_url = "http://{addr}"
key = "sim-senseaudio"

[vendors.tencent]
base_url = "http://{addr}"
secret_id = "sim-id"
secret_key = "sim-secret"
content_id = "sim"

# It allows any number of requests, unless it is told otherwise (`songmill sim --with faults.creates_most=600`).
[policy.vendors.replicate.limits]
creates_per_minute = 0
reads_per_minute = 0

[policy.vendors.inference_sh.limits]
creates_per_minute = 0
reads_per_minute = 0

[deliver]
allow_http = true
allow_private = true

[deliver.notices]
allow_http = true
allow_private = true

[deliver.objects.sim]
endpoint = "http://{addr}/_cos"
bucket = "sim-1250000000"
region = "ap-sim"
access_key_id = "sim-id"
secret_access_key = "sim-secret"
path_style = true
allow_http = true
"#,
        secret = songmill_simulator::WEBHOOK_SECRET,
    )
}
