//! What can be typed: the clap types, and nothing else.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
pub use model::{ModelArgs, ScoringArgs};
pub use score::{RankArgs, ScoreArgs};

mod model;
mod score;

/// Images, audio and text as bytes, modelled by MEGABYTE.
#[derive(Debug, Parser)]
#[command(name = "megabyte", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Turn files into shards of bytes, split into train, valid and test
    Prepare(PrepareArgs),
    /// Show what a file, a prepared folder, a model or a run is
    Inspect(InspectArgs),
    /// Train a model
    Train(TrainArgs),
    /// Generate files, from a prompt or from nothing
    Generate(GenerateArgs),
    /// Measure bits per byte on data the model has not seen
    Eval(EvalArgs),
    /// Say what every byte of files costs a model
    Score(ScoreArgs),
    /// Order files by bits per byte, to find what is unlike the rest
    Rank(RankArgs),
    /// Make files small with a model's predictions, without loss
    Compress(CompressArgs),
    /// Bring files back from archives, bit for bit
    Decompress(DecompressArgs),
    /// Measure this machine's speed in training, generation, compression or data
    Bench(BenchArgs),
    /// Fetch a data set described by a card in datasets/
    Download(DownloadArgs),
    /// Write one self-contained HTML page about runs
    Report(ReportArgs),
    /// Show versions, devices and libraries, and what is missing
    Doctor(DoctorArgs),
}

impl Verb {
    /// All paths that a verb reads or writes, as they were given.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths: Vec<&PathBuf> = Vec::new();
        match self {
            Verb::Prepare(args) => {
                paths.extend(args.sources.iter().chain(&args.config).chain([&args.out]));
            }
            Verb::Inspect(args) => paths.extend(args.path.iter().chain(&args.config).chain(&args.samples)),
            Verb::Train(args) => {
                paths.extend(args.config.iter().chain(&args.data).chain(&args.out));
                paths.extend(args.branch_from.iter().chain(&args.init_from));
            }
            Verb::Generate(args) => paths.extend(args.prompt.iter().chain([&args.model.path, &args.out])),
            Verb::Eval(args) => {
                paths.extend(args.data.iter().chain([&args.model.path]));
                paths.extend(args.per_file.iter().chain(&args.page).chain(&args.resume_file));
            }
            Verb::Score(args) => {
                paths.extend(args.files.iter().chain([&args.model.path]).chain(&args.out).chain(&args.show));
            }
            Verb::Rank(args) => paths.extend(args.data.iter().chain([&args.model.path]).chain(&args.labels)),
            Verb::Compress(args) => paths.extend(args.inputs.iter().chain([&args.model.path, &args.out])),
            Verb::Decompress(args) => paths.extend(args.inputs.iter().chain(&args.model).chain([&args.out])),
            Verb::Bench(args) => paths.extend(&args.config),
            Verb::Download(args) => paths.extend(&args.out),
            Verb::Report(args) => paths.extend(args.runs.iter().chain([&args.out])),
            Verb::Doctor(_) => {}
        }
        paths.into_iter().map(PathBuf::as_path).collect()
    }
}

/// Arguments of `prepare`.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// Files and folders
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// What the files are: text, image, audio or bytes
    #[arg(long, required_unless_present = "config")]
    pub modality: Option<String>,
    /// A configuration whose [data] section gives the layout
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override a key of the configuration, such as data.width=32
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Only files, and members of archives, whose names match; can be repeated
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// No files, nor members of archives, whose names match; can be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// The column of Parquet files, or the key of JSON lines, to read
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// The folder to write; what it holds already is kept, and what is new is added
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Prepare anew, and replace what an earlier call wrote there
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A file, a folder of files, a prepared folder, a model, a checkpoint or a run
    pub path: Option<PathBuf>,
    /// What the files are, where they are files: text, image, audio or bytes
    #[arg(long, requires = "path")]
    pub modality: Option<String>,
    /// A configuration whose [data] section gives the layout; without a path, what to describe
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// List the keys of configurations: all, those that begin so (train, data.width), or those of a name (lr)
    #[arg(long, value_name = "PREFIX", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["path", "config", "overrides"])]
    pub keys: Option<String>,
    /// Override a key of the layout or of the configuration, such as data.width=32
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// What batch number N of a run was of, from 0, such as that of a sudden rise of the loss
    #[arg(long, requires = "path", value_name = "N")]
    pub batch: Option<u64>,
    /// Write examples of a prepared folder, decoded back, to this folder: a contact sheet, sounds or texts; with --batch
    /// the sequences of that batch
    #[arg(long, requires = "path", value_name = "DIR")]
    pub samples: Option<PathBuf>,
    /// How many examples
    #[arg(long, default_value_t = 64, requires = "samples", value_name = "N")]
    pub count: usize,
    /// Replace examples that are there
    #[arg(long, requires = "samples")]
    pub force: bool,
    /// Check every checksum
    #[arg(long, requires = "path")]
    pub verify: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("goes_on").args(["resume", "branch_from"]))]
pub struct TrainArgs {
    /// The configuration (not needed with --resume or --branch-from)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "branch_from"])]
    pub config: Option<PathBuf>,
    /// Files, folders or a prepared folder, in place of data.sources
    #[arg(long, value_name = "DIR")]
    pub data: Vec<PathBuf>,
    /// Override a key of the configuration, such as train.lr=1e-3
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// The run folder [default: runs/NAME-OF-CONFIG]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Continue from the run's latest checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Begin a run of its own in --out that goes on from this checkpoint of another, such as RUN/checkpoints/step_00000500
    #[arg(long, value_name = "CHECKPOINT", requires = "out", conflicts_with_all = ["resume", "init_from", "force", "fit", "dry_run"])]
    pub branch_from: Option<PathBuf>,
    /// Continue with another configuration than the checkpoint has
    #[arg(long, requires = "goes_on")]
    pub allow_config_change: bool,
    /// Begin with the weights of this run, checkpoint or model folder, as far as names and shapes fit
    #[arg(long, value_name = "MODEL", conflicts_with = "resume")]
    pub init_from: Option<PathBuf>,
    /// Start anew in a run folder that has checkpoints already, removing them
    #[arg(long, conflicts_with = "resume")]
    pub force: bool,
    /// Choose the largest train.micro_batch that fits into memory
    #[arg(long, conflicts_with = "resume")]
    pub fit: bool,
    /// Say what the run would be, and what this machine would need for it, without reading data or writing anything
    #[arg(long, conflicts_with_all = ["resume", "force"])]
    pub dry_run: bool,
    /// Print the dry run as one JSON object
    #[arg(long, requires = "dry_run")]
    pub json: bool,
    /// cpu, cuda or cuda:N [default: a CUDA device where there is one]
    #[arg(long)]
    pub device: Option<String>,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
    /// A file to continue, - for standard input
    #[arg(long, value_name = "FILE")]
    pub prompt: Option<PathBuf>,
    /// How much of the prompt to keep: 50% or a number of bytes
    #[arg(long, value_name = "50%|N", requires = "prompt")]
    pub keep: Option<String>,
    /// Length in bytes, the prompt included [default: the context]
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    pub length: Option<usize>,
    /// Length in seconds, the prompt included (audio)
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
    /// How many
    #[arg(long, default_value_t = 1)]
    pub count: usize,
    /// 0 always takes the likeliest byte
    #[arg(long)]
    pub temperature: Option<f64>,
    /// Only the K likeliest bytes; 0 is all
    #[arg(long)]
    pub top_k: Option<usize>,
    /// Only the likeliest bytes that make up this probability
    #[arg(long)]
    pub top_p: Option<f64>,
    /// Only bytes at least this times as likely as the likeliest
    #[arg(long)]
    pub min_p: Option<f64>,
    /// Same seed and same --dtype, same bytes
    #[arg(long)]
    pub seed: Option<u64>,
    /// The file to write, or with --count above 1 the folder
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
    /// A prepared folder, shards, folders of files, or files
    #[arg(long, required = true, num_args = 1.., value_name = "DIR|FILE")]
    pub data: Vec<PathBuf>,
    /// train, valid, test or all [default: test for folders, all for files]
    #[arg(long)]
    pub split: Option<String>,
    /// How documents are scored
    #[command(flatten)]
    pub scoring: ScoringArgs,
    /// Stop after about this many bytes; 0 is all
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub limit_bytes: u64,
    /// Also say what PNG, WebP, FLAC, PPMd, xz, zstd and gzip make of the same bytes, by which library and setting
    #[arg(long)]
    pub baselines: bool,
    /// Write a line of JSON for every file: name, bytes, nats, bits_per_byte, sequences
    #[arg(long, value_name = "FILE")]
    pub per_file: Option<PathBuf>,
    /// Write a self-contained HTML page with the curves
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Keep in this file what has been scored, and go on from there after an interruption
    #[arg(long, value_name = "FILE")]
    pub resume_file: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `compress`.
#[derive(Debug, Args)]
pub struct CompressArgs {
    /// Files, and folders of files
    #[arg(required = true, value_name = "FILE|DIR")]
    pub inputs: Vec<PathBuf>,
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
    /// The archive to write, or for several files the folder of their archives, NAME.mbz each
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// bytes: any file as it is, whatever the model was trained on [default: the model's own]
    #[arg(long)]
    pub modality: Option<String>,
    /// Keep the decoded content alone, not the file it was in (headers, metadata)
    #[arg(long, conflicts_with = "modality")]
    pub payload_only: bool,
    /// Don't decode what was encoded to see that it comes back
    #[arg(long)]
    pub no_verify: bool,
    /// Threads, which change nothing in the archives [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Rows that go through the model together [default: by model and content]
    #[arg(long, value_name = "N")]
    pub lanes: Option<usize>,
    /// Replace archives that are there [default: whole ones of the same files stay, so that an interrupted call goes on]
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object, with what xz, zstd and the coders of the modality make of the same content
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `decompress`.
#[derive(Debug, Args)]
pub struct DecompressArgs {
    /// Archives, and folders of archives
    #[arg(required = true, value_name = "FILE|DIR")]
    pub inputs: Vec<PathBuf>,
    /// The run, checkpoint or model folder that the archives were made with; stored files need none
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The file to write, or for several archives the folder of their files
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// Write what is left of damaged archives, with zeros for what is lost
    #[arg(long)]
    pub recover: bool,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
    /// cpu, cuda or cuda:N [default: the kind of device that made the archive]
    #[arg(long)]
    pub device: Option<String>,
    /// float32 or bfloat16, or auto: that of the archive [default: auto]
    #[arg(long)]
    pub dtype: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchWhat {
    /// Optimizer steps
    Train,
    /// Cached generation
    Generate,
    /// Archives, there and back
    Compress,
    /// The loader
    Data,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    pub what: BenchWhat,
    /// The configuration to measure with [default: global 256 x 4, local 128 x 2, P 8, 1,024 bytes, batch 2]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override a key of the configuration
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Measured seconds
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// With `generate` and `compress`: float32 or bfloat16 alone [default: both]
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<String>,
    /// With `train`: where the time of a step goes, by parts and operations, beside the rate; on a CPU
    #[arg(long)]
    pub profile: bool,
    /// cpu, cuda or cuda:N [default: a CUDA device where there is one]
    #[arg(long)]
    pub device: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `download`.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The name of a card in datasets/, or a card's path; without it, the cards are listed
    #[arg(requires = "out")]
    pub card: Option<String>,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// List the cards
    #[arg(long)]
    pub list: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folders
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The page to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The page's title
    #[arg(long, default_value = "MEGABYTE runs")]
    pub title: String,
    /// Replace a page that is there
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
