//! Erasing what a tenant's ended jobs said and made; the accounts stay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json as Out;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use schemars::JsonSchema;
use serde::Deserialize;
use songmill_core::{Job, JobId, State as JobState, Tenant, Timestamp};
use songmill_store::{Erasable, Scope};
use songmill_worker_deliver::{Entry, Sidecar, StorageError};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Id, Query};
use crate::once::Answer;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::secret::hex;
use crate::views::Erased;

/// Where erasing goes on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EraseQuery {
    /// Where it goes on: an earlier answer's `next`.
    #[schemars(regex(pattern = "^(files\\.[0-9a-f]*|[0-9]{1,20})$"))]
    cursor: Option<String>,
}

/// Looks of one call through a part of all keys.
const LOOKS: u32 = 50;
/// Jobs after which a call ends.
const JOBS: u64 = 500;
/// How long a call looks through files.
const LONGEST: Duration = Duration::from_secs(60);
/// Files removed, or sidecars read, at the same time.
const ABREAST: usize = 16;
/// Sidecars whose jobs are asked for at once.
const SIDECARS: usize = 64;
/// No sidecar is longer: it holds a request.
const SIDECAR_BYTES: usize = 4 << 20;
/// How far the storage's clock may be behind ours.
const SKEW_MS: u64 = 60_000;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::POST, "/v1/tenants/{tenant}/erase", "tenants.erase", erase)
            .says(
                "Erases what a tenant's ended jobs said and made",
                "Prompts, lyrics, titles, the caller's own ids, the words of faults, refused lines, the texts of notices, \
                 and the audio with what lies beside it. Ids, states, times, vendors, counts, costs and the ledger stay. \
                 Jobs that have not ended are left, and counted: cancel them first. Send it again with `next` until \
                 there is none, and begin anew until one whole round erases nothing: jobs end while it runs. Safe to \
                 begin anew at any time.",
            )
            .for_scope(Scope::Admin)
            .query::<EraseQuery>()
            .reply::<Erased>(200, "What a part of it came to"),
    ]
}

/// What is said of a job that was erased.
pub(crate) fn erased(id: JobId) -> Problem {
    Problem::new(
        StatusCode::GONE,
        "erased",
        format!("what job {id} said and made was erased; nothing brings it back"),
    )
}

async fn erase(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(tenant): Id<Tenant>,
    Query(query): Query<EraseQuery>,
) -> Result<Out<Erased>, Problem> {
    let tenant = caller.meant(Some(&tenant))?;
    // Counted first: one that ends while this looks was passed by, and counts as left.
    let open = app.store.usage(&tenant).await?.open_jobs;
    let mut erased =
        Erased { tenant: tenant.clone(), jobs: 0, files: 0, texts: 0, open, unreadable: 0, next: None };
    match query.cursor.as_deref() {
        None => app.erase_jobs(&mut erased, 0).await?,
        Some(cursor) => match cursor.strip_prefix("files.").map(unhex) {
            Some(Some(from)) => app.erase_files(&mut erased, &from).await?,
            Some(None) => return Err(no_cursor()),
            None => app.erase_jobs(&mut erased, cursor.parse().map_err(|_| no_cursor())?).await?,
        },
    }
    let (by, jobs, files) = (caller.label(), erased.jobs, erased.files);
    tracing::info!(%tenant, by, jobs, files, "what ended jobs of {tenant} said and made is erased");
    Ok(Out(erased))
}

impl App {
    async fn erase_jobs(&self, erased: &mut Erased, mut from: u64) -> Result<(), Problem> {
        let tenant = erased.tenant.clone();
        for _ in 0..LOOKS {
            let found = self.store.look_to_erase(&tenant, from, |kept| Answer::erased(&tenant, kept)).await?;
            (erased.texts, erased.unreadable) =
                (erased.texts + found.texts, erased.unreadable + found.unreadable);
            self.erase_found(erased, &found.jobs).await?;
            match found.next {
                Some(next) => from = next,
                None => {
                    erased.next = Some("files.".into());
                    return Ok(());
                }
            }
            if erased.jobs >= JOBS {
                break;
            }
        }
        erased.next = Some(from.to_string());
        Ok(())
    }

    async fn erase_found(&self, erased: &mut Erased, found: &[Erasable]) -> Result<(), Problem> {
        for some in found.chunks(SIDECARS) {
            erased.files += self.erase_audio(some).await?;
            erased.jobs += self.store.erase(&erased.tenant, some).await?;
        }
        Ok(())
    }

    /// The record knows where the audio lies, so the audio goes first.
    async fn erase_audio(&self, jobs: &[Erasable]) -> Result<u64, Problem> {
        let paths = jobs.iter().flat_map(|found| audio(&found.job));
        let removed = stream::iter(paths.map(Ok)).try_for_each_concurrent(ABREAST, |path| async move {
            self.library.remove(path).await?;
            self.library.remove(&format!("{path}.json")).await
        });
        removed.await.map_err(|error| cannot(&error))?;
        Ok(jobs.iter().map(|found| audio(&found.job).count() as u64).sum())
    }

    /// What storage still has of jobs that ended, or that nobody knows any more: all sidecars are read but those in other
    /// tenants' folders, for nobody knows what layout the files were stored by.
    async fn erase_files(&self, erased: &mut Erased, from: &str) -> Result<(), Problem> {
        let tenant = erased.tenant.clone();
        if from.is_empty() {
            erased.texts += self.store.erase_quarantined(&tenant).await?;
        }
        let own = format!("@{tenant}/");
        // With no job open, whatever was there before belongs to none that goes on; in a folder of its own only: who
        // knows what else lies beside the default tenant's songs.
        let none_open = !tenant.is_default() && erased.open == 0;
        let before = Timestamp::from_millis(self.store.now().as_millis().saturating_sub(SKEW_MS));
        let wanted = |entry: &Entry| !entry.path.starts_with('@') || entry.path.starts_with(&own);
        let entries = self.library.list_after("", from).try_filter(|entry| std::future::ready(wanted(entry)));
        let mut chunks = std::pin::pin!(entries.try_chunks(SIDECARS));
        // From the first on: each call comes further, however long it takes to get there.
        let mut begun = None;
        while let Some(some) = chunks.next().await {
            let begun = begun.get_or_insert_with(Instant::now);
            let some = some.map_err(|error| cannot(&error.1))?;
            let owned = self.owned(&tenant, &some).await?;
            // They ended when the records were already looked through.
            let late: Vec<JobId> = owned.iter().filter_map(Owned::late).collect();
            let (late, _) = self.store.erasable(&tenant, &late).await?;
            self.erase_found(erased, &late).await?;
            for (entry, owned) in some.iter().zip(owned) {
                match owned {
                    Owned::Erased => {
                        let audio = entry.path.trim_end_matches(".json");
                        self.library.remove(audio).await.map_err(|error| cannot(&error))?;
                    }
                    Owned::Nobodys
                        if none_open && entry.path.starts_with(&own) && entry.stat.modified < before => {}
                    Owned::Late(_) | Owned::Open | Owned::Others | Owned::Nobodys => continue,
                }
                self.library.remove(&entry.path).await.map_err(|error| cannot(&error))?;
                erased.files += 1;
            }
            if begun.elapsed() > LONGEST {
                let last = some.last().map_or(from, |entry| &entry.path);
                erased.next = Some(format!("files.{}", hex(last.as_bytes())));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whose files these are, by the sidecars among them.
    async fn owned(&self, tenant: &Tenant, entries: &[Entry]) -> Result<Vec<Owned>, Problem> {
        let read: Vec<BoxFuture<'_, _>> = entries.iter().map(|entry| self.sidecar(entry).boxed()).collect();
        let read = stream::iter(read).buffered(ABREAST).try_collect().await;
        let sidecars: Vec<Option<Sidecar>> = read.map_err(|error| cannot(&error))?;
        let ids: Vec<JobId> = sidecars.iter().flatten().map(|sidecar| sidecar.job).collect();
        let mut jobs = self.store.load_each(&ids).await?.into_iter();
        let of = sidecars.iter().map(|sidecar| {
            let Some(sidecar) = sidecar else { return Owned::Nobodys };
            let known = jobs.next();
            if sidecar.tenant != *tenant {
                return Owned::Others;
            }
            match known {
                Some(Ok(Some(known))) if !known.job.state.name().is_final() => Owned::Open,
                Some(Ok(Some(known))) if known.job.erased.is_none() => Owned::Late(sidecar.job),
                Some(Ok(Some(_) | None)) | None => Owned::Erased,
                // Whoever mends the record still finds the audio.
                Some(Err(_)) => Owned::Open,
            }
        });
        Ok(of.collect())
    }

    /// The sidecar that a file is, if it is one.
    async fn sidecar(&self, entry: &Entry) -> Result<Option<Sidecar>, StorageError> {
        if !entry.path.ends_with(".json") || entry.stat.bytes > SIDECAR_BYTES as u64 {
            return Ok(None);
        }
        let read = match self.library.get(&entry.path).await {
            Ok(chunks) => chunks.try_fold(Vec::new(), async |mut all, chunk| {
                all.extend_from_slice(&chunk);
                Ok(all)
            }),
            Err(StorageError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(serde_json::from_slice(&read.await?).ok())
    }
}

/// Whose a file is.
enum Owned {
    /// A job's that was erased, or is kept no more.
    Erased,
    /// A job's that has ended, and is not erased yet.
    Late(JobId),
    /// A job's that has not ended, as far as can be read.
    Open,
    /// Another tenant's.
    Others,
    /// It does not say.
    Nobodys,
}

impl Owned {
    fn late(&self) -> Option<JobId> {
        match self {
            Self::Late(id) => Some(*id),
            Self::Erased | Self::Open | Self::Others | Self::Nobodys => None,
        }
    }
}

fn audio(job: &Job) -> impl Iterator<Item = &str> {
    let assets = match &job.state {
        JobState::Completed { assets, .. } => &assets[..],
        _ => &[],
    };
    assets.iter().map(|asset| asset.path.as_str())
}

fn unhex(text: &str) -> Option<String> {
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

fn no_cursor() -> Problem {
    Problem::query("cursor", "is none", "use an answer's `next`, or leave it out to begin")
}

fn cannot(error: &StorageError) -> Problem {
    tracing::error!(%error, "storage cannot be erased from");
    Problem::internal()
}
