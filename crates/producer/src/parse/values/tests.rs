//! What people write, and what it means.

use serde_json::json;

use super::*;

#[test]
fn lengths_are_read_as_people_write_them() {
    for (text, expected) in [
        ("30", 30),
        ("30s", 30),
        ("30 s", 30),
        ("30 sec.", 30),
        ("30 seconds", 30),
        ("30秒", 30),
        ("30,5", 31),
        ("30.4", 30),
        ("3:20", 200),
        ("03:20", 200),
        ("0:03:20", 200),
        ("3:20:00", 200),
        ("00:00:45", 45),
        ("3：20", 200),
        ("1:00:05", 3605),
        ("3 min", 180),
        ("3min", 180),
        ("3 min 20 s", 200),
        ("3m20s", 200),
        ("3m20", 200),
        ("3分20秒", 200),
        ("2分钟", 120),
        ("1,5 min", 90),
        ("0", 0),
        ("600", 600),
        ("601", 601),
    ] {
        assert_eq!(Kind::Duration(Unit::Second).read(text), Ok(json!(expected)), "{text}");
    }
    assert_eq!(Kind::Duration(Unit::Minute).read("1,5"), Ok(json!(90)));
    assert_eq!(Kind::Duration(Unit::Minute).read("90 s"), Ok(json!(90)));
    for text in [
        "half a minute",
        "-3",
        "1:75",
        "3:20:10:1",
        "1,000.5",
        "30 parsecs",
        "s",
        "1e9",
        "∞",
        "3 s 2 min",
        ".",
        "1 2 3",
        "3.5:20",
        "2024-01-01",
    ] {
        assert!(Kind::Duration(Unit::Second).read(text).is_err(), "{text}");
    }
    let wrong = Kind::Duration(Unit::Second).read("half a minute").unwrap_err();
    assert_eq!(wrong.fault, "\"half a minute\" is not a length");
    assert!(wrong.fix.starts_with("write seconds, such as 30"));
}

#[test]
fn truths_numbers_and_names_are_read_as_people_write_them() {
    for (text, expected) in [
        ("yes", true),
        ("TRUE", true),
        ("是", true),
        ("1", true),
        ("no", false),
        ("FALSE", false),
        ("off", false),
        ("否", false),
        ("0", false),
    ] {
        assert_eq!(Kind::Truth.read(text), Ok(json!(expected)), "{text}");
    }
    assert!(Kind::Truth.read("perhaps").is_err());
    for (text, expected) in [("3", 3), ("3.0", 3), ("3,0", 3)] {
        assert_eq!(Kind::Whole.read(text), Ok(json!(expected)), "{text}");
    }
    for text in ["3.5", "three", "-1", "1e3", "1,000", "1.000"] {
        assert!(Kind::Whole.read(text).is_err(), "{text}");
    }
    assert_eq!(Kind::Vendors.read("Replicate"), Ok(json!("replicate")));
    assert_eq!(Kind::Vendors.read("Tencent; inference.sh"), Ok(json!(["tencent", "inference_sh"])));
    for error in ["#N/A", "#NV", "#BEZUG!", "#WERT!", "#VALEUR!", "#¡VALOR!", "#DIV/0!", "Err:502"] {
        assert!(Kind::Text.read(error).is_err(), "{error}");
    }
    for text in ["#1", "#LOVE", "#Hit!", "Err: no", "A#!", "#!"] {
        assert!(Kind::Text.read(text).is_ok(), "{text}");
    }
    assert_eq!(Kind::Vendors.read("腾讯云"), Ok(json!("tencent")));
    for (text, quoted) in [("Tencent Cloud", "Tencent Cloud"), ("replicate, 百度", "百度")] {
        let fault = Kind::Vendors.read(text).unwrap_err().fault;
        assert!(
            fault.starts_with(&format!("{quoted:?} is not a vendor; there are inference_sh, ")),
            "{fault}"
        );
    }
    assert_eq!(Kind::Vocal.read("女声"), Ok(json!("female")));
    assert_eq!(Kind::Word.read("MP3"), Ok(json!("mp3")));
    assert_eq!(Kind::Option.read("[1,2]"), Ok(json!([1, 2])));
}

#[test]
fn what_is_no_value_is_never_sung() {
    for text in ["#N/A", "#NAME?", "caf\u{fffd}"] {
        assert!(Kind::Text.read(text).is_err(), "{text}");
    }
    let long = "y".repeat(1000);
    assert!(Kind::Whole.read(&long).unwrap_err().fault.len() < 120);
}
