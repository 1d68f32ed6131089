//! A point at which the process kills itself, for the test that a killed operator leaves nothing half done.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// Which write to die at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// Before the write with this number (from 1) is sent.
    Before(u64),
    /// After it was answered.
    After(u64),
}

/// Not a fault point.
#[derive(Debug, thiserror::Error)]
#[error("fault point {0:?} is neither before:<n> nor after:<n>")]
pub struct ParseFaultPointError(String);

impl FromStr for FaultPoint {
    type Err = ParseFaultPointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseFaultPointError(text.to_owned());
        let (side, number) = text.split_once(':').ok_or_else(error)?;
        let number = number.parse().map_err(|_| error())?;
        match side {
            "before" => Ok(Self::Before(number)),
            "after" => Ok(Self::After(number)),
            _ => Err(error()),
        }
    }
}

/// Counts writes and dies at the chosen one.
#[derive(Debug, Default)]
pub struct Faults {
    point: Option<FaultPoint>,
    writes: AtomicU64,
}

impl Faults {
    /// Dies at `point`; never, if there is none.
    pub fn new(point: Option<FaultPoint>) -> Self {
        Self { point, writes: AtomicU64::new(0) }
    }

    /// How many writes were begun.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Runs one write.
    pub async fn around<F: Future>(&self, write: F) -> F::Output {
        let number = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        if self.point == Some(FaultPoint::Before(number)) {
            die();
        }
        let output = write.await;
        if self.point == Some(FaultPoint::After(number)) {
            die();
        }
        output
    }
}

/// As the kernel would: no unwinding, no drop, no flush.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_both_sides() {
        assert_eq!("before:3".parse::<FaultPoint>().unwrap(), FaultPoint::Before(3));
        assert_eq!("after:12".parse::<FaultPoint>().unwrap(), FaultPoint::After(12));
        assert!("at:1".parse::<FaultPoint>().is_err());
        assert!("before:x".parse::<FaultPoint>().is_err());
    }
}
