//! Bringing a batch's audio: jobs are asked for, their files named in order, and fetched several at a time.

use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use axum::http::Method;
use futures_util::stream::{self, StreamExt as _};
use songmill_api::views::{BatchView, JobDetail};
use songmill_core::view::AssetView;
use songmill_core::{BatchRef, JobId, VendorName};
use tempfile::{NamedTempFile, TempPath};

use super::archive::{Archive, Form};
use super::files::Hashed;
use super::manifest::{FileLine, Line, MANIFEST};
use super::names::{Named, Names, Song, Template};
use crate::client::{Ask, Changes, Client, What, gone};
use crate::exit::usage;
use crate::output::{self, WriteSeek};
use crate::progress;

/// A job, and the audio that belongs to it.
struct Found {
    line: Line,
    audio: Vec<AssetView>,
}

/// The same, with the files' names.
struct Chosen {
    line: Line,
    audio: Vec<(AssetView, Named)>,
}

/// A job whose audio has been fetched.
struct Brought {
    line: Line,
    /// What is to be put into an archive; a folder has it already.
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
enum Answered<T> {
    There(T),
    /// There is none any more, and why.
    Gone(String),
}

/// A line of the results, as far as it matters here.
#[derive(serde::Deserialize)]
struct Member {
    id: JobId,
    state: String,
}

/// The state of a job that is kept no more.
const GONE: &str = "gone";
/// Jobs whose audio is fetched at the same time.
const ABREAST: usize = 8;
/// How often a job or a file is asked for.
const TRIES: u32 = 3;

/// What came of an export.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) jobs: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) missing: u64,
    /// Jobs that are kept no more.
    pub(super) gone: u64,
}

/// An export that is under way.
pub(super) struct Export<'a> {
    pub(super) client: &'a Client,
    pub(super) name: &'a BatchRef,
    pub(super) batch: &'a BatchView,
    pub(super) names: &'a Template,
    /// Where files arrive.
    pub(super) folder: &'a Path,
    /// Whether they stay there.
    pub(super) keep: bool,
}

impl Export<'_> {
    /// Into a folder, in which what is there already stays.
    pub(super) async fn folder(&self) -> Result<Sum> {
        let (mut manifest, mut playlist) = (self.part()?, self.part()?);
        let mut names = Names::new(self.names.clone(), Some(self.folder.to_owned()));
        let known = self.folder.join(MANIFEST);
        let exported = names.learn(&known);
        let playlist_there = self.folder.join(self.playlist());
        let is_foreign = |file: &Path| match file == known {
            true => exported.is_none() && file.metadata().is_ok_and(|there| there.len() > 0),
            false => {
                std::fs::read(file).is_ok_and(|there| !there.starts_with(self.playlist_head().as_bytes()))
            }
        };
        if let Some(other) = [&known, &playlist_there].into_iter().find(|file| is_foreign(file)) {
            return Err(usage(format!(
                "--output: {} is there already, and of no export; name another folder",
                other.display()
            )));
        }
        if let Some(other) = exported.filter(|batch| *batch != self.name.to_string()) {
            return Err(usage(format!(
                "--output: {} holds the export of batch {other}; name another folder",
                self.folder.display()
            )));
        }
        let sum = self.write(names, &mut manifest, &mut playlist, async |_, _| Ok(())).await?;
        manifest.persist(known)?;
        playlist.persist(playlist_there)?;
        Ok(sum)
    }

    /// Into an archive.
    pub(super) async fn archive(&self, form: Form, out: &mut dyn WriteSeek) -> Result<Sum> {
        let mut archive = Archive::new(form, out);
        let (mut manifest, mut playlist) = (self.part()?, self.part()?);
        let names = Names::new(self.names.clone(), None);
        let append = async |name: &str, path: &Path| archive.put(name, std::fs::File::open(path)?);
        let sum = self.write(names, &mut manifest, &mut playlist, append).await?;
        for (name, mut file) in [(MANIFEST.to_owned(), manifest), (self.playlist(), playlist)] {
            file.as_file_mut().rewind()?;
            archive.put(&name, file.reopen()?)?;
        }
        archive.finish()?;
        Ok(sum)
    }

    fn playlist(&self) -> String {
        format!("{}.m3u8", self.name.name)
    }

    /// How it begins.
    fn playlist_head(&self) -> String {
        format!("#EXTM3U\n#PLAYLIST:{}\n", self.name)
    }

    fn part(&self) -> Result<NamedTempFile> {
        output::part_in(self.folder).with_context(|| format!("cannot write to {}", self.folder.display()))
    }

    /// Brings all jobs in their order, and writes down what came.
    async fn write(
        &self,
        names: Names,
        manifest: &mut NamedTempFile,
        playlist: &mut NamedTempFile,
        mut append: impl AsyncFnMut(&str, &Path) -> Result<()>,
    ) -> Result<Sum> {
        let members = self.members().await?;
        let bar = progress::bar(self.name, self.batch.total, false);
        let (mut manifest, mut playlist) =
            (std::io::BufWriter::new(manifest), std::io::BufWriter::new(playlist));
        playlist.write_all(self.playlist_head().as_bytes())?;
        // Names are given in the jobs' order, whatever is fetched first.
        let found = stream::iter(members).map(|member| self.find(member)).buffered(ABREAST);
        let named = stream::unfold((Box::pin(found), names, 0), async |(mut found, mut names, index)| {
            let one = found.next().await?;
            let chosen = async { self.choose(one?, index + 1, &mut names).await };
            Some((chosen.await, (found, names, index + 1)))
        });
        let mut brought = Box::pin(named.map(|chosen| self.bring(chosen)).buffered(ABREAST));
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
                // A line that begins with # is none of a file.
                let here = if name.starts_with('#') { "./" } else { "" };
                write!(playlist, "#EXTINF:{},{title}\n{here}{name}\n", file.duration_ms.div_ceil(1000))?;
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

    /// Asks for a job.
    async fn find(&self, member: Result<Member>) -> Result<Found> {
        let Member { id, state } = member?;
        let mut line = Line {
            batch: self.name.to_string(),
            id,
            custom_id: None,
            state,
            vendor: None,
            title: None,
            prompt: None,
            files: Vec::new(),
            fault: None,
        };
        let Answered::There(detail) = self.often(async || self.detail(id).await).await? else {
            line.state = GONE.into();
            return Ok(Found { line, audio: Vec::new() });
        };
        let JobDetail { job, request } = *detail;
        (line.state, line.fault) = (job.state.to_string(), job.fault);
        (line.custom_id, line.vendor) = (job.custom_id, Some(job.vendor));
        (line.title, line.prompt) = (job.title, request.prompt);
        Ok(Found { line, audio: job.assets })
    }

    /// Names the files of the batch's job at this place.
    async fn choose(&self, found: Found, index: u64, names: &mut Names) -> Result<Chosen> {
        let Found { line, audio } = found;
        let song = Song {
            index,
            id: line.id,
            custom_id: line.custom_id.as_deref(),
            title: line.title.as_deref(),
            prompt: line.prompt.as_deref(),
            vendor: line.vendor.as_ref().map_or("", VendorName::as_str),
            batch: self.name.name.as_str(),
            files: audio.len(),
        };
        let mut named = Vec::with_capacity(audio.len());
        for asset in audio {
            let name = names.name(&song, &asset).await?;
            named.push((asset, name));
        }
        Ok(Chosen { line, audio: named })
    }

    /// Fetches a job's audio.
    async fn bring(&self, chosen: Result<Chosen>) -> Result<Brought> {
        let Chosen { mut line, audio: named } = chosen?;
        let id = line.id;
        let mut audio = Vec::with_capacity(named.len());
        for (asset, Named { name, is_there, is_cut }) in named {
            let fetched = match is_there {
                true => Fetched::InPlace,
                false => {
                    self.fetch(&asset, &name, is_cut).await.with_context(|| format!("job {id}, {name}"))?
                }
            };
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

    /// Fetches audio.
    async fn fetch(&self, asset: &AssetView, name: &str, replaces: bool) -> Result<Fetched> {
        let file = match self.often(async || self.download(asset).await).await? {
            Answered::There(file) => file,
            Answered::Gone(why) => return Ok(Fetched::Missing(why)),
        };
        if self.keep {
            let place = self.folder.join(name);
            let persisted = if replaces { file.persist(&place) } else { file.persist_noclobber(&place) };
            match persisted {
                Ok(_) => {}
                Err(other) if other.error.kind() == std::io::ErrorKind::AlreadyExists => {
                    let words = format!(
                        "{} was written meanwhile; is another export under way there?",
                        place.display()
                    );
                    return Err(usage(words));
                }
                Err(other) => {
                    return Err(other.error).with_context(|| format!("cannot write {}", place.display()));
                }
            }
            return Ok(Fetched::InPlace);
        }
        Ok(Fetched::Here(file.into_temp_path()))
    }

    /// Asks several times, unless the answer is that it is gone.
    async fn often<T>(&self, ask: impl AsyncFn() -> Result<T>) -> Result<Answered<T>> {
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

fn found<T>(asked: Result<T>) -> Result<Answered<T>> {
    match asked {
        Ok(there) => Ok(Answered::There(there)),
        Err(error) => gone(&error).map(Answered::Gone).ok_or(error),
    }
}

/// Text as a playlist can have it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
