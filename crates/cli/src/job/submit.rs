//! Submitting one song without a file.

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Map, Value};
use songmill_core::BatchRef;
use songmill_core::view::JobView;
use songmill_producer::parse;

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::{Exit, usage};
use crate::output;

/// A song, and how often it is made.
#[derive(Debug, Args)]
pub(crate) struct SubmitJobArgs {
    /// What the music should be
    #[arg(long)]
    prompt: Option<String>,
    /// Vendor, or several in order of preference with commas between them; auto for the best one [default: default_vendor]
    #[arg(long)]
    vendor: Option<String>,
    /// Title of the song
    #[arg(long)]
    title: Option<String>,
    /// Style tags, such as "pop, female vocal"
    #[arg(long)]
    style: Option<String>,
    /// Words to sing
    #[arg(long)]
    lyrics: Option<String>,
    /// Read the words to sing from a file
    #[arg(long, value_name = "FILE", conflicts_with = "lyrics")]
    lyrics_file: Option<std::path::PathBuf>,
    /// Length with its unit, such as 30s or 3:20
    #[arg(long, value_name = "LENGTH")]
    duration: Option<String>,
    /// Set another field, such as mood=happy or options.replicate.top_k=200. Can be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    field: Vec<String>,
    /// Make the song this many times, each with another seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    variants: u32,
    /// Batch to submit to, TENANT/NAME for another tenant's
    #[arg(long)]
    batch: Option<BatchRef>,
    /// Submit although the vendor ignores this field: lyrics or count. Can be repeated
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    allow_ignored: Vec<String>,
}

impl SubmitJobArgs {
    /// The request, without a seed of its own for each variant.
    fn request(&self) -> Result<Map<String, Value>> {
        let mut request = Map::new();
        let lyrics = match &self.lyrics_file {
            Some(file) => {
                let bytes = std::fs::read(file).map_err(|error| crate::exit::unreadable(file, &error))?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    usage(format!("--lyrics-file: {} is not UTF-8; save it as UTF-8", file.display()))
                })?;
                Some(text.trim_start_matches('\u{feff}').to_owned())
            }
            None => self.lyrics.clone(),
        };
        if let Some(text) =
            self.duration.as_ref().filter(|text| text.trim().replace(',', ".").parse::<f64>().is_ok())
        {
            return Err(usage(format!("--duration {text}: has no unit; write {text}s, or 3:20")));
        }
        let allowed = (!self.allow_ignored.is_empty()).then(|| self.allow_ignored.join(","));
        let named = [
            ("prompt", &self.prompt),
            ("vendor", &self.vendor),
            ("title", &self.title),
            ("style", &self.style),
            ("lyrics", &lyrics),
            ("duration", &self.duration),
            ("allow_ignored", &allowed),
        ];
        let named = named.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", text.as_ref()?)));
        for text in named.chain(self.field.iter().cloned()) {
            let name = text.split('=').next().unwrap_or_default().to_owned();
            parse::field(&text, &mut request).map_err(|why| usage(format!("{name}: {why}")))?;
        }
        Ok(request)
    }

    /// The requests, which differ in their seeds.
    fn requests(&self) -> Result<Vec<Map<String, Value>>> {
        let request = self.request()?;
        if self.variants == 1 {
            return Ok(vec![request]);
        }
        let named = request.get("seed").and_then(Value::as_u64);
        let first = match named {
            Some(seed) => seed,
            // Far enough from the largest for all that follow.
            None => u64::from(getrandom::u32().context("no random bytes from the system")? >> 1).max(1),
        };
        let with_seed = |n: u32| {
            let mut request = request.clone();
            request.insert("seed".to_owned(), (first + u64::from(n)).into());
            if let Some(Value::String(id)) = request.get_mut("custom_id") {
                id.push_str(&format!("-{}", n + 1));
            }
            request
        };
        Ok((0..self.variants).map(with_seed).collect())
    }
}

/// `songmill job submit`.
pub(crate) async fn run(global: &Global, client: &Client, args: &SubmitJobArgs) -> Result<Exit> {
    let tenant = args.batch.as_ref().map(|batch| &batch.tenant).filter(|tenant| !tenant.is_default());
    let mut submitted = Vec::new();
    for request in args.requests()? {
        let ask = Ask::post("/v1/jobs")
            .with("batch", args.batch.as_ref().map(|batch| &batch.name))
            .with("tenant", tenant)
            .json(&request)?;
        let job: JobView = client.value(ask).await?;
        if global.json {
            output::json_line(&job)?;
        } else {
            let vendor = &job.vendor;
            output::line(format_args!("job {} submitted to {vendor}", job.id))?;
            if !job.left_out.is_empty() {
                output::line(format_args!(
                    "ignored: {} at {vendor}",
                    job.left_out.iter().map(|field| field.as_str()).collect::<Vec<_>>().join(", ")
                ))?;
            }
        }
        submitted.push(job.id);
    }
    if !global.json {
        match (&args.batch, &submitted[..]) {
            (Some(batch), _) => output::line(format_args!("follow: songmill batch watch {batch}"))?,
            (None, [id, ..]) => output::line(format_args!("follow: songmill job show {id}"))?,
            (None, []) => {}
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SubmitJobArgs,
    }

    fn requests(args: &[&str]) -> Result<Vec<Map<String, Value>>> {
        Cli::try_parse_from([&["x"], args].concat())?.args.requests()
    }

    #[test]
    fn a_song_is_made_of_flags() {
        let made = requests(&[
            "--prompt",
            "calm",
            "--vendor",
            "Replicate,tencent",
            "--duration",
            "3:20",
            "--field",
            "mood=happy",
            "--field",
            "options.replicate.top_k=3",
            "--allow-ignored",
            "lyrics",
            "--lyrics",
            "a = b",
        ])
        .unwrap();
        assert_eq!(
            Value::Object(made[0].clone()),
            serde_json::json!({
                "prompt": "calm", "vendor": ["replicate", "tencent"], "duration_s": 200, "mood": "happy", "lyrics": "a = b",
                "options": {"replicate": {"top_k": 3}}, "allow_ignored": ["lyrics"],
            })
        );
    }

    #[test]
    fn variants_differ_in_their_seeds() {
        let seeds = |args: &[&str]| -> Vec<u64> {
            requests(args).unwrap().iter().map(|request| request["seed"].as_u64().unwrap()).collect()
        };
        assert_eq!(seeds(&["--prompt", "a", "--variants", "3", "--field", "seed=7"]), [7, 8, 9]);
        let random = seeds(&["--prompt", "a", "--variants", "2"]);
        assert_eq!(random[0] + 1, random[1]);
        assert!(requests(&["--prompt", "a"]).unwrap()[0].get("seed").is_none());
    }

    #[test]
    fn what_is_no_field_or_has_no_unit_is_named() {
        for (args, said) in [
            (&["--prompt", "a", "--duration", "30"][..], "has no unit; write 30s"),
            (&["--prompt", "a", "--field", "mod=x"], "not a field"),
            (&["--prompt", "a", "--field", "count=x"], "not a whole number"),
        ] {
            let error = requests(args).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
