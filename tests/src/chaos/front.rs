//! One address in front of the listeners, as a load balancer would be.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// Passes connections on to whichever listener answers. Its threads end with the process.
pub(super) struct Front {
    addr: SocketAddr,
    behind: Arc<Mutex<Vec<SocketAddr>>>,
}

/// How long a listener may take to take a connection.
const CONNECT: Duration = Duration::from_millis(500);

impl Front {
    pub(super) fn open() -> Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let addr = socket.local_addr()?;
        let behind = Arc::new(Mutex::new(Vec::new()));
        let known = behind.clone();
        std::thread::spawn(move || {
            let turn = AtomicUsize::new(0);
            for stream in socket.incoming().flatten() {
                let (known, turn) = (known.clone(), turn.fetch_add(1, Ordering::Relaxed));
                std::thread::spawn(move || pass(stream, &known, turn));
            }
        });
        Ok(Self { addr, behind })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Adds a listener.
    pub(super) fn add(&self, addr: SocketAddr) {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).push(addr);
    }
}

fn pass(vendor: TcpStream, behind: &Mutex<Vec<SocketAddr>>, turn: usize) {
    let behind = behind.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let tries = (0..behind.len()).map(|n| behind[(turn + n) % behind.len()]);
    let Some(listener) = tries.filter_map(|addr| TcpStream::connect_timeout(&addr, CONNECT).ok()).next()
    else {
        return;
    };
    let (Ok(from), Ok(to)) = (vendor.try_clone(), listener.try_clone()) else { return };
    std::thread::spawn(move || pump(from, to));
    pump(listener, vendor);
}

/// Copies until either side ends, and ends both.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut copy = || -> io::Result<()> {
        let mut buffer = [0; 8192];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                read => to.write_all(&buffer[..read])?,
            }
        }
    };
    // A cut connection is what this is for.
    let _ = copy();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
