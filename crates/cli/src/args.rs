//! The command line.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;

use crate::asset::{self, AssetCommand};
use crate::batch::{self, BatchCommand};
use crate::budget::{self, BudgetCommand};
use crate::deadletter::{self, DeadLetterCommand};
use crate::event::EventCommand;
use crate::exit::Exit;
use crate::job::{self, JobCommand};
use crate::key::{self, KeyCommand, TenantCommand};
use crate::notice::{self, EndpointCommand, NoticeCommand};
use crate::price::{self, PriceCommand};
use crate::vendor::VendorCommand;
use crate::worker::WorkerCommand;
use crate::{config, demo, doctor, event, output, plan, roles, show, sim, submit, vendor, worker};

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
SENSEAUDIO_API_KEY, TENCENT_SECRET_ID and TENCENT_SECRET_KEY too, and Redis'
address from SONGMILL_REDIS_URL or, where nothing else names it, REDIS_URL.
Every secret can stand in a file: NAME_file names it (REPLICATE_API_TOKEN_FILE
in the environment). `songmill config check` names all that is wrong.

Exit codes:
  0  well
  1  broken, or storage does not have what it should
  2  called or configured wrongly, or refused by the server
  3  ran, but jobs failed or are held, lines were refused or not
     acknowledged, checks complain, or work waits for a person
  4  Redis, or the server, is away
  130  Ctrl-C while a batch was followed; the batch goes on

Commands that look at jobs or act on them ask Redis itself, or with --server
the API of a server: both answer the same.";

/// Flags of every command.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Global {
    /// The settings file [default: ./songmill.toml if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "SONGMILL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Redis to use, such as redis://host:6379/0 or unix:/path
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) redis_url: Option<String>,
    /// Ask the API of this server instead of Redis, with the key in SONGMILL_KEY
    #[arg(long, global = true, value_name = "URL", env = "SONGMILL_SERVER")]
    pub(crate) server: Option<String>,
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
    /// Submit a file of songs: CSV, Excel (.xlsx), JSON lines or JSON
    Submit(submit::SubmitArgs),
    /// Says what submitting a file would come to, and submits nothing
    Plan(plan::PlanArgs),
    /// Looks at batches and acts on them
    #[command(subcommand)]
    Batch(BatchCommand),
    /// Looks at jobs and acts on them
    #[command(subcommand)]
    Job(JobCommand),
    /// Looks at audio, fetches it, and proves that storage has it
    #[command(subcommand)]
    Asset(AssetCommand),
    /// Looks at jobs that failed or are held, and tries failed ones again
    #[command(subcommand, name = "deadletter")]
    DeadLetter(DeadLetterCommand),
    /// Makes keys for the API, and takes them back
    #[command(subcommand)]
    Key(KeyCommand),
    /// Looks at tenants, and says what they may have
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Says where notices go
    #[command(subcommand)]
    Endpoint(EndpointCommand),
    /// Looks at notices, and sends them again
    #[command(subcommand)]
    Notice(NoticeCommand),
    /// Looks at vendors, and shuts and opens their gates
    #[command(subcommand)]
    Vendor(VendorCommand),
    /// List processes that run roles
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// List and set what vendors charge
    #[command(subcommand)]
    Price(PriceCommand),
    /// List and set limits on money
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// Says what was spent, by day, vendor or tenant
    Spend(vendor::SpendArgs),
    /// Prints what happened, or what happens
    #[command(subcommand)]
    Event(EventCommand),
    /// Runs a simulator of the four vendors' APIs
    Sim(sim::SimArgs),
    /// Checks Redis, clock, folders and keys; --audit proves the store's invariant
    Doctor(doctor::DoctorArgs),
    /// Print a table of two songs to begin with: songmill template > songs.csv
    Template,
    /// Prints the JSON Schema of a song request
    Schema,
    /// Prints the API's OpenAPI document
    #[command(name = "openapi")]
    OpenApi,
    /// Prints completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Writes the manual's pages
    Man {
        /// Into this folder
        folder: PathBuf,
    },
    /// Prints the settings in force, without secrets, or checks them
    #[command(args_conflicts_with_subcommands = true)]
    Config(ConfigArgs),
}

#[derive(Debug, ClapArgs)]
struct ConfigArgs {
    /// Print the commented file of all settings and their defaults instead
    #[arg(long)]
    default: bool,
    #[command(subcommand)]
    command: Option<ConfigCommand>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check all settings, and name everything that is wrong with its file and line
    #[command(after_help = CHECK_EXAMPLES)]
    Check,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  songmill config check
  songmill config check --config /etc/songmill/songmill.toml

Exits with 0 where all is right, and with 2 where something is wrong: then no
role starts.";

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
            Command::Asset(command) => asset::run(&global, command).await,
            Command::Plan(args) => plan::run(&global, &args).await,
            Command::DeadLetter(command) => deadletter::run(&global, command).await,
            Command::Key(command) => key::run(&global, command).await,
            Command::Tenant(command) => key::tenant(&global, command).await,
            Command::Endpoint(command) => notice::endpoint(&global, command).await,
            Command::Notice(command) => notice::run(&global, command).await,
            Command::Vendor(command) => vendor::run(&global, command).await,
            Command::Worker(command) => worker::run(&global, command).await,
            Command::Price(command) => price::run(&global, command).await,
            Command::Budget(command) => budget::run(&global, command).await,
            Command::Spend(args) => vendor::spend(&global, &args).await,
            Command::Event(command) => event::run(&global, command).await,
            Command::Sim(args) => sim::run(&global, args).await,
            Command::Doctor(args) => doctor::run(&global, &args).await,
            Command::Template => show::template(),
            Command::Schema => show::schema(),
            Command::OpenApi => show::openapi(),
            Command::Completions { shell } => show::completions(shell),
            Command::Man { folder } => show::manual(&folder),
            Command::Config(ConfigArgs { command: Some(ConfigCommand::Check), .. }) => show::check(&global),
            Command::Config(ConfigArgs { default: true, .. }) => {
                output::text(config::DEFAULT_FILE.as_bytes()).map(|()| Exit::Ok)
            }
            Command::Config(_) => show::config(&global),
        }
    }
}
