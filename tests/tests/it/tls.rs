//! Redis by TLS: a CA of one's own, and a certificate of ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use songmill_tests::{Process, World, free_port, until};

struct Files {
    folder: PathBuf,
}

impl Files {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn authority(&self, name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        std::fs::write(self.path(&format!("{name}.pem")), issuer.pem())?;
        Ok(issuer)
    }

    fn certificate(&self, name: &str, host: &str, issuer: &CertifiedIssuer<'static, KeyPair>) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, issuer)?;
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem())?;
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }
}

/// A redis-server that speaks TLS, and wants certificates of its clients.
fn redis(files: &Files, folder: &Path) -> Result<(Process, u16)> {
    let port = free_port()?.port();
    let mut command = Command::new("redis-server");
    command.current_dir(folder).stdout(Stdio::null());
    for (setting, value) in [
        ("--port", "0"),
        ("--tls-port", &port.to_string()),
        ("--bind", "127.0.0.1"),
        ("--tls-cert-file", &files.path("redis.pem")),
        ("--tls-key-file", &files.path("redis.key")),
        ("--tls-ca-cert-file", &files.path("ours.pem")),
        ("--tls-auth-clients", "yes"),
        ("--appendonly", "yes"),
        ("--maxmemory-policy", "noeviction"),
    ] {
        command.arg(setting).arg(value);
    }
    let process = Process::spawn(&mut command, &folder.join("redis.err"))?;
    until("redis answers", || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()))?;
    Ok((process, port))
}

#[test]
fn redis_by_tls_with_a_private_ca_and_a_client_certificate() -> Result<()> {
    let world = World::start(&["generation_ms=[100, 200]"])?;
    let folder = world.folder.path().join("tls");
    std::fs::create_dir(&folder)?;
    let files = Files { folder: folder.clone() };
    let (ours, other) = (files.authority("ours")?, files.authority("other")?);
    files.certificate("redis", "localhost", &ours)?;
    files.certificate("client", "client", &ours)?;
    files.certificate("stranger", "client", &other)?;
    let (_redis, port) = redis(&files, &folder)?;
    let url = format!("rediss://localhost:{port}/0");
    let settings = |ca: &str, certificate: &str| {
        let mut settings = vec![format!("redis.ca_file=\"{}\"", files.path(&format!("{ca}.pem")))];
        if !certificate.is_empty() {
            settings.push(format!("redis.cert_file=\"{}\"", files.path(&format!("{certificate}.pem"))));
            settings.push(format!("redis.key_file=\"{}\"", files.path(&format!("{certificate}.key"))));
        }
        settings
    };
    let run = |url: &str, settings: &[String], args: &[&str]| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(songmill_tests::binary()?);
        command.current_dir(world.folder.path()).args(args).args(["--redis-url", url]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        let output = command.output()?;
        Ok((output.status.code(), String::from_utf8([output.stdout, output.stderr].concat())?))
    };

    // All is right: songs are made, and sleeping workers are woken by messages on connections of their own.
    let right = settings("ours", "client");
    let mut command = Command::new(songmill_tests::binary()?);
    command.current_dir(world.folder.path()).args(["serve", "generate", "deliver", "--redis-url", &url]);
    command.args(right.iter().flat_map(|setting| ["--set", setting.as_str()]));
    let _roles = Process::spawn(command.stdout(Stdio::null()), &world.folder.path().join("roles.log"))?;
    until("workers are registered", || Ok(run(&url, &right, &["worker", "list"])?.1.contains("running")))?;
    world.file("b.jsonl", &[json!({"vendor": "replicate", "prompt": "a calm piano", "duration_s": 4})])?;
    let (code, said) = run(&url, &right, &["submit", "b.jsonl", "--wait"])?;
    assert_eq!(code, Some(0), "{said} {}", world.log("roles"));
    let mut listening = Command::new("redis-cli");
    listening.args([
        "--tls",
        "-h",
        "localhost",
        "-p",
        &port.to_string(),
        "--cacert",
        &files.path("ours.pem"),
    ]);
    listening.args([
        "--cert",
        &files.path("client.pem"),
        "--key",
        &files.path("client.key"),
        "pubsub",
        "numsub",
        "{sm:0}:wake",
    ]);
    let output = listening.output()?;
    let listeners = String::from_utf8(output.stdout)?;
    assert!(listeners.lines().any(|line| line.trim() == "1"), "the channel has its listener: {listeners}");

    // Each thing that is wrong is said in words, with the setting that puts it right.
    for (url, settings, words) in [
        (&url, settings("other", "client"), "name its CA in redis.ca_file"),
        (&url, settings("ours", ""), "set redis.cert_file and redis.key_file"),
        (&url, settings("ours", "stranger"), "does not trust our certificate"),
        (&format!("rediss://127.0.0.1:{port}/0"), settings("ours", "client"), "for another name"),
        (&url, settings("nowhere", "client"), "nowhere.pem cannot be read: No such file"),
        (&url, vec![format!("redis.cert_file=\"{}\"", files.path("client.pem"))], "belong together"),
        (&url, vec![format!("redis.ca_file=\"{}\"", files.path("client.key"))], "in PEM"),
        (&world.redis.url(), settings("ours", "client"), "write rediss://"),
    ] {
        let (code, said) = run(url, &settings, &["batch", "list"])?;
        assert!(said.contains(words), "{settings:?}: {said}");
        assert_eq!(code, Some(2), "{settings:?}: {said}");
        assert!(!said.contains("os error") && !said.contains("UnknownIssuer"), "{said}");
    }
    Ok(())
}
