//! What Redis must let us do: the user in `deploy/redis-users.acl`, and whether the one we are may do it.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::ConnectionLike as _;

use crate::connection::StoreError;
use crate::store::Store;

/// Users for Redis in the form of its `aclfile`. Ours has the commands that we give, those within scripts too, and no others.
const USERS: &str = include_str!("../../../deploy/redis-users.acl");

/// The commands that our user may give, such as `hget` and `script|load`.
fn granted() -> impl Iterator<Item = &'static str> {
    let ours = USERS.lines().find(|line| line.starts_with("user songmill ")).unwrap_or_default();
    ours.split(' ').filter_map(|rule| rule.strip_prefix('+'))
}

/// An empty transaction that is done, and one that is not.
const TRANSACTION: [&str; 4] = ["multi", "exec", "multi", "discard"];
/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any of them must have; each is tried with one, with two and so on.
const MOST_ARGUMENTS: usize = 4;

impl Store {
    /// Commands that our user in Redis may not give although we need them.
    pub async fn missing_permissions(&self) -> Result<Vec<String>, StoreError> {
        // Of its own: who may not DISCARD stays within the transaction.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let mut connection = self.client().get_multiplexed_async_connection_with_config(&config).await?;
        // Without these, what follows would be done instead of forgotten.
        let mut begin = redis::pipe();
        TRANSACTION.iter().for_each(|name| {
            begin.cmd(name);
        });
        let answers = connection.req_packed_commands(&begin, 0, TRANSACTION.len()).await?;
        let denied = TRANSACTION.iter().zip(&answers).filter(|(_, answer)| is_denied(answer));
        let denied: BTreeSet<_> = denied.map(|(name, _)| (*name).to_owned()).collect();
        if !denied.is_empty() {
            return Ok(denied.into_iter().collect());
        }
        let key = self.keys().mark("permissions");
        let mut asked = Vec::new();
        let mut ask = redis::pipe();
        ask.cmd("MULTI");
        // What is queued is checked, and forgotten by DISCARD.
        for name in granted().filter(|name| !TRANSACTION.contains(name)) {
            for count in 0..=MOST_ARGUMENTS {
                asked.push(name);
                let mut words = name.split('|');
                ask.cmd(words.next().unwrap_or_default());
                words.chain(std::iter::repeat_n(key.as_str(), count)).for_each(|word| {
                    ask.arg(word);
                });
            }
        }
        ask.cmd("DISCARD");
        let answers = connection.req_packed_commands(&ask, 0, asked.len() + 2).await?;
        let mut missing: Vec<_> = asked
            .into_iter()
            .zip(answers.iter().skip(1))
            .filter(|(_, answer)| is_denied(answer))
            .map(|(name, _)| name.to_owned())
            .collect();
        missing.dedup();
        Ok(missing)
    }
}

fn is_denied(answer: &redis::Value) -> bool {
    // EXEC answers EXECABORT, and says why.
    let redis::Value::ServerError(error) = answer else { return false };
    error.code() == "NOPERM" || error.details().is_some_and(|why| why.contains("NOPERM"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Given by the library that we use, or by `missing_permissions`.
    const OTHERS: [&str; 4] = ["discard", "multi", "select", "subscribe"];

    /// Whose refusal costs nothing but advice. What `CONFIG GET` answers may be the password of everybody else.
    const DISPENSABLE: [&str; 1] = ["config|get"];

    /// Adds the commands among the words in quotes up to the first comma behind `before`: `'SADD'`, `"CONFIG").arg("GET"`,
    /// `failing and 'SADD' or 'SREM'`.
    fn commands_after(before: &str, text: &str, found: &mut BTreeSet<String>) {
        for part in text.split(before).skip(1) {
            let first = part.split([',', ';']).next().unwrap_or_default();
            let quoted = first.split(['"', '\'']).skip(1).step_by(2);
            let is_command =
                |word: &&str| word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase());
            let words: Vec<_> = quoted.take_while(is_command).map(str::to_lowercase).collect();
            match &words[..] {
                [name, sub, ..] if ["config", "client", "acl"].contains(&name.as_str()) => {
                    found.insert(format!("{name}|{sub}"));
                }
                [name, ..] if name == "script" => {
                    found.insert("script|load".to_owned());
                }
                [name, ..] if before == "cmd(" => {
                    found.insert(name.clone());
                }
                all => found.extend(all.iter().cloned()),
            }
        }
    }

    fn read(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, found);
            } else if path.file_name().is_some_and(|name| name != "permissions.rs") {
                // Packed records are no text.
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                if text.contains(".atomic()") {
                    found.insert("exec".to_owned());
                }
                for before in ["cmd(", "redis.call(", "redis.pcall(", "guarded("] {
                    commands_after(before, &text, found);
                }
            }
        }
    }

    #[test]
    fn the_redis_user_may_do_what_we_do_and_nothing_else() {
        let mut given = BTreeSet::from(OTHERS.map(str::to_owned));
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut given);
        let granted: BTreeSet<_> = granted().map(str::to_owned).collect();
        let lacking: Vec<_> =
            given.difference(&granted).filter(|name| !DISPENSABLE.contains(&name.as_str())).collect();
        let too_much: Vec<_> = granted.difference(&given).collect();
        assert!(given.len() > 50, "few commands are found: {given:?}");
        assert!(lacking.is_empty(), "add to the user songmill in deploy/redis-users.acl: {lacking:?}");
        assert!(too_much.is_empty(), "take from the user songmill in deploy/redis-users.acl: {too_much:?}");
    }
}
