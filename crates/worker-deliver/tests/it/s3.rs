//! A real S3 server (moto), and a way to it on which things go wrong.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    /// Its address, `http://127.0.0.1:…`.
    pub(crate) address: String,
}

impl Server {
    /// Starts one with a bucket called `songs`. None where there is none to be started, except where all must be tested.
    pub(crate) async fn start() -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Some(program) = program() else {
            let is_said = std::env::var_os("MOTO_SERVER").is_some_and(|said| said == "none");
            assert!(
                is_said || std::env::var("CI").as_deref() != Ok("true"),
                "moto_server is missing: set MOTO_SERVER (to none, to do without), or run ./x test"
            );
            eprintln!("SKIPPED: there is no moto_server here; set MOTO_SERVER, or run ./x test");
            return None;
        };
        let mut child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            line.split_once("Running on ").map(|(_, address)| address.trim().to_owned())
        });
        // What it says must go somewhere, or it stands still.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { child, address: address.unwrap() };
        let made = reqwest::Client::new().put(format!("{}/songs", server.address)).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
        Some(server)
    }

    /// The bytes of an object, as the server has them.
    pub(crate) async fn object(&self, key: &str) -> Option<Vec<u8>> {
        let found = self.get(key).await;
        if found.status() == reqwest::StatusCode::NOT_FOUND {
            return None;
        }
        Some(found.error_for_status().unwrap().bytes().await.unwrap().to_vec())
    }

    /// How many uploads in parts are under way.
    pub(crate) async fn uploads(&self) -> usize {
        let found = self.get("?uploads").await.error_for_status().unwrap();
        found.text().await.unwrap().matches("<UploadId>").count()
    }

    async fn get(&self, key: &str) -> reqwest::Response {
        // It takes any signature, but not none.
        let key_of_anybody = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, Signature=0";
        let request = reqwest::Client::new().get(format!("{}/songs/{key}", self.address));
        request.header("authorization", key_of_anybody).send().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("MOTO_SERVER").filter(|program| !program.is_empty()) {
        if program == "none" {
            return None;
        }
        return Some(program.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("moto_server")).find(|file| Path::exists(file))
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// It is answered with this status, and the server does not hear of it.
    Answer(&'static str),
    /// The way is cut after so many bytes of its body.
    CutAsked(usize),
    /// The way is cut after so many bytes of the reply to it.
    CutReply(usize),
    /// Nothing ever comes back.
    Silence,
}

/// A way to the server that has trouble with requests, in this order and then none.
pub(crate) struct Way {
    /// Its address.
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<String>>>,
    troubles: Arc<Mutex<VecDeque<(&'static str, Trouble)>>>,
}

impl Way {
    pub(crate) async fn to(server: &Server) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", socket.local_addr().unwrap());
        let way = Self { address, asked: Arc::default(), troubles: Arc::default() };
        let (asked, troubles) = (way.asked.clone(), way.troubles.clone());
        let server = server.address.strip_prefix("http://").unwrap().to_owned();
        tokio::spawn(async move {
            loop {
                let (client, _) = socket.accept().await.unwrap();
                let (asked, troubles, server) = (asked.clone(), troubles.clone(), server.clone());
                // A way that breaks is what this is for.
                tokio::spawn(async move { carry(client, &server, &asked, &troubles).await.ok() });
            }
        });
        way
    }

    /// The next requests whose first line contains this have this trouble.
    pub(crate) fn trouble(&self, on: &'static str, times: usize, trouble: Trouble) {
        let mut troubles = self.troubles.lock().unwrap();
        troubles.extend(std::iter::repeat_n((on, trouble), times));
    }

    /// Ends all trouble, and gives the heads of the requests so far.
    pub(crate) fn clear(&self) -> Vec<String> {
        self.troubles.lock().unwrap().clear();
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// Carries one request and its reply.
async fn carry(
    mut client: TcpStream,
    server: &str,
    asked: &Mutex<Vec<String>>,
    troubles: &Mutex<VecDeque<(&'static str, Trouble)>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (first, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
    let fields = fields.to_ascii_lowercase();
    asked.lock().unwrap().push(format!("{first}\n{fields}"));
    let trouble = {
        let mut troubles = troubles.lock().unwrap();
        let found = troubles.iter().position(|(on, _)| first.contains(on));
        found.and_then(|n| troubles.remove(n)).map_or(Trouble::None, |(_, trouble)| trouble)
    };
    let length = fields.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let length: usize = length.unwrap_or(0);
    match trouble {
        Trouble::Answer(status) => {
            let mut body = vec![0; length];
            client.read_exact(&mut body).await?;
            let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return client.write_all(reply.as_bytes()).await;
        }
        Trouble::Silence => return std::future::pending().await,
        _ => {}
    }
    let mut there = TcpStream::connect(server).await?;
    there.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes()).await?;
    let goes = if let Trouble::CutAsked(after) = trouble { length.min(after) } else { length };
    tokio::io::copy(&mut (&mut client).take(goes as u64), &mut there).await?;
    if let Trouble::CutAsked(_) = trouble {
        return Ok(());
    }
    match trouble {
        Trouble::CutReply(after) => {
            tokio::io::copy(&mut (&mut there).take(after as u64), &mut client).await?;
            // The server has done all of it.
            tokio::io::copy(&mut there, &mut tokio::io::sink()).await?;
        }
        _ => drop(tokio::io::copy(&mut there, &mut client).await?),
    }
    client.shutdown().await
}
