//! Exports of a batch: its audio with a manifest and a playlist, as a folder or a tar.
//!
//! Nothing takes its name before all of it is there. The manifest and the playlist come last: where they are, the rest is.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use axum::http::Method;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use songmill_api::views::{BatchView, JobDetail};
use songmill_core::view::{AssetView, FaultView};
use songmill_core::{BatchRef, JobId, VendorName};
use tempfile::{NamedTempFile, TempPath};

use crate::args::Global;
use crate::client::{Ask, Client, refused};
use crate::exit::Exit;
use crate::verify::AUDIO;
use crate::{output, progress};

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

#[derive(Default)]
struct Sum {
    jobs: u64,
    files: u64,
    bytes: u64,
    missing: u64,
}

/// A line of the results, as far as it matters here.
#[derive(serde::Deserialize)]
struct Member {
    id: JobId,
    state: String,
}

const MANIFEST: &str = "manifest.jsonl";
/// Jobs whose audio is fetched at the same time.
const ABREAST: usize = 8;
/// How often a file is asked for.
const TRIES: u32 = 3;
/// What files on their way are called; those that a crash left are removed after a day.
const PART: &str = ".songmill-part-";
const LEFT_OVER: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

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
            "missing": sum.missing, "settled": batch.settled,
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
        if !batch.settled {
            output::line("the batch goes on: export it again when it has ended")?;
        }
    }
    Ok(if sum.missing == 0 { Exit::Ok } else { Exit::Some })
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
            serde_json::to_writer(&mut manifest, &line)?;
            manifest.write_all(b"\n")?;
            sum.jobs += 1;
            bar.inc(1);
        }
        manifest.flush()?;
        playlist.flush()?;
        bar.finish_and_clear();
        Ok(sum)
    }

    /// All jobs in their order, kept in a file as they come.
    async fn members(&self) -> Result<impl Iterator<Item = Result<Member>> + use<>> {
        let mut spool = std::io::BufWriter::new(tempfile::tempfile()?);
        let answer = self.client.ask_patiently(|| Ask::batch(Method::GET, self.name, "/results")).await?;
        answer
            .lines(|line| {
                let member: Member = serde_json::from_slice(line).context("a result is not understood")?;
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
        let answer = self.client.ask_patiently(|| Ask::get(format!("/v1/jobs/{id}"))).await;
        let detail: JobDetail = match answer {
            Ok(answer) => serde_json::from_slice(&answer.whole().await?)?,
            // Retention has taken it.
            Err(error) if refused(&error).is_some_and(|problem| problem.status == 404) => {
                line.state = "gone".into();
                return Ok(Brought { line, audio: Vec::new() });
            }
            Err(error) => return Err(error),
        };
        let JobDetail { job, request } = detail;
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
        for n in 1.. {
            match self.download(asset).await {
                Ok(file) if self.keep => {
                    file.persist(&place).with_context(|| format!("cannot write {}", place.display()))?;
                    return Ok(Fetched::InPlace);
                }
                Ok(file) => return Ok(Fetched::Here(file.into_temp_path())),
                Err(error) => match refused(&error) {
                    Some(problem) if matches!(problem.status, 404 | 410) => {
                        return Ok(Fetched::Missing(problem.detail.clone()));
                    }
                    _ if n < TRIES => tokio::time::sleep(self.client.look()).await,
                    _ => return Err(error),
                },
            }
        }
        unreachable!("the last try returns")
    }

    async fn download(&self, asset: &AssetView) -> Result<NamedTempFile> {
        let mut answer = self.client.ask_patiently(|| Ask::get(&asset.url)).await?;
        let mut to = Hashed { file: self.part()?, hash: Sha256::new(), bytes: 0, most: asset.bytes };
        answer.copy(&mut to).await?;
        ensure!(to.bytes == asset.bytes, "it has {} bytes, not {}", to.bytes, asset.bytes);
        ensure!(output::hex(&to.hash.finalize()) == asset.sha256, "it is not what was stored");
        Ok(to.file)
    }
}

/// A file that is hashed as it is written.
struct Hashed {
    file: NamedTempFile,
    hash: Sha256,
    bytes: u64,
    most: u64,
}

impl Write for Hashed {
    fn write(&mut self, some: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(some)?;
        self.hash.update(&some[..written]);
        self.bytes += written as u64;
        if self.bytes > self.most {
            return Err(std::io::Error::other(format!("it has more than {} bytes", self.most)));
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Whether a file is what it should be.
async fn is_there(place: &Path, asset: &AssetView) -> Result<bool> {
    // Not a link: what is behind it may be anybody's.
    if !place.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == asset.bytes) {
        return Ok(false);
    }
    let (place, sha256) = (place.to_owned(), asset.sha256.clone());
    let same = tokio::task::spawn_blocking(move || {
        let (mut file, mut hash) = (std::fs::File::open(place)?, Sha256::new());
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok::<_, std::io::Error>(output::hex(&hash.finalize()) == sha256),
                read => hash.update(&buffer[..read]),
            }
        }
    });
    Ok(same.await??)
}

fn put(tar: &mut tar::Builder<&mut dyn Write>, name: &str, file: std::fs::File) -> Result<()> {
    let meta = file.metadata()?;
    let mut header = tar::Header::new_gnu();
    header.set_size(meta.len());
    header.set_mode(0o644);
    let age = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    header.set_mtime(age.as_secs());
    Ok(tar.append_data(&mut header, name, file)?)
}

/// Makes the folder, and removes what a crash left there long ago.
fn ready(folder: &Path) -> Result<()> {
    let cannot = || format!("cannot write to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    for entry in std::fs::read_dir(folder).with_context(cannot)?.flatten() {
        let old = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        let ours = entry.file_name().to_string_lossy().starts_with(PART);
        if ours && old.is_some_and(|age| age > LEFT_OVER) {
            // Somebody else may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// A file's name in the export: its own, where that is one, has the job in it and leads nowhere, whatever the server says.
fn safe_name(job: JobId, asset: &AssetView) -> String {
    let own = asset.path.rsplit('/').next().unwrap_or_default();
    let begins = own.starts_with(|first: char| first.is_alphanumeric() || matches!(first, '_' | '@'));
    let plain = own.chars().all(|c| c.is_alphanumeric() || "-_.@=+".contains(c));
    let unique = own.contains(&job.to_string()[..10]);
    if begins && plain && unique && own.len() <= 250 && AUDIO.iter().any(|ending| own.ends_with(ending)) {
        return own.to_owned();
    }
    plain_name(job, asset)
}

/// A name that no other file of the export has.
fn plain_name(job: JobId, asset: &AssetView) -> String {
    let ending: String = asset.format.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{job}-{}.{ending}", asset.n)
}

/// Text as a playlist can have it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        let job = JobId::derive("default", "a");
        let named = |path: &str| {
            let asset = serde_json::json!({
                "n": 2, "url": "/", "path": path, "bytes": 1, "sha256": "", "format": "../mp3", "duration_ms": 1,
            });
            safe_name(job, &serde_json::from_value(asset).unwrap())
        };
        let own = format!("夏-夜-{}.mp3", &job.to_string()[..10]);
        assert_eq!(named(&format!("@acme/album/{own}")), own);
        for bad in
            ["", "a/", "..", "1.mp3", "a/..", "a\\b.mp3", "-rf.mp3", ".mp3", "#EXT.mp3", "a\nb.mp3", MANIFEST]
        {
            assert_eq!(named(bad), format!("{job}-2.mp3"), "{bad:?}");
        }
    }
}
