//! Reading the first request's line and headers, in no more memory than they need.

use std::io;

use tokio::net::TcpStream;

/// Reads until the line and headers are there, or the parser is sure to refuse them: it never has to wait for more, since
/// a connection that it waits for has taken a place among the requests.
pub(crate) async fn read(stream: &TcpStream, max: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        stream.readable().await?;
        match read_some(stream, &mut head) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) if is_for_the_parser(&head, read, max) => return Ok(head),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// A function of its own, so that the buffer is no part of the waiting future.
fn read_some(stream: &TcpStream, head: &mut Vec<u8>) -> io::Result<usize> {
    let mut some = [0; 4096];
    let read = stream.try_read(&mut some)?;
    let mut new = &some[..read];
    if head.is_empty() {
        // Blank lines before a request are allowed, and mean nothing.
        let start = new.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(read);
        new = &new[start..];
    }
    head.reserve_exact(new.len());
    head.extend_from_slice(new);
    Ok(read)
}

/// Whether all is there, too much is, or the first byte is none that a method begins with; the last `read` bytes are new.
fn is_for_the_parser(head: &[u8], read: usize, max: usize) -> bool {
    let Some(first) = head.first() else { return false };
    let new = &head[head.len().saturating_sub(read + 3)..];
    let has_blank_line =
        new.windows(2).any(|two| two == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n");
    has_blank_line || head.len() >= max || !is_of_a_method(*first)
}

/// A `tchar` of RFC 9110, 5.6.2.
fn is_of_a_method(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_gets_what_is_whole_or_wrong() {
        let given = |head: &str| is_for_the_parser(head.as_bytes(), head.len(), 64);
        for whole in ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\n\r\nbody"]
        {
            assert!(given(whole), "{whole:?}");
            // Byte by byte it is whole at its end.
            let end = whole.find("\n\r\n").map_or_else(|| whole.find("\n\n").unwrap() + 2, |at| at + 3);
            for until in 1..end {
                assert!(!is_for_the_parser(&whole.as_bytes()[..until], 1, 64), "{:?}", &whole[..until]);
            }
            assert!(is_for_the_parser(&whole.as_bytes()[..end], 1, 64), "{whole:?}");
        }
        assert!(given("\u{16}\u{3}\u{1}"), "TLS is told at once that it is none");
        assert!(given(&"a".repeat(64)), "the parser says that it is too long");
        for byte in 0..=255 {
            let mut headers = [];
            let mut request = httparse::Request::new(&mut headers);
            let waits = matches!(request.parse(&[byte]), Ok(httparse::Status::Partial));
            // Blank lines never get here.
            let is_given = is_for_the_parser(&[byte], 1, 64) || matches!(byte, b'\r' | b'\n');
            assert_eq!(is_given, !waits || matches!(byte, b'\r' | b'\n'), "{byte:#x}");
        }
        assert!(!given("GET / HTTP/1.1\r\nhost: x\r\n"));
        assert!(!given(""));
    }
}
