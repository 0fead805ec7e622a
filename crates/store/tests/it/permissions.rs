//! The user that operators are told to make in Redis.

use crate::tools::{Redis, enqueue_for, new_job};

#[tokio::test]
async fn what_the_redis_user_lacks_is_named() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    assert_eq!(store.missing_permissions().await.unwrap(), Vec::<String>::new());
    let before = redis.command(&["dbsize"]);
    redis.command(&["acl", "setuser", "songmill", "-zrank", "-publish"]);
    assert_eq!(store.missing_permissions().await.unwrap(), ["publish", "zrank"]);
    redis.command(&["acl", "setuser", "songmill", "-multi"]);
    assert_eq!(store.missing_permissions().await.unwrap(), ["multi"]);
    assert_eq!(redis.command(&["dbsize"]), before, "asking writes nothing");
    redis.command(&["acl", "setuser", "songmill", "+multi", "-exec", "-hset"]);
    assert_eq!(store.missing_permissions().await.unwrap(), ["exec"]);
    redis.command(&["acl", "setuser", "songmill", "+exec", "+hset", "-discard"]);
    assert_eq!(store.missing_permissions().await.unwrap(), ["discard"]);
    assert_eq!(enqueue_for(&store, "t", 1, 0).await.len(), 1, "the store is in no transaction");
    redis.command(&["acl", "setuser", "songmill", "+discard", "-hset"]);
    let store = redis.store().await;
    let denied = store.enqueue(None, &[new_job(&store, 1)]).await.unwrap_err().to_string();
    assert!(denied.contains("denies access"), "in a script, too: {denied}");
    redis.command(&["acl", "setuser", "songmill", "-ping"]);
    let denied = store.ping().await.unwrap_err().to_string();
    assert!(denied.contains("'ping'") && denied.contains("denies access"), "{denied}");
}

#[tokio::test]
async fn the_redis_user_reaches_nothing_but_our_own_keys() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    enqueue_for(&store, "acme", 1, 0).await;
    let as_ours = |args: &[&str]| {
        let login = ["--user", "songmill", "--pass", "songmill", "--no-auth-warning"];
        redis.command(&[&login[..], args].concat())
    };
    assert_eq!(as_ours(&["exists", "{sm:0}:events"]), "1");
    for args in [
        &["get", "other"][..],
        &["keys", "*"],
        &["flushall"],
        &["config", "set", "dir", "/tmp"],
        &["config", "get", "requirepass"],
        &["acl", "list"],
        &["eval", "return redis.call('get', 'other')", "0"],
        &["publish", "other", "x"],
    ] {
        let answer = as_ours(args);
        assert!(answer.contains("NOPERM"), "{args:?} answers {answer:?}");
    }
}
