//! Many seeds, and what must hold of each.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::chaos::Run;

/// Seeds that are tried when nobody says how many.
const SEEDS: u64 = 1000;
/// After so many that fail no more are tried.
const FAILURES: usize = 5;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// What a run did, in order.
fn trace(seed: u64, clocks: u64) -> Vec<String> {
    let mut run = Run::new(seed, clocks);
    run.world.trace = Some(Vec::new());
    run.go();
    run.world.trace.take().unwrap_or_default()
}

#[test]
fn every_seed_converges_and_loses_nothing() {
    if let Some(seed) = number("MHNOS_SIM_SEED") {
        replay(seed);
        return;
    }
    let seeds = number("MHNOS_SIM_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(BTreeSet::new()));
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().unwrap().len() < FAILURES {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if catch_unwind(AssertUnwindSafe(|| Run::new(seed, seed).go())).is_err() {
                        println!("seed {seed} fails: see above");
                        failed.lock().unwrap().insert(seed);
                    }
                }
            });
        }
    });
    println!("{seeds} seeds in {:.1} s on {threads} threads", started.elapsed().as_secs_f64());
    let failed = failed.into_inner().unwrap();
    if let Some(seed) = failed.first() {
        panic!(
            "seeds {failed:?} fail; one is replayed, with all that happens in it, by\n    \
             MHNOS_SIM_SEED={seed} cargo nextest run -p mhnos-sync every_seed --no-capture"
        );
    }
}

fn replay(seed: u64) {
    let mut run = Run::new(seed, seed);
    run.world.trace = Some(Vec::new());
    let result = catch_unwind(AssertUnwindSafe(|| run.go()));
    run.world.trace.take().unwrap_or_default().iter().for_each(|line| println!("{line}"));
    assert!(result.is_ok(), "seed {seed} fails; what led to it is above");
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in 0..20 {
        let (one, other) = (trace(seed, seed), trace(seed, seed));
        assert!(one.len() > 20);
        assert_eq!(one, other, "seed {seed}");
    }
}

#[test]
fn clock_skew_changes_nothing() {
    for seed in 0..50 {
        let traces: Vec<_> = (0..3).map(|clocks| trace(seed, clocks)).collect();
        assert_eq!(traces[0], traces[1], "seed {seed}");
        assert_eq!(traces[0], traces[2], "seed {seed}");
    }
}
