//! Addresses as real buckets have them, asked for as browsers would.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::names::Names;

/// What a server is asked for with an address, `{}` standing for its port: the path and the host.
async fn asked_for(address: &str) -> Result<(String, String), String> {
    led(address, &[]).await
}

/// The same where it answers with this redirect first.
async fn led(address: &str, location: &[u8]) -> Result<(String, String), String> {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let mut replies = vec![reply("200 OK", "content-length: 2\r\n", "ok").into_bytes()];
    if !location.is_empty() {
        let to = String::from_utf8_lossy(location).contains("{}");
        let location = if to {
            String::from_utf8_lossy(location).replace("{}", &port).into_bytes()
        } else {
            location.to_vec()
        };
        let redirect = [b"HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: ", &location[..], b"\r\n\r\n"];
        replies.insert(0, redirect.concat());
    }
    let asked = answering(socket, replies);
    let fetcher = fetcher_with(Names::new(&[&["127.0.0.1"][..]; 3]), WINDOW, |_| {});
    let fetched = fetch(&fetcher, &address.replace("{}", &port)).await;
    assert_eq!(fetched.map_err(|fault| fault.to_string())?, "ok");
    let asked = asked.lock().unwrap();
    let request = asked.last().unwrap();
    let path = request.strip_prefix("GET ").and_then(|rest| rest.split_once(" HTTP/1.1\r\n")).unwrap().0;
    let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    Ok((path.to_owned(), host.replace(&port, "{}")))
}

#[tokio::test]
async fn addresses_are_read_as_browsers_read_them() {
    for (address, path) in [
        ("http://a.example:{}/my song (final) [v2].mp3", "/my%20song%20(final)%20[v2].mp3"),
        ("http://a.example:{}/100% pure|mix.mp3", "/100%%20pure|mix.mp3"),
        ("http://a.example:{}/100%25%20pure.mp3", "/100%25%20pure.mp3"),
        ("http://a.example:{}/a//b///c.mp3", "/a//b///c.mp3"),
        ("http://a.example:{}/春天/夜曲.mp3", "/%E6%98%A5%E5%A4%A9/%E5%A4%9C%E6%9B%B2.mp3"),
        ("http://a.example:{}/e\u{301}té ✨.mp3", "/e%CC%81t%C3%A9%20%E2%9C%A8.mp3"),
        ("http://a.example:{}/a.mp3\n", "/a.mp3"),
        ("  http://a.example:{}/a.mp3 \r\n\t ", "/a.mp3"),
        ("\u{3000}http://a.example:{}/a.mp3\u{a0}", "/a.mp3"),
        ("HTTP://A.EXAMPLE:{}/A.mp3", "/A.mp3"),
        ("http://a.example:{}/{\"a\"}<b>`c`^.mp3", "/%7B%22a%22%7D%3Cb%3E%60c%60^.mp3"),
        ("http://a.example:{}/a'b;c=d,e+f@g:h!i$j&k*l~m.mp3", "/a'b;c=d,e+f@g:h!i$j&k*l~m.mp3"),
        (
            "http://a.example:{}/a.mp3?name=my song|é&at=[1]&sig=a%2Fb+c==",
            "/a.mp3?name=my%20song|%C3%A9&at=[1]&sig=a%2Fb+c==",
        ),
        ("http://a.example:{}/a.mp3?path=c:\\songs\\a.mp3", "/a.mp3?path=c:\\songs\\a.mp3"),
        ("http://a.example:{}/a.mp3?{\"b\":`c`^}", "/a.mp3?{%22b%22:`c`^}"),
        ("http://a.example:{}?a=b", "/?a=b"),
        ("http://a.example:{}/a.mp3#the part ⏱ t=1", "/a.mp3"),
        // What is valid as it stands may be signed: each byte stays.
        ("http://a.example:{}/a/../b/./c%2e%2e/d.mp3", "/a/../b/./c%2e%2e/d.mp3"),
        ("http://a.example:{}/a.mp3?name='a'&sig=%2fx+y%3D", "/a.mp3?name='a'&sig=%2fx+y%3D"),
        ("http://a.example:{}/a/../b.mp3?name='a'\n", "/a/../b.mp3?name='a'"),
        ("http://a.example:{}/a/../b c.mp3", "/b%20c.mp3"),
    ] {
        let expected = (path.to_owned(), "a.example:{}".to_owned());
        assert_eq!(asked_for(address).await, Ok(expected), "{address}");
    }
    for (address, host) in [
        ("http://bücher.example:{}/a", "xn--bcher-kva.example:{}"),
        ("http://音乐.中国:{}/a", "xn--fjq180p.xn--fiqs8s:{}"),
        ("http://my_bucket.a.example:{}/a", "my_bucket.a.example:{}"),
        ("http://a.example.:{}/a", "a.example.:{}"),
    ] {
        assert_eq!(asked_for(address).await, Ok(("/a".to_owned(), host.to_owned())), "{address}");
    }
}

#[tokio::test]
async fn where_a_header_leads_on_to_is_read_whatever_it_is_written_in() {
    for (location, path) in [
        (&b"/b c [1]|2.mp3"[..], "/b%20c%20[1]|2.mp3"),
        ("/夜曲.mp3?b=é".as_bytes(), "/%E5%A4%9C%E6%9B%B2.mp3?b=%C3%A9"),
        (b"/caf\xe9 \xd2\xb9.mp3?b=\xe9", "/caf%E9%20%D2%B9.mp3?b=%E9"),
        (b"c%2Fd%.mp3", "/songs/c%2Fd%.mp3"),
        (b"?sig=1", "/songs/a.mp3?sig=1"),
        (b"http://a.example:{}/\xe5\xa4\x9c", "/%E5%A4%9C"),
        (b"//b\xc3\xbccher.example:{}/b", "/b"),
        (b"HTTP://A.EXAMPLE:{}/b", "/b"),
        (b"../b.mp3#\xff", "/b.mp3"),
    ] {
        let led = led("http://a.example:{}/songs/a.mp3", location).await.map(|(path, _)| path);
        assert_eq!(led.as_deref(), Ok(path), "{}", String::from_utf8_lossy(location));
    }
    for refused in
        [&b"/b\\c"[..], b"/b\tc", b"//user@a.example/b", b"ftp://a.example/b", b"//b\xff.example/c"]
    {
        let fault = led("http://a.example:{}/a", refused).await.unwrap_err();
        assert!(fault.starts_with("address_refused (locked)"), "{fault}");
    }
}

/// A text as the URL standard encodes it in a path, byte by byte.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b' ' | b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | 0x7f.. => format!("%{byte:02X}"),
        byte => char::from(byte).to_string(),
    };
    text.bytes().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_path_consists_of_the_server_is_asked_for_it(
        parts in prop::collection::vec("[ -\"$-.0->@-\\[\\]-~¡-ÿ一-鿿ぁ-ん\u{1f300}-\u{1f5ff}]{1,12}x", 1..4),
        scheme in prop::sample::select(vec!["http", "HTTP", "Http"]),
        tail in prop::sample::select(vec!["", "\n", " ", "\r\n", " \t "]),
    ) {
        let path = format!("/{}", parts.join("/"));
        let address = format!("{scheme}://a.example:{{}}{path}{tail}");
        prop_assume!(!path.contains("{}"));
        let asked = Runtime::new().unwrap().block_on(asked_for(&address));
        prop_assert_eq!(asked.map(|(path, _)| path), Ok(encoded(&path)), "{}", address);
        let led = Runtime::new().unwrap().block_on(led("http://a.example:{}/a", path.as_bytes()));
        prop_assert_eq!(led.map(|(path, _)| path), Ok(encoded(&path)), "{}", path);
    }
}
