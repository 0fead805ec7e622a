//! Who makes room, and what is counted.

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn registry(max_connections: usize, max_requests: usize) -> Arc<Registry> {
    Registry::new(&Limits { max_connections, max_requests, ..Limits::default() })
}

fn is_evicted(slot: &Slot) -> bool {
    slot.entry.phase() == Phase::Evicted
}

#[test]
fn the_longest_idle_makes_room_and_the_busy_never_do() {
    let registry = registry(3, 3);
    let enter = || registry.enter(HERE, None);
    let (a, b, c) = (enter().unwrap().0, enter().unwrap().0, enter().unwrap().0);
    a.parse().unwrap();
    let (d, room) = enter().unwrap();
    assert!(is_evicted(&b) && !is_evicted(&a) && !is_evicted(&c) && room == Room::Made);
    // Once answered, it is the youngest of those that are idle.
    a.idle();
    let e = enter().unwrap().0;
    assert!(is_evicted(&c) && !is_evicted(&a));
    for slot in [&d, &e] {
        slot.parse().unwrap();
    }
    a.busy().unwrap();
    assert_eq!(enter().unwrap_err(), Full::Connections);
    drop(a);
    assert_eq!(enter().unwrap().1, Room::Free);
}

#[test]
fn a_request_that_needs_buffers_takes_those_of_an_idle_connection() {
    let registry = registry(10, 1);
    let (a, b) = (registry.enter(HERE, None).unwrap().0, registry.enter(HERE, None).unwrap().0);
    a.parse().unwrap();
    assert_eq!(b.parse(), Err(Full::Requests));
    a.idle();
    b.parse().unwrap();
    assert!(is_evicted(&a) && a.busy() == Err(NotBegun::Evicted));
}

#[test]
fn a_peer_makes_room_for_itself_alone() {
    let registry = registry(10, 10);
    let enter = |address: &str| registry.enter(address.parse().unwrap(), Some(2));
    let other = enter("203.0.113.9").unwrap().0;
    let (a, b) = (enter("2001:db8::1").unwrap().0, enter("2001:db8::2").unwrap().0);
    let c = enter("2001:db8::3").unwrap().0;
    assert!(is_evicted(&a) && !is_evicted(&b) && !is_evicted(&other));
    for slot in [&b, &c] {
        slot.parse().unwrap();
    }
    assert_eq!(enter("2001:db8::4").unwrap_err(), Full::ConnectionsOfPeer);
    assert!(enter("2001:db9::4").is_ok(), "another has its own");
}

#[test]
fn a_peer_has_a_quarter_of_the_requests() {
    let registry = registry(20, 8);
    let enter = |address: &str| registry.enter(address.parse().unwrap(), Some(10)).unwrap().0;
    let slots: Vec<_> = (0..4).map(|_| enter("203.0.113.9")).collect();
    slots[0].parse().unwrap();
    slots[1].parse().unwrap();
    assert_eq!(slots[2].parse(), Err(Full::RequestsOfPeer));
    slots[0].idle();
    slots[2].parse().unwrap();
    assert_eq!(slots[0].busy(), Err(NotBegun::Refused(Full::RequestsOfPeer)), "a further one counts, too");
    drop(slots);
    let slots: Vec<_> = (0..3).map(|_| enter("203.0.113.9")).collect();
    assert_eq!(slots.iter().filter(|slot| slot.parse().is_ok()).count(), 2, "all were given back");
    enter("203.0.113.10").parse().unwrap();
    let unlimited: Vec<_> = (0..5).map(|_| registry.enter(HERE, None).unwrap().0).collect();
    assert!(unlimited.iter().all(|slot| slot.parse().is_ok()));
}

#[test]
fn whatever_happens_the_counts_come_back_to_nothing() {
    let registry = registry(5, 3);
    let mut slots = Vec::new();
    for n in 0..1000_usize {
        let address = IpAddr::from([10, 0, 0, (n % 7) as u8]);
        if let Ok((slot, _)) = registry.enter(address, Some(3)) {
            slots.push(slot);
        }
        let of = n * 31 % slots.len().max(1);
        match n % 5 {
            0 | 1 => drop(slots.get(of).map(Slot::parse)),
            2 => drop(slots.get(of).map(Slot::idle)),
            3 => drop(slots.get(of).map(Slot::busy)),
            _ => drop(slots.swap_remove(of)),
        }
        let inner = registry.lock();
        assert!(inner.connections <= 5 && inner.parsed <= 3 && inner.idle.len() <= inner.connections);
    }
    drop(slots);
    let inner = registry.lock();
    assert_eq!((inner.connections, inner.parsed, inner.idle.len()), (0, 0, 0));
    assert!(inner.peers.is_empty() && inner.between_requests.is_empty());
}
