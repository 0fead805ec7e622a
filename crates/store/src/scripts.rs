//! The scripts, run by `EVALSHA` and loaded when Redis does not have them (any more).

use std::sync::LazyLock;

use redis::aio::ConnectionLike;
use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind};

/// One script with its hash, computed once.
pub(crate) struct Script {
    code: &'static str,
    hash: String,
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)*;)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(include_str!("scripts/shared.lua"), $(include_str!(concat!("scripts/", $file))),*))
        });)*
    };
}

scripts! {
    ENQUEUE = "share.lua" "account.lua" "events.lua" "batch.lua" "enqueue.lua";
    CLAIM = "taking.lua" "claim.lua";
    SUBMIT = "taking.lua" "limit.lua" "share.lua" "price.lua" "events.lua" "submit.lua";
    FLEET = "fleet.lua";
    LANES = "share.lua" "lanes.lua";
    COMMIT = "share.lua" "account.lua" "events.lua" "batch.lua" "commit.lua";
    TAKE = "limit.lua" "take.lua";
    SIGNAL = "limit.lua" "events.lua" "signal.lua";
    FLOW = "limit.lua" "share.lua" "flow.lua";
    PACE = "pace.lua";
    ASIDE = "aside.lua";
    BACK = "share.lua" "back.lua";
    EXTEND = "extend.lua";
    BLAME = "blame.lua";
    UPLOAD = "account.lua" "events.lua" "batch.lua" "upload.lua";
    IDEMPOTENT = "account.lua" "idempotent.lua";
    REFUSE = "account.lua" "batch.lua" "refuse.lua";
    SWAP = "swap.lua";
    ERASE = "account.lua" "batch.lua" "erase.lua";
    ENDPOINT = "account.lua" "webhooks.lua" "due.lua" "endpoint.lua";
    ACCOUNT = "account.lua" "kept.lua";
    TELL = "account.lua" "webhooks.lua" "due.lua" "tell.lua";
    NOTIFY = "due.lua" "notify.lua";
    TOLD = "account.lua" "webhooks.lua" "due.lua" "told.lua";
    WORKER = "worker.lua";
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// Starts a call with these keys.
    pub(crate) fn call(&self, keys: &[String]) -> Call<'_> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        Call { script: self, command }
    }
}

/// A call under construction.
pub(crate) struct Call<'a> {
    script: &'a Script,
    command: redis::Cmd,
}

impl Call<'_> {
    pub(crate) fn arg(&mut self, arg: impl redis::ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
    }

    /// Runs it; loads the script first when Redis does not know it: then nothing had been done.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
    ) -> RedisResult<T> {
        match self.command.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(self.script.code);
                load.query_async::<()>(connection).await?;
                self.command.query_async(connection).await
            }
            other => other,
        }
    }
}
