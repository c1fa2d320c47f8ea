//! workerd runs configurations. A module by itself gets one, made from `templates/`.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::TempPath;

use super::ProgramError;

const DEFAULT: &str = include_str!("../../../../templates/default.capnp");
const NODEJS_COMPAT: &str = include_str!("../../../../templates/nodejs-compat.capnp");

/// How workerd is called.
#[derive(Debug)]
pub(super) struct Serve {
    pub(super) arguments: Vec<String>,
    /// The configuration that was made, if one was.
    pub(super) configuration: Option<TempPath>,
}

/// The arguments that serve a configuration, or a module on `port` (any free one where absent).
pub(super) fn serve(named: &str, port: Option<&str>, scratch: &Path) -> Result<Serve, ProgramError> {
    let path = Path::new(named);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let (js, ts) = (matches!(extension, "js" | "mjs"), matches!(extension, "ts" | "mts"));
    if named.starts_with('-') || !(js || ts) {
        return Ok(Serve {
            arguments: ["serve", named, "--verbose"].map(str::to_owned).into(),
            configuration: None,
        });
    }
    let source = fs::read_to_string(path)
        .map_err(|error| ProgramError::Unusable(format!("the module {named} could not be read: {error}")))?;
    let configuration = configuration(path, &source, ts, port.unwrap_or("0"))?;
    let unusable = |error: std::io::Error| {
        ProgramError::Unusable(format!("no configuration could be written to {}: {error}", scratch.display()))
    };
    let mut file = tempfile::Builder::new().suffix(".capnp").tempfile_in(scratch).map_err(unusable)?;
    file.write_all(configuration.as_bytes()).map_err(unusable)?;
    let file = file.into_temp_path();
    // `embed` takes an absolute path only beneath a folder to import from.
    let mut arguments =
        ["serve", &file.display().to_string(), "--verbose", "--import-path=/"].map(str::to_owned).to_vec();
    if ts {
        arguments.push("--experimental".into());
    }
    Ok(Serve { arguments, configuration: Some(file) })
}

/// The template that fits the module, filled in.
fn configuration(path: &Path, source: &str, typescript: bool, port: &str) -> Result<String, ProgramError> {
    let named = || path.to_str().zip(path.file_name()?.to_str());
    let (path, name) = named().ok_or_else(|| {
        ProgramError::Unusable(format!("the module's path is not valid Unicode: {}", path.display()))
    })?;
    port.parse::<u16>().map_err(|_| {
        ProgramError::Unusable(format!("PORT is not a port: {port}: give a number from 0 to 65535"))
    })?;
    let uses_node = ["\"node:", "'node:", "`node:"].iter().any(|import| source.contains(import));
    let template = if uses_node { NODEJS_COMPAT } else { DEFAULT };
    // The comment explains the placeholders by their names.
    let body: String =
        template.lines().skip_while(|line| line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    let mut flags = Vec::new();
    flags.extend(uses_node.then_some("\"nodejs_compat\""));
    flags.extend(typescript.then_some("\"typescript_strip_types\""));
    Ok(body
        .replace("@FLAGS@", &flags.join(", "))
        .replace("@PORT@", port)
        .replace("@NAME@", &quoted(name))
        .replace("@PATH@", &quoted(path)))
}

/// Text as it stands between the quotes of a Cap'n Proto string.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_served_as_it_is() {
        let serve = serve("/ws/a.capnp", None, Path::new("/nonexistent")).unwrap();
        assert_eq!(serve.arguments, ["serve", "/ws/a.capnp", "--verbose"]);
        assert!(serve.configuration.is_none());
    }

    #[test]
    fn a_module_gets_the_template_that_fits() {
        let plain = configuration(Path::new("/w/a \"b\".js"), "export default {}", false, "0").unwrap();
        assert!(
            plain.contains(r#"modules = [(name = "a \"b\".js", esModule = embed "/w/a \"b\".js")]"#),
            "{plain}"
        );
        assert!(plain.contains("127.0.0.1:0") && !plain.contains('@') && !plain.contains("nodejs_compat"));
        let node = configuration(Path::new("/w/a.ts"), "import fs from 'node:fs'", true, "8080").unwrap();
        assert!(node.contains(r#"["nodejs_compat", "typescript_strip_types"]"#), "{node}");
        assert!(node.contains("127.0.0.1:8080") && !node.contains('@'));
        assert!(configuration(Path::new("/w/a.js"), "", false, "http").is_err());
    }
}
