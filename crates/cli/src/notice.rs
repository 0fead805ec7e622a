//! Endpoints, and the notices they are sent.

use anyhow::Result;
use axum::http::Method;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use songmill_api::views::{EndpointView, Listed};
use songmill_core::time::Span;
use songmill_core::{EndpointId, Tenant};
use songmill_store::{Notice, NoticeState};

use crate::args::Global;
use crate::client::{Ask, Client, refused};
use crate::exit::{Exit, usage};
use crate::{context, output};

#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Makes an endpoint and shows the secret its notices are signed with
    Add {
        /// The address that notices are posted to
        url: String,
        /// What it is told of, such as job.failed; may be given several times [default: everything]
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// Tell it only of jobs and batches that name it
        #[arg(long)]
        named_only: bool,
        /// Sign with ed25519 instead of a shared secret
        #[arg(long)]
        ed25519: bool,
        /// What it is
        #[arg(long, default_value = "")]
        description: String,
        /// Whose it is
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Lists endpoints
    List {
        /// Whose
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Shows an endpoint with its secrets in force
    Show(One),
    /// Replaces an endpoint's secret; both are used for a while
    Rotate {
        #[command(flatten)]
        one: One,
        /// How long the old one is used
        #[arg(long, default_value = "1d")]
        grace: Span,
    },
    /// Switches an endpoint on; what waited for it when it was switched off is sent
    Enable(One),
    /// Switches an endpoint off; what happens until it is on again is not sent
    Disable(One),
    /// Removes an endpoint and what waits for it
    Remove(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The endpoint's id
    id: EndpointId,
    /// Whose it is
    #[arg(long)]
    tenant: Option<Tenant>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NoticeCommand {
    /// Lists notices, newest first, with how they fared
    List {
        /// Only those that stand so
        #[arg(long, value_enum)]
        state: Option<StateArg>,
        /// Only those to this endpoint
        #[arg(long)]
        endpoint: Option<EndpointId>,
        /// Whose
        #[arg(long)]
        tenant: Option<Tenant>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Shows a notice: what is posted, and each try
    Show {
        /// Its id
        id: String,
        /// Whose
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Sends notices again: those named, or all that failed
    Replay {
        /// Ids of notices
        ids: Vec<String>,
        /// All that were given up
        #[arg(long)]
        failed: bool,
        /// Only those to this endpoint
        #[arg(long)]
        endpoint: Option<EndpointId>,
        /// Whose
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Sends a test notice to an endpoint and says what came of it
    Test(One),
}

/// How a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArg {
    /// To be sent, or sent again
    Waiting,
    /// Taken
    Delivered,
    /// Given up
    Failed,
}

impl StateArg {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// A notice with what is posted.
#[derive(serde::Serialize, serde::Deserialize)]
struct Detail {
    #[serde(flatten)]
    notice: Notice,
    payload: Value,
}

/// How long a test is waited for.
const TEST: std::time::Duration = std::time::Duration::from_secs(20);

/// `songmill endpoint`.
pub(crate) async fn endpoint(global: &Global, command: EndpointCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    let path = |one: &One, more: &str| format!("/v1/endpoints/{}{more}", one.id);
    let change = |one: One, enabled: bool| {
        Ask::new(Method::PATCH, path(&one, ""))
            .with("tenant", one.tenant)
            .json(&json!({ "enabled": enabled }))
    };
    match command {
        EndpointCommand::Add { url, types, named_only, ed25519, description, tenant } => {
            let signing = if ed25519 { "ed25519" } else { "hmac" };
            let body = json!({
                "url": url, "types": types, "all": !named_only, "signing": signing, "description": description,
            });
            let ask = Ask::post("/v1/endpoints").with("tenant", tenant).json(&body)?;
            shown(global, &client.value(ask).await?)?;
        }
        EndpointCommand::List { tenant } => {
            let ask = Ask::get("/v1/endpoints").with("tenant", tenant);
            list_endpoints(global, &client.value::<Listed<EndpointView>>(ask).await?.data)?;
        }
        EndpointCommand::Show(one) => {
            shown(global, &client.value(Ask::get(path(&one, "/secrets")).with("tenant", one.tenant)).await?)?;
        }
        EndpointCommand::Rotate { one, grace } => {
            let body = json!({ "grace_s": grace.secs_up() });
            let ask = Ask::post(path(&one, "/rotate")).with("tenant", one.tenant).json(&body)?;
            shown(global, &client.value(ask).await?)?;
            if !global.json {
                output::note(format_args!("The old secret is used until {}.", context::until(grace)));
            }
        }
        EndpointCommand::Enable(one) => shown(global, &client.value(change(one, true)?).await?)?,
        EndpointCommand::Disable(one) => shown(global, &client.value(change(one, false)?).await?)?,
        EndpointCommand::Remove(one) => {
            let ask = Ask::new(Method::DELETE, path(&one, "")).with("tenant", one.tenant);
            client.ask(ask).await?.nothing().await?;
            output::line(format_args!("endpoint {} is gone", one.id))?;
        }
    }
    Ok(Exit::Ok)
}

fn stands(endpoint: &EndpointView) -> String {
    match (&endpoint.disabled, endpoint.failing_since_ms) {
        (Some(disabled), _) => format!("off: {}", disabled.why),
        (None, Some(since)) => {
            let why = endpoint.last_failure.as_ref();
            let why = why.map(|why| format!(": {} ({})", why.message, why.code)).unwrap_or_default();
            format!("failing since {}{why}", output::moment(since))
        }
        (None, None) => "on".into(),
    }
}

fn told_of(endpoint: &EndpointView) -> String {
    let types: Vec<_> = endpoint.types.iter().map(|kind| kind.as_str()).collect();
    let types = if types.is_empty() { "everything".into() } else { types.join(", ") };
    if endpoint.all { types } else { format!("{types} of those that name it") }
}

fn shown(global: &Global, endpoint: &EndpointView) -> Result<()> {
    if global.json {
        return output::json(endpoint);
    }
    output::line(format_args!("endpoint  {}", endpoint.id))?;
    output::line(format_args!("url       {}", endpoint.url))?;
    output::line(format_args!("told of   {}", told_of(endpoint)))?;
    output::line(format_args!("state     {}", stands(endpoint)))?;
    for secret in &endpoint.secrets {
        let until = secret.until_ms.map_or_else(String::new, |at| format!(" (until {})", output::moment(at)));
        output::line(format_args!("secret    {}{until}", secret.value))?;
    }
    Ok(())
}

fn list_endpoints(global: &Global, endpoints: &[EndpointView]) -> Result<()> {
    if global.json {
        return output::json(&endpoints);
    }
    if endpoints.is_empty() {
        return output::line("no endpoints yet; make one with `songmill endpoint add https://…`");
    }
    let mut table = output::table(&["ENDPOINT", "URL", "TOLD OF", "STATE"]);
    for one in endpoints {
        table.add_row([one.id.to_string(), one.url.clone(), told_of(one), stands(one)]);
    }
    output::print(&table)
}

/// `songmill notice`.
pub(crate) async fn run(global: &Global, command: NoticeCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    match command {
        NoticeCommand::List { state, endpoint, tenant, limit } => {
            let found = notices(&client, state, endpoint.as_ref(), tenant.as_ref(), limit).await?;
            list_notices(global, &found)?;
            Ok(Exit::Ok)
        }
        NoticeCommand::Show { id, tenant } => {
            let detail: Detail =
                client.value(Ask::get(format!("/v1/notices/{id}")).with("tenant", tenant)).await?;
            output::json_text(&serde_json::to_string_pretty(&detail)?)?;
            Ok(Exit::Ok)
        }
        NoticeCommand::Replay { ids, failed, endpoint, tenant } => {
            let ids = match (ids.is_empty(), failed) {
                (false, _) => ids,
                (true, false) => return Err(usage("name notices, or --failed for all that were given up")),
                (true, true) => {
                    let state = Some(StateArg::Failed);
                    let found =
                        notices(&client, state, endpoint.as_ref(), tenant.as_ref(), usize::MAX).await?;
                    found.into_iter().map(|notice| notice.id).collect()
                }
            };
            replay(global, &client, &ids, tenant.as_ref()).await
        }
        NoticeCommand::Test(one) => test(global, &client, &one).await,
    }
}

async fn notices(
    client: &Client,
    state: Option<StateArg>,
    endpoint: Option<&EndpointId>,
    tenant: Option<&Tenant>,
    limit: usize,
) -> Result<Vec<Notice>> {
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    while found.len() < limit {
        let ask = Ask::get("/v1/notices")
            .with("state", state.map(StateArg::as_str))
            .with("endpoint", endpoint)
            .with("tenant", tenant)
            .with("cursor", cursor.as_ref())
            .with("limit", Some((limit - found.len()).min(200)));
        let page: Listed<Notice> = client.value(ask).await?;
        found.extend(page.data);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

fn list_notices(global: &Global, notices: &[Notice]) -> Result<()> {
    if global.json {
        return notices.iter().try_for_each(output::json_line);
    }
    if notices.is_empty() {
        return output::line("no such notices");
    }
    let mut table = output::table(&["NOTICE", "TYPE", "ENDPOINT", "CREATED", "STATE", "TRIES", "LAST"]);
    for notice in notices {
        let state = match notice.state {
            NoticeState::Waiting => format!("waiting until {}", output::moment(notice.due_ms.unwrap_or(0))),
            NoticeState::Delivered => "delivered".into(),
            NoticeState::Failed => "failed".into(),
        };
        table.add_row([
            notice.id.clone(),
            notice.kind.as_str().to_owned(),
            notice.endpoint.to_string(),
            output::moment(notice.created_ms),
            state,
            notice.tried.to_string(),
            last(notice),
        ]);
    }
    output::print(&table)
}

fn last(notice: &Notice) -> String {
    notice.tries.last().map_or_else(String::new, |one| match (&one.error, one.status) {
        (Some(error), _) => match &one.code {
            Some(code) => format!("{error} ({code})"),
            None => error.clone(),
        },
        (None, Some(status)) => format!("{status} in {} ms", one.took_ms),
        (None, None) => String::new(),
    })
}

async fn replay(global: &Global, client: &Client, ids: &[String], tenant: Option<&Tenant>) -> Result<Exit> {
    let (mut again, mut not) = (0u64, 0u64);
    for id in ids {
        let ask = || Ask::post(format!("/v1/notices/{id}/replay")).with("tenant", tenant);
        match client.ask_patiently(ask).await {
            Ok(answer) => {
                answer.value::<Notice>().await?;
                again += 1;
            }
            Err(error) => match refused(&error) {
                Some(problem) if matches!(problem.status, 404 | 409) => {
                    not += 1;
                    output::note(&problem.detail);
                }
                _ => return Err(error),
            },
        }
    }
    if global.json {
        output::json(&json!({ "replayed": again, "not": not }))?;
    } else {
        output::line(format_args!("{again} notices are sent again"))?;
    }
    Ok(if not == 0 { Exit::Ok } else { Exit::Some })
}

async fn test(global: &Global, client: &Client, one: &One) -> Result<Exit> {
    let tenant = one.tenant.as_ref();
    let ask = Ask::post(format!("/v1/endpoints/{}/test", one.id)).with("tenant", tenant);
    let mut notice: Notice = client.value(ask).await?;
    let begun = std::time::Instant::now();
    while notice.tried == 0 && begun.elapsed() < TEST {
        tokio::time::sleep(client.look()).await;
        notice = client.value(Ask::get(format!("/v1/notices/{}", notice.id)).with("tenant", tenant)).await?;
    }
    if global.json {
        output::json(&notice)?;
    } else if notice.tried == 0 {
        output::line(format_args!("notice {} waits: does a `deliver` role run?", notice.id))?;
    } else {
        let taken = if notice.state == NoticeState::Delivered { "taken" } else { "not taken" };
        output::line(format_args!("notice {}: {taken} ({})", notice.id, last(&notice)))?;
    }
    Ok(if notice.state == NoticeState::Delivered { Exit::Ok } else { Exit::Some })
}
