//! Tables as people have them, from the file to the batch.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::World;

fn write(world: &World, name: &str, text: impl AsRef<[u8]>) -> Result<()> {
    Ok(std::fs::write(world.folder.path().join(name), text)?)
}

fn read(world: &World, name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(world.folder.path().join(name))?)
}

/// What a command said, and how it ended.
fn said(world: &World, args: &[&str]) -> Result<(String, Option<i32>)> {
    let output = world.run(args)?;
    Ok((String::from_utf8([output.stdout, output.stderr].concat())?, output.status.code()))
}

fn torn() -> String {
    let rows: String = (1..41).map(|n| format!("r{n},replicate,calm piano {n}\n")).collect();
    format!("custom_id,vendor,prompt\n{rows}").replace("calm piano 5\n", "\"calm piano 5\n")
}

#[test]
fn a_table_with_a_quote_that_is_not_closed_makes_no_batch() -> Result<()> {
    let world = World::start(&[])?;
    write(&world, "torn.csv", torn())?;
    write(&world, "empty.csv", "custom_id,vendor,prompt\n")?;
    write(&world, "twice.csv", "prompt,vendor,Prompt\na,replicate,b\n")?;
    let (_roles, api) = world.serve_api(&[], &[])?;
    let server = format!("http://{}", api.addr);
    for (file, why) in [
        ("torn.csv", "it opens on line 6, in row 6, column \"prompt\""),
        ("empty.csv", "has no songs"),
        ("twice.csv", "two columns for prompt"),
    ] {
        for args in [
            &["submit", file][..],
            &["submit", file, "--server", &server],
            &["submit", file, "--dry-run"],
            &["plan", file],
            &["plan", file, "--server", &server],
        ] {
            let (said, code) = said(&world, args)?;
            assert_eq!(code, Some(2), "{args:?}: {said}");
            assert!(said.contains(why) && said.contains(file), "{args:?}: {said}");
        }
        // Whoever sends it as it is hears the same.
        let body = std::fs::read(world.folder.path().join(file))?;
        let name = file.trim_end_matches(".csv");
        let answer =
            api.ask("POST", &format!("/v1/batches?name={name}"), &[("content-type", "text/csv")], &body)?;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("bad_body")), "{file}");
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{file}");
    }
    assert_eq!(world.json(&["batch", "list"])?, json!([]), "no batch was made");
    Ok(())
}

#[test]
fn rejected_rows_are_corrected_and_submitted_again() -> Result<()> {
    let world = World::start(&[])?;
    let text = "Titel;Prompt;Dauer;Notiz\n旧信;calm piano;half a minute;x\nb;jazz;30,4;\nc;waltz;0:20;\n";
    write(&world, "春天歌单.csv", text)?;
    write(&world, "冬天歌单.csv", text.replace("half a minute", "30s"))?;
    let how = ["--map", "Dauer=duration_s", "--map", "Titel=title", "--default", "vendor=replicate"];
    let submit = |file: &str| said(&world, &[&["submit", file][..], &how].concat());
    let (said_first, code) = submit("春天歌单.csv")?;
    assert_eq!(code, Some(3), "{said_first}");
    assert!(
        said_first.contains(
            "row 2 \"旧信\", duration_s: \"half a minute\" is not a length; write seconds, such as 30"
        ),
        "{said_first}"
    );
    assert!(said_first.contains("column \"Notiz\" is not read"), "{said_first}");
    let rejected = read(&world, "春天歌单.rejected.csv")?;
    assert!(
        rejected.starts_with("\u{feff}Titel;Prompt;Dauer;Notiz;error\n旧信;calm piano;half a minute;x;"),
        "{rejected}"
    );
    write(&world, "春天歌单.rejected.csv", rejected.replace("half a minute;x", "40;x"))?;
    let again = [&["submit", "春天歌单.rejected.csv"][..], &how].concat();
    assert_eq!(said(&world, &again)?.1, Some(0));
    assert_eq!(submit("冬天歌单.csv")?.1, Some(0));
    let batch = world.json(&["batch", "show", "春天歌单"])?;
    assert_eq!((&batch["name"], &batch["total"]), (&json!("春天歌单"), &json!(3)));
    assert_eq!(world.json(&["batch", "show", "冬天歌单"])?["total"], 3);
    let lengths: Vec<Value> = world
        .json_lines(&["job", "list", "--batch", "春天歌单"])?
        .iter()
        .map(|job| {
            Ok(world.json(&["job", "show", job["id"].as_str().context("an id")?])?["request"]["duration_s"]
                .clone())
        })
        .collect::<Result<_>>()?;
    assert!([20, 30, 40].iter().all(|length| lengths.contains(&json!(length))), "{lengths:?}");
    Ok(())
}

#[test]
fn rejected_rows_keep_what_they_had_and_a_correction_is_not_overwritten() -> Result<()> {
    let world = World::start(&[])?;
    write(&world, "songs.csv", "Title,prompt,vendor\nEte,soft piano, rain,replicate\nb,jazz,nobody\n")?;
    let submit = |file: &str| said(&world, &["submit", file, "--batch", "songs"]);
    let (first, code) = submit("songs.csv")?;
    assert_eq!(code, Some(3), "{first}");
    let rejected = read(&world, "songs.rejected.csv")?;
    assert!(rejected.contains("\nEte,soft piano,rain,replicate,"), "{rejected}");
    // As it is, it is refused again; what is corrected stays as it was corrected.
    let (again, code) = submit("songs.rejected.csv")?;
    assert_eq!(code, Some(3), "{again}");
    let corrected = "Title,prompt,vendor,error\nEte,\"soft piano, rain\",replicate,\n";
    write(&world, "songs.rejected.csv", corrected)?;
    for _ in 0..2 {
        let (later, code) = submit("songs.csv")?;
        assert!(code == Some(3) && later.contains("songs.rejected-2.csv"), "{later}");
        assert_eq!(read(&world, "songs.rejected.csv")?, corrected);
    }
    assert_eq!(read(&world, "songs.rejected-2.csv")?, rejected);
    assert!(!world.folder.path().join("songs.rejected-3.csv").exists());
    assert_eq!(submit("songs.rejected.csv")?.1, Some(0));
    Ok(())
}

#[test]
fn a_server_reads_what_the_command_line_reads() -> Result<()> {
    let world = World::start(&[])?;
    let (_roles, api) = world.serve_api(&[], &[])?;
    let server = format!("http://{}", api.addr);
    let text = "标题;提示词;时长（秒）;备注\n旧信;calm piano;30;\nb;jazz;lang;\n";
    write(&world, "歌.csv", encoding_rs::GBK.encode(text).0)?;
    let how = ["--default", "vendor=replicate", "--map", "备注="];
    let here = said(&world, &[&["submit", "歌.csv", "--batch", "here"][..], &how].concat())?;
    let there =
        said(&world, &[&["submit", "歌.csv", "--batch", "there", "--server", &server][..], &how].concat())?;
    assert_eq!(here.1, Some(3), "{}", here.0);
    assert_eq!((here.0.replace("here", "there"), here.1), there);
    assert!(here.0.contains("read as gb18030"), "{}", here.0);
    let planned = said(&world, &[&["plan", "歌.csv", "--server", &server][..], &how].concat())?;
    assert!(planned.0.contains("row 3 \"b\", duration_s: \"lang\" is not a length"), "{}", planned.0);
    // A workbook, and JSON in a table's place.
    let (template, code) = said(&world, &["template"])?;
    assert_eq!(code, Some(0));
    write(&world, "mine.csv", template)?;
    let dry = said(&world, &["submit", "mine.csv", "--dry-run"])?;
    assert_eq!(dry.1, Some(0), "{}", dry.0);
    write(&world, "one.json", "{\n  \"prompt\": \"calm piano\",\n  \"vendor\": \"replicate\"\n}\n")?;
    let one = world.json(&["submit", "one.json", "--batch", "one"])?;
    assert_eq!((&one["created"], &one["refused"]), (&json!(1), &json!(0)));
    Ok(())
}

#[test]
fn lyrics_that_a_vendor_ignores_are_refused_or_named_before_money_is_spent() -> Result<()> {
    let world = World::start(&[])?;
    let (_roles, api) = world.serve_api(&[], &[])?;
    let server = format!("http://{}", api.addr);
    let text = "title,prompt,lyrics,count,vocal,vendor\na,calm,la la,,female,replicate\nb,calm,la la,,,replicate\nc,calm,,3,,replicate\nd,calm,la la,,,replicate;senseaudio\n";
    write(&world, "songs.csv", text)?;
    for there in [&[][..], &["--server", &server]] {
        let batch = if there.is_empty() { "here" } else { "there" };
        let run = |args: &[&str]| said(&world, &[args, there].concat());
        let (refused, code) = run(&["submit", "songs.csv", "--batch", batch])?;
        assert_eq!(code, Some(3), "{refused}");
        assert!(refused.contains("1 new jobs, 3 refused"), "the one that can be sung elsewhere: {refused}");
        assert!(
            refused.contains("row 2 \"a\", lyrics: would be ignored: replicate cannot sing"),
            "{refused}"
        );
        assert!(refused.contains("row 4 \"c\", count: would be ignored"), "{refused}");
        let allowed = ["--allow-ignored", "lyrics,count"];
        let sentences = [
            "2 songs will ignore lyrics (replicate cannot sing)",
            "1 song will ignore count (replicate makes another number of songs)",
            "vocal at replicate (1)",
        ];
        let (planned, code) = run(&[&["plan", "songs.csv", "--batch", batch][..], &allowed].concat())?;
        assert_eq!(code, Some(0), "{planned}");
        let (submitted, code) = run(&[&["submit", "songs.csv", "--batch", batch][..], &allowed].concat())?;
        assert_eq!(code, Some(0), "{submitted}");
        assert!(
            submitted.contains("3 new jobs, 1 submitted before"),
            "with leave it is no other song: {submitted}"
        );
        let (shown, _) = run(&["batch", "show", batch])?;
        for said in [planned, submitted, shown] {
            for sentence in sentences {
                assert!(said.contains(sentence), "{batch}: {sentence:?} in {said}");
            }
        }
    }
    let refused = api.post("/v1/jobs", &json!({ "vendor": "replicate", "prompt": "a", "lyrics": "la" }))?;
    assert_eq!((refused.status, refused.json()["errors"][0]["pointer"].as_str()), (422, Some("/lyrics")));
    let allowed =
        json!({ "vendor": "replicate", "prompt": "a", "lyrics": "la", "allow_ignored": ["lyrics"] });
    let taken = api.post("/v1/jobs", &allowed)?;
    assert_eq!(taken.status, 202);
    Ok(())
}
