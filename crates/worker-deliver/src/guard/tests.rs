//! Names that lead astray, and addresses that lead on.

use std::sync::Mutex;

use super::*;

/// Names that lead to these addresses: the first time to the first of them, and so on; then nowhere.
pub(crate) struct Names(Mutex<Vec<Vec<IpAddr>>>);

impl Names {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answer = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().rev().map(answer).collect())))
    }

    pub(crate) fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolve for Names {
    fn resolve(&self, _: Name) -> Resolving {
        let ips = self.0.lock().unwrap().pop();
        let found = ips.unwrap_or_default().into_iter().map(|ip| SocketAddr::new(ip, 0));
        let addrs: Addrs = Box::new(found);
        Box::pin(std::future::ready(Ok(addrs)))
    }
}

const OPEN: Guard = Guard { allow_http: true, allow_private: false };

async fn resolved(resolver: &GuardedResolver) -> Result<Vec<IpAddr>, Refused> {
    let found = resolver.resolve("cdn.example.com".parse().unwrap()).await;
    found.map(|addrs| addrs.map(|addr| addr.ip()).collect()).map_err(|error| *error.downcast().unwrap())
}

#[tokio::test]
async fn where_a_name_leads_is_checked_every_time_it_is_asked_for() {
    let public: IpAddr = "93.184.216.34".parse().unwrap();
    let names = Names::new(&[&["93.184.216.34"], &["127.0.0.1"]]);
    let resolver = GuardedResolver { guard: OPEN, names };
    assert_eq!(resolved(&resolver).await, Ok(vec![public]));
    assert_eq!(resolved(&resolver).await, Err(Refused::Private(Ipv4Addr::LOCALHOST.into())));
}

#[tokio::test]
async fn a_name_with_one_private_address_among_public_ones_is_refused() {
    for ip in ["10.0.0.1", "169.254.169.254", "fd00:ec2::254", "::1", "::ffff:127.0.0.1", "64:ff9b::a00:1"] {
        for answer in [["93.184.216.34", ip], [ip, "93.184.216.34"]] {
            let resolver = GuardedResolver { guard: OPEN, names: Names::new(&[&answer]) };
            assert_eq!(resolved(&resolver).await, Err(Refused::Private(ip.parse().unwrap())), "{ip}");
        }
    }
}

#[test]
fn where_an_address_leads_on_to_is_checked_like_the_first() {
    let from = |text: &str| Url::parse(text).unwrap();
    let sealed = from("https://cdn.example.com/a/b");
    for (to, expected) in [
        ("c", "https://cdn.example.com/a/c"),
        ("/c?d", "https://cdn.example.com/c?d"),
        ("//other.example/c", "https://other.example/c"),
        ("https://93.184.216.34/", "https://93.184.216.34/"),
    ] {
        assert_eq!(OPEN.follow(&sealed, to.as_bytes()).unwrap().as_str(), expected);
    }
    for (to, why) in [
        ("http://cdn.example.com/a", Refused::Unsealed),
        ("//localhost/a", Refused::Local("localhost".into())),
        ("//127.1/a", Refused::Private(Ipv4Addr::LOCALHOST.into())),
        ("//user@example.com/a", Refused::Credentials),
        ("file:///etc/passwd", Refused::Scheme("file".into())),
        ("/\\127.0.0.1/a", Refused::Invalid),
        ("/\t/127.0.0.1/a", Refused::Invalid),
        ("https://[", Refused::Invalid),
    ] {
        assert_eq!(OPEN.follow(&sealed, to.as_bytes()), Err(why), "{to}");
    }
    assert!(OPEN.follow(&from("http://example.com/"), b"http://example.org/").is_ok());
    assert!(OPEN.follow(&from("http://example.com/"), b"https://example.org/").is_ok());
    let strict = Guard::default();
    assert_eq!(strict.follow(&sealed, b"http://example.org/"), Err(Refused::Scheme("http".into())));
}
