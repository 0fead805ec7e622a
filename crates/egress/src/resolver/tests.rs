//! Names that lead astray.

use std::sync::Mutex;

use super::*;

/// Names that lead to these addresses: the first time to the first of them, and so on; then nowhere.
struct Names(Mutex<Vec<Vec<IpAddr>>>);

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answer = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().rev().map(answer).collect())))
    }
}

impl Resolve for Names {
    fn resolve(&self, _: &str) -> Resolving {
        let ips = self.0.lock().unwrap().pop().unwrap_or_default();
        Box::pin(std::future::ready(Ok(ips)))
    }
}

const OPEN: AddressPolicy = AddressPolicy { allow_http: true, allow_private: false };

fn blocked() -> Result<Vec<IpAddr>, Failure> {
    Err(BlockedAddress::Leads.into())
}

#[tokio::test]
async fn where_a_name_leads_is_checked_every_time_it_is_asked_for() {
    let public: IpAddr = "93.184.216.34".parse().unwrap();
    let resolver = Resolver::new(OPEN, Names::new(&[&["93.184.216.34"], &["127.0.0.1"]]));
    assert_eq!(resolver.resolve("cdn.example.com").await, Ok(vec![public]));
    assert_eq!(resolver.resolve("cdn.example.com").await, blocked());
    assert_eq!(resolver.resolve("cdn.example.com").await, Err(Failure::NameNotResolved));
}

#[tokio::test]
async fn a_name_with_one_private_address_among_public_ones_is_refused() {
    for ip in ["10.0.0.1", "169.254.169.254", "fd00:ec2::254", "::1", "::ffff:127.0.0.1", "64:ff9b::a00:1"] {
        for answer in [["93.184.216.34", ip], [ip, "93.184.216.34"]] {
            let resolver = Resolver::new(OPEN, Names::new(&[&answer]));
            assert_eq!(resolver.resolve("cdn.example.com").await, blocked(), "{ip}");
        }
    }
}
