//! The command line.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args as ClapArgs, Parser, Subcommand};
use songmill_core::job::StateName;
use songmill_core::{BatchName, JobId};

use crate::exit::Exit;
use crate::{batch, config, demo, doctor, job, roles, show, sim, submit};

/// Bulk song generation: queue songs, run them through four vendors, keep the audio.
#[derive(Debug, Parser)]
#[command(name = "songmill", version, arg_required_else_help = true, after_help = AFTER)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Settings come from songmill.toml, then SONGMILL_* in the environment (two
underscores between levels: SONGMILL_LISTENER__LISTEN), then flags;
`songmill config --default` prints all of them with what they mean.

Vendor keys are read from REPLICATE_API_TOKEN, INFERENCE_API_KEY,
SENSEAUDIO_API_KEY, TENCENT_SECRET_ID and TENCENT_SECRET_KEY too.

Exit codes:
  0  well
  1  broken
  2  called or configured wrongly
  3  ran, but jobs failed or are held, lines were refused, checks complain
  4  Redis is away";

/// Flags of every command.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Global {
    /// The settings file [default: ./songmill.toml if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "SONGMILL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Redis to use, such as redis://host:6379/0 or unix:/path
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) redis_url: Option<String>,
    /// Where our own files are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A setting, such as generate.submit.concurrency=8; may be given several times
    #[arg(long, global = true, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// JSON on standard output, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// More log lines on standard error; twice for all of them
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything here against a simulator: 24 songs in ./songs, in under a minute
    Demo(demo::DemoArgs),
    /// Runs all roles in one process, with a Redis of its own unless redis.url is set
    Up(roles::UpArgs),
    /// Runs one or several roles in this process
    Serve(roles::ServeArgs),
    /// Submits a file of song requests: JSON lines or CSV
    Submit(submit::SubmitArgs),
    /// Looks at batches and acts on them
    #[command(subcommand)]
    Batch(BatchCommand),
    /// Looks at jobs and acts on them
    #[command(subcommand)]
    Job(JobCommand),
    /// Runs a simulator of the four vendors' APIs
    Sim(sim::SimArgs),
    /// Checks Redis, clock, folders and keys; --audit proves the store's invariant
    Doctor(doctor::DoctorArgs),
    /// Prints the JSON Schema of a song request
    Schema,
    /// Prints the settings in force, without secrets
    Config(ConfigArgs),
}

#[derive(Debug, ClapArgs)]
struct ConfigArgs {
    /// Print the commented file of all settings and their defaults instead
    #[arg(long)]
    default: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Lists batches, newest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Shows how a batch stands
    Show {
        /// Its name
        name: BatchName,
    },
    /// Follows a batch until all its jobs have ended or are held
    Watch {
        /// Its name
        name: BatchName,
    },
    /// Stops all jobs of a batch that have not ended
    Cancel {
        /// Its name
        name: BatchName,
    },
    /// Prints what became of each job, in the order they were submitted
    Results {
        /// The batch's name
        name: BatchName,
        /// Only jobs in this state
        #[arg(long)]
        state: Option<StateName>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Shows a job: its request, state, history and files
    Show {
        /// Its id
        id: JobId,
    },
    /// Says what a job waits for, until when, and what was decided so far
    Explain {
        /// Its id
        id: JobId,
    },
    /// Stops a job, upstream too where the vendor can
    Cancel {
        /// Its id
        id: JobId,
    },
    /// Tries a failed or canceled job again
    Retry {
        /// Its id
        id: JobId,
    },
    /// Decides what becomes of a held job
    Resolve(job::ResolveArgs),
}

impl Args {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<Exit> {
        let global = self.global;
        match self.command {
            Command::Demo(args) => demo::run(&global, &args).await,
            Command::Up(args) => roles::up(&global, &args).await,
            Command::Serve(args) => roles::serve(&global, &args).await,
            Command::Submit(args) => submit::run(&global, &args).await,
            Command::Batch(command) => batch::run(&global, command).await,
            Command::Job(command) => job::run(&global, command).await,
            Command::Sim(args) => sim::run(&global, args).await,
            Command::Doctor(args) => doctor::run(&global, &args).await,
            Command::Schema => show::schema(),
            Command::Config(ConfigArgs { default: true }) => {
                print!("{}", config::DEFAULT_FILE);
                Ok(Exit::Ok)
            }
            Command::Config(_) => show::config(&global),
        }
    }
}
