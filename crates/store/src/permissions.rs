//! What Redis must let us do: the user in `deploy/redis-users.acl`, and whether the one we are may do it.

use redis::aio::ConnectionLike as _;

use crate::connection::StoreError;
use crate::store::Store;

/// Users for Redis in the form of its `aclfile`. Ours has the commands that we give, those within scripts too, and no others.
const USERS: &str = include_str!("../../../deploy/redis-users.acl");

/// The commands that our user may give, such as `hget` and `config|get`.
fn granted() -> impl Iterator<Item = &'static str> {
    let ours = USERS.lines().find(|line| line.starts_with("user songmill ")).unwrap_or_default();
    ours.split(' ').filter_map(|rule| rule.strip_prefix('+'))
}

/// More than any of them must have; each is tried with one, with two and so on.
const MOST_ARGUMENTS: usize = 4;

impl Store {
    /// Commands that our user in Redis may not give although we need them.
    pub async fn missing_permissions(&self) -> Result<Vec<String>, StoreError> {
        let mut connection = self.connection();
        // Without these two, what follows would be done.
        let mut begin = redis::pipe();
        begin.cmd("MULTI").cmd("DISCARD");
        let answers = connection.req_packed_commands(&begin, 0, 2).await?;
        if answers.iter().any(is_error) {
            return Ok(vec!["multi".into(), "discard".into()]);
        }
        let key = self.keys().mark("permissions");
        let mut asked = Vec::new();
        let mut ask = redis::pipe();
        ask.cmd("MULTI");
        // What is queued is checked, and forgotten by DISCARD.
        for name in granted().filter(|name| !["multi", "discard"].contains(name)) {
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

fn is_error(answer: &redis::Value) -> bool {
    matches!(answer, redis::Value::ServerError(_))
}

fn is_denied(answer: &redis::Value) -> bool {
    matches!(answer, redis::Value::ServerError(error) if error.code() == "NOPERM")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::granted;

    /// Given by the library that we use, or by `missing_permissions`.
    const OTHERS: [&str; 4] = ["discard", "multi", "select", "subscribe"];

    /// Adds the words that follow `before` in quotes, in capitals: commands.
    fn commands_after(before: &str, text: &str, found: &mut BTreeSet<String>) {
        for part in text.split(before).skip(1) {
            let part = part.trim_start();
            let Some(name) = part.strip_prefix(['"', '\'']).and_then(|rest| rest.split(['"', '\'']).next())
            else {
                continue;
            };
            let rest = &part[name.len() + 2..];
            let is_word = |word: &&str| word.chars().all(|letter| letter.is_ascii_uppercase());
            let sub = rest.split(".arg(\"").nth(1).and_then(|rest| rest.split('"').next()).filter(is_word);
            let name = match (name, sub) {
                ("CONFIG" | "SCRIPT" | "CLIENT" | "ACL", Some(sub)) => format!("{name}|{sub}"),
                ("SCRIPT", None) => "SCRIPT|LOAD".to_owned(),
                _ => name.to_owned(),
            };
            found.insert(name.to_lowercase());
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
        let lacking: Vec<_> = given.difference(&granted).collect();
        let too_much: Vec<_> = granted.difference(&given).collect();
        assert!(given.len() > 50, "few commands are found: {given:?}");
        assert!(lacking.is_empty(), "add to the user songmill in deploy/redis-users.acl: {lacking:?}");
        assert!(too_much.is_empty(), "take from the user songmill in deploy/redis-users.acl: {too_much:?}");
    }
}
