//! The hub, a host and replicas in one thread, with everything between them decided by a seed: who moves next, what is lost, what is cut, who
//! crashes where. The same seed does the same thing, so a seed that fails is all there is to say about a fault.
//!
//! `MHNOS_SIM_SEED=<seed> cargo nextest run -p mhnos-sync every_seed --no-capture` replays one, and prints what happens in it.
//! `MHNOS_SIM_SEEDS=<count>` says how many are tried.
//!
//! - `world`: hub, host, replicas, and what is on its way between them. The scenarios use it too, without chance.
//! - `chaos`: what happens by chance; `checks`: what must hold in the end; `random`: numbers from a seed.

mod chaos;
mod checks;
pub(crate) mod random;
mod runs;
pub(crate) mod world;
