//! Who is connected: counts, and who makes room when the server is full.
//!
//! A connection on which nothing happens, because its first request has not arrived whole or because it is between two
//! requests, may be closed at any time; the one that has been so the longest is closed when a new one needs its place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::limits::Limits;
use crate::peer::counted_as;

/// The connections of one server.
#[derive(Debug)]
pub(crate) struct Registry {
    max_connections: usize,
    max_requests: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Numbers connections in the order in which they came to be idle.
    next: u64,
    connections: usize,
    /// Those that have sent a whole request; each has its buffers.
    parsed: usize,
    /// Those on which nothing happens, the longest idle first.
    idle: BTreeMap<u64, Arc<Entry>>,
    /// Those of them that have sent a request.
    between_requests: BTreeSet<u64>,
    peers: HashMap<IpAddr, OfPeer>,
}

#[derive(Debug, Default)]
struct OfPeer {
    connections: usize,
    idle: BTreeSet<u64>,
}

#[derive(Debug)]
struct Entry {
    /// Where its peer's connections are counted.
    peer: Option<IpAddr>,
    phase: Mutex<Phase>,
    evicted: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its first request has not arrived.
    New(u64),
    /// A request is served.
    Busy,
    /// Between two requests.
    Between(u64),
    /// Closed to make room.
    Evicted,
}

/// The place of a connection; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
}

/// What a new connection meant for the others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There was room.
    Free,
    /// An idle one was closed.
    Made,
}

/// There is no room, and nobody idle.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Registry {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            max_connections: limits.max_connections,
            max_requests: limits.max_requests,
            inner: Mutex::default(),
        })
    }

    /// A place for a new connection of a peer that may have so many.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        most: Option<usize>,
    ) -> Result<(Slot, Room), Full> {
        let peer = most.map(|_| counted_as(address));
        let mut inner = self.lock();
        let mut room = Room::Free;
        let of_peer = peer.and_then(|peer| inner.peers.get(&peer));
        if most.zip(of_peer).is_some_and(|(most, of_peer)| of_peer.connections >= most) {
            let oldest = of_peer.and_then(|of_peer| of_peer.idle.first().copied());
            inner.evict(oldest)?;
            room = Room::Made;
        }
        if inner.connections >= self.max_connections {
            let oldest = inner.idle.keys().next().copied();
            inner.evict(oldest)?;
            room = Room::Made;
        }
        let number = inner.number();
        let entry = Arc::new(Entry { peer, phase: Mutex::new(Phase::New(number)), evicted: Notify::new() });
        inner.connections += 1;
        inner.idle.insert(number, entry.clone());
        if let Some(peer) = peer {
            let of_peer = inner.peers.entry(peer).or_default();
            of_peer.connections += 1;
            of_peer.idle.insert(number);
        }
        Ok((Slot { registry: self.clone(), entry }, room))
    }

    /// Closes the connection that has been idle the longest, where there is one.
    pub(crate) fn make_room(&self) -> bool {
        let mut inner = self.lock();
        let oldest = inner.idle.keys().next().copied();
        inner.evict(oldest).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn evict(&mut self, number: Option<u64>) -> Result<(), Full> {
        let entry = number.and_then(|number| self.idle.get(&number).cloned()).ok_or(Full)?;
        self.leave(&entry);
        entry.evicted.notify_one();
        Ok(())
    }

    /// Takes a connection out of all counts, once.
    fn leave(&mut self, entry: &Entry) {
        let before = entry.replace(Phase::Evicted);
        if before == Phase::Evicted {
            return;
        }
        self.no_longer_idle(entry, before);
        self.connections -= 1;
        self.parsed -= usize::from(!matches!(before, Phase::New(_)));
        let Some(peer) = entry.peer else { return };
        if let Some(of_peer) = self.peers.get_mut(&peer) {
            of_peer.connections -= 1;
            if of_peer.connections == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    fn no_longer_idle(&mut self, entry: &Entry, phase: Phase) {
        let (Phase::New(number) | Phase::Between(number)) = phase else { return };
        self.idle.remove(&number);
        self.between_requests.remove(&number);
        if let Some(of_peer) = entry.peer.and_then(|peer| self.peers.get_mut(&peer)) {
            of_peer.idle.remove(&number);
        }
    }
}

impl Entry {
    fn replace(&self, phase: Phase) -> Phase {
        std::mem::replace(&mut *self.phase.lock().unwrap_or_else(PoisonError::into_inner), phase)
    }

    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The first request has arrived whole: a place among those that are served.
    pub(crate) fn parse(&self) -> Result<(), Full> {
        let mut inner = self.registry.lock();
        if inner.parsed >= self.registry.max_requests {
            let oldest = inner.between_requests.first().copied();
            inner.evict(oldest)?;
        }
        let Phase::New(_) = self.entry.phase() else { return Err(Full) };
        let before = self.entry.replace(Phase::Busy);
        inner.no_longer_idle(&self.entry, before);
        inner.parsed += 1;
        Ok(())
    }

    /// A request is served from now on; false where the connection was closed meanwhile.
    pub(crate) fn busy(&self) -> bool {
        let mut inner = self.registry.lock();
        match self.entry.phase() {
            Phase::Evicted => false,
            Phase::New(_) | Phase::Busy => true,
            Phase::Between(_) => {
                let before = self.entry.replace(Phase::Busy);
                inner.no_longer_idle(&self.entry, before);
                true
            }
        }
    }

    /// The answer has been sent: nothing happens until the next request.
    pub(crate) fn idle(&self) {
        let mut inner = self.registry.lock();
        if self.entry.phase() != Phase::Busy {
            return;
        }
        let number = inner.number();
        self.entry.replace(Phase::Between(number));
        inner.idle.insert(number, self.entry.clone());
        inner.between_requests.insert(number);
        if let Some(of_peer) = self.entry.peer.and_then(|peer| inner.peers.get_mut(&peer)) {
            of_peer.idle.insert(number);
        }
    }

    /// Resolves when the connection has to make room.
    pub(crate) async fn evicted(&self) {
        self.entry.evicted.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.lock().leave(&self.entry);
    }
}

#[cfg(test)]
mod tests {
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
        assert!(a.busy());
        assert_eq!(enter().unwrap_err(), Full);
        drop(a);
        assert_eq!(enter().unwrap().1, Room::Free);
    }

    #[test]
    fn a_request_that_needs_buffers_takes_those_of_an_idle_connection() {
        let registry = registry(10, 1);
        let (a, b) = (registry.enter(HERE, None).unwrap().0, registry.enter(HERE, None).unwrap().0);
        a.parse().unwrap();
        assert_eq!(b.parse(), Err(Full));
        a.idle();
        b.parse().unwrap();
        assert!(is_evicted(&a) && !a.busy());
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
        assert_eq!(enter("2001:db8::4").unwrap_err(), Full);
        assert!(enter("2001:db9::4").is_ok(), "another has its own");
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
}
