//! Talks to nodes and secret stores. The tasks in [`nodes`], [`strangers`] and [`stores`] ask, at their own pace and within their own bound;
//! reconciles read what was last answered.

pub mod admin;
pub mod answers;
pub mod canary;
mod connect;
pub mod event_reports;
pub mod events;
pub mod nodes;
pub mod store;
mod store_audit;
pub mod store_reports;
pub mod stores;
pub mod strangers;
pub mod vault;
mod workers;
