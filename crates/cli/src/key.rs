//! Keys of the API, and the tenants they belong to.

use anyhow::Result;
use axum::http::Method;
use clap::{Subcommand, ValueEnum};
use indicatif::ProgressBar;
use songmill_api::views::{Erased, Listed, NewKeyView, TenantView};
use songmill_core::Tenant;
use songmill_core::time::Span;
use songmill_store::{AccessKey, Scope};

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::{Exit, usage};
use crate::{context, output, progress};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key and shows it, this once
    Create {
        /// Whose it is
        #[arg(long, default_value = "default")]
        tenant: Tenant,
        /// What it is for
        #[arg(long, default_value = "")]
        name: String,
        /// What it allows; may be given several times [default: submit, read]
        #[arg(long = "scope", value_enum)]
        scopes: Vec<ScopeArg>,
        /// For how long, such as 90d [default: for good]
        #[arg(long)]
        expires_in: Option<Span>,
    },
    /// Lists keys, without their secrets
    List,
    /// Replaces a key; the old one works for a while
    Rotate {
        /// The part of the key between its two _
        id: String,
        /// How long the old one still works
        #[arg(long, default_value = "1d")]
        grace: Span,
    },
    /// Takes a key back, at once
    Revoke {
        /// The part of the key between its two _
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Lists tenants: what each has, and what it may have
    List,
    /// Erases what a tenant's ended jobs said and made, audio too; the accounts stay
    Erase {
        /// The tenant
        tenant: Tenant,
        /// Really: nothing brings it back
        #[arg(long)]
        yes: bool,
    },
    /// Says what a tenant may have; what is not said is as for all tenants
    Quota {
        /// The tenant
        tenant: Tenant,
        /// The most jobs that have not ended; 0 for any number
        #[arg(long)]
        open_jobs: Option<u64>,
        /// The most bytes of their requests; 0 for any number
        #[arg(long)]
        bytes: Option<u64>,
        /// The most jobs taken in on one day, UTC; 0 for any number
        #[arg(long)]
        jobs_per_day: Option<u64>,
        /// The most that is spent on one day, UTC, in the settings' currency; 0 for no cap
        #[arg(long, value_name = "AMOUNT", value_parser = crate::submit::amount)]
        spend_per_day: Option<f64>,
        /// Its share beside other tenants [default: 1]
        #[arg(long, value_name = "SHARE", value_parser = crate::submit::weight)]
        weight: Option<f64>,
    },
}

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeArg {
    /// To submit, cancel and retry jobs, and to say where notices go
    Submit,
    /// To look at jobs and batches, and fetch their audio
    Read,
    /// Everything, for every tenant
    Admin,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Submit => Self::Submit,
            ScopeArg::Read => Self::Read,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

/// `songmill key`.
pub(crate) async fn run(global: &Global, command: KeyCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    match command {
        KeyCommand::Create { tenant, name, scopes, expires_in } => {
            let scopes: Vec<Scope> = scopes.into_iter().map(Scope::from).collect();
            let expires = expires_in.map(|span| span.secs_up());
            let body = serde_json::json!({ "tenant": tenant, "name": name, "scopes": scopes, "expires_in_s": expires });
            let new: NewKeyView = client.value(Ask::post("/v1/keys").json(&body)?).await?;
            made(global, &new)?;
            if !global.json {
                let until = new.key.expires_ms.map_or_else(
                    || "It does not expire.".into(),
                    |at| format!("It expires at {}.", output::moment(at)),
                );
                output::note(until);
            }
        }
        KeyCommand::List => list(global, &client).await?,
        KeyCommand::Rotate { id, grace } => {
            let body = serde_json::json!({ "grace_s": grace.secs_up() });
            let id = seen(&id);
            made(global, &client.value(Ask::post(format!("/v1/keys/{id}/rotate")).json(&body)?).await?)?;
            if !global.json {
                output::note(format_args!("The old key works until {}.", context::until(grace)));
            }
        }
        KeyCommand::Revoke { id } => {
            let id = seen(&id);
            let key: AccessKey = client.value(Ask::new(Method::DELETE, format!("/v1/keys/{id}"))).await?;
            if global.json {
                output::json(&key)?;
            } else {
                output::line(format_args!("key {} of {} is taken back", key.id, key.tenant))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// The part of a key that may be seen, also of a whole one: that must not get into an address.
fn seen(key: &str) -> &str {
    let rest = key.strip_prefix("sm_").unwrap_or(key);
    rest.split('_').next().unwrap_or(rest)
}

fn made(global: &Global, made: &NewKeyView) -> Result<()> {
    if global.json {
        return output::json(made);
    }
    output::line(&made.secret)?;
    output::note(format_args!(
        "key {} of tenant {} for {}; keep it, it cannot be shown again",
        made.key.id,
        made.key.tenant,
        scopes(&made.key)
    ));
    Ok(())
}

fn scopes(key: &AccessKey) -> String {
    let names: Vec<_> = key
        .scopes
        .iter()
        .map(|scope| match scope {
            Scope::Submit => "submit",
            Scope::Read => "read",
            Scope::Admin => "admin",
        })
        .collect();
    names.join(", ")
}

async fn list(global: &Global, client: &Client) -> Result<()> {
    let keys: Listed<AccessKey> = client.value(Ask::get("/v1/keys")).await?;
    if global.json {
        return output::json(&keys.data);
    }
    if keys.data.is_empty() {
        return output::line(
            "no keys yet: the API listens on this machine alone; make one with `songmill key create`",
        );
    }
    let mut table = output::table(&["KEY", "TENANT", "SCOPES", "CREATED", "NAME", "STATE"]);
    for key in &keys.data {
        let until = key.expires_ms.into_iter().chain(key.replaced_ms).min();
        let state = match (key.revoked_ms, until) {
            (Some(at), _) => format!("taken back {}", output::moment(at)),
            (None, Some(at)) => format!("until {}", output::moment(at)),
            (None, None) => "in force".into(),
        };
        table.add_row([
            format!("sm_{}_…", key.id),
            key.tenant.to_string(),
            scopes(key),
            output::moment(key.created_ms),
            key.name.clone(),
            state,
        ]);
    }
    output::print(&table)
}

/// `songmill tenant`.
pub(crate) async fn tenant(global: &Global, command: TenantCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    let tenants = match command {
        TenantCommand::List => client.value::<Listed<TenantView>>(Ask::get("/v1/tenants")).await?.data,
        TenantCommand::Erase { tenant, yes: false } => {
            return Err(usage(format!(
                "this erases all prompts, lyrics, titles and audio of {tenant}, for good: say --yes"
            )));
        }
        TenantCommand::Erase { tenant, yes: true } => return erase(global, &client, tenant).await,
        TenantCommand::Quota { tenant, open_jobs, bytes, jobs_per_day, spend_per_day, weight } => {
            let body = serde_json::json!({
                "open_jobs": open_jobs, "bytes": bytes, "jobs_per_day": jobs_per_day,
                "spend_per_day": spend_per_day, "weight": weight,
            });
            let ask = Ask::new(Method::PUT, format!("/v1/tenants/{tenant}/quota")).json(&body)?;
            vec![client.value(ask).await?]
        }
    };
    if global.json {
        output::json(&tenants)?;
        return Ok(Exit::Ok);
    }
    if tenants.is_empty() {
        output::line("no tenants yet: the first job or key makes one")?;
        return Ok(Exit::Ok);
    }
    let mut table = output::table(&["TENANT", "OPEN JOBS", "BYTES", "JOBS TODAY", "SPENT TODAY", "SHARE"]);
    let money = |has: f64, most: f64| match most > 0.0 {
        true => format!("{has:.4} of {most:.4}"),
        false => format!("{has:.4}"),
    };
    let of = |has: u64, most: u64| if most == 0 { has.to_string() } else { format!("{has} of {most}") };
    for one in &tenants {
        table.add_row([
            one.tenant.to_string(),
            of(one.open_jobs, one.most_open_jobs),
            of(one.bytes, one.most_bytes),
            of(one.jobs_today, one.most_jobs_per_day),
            money(one.spent_today, one.most_spend_per_day),
            one.weight.to_string(),
        ]);
    }
    output::print(&table)?;
    Ok(Exit::Ok)
}

/// Whole rounds at the most; more than two are needed only where jobs end meanwhile.
const ROUNDS: u32 = 8;

/// Round by round, until one finds nothing more: a job that ends while a round looks may have been passed by.
async fn erase(global: &Global, client: &Client, tenant: Tenant) -> Result<Exit> {
    let mut sum = Erased { tenant, jobs: 0, files: 0, texts: 0, open: 0, unreadable: 0, next: None };
    let bar = progress::spinner(global.json);
    let mut at_rest = false;
    for _ in 0..ROUNDS {
        let before = (sum.jobs, sum.files, sum.texts);
        (sum.open, sum.unreadable) = (0, 0);
        erase_round(client, &mut sum, &bar).await?;
        at_rest = before == (sum.jobs, sum.files, sum.texts);
        if at_rest {
            break;
        }
    }
    bar.finish_and_clear();
    let Erased { tenant, jobs, files, texts, open, unreadable, .. } = &sum;
    if global.json {
        output::json(&sum)?;
    } else {
        output::line(format_args!(
            "tenant {tenant}: {jobs} jobs, {files} files and {texts} other texts are erased"
        ))?;
        if *open > 0 {
            output::line(format_args!(
                "{open} jobs had not ended and were left: cancel them, then erase again"
            ))?;
        }
        if *unreadable > 0 {
            output::line(format_args!(
                "{unreadable} records cannot be read and were left; the log names them"
            ))?;
        }
        if !at_rest {
            output::line("there was always more to erase: jobs go on ending; erase again")?;
        }
    }
    Ok(if at_rest && *open == 0 && *unreadable == 0 { Exit::Ok } else { Exit::Some })
}

/// Part by part, each of which may be done again.
async fn erase_round(client: &Client, sum: &mut Erased, bar: &ProgressBar) -> Result<()> {
    loop {
        let path = format!("/v1/tenants/{}/erase", sum.tenant);
        let answer = client.ask_patiently(|| Ask::post(&path).with("cursor", sum.next.as_ref())).await?;
        let part: Erased = answer.value().await?;
        (sum.jobs, sum.files, sum.texts) =
            (sum.jobs + part.jobs, sum.files + part.files, sum.texts + part.texts);
        (sum.open, sum.unreadable) = (sum.open.max(part.open), sum.unreadable + part.unreadable);
        bar.set_message(format!("{} jobs, {} files", sum.jobs, sum.files));
        bar.tick();
        sum.next = part.next;
        if sum.next.is_none() {
            return Ok(());
        }
    }
}
