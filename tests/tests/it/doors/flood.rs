//! Connections on which nothing happens, by the thousand.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use songmill_tests::api::Api;
use songmill_tests::{Process, World, free_port, until};

use super::{SOON, connections, counted, memory, song};

/// Silent and slow connections to each door.
const SILENT: usize = 1000;
const SLOW: usize = 200;

/// Both doors of one process.
struct Doors {
    api: Api,
    listener: SocketAddr,
}

impl Doors {
    /// The longest that anybody waited for an answer, of some at each door.
    fn slowest(&self) -> Result<Duration> {
        let listener = Api { addr: self.listener, key: None };
        let mut slowest = Duration::ZERO;
        for (door, path, status) in [
            (&self.api, "/v1/jobs", 200),
            (&listener, "/health", 200),
            (&listener, "/callbacks/a/b/c/d", 405),
        ] {
            let begun = Instant::now();
            let answered = door.get(path)?.status;
            ensure!(answered == status, "{path} answers {answered}");
            slowest = slowest.max(begun.elapsed());
        }
        Ok(slowest)
    }
}

#[test]
fn silent_and_slow_connections_cost_little_and_lock_nobody_out() -> Result<()> {
    songmill_tests::raise_open_files();
    let world = World::start(&[])?.with("listener.http.header_timeout=\"2m\"");
    let (process, api) = world.serve_api(&["listener"], &["api.http.header_timeout=\"2m\""])?;
    let doors = Doors { api, listener: world.listener };
    doors.slowest()?;
    let (mut silent, mut slow) = (Vec::new(), Vec::new());
    for door in [doors.api.addr, doors.listener] {
        silent.extend(connections(door, SILENT)?);
        slow.extend(connections(door, SLOW)?);
    }
    // A head that never ends, a byte at a time; the first half asked something before.
    let half = slow.len() / 2;
    for stream in &mut slow[..half] {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")?;
    }
    for byte in b"GET /health HTTP/1.1\r\nx:" {
        for stream in &mut slow {
            let _ = stream.write_all(&[*byte]);
        }
        let slowest = doors.slowest()?;
        ensure!(slowest < SOON, "somebody waited {slowest:?}");
    }
    let used = memory(process.id(), "VmHWM")?;
    ensure!(used < 100, "{used} MiB for {} connections", silent.len() + slow.len());
    ensure!(doors.api.post("/v1/jobs", &song("a"))?.status == 202);
    Ok(())
}

#[test]
fn more_connections_than_there_may_be_close_the_longest_idle() -> Result<()> {
    songmill_tests::raise_open_files();
    let door = ["max_connections=100", "header_timeout=\"2m\"", "idle_timeout=\"2m\""];
    let settings: Vec<String> = door.map(|setting| format!("api.http.{setting}")).into();
    let world =
        door.iter().fold(World::start(&[])?, |world, setting| world.with(format!("listener.http.{setting}")));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let (_process, api) = world.serve_api(&["listener"], &settings)?;
    let doors = Doors { api, listener: world.listener };
    let mut open = Vec::new();
    for _ in 0..5 {
        for addr in [doors.api.addr, doors.listener] {
            open.extend(connections(addr, 100)?);
            let mut idle = connections(addr, 40)?;
            for stream in &mut idle {
                stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")?;
            }
            open.extend(idle);
        }
        let slowest = doors.slowest()?;
        ensure!(slowest < SOON, "somebody waited {slowest:?}");
    }
    until("it is said", || Ok(counted(&world.log("api"), "idle connections closed").0 > 500))?;
    let lines = counted(&world.log("api"), "idle connections closed").1;
    ensure!(lines < 60, "{lines} lines");
    Ok(())
}

#[test]
fn files_are_kept_for_our_own_work() -> Result<()> {
    songmill_tests::raise_open_files();
    let world = World::start(&[])?.with("listener.http.header_timeout=\"2m\"");
    let addr = free_port()?;
    let listen = format!("api.listen=\"{addr}\"");
    let settings = ["--set", &listen, "--set", "api.http.header_timeout=\"2m\""];
    let roles = ["serve", "api", "listener", "generate", "deliver"];
    let plain = world.command(&[&roles[..], &settings].concat())?;
    // No more than 600 files, as in a small container.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 600; ulimit -Hn 600; exec \"$@\"", "sh"]);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(world.folder.path());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let _process = Process::spawn(command.stdout(Stdio::null()), &world.folder.path().join("few.log"))?;
    until("the API answers", || Ok(std::net::TcpStream::connect(addr).is_ok()))?;
    until("the listener answers", || Ok(std::net::TcpStream::connect(world.listener).is_ok()))?;
    let doors = Doors { api: Api { addr, key: None }, listener: world.listener };
    let mut open = Vec::new();
    for addr in [doors.api.addr, doors.listener] {
        open.extend(connections(addr, 700)?);
    }
    let slowest = doors.slowest()?;
    ensure!(slowest < SOON, "somebody waited {slowest:?}");
    // Vendors, Redis and storage can be reached meanwhile.
    let job = doors.api.post("/v1/jobs", &song("a"))?.json();
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap_or_default());
    until("a song is made", || Ok(doors.api.get(&path)?.json()["state"] == "completed"))?;
    let log = world.log("few");
    ensure!(log.contains("open files") && !log.contains("could not be accepted"), "{log}");
    Ok(())
}
