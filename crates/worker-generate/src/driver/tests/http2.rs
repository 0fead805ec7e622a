//! Over HTTP/2, where a server can say that it has not begun with a request.

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

/// What a server says to a request.
#[derive(Clone, Copy, Debug)]
enum Say {
    Created,
    /// The stream is reset, for this reason.
    Reset(u32),
    /// The connection is going away: the last stream that was or may be processed, and the reason.
    GoAway(u32, u32),
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn said(say: Say, stream: u32) -> Vec<u8> {
    match say {
        // `:status: 201`, not in a table: `:status` is number 8 of the static one.
        Say::Created => frame(HEADERS, 5, stream, b"\x08\x03201"),
        Say::Reset(reason) => frame(RST_STREAM, 0, stream, &reason.to_be_bytes()),
        Say::GoAway(last, reason) => {
            frame(GOAWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat())
        }
    }
}

/// Says this to each request of a connection, and closes it after so many.
async fn speak(mut stream: TcpStream, requests: usize, say: &[Say]) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    for _ in 0..requests {
        let id = request_of(&mut stream).await?;
        for say in say {
            stream.write_all(&said(*say, id)).await?;
        }
    }
    stream.shutdown().await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Reads frames to the end of a request: the number of its stream.
async fn request_of(stream: &mut TcpStream) -> std::io::Result<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        match kind {
            DATA | HEADERS if flags & END_STREAM != 0 => return Ok(u32::from_be_bytes(id)),
            SETTINGS if flags == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?,
            _ => {}
        }
    }
}

fn driver_2() -> Driver {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Driver::with(DriverSettings::default(), reqwest::ClientBuilder::http2_prior_knowledge).unwrap()
}

#[tokio::test]
async fn what_a_server_says_it_has_not_begun_with_is_sent_once_more_over_a_new_connection() {
    // REFUSED_STREAM; a graceful end; an end for another reason (ENHANCE_YOUR_CALM).
    for say in [Say::Reset(7), Say::GoAway(0, 0), Say::GoAway(0, 11)] {
        for (outlasts, then, expected, connections) in [
            (true, Say::Created, Ok(201), 2),
            (true, say, unreachable(), 2),
            (true, Say::Reset(2), reply_lost(), 2),
            (false, Say::Created, unreachable(), 1),
        ] {
            let (url, counted) = server(move |stream, n| async move {
                speak(stream, 1, &[if n == 0 { say } else { then }]).await
            })
            .await;
            let answered = outlasted(&driver_2(), &url, outlasts).await;
            assert_eq!(sorted(answered), expected, "{say:?}, then {then:?}");
            assert_eq!(counted.load(Ordering::SeqCst), connections, "{say:?}, then {then:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_in_any_other_way_may_have_run_and_is_not_sent_again() {
    // NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED; nothing at all; and the
    // end of a connection whose GOAWAY says that the stream may be processed.
    let resets = [0, 1, 2, 8, 11, 13].map(|reason| vec![Say::Reset(reason)]);
    let ends = [vec![], vec![Say::GoAway(1, 0)], vec![Say::GoAway(1, 2)], vec![Say::GoAway(0x7fff_ffff, 0)]];
    for say in resets.into_iter().chain(ends) {
        let words = format!("{say:?}");
        let say = Arc::new(say);
        let (url, counted) = server(move |stream, _| {
            let say = say.clone();
            async move { speak(stream, 1, &say).await }
        })
        .await;
        assert_eq!(sorted(paid(&driver_2(), &url).await), reply_lost(), "{words}");
        assert_eq!(counted.load(Ordering::SeqCst), 1, "{words}");
    }
}

#[tokio::test]
async fn a_stream_below_the_last_one_of_a_goaway_goes_on() {
    for last in [1, 0x7fff_ffff] {
        let (url, counted) =
            server(
                move |stream, _| async move { speak(stream, 1, &[Say::GoAway(last, 0), Say::Created]).await },
            )
            .await;
        let driver = driver_2();
        assert_eq!(paid(&driver, &url).await, Ok(201));
        round_trip().await;
        assert_eq!(paid(&driver, &url).await, Ok(201), "over a new connection");
        assert_eq!(counted.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_connection_is_shared_until_it_was_idle_for_more_than_a_second() {
    let (url, counted) = server(|stream, _| async move {
        tokio::spawn(async move { speak(stream, 9, &[Say::Created]).await });
        Ok(())
    })
    .await;
    let driver = driver_2();
    for (idle, connections) in [(500, 1), (500, 1), (1100, 1), (500, 2), (0, 2)] {
        assert_eq!(paid(&driver, &url).await, Ok(201));
        assert_eq!(counted.load(Ordering::SeqCst), connections);
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(idle)).await;
        tokio::time::resume();
    }
}
