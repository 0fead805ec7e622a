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
    /// Those on which a request is served.
    busy: usize,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Connections,
    ConnectionsOfPeer,
    Requests,
    RequestsOfPeer,
}

/// Why a further request of a connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// The connection was closed to make room just now.
    Evicted,
    Refused(Full),
}

impl Full {
    /// What is used up, and its setting.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "all connections are taken (max_connections)",
            Self::ConnectionsOfPeer => "all connections of its address are taken (max_connections_per_peer)",
            Self::Requests => "all requests are taken (max_requests)",
            Self::RequestsOfPeer => "all requests of its address are taken (a quarter of max_requests)",
        }
    }
}

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
            inner.evict(oldest).ok_or(Full::ConnectionsOfPeer)?;
            room = Room::Made;
        }
        if inner.connections >= self.max_connections {
            let oldest = inner.idle.keys().next().copied();
            inner.evict(oldest).ok_or(Full::Connections)?;
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
        inner.evict(oldest).is_some()
    }

    /// How many requests of one peer are served at the same time.
    fn share(&self) -> usize {
        self.max_requests.div_ceil(4)
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

    /// Closes an idle connection, if there is one of this number.
    fn evict(&mut self, number: Option<u64>) -> Option<()> {
        let entry = self.idle.get(&number?)?.clone();
        self.leave(&entry);
        entry.evicted.notify_one();
        Some(())
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
            of_peer.busy -= usize::from(before == Phase::Busy);
            if of_peer.connections == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    fn no_longer_idle(&mut self, entry: &Entry, phase: Phase) {
        let (Phase::New(number) | Phase::Between(number)) = phase else { return };
        self.idle.remove(&number);
        self.between_requests.remove(&number);
        if let Some(of_peer) = self.of_peer(entry) {
            of_peer.idle.remove(&number);
        }
    }

    /// What is counted for a connection's peer, where anything is.
    fn of_peer(&mut self, entry: &Entry) -> Option<&mut OfPeer> {
        self.peers.get_mut(&entry.peer?)
    }

    /// Whether a connection's peer has fewer requests under way than its share.
    fn share_of_peer(&mut self, entry: &Entry, share: usize) -> Result<(), Full> {
        match self.of_peer(entry) {
            Some(of_peer) if of_peer.busy >= share => Err(Full::RequestsOfPeer),
            Some(_) | None => Ok(()),
        }
    }

    /// From idle to busy.
    fn becomes_busy(&mut self, entry: &Entry) {
        let before = entry.replace(Phase::Busy);
        self.no_longer_idle(entry, before);
        if let Some(of_peer) = self.of_peer(entry) {
            of_peer.busy += 1;
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
        inner.share_of_peer(&self.entry, self.registry.share())?;
        if inner.parsed >= self.registry.max_requests {
            let oldest = inner.between_requests.first().copied();
            inner.evict(oldest).ok_or(Full::Requests)?;
        }
        let Phase::New(_) = self.entry.phase() else { return Err(Full::Connections) };
        inner.becomes_busy(&self.entry);
        inner.parsed += 1;
        Ok(())
    }

    /// A request is served from now on.
    pub(crate) fn busy(&self) -> Result<(), NotBegun> {
        let mut inner = self.registry.lock();
        match self.entry.phase() {
            Phase::Evicted => Err(NotBegun::Evicted),
            Phase::New(_) | Phase::Busy => Ok(()),
            Phase::Between(_) => {
                inner.share_of_peer(&self.entry, self.registry.share()).map_err(NotBegun::Refused)?;
                inner.becomes_busy(&self.entry);
                Ok(())
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
        if let Some(of_peer) = inner.of_peer(&self.entry) {
            of_peer.busy -= 1;
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
mod tests;
