//! What holds for every vendor, whoever it is.

use bytes::Bytes;
use http::{HeaderMap, Response};
use proptest::prelude::*;
use songmill_core::song::Field;
use songmill_core::{Fault, FaultKind, SongRequest, TaskId};
use songmill_vendors::contract::Cost;
use songmill_vendors::{Delivery, Exchange, Next, Vendor};

use crate::bytes::*;
use crate::registry::configured;

/// A request that every vendor can fulfil.
const SONG: &str = r#"{"prompt":"一首关于雨的歌","style":"pop","lyrics":"[verse] la la ; [chorus] la"}"#;

/// The kind of fault, or `None` for an end that is well or goes on.
type Outcome = Option<FaultKind>;

/// One reply is handed to one of a vendor's exchanges.
type Read = fn(&dyn Vendor, Response<Bytes>) -> (Cost, Outcome);

const READS: [(&str, Read); 4] = [
    ("submit", |vendor, reply| read(submit(vendor, SONG), reply)),
    ("poll", |vendor, reply| read(vendor.poll(&task(&id())), reply)),
    ("find", |vendor, reply| match with_order(vendor, &song(SONG), |order| vendor.find(order, SINCE)) {
        Some(exchange) => read(exchange, reply),
        None => (Cost::Free, None),
    }),
    ("cancel", |vendor, reply| match vendor.cancel(&task(&id())) {
        Some(exchange) => read(exchange, reply),
        None => (Cost::Free, None),
    }),
];

fn id() -> TaskId {
    task_id("t1")
}

fn read<T>(exchange: Exchange<T>, reply: Response<Bytes>) -> (Cost, Outcome) {
    let cost = exchange.cost;
    let outcome = match exchange.read(reply) {
        Next::Done(Err(fault)) => Some(fault.kind),
        Next::Done(Ok(_)) | Next::Then(_) => None,
    };
    (cost, outcome)
}

#[test]
fn what_a_vendor_can_stands_in_its_policy() {
    for vendor in configured().iter() {
        let policy = &vendor.card().policy;
        let name = &vendor.card().name;
        let finds = with_order(vendor.as_ref(), &song(SONG), |order| vendor.find(order, SINCE).is_some());
        assert_eq!(policy.look_up, finds, "{name}");
        assert_eq!(policy.cancel, vendor.cancel(&task(&id())).is_some(), "{name}");
        assert!(policy.patience <= policy.give_up && policy.looks >= 1, "{name}");
    }
}

#[test]
fn every_status_class_is_sorted() {
    use FaultKind::*;
    for vendor in configured().iter() {
        for (what, read) in READS {
            for (status, kinds) in [
                (401, &[Locked][..]),
                (403, &[Locked]),
                (429, &[Throttled]),
                (302, &[Garbled]),
                (500, &[Unknown, Unavailable]),
                (502, &[Unknown, Unavailable]),
                (503, &[Unknown, Unavailable]),
            ] {
                let (cost, Some(kind)) = read(vendor.as_ref(), reply(status, "")) else { continue };
                let name = &vendor.card().name;
                assert!(kinds.contains(&kind), "{name} {what} {status}: {kind:?}");
                if status >= 500 {
                    let expected = if cost == Cost::Creates { Unknown } else { Unavailable };
                    assert_eq!(kind, expected, "{name} {what} {status}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_reply_of_the_vendors_is_garbled() {
    for vendor in configured().iter() {
        for (what, read) in READS.into_iter().filter(|(what, _)| *what != "cancel") {
            for (body, bytes) in garbage() {
                let outcome = read(vendor.as_ref(), reply(200, bytes)).1;
                let finds = what != "find" || vendor.card().policy.look_up;
                assert_eq!(
                    outcome,
                    finds.then_some(FaultKind::Garbled),
                    "{} {what} {body}",
                    vendor.card().name
                );
            }
        }
    }
}

#[test]
fn a_field_that_is_not_honoured_is_refused_when_it_is_required() {
    let every = r#"{"prompt":"p","style":"pop","lyrics":"[verse] la","mood":"happy","genre":"pop","duration_s":30,
        "seed":1,"count":1,"title":"t","reference_audio":"https://a.example.com/a.wav","format":"wav","vocal":"male"}"#;
    for vendor in configured().iter() {
        for field in Field::ALL {
            let mut song: SongRequest = song(every);
            song.require = vec![field];
            let honours = vendor.card().honours.contains(&field) || field == Field::Count;
            if honours || !song.has(field) {
                continue;
            }
            let invalid = vendor.plan(&song).unwrap_err();
            let named = invalid.problems.iter().any(|problem| problem.field == field.as_str());
            assert!(named, "{} {}: {invalid}", vendor.card().name, field.as_str());
        }
    }
}

#[test]
fn an_unknown_option_is_named() {
    for vendor in configured().iter() {
        let name = &vendor.card().name;
        let mut song = song(SONG);
        song.options.entry(name.clone()).or_default().insert("no_such_field".to_owned(), 1.into());
        let invalid = vendor.plan(&song).unwrap_err();
        let path = format!("options.{name}.no_such_field");
        assert!(invalid.problems.iter().any(|problem| problem.field == path), "{invalid}");
    }
}

#[test]
fn no_fault_tells_a_key() {
    for vendor in configured().iter() {
        let echo = r#"{"detail":"key-of-ours is bad","message":"key-of-ours","error":"key-of-ours"}"#;
        for status in [400, 401, 404, 429, 500] {
            let fault: Fault = end(submit(vendor.as_ref(), SONG).read(reply(status, echo))).unwrap_err();
            assert!(!fault.message.contains("key-of-ours"), "{} {fault}", vendor.card().name);
        }
    }
}

proptest! {
    #[test]
    fn no_reader_panics(
        status in 200u16..600,
        body in prop_oneof![
            "\\PC{0,40}",
            r#"\{("(id|status|data|output|error|items|results|webhook|created_at|success)":(-?[0-9]{1,20}|"[a-z0-9:/.]{0,9}"|null|\{\}|\[\{\}\]|true),?){0,6}\}"#,
        ],
    ) {
        for vendor in configured().iter() {
            for (_, read) in READS {
                read(vendor.as_ref(), reply(status, body.clone()));
            }
            let _ = vendor.read_delivery(&Delivery { headers: &HeaderMap::new(), body: body.as_bytes() }, SINCE);
        }
    }
}
