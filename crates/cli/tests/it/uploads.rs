//! What was submitted is what the server acknowledged.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;

use crate::raw::{answer, serve, songmill, text, words};

/// A file of requests, in a folder that takes what is written beside it along.
fn lines(count: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("songs.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    for n in 0..count {
        writeln!(
            file,
            "{{\"custom_id\":\"s-{n}\",\"prompt\":\"a song about the number {n} and its neighbours\"}}"
        )
        .unwrap();
    }
    (folder, path)
}

fn submit(
    count: usize,
    act: impl Fn(&str, TcpStream) + Send + Sync + 'static,
) -> (Option<i32>, String, String) {
    let ((_folder, file), server) = (lines(count), serve(act));
    let args = words(&format!("submit {} --batch b", file.display()));
    let output = songmill(Some(server), &args, Stdio::piped());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn uploaded(created: u64, known: u64, refused: u64) -> String {
    format!(
        r#"{{"batch":"b","upload":"u","created":{created},"known":{known},"refused":{refused},"errors":[]}}"#
    )
}

/// Reads a body to its end, which is a chunk of nothing.
fn read_whole(connection: &mut TcpStream) {
    let (mut body, mut some) = (Vec::new(), [0; 1 << 16]);
    while !body.ends_with(b"\r\n0\r\n\r\n") {
        match std::io::Read::read(connection, &mut some) {
            Ok(read @ 1..) => body.extend_from_slice(&some[..read]),
            _ => return,
        }
    }
}

#[test]
fn twenty_thousand_lines_to_a_server_that_refuses_the_key_at_once_are_never_submitted() {
    let (_folder, file) = lines(20_000);
    let problem = r#"{"type":"t","title":"Unauthorized","status":401,"code":"key","detail":"the key is not valid","request_id":"r"}"#;
    let server = serve(move |_, mut connection| {
        let head =
            "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-type: application/problem+json\r\n";
        let all = format!("{head}content-length: {}\r\n\r\n{problem}", problem.len());
        let _ = connection.write_all(all.as_bytes());
    });
    let args = words(&format!("submit {} --batch b", file.display()));
    for n in 0..50 {
        let output = songmill(Some(server), &args, Stdio::piped());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((output.status.code(), &*out), (Some(2), ""), "{n}: {err}");
        assert_eq!(err, "error: the key is not valid\n", "{n}");
    }
}

#[test]
fn an_answer_that_comes_while_the_body_is_being_sent_is_read_whatever_it_says() {
    for (status, code) in [
        ("401 Unauthorized", 2),
        ("403 Forbidden", 2),
        ("413 Content Too Large", 2),
        ("429 Too Many Requests", 4),
        ("500 Internal Server Error", 1),
        ("503 Service Unavailable", 4),
    ] {
        let (got, out, err) = submit(20_000, move |_, mut connection| {
            let problem = r#"{"detail":"not now, says the proxy"}"#;
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
            let all = format!("{head}content-length: {}\r\n\r\n{problem}", problem.len());
            let _ = connection.write_all(all.as_bytes());
        });
        assert_eq!((got, &*out), (Some(code), ""), "{status}: {err}");
        assert!(err.contains("not now, says the proxy") && err.contains(&status[..3]), "{status}: {err}");
    }
}

#[test]
fn a_server_that_dies_while_lines_are_sent_is_an_error_that_says_what_to_do() {
    let (code, out, err) = submit(20_000, |_, _| {});
    assert_eq!((code, &*out), (Some(4), ""), "{err}");
    assert!(
        err.contains("closed the connection before it answered")
            && err.contains("submit the same file again"),
        "{err}"
    );
}

#[test]
fn lines_that_were_not_acknowledged_are_not_submitted() {
    for (created, known, refused) in [(10, 0, 0), (19, 0, 0), (0, 0, 0), (5, 5, 5), (21, 0, 0)] {
        let (code, out, err) = submit(20, move |_, mut connection| {
            read_whole(&mut connection);
            answer(connection, "202 Accepted", "application/json", &uploaded(created, known, refused));
        });
        assert_eq!((code, &*out), (Some(3), ""), "{err}");
        let sum = created + known + refused;
        assert!(err.contains(&format!("acknowledged {sum} of 20 lines")), "{err}");
    }
    let (code, out, err) = submit(20, |_, mut connection| {
        read_whole(&mut connection);
        answer(connection, "202 Accepted", "application/json", &uploaded(15, 5, 0));
    });
    assert_eq!(code, Some(0), "{out} {err}");
}

#[test]
fn a_success_that_comes_before_the_file_was_read_is_none() {
    let (code, out, err) = submit(20_000, |_, mut connection| {
        let body = uploaded(20_000, 0, 0);
        let head = "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\n";
        let _ = write!(connection, "{head}content-length: {}\r\n\r\n{body}", body.len());
        let _ = connection.shutdown(Shutdown::Write);
    });
    assert_eq!((code, &*out), (Some(3), ""), "{err}");
    assert!(err.contains("before it had read the whole file"), "{err}");
}

#[test]
fn the_answer_to_another_upload_is_none_to_this_one() {
    let (code, out, err) = submit(1, |_, mut connection| {
        read_whole(&mut connection);
        answer(
            connection,
            "202 Accepted",
            "application/json",
            &uploaded(1, 0, 0).replace("\"b\"", "\"other\""),
        );
    });
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
}

#[test]
fn a_proxy_that_the_environment_names_is_asked() {
    let proxy = serve(|head, connection| {
        let whole = head.starts_with("GET http://songmill.invalid/v1/batches?limit=50 HTTP/1.1\r\n");
        let body = if whole { r#"{"data":[]}"# } else { "" };
        answer(connection, "200 OK", "application/json", body);
    });
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_songmill"))
        .args(["batch", "list", "--server", "http://songmill.invalid"])
        .env("HTTP_PROXY", format!("http://{proxy}"))
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}
