//! Settings that are wrong start nothing, and everything that is wrong is said at once.

use std::process::Command;

use anyhow::Result;
use serde_json::Value;
use songmill_tests::{World, binary};

const WRONG: &str =
    "public_ur = \"x\"\n\n[listener]\nlisten = \"here\"\n[generate.submit]\nconcurrency = 0\n";

fn songmill(folder: &std::path::Path, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.current_dir(folder).args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SONGMILL_") || name == "REDIS_URL")
    {
        command.env_remove(name);
    }
    Ok(command)
}

#[test]
fn what_is_wrong_is_named_with_file_and_line_or_variable_and_no_role_starts() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    std::fs::write(folder.path().join("songmill.toml"), WRONG)?;
    let output = songmill(folder.path(), &["config", "check"])?
        .env("SONGMILL_API__STREAMS", "many")
        .env("REPLICATE_API_TOKEN_FILE", "/nowhere/token")
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    for line in [
        "SONGMILL_API__STREAMS: api.streams is \"many\": write a whole number",
        "songmill.toml:6: generate.submit.concurrency is 0: write a number from 1 to 100000",
        "songmill.toml:4: listener.listen is no address",
        "songmill.toml:1: public_ur is no setting; did you mean public_url?",
        "REPLICATE_API_TOKEN_FILE: vendors.replicate.token_file names /nowhere/token, which cannot be read",
    ] {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line} is not in\n{said}");
    }
    assert_eq!(said.lines().count(), 5, "{said}");
    let output = songmill(folder.path(), &["config", "check", "--json"])?.output()?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(found["ok"], false);
    assert_eq!(found["problems"].as_array().map(Vec::len), Some(3), "{found}");
    for command in
        [&["up"][..], &["serve", "generate"], &["serve", "api", "deliver"], &["doctor"], &["job", "list"]]
    {
        let output = songmill(folder.path(), command)?.output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(
            said.contains("songmill.toml:4: listener.listen") && said.contains("songmill.toml:1: "),
            "{said}"
        );
    }
    assert!(!folder.path().join("data").exists(), "nothing was started");
    std::fs::write(folder.path().join("songmill.toml"), "public_url = \"https://songs.example.com\"\n")?;
    let output = songmill(folder.path(), &["config", "check"])?.output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[test]
fn redis_is_named_by_either_variable_and_the_more_particular_one_wins() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let shown = |variables: &[(&str, &str)], args: &[&str]| -> Result<String> {
        let mut command = songmill(folder.path(), &[&["config", "--json"], args].concat())?;
        let output = command.envs(variables.iter().copied()).output()?;
        let shown: Value = serde_json::from_slice(&output.stdout)?;
        Ok(shown["redis"]["url"].as_str().unwrap_or_default().to_owned())
    };
    let any = ("REDIS_URL", "redis://any/0");
    let ours = ("SONGMILL_REDIS_URL", "redis://ours/0");
    let exact = ("SONGMILL_REDIS__URL", "redis://exact/0");
    assert_eq!(shown(&[any], &[])?, "redis://any/0");
    std::fs::write(folder.path().join("songmill.toml"), "[redis]\nurl = \"redis://file/0\"\n")?;
    assert_eq!(shown(&[any], &[])?, "redis://file/0");
    assert_eq!(shown(&[any, ours], &[])?, "redis://ours/0");
    assert_eq!(shown(&[any, ours, exact], &[])?, "redis://exact/0");
    assert_eq!(shown(&[any, ours, exact], &["--redis-url", "redis://flag/0"])?, "redis://flag/0");
    Ok(())
}

#[test]
fn roles_with_their_own_secrets_alone_make_songs_together() -> Result<()> {
    let world = World::start(&["generation_ms=[100, 200]"])?;
    // The simulator's keys stand in the file: they are taken out, and given to one role as files.
    let file = world.folder.path().join("songmill.toml");
    let text = std::fs::read_to_string(&file)?;
    let (mut section, mut kept, mut keys) = (String::new(), String::new(), Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
        match line.split_once(" = ") {
            Some((name, value)) if ["token", "key", "secret_id", "secret_key"].contains(&name.trim()) => {
                let secret = world.folder.path().join(format!("{section}.{}", name.trim()));
                std::fs::write(&secret, format!("{}\n", value.trim().trim_matches('"')))?;
                keys.push(format!("{section}.{}_file=\"{}\"", name.trim(), secret.display()));
            }
            _ => kept += &format!("{line}\n"),
        }
    }
    assert!(keys.len() >= 4, "{text}");
    std::fs::write(&file, kept)?;
    let _generate = world.serve_as("generate", &["generate"], &keys)?;
    let _deliver = world.serve_as("deliver", &["deliver"], &[])?;
    let (_api, api) = world.serve_api(&[], &[])?;
    for song in songmill_tests::one_each() {
        let reply = api.post("/v1/jobs", &song)?;
        assert_eq!(reply.status, 202, "{}", reply.json());
    }
    songmill_tests::until("all songs are made by roles that each have only their own secrets", || {
        let jobs = world.json_lines(&["job", "list"])?;
        Ok(jobs.len() == 4 && jobs.iter().all(|job| job["state"] == "completed"))
    })
}
