//! Running roles until told to stop.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use songmill_callback_listener::Listener;
use songmill_store::{Passing, StoreError, without_password};
use songmill_worker_generate::{CallbackAddress, Outside};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::config::Config;
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::redis_server::RedisServer;
use crate::telemetry;

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Refuse to start when Redis could lose jobs
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// What to run
    #[arg(required = true)]
    roles: Vec<Role>,
    /// Refuse to start when Redis could lose jobs
    #[arg(long)]
    strict: bool,
}

/// A role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Submits, resolves, polls and cancels upstream
    Generate,
    /// Brings audio into storage
    Deliver,
    /// Receives the vendors' callbacks
    Listener,
    /// Serves the control API
    Api,
    /// Submits files at their times
    Schedule,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Generate, Self::Deliver, Self::Listener, Self::Api, Self::Schedule];
}

/// As it is registered.
impl From<Role> for songmill_store::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Generate => Self::Generate,
            Role::Deliver => Self::Deliver,
            Role::Listener => Self::Listener,
            Role::Api => Self::Api,
            Role::Schedule => Self::Schedule,
        }
    }
}

/// `songmill up`.
pub(crate) async fn up(global: &Global, args: &UpArgs) -> Result<Exit> {
    let mut config = Config::load(global)?;
    telemetry::start(&config.log, global, false)?;
    let redis_stop = CancellationToken::new();
    let mut redis = None;
    if config.redis.url.is_empty() {
        let (server, url) = RedisServer::start(&config.data_dir.0).await?;
        tracing::info!("up: private redis in {}", config.data_dir.0.join("redis").display());
        config.redis.url = url;
        redis = Some(tokio::spawn(server.supervise(redis_stop.clone())));
    }
    let stop = stopped()?;
    let ended = match connected(config, &Role::ALL, &stop).await {
        Ok(Some(context)) => serve_until(context, &Role::ALL, args.strict, stop).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    redis_stop.cancel();
    if let Some(redis) = redis {
        redis.await.context("the private redis could not be ended")?;
    }
    ended.map(|()| Exit::Ok)
}

/// `songmill serve`.
pub(crate) async fn serve(global: &Global, args: &ServeArgs) -> Result<Exit> {
    let config = Config::load(global)?;
    telemetry::start(&config.log, global, false)?;
    if config.redis.url.is_empty() {
        return Err(usage(
            "redis.url is not set: roles in several processes share a Redis (--redis-url redis://…)",
        ));
    }
    let mut roles = args.roles.clone();
    roles.sort_unstable();
    roles.dedup();
    let stop = stopped()?;
    let Some(context) = connected(config, &roles, &stop).await? else { return Ok(Exit::Ok) };
    serve_until(context, &roles, args.strict, stop).await.map(|()| Exit::Ok)
}

/// Connects, and waits for a Redis that is still reading its file; nothing where it is told to stop meanwhile.
async fn connected(config: Config, roles: &[Role], stop: &CancellationToken) -> Result<Option<Context>> {
    let mut is_said = false;
    while !stop.is_cancelled() {
        match Context::for_roles(config.clone(), roles).await {
            Err(error) if is_loading(&error) => {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::info!("redis is still reading its file; work begins when it has");
                }
                tokio::time::sleep(LOADING).await;
            }
            connected => return connected.map(Some),
        }
    }
    Ok(None)
}

fn is_loading(error: &anyhow::Error) -> bool {
    let found = error.chain().find_map(|cause| cause.downcast_ref::<StoreError>());
    matches!(found, Some(StoreError::Passing(Passing::Loading, _)))
}

/// Cancelled by SIGTERM and SIGINT; a second one ends the process at once.
fn stopped() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            // Cancel-safe: a signal that was not read is kept.
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if last {
                std::process::exit(130);
            }
            tracing::info!("stopping: no more work is taken; what is under way ends (again to end at once)");
            told.cancel();
        }
    });
    Ok(stop)
}

/// How long it may take to leave the list of workers.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);
/// How many connections each server of this process may have.
struct Connections {
    open_files: u64,
    most: usize,
}

impl Connections {
    /// Raises the limit of open files, and shares what our own work leaves of it.
    fn of(roles: &[Role]) -> Self {
        let open_files = songmill_http_server::raise_open_files();
        let servers = roles.iter().filter(|role| matches!(role, Role::Api | Role::Listener)).count();
        Self { open_files, most: songmill_http_server::connections_within(open_files, servers) }
    }

    fn within(&self, role: &str, limits: songmill_http_server::Limits) -> songmill_http_server::Limits {
        let Self { open_files, most } = self;
        if *most < limits.max_connections {
            tracing::info!(
                "{role}: {most} connections at a time instead of {}: this process may have {open_files} open files \
                 (LimitNOFILE, ulimit -Hn)",
                limits.max_connections
            );
        }
        limits.within(*most)
    }
}

/// Between two looks whether Redis has read its file.
const LOADING: std::time::Duration = std::time::Duration::from_millis(500);

/// Runs roles until `shutdown`, or until one of them breaks: then the others are stopped too.
pub(crate) async fn serve_until(
    context: Context,
    roles: &[Role],
    strict: bool,
    shutdown: CancellationToken,
) -> Result<()> {
    let producer = context.producer();
    let api = if roles.contains(&Role::Api) { Some(context.api(shutdown.clone())?) } else { None };
    let Context { config, store, vendors } = context;
    let mut facts = store.facts().await.context("cannot ask redis what it is like")?;
    while facts.loading && !shutdown.is_cancelled() {
        tracing::info!("redis is still reading its file; work begins when it has");
        tokio::time::sleep(LOADING).await;
        facts = store.facts().await.context("cannot ask redis what it is like")?;
    }
    for complaint in facts.complaints() {
        if strict {
            return Err(usage(format!("redis at {}: {complaint}", without_password(&config.redis.url))));
        }
        tracing::error!("redis is not safe: {complaint}");
    }
    match facts.durability.holds() {
        Some(true) => tracing::info!("{}", facts.durability.sentence()),
        Some(false) | None => tracing::warn!("{}", facts.durability.sentence()),
    }
    // Whoever submits says what songs cost, if nobody has.
    if roles.contains(&Role::Generate)
        && store.seed_fleet().await.context("prices and budgets cannot be written")?
    {
        tracing::info!(
            "prices and budgets are taken from the settings; from now on `songmill price` and `songmill budget` change them"
        );
    }
    for difference in crate::budget::differences(&store).await? {
        tracing::warn!("{difference}");
    }
    let _fleet = store.keep_fleet();
    let signs = roles.contains(&Role::Generate) || roles.contains(&Role::Listener);
    let keys = if signs { Some(config.callback_keys()?) } else { None };
    let submits_to =
        if roles.contains(&Role::Generate) { vendors.names().cloned().collect() } else { vec![] };
    let connections = Connections::of(roles);
    // Before any role begins: one that fails to open its port must not cut off what the others have begun.
    let mut listener = None;
    if roles.contains(&Role::Listener) {
        let mut settings = config.listener.clone();
        settings.http = connections.within("listener", settings.http);
        listener = Some(Listener::bind(settings).context("listener")?);
    }
    let mut server = None;
    if roles.contains(&Role::Api) {
        let mut settings = config.api.clone();
        settings.http = connections.within("api", settings.http);
        server = Some(songmill_api::Server::bind(&settings, &store).await.context("api")?);
    }
    let works = roles.iter().copied().map(Into::into).collect();
    let registered = store
        .register(&crate::host::name(), works, submits_to)
        .await
        .context("this process cannot be registered")?;
    let mut tasks = JoinSet::new();
    for role in roles {
        let (store, vendors, stop) = (store.clone(), vendors.clone(), shutdown.clone());
        match role {
            Role::Generate => {
                let Some(keys) = &keys else { continue };
                let address = CallbackAddress::new(config.public_url(), keys.clone());
                let references = config.deliver.address_policy();
                let egress = config.egress.clone();
                let outside = Outside { address, references, egress };
                let settings = config.generate.clone();
                tasks.spawn(async move {
                    songmill_worker_generate::run(settings, store, vendors, outside, stop)
                        .await
                        .context("generate")
                });
            }
            Role::Deliver => {
                let egress = config.egress.clone();
                let settings = songmill_worker_deliver::Settings { egress, ..config.deliver.clone() };
                let models = vendors.cards().map(|card| (card.name.clone(), card.model.clone())).collect();
                tasks.spawn(async move {
                    songmill_worker_deliver::run(settings, store, models, stop).await.context("deliver")
                });
            }
            Role::Api => {
                let Some((server, api)) = server.take().zip(api.clone()) else { continue };
                tasks.spawn(async move {
                    server.run(api, stop).await;
                    Ok(())
                });
            }
            Role::Schedule if config.schedule.is_empty() => {
                if roles.len() == 1 {
                    return Err(usage("schedule: none is set; see `songmill config --default`"));
                }
            }
            Role::Schedule => {
                let (schedules, producer) = (config.schedule.clone(), producer.clone());
                tasks.spawn(async move {
                    crate::schedule::run(schedules, store, producer, stop).await.context("schedule")
                });
            }
            Role::Listener => {
                let Some((listener, keys)) = listener.take().zip(keys.clone()) else { continue };
                tasks.spawn(async move {
                    listener.run(store, vendors, keys, stop).await;
                    Ok(())
                });
            }
        }
    }
    let mut ended = Ok(());
    let stopping = async {
        shutdown.cancelled().await;
        registered.is_stopping().await;
    };
    tokio::pin!(stopping);
    let mut is_stopping = false;
    loop {
        // Cancel-safe: a task that has ended waits, and a sign of life that is cut short is given again.
        let result = tokio::select! {
            result = tasks.join_next() => result,
            () = &mut stopping, if !is_stopping => {
                is_stopping = true;
                continue;
            }
        };
        let Some(result) = result else { break };
        shutdown.cancel();
        let result = result.context("a role panicked").and_then(|result| result);
        if let Err(error) = result {
            tracing::error!(error = %format!("{error:#}"), "a role broke; the others are stopped");
            ended = Err(error);
        }
    }
    // Without this it is listed as lost for a minute.
    if let Ok(Err(error)) = tokio::time::timeout(GOODBYE, registered.end()).await {
        tracing::debug!(%error, "this process stays listed for a minute");
    }
    ended
}
