//! One connection that is made again when it ends, for as long as the database is open.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::Rng;
use tessera_store::StoreId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::session::Session;
use crate::stats::Counters;
use crate::{Credentials, DatabaseError, Health};

/// A statement waits so long for a connection that is being made again: a failover takes about that, and clients give up after
/// five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two questions whether the server is a primary that answers.
const PING: Duration = Duration::from_secs(5);
/// How long a connection is used, half of it at random: renewed certificates and passwords come into use meanwhile, and a primary
/// that came back gets its share of connections.
const LIFE: Duration = Duration::from_mins(10);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(3);
/// A connection that ends before is made again with growing pauses.
const SETTLED: Duration = Duration::from_secs(30);

/// What the links of a database share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) credentials: Credentials,
    pub(crate) health: Health,
    pub(crate) kinds: Vec<std::ops::Range<usize>>,
    /// Which store the first session found. One that finds another is refused: its "no such row" would be untrue.
    pub(crate) id: OnceLock<StoreId>,
    /// The newest timeline that a primary wrote. Kept in memory alone: a restarted node begins anew.
    pub(crate) newest_timeline: AtomicU32,
    /// This node among the nodes on the database.
    pub(crate) replica: i32,
    pub(crate) counters: Counters,
}

/// A connection, or the lack of one.
#[derive(Debug, Clone)]
pub(crate) struct Link(watch::Receiver<State>);

#[derive(Debug)]
pub(crate) struct State {
    session: Option<Arc<Session>>,
    /// Since when there is none.
    down_since: Instant,
}

/// Keeps a link connected.
#[derive(Debug)]
pub(crate) struct Keeper {
    number: usize,
    common: Arc<Common>,
    state: watch::Sender<State>,
}

impl State {
    fn usable(&self) -> Option<&Arc<Session>> {
        self.session.as_ref().filter(|session| !session.is_over())
    }
}

impl Link {
    pub(crate) fn new(number: usize, common: Arc<Common>) -> (Self, Keeper) {
        let state = watch::Sender::new(State { session: None, down_since: Instant::now() });
        (Self(state.subscribe()), Keeper { number, common, state })
    }

    /// The connection that is there now.
    fn current(&self) -> Option<Arc<Session>> {
        self.0.borrow().usable().cloned()
    }

    /// The connection. Of one that was lost just now the next is waited for; without one for long, the answer is there at once,
    /// so that callers do not queue up behind each other's patience.
    async fn session(&self, health: &Health) -> Result<Arc<Session>, DatabaseError> {
        let mut changes = self.0.clone();
        let down_since = match &*changes.borrow() {
            State { session: None, down_since } => *down_since,
            // There, or over and not noticed yet.
            State { session: Some(_), .. } => Instant::now(),
        };
        let usable = |state: &State| state.usable().is_some();
        match timeout_at(down_since + PATIENCE, changes.wait_for(usable)).await {
            Ok(Ok(state)) => state.usable().cloned().ok_or(DatabaseError::Lost),
            Ok(Err(_)) => Err(DatabaseError::Closed),
            Err(_) => {
                let reason = health.failure().unwrap_or_else(|| "a connection was lost".to_owned());
                Err(DatabaseError::Unavailable(reason))
            }
        }
    }
}

/// Links that serve the same statements.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    links: Arc<[Link]>,
    health: Health,
}

impl Links {
    pub(crate) fn new(links: Vec<Link>, health: Health) -> Self {
        Self { links: links.into(), health }
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// A connection: that of the link whose `turn` it is, of the next one that has one, or the first that is made.
    pub(crate) async fn session(&self, turn: usize) -> Result<Arc<Session>, DatabaseError> {
        let count = self.len();
        if let Some(session) = (0..count).find_map(|at| self.links[(turn + at) % count].current()) {
            return Ok(session);
        }
        let waiting = self.links.iter().map(|link| Box::pin(link.session(&self.health)));
        Ok(futures::future::select_ok(waiting).await?.0)
    }
}

impl Keeper {
    /// Connects, and again when the connection has ended or is old.
    pub(crate) async fn run(self) {
        let (mut delay, mut not_renewed) = (FIRST_DELAY, None);
        loop {
            let began = Instant::now();
            match self.open().await {
                Ok(session) => {
                    self.state.send_modify(|state| state.session = Some(Arc::clone(&session)));
                    self.common.health.note(self.number, None, &self.common.kinds);
                    // An old one is used until the next is there.
                    follow(&session, half_at_random(LIFE), &self.common.newest_timeline).await;
                    not_renewed = None;
                }
                Err(reason) if self.state.borrow().usable().is_none() => {
                    self.common.health.note(self.number, Some(reason), &self.common.kinds);
                }
                // The old connection is in use meanwhile; a person has as long as it lasts.
                Err(reason) if not_renewed.as_ref() != Some(&reason) => {
                    tracing::warn!(
                        reason,
                        "a connection to the database cannot be renewed; the old one is used on"
                    );
                    not_renewed = Some(reason);
                }
                Err(_) => {}
            }
            self.note_end();
            // Also one that ends as soon as it is made is not made again at once.
            if began.elapsed() > SETTLED {
                delay = FIRST_DELAY;
            } else {
                sleep(half_at_random(delay)).await;
                delay = (delay * 2).min(LAST_DELAY);
            }
        }
    }

    fn note_end(&self) {
        self.state.send_if_modified(|state| {
            let ended = state.session.is_some() && state.usable().is_none();
            if ended {
                *state = State { session: None, down_since: Instant::now() };
            }
            ended
        });
    }

    async fn open(&self) -> Result<Arc<Session>, String> {
        let session = Session::open(
            &self.common.credentials,
            self.common.id.get().copied(),
            &self.common.newest_timeline,
            self.common.replica,
        )
        .await?;
        self.common.counters.note_connection();
        // Of the first connections one is first; the others found the store before it was known.
        let known = *self.common.id.get_or_init(|| session.schema.id);
        if session.schema.id == known {
            Ok(Arc::new(session))
        } else {
            Err("two connections found two payload stores: all hosts of the connection string must be servers of one cluster"
                .to_owned())
        }
    }
}

/// Replicas that lost the database at the same time do not come back at the same time.
fn half_at_random(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.5..1.0))
}

/// Returns when the connection has ended or is older than `life`. Ends one to a primary that is none any more.
async fn follow(session: &Session, life: Duration, newest: &AtomicU32) {
    let end = Instant::now() + life;
    while !session.is_over() && Instant::now() < end {
        tokio::select! {
            () = session.ended() => {}
            () = sleep(PING.min(end.saturating_duration_since(Instant::now()))) => {
                session.ping(newest.load(Ordering::SeqCst)).await;
            }
        }
    }
}
