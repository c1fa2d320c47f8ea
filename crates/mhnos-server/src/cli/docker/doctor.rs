//! `docker doctor`: which engine there is, and what to know of it.

use mhnos_docker::{Engine, Variant};
use serde::Serialize;

use crate::cli::failure::{Failure, SUCCESS};
use crate::cli::format::{bytes, count, plain};
use crate::cli::output;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    address: String,
    /// Why this engine was taken.
    reason: String,
    product: &'static str,
    version: String,
    interface: String,
    system: String,
    processors: u32,
    memory: u64,
    warnings: Vec<String>,
    images: Vec<ImageReport>,
}

#[derive(Serialize)]
struct ImageReport {
    name: &'static str,
    /// Bytes; none where it is not there.
    size: Option<u64>,
}

pub(super) async fn run(as_json: bool) -> Result<i32, Failure> {
    let engine = Engine::find().await?;
    let about = engine.about().await?;
    let mut images = Vec::new();
    for variant in Variant::ALL {
        let size = engine.image(variant).await?.map(|image| image.size);
        images.push(ImageReport { name: variant.image(), size });
    }
    let report = Report {
        address: engine.found().address.to_string(),
        reason: engine.found().reason.clone(),
        product: about.product,
        version: about.version,
        interface: about.interface,
        system: about.system,
        processors: about.processors,
        memory: about.memory,
        warnings: about.warnings,
        images,
    };
    match as_json {
        true => output::json(&report)?,
        false => output::text(&shown(&report))?,
    }
    Ok(SUCCESS)
}

fn shown(report: &Report) -> String {
    let processors = count(report.processors as usize, "processor", "processors");
    let mut lines = vec![
        ("engine", format!("{} {} (interface {})", report.product, report.version, report.interface)),
        ("at", format!("{}, because {}", report.address, report.reason)),
        ("runs on", format!("{}, {processors}, {} of memory", report.system, bytes(report.memory))),
    ];
    lines.extend(report.images.iter().map(|image| {
        let size = image.size.map_or_else(|| "not made yet: `mhnos-runtime docker build`".into(), bytes);
        ("image", format!("{} ({size})", image.name))
    }));
    lines.extend(report.warnings.iter().map(|warning| ("beware", warning.clone())));
    lines.iter().map(|(name, value)| format!("{name:<8} {}\n", plain(value))).collect()
}
