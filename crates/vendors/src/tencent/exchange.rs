//! CreateJob, GetJob, ListJobs: one address, one envelope.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use songmill_core::{Fault, FaultKind, Product, RawAnswer, Report, TaskId};

use super::input::Input;
use super::options::{Emotion, Genre, Kind};
use super::wire::{Call, Create, Descriptor, Get, Input as Source, Job, List, State, Target};
use super::{EnumForm, Settings, Tencent, custom_id, fault, gateway};
use crate::contract::{Accepted, Cost, Exchange, Next, Order};
use crate::outputs::is_usable;
use crate::tolerant::{Object, Reply, child, garbled, int, post_json, raw_answer, text, words_of};

/// Creates the job of one submission.
pub(super) fn create(vendor: &Tencent, order: &Order<'_>, input: &Input) -> Exchange<Accepted> {
    let settings = &vendor.settings;
    let custom_id = custom_id(order);
    let create = Create {
        custom_id: &custom_id,
        callback: order.callback.live.then_some(order.callback.url),
        timeout: input.timeout_s,
        inputs: [Source { source_data: &input.text }],
        outputs: [Target {
            content_id: &settings.content_id,
            destination: format!("{}/{custom_id}", input.folder.trim_end_matches('/')),
            input_selectors: [0],
            smart_content_descriptor: Descriptor {
                output_prefix: input.prefix.as_deref(),
                text_bgm_generation: song(settings, input),
            },
        }],
    };
    let request = request(vendor, "CreateJob", |call| call.create_job_request = Some(create));
    let settings = settings.clone();
    Exchange::creating(request, move |response| {
        let job = job(response, "createJobResponse", Cost::Creates, &settings);
        Next::Done(job.map(|job| Accepted::Task(job.id)))
    })
}

fn song(settings: &Settings, input: &Input) -> Object {
    let form = |number: u32, name: &str| match settings.enum_form {
        EnumForm::Number => Value::from(number),
        EnumForm::Name => Value::from(name),
    };
    let mut song = Object::new();
    song.insert("songQuantity".to_owned(), input.quantity.into());
    let own = [
        ("emotion", input.emotion.map(|emotion: Emotion| form(emotion.number(), emotion.upper()))),
        ("genre", input.genre.map(|genre: Genre| form(genre.number(), genre.upper()))),
        (settings.type_key.as_str(), input.kind.map(|kind: Kind| form(kind.number(), kind.upper()))),
    ];
    song.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    song
}

/// Asks how a job is.
pub(super) fn get(vendor: &Tencent, id: &TaskId) -> Exchange<Report> {
    let request = request(vendor, "GetJob", |call| call.get_job_request = Some(Get { id: id.as_str() }));
    let settings = vendor.settings.clone();
    Exchange::free(request, move |response| {
        let body = response.body().clone();
        let job = job(response, "getJobResponse", Cost::Free, &settings);
        Next::Done(job.and_then(|job| report(&job, || raw(&body, &settings))))
    })
}

/// What a job's state means; a job without one is `garbled`.
pub(super) fn report(job: &Job, answer: impl FnOnce() -> RawAnswer) -> Result<Report, Fault> {
    Ok(match job.state.ok_or_else(|| garbled("a job without a state"))? {
        State::Live => Report::Pending,
        State::Completed if !is_usable(&job.outputs) => Report::Unreadable(answer()),
        State::Completed => Report::Done(Product::Audio(job.outputs.clone())),
        State::Error => Report::Failed(fault::of_job(job.words.as_deref())),
        State::Canceled => Report::Canceled,
    })
}

/// An answer in which nothing can be read.
pub(super) fn raw(body: &[u8], settings: &Settings) -> RawAnswer {
    let Settings { secret_id, secret_key, gateway_id, gateway_key, .. } = settings;
    raw_answer(body, &[secret_key, secret_id, gateway_key, gateway_id])
}

/// Looks for the job of a submission; of several, one that did not fail, and the oldest of them.
pub(super) fn list(vendor: &Tencent, custom_id: &str) -> Exchange<Option<TaskId>> {
    let request = request(vendor, "ListJobs", |call| call.list_jobs_request = Some(List { custom_id }));
    let settings = vendor.settings.clone();
    let wanted = custom_id.to_owned();
    Exchange::free(request, move |response| Next::Done(found(response, &wanted, &settings)))
}

/// A list that may hold back jobs, or shows one without a custom id, cannot say that there is none.
fn found(response: Response<Bytes>, wanted: &str, settings: &Settings) -> Result<Option<TaskId>, Fault> {
    let listed = answer(response, "listJobsResponse", Cost::Free, settings)?;
    let jobs = match listed.get("jobs") {
        // An empty list may be left out.
        None | Some(Value::Null) => &[],
        Some(Value::Array(jobs)) => jobs.as_slice(),
        Some(_) => return Err(garbled("jobs that are no list")),
    };
    let (mut ours, mut unmarked) = (Vec::new(), false);
    for job in jobs {
        let job = job.as_object().ok_or_else(|| garbled("a job that is no object"))?;
        match text(job, &["customId"]) {
            Some(id) if id == wanted => ours.push(Job::read(job, &settings.content_id)?),
            Some(_) => {}
            None => unmarked = true,
        }
    }
    ours.sort_by_key(|job| (matches!(job.state, Some(State::Error | State::Canceled)), job.created));
    let more =
        int(&listed, &["total"]).is_some_and(|total| usize::try_from(total).is_ok_and(|n| n > jobs.len()));
    match ours.into_iter().next() {
        Some(job) => Ok(Some(job.id)),
        None if unmarked => Err(incomplete("a listed job shows no customId: whose it is cannot be told")),
        None if more => Err(incomplete("the list holds fewer jobs than its total")),
        None => Ok(None),
    }
}

fn incomplete(words: &str) -> Fault {
    Fault::from_vendor(FaultKind::Unavailable, "look_up_incomplete", words)
}

fn request<'a>(
    vendor: &'a Tencent,
    action: &'static str,
    fill: impl FnOnce(&mut Call<'a>),
) -> Request<Bytes>
where
{
    let settings = &vendor.settings;
    let mut call = Call {
        action,
        secret_id: settings.secret_id.expose(),
        secret_key: settings.secret_key.expose(),
        create_job_request: None,
        get_job_request: None,
        list_jobs_request: None,
    };
    fill(&mut call);
    let path: Vec<&str> = settings.path.split('/').filter(|part| !part.is_empty()).collect();
    let mut request = post_json(settings.base_url.at(&path), None, &call);
    gateway::sign(&mut request, settings, (vendor.clock)());
    request
}

fn job(response: Response<Bytes>, key: &str, cost: Cost, settings: &Arc<Settings>) -> Result<Job, Fault> {
    let answer = answer(response, key, cost, settings)?;
    let job = child(&answer, "job").ok_or_else(|| garbled("an answer without a job"))?;
    Job::read(job, &settings.content_id)
}

/// The answer under its key, or what stands there instead; whatever it says, never one of our secrets.
fn answer(response: Response<Bytes>, key: &str, cost: Cost, settings: &Settings) -> Result<Object, Fault> {
    let reply = Reply::from(response);
    told(&reply, key, cost, settings).map_err(|fault| fault::without_secrets(fault, settings))
}

fn told(reply: &Reply, key: &str, cost: Cost, settings: &Settings) -> Result<Object, Fault> {
    let body = reply.object();
    if let Ok(body) = &body
        && let Some(error) = child(body, "errorResponse")
    {
        let words = words_of(error).unwrap_or_else(|| "the vendor gives no reason".to_owned());
        return Err(fault::of_error(reply, &words, cost, settings));
    }
    if !reply.status.is_success() {
        return Err(fault::of_gateway(reply, cost));
    }
    let body = body?;
    child(&body, key).cloned().ok_or_else(|| garbled(&format!("an answer without {key}")))
}
