//! A node of several processes behind one address.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::support::balancer::Balancer;
use crate::support::process::{Process, binary};
use crate::support::{PATIENCE, Port, Spec, eventually};

/// A node of three processes.
pub(crate) struct Replicas {
    pub(crate) specs: Vec<Spec>,
    processes: Vec<Process>,
    pub(crate) p2p: Balancer,
    q2t: Balancer,
}

impl Replicas {
    /// Starts replicas of `node`, whose addresses become those of balancers.
    pub(crate) async fn start(node: &Spec) -> Self {
        Self::start_with(node, |_, _| {}).await
    }

    /// `change` sees the configuration of each.
    pub(crate) async fn start_with(node: &Spec, change: impl Fn(&mut Spec, u8)) -> Self {
        let specs: Vec<_> = (0..3).map(|number| replica(node, number, &change)).collect();
        let backends = |port: fn(&Spec) -> SocketAddr| specs.iter().map(port).collect::<Vec<_>>();
        let p2p = Balancer::bind(node.at(node.p2p), &backends(|spec| spec.at(spec.p2p))).await;
        let q2t = Balancer::bind(node.at(node.q2t), &backends(|spec| spec.at(spec.q2t))).await;
        let processes = specs.iter().map(start).collect();
        let replicas = Self { specs, processes, p2p, q2t };
        for spec in &replicas.specs {
            is_ready(spec).await;
        }
        replicas
    }

    /// Ends one as a cluster does, and starts it again. The balancers learn late that it goes.
    pub(crate) async fn roll(&mut self, number: usize) {
        self.processes[number].signal(rustix::process::Signal::TERM);
        let ending = &self.specs[number];
        eventually("it says that it goes", async || {
            let status = of_node(ending).operator_client().try_get("/v1/status").await?.json();
            (status["ready"] == json!(false)).then_some(())
        })
        .await;
        for balancer in [&self.p2p, &self.q2t] {
            balancer.use_backend(number, false);
        }
        let process = &mut self.processes[number];
        let status = tokio::task::block_in_place(|| process.wait(PATIENCE)).expect("it ends");
        assert!(status.success(), "{status}");
        self.restart(number).await;
    }

    /// Ends one at once, as the loss of a machine does.
    pub(crate) async fn kill(&mut self, number: usize) {
        tokio::task::block_in_place(|| self.processes[number].kill());
        self.restart(number).await;
    }

    async fn restart(&mut self, number: usize) {
        self.processes[number] = start(&self.specs[number]);
        is_ready(&self.specs[number]).await;
        for balancer in [&self.p2p, &self.q2t] {
            balancer.use_backend(number, true);
        }
    }
}

/// A process with ports of its own; all else is the node's.
fn replica(node: &Spec, number: u8, change: impl Fn(&mut Spec, u8)) -> Spec {
    let ports: [Port; 4] = std::array::from_fn(|_| Port::reserve(node.host));
    let [q2t, p2p, admin, metrics] = ports.each_ref().map(Port::number);
    let mut spec = Spec { q2t, p2p, admin, metrics, ports: Arc::new(ports), ..node.clone() };
    for (index, port) in [p2p, q2t].into_iter().enumerate() {
        spec.config["serverConfigs"][index]["bindingAddress"] =
            json!(format!("https://{}:{port}", node.host));
    }
    let own = &mut spec.config["tesseraNode"];
    own["admin"]["bind"] = json!(format!("{}:{admin}", node.host));
    own["metrics"]["bind"] = json!(format!("{}:{metrics}", node.host));
    own["probeSocket"] = json!(node.dir.join(format!("probe-{number}.sock")));
    change(&mut spec, number);
    std::fs::write(config_file(node, number), spec.config.to_string()).unwrap();
    spec.name = format!("{}-{number}", node.name);
    spec
}

fn config_file(node: &Spec, number: u8) -> PathBuf {
    node.dir.join(format!("{}-{number}.json", node.name))
}

fn start(replica: &Spec) -> Process {
    let mut command = binary();
    command.arg("run").arg("--configfile").arg(replica.dir.join(format!("{}.json", replica.name)));
    Process::spawn(command)
}

/// For asking a replica directly: its certificate has the node's name.
pub(crate) fn of_node(replica: &Spec) -> Spec {
    let name = replica.name.split('-').next().unwrap().to_owned();
    Spec { name, ..replica.clone() }
}

async fn is_ready(replica: &Spec) {
    crate::is_ready(&of_node(replica)).await;
}
