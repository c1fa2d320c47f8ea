//! Two-way sync of a folder with any number of replicas of it.
//!
//! A **hub** holds, for each replica, three trees: what the host's folder was last seen to be, what the replica was last seen to be, and
//! the *base*, what both agreed on last. A pure function plans from these three what either side has to do. What is done is
//! decided nowhere else, and both sides do it in the same way: a [`Side`](side::Side) observes itself, hands out content, and carries out
//! [`Order`](side::Order)s, each with what must be there for it to be carried out at all. What a side finds different it reports, and is planned again.
//!
//! So nothing has to be remembered of work in flight: after a crash, a cut or a lost message, both sides observe themselves, and the plan is made anew.

mod database;
pub mod digest;
pub mod driver;
#[cfg(test)]
mod fake;
pub mod host;
pub mod hub;
pub mod index;
pub mod model;
pub mod peer;
pub mod plan;
pub mod rules;
#[cfg(test)]
mod scenarios;
pub mod side;
#[cfg(test)]
mod simulator;
pub mod tree;
pub mod versions;
pub mod watch;
