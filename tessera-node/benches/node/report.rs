//! What a run has found, and its closing line.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::floor::Floor;
use crate::load_average;
use crate::pair::Row;
use crate::support::load::{Outcome, ReadBack, Sent};

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) failed: Vec<String>,
    pub(crate) found: [ReadBack; 2],
    pub(crate) floor: Option<Floor>,
    pub(crate) open_loop_p99: Option<Duration>,
    pub(crate) idle_kib: u64,
    pub(crate) load_kib: u64,
    pub(crate) ready: Option<Duration>,
    pub(crate) ready_after_kill: Option<Duration>,
    /// Payloads were kept in databases: the figures of the embedded store are not said.
    pub(crate) postgres: bool,
}

impl Report {
    pub(crate) fn take(&mut self, outcome: Outcome) {
        self.sent.extend(outcome.sent);
        self.failed.extend(outcome.failed);
    }

    pub(crate) fn row_at(&self, connections: usize) -> Option<&Row> {
        self.rows.iter().find(|row| row.connections == connections)
    }

    pub(crate) fn print(&self) -> ExitCode {
        let unreadable = self.found.iter().flat_map(|found| &found.unreadable);
        for failure in self.failed.iter().chain(unreadable).take(10) {
            println!("failed: {failure}");
        }
        if let Some(floor) = &self.floor {
            println!("{floor}");
        }
        let lost: usize = self.found.iter().map(|found| found.denied + found.unreadable.len()).sum();
        let most = |value: fn(&Row) -> f64| self.rows.iter().map(value).fold(0.0, f64::max);
        println!(
            "{} of {} payloads of {} rows read back at both nodes after kill -9, {lost} lost, {} sends failed; \
             at most {:.4} handshakes, {:.1} context switches and {:.0} us of CPU a send; load average {}",
            self.found[0].intact.min(self.found[1].intact),
            self.sent.len(),
            self.rows.iter().filter(|row| row.sends > 0).count(),
            self.failed.len(),
            most(|row| row.handshakes),
            most(Row::switches),
            most(Row::cpu),
            load_average(),
        );
        println!("{}", self.closing_line());
        let whole = lost == 0 && self.failed.is_empty() && !self.sent.is_empty();
        if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Figures of this run alone: one that was not measured is left out.
    fn closing_line(&self) -> String {
        let mut line = "bench:".to_owned();
        let mut add = |name: &str, value: Option<f64>, digits: usize| {
            if let Some(value) = value {
                // Writing into a string does not fail.
                let _ = write!(line, " {name}={value:.digits$}");
            }
        };
        let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
        let floor = self.floor.as_ref().map(Floor::sum);
        let rate = |connections| self.row_at(connections).map(|row| row.rate);
        if self.postgres {
            add("postgres", rate(16), 0);
        } else {
            add("sends_per_second", rate(64), 0);
            add("at_256", rate(256), 0);
        }
        add("floor_us", floor, 1);
        add("handshakes_per_core", self.floor.as_ref().map(Floor::handshakes_per_core), 0);
        add("cpu_over_floor", self.row_at(64).zip(floor).map(|(row, floor)| row.cpu() / floor), 2);
        add("p99_ms", millis(self.open_loop_p99), 2);
        add("rss_idle_mib", Some(self.idle_kib as f64 / 1024.0), 1);
        add("rss_load_mib", Some(self.load_kib as f64 / 1024.0), 1);
        add("ready_ms", millis(self.ready), 0);
        add("ready_after_kill_ms", millis(self.ready_after_kill), 0);
        line
    }
}
