//! Names that are taken, and those that are not.

use super::*;

#[test]
fn a_job_id_survives_its_text() {
    for bytes in [[0; 16], [255; 16], *b"0123456789abcdef"] {
        let id = JobId::from_bytes(bytes);
        assert_eq!(id.to_string().len(), JobId::LEN);
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
    }
}

#[test]
fn the_same_key_names_the_same_job_and_scopes_keep_apart() {
    assert_eq!(JobId::derive("a", "k"), JobId::derive("a", "k"));
    assert_ne!(JobId::derive("a", "k"), JobId::derive("b", "k"));
    assert_ne!(JobId::derive("a", "bk"), JobId::derive("ab", "k"));
}

#[test]
fn what_is_not_an_id_is_refused_with_the_rule() {
    for bad in
        ["", "short", "8zzzzzzzzzzzzzzzzzzzzzzzzz", "0123456789ABCDEFGHJKMNPQRS", "ü123456789abcdefghjkmnpqr"]
    {
        assert!(bad.parse::<JobId>().is_err(), "{bad}");
    }
    assert!(BatchName::new("a b").unwrap_err().to_string().contains("1 to 64 letters"));
    assert!(VendorName::new("Replicate").is_err());
}

#[test]
fn batches_of_two_tenants_differ_and_the_default_tenant_is_not_written() {
    let (ours, theirs): (BatchRef, BatchRef) = ("album".parse().unwrap(), "acme/album".parse().unwrap());
    assert_ne!(ours, theirs);
    assert_eq!((ours.to_string().as_str(), theirs.to_string().as_str()), ("album", "acme/album"));
    assert_eq!("default/album".parse::<BatchRef>().unwrap(), ours);
    for bad in ["/album", "acme/", "a/b/c", "Acme/b"] {
        assert!(bad.parse::<BatchRef>().is_err(), "{bad}");
    }
}

#[test]
fn batches_have_names_of_any_script() {
    for name in ["春天歌单", "Frühling_2026", "वसंत", "ربيع", "歌.1-2", "🎵"] {
        assert_eq!(BatchName::new(name).unwrap().as_str(), name);
    }
    assert_eq!(BatchName::new("Fru\u{308}hling").unwrap(), BatchName::new("Frühling").unwrap());
    let long = "春".repeat(64);
    assert!(BatchName::new(&long).is_ok() && BatchName::new(&format!("{long}春")).is_err());
    for name in [
        "",
        "a b",
        "a/b",
        "a\u{3000}b",
        "a\u{202e}b",
        "a\u{200b}",
        "a\n",
        "a\u{85}",
        "a:b",
        "🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵🎵",
    ] {
        assert!(BatchName::new(name).is_err(), "{name:?}");
    }
}
