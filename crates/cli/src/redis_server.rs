//! A private redis-server with AOF, started and supervised by us.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::data_lock::DataLock;

/// A redis-server of our own in a folder, reached by a socket there.
pub(crate) struct RedisServer {
    folder: PathBuf,
    process: Process,
    _lock: DataLock,
}

/// A redis-server: a child of ours, or one that an earlier Songmill left.
struct Process {
    pid: u32,
    /// How it ended, once it has.
    ended: BoxFuture<'static, String>,
    has_ended: bool,
    is_child: bool,
}

/// How long it may take to answer after a start; a large append-only file is read first.
const START: Duration = Duration::from_secs(60);
/// Between two starts of a server that ended by itself.
const RESTART: Duration = Duration::from_secs(1);
/// How long one that was left may take to answer, or to end: it may be about to, for its parent has died.
const LEFT: Duration = Duration::from_secs(10);
/// A server that was sent SIGTERM notices within this time.
const NOTICED: Duration = Duration::from_millis(300);

/// The address of the private server of a data folder, if one runs there.
pub(crate) fn running(data_dir: &Path) -> Option<String> {
    let socket = socket(data_dir);
    std::os::unix::net::UnixStream::connect(&socket).ok().map(|_| url(&socket))
}

fn socket(data_dir: &Path) -> PathBuf {
    std::path::absolute(data_dir.join("redis")).unwrap_or_else(|_| data_dir.join("redis")).join("s")
}

fn url(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

impl RedisServer {
    /// Starts it and waits until it answers. One that an earlier Songmill left is adopted.
    pub(crate) async fn start(data_dir: &Path) -> Result<(Self, String)> {
        let socket = socket(data_dir);
        let folder = socket.parent().expect("a socket lies in a folder").to_owned();
        if socket.as_os_str().len() > 100 {
            bail!("data_dir: {} is too long for a socket; choose a shorter path", folder.display());
        }
        let lock = DataLock::acquire(data_dir)?;
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot protect {}", folder.display()))?;
        if let Some(process) = left(&socket).await? {
            tracing::warn!(
                pid = process.pid,
                "adopted redis-server {}, which an earlier songmill left running in {}",
                process.pid,
                folder.display()
            );
            return Ok((Self { folder, process, _lock: lock }, url(&socket)));
        }
        let mut server = Self { process: spawn(&folder).await?, folder, _lock: lock };
        server.answered(&socket).await?;
        Ok((server, url(&socket)))
    }

    async fn answered(&mut self, socket: &Path) -> Result<()> {
        let log = self.folder.join("redis.log");
        let answered = async {
            while UnixStream::connect(socket).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = answered => Ok(()),
            status = self.process.ended() => bail!("redis-server ended with {status}; see {}", log.display()),
            () = tokio::time::sleep(START) => bail!("redis-server does not answer; see {}", log.display()),
        }
    }

    /// Starts it again whenever it ends, until `stop`; then ends it in order, with its file flushed.
    pub(crate) async fn supervise(mut self, stop: CancellationToken) {
        loop {
            // Cancel-safe: waiting for a process can be taken up again.
            tokio::select! {
                () = stop.cancelled() => break,
                status = self.process.ended() => {
                    tracing::error!(status, "redis-server ended by itself and is started again");
                }
            }
            tokio::time::sleep(RESTART).await;
            match spawn(&self.folder).await {
                Ok(process) => self.process = process,
                Err(error) => {
                    tracing::error!(error = %format!("{error:#}"), "redis-server does not start");
                    self.process.ended = std::future::ready("it did not start".to_owned()).boxed();
                    self.process.has_ended = true;
                }
            }
        }
        if self.process.has_ended {
            return;
        }
        self.process.signal("TERM");
        if tokio::time::timeout(Duration::from_secs(20), self.process.ended()).await.is_err() {
            tracing::warn!("redis-server does not end and is killed");
            self.process.signal("KILL");
            self.process.ended().await;
        }
    }
}

impl Process {
    /// Waits until it has ended; not to be called again then.
    async fn ended(&mut self) -> String {
        let status = (&mut self.ended).await;
        self.has_ended = true;
        status
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("kill").arg(format!("-{name}")).arg(self.pid.to_string()).status();
    }
}

/// A child does not outlive an owner that gives up; a server that was left stays as it was found.
impl Drop for Process {
    fn drop(&mut self) {
        if self.is_child && !self.has_ended {
            self.signal("TERM");
        }
    }
}

/// The redis-server that an earlier Songmill left with this socket; none where nothing answers.
async fn left(socket: &Path) -> Result<Option<Process>> {
    let deadline = Instant::now() + LEFT;
    loop {
        let Ok(mut stream) = UnixStream::connect(socket).await else { return Ok(None) };
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid()).and_then(|pid| u32::try_from(pid).ok());
        // Twice: it may have been told to end, and be about to.
        let answers = async {
            ping(&mut stream).await?;
            tokio::time::sleep(NOTICED).await;
            ping(&mut stream).await
        };
        let answered = tokio::time::timeout_at(deadline, answers).await;
        match (answered, pid) {
            (Ok(Ok(true)), Some(pid)) => {
                let ended = has_ended(stream, socket.to_owned()).boxed();
                return Ok(Some(Process { pid, ended, has_ended: false, is_child: false }));
            }
            // It has ended meanwhile.
            (Ok(Err(_)), _) if Instant::now() < deadline => tokio::time::sleep(NOTICED / 10).await,
            (Ok(Ok(_)), _) => bail!(
                "what listens at {} is no redis-server of songmill{}; stop it, or use another --data-dir",
                socket.display(),
                pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
            ),
            (_, pid) => {
                let (pid, kill) = match pid {
                    Some(pid) => (format!(" (pid {pid})"), format!("`kill {pid}`, or `kill -9 {pid}`")),
                    None => (String::new(), "kill".to_owned()),
                };
                bail!(
                    "the redis-server{pid} that an earlier songmill left at {} does not answer; end it with {kill}, and \
                     start again: what it has written to its file is kept",
                    socket.display()
                )
            }
        }
    }
}

/// Waits until nothing listens any more: somebody may end this connection alone.
async fn has_ended(mut stream: UnixStream, socket: PathBuf) -> String {
    loop {
        let mut bytes = [0; 64];
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        tokio::time::sleep(NOTICED).await;
        stream = match UnixStream::connect(&socket).await {
            Ok(stream) => stream,
            Err(_) => return "an unknown status: this process did not start it".to_owned(),
        };
    }
}

/// Whether what answers is a redis-server that needs no password; one that is still reading its file is.
async fn ping(stream: &mut UnixStream) -> std::io::Result<bool> {
    stream.write_all(b"PING\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") && answer.len() < 1024 {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok([&b"+PONG"[..], b"-LOADING", b"-BUSY", b"-MISCONF"].iter().any(|known| answer.starts_with(known)))
}

/// Starts it such that it ends when this process does, in whatever way, where the system can see to that.
async fn spawn(folder: &Path) -> Result<Process> {
    let help =
        "cannot start redis-server; install it (Debian: apt-get install redis-server) or set redis.url";
    let folder = folder.to_owned();
    let (started, has_started) = oneshot::channel();
    let (ended, has_ended) = oneshot::channel();
    // The system ends a child when the *thread* that started it ends, so one thread does and stays.
    let thread = std::thread::Builder::new().name("redis-server".into()).spawn(move || {
        let child = if is_installed("redis-server") {
            command(&folder).spawn()
        } else {
            Err(std::io::ErrorKind::NotFound.into())
        };
        match child {
            Ok(mut child) => {
                let _ = started.send(Ok(child.id()));
                let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                let _ = ended.send(status);
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
    thread.context("cannot start a thread")?;
    let pid = has_started.await.context("cannot start redis-server")?.context(help)?;
    let ended = has_ended.map(|status| status.unwrap_or_else(|_| "an unknown status".to_owned())).boxed();
    Ok(Process { pid, ended, has_ended: false, is_child: true })
}

fn command(folder: &Path) -> Command {
    let mut command = match ends_with_us() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(ENDS_WITH_US).arg("redis-server");
            command
        }
        false => Command::new("redis-server"),
    };
    for (setting, value) in [
        ("--port", "0"),
        ("--unixsocket", "s"),
        ("--unixsocketperm", "600"),
        ("--appendonly", "yes"),
        // What it acknowledged is on the disk, also while it rewrites its file.
        ("--appendfsync", "always"),
        ("--no-appendfsync-on-rewrite", "no"),
        ("--maxmemory-policy", "noeviction"),
        ("--save", ""),
        // Job records in one piece: a quarter less memory. (The name that 6.2 knows too.)
        ("--hash-max-ziplist-value", "2048"),
        ("--daemonize", "no"),
        ("--logfile", "redis.log"),
    ] {
        command.arg(setting).arg(value);
    }
    // A group of its own: Ctrl-C at the terminal must not end it before the roles have written all down.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

const ENDS_WITH_US: [&str; 2] = ["--pdeathsig", "TERM"];

/// Whether there is a setpriv that knows how; BusyBox's does not, and other systems have none.
fn ends_with_us() -> bool {
    let mut asked = Command::new("setpriv");
    asked.args(ENDS_WITH_US).arg("true");
    asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    cfg!(target_os = "linux") && asked.status().is_ok_and(|status| status.success())
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
