//! The control API as a client without a library sees it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::PATIENCE;

/// Who asks, and where.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where the API listens.
    pub addr: SocketAddr,
    /// The key, if one is sent.
    pub key: Option<String>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body's lines as JSON.
    pub fn lines(&self) -> Result<Vec<Value>> {
        let lines = self.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }
}

impl Api {
    /// The same, asked with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// Asks without a body.
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.ask("GET", path, &[], b"")
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.ask("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Asks with anything.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        let mut stream = self.begin(method, path, headers, Some(body.len()))?;
        stream.write_all(body)?;
        read(&mut BufReader::new(stream))
    }

    /// Opens a connection and sends the head of a request; without a length the body is for the caller to send, chunked.
    pub fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: Option<usize>,
    ) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head += &format!("host: {}\r\n", self.addr);
        }
        match length {
            Some(length) => head += &format!("content-length: {length}\r\n"),
            None => head += "transfer-encoding: chunked\r\n",
        }
        if let Some(key) = &self.key {
            head += &format!("authorization: Bearer {key}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        Ok(stream)
    }
}

/// Reads a reply to its end.
pub fn read(stream: &mut BufReader<TcpStream>) -> Result<Reply> {
    let mut reply = head(stream)?;
    if reply.header("transfer-encoding") == Some("chunked") {
        while let Some(chunk) = chunk(stream)? {
            reply.body.extend(chunk);
        }
    } else if let Some(length) = reply.header("content-length") {
        let length: usize = length.parse()?;
        reply.body.resize(length, 0);
        stream.read_exact(&mut reply.body)?;
    }
    Ok(reply)
}

/// Reads status and headers of a reply.
pub fn head(stream: &mut BufReader<TcpStream>) -> Result<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).with_context(|| format!("no HTTP reply: {line:?}"))?.parse()?;
    Ok(Reply { status, headers: headers(stream)?, body: Vec::new() })
}

/// Reads the headers of a request.
pub fn request_head(stream: &mut BufReader<TcpStream>) -> Result<Reply> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        bail!("no further request");
    }
    Ok(Reply { status: 0, headers: headers(stream)?, body: Vec::new() })
}

fn headers(stream: &mut BufReader<TcpStream>) -> Result<Vec<(String, String)>> {
    let (mut headers, mut line) = (Vec::new(), String::new());
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    Ok(headers)
}

/// Reads one chunk; none at the end of a whole body.
pub fn chunk(stream: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        bail!("the body was cut");
    }
    let length = usize::from_str_radix(line.trim(), 16).with_context(|| format!("no chunk: {line:?}"))?;
    let mut chunk = vec![0; length + 2];
    stream.read_exact(&mut chunk)?;
    chunk.truncate(length);
    Ok((length > 0).then_some(chunk))
}
