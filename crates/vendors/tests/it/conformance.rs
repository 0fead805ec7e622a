//! What holds for every vendor, whoever it is.

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::Bytes;
use http::{HeaderMap, Response};
use proptest::prelude::*;
use serde_json::{Value, json};
use songmill_core::job::StepKind;
use songmill_core::song::Field;
use songmill_core::{Fault, FaultKind, JobId, SongRequest, TaskId, Timestamp};
use songmill_vendors::contract::Cost;
use songmill_vendors::{
    Callback, Delivery, Exchange, Next, Order, Settings, TaskRef, Vendor, Vendors, Watched, Within,
};

use crate::bytes::*;
use crate::registry::configured;

mod arbitrary;

use arbitrary::bodies;

/// A request that every vendor can fulfil.
const SONG: &str = r#"{"prompt":"一首关于雨的歌","style":"pop","lyrics":"[verse] la la ; [chorus] la"}"#;
/// A request that a vendor who writes lyrics takes in two steps.
const WORDS: &str = r#"{"prompt":"一首关于雨的歌","style":"pop","lyrics_prompt":"雨"}"#;
/// Every key of every vendor in these tests.
const KEY: &str = "key-of-ours";

/// What became of one exchange.
struct Said {
    what: String,
    cost: Cost,
    /// The value as text, or that it goes on.
    end: Result<String, Fault>,
}

impl Said {
    fn kind(&self) -> Option<FaultKind> {
        self.end.as_ref().err().map(|fault| fault.kind)
    }

    fn is_suspicion(&self) -> bool {
        self.end.as_ref().err().is_some_and(|fault| fault.suspicion().is_some())
    }
}

/// Hands one reply to every exchange a vendor has.
fn said(vendor: &dyn Vendor, reply: &Response<Bytes>) -> Vec<Said> {
    let mut said = Vec::new();
    for (step, song) in steps(vendor) {
        let order = order(vendor, &song, step);
        said.push(hand(
            vendor,
            &format!("submit {step:?}"),
            vendor.submit(&order.as_order()).unwrap(),
            reply,
        ));
        let id = id();
        let task = TaskRef { step, id: &id };
        said.push(hand(vendor, &format!("poll {step:?}"), vendor.poll(&task), reply));
        let many = [Watched { id: id.clone(), since: SINCE }];
        said.extend(
            vendor
                .poll_many(&many, Within::default())
                .map(|exchange| hand(vendor, "poll many", exchange, reply)),
        );
        let more =
            vendor.find(&order.as_order(), SINCE).map(|exchange| hand(vendor, "find", exchange, reply));
        said.extend(more);
        said.extend(vendor.cancel(&task).map(|exchange| hand(vendor, "cancel", exchange, reply)));
    }
    said
}

fn hand<T: Debug>(vendor: &dyn Vendor, what: &str, exchange: Exchange<T>, reply: &Response<Bytes>) -> Said {
    let cost = exchange.cost;
    let end = match exchange.read(reply.clone()) {
        Next::Done(result) => result.map(|value| format!("{value:?}")),
        Next::Then(more) => Ok(format!("goes on: {}", more.request.uri())),
    };
    Said { what: format!("{} {what}", vendor.card().name), cost, end }
}

/// The steps a vendor takes, each with a request that makes it take it.
fn steps(vendor: &dyn Vendor) -> Vec<(StepKind, SongRequest)> {
    let mut steps = vec![(StepKind::Song, song(SONG))];
    if vendor.plan(&song(WORDS)).is_ok_and(|plan| plan.steps.contains(&StepKind::Lyrics)) {
        steps.push((StepKind::Lyrics, song(WORDS)));
    }
    steps
}

fn id() -> TaskId {
    task_id("t1")
}

/// An order whose parts live as long as it does.
struct OwnOrder<'a> {
    song: &'a SongRequest,
    step: StepKind,
    attempt: u32,
    url: String,
    live: bool,
}

fn order<'a>(vendor: &dyn Vendor, song: &'a SongRequest, step: StepKind) -> OwnOrder<'a> {
    let url = format!("https://songs.example.com/callbacks/{}/{}/3/k1.mac", vendor.card().name, job());
    OwnOrder { song, step, attempt: 3, url, live: true }
}

fn job() -> JobId {
    JobId::from_bytes([7; 16])
}

impl OwnOrder<'_> {
    fn as_order(&self) -> Order<'_> {
        let Self { song, step, attempt, ref url, live } = *self;
        Order { job: job(), attempt, step, song, lyrics: None, callback: Callback { url, live } }
    }
}

/// The body of the request that creates.
fn created(vendor: &dyn Vendor, order: &OwnOrder<'_>) -> String {
    let exchange = vendor.submit(&order.as_order()).unwrap();
    assert_eq!(exchange.cost, Cost::Creates, "{}", vendor.card().name);
    String::from_utf8(exchange.request.body().to_vec()).unwrap()
}

#[test]
fn what_a_vendor_can_stands_in_its_card() {
    for vendor in configured().iter() {
        let card = vendor.card();
        let (policy, name) = (&card.policy, &card.name);
        let finds = with_order(vendor.as_ref(), &song(SONG), |order| vendor.find(order, SINCE).is_some());
        assert_eq!(policy.look_up, finds, "{name}");
        assert_eq!(policy.cancel, vendor.cancel(&task(&id())).is_some(), "{name}");
        assert!(policy.patience <= policy.give_up && policy.poll_every <= policy.poll_most, "{name}");
        let counts = [policy.looks, policy.attempts, policy.strikes, card.most_songs];
        assert!(counts.iter().all(|count| *count >= 1) && card.most_songs <= 100, "{name}");
        let waits = [policy.poll_first, policy.poll_every, policy.settle, policy.backoff, policy.look_every];
        assert!(waits.iter().all(|wait| !wait.get().is_zero()), "{name}");
        assert!(!name.as_str().is_empty() && !card.title.is_empty(), "{name}");
        assert_eq!(card.honours.iter().collect::<BTreeSet<_>>().len(), card.honours.len(), "{name}");
        assert!(card.honours.contains(&Field::Prompt) || card.honours.contains(&Field::Lyrics), "{name}");
        assert_eq!(card.honours.contains(&Field::Count), card.most_songs > 1, "{name}");
    }
}

#[test]
fn every_status_is_sorted() {
    use FaultKind::*;
    let bodies = ["", r#"{"detail":"no"}"#, r#"{"message":"no"}"#, "<html><title>Oops</title></html>"];
    for vendor in configured().iter() {
        for (status, body) in (200..600).flat_map(|status| bodies.map(|body| (status, body))) {
            for said in said(vendor.as_ref(), &reply(status, body)) {
                let cancels = said.what.ends_with("cancel");
                let fits = match (status, said.cost, said.kind()) {
                    // Whatever a success says to a cancel, the task is asked for afterwards; 404 says it has ended.
                    (200..300 | 400..500, _, None) => cancels,
                    (200..400, _, kind) => kind == Some(Garbled),
                    (402, _, kind) if body.starts_with('{') => kind == Some(Locked),
                    (402, _, kind) => kind == Some(Unavailable) && said.is_suspicion(),
                    // Undocumented: the account, or this request alone.
                    (401 | 403, _, kind) => kind == Some(Unavailable) && said.is_suspicion(),
                    (429, _, kind) => kind == Some(Throttled),
                    (408 | 500.., Cost::Creates, kind) => kind == Some(Unknown),
                    (408 | 500.., Cost::Free, kind) => kind == Some(Unavailable),
                    (_, _, Some(Unavailable)) if said.is_suspicion() => true,
                    (_, Cost::Creates, kind) => matches!(kind, Some(Rejected | Unknown)),
                    (_, Cost::Free, kind) => matches!(kind, Some(Rejected | Unavailable)),
                };
                assert!(fits, "{} {status} {body:?}: {:?}", said.what, said.end);
            }
        }
    }
}

#[test]
fn what_is_no_reply_of_the_vendors_is_garbled() {
    let huge = "x".repeat(20 << 20);
    let mut bodies = garbage();
    bodies.push(("20 MB of an object", format!(r#"{{"id":"a","x":"{huge}"}}"#).into()));
    bodies.push(("20 MB of HTML", format!("<html>{huge}</html>").into()));
    for vendor in configured().iter() {
        for (status, (body, bytes)) in [200, 201].iter().flat_map(|s| bodies.iter().map(move |b| (s, b))) {
            for said in said(vendor.as_ref(), &reply(*status, bytes.clone())) {
                if said.what.ends_with("cancel") {
                    continue;
                }
                let shown = format!("{} {status} {body}: {:?}", said.what, said.end);
                assert_eq!(said.kind(), Some(FaultKind::Garbled), "{shown:.300}");
            }
        }
        for (status, (_, bytes)) in [400, 500].iter().flat_map(|s| bodies.iter().map(move |b| (s, b))) {
            for said in said(vendor.as_ref(), &reply(*status, bytes.clone())) {
                let words = said.end.map_or_else(|fault| fault.words(), |_| String::new());
                assert!(words.chars().count() <= 603, "{}", said.what);
            }
        }
    }
}

#[test]
fn a_task_is_marked_so_that_callbacks_and_look_ups_find_it() {
    for vendor in configured().iter() {
        let (card, song) = (vendor.card(), song(SONG));
        let live = order(vendor.as_ref(), &song, StepKind::Song);
        let body = created(vendor.as_ref(), &live);
        assert_eq!(body.contains(&live.url), card.calls_back, "{} {body}", card.name);
        let url = live.url.replace("songs.example.com", "songmill.invalid");
        let nobody = OwnOrder { live: false, url, ..live };
        let body = created(vendor.as_ref(), &nobody);
        let marks = [nobody.as_order().mark(&card.name), format!("{}-{}", job(), nobody.attempt)];
        let marked = marks.iter().any(|mark| body.contains(mark));
        assert_eq!(marked, card.policy.look_up, "{} {body}", card.name);
        if card.policy.look_up {
            let url = nobody.url.replace("/3/", "/4/");
            let next = OwnOrder { attempt: 4, url, ..nobody };
            let other = created(vendor.as_ref(), &next);
            assert!(marks.iter().all(|mark| !other.contains(mark)), "{} {other}", card.name);
        }
    }
}

#[test]
fn the_same_order_gives_the_same_bytes() {
    for vendor in configured().iter() {
        let all = || -> Vec<String> {
            let mut all = Vec::new();
            for (step, song) in steps(vendor.as_ref()) {
                let (order, id) = (order(vendor.as_ref(), &song, step), id());
                let task = TaskRef { step, id: &id };
                all.push(show_exchange(&vendor.submit(&order.as_order()).unwrap()));
                all.push(show_exchange(&vendor.poll(&task)));
                all.extend(vendor.find(&order.as_order(), SINCE).map(|exchange| show_exchange(&exchange)));
                all.extend(vendor.cancel(&task).map(|exchange| show_exchange(&exchange)));
            }
            all
        };
        assert_eq!(all(), all(), "{}", vendor.card().name);
    }
}

#[test]
fn a_field_that_is_not_honoured_is_dropped_and_refused_when_it_is_required() {
    let every = r#"{"prompt":"一首关于雨的歌","style":"pop","lyrics":"[verse] la","mood":"happy","genre":"pop",
        "duration_s":30,"seed":1,"count":1,"title":"t","reference_audio":"https://a.example.com/a.wav","format":"wav",
        "vocal":"male"}"#;
    for vendor in configured().iter() {
        let (card, name) = (vendor.card(), &vendor.card().name);
        let dropped = vendor.plan(&song(every)).unwrap().dropped;
        for field in Field::ALL {
            let mut song: SongRequest = song(every);
            let honours = card.honours.contains(&field) || field == Field::Count;
            if honours || !song.has(field) {
                continue;
            }
            assert!(dropped.contains(&field), "{name} {}: {dropped:?}", field.as_str());
            song.require = vec![field];
            let invalid = vendor.plan(&song).unwrap_err();
            let named = invalid.problems.iter().any(|problem| problem.field == field.as_str());
            assert!(named, "{name} {}: {invalid}", field.as_str());
        }
        for field in dropped {
            let required = SongRequest { require: vec![field], ..song(every) };
            assert!(vendor.plan(&required).is_err(), "{name} drops {} and takes it", field.as_str());
        }
    }
}

#[test]
fn more_songs_than_one_task_makes_are_dropped_or_refused() {
    for vendor in configured().iter().filter(|vendor| vendor.card().most_songs < 100) {
        let more = SongRequest { count: Some(vendor.card().most_songs + 1), ..song(SONG) };
        assert!(vendor.plan(&more).unwrap().dropped.contains(&Field::Count), "{}", vendor.card().name);
        let required = SongRequest { require: vec![Field::Count], ..more };
        let invalid = vendor.plan(&required).unwrap_err();
        assert!(invalid.problems.iter().any(|problem| problem.field == "count"), "{invalid}");
    }
}

#[test]
fn an_option_that_is_unknown_or_of_a_wrong_form_is_named_and_never_sent() {
    for vendor in configured().iter() {
        let name = &vendor.card().name;
        let schema = serde_json::to_value(&vendor.card().options).unwrap();
        let known = schema["properties"].as_object().unwrap().keys().cloned();
        for key in known.chain(["no_such_field".to_owned()]) {
            let mut song = song(SONG);
            song.options.entry(name.clone()).or_default().insert(key.clone(), json!({ "no": ["form"] }));
            let invalid = vendor.plan(&song).unwrap_err();
            let path = format!("options.{name}.{key}");
            let named = invalid.problems.iter().any(|problem| problem.field.starts_with(&path));
            assert!(named, "{path}: {invalid}");
            let order = order(vendor.as_ref(), &song, StepKind::Song);
            let refused = vendor.submit(&order.as_order()).err().map(|fault| fault.kind);
            assert_eq!(refused, Some(FaultKind::Rejected), "{path}");
        }
    }
}

#[test]
fn no_text_of_ours_tells_a_key() {
    let settings: Settings = serde_json::from_value(json!({
        "tencent": { "secret_id": KEY, "secret_key": KEY, "gateway_id": KEY, "gateway_key": KEY,
            "content_id": "store", "gateway_source": "us" },
        "inference_sh": { "key": KEY },
        "replicate": { "token": KEY, "webhook_secrets": [KEY], "version": "5".repeat(64) },
        "senseaudio": { "key": KEY },
    }))
    .unwrap();
    let vendors = Vendors::from_settings(&settings, Timestamp::default);
    assert_eq!(vendors.len(), 4);
    for text in [format!("{settings:?}"), serde_json::to_string(&settings).unwrap(), format!("{vendors:?}")] {
        assert!(!text.contains(KEY), "{text}");
    }
    for vendor in vendors.iter() {
        for (step, song) in steps(vendor.as_ref()) {
            let order = order(vendor.as_ref(), &song, step);
            let request = vendor.submit(&order.as_order()).unwrap().request;
            let text = format!("{} {:?}", request.uri(), request.headers());
            assert!(!text.contains(KEY), "{text}");
        }
        for body in echoes() {
            // Not every vendor blots what a page under a success is called.
            let page = body.starts_with('<');
            let statuses = if page { 400..600 } else { 200..600 };
            for status in statuses.clone() {
                for said in said(vendor.as_ref(), &reply(status, body.clone())) {
                    let Err(fault) = said.end else { continue };
                    let shown = format!("{fault:?} {}", fault.in_full());
                    assert!(!shown.contains(KEY), "{} {status}: {fault}", said.what);
                }
            }
            let delivery = Delivery { headers: &HeaderMap::new(), body: body.as_bytes() };
            let refusal = vendor.read_delivery(&delivery, SINCE).err().map(|refusal| refusal.to_string());
            assert!(page || !refusal.unwrap_or_default().contains(KEY), "{}", vendor.card().name);
        }
    }
}

/// Replies that say our key back, in every form an error is known to have.
fn echoes() -> Vec<String> {
    let words = format!("{KEY} is bad");
    let forms = [
        json!({ "detail": words, "message": words, "error": words }),
        json!({ "error": { "message": words, "type": words, "code": words } }),
        json!({ "errors": [{ "message": words }], "title": words }),
        json!({ "base_resp": { "status_code": 1004, "status_msg": words } }),
        json!({ "requestId": "r", "errorResponse": { "message": words } }),
        json!({ "success": false, "status": 401, "error": { "message": words } }),
    ];
    let mut echoes: Vec<String> = forms.iter().map(Value::to_string).collect();
    echoes.extend([words.clone(), format!("<title>{words}</title>")]);
    echoes
}

proptest! {
    #[test]
    fn no_reader_panics(status in 200u16..600, body in bodies()) {
        for vendor in configured().iter() {
            said(vendor.as_ref(), &reply(status, body.clone()));
        }
    }

    #[test]
    fn no_delivery_panics_and_none_is_believed_that_nobody_signed(
        body in bodies(),
        signature in "(v1,)?[A-Za-z0-9+/=, ]{0,60}",
        stamp in "-?[0-9]{0,20}",
    ) {
        let headers: HeaderMap = [("webhook-id", "msg_1"), ("webhook-timestamp", &stamp), ("webhook-signature", &signature)]
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        for vendor in configured().iter() {
            let reading = vendor.read_delivery(&Delivery { headers: &headers, body: &body }, SINCE);
            prop_assert!(!reading.is_ok_and(|reading| reading.believed), "{}", vendor.card().name);
        }
    }
}
