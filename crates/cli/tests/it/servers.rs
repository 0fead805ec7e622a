//! No command takes a server that misbehaves for one that did what it was asked to.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Output, Stdio};

use crate::commands::asking;
use crate::raw::{answer, serve, songmill, text};

/// What no person is shown.
const LIBRARIES: &[&str] =
    &["os error", "hyper", "reqwest", "error sending request", "serde", "missing field", "panicked"];

fn lines() -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
    for n in 0..200 {
        writeln!(file, "{{\"prompt\":\"song {n}\"}}").unwrap();
    }
    file
}

/// Runs every command beside a server that does this.
fn each(codes: &[i32], act: impl Fn(&str, TcpStream) + Send + Sync + 'static) {
    let (file, server) = (lines(), serve(act));
    let commands = asking(file.path());
    let run = |args: &Vec<String>| {
        let output = songmill(Some(server), args, Stdio::piped());
        check(args, &output, codes);
    };
    // A few at a time: most of it is waiting.
    std::thread::scope(|scope| {
        for some in commands.chunks(commands.len().div_ceil(4)) {
            scope.spawn(move || some.iter().for_each(run));
        }
    });
}

fn check(args: &[String], output: &Output, codes: &[i32]) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(codes.contains(&output.status.code().unwrap()), "{args:?}: {:?} {out} {err}", output.status);
    assert_eq!(out, "", "{args:?} claims something");
    let mut lines = err.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("error: ") && first.len() > 20, "{args:?}: {err}");
    assert!(lines.all(|line| line.starts_with("hint: ")), "{args:?}: {err}");
    for library in LIBRARIES {
        assert!(!err.contains(library), "{args:?}: {err}");
    }
}

/// A problem as the API writes it.
const PROBLEM: &str = r#"{"type":"about:blank","title":"Unauthorized","status":401,"code":"key","detail":"the key is not valid","request_id":"r"}"#;

fn status(status: &'static str) -> impl Fn(&str, TcpStream) + Send + Sync {
    move |_, mut connection| {
        let head =
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/problem+json\r\n");
        // In one piece, and nothing of the body is read: closing then resets the connection.
        let all = format!("{head}content-length: {}\r\n\r\n{PROBLEM}", PROBLEM.len());
        connection.write_all(all.as_bytes()).unwrap();
    }
}

#[test]
fn one_that_refuses_the_key_and_closes_without_reading() {
    each(&[2], status("401 Unauthorized"));
}

#[test]
fn one_that_refuses_in_the_words_of_a_proxy() {
    each(&[2], |_, connection| answer(connection, "403 Forbidden", "text/html", "<html>no</html>"));
    each(&[4], |_, connection| answer(connection, "502 Bad Gateway", "text/html", "<html>no</html>"));
}

#[test]
fn one_that_closes_at_once() {
    each(&[4], |_, _| {});
}

#[test]
fn one_that_is_not_there() {
    let file = lines();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for args in asking(file.path()) {
        let output = songmill(Some(address), &args, Stdio::piped());
        check(&args, &output, &[4]);
        assert!(text(&output.stderr).contains("nothing listens there"));
    }
}

#[test]
fn one_that_resets_in_the_middle_of_the_request() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (file, address) = (lines(), listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            // One byte of what is there is read: closing with the rest unread is a reset.
            let (mut connection, mut some) = (connection.unwrap(), [0; 16]);
            while matches!(connection.peek(&mut some), Ok(1..16)) {}
            connection.read_exact(&mut some[..1]).unwrap_or_default();
        }
    });
    for args in asking(file.path()) {
        check(&args, &songmill(Some(address), &args, Stdio::piped()), &[4]);
    }
}

#[test]
fn one_that_closes_after_half_of_its_answer() {
    each(&[4], |_, mut connection| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(b"{\"data\": [").unwrap();
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut connection, &mut std::io::sink());
    });
}

#[test]
fn one_that_closes_after_half_of_a_head() {
    each(&[4], |_, mut connection| {
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-ty").unwrap();
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut connection, &mut std::io::sink());
    });
}

#[test]
fn one_that_hangs_up_in_the_middle_of_a_stream() {
    for media in ["application/json", "application/jsonl"] {
        each(&[1, 4], move |_, mut connection| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";
            let chunk = "{\"data\": [\n";
            let all = format!("{head}content-type: {media}\r\n\r\n{:x}\r\n{chunk}\r\n", chunk.len());
            connection.write_all(all.as_bytes()).unwrap();
            let _ = connection.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut connection, &mut std::io::sink());
        });
    }
}

#[test]
fn one_whose_answers_have_no_end_that_could_be_told_from_a_break() {
    each(&[1], |_, mut connection| {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/jsonl\r\n\r\n";
        connection.write_all(head.as_bytes()).unwrap();
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut connection, &mut std::io::sink());
    });
}

#[test]
fn one_that_answers_with_nothing_a_web_page_or_other_json() {
    let bodies = [
        "",
        "<!doctype html><title>Welcome</title>",
        "{\"hello\": \"world\"}",
        "[]",
        "null",
        "{\"data\": [{}]}",
        "{\"da",
    ];
    for body in bodies {
        let media = if body.starts_with('<') { "text/html" } else { "application/json" };
        each(&[1], move |_, connection| answer(connection, "200 OK", media, body));
    }
}

#[test]
fn one_that_speaks_something_else() {
    each(&[1], |_, mut connection| {
        let _ = connection.write_all(b"SSH-2.0-OpenSSH_9.6\r\n");
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut connection, &mut std::io::sink());
    });
}

#[test]
fn one_that_has_moved() {
    // Where http leads to https a request that changes something would become another one, if it were followed.
    each(&[2], |head, connection| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let to = format!("301 Moved Permanently\r\nlocation: https://example.invalid{path}");
        answer(connection, &to, "text/html", "");
    });
}
