//! Storage, on a real S3 server and in folders: what is put is there whole, or is not there.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use songmill_core::FaultKind;
use songmill_core::time::Span;
use songmill_worker_deliver::{Library, Mode, Settings, Shelved, Storage, StorageError, StorageUrl, Stored};
use tempfile::TempPath;

use crate::s3::{Server, Trouble, Way};

pub(crate) fn url(text: &str) -> StorageUrl {
    serde_json::from_value(text.into()).unwrap()
}

/// Settings of the bucket at an address, with more options.
pub(crate) fn bucket(address: &str, storage: &str, more: &[(&str, &str)]) -> Settings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings = Settings { storage: url(storage), ..Settings::default() };
    let options = [
        ("endpoint", address),
        ("region", "us-east-1"),
        ("access_key_id", "a"),
        ("secret_access_key", "b"),
        ("allow_http", "true"),
    ];
    for (name, value) in options.iter().chain(more) {
        settings.storage_options.insert((*name).to_owned(), (*value).to_owned());
    }
    settings
}

fn file(bytes: &[u8]) -> TempPath {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file.into_temp_path()
}

/// Bytes of which no two parts are the same.
fn song(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

async fn read(library: &Library, path: &str) -> Vec<u8> {
    let chunks: Vec<Bytes> = library.get(path).await.unwrap().try_collect().await.unwrap();
    chunks.concat()
}

async fn paths(library: &Library, below: &str) -> Vec<String> {
    library.list(below).map_ok(|entry| entry.path).try_collect().await.unwrap()
}

/// What holds for every storage.
async fn keeps_what_it_takes(settings: &Settings) {
    let (storage, library) = (Storage::open(settings).unwrap(), Library::open(settings).unwrap());
    let put = async |path, bytes: &[u8], mode| storage.put(file(bytes), path, mode).await.unwrap();
    assert_eq!(put("album/a-1.mp3", b"one", Mode::Own).await, Stored::Written);
    assert_eq!(put("album/a-1.mp3", b"two!", Mode::Own).await, Stored::Written);
    assert_eq!(read(&library, "album/a-1.mp3").await, b"two!");
    assert_eq!(put("by/hash.mp3", b"same", Mode::Shared).await, Stored::Written);
    assert_eq!(put("by/hash.mp3", b"same", Mode::Shared).await, Stored::Already);
    // Torn by somebody's crash.
    storage.put(file(b"sa"), "by/hash.mp3", Mode::Own).await.unwrap();
    assert_eq!(put("by/hash.mp3", b"same", Mode::Shared).await, Stored::Written);
    assert_eq!(read(&library, "by/hash.mp3").await, b"same");
    storage.put_bytes("album/a-1.mp3.json", Bytes::from("{}"), "application/json").await.unwrap();
    put("album-2/夏 夜.wav", b"three", Mode::Own).await;
    put("album/b/c.flac", b"four", Mode::Own).await;
    put("z.ogg", b"five", Mode::Own).await;

    let all = [
        "album-2/夏 夜.wav",
        "album/a-1.mp3",
        "album/a-1.mp3.json",
        "album/b/c.flac",
        "by/hash.mp3",
        "z.ogg",
    ];
    assert_eq!(paths(&library, "").await, all);
    assert_eq!(paths(&library, "album").await, all[1..4]);
    assert!(paths(&library, "alb").await.is_empty());
    for (n, after) in all.iter().enumerate() {
        let rest = library.list_after("", after).map_ok(|entry| entry.path);
        assert_eq!(rest.try_collect::<Vec<_>>().await.unwrap(), all[n + 1..], "after {after}");
    }
    let rest = library.list_after("", "album/b/a").map_ok(|entry| entry.path);
    assert_eq!(rest.try_collect::<Vec<_>>().await.unwrap(), all[3..]);
    let stat = library.stat("album/a-1.mp3").await.unwrap().unwrap();
    assert_eq!(stat.bytes, 4);
    assert!(stat.modified.as_secs() > 1_700_000_000);
    assert_eq!(library.stat("album/none").await.unwrap(), None);
    let missing = library.get("album/none").await.err();
    assert!(matches!(missing, Some(StorageError::Missing { path }) if path == "album/none"));
    for path in ["", "../a", "a/../../b", "/etc/passwd"] {
        assert!(library.get(path).await.is_err(), "{path}");
    }
    for path in all.iter().chain(all.iter()) {
        library.remove(path).await.unwrap();
    }
    assert!(paths(&library, "").await.is_empty());
}

#[tokio::test]
async fn a_folder_keeps_what_it_takes() {
    for fsync in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let storage = url(folder.path().join("songs").to_str().unwrap());
        keeps_what_it_takes(&Settings { storage, fsync, ..Settings::default() }).await;
        let left = std::fs::read_dir(folder.path().join("songs")).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), [".incoming"]);
    }
}

#[tokio::test]
async fn a_bucket_keeps_what_it_takes_with_and_without_prefix() {
    let Some(server) = Server::start().await else { return };
    keeps_what_it_takes(&bucket(&server.address, "s3://songs", &[])).await;
    keeps_what_it_takes(&bucket(&server.address, "s3://songs/our/own", &[])).await;
    let without = [("conditional_put", "disabled"), ("checksum_algorithm", "none")];
    keeps_what_it_takes(&bucket(&server.address, "s3://songs/x", &without)).await;
    let settings = bucket(&server.address, "s3://songs/our/own", &[]);
    Storage::open(&settings).unwrap().put(file(b"abc"), "x y/夏.mp3", Mode::Own).await.unwrap();
    assert_eq!(server.object("our/own/x y/夏.mp3").await.unwrap(), b"abc");
    let found = Library::open(&settings).unwrap().find("x y/夏.mp3").await.unwrap();
    let Shelved::Address(address) = found else { panic!("{found:?}") };
    assert!(address.contains("X-Amz-Signature="), "{address}");
    let got = reqwest::get(address).await.unwrap();
    assert_eq!(got.headers()["content-type"], "audio/mpeg");
    assert_eq!(&got.bytes().await.unwrap()[..], b"abc");
}

#[tokio::test]
async fn whatever_the_way_does_an_object_is_whole_or_not_there() {
    let Some(server) = Server::start().await else { return };
    let way = Way::to(&server).await;
    let settings = bucket(&way.address, "s3://songs", &[("timeout", "1s")]);
    let settings = Settings { timeout: Span::secs(8), ..settings };
    let storage = Storage::open(&settings).unwrap();
    let whole = song(1 << 20);
    let troubles = [
        ("500 Internal Server Error", Trouble::Answer("500 Internal Server Error")),
        ("503 Slow Down", Trouble::Answer("503 Slow Down")),
        ("429", Trouble::Answer("429 Too Many Requests")),
        ("cut early", Trouble::CutAsked(0)),
        ("cut in the middle", Trouble::CutAsked(300_000)),
        ("answer cut", Trouble::CutReply(20)),
        ("answer lost", Trouble::CutReply(0)),
        ("silence", Trouble::Silence),
    ];
    for (n, (name, trouble)) in troubles.into_iter().enumerate() {
        for (times, mode) in [(1, Mode::Own), (1, Mode::Shared), (99, Mode::Own)] {
            let path = format!("{n}-{times}-{mode:?}.wav");
            way.trouble("PUT /songs/", times, trouble.clone());
            let put = storage.put(file(&whole), &path, mode).await;
            way.clear();
            let there = server.object(&path).await;
            match put {
                Ok(_) => assert_eq!(there.as_deref(), Some(&whole[..]), "{name} {path}"),
                Err(fault) => {
                    assert_eq!(fault.kind, FaultKind::Unavailable, "{name} {path}: {fault:?}");
                    assert!(there.is_none_or(|there| there == whole), "{name} {path}");
                    assert!(times > 1 || mode == Mode::Shared, "{name}: {fault:?} after one trouble");
                }
            }
            assert!(storage.put(file(&whole), &path, mode).await.is_ok(), "{name} {path}");
            assert_eq!(server.object(&path).await.unwrap(), whole);
        }
    }
    for (status, kind) in [
        ("403 Forbidden", FaultKind::Locked),
        ("400 Bad Request", FaultKind::Locked),
        ("301 Moved Permanently", FaultKind::Locked),
        ("404 Not Found", FaultKind::Locked),
        ("409 Conflict", FaultKind::Unavailable),
    ] {
        way.trouble("PUT", 99, Trouble::Answer(status));
        let fault = storage.put(file(b"a"), "refused.mp3", Mode::Own).await.unwrap_err();
        way.clear();
        assert_eq!(fault.kind, kind, "{status}: {fault:?}");
        assert!(fault.message.len() < 500 && !fault.message.contains('\n'), "{fault:?}");
    }
    let nowhere = bucket("http://127.0.0.1:1", "s3://songs", &[]);
    let fault = Storage::open(&nowhere).unwrap().put(file(b"a"), "a.mp3", Mode::Own).await.unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Unavailable, "storage_unreachable"));
}

#[tokio::test]
async fn the_server_compares_checksums_or_we_look_at_what_it_has() {
    let Some(server) = Server::start().await else { return };
    let way = Way::to(&server).await;
    let put = async |algorithm: &[(&str, &str)], path| {
        let storage = Storage::open(&bucket(&way.address, "s3://songs", algorithm)).unwrap();
        let put = storage.put(file(b"song"), path, Mode::Shared).await;
        (put, way.clear())
    };
    let (_, asked) = put(&[], "a.mp3").await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("x-amz-checksum-sha256: "), "{asked:?}");
    assert!(asked[0].contains("if-none-match: *"), "{asked:?}");
    let (_, asked) = put(&[("checksum_algorithm", "crc64nvme")], "b.mp3").await;
    assert!(asked[0].contains("x-amz-checksum-crc64nvme: "), "{asked:?}");
    let none = [("checksum_algorithm", "none")];
    let (stored, asked) = put(&none, "c.mp3").await;
    assert_eq!(stored.unwrap(), Stored::Written);
    assert!(!asked[0].contains("x-amz-checksum") && asked[1].starts_with("HEAD "), "{asked:?}");
    // It says that it took the song, and did not.
    way.trouble("PUT", 1, Trouble::Answer("200 OK\r\netag: \"e\""));
    let (stored, _) = put(&none, "d.mp3").await;
    assert_eq!(&*stored.unwrap_err().code, "storage_unreachable");
}

#[tokio::test]
async fn large_files_go_in_parts_and_no_part_is_left_behind() {
    let Some(server) = Server::start().await else { return };
    let way = Way::to(&server).await;
    let settings = bucket(&way.address, "s3://songs", &[("timeout", "5s")]);
    let (storage, library) = (Storage::open(&settings).unwrap(), Library::open(&settings).unwrap());
    let whole = song((20 << 20) + 5);
    way.trouble("partNumber=2", 1, Trouble::CutAsked(1 << 20));
    way.trouble("partNumber=3", 1, Trouble::Answer("500 Internal Server Error"));
    storage.put(file(&whole), "long.wav", Mode::Shared).await.unwrap();
    let asked = way.clear();
    let parts: Vec<_> = asked.iter().filter(|head| head.contains("partNumber=")).collect();
    assert_eq!(parts.len(), 5, "{asked:?}");
    assert!(parts.iter().all(|head| head.contains("x-amz-checksum-sha256: ")), "{parts:?}");
    assert!(read(&library, "long.wav").await == whole);
    assert_eq!(storage.put(file(&whole), "long.wav", Mode::Shared).await.unwrap(), Stored::Already);
    assert_eq!(server.uploads().await, 0);

    for (on, trouble) in [
        ("partNumber=2", Trouble::Answer("403 Forbidden")),
        ("partNumber=2", Trouble::CutAsked(1 << 20)),
        ("POST /songs/torn.wav?uploadId", Trouble::Answer("500 Internal Server Error")),
    ] {
        way.trouble(on, 99, trouble);
        storage.put(file(&whole), "torn.wav", Mode::Own).await.unwrap_err();
        storage.settle().await;
        way.clear();
        assert_eq!(server.uploads().await, 0, "{on}");
        assert!(server.object("torn.wav").await.is_none(), "{on}");
    }
    // Whoever waits goes away.
    way.trouble("partNumber=2", 99, Trouble::Silence);
    let put = storage.put(file(&whole), "torn.wav", Mode::Own);
    tokio::time::timeout(Duration::from_secs(2), put).await.unwrap_err();
    assert!(way.clear().iter().any(|head| head.contains("partNumber=1")));
    storage.settle().await;
    assert_eq!(server.uploads().await, 0);
}

#[tokio::test]
async fn a_folder_on_another_disk_takes_whole_files_too_and_its_leftovers_go() {
    let other = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(other.path(), folder.path().join("album")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
    let torn = other.path().join(".in-torn");
    std::fs::write(&torn, "half").unwrap();
    std::fs::write(other.path().join(".in-now"), "half").unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(48 * 3600);
    std::fs::File::open(&torn).unwrap().set_modified(long_ago).unwrap();
    let settings = Settings { storage: url(folder.path().to_str().unwrap()), ..Settings::default() };
    let (storage, library) = (Storage::open(&settings).unwrap(), Library::open(&settings).unwrap());
    storage.put_bytes("album/a.json", Bytes::from("{}"), "application/json").await.unwrap();
    storage.put_bytes("a.json", Bytes::from("{}"), "application/json").await.unwrap();
    assert_eq!(paths(&library, "").await, ["a.json", "album/a.json"]);
    let mut left: Vec<_> = std::fs::read_dir(other.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".in-now", "a.json"]);
    // A file stands where a folder should be.
    let fault = storage.put(file(b"a"), "a.json/b.mp3", Mode::Own).await.unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Locked, "storage_refused"));
    assert_eq!(std::fs::read_dir(folder.path().join(".incoming")).unwrap().count(), 0);
}

#[tokio::test]
async fn buckets_of_all_clouds_are_opened_and_sign_addresses_without_asking_anybody() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = |storage: &str, options: &[(&str, &str)]| {
        let mut settings = Settings { storage: url(storage), ..Settings::default() };
        let owned = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings.storage_options = owned.collect();
        settings
    };
    let signed = async |settings: &Settings| {
        let Shelved::Address(address) = Library::open(settings).unwrap().find("x/夏 1.mp3").await.unwrap()
        else {
            panic!("no address")
        };
        address
    };
    if let Some(key) = key_of_nobody() {
        let google = signed(&settings("gs://songs/our/own/", &[("service_account_key", &key)])).await;
        assert!(
            google.starts_with("https://storage.googleapis.com/songs/our/own/x/%E5%A4%8F%201.mp3?"),
            "{google}"
        );
        assert!(google.contains("X-Goog-Signature="), "{google}");
    }
    let azure = [("account_name", "nobody"), ("access_key", "c29uZ21pbGw=")];
    let azure = signed(&settings("az://songs/our", &azure)).await;
    assert!(
        azure.starts_with("https://nobody.blob.core.windows.net/songs/our/x/%E5%A4%8F%201.mp3?"),
        "{azure}"
    );
    assert!(azure.contains("sig="), "{azure}");
    let s3 = [("region", "eu-central-1"), ("access_key_id", "a"), ("secret_access_key", "b")];
    let s3 = signed(&settings("s3://songs", &s3)).await;
    assert!(s3.starts_with("https://s3.eu-central-1.amazonaws.com/songs/x/%E5%A4%8F%201.mp3?"), "{s3}");

    let wrong =
        |storage, options: &[_]| Library::open(&settings(storage, options)).err().unwrap().to_string();
    let unknown = wrong("gs://songs", &[("acount", "x")]);
    assert!(
        unknown.contains("storage_options.acount is not known; gs:// takes service_account"),
        "{unknown}"
    );
    assert!(wrong("az://songs", &[("service_account", "x")]).contains("account_name"));
    for storage in ["s3://", "gs:///a", "ftp://songs", "S3://songs"] {
        assert!(wrong(storage, &[]).contains("az://container/prefix"), "{storage}");
    }
    assert!(Library::open(&settings("s3://songs", &[("timeout", "often")])).is_err());
}

/// A Google key that was made a moment ago; none where openssl is missing.
fn key_of_nobody() -> Option<String> {
    let asked = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let made = std::process::Command::new("openssl").args(asked).output();
    let Ok(made) = made else {
        eprintln!("SKIPPED: Google's signatures are not tested: there is no openssl");
        return None;
    };
    let key = serde_json::json!({
        "type": "service_account",
        "client_email": "nobody@example.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": String::from_utf8(made.stdout).unwrap(),
        "gcs_base_url": "https://storage.googleapis.com",
    });
    Some(key.to_string())
}
