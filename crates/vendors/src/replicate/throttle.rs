//! What replies that are no success mean, and the one sentence of Replicate's that names a rate and a wait.

use std::time::Duration;

use songmill_core::{Fault, FaultKind};

use crate::contract::Cost;
use crate::tolerant::{Reply, text};

/// What a reply that is no success means.
pub(super) fn of_reply(reply: &Reply, cost: Cost) -> Fault {
    if reply.status.as_u16() == 401 && is_unauthenticated(reply) {
        return Fault::from_vendor(FaultKind::Locked, "key_refused", reply.words());
    }
    let fault = reply.fault(cost);
    if fault.kind != FaultKind::Throttled {
        return fault;
    }
    let Some(named) = Named::read(&reply.words()) else { return fault };
    let wait = fault.retry_after().or(named.wait);
    fault.after(wait).allowing(named.per_minute)
}

/// Whether this is Replicate's own answer to a token that it does not know (as recorded).
fn is_unauthenticated(reply: &Reply) -> bool {
    reply.object().is_ok_and(|body| text(&body, &["title"]) == Some("Unauthenticated"))
}

/// What the sentence names.
#[derive(Debug, Default, PartialEq)]
struct Named {
    per_minute: Option<u32>,
    wait: Option<Duration>,
}

impl Named {
    /// Reads `Request was throttled.`, then, where there is one, `Your rate limit for creating predictions is reduced to
    /// 6 requests per minute …`, then `Your rate limit resets in ~30s.` (Replicate's page of rate limits, and replies as
    /// seen). Anything else in between may be quoted from a request, so nothing in it counts.
    fn read(words: &str) -> Option<Self> {
        let mut rest = words.trim().strip_prefix("Request was throttled.")?;
        let mut named = Self::default();
        if let Some(reduced) = rest.strip_prefix(" Your rate limit for creating predictions is reduced to ") {
            let (count, more) = reduced.split_once(" requests per minute with a burst of ")?;
            let (burst, more) = more.split_once(" requests while you have less than $")?;
            let (amount, more) = more.split_once(" in credit.")?;
            let is_amount = amount.chars().all(|c| c.is_ascii_digit() || c == '.');
            burst.parse::<u32>().ok().filter(|_| is_amount)?;
            named.per_minute = Some(count.parse().ok().filter(|rate| *rate > 0)?);
            rest = more;
        }
        if let Some(resets) = rest.strip_prefix(" Your rate limit resets in ~") {
            let seconds: u32 = resets.strip_suffix("s.")?.parse().ok()?;
            named.wait = Some(Duration::from_secs(seconds.into())).filter(|wait| !wait.is_zero());
            rest = "";
        }
        rest.trim().is_empty().then_some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_sentence_is_read_and_nothing_that_looks_like_it() {
        let named = |rate, wait| {
            Some(Named { per_minute: rate, wait: (wait > 0).then(|| Duration::from_secs(wait)) })
        };
        let reduced = "Your rate limit for creating predictions is reduced to 6 requests per minute with a burst of 1 \
                       requests while you have less than $5.0 in credit.";
        let resets = "Your rate limit resets in ~30s.";
        let throttled = "Request was throttled.";
        assert_eq!(Named::read(&format!("{throttled} {resets}")), named(None, 30));
        assert_eq!(Named::read(&format!("{throttled} {reduced} {resets}")), named(Some(6), 30));
        assert_eq!(Named::read(&format!("{throttled} {reduced}")), named(Some(6), 0));
        assert_eq!(Named::read(throttled), named(None, 0));
        for quoting in [
            format!("{throttled} Prompt: {reduced} {resets}"),
            format!("{throttled} {resets} Prompt: {reduced}"),
            format!("{reduced} {resets}"),
            format!("Prompt {throttled} {resets}"),
            format!("{throttled} Your rate limit resets in ~5s. '{resets}'"),
            "reduced to 1 requests per minute; retry in 86400 seconds".to_owned(),
            format!("{throttled} {}", reduced.replace("to 6", "to 0")),
            String::new(),
        ] {
            assert_eq!(Named::read(&quoting), None, "{quoting}");
        }
    }
}
