//! Processes that end with their owner, and a redis-server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::PATIENCE;

/// A process that ends with its owner.
#[derive(Debug)]
pub struct Process(pub(crate) Child);

impl Process {
    /// Starts a command in a folder; its standard error goes to a file there.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let child = command.stdin(Stdio::null()).stderr(log).spawn();
        Ok(Self(child.with_context(|| format!("cannot start {command:?}"))?))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it has ended by itself; its exit code.
    pub fn wait(mut self) -> Result<Option<i32>> {
        Ok(self.0.wait()?.code())
    }

    /// Sends a signal by name, such as `KILL`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status()?;
        if !status.success() {
            bail!("process {} cannot be sent {name}", self.0.id());
        }
        Ok(())
    }

    /// Its exit code, if it has ended; none for one that was killed.
    pub fn ended(&mut self) -> Result<Option<Option<i32>>> {
        Ok(self.0.try_wait()?.map(|status| status.code()))
    }

    /// Kills it as a crash would.
    pub fn crash(mut self) {
        self.kill();
    }

    /// The same; it is gone when this returns.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Asks it to end and waits until it has; answers how long that took and its exit code.
    pub fn stop(mut self) -> Result<(Duration, Option<i32>)> {
        let begun = Instant::now();
        self.signal("TERM")?;
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait()? {
                return Ok((begun.elapsed(), status.code()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("process {} does not end", self.0.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets this process open as many files as the system allows it.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Whoever opens more than is allowed then sees an error that says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// A redis-server on a socket, with its append-only file.
#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    process: Option<Process>,
}

impl Redis {
    /// Starts one in a folder.
    pub fn start(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut redis = Self { folder: folder.to_owned(), process: None };
        redis.resume()?;
        Ok(redis)
    }

    /// Starts it again, with what its file holds.
    pub fn resume(&mut self) -> Result<()> {
        self.resume_with(&[])
    }

    /// The same, with more settings such as `--maxclients`.
    pub fn resume_with(&mut self, settings: &[&str]) -> Result<()> {
        // Songmill logs in as the user that operators are told to make; `cli` as another.
        let users = include_str!("../../deploy/redis-users.acl")
            .replace(">ADMIN_PASSWORD", "nopass")
            .replace(">SONGMILL_PASSWORD", ">songmill");
        std::fs::write(self.folder.join("users.acl"), users)?;
        let mut command = Command::new("redis-server");
        command.args(["--aclfile", "users.acl"]);
        command.current_dir(&self.folder).stdout(Stdio::null());
        for (setting, value) in [
            ("--port", "0"),
            ("--unixsocket", "s"),
            ("--appendonly", "yes"),
            ("--appendfsync", "everysec"),
            ("--maxmemory-policy", "noeviction"),
            ("--save", ""),
            ("--hash-max-ziplist-value", "2048"),
        ] {
            command.arg(setting).arg(value);
        }
        command.args(settings);
        self.process = Some(Process::spawn(&mut command, &self.folder.join("redis.err"))?);
        let socket = self.folder.join("s");
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if begun.elapsed() > PATIENCE {
                bail!("redis-server does not answer");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends it in order.
    pub fn stop(&mut self) -> Result<()> {
        let Some(process) = self.process.take() else { return Ok(()) };
        process.stop().map(drop)
    }

    /// Kills it as a crash would.
    pub fn crash(&mut self) {
        if let Some(process) = self.process.take() {
            process.crash();
        }
    }

    /// The id of its process while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Where its socket lies.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// A command to it, as an operator would give it; what it answers.
    pub fn cli(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli").arg("-s").arg(self.socket()).args(args).output()?;
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("unix:{}?user=songmill&pass=songmill", self.socket().display())
    }
}
