//! What a send costs: two nodes as processes, mutual TLS verified at both ends, and callers that send one payload after
//! the other, once each. In the end both nodes are killed, and every acknowledged payload is read back at both.
//!
//! Run by `hack/bench`. Exits with 1 when a send failed or a payload is lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)] // Counts and times for a person to read.

mod against;
mod floor;
mod pair;
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pair::{Pair, Row};
use report::Report;
use support::Net;
use support::load::{self, Load};
use support::postgres::{Server, keep_in};

/// Two nodes under load, one row for each number of connections.
#[derive(Debug, Parser)]
struct Args {
    /// Connections of the callers: a row for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,8,16,64,256")]
    connections: Vec<usize>,
    /// How long each row lasts.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600), default_value_t = 5)]
    seconds: u64,
    /// Size of each payload in bytes.
    #[arg(long, value_parser = clap::value_parser!(u64).range(8..=1 << 20), default_value_t = 1024)]
    payload: u64,
    /// Another build of tessera-node than this one's.
    #[arg(long)]
    node: Option<PathBuf>,
    /// Measures the fixed ingredients of a send as well.
    #[arg(long)]
    floor: bool,
    /// Both nodes keep their payloads in databases of one PostgreSQL server, whose programs `POSTGRES_BIN` names.
    #[arg(long)]
    postgres: bool,
    /// A build of tessera-node to compare with, in turn. Nothing else is measured then.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Pairs of runs for each row of a comparison.
    #[arg(long, value_parser = clap::value_parser!(u64).range(3..=100), default_value_t = 3)]
    pairs: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The share of the closed loop's rate at which the open loop sends.
const OPEN_LOOP_SHARE: f64 = 0.8;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let (payload, time) = (usize::try_from(args.payload).unwrap(), Duration::from_secs(args.seconds));
    println!("{payload} bytes a payload, {} s a row, load average {}", args.seconds, load_average());
    if let Some(other) = args.against {
        let comparison = against::Comparison { this: args.node, other, pairs: args.pairs, time, payload };
        return comparison.run(&args.connections).await;
    }
    let mut net = Net::new(&["a", "b"]);
    let _server = args.postgres.then(|| in_databases(&mut net));
    let pair = Pair::start(&net, args.node).await;
    let mut report =
        Report { idle_kib: pair.most_kib("VmRSS"), postgres: args.postgres, ..Report::default() };
    println!("{}", Row::head());
    for connections in &args.connections {
        let (row, outcome) = pair.row(Load { callers: *connections, payload }, time).await;
        println!("{row}");
        report.rows.push(row);
        report.take(outcome);
    }
    let fast = report.row_at(64).map(|row| (row.connections, row.rate));
    if let Some((callers, rate)) = fast {
        let load = Load { callers, payload };
        let outcome = load::open_loop(pair.specs[0], &pair.to(), load, rate * OPEN_LOOP_SHARE, time).await;
        report.open_loop_p99 = Some(load::percentile(&outcome.sent, 99));
        report.take(outcome);
    }
    report.load_kib = pair.most_kib("VmHWM");
    if args.floor {
        let batch = report.row_at(64).map_or(1.0, |row| row.batch);
        report.floor = Some(floor::measure(&net, payload, batch).await);
    }
    pair.finish(&mut report, payload).await;
    report.print()
}

/// Gives each node a database of one server, which ends with what is returned.
fn in_databases(net: &mut Net) -> Server {
    let server = Server::start();
    for node in &mut net.nodes {
        let database = format!("of_{}", node.name);
        server.create_database(&database);
        keep_in(node, &server, &database);
    }
    server
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
