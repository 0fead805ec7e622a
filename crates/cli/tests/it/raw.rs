//! A server of bytes, which does what no web server would do, and runs of the binary.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What a server does with each connection, once it has read the head of the request.
pub(crate) type Act = Arc<dyn Fn(&str, TcpStream) + Send + Sync>;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a server that does this, for as long as the test's process runs.
pub(crate) fn serve(act: impl Fn(&str, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let (listener, act): (_, Act) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(act));
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (connection, act) = (connection.unwrap(), act.clone());
            std::thread::spawn(move || {
                let mut connection = connection;
                let head = head(&mut connection);
                act(&head, connection);
            });
        }
    });
    address
}

/// Reads no more than the head: what follows stays unread.
fn head(connection: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && matches!(connection.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers in order: all of it arrives, whatever is still being sent.
pub(crate) fn answer(mut connection: TcpStream, status: &str, media: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {media}\r\n");
    let _ = write!(connection, "{head}content-length: {}\r\n\r\n{body}", body.len());
    let _ = connection.shutdown(Shutdown::Write);
    let _ = std::io::copy(&mut connection, &mut std::io::sink());
}

/// Runs the binary beside a server.
pub(crate) fn songmill(server: Option<SocketAddr>, args: &[String], stdout: Stdio) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_songmill"));
    command.args(args).current_dir(folder.path()).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    for name in
        ["SONGMILL_KEY", "SONGMILL_CONFIG", "SONGMILL_SERVER", "HTTP_PROXY", "http_proxy", "ALL_PROXY"]
    {
        command.env_remove(name);
    }
    if let Some(server) = server {
        command.args(["--server", &format!("http://{server}")]).env("SONGMILL_KEY", "sm_test_key");
    }
    let child = command.spawn().unwrap();
    let (id, (ended, output)) = (child.id().to_string(), std::sync::mpsc::channel());
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    output.recv_timeout(PATIENCE).map_or_else(
        |_| {
            let _ = Command::new("kill").args(["-9", &id]).status();
            panic!("{args:?} does not end");
        },
        Result::unwrap,
    )
}

/// Words as arguments.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
