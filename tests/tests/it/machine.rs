//! One machine's life: `songmill up` that is killed, started again, and started twice.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use songmill_tests::{Process, binary, free_port, until};
use tempfile::TempDir;

/// A machine on which `songmill up` runs with its private Redis.
struct Machine {
    folder: TempDir,
    /// Where programs are looked for, where that is not everywhere.
    path: Option<PathBuf>,
}

impl Machine {
    fn new() -> Result<Self> {
        Ok(Self { folder: TempDir::new()?, path: None })
    }

    /// One that has redis-server, but not setpriv.
    fn without_setpriv() -> Result<Self> {
        let folder = TempDir::new()?;
        let path = folder.path().join("bin");
        std::fs::create_dir(&path)?;
        for program in ["redis-server", "kill"] {
            let every = std::env::var_os("PATH").context("there is a PATH")?;
            let found = std::env::split_paths(&every).map(|folder| folder.join(program));
            symlink(found.into_iter().find(|file| file.is_file()).context(program)?, path.join(program))?;
        }
        Ok(Self { folder, path: Some(path) })
    }

    fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .current_dir(self.folder.path())
            .args(args)
            .stdout(Stdio::null())
            .env_remove("SONGMILL_LOG__LEVEL");
        for name in std::env::vars().map(|(name, _)| name).filter(|name| name.ends_with("REDIS_URL")) {
            command.env_remove(name);
        }
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        Ok(command)
    }

    /// Starts `songmill up`, whose log has this name.
    fn up(&self, log: &str) -> Result<Process> {
        let (listener, api) = (free_port()?, free_port()?);
        let settings = [format!("listener.listen=\"{listener}\""), format!("api.listen=\"{api}\"")];
        let mut command = self.command(&["up", "--set", &settings[0], "--set", &settings[1]])?;
        Process::spawn(&mut command, &self.folder.path().join(log))
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Waits until a start has come so far that all roles run.
    fn is_up(&self, log: &str) -> Result<()> {
        until(&format!("songmill is up: {}", self.log(log)), || Ok(self.log(log).contains("api: serves")))
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("data/redis/s")
    }

    fn redis(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli").arg("-s").arg(self.socket()).args(args).output()?;
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    fn redis_pid(&self) -> Result<u32> {
        let info = self.redis(&["INFO", "server"])?;
        let pid =
            info.lines().find_map(|line| line.strip_prefix("process_id:")).context("redis has a pid")?;
        Ok(pid.trim().parse()?)
    }
}

fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).join("cmdline").metadata().is_ok()
        && std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

fn send(pid: u32, signal: &str) -> Result<()> {
    Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status()?;
    Ok(())
}

#[test]
fn a_killed_songmill_takes_its_redis_along_and_starts_again_with_all_that_was_written() -> Result<()> {
    let machine = Machine::new()?;
    let first = machine.up("first.log")?;
    machine.is_up("first.log")?;
    let redis = machine.redis_pid()?;
    // What it acknowledged is on its disk, and whoever reads the log knows.
    for (setting, value) in [("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no")] {
        assert_eq!(machine.redis(&["CONFIG", "GET", setting])?, format!("{setting}\n{value}"));
    }
    let log = machine.log("first.log");
    assert!(log.contains("Nothing that Redis acknowledged is lost when it crashes"), "{log}");
    machine.redis(&["SET", "kept", "yes"])?;
    first.crash();
    // At once, while the server may still be ending, and once more after that.
    for log in ["second.log", "third.log"] {
        let next = machine.up(log)?;
        machine.is_up(log)?;
        assert_eq!(machine.redis(&["GET", "kept"])?, "yes");
        let own = machine.redis_pid()?;
        next.crash();
        until("its redis has ended", || Ok(!is_running(own)))?;
    }
    assert!(!is_running(redis));
    Ok(())
}

#[test]
fn a_redis_that_a_killed_songmill_left_is_adopted_and_ended_in_order() -> Result<()> {
    let machine = Machine::without_setpriv()?;
    let first = machine.up("first.log")?;
    machine.is_up("first.log")?;
    let redis = machine.redis_pid()?;
    machine.redis(&["SET", "kept", "yes"])?;
    first.crash();
    assert!(is_running(redis), "nothing ends it on such a machine");
    let second = machine.up("second.log")?;
    machine.is_up("second.log")?;
    assert_eq!(machine.redis_pid()?, redis);
    assert!(machine.log("second.log").contains(&format!("adopted redis-server {redis}")));
    // When an adopted one ends, another is started in its place; a connection alone that ends is nothing.
    machine.redis(&["CLIENT", "KILL", "TYPE", "normal"])?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(machine.redis_pid()?, redis);
    send(redis, "KILL")?;
    until("another has taken its place", || Ok(machine.redis_pid().is_ok_and(|pid| pid != redis)))?;
    assert_eq!(machine.redis(&["GET", "kept"])?, "yes");
    let last = machine.redis_pid()?;
    let (_, code) = second.stop()?;
    assert_eq!(code, Some(0), "{}", machine.log("second.log"));
    assert!(!is_running(last));
    Ok(())
}

#[test]
fn a_second_songmill_in_a_folder_names_the_first() -> Result<()> {
    let machine = Machine::new()?;
    let first = machine.up("first.log")?;
    machine.is_up("first.log")?;
    let second = machine.up("second.log")?;
    assert_eq!(second.wait()?, Some(2));
    let said = machine.log("second.log");
    assert!(said.contains(&format!("is already running in data (pid {})", first.id())), "{said}");
    let (_, code) = first.stop()?;
    assert_eq!(code, Some(0));
    Ok(())
}

#[test]
fn a_redis_that_was_left_and_does_not_answer_is_named() -> Result<()> {
    let machine = Machine::without_setpriv()?;
    let first = machine.up("first.log")?;
    machine.is_up("first.log")?;
    let redis = machine.redis_pid()?;
    first.crash();
    send(redis, "STOP")?;
    let second = machine.up("second.log")?;
    let code = second.wait()?;
    send(redis, "CONT")?;
    send(redis, "TERM")?;
    assert_eq!(code, Some(1));
    let said = machine.log("second.log");
    assert!(said.contains(&format!("redis-server (pid {redis})")) && said.contains("`kill "), "{said}");
    until("it has ended", || Ok(!is_running(redis)))
}
