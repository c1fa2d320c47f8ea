//! What an image is built from: the files of `docker/`, compiled in, and a program that is ready.

use bytes::Bytes;

const DOCKERFILE: &str = include_str!("../../../docker/Dockerfile");

/// As a tar archive. The Dockerfile takes the program where `BINARY=prebuilt` says so.
pub(crate) fn archive(program: &[u8]) -> std::io::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::with_capacity(program.len() + (64 << 10)));
    let mut add = |path: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        // The time is part of what the builder compares: without one, the same program gives the same layer.
        header.set_mtime(0);
        header.set_cksum();
        archive.append_data(&mut header, path, content)
    };
    add("docker/Dockerfile", 0o644, DOCKERFILE.as_bytes())?;
    add("docker/mhnos-runtime", 0o755, program)?;
    Ok(archive.into_inner()?.into())
}

/// The default of an argument of the Dockerfile.
pub(crate) fn argument(name: &str) -> Option<&'static str> {
    DOCKERFILE.lines().find_map(|line| line.strip_prefix("ARG ")?.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_program_gives_the_same_archive() {
        assert_eq!(archive(b"program").unwrap(), archive(b"program").unwrap());
        let bytes = archive(b"program").unwrap();
        let mut read = tar::Archive::new(&bytes[..]);
        let names: Vec<_> =
            read.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(
            names.iter().map(|name| name.to_str().unwrap()).collect::<Vec<_>>(),
            ["docker/Dockerfile", "docker/mhnos-runtime"]
        );
    }

    #[test]
    fn the_dockerfile_says_what_it_is_built_on() {
        assert_eq!(argument("NODE_IMAGE"), Some("node:24-bookworm-slim"));
        assert_eq!(argument("BINARY"), Some("builder"));
        assert_eq!(argument("ABSENT"), None);
    }
}
