//! Content of more than one block.

use super::*;

const BLOCK: usize = BLOCK_BYTES as usize;

fn missing(scene: &mut Scene, content: &[u8], similar: &str) -> Vec<u32> {
    scene
        .host()
        .missing(Content::of(content), content.len() as u64, &blocks(content), &path(similar))
        .unwrap()
}

fn stage(scene: &mut Scene, content: &[u8], block: u32) -> io::Result<()> {
    let bytes = content.chunks(BLOCK).nth(block as usize).unwrap();
    scene.host().stage(Content::of(content), content.len() as u64, block, bytes)
}

#[test]
fn only_what_is_neither_staged_nor_in_the_old_file_is_missing() {
    let mut scene = Scene::new();
    let old = noise(1, 8 * BLOCK + 100);
    let mut new = old.clone();
    new[3 * BLOCK + 7] ^= 1;
    new.extend_from_slice(&noise(2, BLOCK));
    scene.write("f", &old);
    scene.everything();
    assert_eq!(scene.host().block_hashes(&path("f"), Content::of(&old)).unwrap(), blocks(&old));
    assert_eq!(missing(&mut scene, &new, "f"), [3, 8, 9]);
    for block in [3, 8, 9] {
        stage(&mut scene, &new, block).unwrap();
    }
    assert_eq!(scene.apply(&[], &[put("f", file(&old), &new)]), [Outcome::Done]);
    assert_eq!(fs::read(scene.at("f")).unwrap(), new);
    assert_eq!(scene.versions("f"), [old]);
    assert!(scene.staged().is_empty());
}

#[test]
fn blocks_that_moved_are_found() {
    let mut scene = Scene::new();
    let old = noise(1, 6 * BLOCK);
    let mut new = noise(2, BLOCK);
    new.extend_from_slice(&old[BLOCK..]);
    new.rotate_left(BLOCK);
    scene.write("f", &old);
    scene.everything();
    // Each is where another was, and one of them is overwritten in the process at the latest.
    let asked = missing(&mut scene, &new, "f");
    assert!(asked.contains(&5) && asked.len() <= 2, "{asked:?}");
    for block in asked {
        stage(&mut scene, &new, block).unwrap();
    }
    assert_eq!(scene.apply(&[], &[put("g", None, &new)]), [Outcome::Done]);
    assert_eq!(fs::read(scene.at("g")).unwrap(), new);
}

#[test]
fn resumed_after_a_restart_with_what_was_staged_checked() {
    let mut scene = Scene::new();
    let new = noise(3, 100 * BLOCK + 1);
    scene.everything();
    assert_eq!(missing(&mut scene, &new, "f").len(), 101);
    for block in 0..99 {
        stage(&mut scene, &new, block).unwrap();
    }
    assert_eq!(scene.apply(&[], &[put("f", None, &new)]), [Outcome::Changed(None)], "not whole yet");
    // One block was not on disk when the power went.
    let staged = scene.staged();
    assert_eq!(staged.len(), 1);
    let partial = File::options().write(true).open(scene.at(".mhnos-sync/stage").join(&staged[0])).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&partial, &[0; 100], 50 * BLOCK_BYTES).unwrap();
    scene.reopen(Vec::new());
    scene.everything();
    assert!(stage(&mut scene, &new, 99).is_err(), "what is missing was not asked");
    assert_eq!(missing(&mut scene, &new, "f"), [50, 99, 100]);
    for block in [50, 99, 100] {
        stage(&mut scene, &new, block).unwrap();
    }
    assert_eq!(missing(&mut scene, &new, "f"), []);
    assert_eq!(
        scene.apply(&[], &[put("f", None, &new), put("g", None, &new)]),
        [Outcome::Done, Outcome::Done]
    );
    assert_eq!(fs::read(scene.at("f")).unwrap(), new);
    assert_eq!(fs::read(scene.at("g")).unwrap(), new);
}

#[test]
fn staged_content_that_was_not_needed_is_there_the_next_time() {
    let mut scene = Scene::new();
    let new = noise(4, 2 * BLOCK);
    scene.write("f", "in the way");
    scene.everything();
    missing(&mut scene, &new, "f");
    stage(&mut scene, &new, 0).unwrap();
    stage(&mut scene, &new, 1).unwrap();
    assert_eq!(scene.apply(&[], &[put("f", None, &new)]), [Outcome::Changed(file(b"in the way"))]);
    assert_eq!(missing(&mut scene, &new, "f"), []);
    assert_eq!(scene.apply(&[], &[put("f", file(b"in the way"), &new)]), [Outcome::Done]);
}

#[test]
fn what_does_not_fit_its_hash_is_not_taken() {
    let mut scene = Scene::new();
    let new = noise(5, 2 * BLOCK + 9);
    let content = Content::of(&new);
    let size = new.len() as u64;
    missing(&mut scene, &new, "f");
    let mut refused =
        |block, bytes: &[u8]| scene.host().stage(content, size, block, bytes).unwrap_err().kind();
    assert_eq!(refused(0, &new[1..=BLOCK]), io::ErrorKind::InvalidData);
    assert_eq!(refused(2, &new[..BLOCK]), io::ErrorKind::InvalidData);
    assert_eq!(refused(3, &[]), io::ErrorKind::InvalidData);
    let small = scene.host().stage(Content::of(b"x"), 1, 0, b"y").unwrap_err();
    assert_eq!(small.kind(), io::ErrorKind::InvalidData);
    let list = scene.host().missing(content, size, &blocks(&new)[1..], &path("f")).unwrap_err();
    assert_eq!(list.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_file_that_changed_since_is_not_read_as_what_it_was() {
    let mut scene = Scene::new();
    let old = noise(6, 2 * BLOCK);
    scene.write("f", &old);
    scene.everything();
    let content = Content::of(&old);
    assert_eq!(scene.host().read(&path("f"), content, 5, 10).unwrap(), old[5..15]);
    assert_eq!(
        scene.host().read(&path("f"), content, old.len() as u64 - 3, 10).unwrap(),
        old[old.len() - 3..]
    );
    scene.write("f", &old[1..]);
    assert_eq!(scene.host().read(&path("f"), content, 0, 10).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(scene.host().block_hashes(&path("f"), content).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(scene.host().read(&path("g"), content, 0, 10).unwrap_err().kind(), io::ErrorKind::NotFound);
}
