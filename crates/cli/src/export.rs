//! Exports of a batch: its audio with a manifest and a playlist, as a folder or a tar.
//!
//! Nothing takes its name before all of it is there. The manifest and the playlist come last: where they are, the rest is.

use std::io::{BufRead as _, BufReader, Seek as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use axum::http::Method;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use songmill_api::views::{BatchView, JobDetail};
use songmill_core::view::{AssetView, FaultView};
use songmill_core::{BatchRef, JobId, VendorName};
use tempfile::{NamedTempFile, TempPath};

use crate::args::Global;
use crate::client::{Ask, Changes, Client, What, gone};
use crate::exit::Exit;
use crate::{output, progress};

pub(crate) mod files;

use files::{Hashed, PART, is_there, plain_name, put, ready, safe_name};

/// A line of the manifest.
#[derive(Serialize)]
struct Line {
    id: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_id: Option<String>,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<VendorName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    files: Vec<FileLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<FaultView>,
}

/// A piece of audio in the manifest.
#[derive(Serialize)]
struct FileLine {
    n: usize,
    /// Its name in the export.
    path: String,
    bytes: u64,
    sha256: String,
    format: String,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    flags: Vec<String>,
    /// Why it is not in the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

/// A job, and its audio as it is brought along.
struct Brought {
    line: Line,
    /// What is to be put into a tar; a folder has it already.
    audio: Vec<(String, Fetched)>,
}

/// A file that was asked for.
enum Fetched {
    /// Here, for a while.
    Here(TempPath),
    /// Where it belongs.
    InPlace,
    /// Not to be had, and why.
    Missing(String),
}

/// What was asked for.
enum Found<T> {
    There(T),
    /// There is none any more, and why.
    Gone(String),
}

#[derive(Default)]
struct Sum {
    jobs: u64,
    files: u64,
    bytes: u64,
    missing: u64,
    /// Jobs that are kept no more.
    gone: u64,
}

/// A line of the results, as far as it matters here.
#[derive(serde::Deserialize)]
struct Member {
    id: JobId,
    state: String,
}

/// The state of a job that is kept no more.
const GONE: &str = "gone";
const MANIFEST: &str = "manifest.jsonl";
/// Jobs whose audio is fetched at the same time.
const ABREAST: usize = 8;
/// How often a job or a file is asked for.
const TRIES: u32 = 3;

/// `songmill batch export`.
pub(crate) async fn run(global: &Global, client: &Client, name: &BatchRef, to: &Path) -> Result<Exit> {
    let batch: BatchView = client.value(Ask::batch(Method::GET, name, "")).await?;
    let sum = if to.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar")) {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let spool = tempfile::Builder::new().prefix(PART).tempdir_in(folder);
        let spool = spool.with_context(|| format!("cannot write to {}", folder.display()))?;
        let export = Export { client, name, batch: &batch, folder: spool.path(), keep: false };
        let mut sum = Sum::default();
        output::write_whole(to, async |out| {
            sum = export.tar(out).await?;
            Ok(())
        })
        .await?;
        sum
    } else {
        ready(to)?;
        let export = Export { client, name, batch: &batch, folder: to, keep: true };
        export.folder().await?
    };
    if global.json {
        output::json(&serde_json::json!({
            "batch": name.to_string(), "to": to, "jobs": sum.jobs, "files": sum.files, "bytes": sum.bytes,
            "missing": sum.missing, "gone": sum.gone, "settled": batch.settled,
        }))?;
    } else {
        output::line(format_args!(
            "{} jobs, {} files, {} bytes in {}",
            sum.jobs,
            sum.files,
            sum.bytes,
            to.display()
        ))?;
        if sum.missing > 0 {
            output::line(format_args!("{} files are not to be had; {MANIFEST} says why", sum.missing))?;
        }
        if sum.gone > 0 {
            output::line(format_args!(
                "{} jobs are kept no more: of them there is only a line in {MANIFEST}",
                sum.gone
            ))?;
        }
        if !batch.settled {
            output::line("the batch goes on: export it again when it has ended")?;
        }
    }
    Ok(if sum.missing + sum.gone == 0 && batch.settled { Exit::Ok } else { Exit::Some })
}

struct Export<'a> {
    client: &'a Client,
    name: &'a BatchRef,
    batch: &'a BatchView,
    /// Where files arrive.
    folder: &'a Path,
    /// Whether they stay there.
    keep: bool,
}

impl Export<'_> {
    async fn folder(&self) -> Result<Sum> {
        let (mut manifest, mut playlist) = (self.part()?, self.part()?);
        let sum = self.write(&mut manifest, &mut playlist, async |_, _| Ok(())).await?;
        manifest.persist(self.folder.join(MANIFEST))?;
        playlist.persist(self.folder.join(self.playlist()))?;
        Ok(sum)
    }

    async fn tar(&self, out: &mut dyn Write) -> Result<Sum> {
        let mut tar = tar::Builder::new(out);
        let (mut manifest, mut playlist) = (self.part()?, self.part()?);
        let append = async |name: &str, path: &Path| put(&mut tar, name, std::fs::File::open(path)?);
        let sum = self.write(&mut manifest, &mut playlist, append).await?;
        for (name, mut file) in [(MANIFEST.to_owned(), manifest), (self.playlist(), playlist)] {
            file.as_file_mut().rewind()?;
            put(&mut tar, &name, file.reopen()?)?;
        }
        tar.finish()?;
        Ok(sum)
    }

    fn playlist(&self) -> String {
        format!("{}.m3u8", self.name.name)
    }

    fn part(&self) -> Result<NamedTempFile> {
        let folder = self.folder;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let part = tempfile::Builder::new().prefix(PART).permissions(mode).tempfile_in(folder);
        part.with_context(|| format!("cannot write to {}", folder.display()))
    }

    /// Brings all jobs in their order, and writes down what came.
    async fn write(
        &self,
        manifest: &mut NamedTempFile,
        playlist: &mut NamedTempFile,
        mut append: impl AsyncFnMut(&str, &Path) -> Result<()>,
    ) -> Result<Sum> {
        let members = self.members().await?;
        let bar = progress::bar(self.name, self.batch.total, false);
        let (mut manifest, mut playlist) =
            (std::io::BufWriter::new(manifest), std::io::BufWriter::new(playlist));
        write!(playlist, "#EXTM3U\n#PLAYLIST:{}\n", self.name)?;
        let mut brought = stream::iter(members).map(|member| self.bring(member)).buffered(ABREAST);
        let mut sum = Sum::default();
        while let Some(one) = brought.next().await {
            let Brought { line, audio } = one?;
            for ((name, fetched), file) in audio.iter().zip(&line.files) {
                if let Fetched::Missing(_) = fetched {
                    sum.missing += 1;
                    continue;
                }
                if let Fetched::Here(path) = fetched {
                    append(name, path).await?;
                }
                (sum.files, sum.bytes) = (sum.files + 1, sum.bytes + file.bytes);
                let title = file.title.as_ref().or(line.title.as_ref()).or(line.custom_id.as_ref());
                let title = one_line(title.unwrap_or(&file.path));
                write!(playlist, "#EXTINF:{},{title}\n{name}\n", file.duration_ms.div_ceil(1000))?;
            }
            sum.gone += u64::from(line.state == GONE);
            serde_json::to_writer(&mut manifest, &line)?;
            manifest.write_all(b"\n")?;
            sum.jobs += 1;
            bar.inc(1);
        }
        manifest.flush()?;
        playlist.flush()?;
        bar.finish_and_clear();
        if sum.jobs < self.batch.total {
            let words = format!("the server sent {} of {} jobs", sum.jobs, self.batch.total);
            return Err(What::Partial(words).at(self.client.server(), Changes::Nothing).into());
        }
        Ok(sum)
    }

    /// All jobs in their order, kept in a file as they come.
    async fn members(&self) -> Result<impl Iterator<Item = Result<Member>> + use<>> {
        let mut spool = std::io::BufWriter::new(tempfile::tempfile()?);
        let answer = self.client.ask_patiently(|| Ask::batch(Method::GET, self.name, "/results")).await?;
        answer
            .lines(|line| {
                let member: Member = serde_json::from_slice(line).map_err(|_| {
                    What::Unexpected("a line that is no result").at(self.client.server(), Changes::Nothing)
                })?;
                Ok(writeln!(spool, "{} {}", member.id, member.state)?)
            })
            .await?;
        let mut spool = spool.into_inner()?;
        spool.rewind()?;
        Ok(BufReader::new(spool).lines().map(|line| {
            let line = line?;
            let (id, state) = line.split_once(' ').context("a spooled line has two words")?;
            Ok(Member { id: id.parse()?, state: state.to_owned() })
        }))
    }

    async fn bring(&self, member: Result<Member>) -> Result<Brought> {
        let Member { id, state } = member?;
        let mut line = Line {
            id,
            custom_id: None,
            state,
            vendor: None,
            title: None,
            prompt: None,
            files: Vec::new(),
            fault: None,
        };
        let Found::There(detail) = self.often(async || self.detail(id).await).await? else {
            line.state = GONE.into();
            return Ok(Brought { line, audio: Vec::new() });
        };
        let JobDetail { job, request } = *detail;
        (line.state, line.fault) = (job.state.to_string(), job.fault);
        (line.custom_id, line.vendor) = (job.custom_id, Some(job.vendor));
        (line.title, line.prompt) = (job.title, request.prompt);
        let mut audio = Vec::new();
        for asset in job.assets {
            let mut name = safe_name(id, &asset);
            if audio.iter().any(|(known, _)| *known == name) {
                name = plain_name(id, &asset);
            }
            let fetched = self.fetch(&asset, &name).await.with_context(|| format!("job {id}, {name}"))?;
            let missing = match &fetched {
                Fetched::Missing(why) => Some(why.clone()),
                Fetched::Here(_) | Fetched::InPlace => None,
            };
            line.files.push(FileLine {
                n: asset.n,
                path: name.clone(),
                bytes: asset.bytes,
                sha256: asset.sha256,
                format: asset.format,
                duration_ms: asset.duration_ms,
                part: asset.part,
                title: asset.title,
                flags: asset.flags.iter().map(|flag| flag.as_str().to_owned()).collect(),
                missing,
            });
            audio.push((name, fetched));
        }
        Ok(Brought { line, audio })
    }

    /// Fetches audio, unless it is there already.
    async fn fetch(&self, asset: &AssetView, name: &str) -> Result<Fetched> {
        let place = self.folder.join(name);
        if self.keep && is_there(&place, asset).await? {
            return Ok(Fetched::InPlace);
        }
        let file = match self.often(async || self.download(asset).await).await? {
            Found::There(file) => file,
            Found::Gone(why) => return Ok(Fetched::Missing(why)),
        };
        if self.keep {
            file.persist(&place).with_context(|| format!("cannot write {}", place.display()))?;
            return Ok(Fetched::InPlace);
        }
        Ok(Fetched::Here(file.into_temp_path()))
    }

    /// Asks several times, unless the answer is that it is gone.
    async fn often<T>(&self, ask: impl AsyncFn() -> Result<T>) -> Result<Found<T>> {
        for _ in 1..TRIES {
            match found(ask().await) {
                Err(_) => tokio::time::sleep(self.client.look()).await,
                found => return found,
            }
        }
        found(ask().await)
    }

    async fn detail(&self, id: JobId) -> Result<Box<JobDetail>> {
        let answer = self.client.ask_patiently(|| Ask::get(format!("/v1/jobs/{id}"))).await?;
        answer.value().await
    }

    async fn download(&self, asset: &AssetView) -> Result<NamedTempFile> {
        let mut answer = self.client.ask_patiently(|| Ask::get(&asset.url)).await?;
        let mut to = Hashed::new(self.part()?, asset);
        answer.copy(&mut to).await?;
        to.checked(asset)
    }
}

fn found<T>(asked: Result<T>) -> Result<Found<T>> {
    match asked {
        Ok(there) => Ok(Found::There(there)),
        Err(error) => gone(&error).map(Found::Gone).ok_or(error),
    }
}

/// Text as a playlist can have it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
