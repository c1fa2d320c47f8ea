//! Images: built from what is compiled in, or fetched; with progress.
//!
//! The classic builder is used, which every engine has. BuildKit would need a session of its own protocol, and builds the same image.

use std::collections::HashMap;

use bollard::errors::Error;
use bollard::models::{BuildInfo, CreateImageInfo, ProgressDetail};
use bollard::query_parameters::{
    BuildImageOptionsBuilder, CreateImageOptionsBuilder, PruneImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures_util::{Stream, StreamExt, stream};

use crate::context;
use crate::engine::Engine;
use crate::error::{DockerError, explain, one_line, said};
use crate::spec::{Owner, Variant};

/// What the Dockerfile says of everything that comes of it.
const LABEL: &str = "mhnos.runtime";

/// An image that is wished for.
#[derive(Clone, Debug)]
pub struct Build<'a> {
    /// Which.
    pub variant: Variant,
    /// The runtime's program, for the engine's system.
    pub program: &'a [u8],
    /// Who its user is.
    pub owner: Owner,
}

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its size in bytes, with what it is built on.
    pub size: u64,
}

/// Something that happened while an image is built or fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step began.
    Step {
        /// Its number, from 1.
        number: u32,
        /// How many there are.
        of: u32,
        /// What it does.
        what: String,
    },
    /// A step printed a line.
    Line(String),
    /// Part of an image is on its way.
    Transfer {
        /// Which part.
        part: String,
        /// What happens to it.
        doing: String,
        /// Bytes so far, and all, where known.
        bytes: Option<(u64, u64)>,
    },
}

impl Engine {
    /// The image of a variant, if it is there.
    ///
    /// # Errors
    /// When the engine does not say.
    pub async fn image(&self, variant: Variant) -> Result<Option<Image>, DockerError> {
        match self.docker.inspect_image(variant.image()).await {
            Ok(image) => Ok(Some(Image {
                id: image.id.unwrap_or_default(),
                size: image.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            })),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(explain(format!("look for the image {}", variant.image()))(error)),
        }
    }

    /// Builds an image. The stream ends when it is there; dropping the stream gives the build up.
    ///
    /// # Errors
    /// When the context cannot be packed.
    pub fn build(
        &self,
        build: &Build<'_>,
    ) -> Result<impl Stream<Item = Result<Progress, DockerError>> + Unpin + '_, DockerError> {
        let doing = "build the image";
        let context = context::archive(build.program)
            .map_err(|error| DockerError::Refused { doing: doing.into(), reason: error.to_string() })?;
        let base = context::argument("NODE_IMAGE").unwrap_or_default();
        let arguments = HashMap::from([
            ("BINARY", "prebuilt".to_owned()),
            // The classic builder goes through the stage that compiles too, in which there is nothing to do.
            ("RUST_IMAGE", base.to_owned()),
            ("INSTALL_OPENCLAW", (build.variant == Variant::Openclaw).to_string()),
            ("MHNOS_UID", build.owner.uid.to_string()),
            ("MHNOS_GID", build.owner.gid.to_string()),
        ]);
        let options = BuildImageOptionsBuilder::new()
            .dockerfile("docker/Dockerfile")
            .t(build.variant.image())
            .buildargs(&arguments)
            .rm(true)
            .forcerm(true)
            .build();
        let events = self.docker.build_image(options, None, Some(bollard::body_full(context)));
        Ok(events
            .map(move |event| match event {
                Ok(event) => Ok(of_build(event)),
                Err(Error::DockerStreamError { error })
                | Err(Error::DockerResponseServerError { message: error, .. }) => Err(why_not_built(error)),
                Err(error) => Err(explain(doing)(error)),
            })
            .map(|events| {
                stream::iter(match events {
                    Ok(events) => events.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                })
            })
            .flatten()
            .boxed())
    }

    /// Fetches the finished image. The stream ends when it is there.
    pub fn fetch(&self, variant: Variant) -> impl Stream<Item = Result<Progress, DockerError>> + Unpin + '_ {
        let options = CreateImageOptionsBuilder::new().from_image(variant.image()).build();
        let events = self.docker.create_image(Some(options), None, None);
        let doing = format!("fetch the image {}", variant.image());
        events
            .map(move |event| match event {
                Ok(CreateImageInfo { id, status, progress_detail, .. }) => {
                    Ok(transfer(id, status, progress_detail))
                }
                Err(error) => Err(explain(doing.clone())(error)),
            })
            .boxed()
    }

    /// Removes the image of a variant, and says whether it was there. One that something uses stays.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_image(&self, variant: Variant) -> Result<bool, DockerError> {
        let options = RemoveImageOptionsBuilder::new().build();
        match self.docker.remove_image(variant.image(), Some(options), None).await {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(false),
            Err(error) => Err(explain(format!("remove the image {}", variant.image()))(error)),
        }
    }

    /// Removes what has no name any more: images that were built anew, and what the classic builder kept of the stages that are not the
    /// image. Those that something stands on stay.
    pub(crate) async fn remove_nameless_images(&self) -> Result<(), DockerError> {
        let filters = HashMap::from([("dangling", vec!["true"]), ("label", vec![LABEL])]);
        let options = PruneImagesOptionsBuilder::new().filters(&filters).build();
        self.docker
            .prune_images(Some(options))
            .await
            .map(drop)
            .map_err(explain("remove what earlier builds left"))
    }
}

fn transfer(id: Option<String>, status: Option<String>, detail: Option<ProgressDetail>) -> Progress {
    let bytes = detail
        .and_then(|detail| Some((u64::try_from(detail.current?).ok()?, u64::try_from(detail.total?).ok()?)));
    Progress::Transfer { part: id.unwrap_or_default(), doing: status.unwrap_or_default(), bytes }
}

/// What one event of the builder says, which can be several lines.
fn of_build(event: BuildInfo) -> Vec<Progress> {
    if event.status.is_some() {
        return vec![transfer(event.id, event.status, event.progress_detail)];
    }
    let lines = event.stream.unwrap_or_default();
    lines
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(|line| step(line).unwrap_or(Progress::Line(line.into())))
        .collect()
}

/// `Step 3/30 : RUN true`; Podman counts within each stage: `[2/5] STEP 3/30: RUN true`.
fn step(line: &str) -> Option<Progress> {
    let of_podman = || line.strip_prefix('[')?.split_once("] STEP ")?.1.split_once(": ");
    let (count, what) =
        line.strip_prefix("Step ").and_then(|rest| rest.split_once(" : ")).or_else(of_podman)?;
    let (number, of) = count.split_once('/')?;
    Some(Progress::Step { number: number.parse().ok()?, of: of.parse().ok()?, what: what.into() })
}

fn why_not_built(message: String) -> DockerError {
    let has = |text: &str| message.contains(text);
    let unfetched = [
        "pull access denied",
        "manifest unknown",
        "manifest for",
        "no such host",
        "dial tcp",
        "Client.Timeout",
    ];
    if unfetched.into_iter().any(has) {
        return DockerError::NoBaseImage { reason: one_line(&message) };
    }
    if has("mhnos-runtime --version") {
        let reason = "this program does not run on the image's system (Debian 12): it was built for a newer one, or for another \
                      processor. Use a released one, or build the image in a clone of the repository, as docs/docker.md says";
        return DockerError::Build { reason: reason.into() };
    }
    match said("build the image".into(), message) {
        DockerError::Refused { reason, .. } => DockerError::Build {
            reason: format!(
                "{reason}; what the step printed is above, and packages it could not fetch need a network"
            ),
        },
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_lines_are_told_apart() {
        let event = |text: &str| of_build(BuildInfo { stream: Some(text.into()), ..BuildInfo::default() });
        assert_eq!(
            event("Step 3/30 : RUN true\n"),
            [Progress::Step { number: 3, of: 30, what: "RUN true".into() }]
        );
        assert_eq!(
            event("[2/5] STEP 3/30: RUN true"),
            [Progress::Step { number: 3, of: 30, what: "RUN true".into() }]
        );
        assert_eq!(event("one\r\n\ntwo"), [Progress::Line("one".into()), Progress::Line("two".into())]);
        assert_eq!(event("Step by step"), [Progress::Line("Step by step".into())]);
        let arriving = BuildInfo {
            id: Some("1f".into()),
            status: Some("Downloading".into()),
            progress_detail: Some(ProgressDetail { current: Some(1), total: Some(2) }),
            ..BuildInfo::default()
        };
        let expected =
            Progress::Transfer { part: "1f".into(), doing: "Downloading".into(), bytes: Some((1, 2)) };
        assert_eq!(of_build(arriving), [expected]);
    }

    #[test]
    fn why_an_image_was_not_built_is_said_with_what_to_do() {
        let sentence = |message: &str| why_not_built(message.into()).to_string();
        let unfetched = sentence("pull access denied for node, repository does not exist");
        assert!(unfetched.contains("docker pull") && unfetched.contains("network"), "{unfetched}");
        let foreign =
            sentence("The command '/bin/sh -c mhnos-runtime --version' returned a non-zero code: 1");
        assert!(foreign.contains("newer"), "{foreign}");
        assert!(sentence("write /a: no space left on device").contains("disk is full"));
        assert!(
            sentence("The command '/bin/sh -c false' returned a non-zero code: 1")
                .contains("non-zero code: 1")
        );
    }
}
