//! Two-way sync beside rsync, Unison and Syncthing, in turns and in the same run.
//!
//! Our other end is a folder of this machine over the same wire as a browser ([`replica`]), as durable as the runtime's own: each file, and what was
//! agreed, is synced to disk before it counts. So is rsync's (`--fsync`); Syncthing's is by its default, Unison's not at all. Time begins when a program is told to look,
//! or when a file is saved, and ends when the other side has all and both agree. What is measured is compared afterwards, byte for byte.

mod browser;
mod others;
mod replica;
mod trees;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{mebibytes, median, milliseconds, percentile};
use others::{Syncthing, Unison};
use replica::Replica;

pub(crate) use browser::measure as browser;

const ROUNDS: usize = 3;
const FILES: usize = 10_000;
const FILE_BYTES: usize = 4 << 10;
const LARGE_MEBIBYTES: usize = 1024;
/// Files of a workspace in which nothing, or one file, changes.
const MANY_FILES: usize = 100_000;
const FEW_FILES: usize = 1000;
const SMALL_BYTES: usize = 64;
const SAVES: usize = 40;
/// How long a browser's side waits whether more is saved.
const REPLICA_QUIET: Duration = Duration::from_millis(20);

/// Our two ends: a runtime, and a replica that is in sync with its empty workspace.
struct Ours {
    runtime: Runtime,
    replica: Replica,
    _folder: TempDir,
}

impl Ours {
    /// With the same content on both ends.
    fn start(fill: impl Fn(&Path) -> Result<()>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let runtime = Runtime::start_filled(&fill)?;
        fill(folder.path())?;
        let mut replica = Replica::new(folder.path())?;
        replica.open(&runtime)?;
        replica.until_synced_with(&runtime.workspace())?;
        Ok(Self { runtime, replica, _folder: folder })
    }

    fn host(&self) -> PathBuf {
        self.runtime.workspace()
    }

    fn folder(&self, of_host: bool) -> PathBuf {
        if of_host { self.host() } else { self.replica.folder().to_owned() }
    }

    /// Puts a folder in place on the side it comes from, and waits until both have all of it.
    fn carry(&mut self, to_host: bool, source: &Path, entries: usize) -> Result<Duration> {
        fs::rename(source, self.folder(!to_host).join("data"))?;
        let began = Instant::now();
        if to_host {
            self.replica.changed(&[])?;
        }
        // What it last heard, that both are equal, is of before.
        self.replica.until_committed()?;
        self.replica.until_synced(entries)?;
        let took = began.elapsed();
        trees::compare(&self.host(), self.replica.folder())?;
        Ok(took)
    }
}

fn temporary() -> Result<TempDir> {
    Ok(tempfile::tempdir()?)
}

/// Many small files.
pub(crate) fn files(report: &mut Report) -> Result<()> {
    let (mut rsync, mut syncthing, mut to_host, mut to_replica) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS as u64 {
        let source = |place: &Path| -> Result<PathBuf> {
            let data = place.join("data");
            trees::make(&data, FILES, FILE_BYTES, round)?;
            Ok(data)
        };
        let rate = |time: Duration| FILES as f64 / time.as_secs_f64();
        let places = [temporary()?, temporary()?];
        source(places[0].path())?;
        settle();
        rsync.push(rate(others::rsync(places[0].path(), places[1].path())?));
        trees::compare(places[0].path(), places[1].path())?;

        for (towards_host, rates) in [(true, &mut to_host), (false, &mut to_replica)] {
            let mut ours = Ours::start(|_| Ok(()))?;
            let place = temporary()?;
            let data = source(place.path())?;
            settle();
            rates.push(rate(ours.carry(towards_host, &data, trees::entries(FILES))?));
        }

        let places = [temporary()?, temporary()?];
        let pair = Syncthing::start(places[0].path(), places[1].path())?;
        source(places[0].path())?;
        settle();
        syncthing.push(rate(pair.sync(FILES as u64)?));
        trees::compare(places[0].path(), places[1].path())?;
    }
    for (what, ours) in [("to the host", &to_host), ("from the host", &to_replica)] {
        let per_second = |rates: &[f64]| format!("{:.0} files/s", median(rates));
        for (name, other, target, least) in
            [("rsync --fsync", &rsync, ">= 1.0 x", 1.0), ("Syncthing", &syncthing, ">= 5 x", 5.0)]
        {
            let ratio = median(ours) / median(other);
            report.add(Line {
                what: format!("sync: 10,000 files of 4 KiB, {what}"),
                bare: format!("{} ({name})", per_second(other)),
                ours: per_second(ours),
                ratio: Some(ratio),
                target,
                met: ratio >= least,
            });
        }
    }
    Ok(())
}

/// One large file, and a small edit in it.
pub(crate) fn large(report: &mut Report) -> Result<()> {
    let (mut rsync, mut unison, mut syncthing, mut to_host, mut to_replica) =
        (vec![], vec![], vec![], vec![], vec![]);
    let rate = |time: Duration| LARGE_MEBIBYTES as f64 / time.as_secs_f64();
    let make = |folder: &Path, seed: u64| -> Result<PathBuf> {
        let data = folder.join("data");
        fs::create_dir(&data)?;
        trees::make_large(&data.join("large.bin"), LARGE_MEBIBYTES, seed)?;
        Ok(data)
    };
    let mut edits = Vec::new();
    for round in 0..ROUNDS as u64 {
        let places = [temporary()?, temporary()?];
        make(places[0].path(), round)?;
        rsync.push(rate(others::rsync(places[0].path(), places[1].path())?));
        let edit = |folder: &Path| edit(&folder.join("data/large.bin"));
        edit(places[0].path())?;
        let rsync_bytes = others::rsync_wire_bytes(places[0].path(), places[1].path())?;
        drop(places);

        let places = [temporary()?, temporary()?];
        make(places[0].path(), round)?;
        unison.push(rate(Unison::new()?.sync(places[0].path(), places[1].path())?.0));
        drop(places);

        for (towards_host, rates) in [(true, &mut to_host), (false, &mut to_replica)] {
            let mut ours = Ours::start(|_| Ok(()))?;
            let place = temporary()?;
            let data = make(place.path(), round)?;
            rates.push(rate(ours.carry(towards_host, &data, 2)?));
            let before = ours.replica.wire_bytes();
            edit(&ours.folder(!towards_host))?;
            if towards_host {
                ours.replica.changed(&[])?;
            }
            ours.replica.until_committed()?;
            trees::compare(&ours.host(), ours.replica.folder())?;
            edits.push((towards_host, (ours.replica.wire_bytes() - before) as f64, rsync_bytes as f64));
        }

        let places = [temporary()?, temporary()?];
        let pair = Syncthing::start(places[0].path(), places[1].path())?;
        make(places[0].path(), round)?;
        syncthing.push(rate(pair.sync(1)?));
    }
    let per_second = |rates: &[f64]| format!("{:.0} MiB/s", median(rates));
    for (towards_host, ours) in [(true, &to_host), (false, &to_replica)] {
        let direction = if towards_host { "to the host" } else { "from the host" };
        for (name, other, target, least) in [
            ("rsync --fsync", &rsync, ">= 0.4 x", 0.4),
            ("Unison", &unison, ">= 1.2 x", 1.2),
            ("Syncthing", &syncthing, ">= 1.2 x", 1.2),
        ] {
            let ratio = median(ours) / median(other);
            report.add(Line {
                what: format!("sync: a file of 1 GiB, {direction}"),
                bare: format!("{} ({name})", per_second(other)),
                ours: per_second(ours),
                ratio: Some(ratio),
                target,
                met: ratio >= least,
            });
        }
        let of_direction = || edits.iter().filter(|edit| edit.0 == towards_host);
        let [ours, rsync] = [
            median(&of_direction().map(|edit| edit.1).collect::<Vec<_>>()),
            median(&of_direction().map(|edit| edit.2).collect::<Vec<_>>()),
        ];
        report.add(Line {
            what: format!("sync: 4 KiB changed in it, {direction}: bytes on the wire"),
            bare: format!("{:.0} KiB (rsync --no-whole-file)", rsync / 1024.0),
            ours: format!("{:.0} KiB", ours / 1024.0),
            ratio: Some(ours / rsync),
            target: "<= 2 x",
            met: ours <= rsync * 2.0,
        });
    }
    Ok(())
}

/// Changes a page of a file in the middle.
fn edit(file: &Path) -> Result<()> {
    let file = fs::File::options().write(true).open(file)?;
    file.write_all_at(&[7; 4 << 10], (LARGE_MEBIBYTES as u64 / 2) << 20)?;
    Ok(())
}

/// Many files, and nothing to do; and what memory that takes.
pub(crate) fn unchanged(report: &mut Report) -> Result<()> {
    let fill = |folder: &Path| trees::make(&folder.join("data"), MANY_FILES, SMALL_BYTES, 0);
    let places = [temporary()?, temporary()?];
    fill(places[0].path())?;
    fill(places[1].path())?;
    let unison = Unison::new()?;
    let (_, first_peak) = unison.sync(places[0].path(), places[1].path())?;
    let mut ours = Ours::start(fill)?;
    let (mut theirs, mut restarts, mut peaks) = (vec![], vec![], vec![first_peak as f64]);
    let mut resident = vec![ours.runtime.peak()? as f64];
    for _ in 0..ROUNDS {
        let (took, peak) = unison.sync(places[0].path(), places[1].path())?;
        theirs.push(took.as_secs_f64());
        peaks.push(peak as f64);
        // What Unison does in a run: it starts, reads what it remembers, and looks at both sides.
        ours.runtime.stop()?;
        let began = Instant::now();
        ours.runtime.start_again()?;
        ours.replica.open(&ours.runtime)?;
        ours.replica.until_synced(trees::entries(MANY_FILES))?;
        restarts.push(began.elapsed().as_secs_f64());
        resident.push(ours.runtime.peak()? as f64);
    }
    let ratio = median(&restarts) / median(&theirs);
    report.add(Line {
        what: "sync: 100,000 files, nothing to do, from the start".into(),
        bare: format!("{} (Unison)", milliseconds(median(&theirs))),
        ours: milliseconds(median(&restarts)),
        ratio: Some(ratio),
        target: "<= 1.0 x",
        met: ratio <= 1.0,
    });
    let [theirs, ours] = [percentile(&peaks, 1.0), percentile(&resident, 1.0)];
    report.add(Line {
        what: "sync: 100,000 files, most memory held by the host's side".into(),
        bare: format!("{} (Unison)", mebibytes(theirs)),
        ours: mebibytes(ours),
        ratio: Some(ours / theirs),
        target: "<= 1.0 x",
        met: ours <= theirs,
    });
    Ok(())
}

/// One file is saved, again and again, among few and among many.
pub(crate) fn save(report: &mut Report) -> Result<()> {
    let places = [temporary()?, temporary()?];
    let pair = Syncthing::start(places[0].path(), places[1].path())?;
    trees::make(&places[0].path().join("data"), FEW_FILES, SMALL_BYTES, 0)?;
    pair.sync(FEW_FILES as u64)?;
    let mut theirs = Vec::new();
    for save in 0..SAVES / 2 {
        let text = format!("saved for the {save}th time");
        let began = Instant::now();
        fs::write(places[0].path().join("data/5/5.bin"), &text)?;
        while fs::read(places[1].path().join("data/5/5.bin")).ok().as_deref() != Some(text.as_bytes()) {
            if began.elapsed() > Duration::from_secs(60) {
                return Err("Syncthing does not carry a save within a minute".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        theirs.push(began.elapsed().as_secs_f64());
    }
    drop(pair);
    let theirs = percentile(&theirs, 0.95);
    let few = saves(FEW_FILES)?;
    let many = saves(MANY_FILES)?;
    for (at, direction) in ["from the host", "to the host"].into_iter().enumerate() {
        let (few, many) = (percentile(&few[at], 0.95), percentile(&many[at], 0.95));
        report.add(Line {
            what: format!("sync: save to committed, {direction}, p95, among 1,000 files"),
            bare: format!("{} (Syncthing, to visible)", milliseconds(theirs)),
            ours: milliseconds(few),
            ratio: Some(few / theirs),
            target: "<= 0.25 x",
            met: few <= theirs * 0.25,
        });
        report.add(Line {
            what: format!("sync: save to committed, {direction}, p95, among 100,000 files"),
            bare: format!("{} (among 1,000)", milliseconds(few)),
            ours: milliseconds(many),
            ratio: Some(many / few),
            target: "<= 1.2 x",
            met: many <= few * 1.2,
        });
    }
    Ok(())
}

/// Seconds from a save to the agreement, from the host and to the host.
fn saves(files: usize) -> Result<[Vec<f64>; 2]> {
    let fill = |folder: &Path| trees::make(&folder.join("data"), files, SMALL_BYTES, 0);
    let mut ours = Ours::start(fill)?;
    let mut times = [vec![], vec![]];
    for save in 0..SAVES {
        for (at, times) in times.iter_mut().enumerate() {
            let path = format!("data/{at}/5.bin");
            let text = format!("saved for the {save}th time");
            let folder = ours.folder(at == 0);
            let began = Instant::now();
            fs::write(folder.join(&path), &text)?;
            if at == 1 {
                std::thread::sleep(REPLICA_QUIET);
                ours.replica.changed(&[&path])?;
            }
            ours.replica.until_committed()?;
            times.push(began.elapsed().as_secs_f64());
            if fs::read(ours.folder(at != 0).join(&path))? != text.as_bytes() {
                return Err("what was saved is agreed, and not there".into());
            }
        }
    }
    Ok(times)
}

/// A folder of many files gets another name.
pub(crate) fn rename(report: &mut Report) -> Result<()> {
    let fill = |folder: &Path| trees::make(&folder.join("data"), FILES, FILE_BYTES, 0);
    let places = [temporary()?, temporary()?];
    fill(places[0].path())?;
    fill(places[1].path())?;
    let unison = Unison::new()?;
    unison.sync(places[0].path(), places[1].path())?;
    let mut ours = Ours::start(fill)?;
    let (mut theirs, mut times, mut bytes) = (vec![], [vec![], vec![]], vec![]);
    let names = ["data", "renamed"];
    for round in 0..ROUNDS * 2 {
        let (from, to) = (names[round % 2], names[(round + 1) % 2]);
        fs::rename(places[0].path().join(from), places[0].path().join(to))?;
        theirs.push(unison.sync(places[0].path(), places[1].path())?.0.as_secs_f64());
        trees::compare(places[0].path(), places[1].path())?;
        let to_host = round >= ROUNDS;
        let folder = ours.folder(!to_host);
        let before = ours.replica.wire_bytes();
        let began = Instant::now();
        fs::rename(folder.join(from), folder.join(to))?;
        if to_host {
            ours.replica.changed(&[from, to])?;
        }
        ours.replica.until_committed()?;
        times[usize::from(to_host)].push(began.elapsed().as_secs_f64());
        bytes.push((ours.replica.wire_bytes() - before) as f64);
        trees::compare(&ours.host(), ours.replica.folder())?;
    }
    let theirs = median(&theirs);
    for (direction, times) in ["from the host", "to the host"].into_iter().zip(&times) {
        let time = median(times);
        report.add(Line {
            what: format!("sync: a folder of 10,000 files renamed, {direction}"),
            bare: format!("{} (Unison)", milliseconds(theirs)),
            ours: format!(
                "{} ({:.0} KiB on the wire at most)",
                milliseconds(time),
                percentile(&bytes, 1.0) / 1024.0
            ),
            ratio: Some(time / theirs),
            target: "<= 0.1 x",
            met: time <= theirs * 0.1,
        });
    }
    Ok(())
}

/// What was written before is not to be synced to disk on behalf of what is measured.
fn settle() {
    nix::unistd::sync();
}
