//! Objects of a vendor's bucket, over a way that is cut.

use std::io::Read as _;

use songmill_core::time::Span;

use super::*;

#[expect(dead_code, reason = "what others need it for")]
#[path = "../../tests/it/s3.rs"]
mod s3;

use self::s3::{Server, Trouble, Way};

fn objects(address: &str, max_bytes: u64) -> Objects {
    let bucket = serde_json::json!({
        "endpoint": address, "bucket": "songs", "access_key_id": "a", "secret_access_key": "b",
        "path_style": true, "allow_http": true,
    });
    let objects = BTreeMap::from([("content".to_owned(), serde_json::from_value(bucket).unwrap())]);
    Objects::new(&Settings { objects, max_bytes, timeout: Span::secs(60), ..Settings::default() }).unwrap()
}

async fn fetch(objects: &Objects, key: &str) -> Result<Vec<u8>, Fault> {
    let mut file = Incoming::new(tempfile::NamedTempFile::new().unwrap());
    objects.fetch("content", key, &mut file).await?;
    let mut whole = vec![];
    std::fs::File::open(file.finish().unwrap()).unwrap().read_to_end(&mut whole).unwrap();
    Ok(whole)
}

#[tokio::test]
async fn an_object_that_is_cut_often_comes_in_whole_and_one_that_changes_is_read_anew() {
    let Some(server) = Server::start().await else { return };
    let way = Way::to(&server).await;
    let whole: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let put = async |key: &str, bytes: &[u8]| {
        let address = format!("{}/songs/{key}", server.address);
        let put = reqwest::Client::new().put(address).body(bytes.to_vec()).send().await.unwrap();
        assert!(put.status().is_success(), "{put:?}");
    };
    put("songmill/1/a.wav", &whole).await;
    let bucket = objects(&way.address, 10_000_000);
    way.trouble("GET", 5, Trouble::CutReply(400_000));
    assert!(fetch(&bucket, "songmill/1/a.wav").await.unwrap() == whole);
    let asked = way.clear();
    assert_eq!(asked.len(), 6, "{asked:?}");
    assert!(asked[1..].iter().all(|head| head.contains("range: bytes=")), "{asked:?}");
    assert!(asked.iter().any(|head| head.contains("if-match: ")), "{asked:?}");
    way.trouble("GET", 99, Trouble::CutReply(400));
    assert_eq!(fetch(&bucket, "songmill/1/a.wav").await.unwrap_err().code, "output_unreachable");
    way.clear();

    // It is another object by the time it is taken up.
    way.trouble("GET", 3, Trouble::CutReply(400_000));
    way.trouble("GET", 1, Trouble::Answer("412 Precondition Failed"));
    assert!(fetch(&bucket, "songmill/1/a.wav").await.unwrap() == whole);
    way.clear();

    assert_eq!(
        fetch(&objects(&way.address, 2_999_999), "songmill/1/a.wav").await.unwrap_err().code,
        "output_too_large"
    );
    let fault = fetch(&bucket, "songmill/1/none.wav").await.unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Rejected, "output_expired"));
    way.trouble("GET", 1, Trouble::Answer("403 Forbidden"));
    let fault = fetch(&bucket, "songmill/1/a.wav").await.unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Locked, "store_refused"));
    let mut file = Incoming::new(tempfile::NamedTempFile::new().unwrap());
    assert_eq!(bucket.fetch("other", "a", &mut file).await.unwrap_err().code, "store_unknown");
}

#[test]
fn the_bucket_stands_in_the_host_unless_it_shall_not() {
    let mut cos = ObjectSettings {
        endpoint: "https://cos.ap-guangzhou.myqcloud.com/".into(),
        bucket: "songs-1250000000".into(),
        region: "ap-guangzhou".into(),
        access_key_id: String::new(),
        secret_access_key: String::new(),
        path_style: false,
        allow_http: false,
    };
    assert_eq!(endpoint(&cos), "https://songs-1250000000.cos.ap-guangzhou.myqcloud.com");
    cos.path_style = true;
    assert_eq!(endpoint(&cos), "https://cos.ap-guangzhou.myqcloud.com");
}
