//! A private redis-server with AOF, started and supervised by us.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// A redis-server of our own in a folder, reached by a socket there.
#[derive(Debug)]
pub(crate) struct RedisServer {
    folder: PathBuf,
    child: Child,
}

/// How long it may take to answer after a start; a large append-only file is read first.
const START: Duration = Duration::from_secs(60);
/// Between two starts of a server that ended by itself.
const RESTART: Duration = Duration::from_secs(1);

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
    /// Starts it and waits until it answers.
    pub(crate) async fn start(data_dir: &Path) -> Result<(Self, String)> {
        let socket = socket(data_dir);
        let folder = socket.parent().expect("a socket lies in a folder").to_owned();
        if socket.as_os_str().len() > 100 {
            bail!("data_dir: {} is too long for a socket; choose a shorter path", folder.display());
        }
        if running(data_dir).is_some() {
            bail!("another songmill runs with {}; stop it, or use another --data-dir", data_dir.display());
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot protect {}", folder.display()))?;
        let mut server = Self { child: spawn(&folder)?, folder };
        server.answered(&socket).await?;
        Ok((server, url(&socket)))
    }

    async fn answered(&mut self, socket: &Path) -> Result<()> {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("redis-server ended with {status}; see {}", self.folder.join("redis.log").display());
            }
            if UnixStream::connect(socket).await.is_ok() {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                bail!("redis-server does not answer; see {}", self.folder.join("redis.log").display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it again whenever it ends, until `stop`; then ends it in order, with its file flushed.
    pub(crate) async fn supervise(mut self, stop: CancellationToken) {
        loop {
            // Cancel-safe: waiting for a child can be taken up again.
            tokio::select! {
                () = stop.cancelled() => break,
                status = self.child.wait() => {
                    tracing::error!(?status, "redis-server ended by itself and is started again");
                }
            }
            tokio::time::sleep(RESTART).await;
            match spawn(&self.folder) {
                Ok(child) => self.child = child,
                Err(error) => tracing::error!(error = %format!("{error:#}"), "redis-server does not start"),
            }
        }
        if let Some(pid) = self.child.id() {
            let _ = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
        }
        if tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await.is_err() {
            tracing::warn!("redis-server does not end and is killed");
            let _ = self.child.kill().await;
        }
    }
}

fn spawn(folder: &Path) -> Result<Child> {
    let mut command = Command::new("redis-server");
    for (setting, value) in [
        ("--port", "0"),
        ("--unixsocket", "s"),
        ("--unixsocketperm", "600"),
        ("--appendonly", "yes"),
        ("--appendfsync", "everysec"),
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
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true).spawn().context(
        "cannot start redis-server; install it (Debian: apt-get install redis-server) or set redis.url",
    )
}
