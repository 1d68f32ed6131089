//! Tries port 22 of the machines that run nodes and secret stores, once in each `checklist.probeEvery`, beside all reconciles.
//!
//! ```text
//! machines read, or due ──► port 22 (3 s), greeting (1 s) ──► control: the kubelet (3 s) ──► last trials ──► the network's facts,
//!                               must not accept                 must accept                                  if one changed
//! ```
//!
//! The order matters: a kubelet that answers *after* the connect to port 22 shows that the machine was there. What the
//! networks share is tried once for all of them. A server that is found writes a line to its log at each trial.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::cluster_reports::KEPT;
use super::connect::{Connect, connect, open};
use super::workers;
use crate::checklist::cluster::Reading;
use crate::checklist::machines::Machine;
use crate::checklist::ssh::SshTrial;
use crate::controller::context::Context;
use crate::memory::backoff::jittered;
use crate::process::tasks::Tasks;

/// Networks of one namespace that are looked at together.
const WORKERS: usize = 1;
/// Machines of one round. One round runs at a time, in the whole process.
const MACHINES: usize = 16;
/// How often a network is looked at: whether a trial is due.
const LOOK: Duration = Duration::from_secs(15);
/// After a trial that proved nothing.
const RETRY: Duration = Duration::from_mins(1);
/// A look that comes a little early must not wait for the next one: waits are jittered down to this part.
const EARLIEST: f64 = 0.8;
const SSH: u16 = 22;
/// How long a server may take to greet.
const GREETING: Duration = Duration::from_secs(1);
/// What every SSH server sends first.
const GREETS: &[u8; 4] = b"SSH-";

/// The last trial of each machine, by its name.
#[derive(Default)]
pub(super) struct SshTrials {
    known: Mutex<BTreeMap<String, Known>>,
    round: tokio::sync::Mutex<()>,
}

struct Known {
    /// A machine at other addresses is another one.
    addresses: Vec<IpAddr>,
    trial: SshTrial,
    at: Timestamp,
    ended: Instant,
}

impl Known {
    fn is_due(&self, every: Duration, now: Instant) -> bool {
        // One that was found open stands whether or not the newest trial proved something, and is tried each period.
        let wait = if self.trial.is_conclusive() { every } else { every.min(RETRY) };
        now.duration_since(self.ended) >= wait.mul_f64(EARLIEST)
    }
}

impl SshTrials {
    /// What is known of `machines`.
    pub(super) fn of(
        &self,
        machines: &BTreeMap<String, Reading<Machine>>,
    ) -> BTreeMap<String, Reading<SshTrial>> {
        let known = self.lock();
        let of = |(name, machine): (&String, &Reading<Machine>)| {
            let (machine, _) = machine.last.as_ref()?;
            let known = known.get(name).filter(|known| known.addresses == machine.addresses)?;
            Some((name.clone(), Reading { last: Some((known.trial.clone(), known.at)), failure: None }))
        };
        machines.iter().filter_map(of).collect()
    }

    /// Tries those of `machines` that are due; returns whether one says something else than before.
    async fn round(&self, machines: &BTreeMap<String, Reading<Machine>>, every: Duration) -> bool {
        let _one_at_a_time = self.round.lock().await;
        let due = self.due(machines, every, Instant::now());
        let trials = join_all(due.iter().map(|(_, machine)| trial(machine))).await;
        let mut changed = false;
        for ((name, machine), trial) in due.into_iter().zip(trials) {
            changed |= self.take_in(name, machine, trial, Instant::now());
        }
        changed
    }

    /// Those that nobody tried, or not for longest, come first.
    fn due<'m>(
        &self,
        machines: &'m BTreeMap<String, Reading<Machine>>,
        every: Duration,
        now: Instant,
    ) -> Vec<(&'m str, &'m Machine)> {
        let mut known = self.lock();
        known.retain(|_, known| now.duration_since(known.ended) < KEPT);
        let read =
            machines.iter().filter_map(|(name, reading)| Some((name.as_str(), &reading.last.as_ref()?.0)));
        let mut due: Vec<_> = read
            .filter_map(|(name, machine)| {
                let tried = known.get(name).filter(|known| known.addresses == machine.addresses);
                let is_due = tried.is_none_or(|known| known.is_due(every, now));
                is_due.then(|| (tried.map(|known| known.ended), name, machine))
            })
            .collect();
        due.sort_by_key(|(ended, name, _)| (*ended, *name));
        due.into_iter().take(MACHINES).map(|(_, name, machine)| (name, machine)).collect()
    }

    fn take_in(&self, name: &str, machine: &Machine, trial: SshTrial, ended: Instant) -> bool {
        let mut all = self.lock();
        let before = all.get(name).filter(|known| known.addresses == machine.addresses);
        let before = before.map(|known| &known.trial);
        let trial = trial.after(before);
        let changed = before != Some(&trial);
        let known = Known { addresses: machine.addresses.clone(), trial, at: Timestamp::now(), ended };
        all.insert(name.to_owned(), known);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the worker of one namespace.
pub fn start(context: &Arc<Context>, tasks: &mut Tasks) {
    workers::start(WORKERS, &context.queues.machines, context, tasks, |network, ctx| async move {
        probe(&network, &ctx).await
    });
}

/// Tries the machines of the network called `name`; which these are, the task in `cluster` reads.
async fn probe(name: &str, ctx: &Context) -> Option<Duration> {
    let cached = ctx.caches.networks.get(name)?;
    let network = cached.readable().filter(|network| network.metadata.deletion_timestamp.is_none())?;
    let every = network.spec.checklist.probe_every.as_std();
    let facts = ctx.cluster.of(network);
    if ctx.cluster.ssh.round(&facts.machines, every).await {
        ctx.queues.cluster.touch(&name.to_owned());
    }
    Some(jittered(LOOK.min(every)))
}

async fn trial(machine: &Machine) -> SshTrial {
    match machine.kubelet_port {
        Some(kubelet) => trial_of(&machine.addresses, SSH, kubelet).await,
        None => SshTrial::Inconclusive("the machine's Node object names no port of its kubelet".to_owned()),
    }
}

/// What the two ports at one address did.
struct Answers {
    address: IpAddr,
    /// Accepted, and whether it greeted; or why not.
    ssh: Result<bool, Connect>,
    kubelet: Connect,
}

async fn trial_of(addresses: &[IpAddr], ssh: u16, kubelet: u16) -> SshTrial {
    let answers = addresses.iter().map(|&address| async move {
        let ssh = match open(SocketAddr::new(address, ssh)).await {
            Ok(stream) => Ok(greets(stream).await),
            Err(other) => Err(other),
        };
        Answers { address, ssh, kubelet: connect(SocketAddr::new(address, kubelet)).await }
    });
    outcome(&join_all(answers).await, kubelet)
}

async fn greets(mut stream: TcpStream) -> bool {
    let mut first = [0; GREETS.len()];
    matches!(timeout(GREETING, stream.read_exact(&mut first)).await, Ok(Ok(_))) && first == *GREETS
}

/// What is open needs no control. A closed port counts at an address at which the kubelet answers.
fn outcome(answers: &[Answers], kubelet: u16) -> SshTrial {
    let open = answers.iter().find_map(|answer| Some((answer.address, *answer.ssh.as_ref().ok()?)));
    if let Some((address, greets)) = open {
        return SshTrial::Open { address, greets };
    }
    let mut reached = answers.iter().filter(|answer| answer.kubelet == Connect::Made).peekable();
    if reached.peek().is_none() {
        let why = answers.first().map_or_else(
            || "the machine's Node object names no internal address".to_owned(),
            |answer| not_reached(answer, kubelet),
        );
        return SshTrial::Inconclusive(why);
    }
    let not_sent = reached.find_map(|answer| match &answer.ssh {
        Err(Connect::NotSent(why)) => Some(format!("the connect to {} was not sent: {why}", answer.address)),
        _ => None,
    });
    not_sent.map_or(SshTrial::Closed, SshTrial::Inconclusive)
}

fn not_reached(answer: &Answers, kubelet: u16) -> String {
    let how = match &answer.kubelet {
        Connect::NotSent(why) => why,
        Connect::Made | Connect::Denied => "refused, or no answer",
    };
    format!("the kubelet at {} was not reached: {how}", SocketAddr::new(answer.address, kubelet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn answers(ssh: Result<bool, Connect>, kubelet: Connect) -> Answers {
        Answers { address: HERE, ssh, kubelet }
    }

    #[test]
    fn a_closed_port_counts_where_the_kubelet_answers_and_an_open_one_always() {
        let closed = || Err(Connect::Denied);
        let not_sent = || Err(Connect::NotSent("no descriptors".into()));
        let of = |all: &[Answers]| outcome(all, 10250);
        let (made, denied) = (|| Connect::Made, || Connect::Denied);
        assert_eq!(of(&[answers(closed(), made())]), SshTrial::Closed);
        assert_eq!(of(&[answers(closed(), denied()), answers(closed(), made())]), SshTrial::Closed);
        for (all, why) in [
            (vec![], "no internal address"),
            (vec![answers(closed(), denied())], "127.0.0.1:10250 was not reached: refused"),
            (vec![answers(not_sent(), made())], "was not sent: no descriptors"),
            (vec![answers(not_sent(), made()), answers(closed(), made())], "was not sent"),
        ] {
            let SshTrial::Inconclusive(said) = of(&all) else { panic!("{why}") };
            assert!(said.contains(why), "{said}");
        }
        let open = SshTrial::Open { address: HERE, greets: true };
        assert_eq!(of(&[answers(not_sent(), denied()), answers(Ok(true), denied())]), open);
    }

    async fn server(greeting: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(greeting).await.unwrap();
                held.push(stream);
            }
        });
        port
    }

    #[tokio::test]
    async fn servers_are_told_by_their_greeting() {
        // Bound, so that nobody else is given its port, and not listening.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind((HERE, 0).into()).unwrap();
        let refusing = silent.local_addr().unwrap().port();
        let (ssh, mute, kubelet) = (server(b"SSH-2.0-x\r\n").await, server(b"").await, server(b"").await);
        let of = |port, kubelet| async move { trial_of(&[HERE], port, kubelet).await };
        assert_eq!(of(ssh, kubelet).await, SshTrial::Open { address: HERE, greets: true });
        assert_eq!(of(mute, kubelet).await, SshTrial::Open { address: HERE, greets: false });
        assert_eq!(of(refusing, kubelet).await, SshTrial::Closed);
        assert!(!of(refusing, refusing).await.is_conclusive());
    }

    fn read(addresses: &[&str]) -> Reading<Machine> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let machine = Machine { addresses, kubelet_port: Some(10250), ..Machine::default() };
        Reading { last: Some((machine, Timestamp::now())), failure: None }
    }

    #[test]
    fn a_machine_is_tried_once_in_a_period_for_all_networks_and_few_at_a_time() {
        let (trials, begin, every) = (SshTrials::default(), Instant::now(), Duration::from_mins(15));
        let mut machines = BTreeMap::from([("m1".to_owned(), read(&["10.0.0.1"]))]);
        machines.insert("m2".to_owned(), Reading::default());
        let due = |machines: &BTreeMap<_, _>, after: u64| {
            let due = trials.due(machines, every, begin + Duration::from_secs(after));
            due.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(due(&machines, 0), ["m1"], "nobody has read m2");
        let m1 = machines["m1"].last.as_ref().unwrap().0.clone();
        let take_in = |trial| trials.take_in("m1", &m1, trial, begin);
        assert!(take_in(SshTrial::Closed) && !take_in(SshTrial::Closed));
        assert_eq!((due(&machines, 719).len(), due(&machines, 720).len()), (0, 1));
        assert!(take_in(SshTrial::Inconclusive("no answer".into())));
        assert_eq!((due(&machines, 47).len(), due(&machines, 48).len()), (0, 1));
        let open = SshTrial::Open { address: HERE, greets: true };
        assert!(take_in(open.clone()));
        assert!(!take_in(SshTrial::Inconclusive("no answer".into())), "it stands");
        assert_eq!(trials.of(&machines)["m1"].last.as_ref().map(|last| &last.0), Some(&open));
        machines.insert("m1".to_owned(), read(&["10.0.0.9"]));
        assert!(trials.of(&machines).is_empty(), "another machine");
        machines.extend((0..40).map(|n| (format!("n{n:02}"), read(&["10.0.1.1"]))));
        assert_eq!(due(&machines, 1).len(), MACHINES);
    }
}
