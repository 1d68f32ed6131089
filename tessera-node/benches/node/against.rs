//! Two builds of the node in one run. They take turns, since the machine's speed changes from minute to minute: what is
//! compared was measured side by side.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::load_average;
use crate::pair::{Pair, Row};
use crate::support::Net;
use crate::support::load::Load;

pub(crate) struct Comparison {
    pub(crate) this: Option<PathBuf>,
    pub(crate) other: PathBuf,
    pub(crate) pairs: u64,
    pub(crate) time: Duration,
    pub(crate) payload: usize,
}

/// Before anything is counted: connections are opened, caches filled.
const WARM_UP: Duration = Duration::from_millis(500);

impl Comparison {
    /// Prints a row for each number of connections.
    pub(crate) async fn run(self, connections: &[usize]) -> ExitCode {
        let nets = [Net::new(&["a", "b"]), Net::new(&["a", "b"])];
        let this = Pair::start(&nets[0], self.this.clone()).await;
        let other = Pair::start(&nets[1], Some(self.other.clone())).await;
        println!(
            "{:>11} {:>19} {:>7} {:>23} {:>7} {:>17} {:>7}   medians of {} pairs: this, other, this / other",
            "connections", "CPU us/send", "ratio", "sends/s", "ratio", "switches/send", "ratio", self.pairs,
        );
        let mut failed = 0;
        for connections in connections {
            let load = Load { callers: *connections, payload: self.payload };
            this.row(load, WARM_UP).await;
            other.row(load, WARM_UP).await;
            let mut rows = Vec::new();
            for turn in 0..self.pairs {
                // Each goes first as often as the other.
                let (first, second) = if turn % 2 == 0 { (&this, &other) } else { (&other, &this) };
                let (first, second) = (first.row(load, self.time).await, second.row(load, self.time).await);
                failed += first.1.failed.len() + second.1.failed.len();
                rows.push(if turn % 2 == 0 { (first.0, second.0) } else { (second.0, first.0) });
            }
            let (cpu, rate, switches) =
                (compare(&rows, Row::cpu), compare(&rows, |row| row.rate), compare(&rows, Row::switches));
            println!(
                "{connections:>11} {:>8.1} {:>10.1} {:>7.3} {:>11.0} {:>11.0} {:>7.3} {:>8.2} {:>8.2} {:>7.3}",
                cpu[0], cpu[1], cpu[2], rate[0], rate[1], rate[2], switches[0], switches[1], switches[2],
            );
        }
        println!("against: {failed} sends failed; load average {}", load_average());
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The medians of this, of the other, and of the ratios of the pairs.
fn compare(rows: &[(Row, Row)], value: impl Fn(&Row) -> f64) -> [f64; 3] {
    let values = rows.iter().map(|(this, other)| (value(this), value(other)));
    let [mut this, mut other, mut ratio] = [const { Vec::new() }; 3];
    for (of_this, of_other) in values {
        this.push(of_this);
        other.push(of_other);
        ratio.push(of_this / of_other);
    }
    [this, other, ratio].map(median)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
