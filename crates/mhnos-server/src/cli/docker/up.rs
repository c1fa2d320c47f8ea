//! `docker up`: from nothing to a runtime that answers at its port.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use mhnos_docker::container::Outcome;
use mhnos_docker::{DockerError, Engine, Owner, Spec, Variant};
use mhnos_server::origin::Origin;
use tokio::time::{Instant, interval, timeout};

use super::arguments::UpArguments;
use super::image;
use crate::cli::failure::{Failure, SUCCESS};
use crate::cli::{health, output};

/// How long the runtime may take to answer. It takes a second.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Between two questions whether it answers.
const PAUSE: Duration = Duration::from_millis(20);

/// Questions after which the engine is asked whether the container still runs.
const QUESTIONS: u32 = 25;

/// Lines of the log that say why it does not answer.
const LINES_SHOWN: usize = 10;

/// Who files belong to where a person outside cannot be told: the first person of most systems.
const FIRST_PERSON: Owner = Owner { uid: 1000, gid: 1000 };

pub(super) async fn run(engine: &Engine, arguments: UpArguments, as_json: bool) -> Result<i32, Failure> {
    let began = Instant::now();
    let variant = arguments.which.variant();
    let (workspace, owner) = workspace(arguments.workspace, variant)?;
    let spec = Spec {
        variant,
        port: arguments.port.unwrap_or(variant.port()),
        workspace,
        owner,
        limits: variant.limits(),
        allowed_origins: allowed(&arguments.allow_origin)?,
    };
    if arguments.build || engine.image(variant).await?.is_none() {
        image::make(engine, variant, owner, as_json).await?;
    }
    let outcome = engine.up(&spec).await?;
    let port = answering(engine, variant, spec.port).await?;
    let url = format!("ws://localhost:{port}");
    if as_json {
        output::json_line(&serde_json::json!({
            "event": "done",
            "outcome": word(outcome),
            "container": variant.container(),
            "url": url,
            "workspace": spec.workspace,
            "milliseconds": began.elapsed().as_millis() as u64,
        }))?;
    } else {
        output::text(&shown(outcome, &spec, &url))?;
    }
    Ok(SUCCESS)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Made => "made",
        Outcome::Started => "started",
        Outcome::MadeAnew => "made anew",
        Outcome::RanAlready => "ran already",
        Outcome::Adopted => "adopted",
    }
}

fn shown(outcome: Outcome, spec: &Spec, url: &str) -> String {
    let name = spec.variant.container();
    let what = match outcome {
        Outcome::Made => format!("{name} runs"),
        Outcome::Started => format!("{name} runs again"),
        Outcome::MadeAnew => format!("{name} was made anew, with what is wished for now, and runs"),
        Outcome::RanAlready => format!("{name} runs already"),
        Outcome::Adopted => format!(
            "{name} was made by something else (docker run, docker compose) and runs as it was made; for one of our own: \
             `mhnos-runtime docker down`, then `up`"
        ),
    };
    format!(
        "{what}: {url}, files in {}\nTo let a web page in: docker exec {name} mhnos-runtime origins allow http://localhost:8000\n",
        spec.workspace.display()
    )
}

/// Pages that need no approval, each checked here: the runtime inside could only refuse to start.
fn allowed(origins: &[String]) -> Result<Vec<String>, Failure> {
    let checked = |text: &String| match text.as_str() {
        "loopback" => Ok(text.clone()),
        text => Origin::from_setting(text).map(|origin| origin.to_string()).ok_or_else(|| {
            Failure::Usage(format!("--allow-origin cannot be {text:?}: use http://host:port, or loopback"))
        }),
    };
    origins.iter().map(checked).collect()
}

/// Waits until the runtime answers, and says at which port.
pub(super) async fn answering(engine: &Engine, variant: Variant, wished: u16) -> Result<u16, Failure> {
    let waiting = async {
        let mut port = wished;
        let mut ticks = interval(PAUSE);
        for question in 0.. {
            ticks.tick().await;
            if question % QUESTIONS == 0 {
                port = look(engine, variant).await?.unwrap_or(wished);
            }
            if health::answers(port).await {
                return Ok(port);
            }
        }
        Ok(port)
    };
    match timeout(ANSWER_TIME, waiting).await {
        Ok(answer) => answer,
        Err(_) => Err(silent(engine, variant, "does not answer at its port").await),
    }
}

/// The port that leads into the container; fails when it does not run.
async fn look(engine: &Engine, variant: Variant) -> Result<Option<u16>, Failure> {
    let container = engine.container(variant).await?;
    let container = container.ok_or_else(|| DockerError::NoContainer { name: variant.container().into() })?;
    if container.running && container.state != "restarting" {
        return Ok(container.ports.first().copied());
    }
    let code = container.exit_code.map(|code| format!(" with code {code}")).unwrap_or_default();
    Err(silent(engine, variant, &format!("ended{code}")).await)
}

/// Why a container does not answer, in its own last words.
async fn silent(engine: &Engine, variant: Variant, what: &str) -> Failure {
    let mut said = String::new();
    let mut log = engine.logs(variant, Some(LINES_SHOWN), false);
    while let Some(Ok(piece)) = log.next().await {
        said += &String::from_utf8_lossy(&piece.bytes);
    }
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = variant.container();
    Failure::Other(format!(
        "{name} {what}; it said last: {said}. `mhnos-runtime docker logs` shows all, `mhnos-runtime docker down` removes it"
    ))
}

/// The workspace, made where it is not there, and whom it belongs to: so do the programs inside, and what they write.
fn workspace(named: Option<PathBuf>, variant: Variant) -> Result<(PathBuf, Owner), Failure> {
    let variable =
        || std::env::var_os("MHNOS_WORKSPACE").filter(|value| !value.is_empty()).map(PathBuf::from);
    let usual = || std::env::home_dir().map(|home| home.join("mhnos-workspace"));
    // One runtime keeps a folder the same as a page's disk: so each has one of its own, unless a person names it.
    let of_variant = |usual: PathBuf| {
        let mut path = usual.into_os_string();
        path.push(variant.workspace_suffix());
        PathBuf::from(path)
    };
    let path = named.or_else(|| variable().or_else(usual).map(of_variant)).ok_or_else(|| {
        Failure::Usage("there is no home folder to keep a workspace in: name one with --workspace".into())
    })?;
    let failed = |error: &std::io::Error| {
        Failure::Other(format!(
            "the workspace {} cannot be used: {error}: check its owner and permissions, or name another with --workspace",
            path.display()
        ))
    };
    let made = match std::fs::create_dir(&path) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(&path).map_err(|error| failed(&error))?;
            true
        }
        Err(error) => return Err(failed(&error)),
    };
    let path = path.canonicalize().map_err(|error| failed(&error))?;
    let metadata = path.metadata().map_err(|error| failed(&error))?;
    if metadata.uid() != 0 {
        return Ok((path, Owner { uid: metadata.uid(), gid: metadata.gid() }));
    }
    let is_empty = || path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if made || is_empty() {
        return hand_over(&path).map(|owner| (path.clone(), owner)).map_err(|error| failed(&error));
    }
    Err(Failure::Other(format!(
        "the workspace {0} belongs to root, and programs in the container never run as root: give it to a person (sudo chown -R \
         1000:1000 {0}), or name another with --workspace",
        path.display()
    )))
}

/// Gives an empty folder of root's to the person on whose behalf root acts.
fn hand_over(path: &Path) -> std::io::Result<Owner> {
    let owner = person();
    chown(path, Some(owner.uid), Some(owner.gid))?;
    Ok(owner)
}

/// Who asks. Root is nobody: then the person who called `sudo`, or the first of most systems.
pub(super) fn person() -> Owner {
    let own = Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() };
    if own.uid != 0 {
        return own;
    }
    let number = |name| std::env::var(name).ok()?.parse().ok().filter(|&number| number != 0);
    match (number("SUDO_UID"), number("SUDO_GID")) {
        (Some(uid), Some(gid)) => Owner { uid, gid },
        _ => FIRST_PERSON,
    }
}
