//! Endpoints' secrets at rest.

use std::time::Duration;

use songmill_core::Tenant;
use songmill_store::{
    Endpoint, EndpointSecret, NewNotice, Notice, NoticeType, SealedSecret, SecretKeys, Store,
};

use crate::customers::endpoint;
use crate::places::places;
use crate::tools::Redis;

const OLD: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const NEW: &str = "ICAfHh0cGxoZGBcWFRQTEhEQDw4NDAsKCQgHBgUEAwI=";
const SECRET: &str = "whsec_dGhpcyBpcyB2ZXJ5IHNlY3JldA==";
const PAIR: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn secret(text: &str) -> EndpointSecret {
    EndpointSecret { secret: text.into(), created_ms: 1, until_ms: None }
}

fn holding(id: &str, secrets: &[&str]) -> Endpoint {
    Endpoint { secrets: secrets.iter().map(|text| secret(text)).collect(), ..endpoint(id) }
}

async fn store(redis: &Redis, keys: &[&str]) -> Store {
    redis.store().await.with_secret_keys(SecretKeys::new(keys.iter().copied()).unwrap())
}

/// What the endpoint's secrets are as this store opens them.
async fn opened(store: &Store, id: &str) -> Vec<Result<String, SealedSecret>> {
    let (tenant, id) = (Tenant::default(), id.parse().unwrap());
    let endpoint = store.endpoint(&tenant, &id).await.unwrap().unwrap();
    endpoint.secrets.iter().map(|secret| store.open_secret(&tenant, &id, secret)).collect()
}

#[tokio::test]
async fn no_secret_is_in_redis_nor_in_its_file_where_there_is_a_key() {
    let redis = Redis::start(&[]);
    let store = store(&redis, &[OLD]).await;
    let tenant = Tenant::default();
    store.add_endpoint(&tenant, &holding("ep_1", &[SECRET, PAIR])).await.unwrap();
    let id = "ep_1".parse().unwrap();
    let change = store.change_endpoint(&tenant, &id, |endpoint| {
        endpoint.secrets.insert(0, secret("whsec_YW5vdGhlciBvbmU="));
        Ok::<_, ()>(())
    });
    change.await.unwrap().unwrap().unwrap();
    let all = [Ok("whsec_YW5vdGhlciBvbmU=".to_owned()), Ok(SECRET.to_owned()), Ok(PAIR.to_owned())];
    assert_eq!(opened(&store, "ep_1").await, all);
    // Everything that was ever written, by any command.
    let files = redis.files();
    assert!(files.len() > 100 && files.contains("ep_1"), "{files}");
    for secret in [SECRET, PAIR, "YW5vdGhlciBvbmU="] {
        let (_, bytes) = secret.split_once('_').unwrap_or(("", secret));
        assert!(!files.contains(bytes), "{secret}");
    }
    assert!(files.contains("enc1."));
}

#[tokio::test]
async fn what_was_there_is_encrypted_when_it_is_next_written_and_keys_can_be_replaced() {
    let redis = Redis::start(&[]);
    let tenant = Tenant::default();
    let plain = redis.store().await;
    plain.add_endpoint(&tenant, &holding("ep_1", &[SECRET])).await.unwrap();
    plain.add_endpoint(&tenant, &holding("ep_2", &[SECRET])).await.unwrap();
    let stored = || redis.command(&["HGETALL", "{sm:0}:ep:default"]);
    let touch = async |store: &Store, id: &str| {
        let id = id.parse().unwrap();
        let changed = store.change_endpoint(&tenant, &id, |_| Ok::<_, ()>(()));
        changed.await.unwrap().unwrap().unwrap();
    };
    let old = store(&redis, &[OLD]).await;
    assert_eq!(opened(&old, "ep_1").await, [Ok(SECRET.to_owned())]);
    touch(&old, "ep_1").await;
    // A delivery writes it, too.
    let notice = Notice::new("msg_1".into(), "ep_2".parse().unwrap(), NoticeType::Test, old.now());
    let notices = vec![NewNotice { tenant: tenant.clone(), notice, payload: "{}".into() }];
    old.tell(&[(String::new(), notices)]).await.unwrap();
    let taken = old.take_notices(&places(1), 1, Duration::from_secs(60)).await.unwrap();
    let before = old.endpoint(&tenant, &"ep_2".parse().unwrap()).await.unwrap().unwrap();
    let after = Endpoint { last_success_ms: Some(1), ..before.clone() };
    assert!(old.told(&taken.claimed[0], &[], Some((&before, &after))).await.unwrap());
    assert!(!stored().contains("whsec_"), "{}", stored());
    for id in ["ep_1", "ep_2"] {
        assert_eq!(opened(&old, id).await, [Ok(SECRET.to_owned())]);
    }
    // A new key first: the old one opens, and what is written is for the new one alone.
    let both = store(&redis, &[NEW, OLD]).await;
    touch(&both, "ep_1").await;
    let new = store(&redis, &[NEW]).await;
    assert_eq!(opened(&new, "ep_1").await, [Ok(SECRET.to_owned())]);
    let lost = opened(&new, "ep_2").await;
    assert!(matches!(&lost[..], [Err(SealedSecret::NoKey(_))]), "{lost:?}");
    // Whoever has no key changes what there is, and loses nothing.
    let sealed = new.sealed_endpoints().await.unwrap();
    assert_eq!(sealed.iter().map(|(_, id, _)| id.as_str()).collect::<Vec<_>>(), ["ep_2"]);
    touch(&new, "ep_2").await;
    touch(&plain, "ep_1").await;
    assert_eq!(opened(&both, "ep_1").await, [Ok(SECRET.to_owned())]);
    assert_eq!(opened(&both, "ep_2").await, [Ok(SECRET.to_owned())]);
    assert_eq!(plain.sealed_endpoints().await.unwrap().len(), 2);
    // Another endpoint's secret is none here.
    let stolen = both.endpoint(&tenant, &"ep_2".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        both.open_secret(&tenant, &"ep_1".parse().unwrap(), &stolen.secrets[0]),
        Err(SealedSecret::Broken)
    );
}
