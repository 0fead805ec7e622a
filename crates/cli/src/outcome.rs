//! What a batch came to, and what to do next.

use std::collections::BTreeMap;

use anyhow::Result;
use axum::http::Method;
use songmill_api::views::{BatchErrorView, BatchView};
use songmill_core::BatchRef;
use songmill_core::job::StateName;

use crate::client::{Ask, Changes, Client, What};
use crate::{output, progress};

/// How many causes of failures are named.
const CAUSES: usize = 5;

/// Says what a batch that was followed came to, why songs failed, and the commands that come next.
pub(crate) async fn say(client: &Client, name: &BatchRef, batch: &BatchView) -> Result<()> {
    output::line(format_args!("{name}: {}", progress::counts(batch)))?;
    if let Some(cost) = progress::cost(batch) {
        output::line(format_args!("cost: {cost}"))?;
    }
    let of = |state| batch.counts.get(&state).copied().unwrap_or(0);
    if of(StateName::Failed) + of(StateName::Held) > 0 {
        let mut causes: Vec<_> = causes(client, name).await?.into_iter().collect();
        causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut words: Vec<_> =
            causes.iter().take(CAUSES).map(|(code, count)| format!("{count} {code}")).collect();
        let others: u64 = causes.iter().skip(CAUSES).map(|(_, count)| count).sum();
        words.extend((others > 0).then(|| format!("{others} others")));
        output::line(format_args!("failures: {}", words.join(", ")))?;
    }
    let next = next(name, batch);
    if !next.is_empty() {
        output::line("next:")?;
        next.iter().try_for_each(|command| output::line(format_args!("  {command}")))?;
    }
    Ok(())
}

/// How many jobs failed or are held for each cause.
async fn causes(client: &Client, name: &BatchRef) -> Result<BTreeMap<String, u64>> {
    let mut causes = BTreeMap::new();
    client
        .ask(Ask::batch(Method::GET, name, "/errors"))
        .await?
        .lines(|line| {
            let error: BatchErrorView = serde_json::from_slice(line).map_err(|_| {
                What::Unexpected("a line that is no error of a batch").at(client.server(), Changes::Nothing)
            })?;
            if let Some(fault) = error.fault {
                *causes.entry(fault.code).or_default() += 1;
            }
            Ok(())
        })
        .await?;
    Ok(causes)
}

/// The commands that come next, with what each is for.
fn next(name: &BatchRef, batch: &BatchView) -> Vec<String> {
    let of = |state| batch.counts.get(&state).copied().unwrap_or(0);
    let mut next = Vec::new();
    let mut add = |count: u64, command: String, what: &str| {
        if count > 0 {
            next.push(format!("{command:<50}  {what}"));
        }
    };
    add(
        of(StateName::Completed),
        format!("songmill batch export {name} -o {}.zip", name.name),
        "take the audio along",
    );
    add(
        of(StateName::Failed) + of(StateName::Held),
        format!("songmill batch errors {name}"),
        "see what went wrong",
    );
    add(of(StateName::Failed), format!("songmill batch retry-failed {name}"), "try the failed songs again");
    add(
        of(StateName::Held),
        format!("songmill job list --batch {name} --state held"),
        "decide on each with `songmill job resolve`",
    );
    let open = batch.total.saturating_sub(batch.ended + of(StateName::Held));
    add(open, format!("songmill batch watch {name}"), "follow the songs that are left");
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_is_a_command() {
        let batch = |counts: serde_json::Value, total: u64, ended: u64| {
            let batch = serde_json::json!({
                "name": "spring", "tenant": "acme", "created_ms": 1, "total": total, "ended": ended,
                "settled": true, "refused": 0, "uploads": 0, "counts": counts,
            });
            serde_json::from_value::<BatchView>(batch).unwrap()
        };
        let name: BatchRef = "acme/spring".parse().unwrap();
        let commands = |batch: &BatchView| -> Vec<String> {
            next(&name, batch)
                .iter()
                .map(|line| line.split("  ").next().unwrap_or_default().to_owned())
                .collect()
        };
        let well = batch(serde_json::json!({ "completed": 2 }), 2, 2);
        assert_eq!(commands(&well), ["songmill batch export acme/spring -o spring.zip"]);
        let badly = batch(serde_json::json!({ "failed": 1, "held": 1, "queued": 1 }), 3, 1);
        assert_eq!(
            commands(&badly),
            [
                "songmill batch errors acme/spring",
                "songmill batch retry-failed acme/spring",
                "songmill job list --batch acme/spring --state held",
                "songmill batch watch acme/spring",
            ]
        );
        assert!(next(&name, &batch(serde_json::json!({}), 0, 0)).is_empty());
    }
}
