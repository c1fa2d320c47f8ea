//! The grammar of `docker`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mhnos_docker::Variant;

#[derive(Subcommand)]
pub(crate) enum DockerCommand {
    /// Check the container engine: which one and why, its version, what to know of it
    Doctor,
    /// Make the image, from this very program
    Build(BuildArguments),
    /// Run the runtime in a container, and wait until it answers; makes the image where there is none
    Up(UpArguments),
    /// Stop the container and keep all it knows
    Stop(Which),
    /// Stop the container and start it again
    Restart(Which),
    /// Stop it and remove container, state, network and image: everything but the workspace
    Down(Which),
    /// Show the containers
    Status(StatusArguments),
    /// Show what the container printed
    Logs(LogsArguments),
    /// Show what the container uses
    Stats(StatsArguments),
    /// Show the token with which programs of this machine connect to the runtime in the container
    Token(Which),
}

#[derive(Args)]
pub(crate) struct Which {
    /// Which container: the usual one, or the one with OpenClaw
    #[arg(long, value_enum)]
    variant: Option<VariantArgument>,
}

#[derive(Clone, Copy, ValueEnum)]
enum VariantArgument {
    /// Node, Python, workerd and shells, on port 18790
    Usual,
    /// OpenClaw as well, on port 18791
    Openclaw,
}

impl Which {
    /// The one that was named, or the usual one.
    pub(super) fn variant(&self) -> Variant {
        self.chosen().unwrap_or(Variant::Usual)
    }

    /// The one that was named.
    pub(super) fn chosen(&self) -> Option<Variant> {
        self.variant.map(|variant| match variant {
            VariantArgument::Usual => Variant::Usual,
            VariantArgument::Openclaw => Variant::Openclaw,
        })
    }
}

#[derive(Args)]
pub(crate) struct BuildArguments {
    #[command(flatten)]
    pub(super) which: Which,
    /// Fetch the finished image in place of making it
    #[arg(long)]
    pub(super) fetch: bool,
}

#[derive(Args)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(super) which: Which,
    /// Port of this machine [default: 18790, or 18791 with OpenClaw]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,
    /// Folder the programs work in; files belong to whom it belongs to [env: MHNOS_WORKSPACE] [default: ~/mhnos-workspace]; with
    /// OpenClaw, where it is not named here, the folder beside that whose name ends with `-openclaw`
    #[arg(long, value_name = "FOLDER")]
    pub(super) workspace: Option<PathBuf>,
    /// Web page that may use the runtime, as http://host:port, or `loopback` for every page of this machine; repeatable
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub(super) allow_origin: Vec<String>,
    /// Make the image anew, from this very program
    #[arg(long)]
    pub(super) build: bool,
}

#[derive(Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(super) which: Which,
    /// Go on, whenever something happens to one
    #[arg(short, long)]
    pub(super) follow: bool,
}

#[derive(Args)]
pub(crate) struct LogsArguments {
    #[command(flatten)]
    pub(super) which: Which,
    /// Wait for more
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(super) tail: Option<usize>,
}

#[derive(Args)]
pub(crate) struct StatsArguments {
    #[command(flatten)]
    pub(super) which: Which,
    /// Go on, about once a second
    #[arg(short, long)]
    pub(super) follow: bool,
}
