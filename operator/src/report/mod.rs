//! What a person reads: conditions, error messages and the checklist in dashboards. Pure.

pub mod conditions;
pub mod error;
pub mod open_report;
pub mod unreadable;
