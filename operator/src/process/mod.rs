//! The process: from the command line to running controllers, and what it says of itself.

mod canary;
pub mod health;
mod listen;
pub mod logs;
pub mod metrics;
pub mod run;
pub mod tasks;
pub mod telemetry;
