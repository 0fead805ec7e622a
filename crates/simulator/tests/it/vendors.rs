//! Each vendor asked as its pages say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use songmill_simulator::WEBHOOK_SECRET;

use crate::sim::{Sim, VERSION, receiver, until};

#[tokio::test]
async fn replicate_makes_a_song_and_signs_its_callback() {
    let sim = Sim::start(json!({})).await;
    let (url, received) = receiver().await;
    let (status, made) = sim.replicate(json!({ "prompt": "calm", "duration": 2 }), Some(&url)).await;
    assert_eq!((status, &made["status"]), (201, &json!("starting")));
    until(async || !received.lock().unwrap().is_empty()).await;
    let (headers, body) = received.lock().unwrap()[0].clone();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let key = STANDARD.decode(WEBHOOK_SECRET.trim_start_matches("whsec_")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&body);
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    let body: Value = serde_json::from_slice(&body).unwrap();
    let (_, shown) =
        sim.get(&format!("/v1/predictions/{}", made["id"].as_str().unwrap()), "sim-replicate").await;
    assert_eq!((&body["status"], &body["output"]), (&json!("succeeded"), &shown["output"]));
    sim.audio(shown["output"].as_str().unwrap(), b"RIFF").await;
}

#[tokio::test]
async fn replicate_refuses_in_its_own_words() {
    let sim = Sim::start(json!({})).await;
    assert_eq!(sim.get("/v1/predictions", "wrong").await.0, 401);
    let (status, body) = sim.replicate(json!({ "duration": "long", "output_format": "ogg" }), None).await;
    assert_eq!((status, body["invalid_fields"].as_array().unwrap().len()), (422, 2));
    let unknown = json!({ "version": VERSION, "input": {}, "model": "x" });
    assert_eq!(sim.post("/v1/predictions", "sim-replicate", &unknown).await.0, 422);
    let version = json!({ "version": "0".repeat(64), "input": {} });
    assert_eq!(
        sim.post("/v1/predictions", "sim-replicate", &version).await.1["title"],
        "Invalid version or not permitted"
    );
    let official = "/v1/models/datasci888/musicgen_8songs/predictions";
    assert_eq!(sim.post(official, "sim-replicate", &json!({})).await.0, 404);
    let (_, doomed) = sim.replicate(json!({}), None).await;
    let path = format!("/v1/predictions/{}", doomed["id"].as_str().unwrap());
    until(async || sim.get(&path, "sim-replicate").await.1["status"] == "failed").await;
}

#[tokio::test]
async fn inference_sh_makes_three_stems_and_lists_its_webhook() {
    let sim = Sim::start(json!({})).await;
    let (url, received) = receiver().await;
    let run = json!({ "app": "infsh/tencent-song-generation", "webhook": url,
        "input": { "lyrics": "[verse] la.", "generate_type": "separate", "max_duration": 5 } });
    let (status, made) = sim.post("/apps/run", "sim-inference", &run).await;
    assert_eq!(status, 200);
    until(async || !received.lock().unwrap().is_empty()).await;
    let body: Value = serde_json::from_slice(&received.lock().unwrap()[0].1).unwrap();
    assert_eq!((&body["id"], &body["status"]), (&made["data"]["id"], &json!(10)));
    for stem in ["generated_audio", "vocal_audio", "bgm_audio"] {
        sim.audio(body["output"][stem].as_str().unwrap(), b"fLaC").await;
    }
    let (_, listed) = sim.post("/tasks/list", "sim-inference", &json!({ "limit": 1 })).await;
    assert_eq!(listed["data"]["items"][0]["webhook"], url);
    let wrong = json!({ "app": "infsh/tencent-song-generation", "input": { "prompt": "x" } });
    assert_eq!(sim.post("/apps/run", "sim-inference", &wrong).await.0, 422);
    let path = format!("/tasks/{}/cancel", made["data"]["id"].as_str().unwrap());
    assert_eq!(sim.post(&path, "sim-inference", &json!({})).await.0, 409);
}

#[tokio::test]
async fn tencent_checks_every_field_and_puts_songs_into_the_bucket() {
    let sim = Sim::start(json!({})).await;
    let call = |request: Value| {
        let mut body = json!({ "action": "CreateJob", "secretId": "sim-id", "secretKey": "sim-secret" });
        body["createJobRequest"] = request;
        body
    };
    let order = |song: Value| {
        json!({ "customId": "c-1", "inputs": [{ "sourceData": "海" }], "outputs": [{
        "contentId": "sim", "destination": "/a", "inputSelectors": [0],
        "smartContentDescriptor": { "textBgmGeneration": song } }] })
    };
    let (_, made) = sim.post("/release/job", "", &call(order(json!({ "songQuantity": 2 })))).await;
    let id = made["createJobResponse"]["job"]["id"].clone();
    let ask = json!({ "action": "GetJob", "secretId": "sim-id", "secretKey": "sim-secret", "getJobRequest": { "id": id } });
    let job = async || sim.post("/job", "", &ask).await.1["getJobResponse"]["job"].clone();
    until(async || job().await["state"] == 3).await;
    let songs = job().await["outputs"][0]["smartContentResult"]["textBgmGeneration"].clone();
    assert_eq!(songs.as_array().unwrap().len(), 2);
    let url = format!("{}/_cos/sim-1250000000/a/{}", sim.base, songs[1]["songName"].as_str().unwrap());
    let bytes = sim.client.get(&url).send().await.unwrap().bytes().await.unwrap();
    assert!(bytes.len() > 1000 && bytes[0] == 0xff);
    assert_eq!(
        sim.client.get(format!("{}/_cos/other/a/x.mp3", sim.base)).send().await.unwrap().status(),
        404
    );
    for (song, word) in [
        (json!({ "songQuantity": 0 }), "songQuantity"),
        (json!({ "songQuantity": 1, "emotion": 10 }), "emotion"),
        (json!({ "songQuantity": 1, "type": 2, "genre": 1 }), "genre"),
        (json!({ "songQuantity": 1, "tempo": 1 }), "tempo"),
    ] {
        let (status, body) = sim.post("/release/job", "", &call(order(song))).await;
        let message = body["errorResponse"]["message"].as_str().unwrap().to_owned();
        assert!(status == 200 && message.contains(word), "{message}");
    }
    let list = json!({ "action": "ListJobs", "secretId": "sim-id", "secretKey": "sim-secret", "listJobsRequest": { "customId": "c-1" } });
    assert_eq!(sim.post("/release/job", "", &list).await.1["listJobsResponse"]["total"], 1);
    let wrong =
        json!({ "action": "GetJob", "secretId": "x", "secretKey": "y", "getJobRequest": { "id": id } });
    assert!(sim.post("/job", "", &wrong).await.1["errorResponse"].is_object());
}

#[tokio::test]
async fn senseaudio_writes_lyrics_in_turns_and_sings() {
    let sim = Sim::start(json!({ "senseaudio": { "lyrics_mode": "async" } })).await;
    let ask = json!({ "prompt": "夏天", "provider": "sensesong" });
    let (_, lyrics) = sim.post("/v1/song/lyrics/create", "sim-senseaudio", &ask).await;
    let path = format!("/v1/song/lyrics/pending/{}", lyrics["task_id"].as_str().unwrap());
    until(async || sim.get(&path, "sim-senseaudio").await.1["status"] == "SUCCESS").await;
    let song =
        json!({ "model": "sensesong", "lyrics": "[verse] la", "style_weight": "0.5", "vocal_gender": "f" });
    let (_, made) = sim.post("/v1/song/music/create", "sim-senseaudio", &song).await;
    let path = format!("/v1/song/music/pending/{}", made["task_id"].as_str().unwrap());
    until(async || sim.get(&path, "sim-senseaudio").await.1["status"] == "SUCCESS").await;
    let done = sim.get(&path, "sim-senseaudio").await.1;
    sim.audio(done["response"]["data"][0]["audio_url"].as_str().unwrap(), &[0xff]).await;
    let bad = json!({ "model": "sensesong", "vocal_gender": "x" });
    assert_eq!(sim.post("/v1/song/music/create", "sim-senseaudio", &bad).await.1["code"], "invalid");
    assert_eq!(sim.post("/v1/song/music/create", "wrong", &song).await.1["code"], "authentication_error");
}

#[tokio::test]
async fn a_lost_reply_has_made_exactly_one_task() {
    let sim = Sim::start(json!({ "faults": { "reply_lost_rate": 1.0 } })).await;
    let (status, body) = sim.replicate(json!({ "prompt": "x" }), Some("https://songs.invalid/a")).await;
    assert!(status != 201 && body["id"].is_null());
    let stats = sim.stats("replicate").await;
    assert_eq!((&stats["tasks_created"], &stats["max_tasks_per_token"]), (&json!(1), &json!(1)));
    assert_eq!(stats["tasks_per_token"]["https://songs.invalid/a"], 1);
}

#[tokio::test]
async fn faults_can_be_changed_for_one_vendor_and_are_checked() {
    let sim = Sim::start(json!({})).await;
    let (status, _) = sim
        .post("/_sim/faults", "", &json!({ "vendor": "replicate", "throttle_rate": 1.0, "retry_after_s": 7 }))
        .await;
    assert_eq!(status, 200);
    let (status, body) = sim.replicate(json!({ "prompt": "x" }), None).await;
    assert_eq!((status, &body["retry_after"]), (429, &json!(7)));
    assert_eq!(sim.get("/tasks/x", "sim-inference").await.0, 404, "the others go on");
    let (status, body) = sim.post("/_sim/faults", "", &json!({ "throttel_rate": 1.0 })).await;
    assert!(status == 400 && body["detail"].as_str().unwrap().contains("throttel_rate"));
    assert_eq!(sim.stats("replicate").await["rejected"]["429"], 1);
}

#[tokio::test]
async fn a_refusal_names_a_wait_or_none_at_all() {
    for retry_after_s in [7, 0] {
        let sim =
            Sim::start(json!({ "faults": { "throttle_rate": 1.0, "retry_after_s": retry_after_s } })).await;
        for path in ["/v1/predictions", "/apps/run", "/v1/song/music/create", "/job"] {
            let reply = sim.client.post(format!("{}{path}", sim.base)).body("{}").send().await.unwrap();
            assert_eq!(reply.status(), 429, "{path}");
            let said = format!("{:?} {}", reply.headers().clone(), reply.text().await.unwrap());
            let names_one = ["retry", "reset"].iter().any(|word| said.contains(word));
            assert_eq!(names_one, retry_after_s > 0, "{path}: {said}");
        }
    }
}

#[tokio::test]
async fn callbacks_are_doubled_and_dropped_as_asked() {
    for (faults, expected) in
        [(json!({ "callback_double_rate": 1.0 }), 2), (json!({ "callback_drop_rate": 1.0 }), 0)]
    {
        let sim = Sim::start(json!({ "faults": faults })).await;
        let (url, received) = receiver().await;
        sim.replicate(json!({ "prompt": "x" }), Some(&url)).await;
        let counted = if expected == 0 { "dropped" } else { "doubled" };
        until(async || sim.stats("replicate").await["callbacks"][counted] == 1).await;
        until(async || received.lock().unwrap().len() == expected).await;
    }
}
