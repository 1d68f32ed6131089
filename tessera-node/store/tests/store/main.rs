//! The store from outside: what it answers, what survives, what damage does.

// Tests say what they expect by panicking.
#![allow(clippy::panic)]

mod behaviour;
mod compaction;
mod counts;
mod crash;
mod damage;
mod disk;
mod kill;
mod quota;
mod support;
