//! The answers of a batch, given together: one wake-up of the callers' runtime, not one for each caller.

use std::fmt;
use std::sync::Arc;

use crate::error::WriteError;
use crate::pending::Completion;
use crate::types::{InsertOutcome, ReplaceOutcome};

/// Where many callers are answered; see [`Options::answer_on`](crate::Options::answer_on).
#[derive(Clone)]
pub(crate) struct AnswerOn(pub(crate) Arc<Run>);

/// Runs what it is given, elsewhere.
type Run = dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync;

impl fmt::Debug for AnswerOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerOn")
    }
}

/// Answers that wait until their batch is durable.
#[derive(Default)]
pub(crate) struct Answers(Vec<Answer>);

enum Answer {
    Insert(Completion<InsertOutcome>, InsertOutcome),
    Replace(Completion<ReplaceOutcome>, ReplaceOutcome),
    Copy(Completion<()>),
}

impl Answers {
    pub(crate) fn insert(&mut self, completion: Completion<InsertOutcome>, outcome: InsertOutcome) {
        self.0.push(Answer::Insert(completion, outcome));
    }

    pub(crate) fn replace(&mut self, completion: Completion<ReplaceOutcome>, outcome: ReplaceOutcome) {
        self.0.push(Answer::Replace(completion, outcome));
    }

    pub(crate) fn copy(&mut self, completion: Completion<()>) {
        self.0.push(Answer::Copy(completion));
    }

    /// Answers everything: a single caller from this thread, several where the callers are.
    pub(crate) fn give(self, written: Result<(), WriteError>, on: Option<&AnswerOn>) {
        match on {
            Some(AnswerOn(run)) if self.0.len() > 1 => run(Box::new(move || self.complete(written))),
            _ => self.complete(written),
        }
    }

    fn complete(self, written: Result<(), WriteError>) {
        for answer in self.0 {
            match answer {
                Answer::Insert(completion, outcome) => completion.complete(written.map(|()| outcome)),
                Answer::Replace(completion, outcome) => completion.complete(written.map(|()| outcome)),
                Answer::Copy(completion) => completion.complete(written),
            }
        }
    }
}
