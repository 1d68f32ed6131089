//! Talks to nodes and secret stores, and reads the cluster around them. The tasks in [`nodes`], [`strangers`], [`stores`],
//! [`cluster`] and [`ssh`] ask, at their own pace and within their own bound; reconciles read what was last answered.

pub mod admin;
pub mod answers;
pub mod canary;
pub mod cluster;
mod cluster_reads;
pub mod cluster_reports;
mod connect;
pub mod event_reports;
pub mod events;
pub mod nodes;
pub mod ssh;
pub mod store;
mod store_audit;
mod store_client;
pub mod store_reports;
pub mod stores;
pub mod strangers;
pub mod vault;
pub mod workers;
