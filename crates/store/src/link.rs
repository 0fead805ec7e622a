//! The connection as commands use it: the first one after Redis was away finds it again, and does not fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};

/// A connection on which nothing was answered for so long is asked whether it still stands before anything is sent.
const FRESH: Duration = Duration::from_millis(100);
/// How long a lost connection is sought again before a command fails of which nothing was sent.
const SEEK: Duration = Duration::from_secs(1);
/// Between two such attempts.
const BETWEEN: Duration = Duration::from_millis(25);

/// A connection that all clones share.
#[derive(Clone)]
pub(crate) struct Link {
    manager: ConnectionManager,
    answered: Arc<Answered>,
}

/// When Redis last answered, in ms since `begun`; 0 for never, or not on this connection.
struct Answered {
    begun: Instant,
    at: AtomicU64,
}

impl Answered {
    fn now(&self) -> u64 {
        1 + u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn is_fresh(&self) -> bool {
        let at = self.at.load(Ordering::Relaxed);
        at > 0 && self.now() - at.min(self.now()) < FRESH.as_millis() as u64
    }

    fn note(&self, error: Option<&RedisError>) {
        let at = if error.is_some_and(is_lost) { 0 } else { self.now() };
        self.at.store(at, Ordering::Relaxed);
    }
}

/// Whether there is no connection, or no longer: as opposed to an answer, or none in time.
fn is_lost(error: &RedisError) -> bool {
    !error.is_timeout()
        && (error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal())
}

impl Link {
    pub(crate) fn new(manager: ConnectionManager) -> Self {
        Self { manager, answered: Arc::new(Answered { begun: Instant::now(), at: AtomicU64::new(0) }) }
    }

    /// Waits for a connection that stands.
    async fn stands(&mut self) -> RedisResult<()> {
        if self.answered.is_fresh() {
            return Ok(());
        }
        let until = Instant::now() + SEEK;
        loop {
            let ping = self.manager.send_packed_command(&redis::cmd("PING")).await;
            self.answered.note(ping.as_ref().err());
            match ping {
                Err(error) if is_lost(&error) && Instant::now() < until => tokio::time::sleep(BETWEEN).await,
                // It is not there, or does not answer. What it answers is for the command itself to find out.
                Err(error) if is_lost(&error) || error.is_timeout() => return Err(error),
                _ => return Ok(()),
            }
        }
    }

    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.stands().await?;
        let answer = self.manager.send_packed_command(command).await;
        self.answered.note(answer.as_ref().err());
        match answer {
            Err(error) if is_lost(&error) && only_reads([command]) => {
                self.stands().await?;
                let answer = self.manager.send_packed_command(command).await;
                self.answered.note(answer.as_ref().err());
                answer
            }
            answer => answer,
        }
    }

    async fn send_all(
        &mut self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.stands().await?;
        let answers = self.manager.send_packed_commands(pipeline, offset, count).await;
        self.answered.note(answers.as_ref().err());
        match answers {
            Err(error) if is_lost(&error) && only_reads(pipeline.cmd_iter()) => {
                self.stands().await?;
                let answers = self.manager.send_packed_commands(pipeline, offset, count).await;
                self.answered.note(answers.as_ref().err());
                answers
            }
            answers => answers,
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.send_all(pipeline, offset, count))
    }

    fn get_db(&self) -> i64 {
        self.manager.get_db()
    }
}

/// Commands that may be sent again though they may have been run.
const READS: [&str; 31] = [
    "EXISTS",
    "GET",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HSCAN",
    "HVALS",
    "INFO",
    "LLEN",
    "LRANGE",
    "MGET",
    "PING",
    "SCAN",
    "SCARD",
    "SMEMBERS",
    "TIME",
    "TYPE",
    "XLEN",
    "XRANGE",
    "XREVRANGE",
    "ZCARD",
    "ZCOUNT",
    "ZRANGE",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREVRANGE",
    "ZREVRANGEBYSCORE",
    "ZSCORE",
];

fn only_reads<'a>(commands: impl IntoIterator<Item = &'a Cmd>) -> bool {
    commands.into_iter().all(|command| {
        let name = command.args_iter().next();
        let Some(redis::Arg::Simple(name)) = name else { return false };
        READS.iter().any(|read| name.eq_ignore_ascii_case(read.as_bytes()))
    })
}
