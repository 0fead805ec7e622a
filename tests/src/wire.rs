//! Ports and plain HTTP.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::PATIENCE;

/// A port that is free now.
pub fn free_port() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// One HTTP exchange over a connection of its own; the body as JSON, or null.
pub fn http(addr: SocketAddr, method: &str, path: &str, body: Option<&str>) -> Result<(u16, Value)> {
    http_with(addr, method, path, &[], body.unwrap_or_default().as_bytes())
}

/// The same with headers.
pub fn http_with(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<(u16, Value)> {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in [("content-type", "application/json")].iter().chain(headers) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").context("no HTTP reply")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let start = body.find(['{', '[']).unwrap_or(body.len());
    let end = body.rfind(['}', ']']).map_or(start, |end| end + 1);
    Ok((status, serde_json::from_str(&body[start..end.max(start)]).unwrap_or(Value::Null)))
}
