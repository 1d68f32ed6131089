//! A peer with a genuine certificate of the network does its worst beside two nodes that go on sending.
//!
//! ```text
//!   ledger of a ─► node a ◄──── sends go on, each once ────► node b ◄─ ledger of b
//!                    ▲                                          ▲
//!                    └── mallory: a certificate, a key pair, ───┘
//!                        an address of its own, no node
//! ```
//!
//! One attack at a time; each ends with [`scene::Scene::judge`]: no payload lost or unreadable, no 404 for a payload that was
//! acknowledged, memory within the container's limit, every port open, and the pair nearly as fast as without the attack.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.
#![allow(clippy::large_futures)] // An attack is many connections at once, in one future.

#[path = "../support/mod.rs"]
mod support;

mod affected;
mod announcements;
mod bodies;
mod boxes;
mod connections;
mod fields;
mod mallory;
mod memory;
mod raw_http;
mod recipients;
mod repair;
mod scene;
mod takeover;
