//! Everything here, against a simulator: 24 songs from four vendors.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use axum::http::Method;
use clap::Args;
use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use songmill_core::{BatchName, BatchRef};
use songmill_producer::parse::{self, Reading};
use songmill_simulator::Simulator;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::config::Config;
use crate::context::Context;
use crate::exit::Exit;
use crate::redis_server::RedisServer;
use crate::rejected::Rejected;
use crate::roles::{Role, serve_until};
use crate::{batch, input, output, progress, sim, submit, telemetry};

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the songs go
    #[arg(long, default_value = "songs")]
    songs: PathBuf,
    /// A file of song requests to use instead of the album that comes with it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A setting of the simulator, such as faults.reply_lost_rate=0.05; may be given several times
    #[arg(long, value_name = "PATH=VALUE")]
    with: Vec<String>,
}

const ALBUM: &str = include_str!("../../../examples/album.jsonl");

/// `songmill demo`.
pub(crate) async fn run(global: &Global, args: &DemoArgs) -> Result<Exit> {
    let begun = Instant::now();
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut sim_config = sim::config(&args.with)?;
    sim_config.listen = local(0);
    let simulator = Simulator::bind(sim_config).await.context("the simulator cannot start")?;
    let sim_addr = simulator.addr();
    let (redis, redis_url) = RedisServer::start(folder.path()).await?;
    let listener = free_port()?;

    // Nothing of the user's settings or environment: a demo must not find real keys.
    let config = Config::isolated(
        Figment::new()
            .merge(Toml::string(&sim::settings(sim_addr)))
            .merge(Serialized::default("data_dir", folder.path()))
            .merge(Serialized::default("redis.url", &redis_url))
            .merge(Serialized::default("public_url", format!("http://{listener}")))
            .merge(Serialized::default("listener.listen", listener))
            .merge(Serialized::default("deliver.storage", std::path::absolute(&args.songs)?))
            .merge(Serialized::default("generate.drain", "5s"))
            // The vendor that never calls back is asked more often than in real life, where songs take minutes.
            .merge(Serialized::default("policy.vendors.senseaudio.poll_first", "1s"))
            .merge(Serialized::default("policy.vendors.senseaudio.poll_every", "500ms")),
    )?;
    telemetry::start(&config.log, global, true)?;
    if !global.json {
        output::line(format_args!("simulator of four vendors on http://{sim_addr}"))?;
        output::line(format_args!(
            "private redis, generate, deliver and listener run in this process (callbacks on http://{listener})"
        ))?;
    }
    let stop = CancellationToken::new();
    let simulating = tokio::spawn(simulator.serve(stop.clone()));
    let redis = tokio::spawn(redis.supervise(stop.clone()));
    let roles_stop = CancellationToken::new();
    let roles = tokio::spawn(serve_until(
        Context::with(config.clone()).await?,
        &[Role::Generate, Role::Deliver, Role::Listener],
        true,
        roles_stop.clone(),
    ));

    let ended = album(global, args, &Context::with(config).await?, folder.path(), begun).await;
    roles_stop.cancel();
    roles.await.context("a role panicked")??;
    stop.cancel();
    redis.await.context("the private redis could not be ended")?;
    simulating.await.context("the simulator panicked")?.context("the simulator ended")?;
    ended
}

async fn album(
    global: &Global,
    args: &DemoArgs,
    context: &Context,
    folder: &std::path::Path,
    begun: Instant,
) -> Result<Exit> {
    let name = BatchName::new("album")?;
    let file = match &args.file {
        Some(file) => file.clone(),
        None => {
            let file = folder.join("album.jsonl");
            std::fs::write(&file, ALBUM)?;
            file
        }
    };
    let options = input::by_name(&file);
    let Reading { rows, about } = parse::read(input::open(&file)?, options.clone());
    let mut rejected = Rejected::of(&file, Some(&folder.join("rejected")), &options, about)?;
    let name = BatchRef::from(name);
    let tally = submit::submit(context, &name, rows, &mut rejected, &file).await?.tally;
    if !global.json {
        output::line(format_args!(
            "batch {name}: {} songs queued, {} refused",
            tally.created, tally.refused
        ))?;
        rejected.say()?;
    }
    let client = Client::here(context)?;
    let batch = progress::watch(&client, &name, global.json, progress::Made::Here).await?;
    if global.json {
        output::json(
            &serde_json::json!({ "tally": tally, "batch": batch, "seconds": begun.elapsed().as_secs_f64() }),
        )?;
    } else {
        output::line("")?;
        batch::print_results(&client, Ask::batch(Method::GET, &name, "/results")).await?;
        output::line("")?;
        output::line(format_args!(
            "{} of {} jobs completed in {:.1} s; the files are in {}",
            batch.counts.get(&songmill_core::job::StateName::Completed).copied().unwrap_or(0),
            batch.total,
            begun.elapsed().as_secs_f64(),
            args.songs.display()
        ))?;
    }
    Ok(if batch::ended_well(&batch) && tally.refused == 0 { Exit::Ok } else { Exit::Some })
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A port that is free now.
fn free_port() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(local(0)).and_then(|socket| socket.local_addr())?)
}
