//! `checklist.mode: Enforce`: which line holds a change, and that nothing else does.

use tessera_crds::checklist::{ChecklistStatus, HeldChange, LineStatus, Mode};

use super::statements::attestation;
use super::*;
use crate::checklist::enforce::{Gate, Gates, HoldingLine, Known, Widened, gate, held_change};

fn line(id: Line, result: LineResult, reason: &str, valid_until: Option<&str>) -> LineStatus {
    LineStatus {
        id,
        result,
        reason: reason.into(),
        observer: None,
        observed: "o".into(),
        remedy: Some("do this".into()),
        parts: Vec::new(),
        exception: None,
        last_transition_time: now().to_string().into(),
        valid_until: valid_until.map(Into::into),
    }
}

fn checklist(lines: Vec<LineStatus>) -> ChecklistStatus {
    ChecklistStatus { summary: String::new(), lines }
}

fn violated(id: Line, reason: &str) -> LineStatus {
    line(id, LineResult::Violated, reason, None)
}

/// What becomes of a change, in a word or by the id of the line that holds it.
fn said(gate: &Gate) -> String {
    match gate {
        Gate::Free => "free".into(),
        Gate::NotJudged => "not judged".into(),
        Gate::Held(line) => format!("{} +{}", line.id, line.others),
    }
}

struct World {
    mode: Mode,
    network: Option<ChecklistStatus>,
    node: Option<ChecklistStatus>,
    another_serves: bool,
    statements: Statements,
}

impl World {
    fn of(network: Vec<LineStatus>, node: Vec<LineStatus>) -> Self {
        Self {
            mode: Mode::Enforce,
            network: Some(checklist(network)),
            node: Some(checklist(node)),
            another_serves: true,
            statements: Statements::default(),
        }
    }

    fn known(&self) -> Known<'_> {
        Known {
            mode: self.mode,
            network: self.network.as_ref(),
            node: self.node.as_ref(),
            another_serves: self.another_serves,
            statements: &self.statements,
        }
    }

    fn gate(&self, what: Widened) -> String {
        said(&gate(what, &self.known(), now()))
    }
}

#[test]
fn a_line_that_is_violated_holds_and_is_named_with_its_remedy() {
    let mut world = World::of(
        vec![violated(Line::HardwareKeys, "SoftwareSeal"), violated(Line::OfflineKeyBackup, "NoRecipients")],
        vec![],
    );
    assert_eq!(world.gate(Widened::Network), "HardwareKeys +1");
    assert_eq!(world.gate(Widened::Node), "HardwareKeys +1", "the network's store is the node's");
    let Gate::Held(line) = gate(Widened::Network, &world.known(), now()) else { panic!("it is held") };
    let text = line.to_string();
    let unseen = HoldingLine { result: LineResult::Unknown, reason: "StoreSilent".into(), ..line.clone() };
    assert!(unseen.to_string().starts_with(
        "HardwareKeys was Violated, and nobody has seen it repaired: it is Unknown (StoreSilent)"
    ));
    assert!(
        text.starts_with(
            "HardwareKeys is Violated (SoftwareSeal), and so is 1 line more; what to do: do this"
        )
    );
    assert!(text.ends_with("a TesseraAttestation with line HardwareKeys and type Exception"), "{text}");
    world.mode = Mode::Audit;
    assert_eq!(world.gate(Widened::Network), "free");
}

#[test]
fn an_exception_releases_until_it_expires() {
    let at = |expires| {
        let all = [attestation("HardwareKeys", "Exception", "2026-12-01T00:00:00Z", expires)];
        let mut world = World::of(vec![violated(Line::HardwareKeys, "SoftwareSeal")], vec![]);
        world.statements = Statements::that_count(&all, now());
        world.gate(Widened::Network)
    };
    assert_eq!(at("2027-06-01T00:00:00Z"), "free");
    assert_eq!(at("2026-12-31T00:00:00Z"), "HardwareKeys +0");
}

/// The status may still show an exception that has expired or was taken back; what counts is what people state now.
#[test]
fn the_exception_of_an_old_status_releases_nothing() {
    let mut old = violated(Line::HardwareKeys, "SoftwareSeal");
    old.exception = Some(tessera_crds::checklist::LineException {
        name: "gone".into(),
        by: "alice@bank".into(),
        expires: "2027-06-01T00:00:00Z".into(),
    });
    assert_eq!(World::of(vec![old], vec![]).gate(Widened::Network), "HardwareKeys +0");
}

#[test]
fn evidence_that_is_too_old_holds_nothing() {
    let old = line(Line::HardwareKeys, LineResult::Violated, "SoftwareSeal", Some("2026-12-31T23:00:00Z"));
    assert_eq!(World::of(vec![old], vec![]).gate(Widened::Network), "free");
}

#[test]
fn without_another_node_that_serves_only_the_network_itself_counts() {
    let mut world = World::of(vec![violated(Line::NoCoreDumps, "Dumpable")], vec![]);
    assert_eq!(world.gate(Widened::Network), "NoCoreDumps +0");
    world.another_serves = false;
    assert_eq!(world.gate(Widened::Network), "free", "it speaks of nodes, and none serves");
    for (id, reason) in [
        (Line::CentralLogging, "NoCollector"),
        (Line::MutualTls, "NoClientCertificate"),
        (Line::HardwareKeys, "SoftwareSeal"),
    ] {
        let mut world = World::of(vec![violated(id, reason)], vec![]);
        world.another_serves = false;
        assert_eq!(world.gate(Widened::Network), format!("{id} +0"));
    }
}

#[test]
fn what_another_node_shows_holds_no_change_of_this_one() {
    let of_another = vec![violated(Line::NoCoreDumps, "Dumpable")];
    assert_eq!(World::of(of_another, vec![]).gate(Widened::Node), "free");
    let own = World::of(vec![], vec![violated(Line::NoCoreDumps, "Dumpable")]);
    assert_eq!(own.gate(Widened::Node), "NoCoreDumps +0");
    let both = vec![violated(Line::CentralLogging, "NoCollector")];
    assert_eq!(World::of(both.clone(), both).gate(Widened::Node), "CentralLogging +0", "it counts once");
}

#[test]
fn nothing_goes_through_before_the_network_is_judged_and_unknown_holds_nothing_after_it() {
    let mut world = World::of(vec![], vec![]);
    world.network = None;
    assert_eq!(world.gate(Widened::Network), "not judged");
    assert_eq!(world.gate(Widened::Node), "not judged");
    let unknown = |reason| vec![line(Line::HardwareKeys, LineResult::Unknown, reason, None)];
    let world = World::of(unknown("NotAskedYet"), vec![]);
    assert_eq!(world.gate(Widened::Network), "not judged");
    let mut world = World::of(unknown("StoreSilent"), vec![]);
    assert_eq!(world.gate(Widened::Network), "free");
    world.node = None;
    assert_eq!(world.gate(Widened::Node), "not judged");
}

/// What becomes of a change that `id` held, and of a new one.
fn of_held(world: &World, id: Line, what: Widened) -> (String, String) {
    let held = [HeldChange { field: "f".into(), line: id, since: now().to_string().into() }];
    let gates = Gates::new(what, &world.known(), &held, now());
    assert_eq!(gates.are_free(), gates.of("f").is_free() && gates.of("g").is_free());
    (said(gates.of("f")), said(gates.of("g")))
}

#[test]
fn a_look_that_failed_releases_nothing_that_was_held() {
    let with = |result, reason: &str| World::of(vec![line(Line::HardwareKeys, result, reason, None)], vec![]);
    let of = |world: &World| of_held(world, Line::HardwareKeys, Widened::Network);
    let held = ("HardwareKeys +0".to_owned(), "free".to_owned());
    assert_eq!(of(&with(LineResult::Unknown, "StoreSilent")), held);
    // Evidence that has expired is no evidence of a repair.
    let old = line(Line::HardwareKeys, LineResult::Violated, "SoftwareSeal", Some("2026-12-31T23:00:00Z"));
    assert_eq!(of(&World::of(vec![old], vec![])), held);
    let free = ("free".to_owned(), "free".to_owned());
    for result in [LineResult::Verified, LineResult::Enforced, LineResult::Attested] {
        assert_eq!(of(&with(result, "Observed")), free);
    }
    assert_eq!(of(&with(LineResult::Unknown, "NotAttested")), free, "what was broken is repaired");
    let mut world = with(LineResult::Unknown, "StoreSilent");
    world.mode = Mode::Audit;
    assert_eq!(of(&world), free);
    world.mode = Mode::Enforce;
    let all = [attestation("HardwareKeys", "Exception", "2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z")];
    world.statements = Statements::that_count(&all, now());
    assert_eq!(of(&world), free, "somebody accepts it");
}

#[test]
fn nodes_that_restart_release_nothing_that_was_held() {
    let violated = || vec![violated(Line::NoCoreDumps, "Dumpable")];
    let mut world = World::of(violated(), violated());
    world.another_serves = false;
    let held = ("NoCoreDumps +0".to_owned(), "free".to_owned());
    assert_eq!(of_held(&world, Line::NoCoreDumps, Widened::Network), held);
    let silent = || vec![line(Line::NoCoreDumps, LineResult::Unknown, "NodeSilent", None)];
    let world = World::of(silent(), silent());
    assert_eq!(of_held(&world, Line::NoCoreDumps, Widened::Node), held);
    // What another node shows is none of this one's.
    let repaired = vec![line(Line::NoCoreDumps, LineResult::Unknown, "NotAttested", None)];
    assert_eq!(of_held(&World::of(silent(), repaired), Line::NoCoreDumps, Widened::Node).0, "free");
}

/// A line that has no reason of its own for the network would never hold its first node.
#[test]
fn each_violation_of_a_network_without_nodes_is_its_own() {
    use crate::checklist::facts::StoreFacts;
    use crate::checklist::store_facts::AuditorAnswer;
    let network = crate::fixtures::network(crate::fixtures::network_json());
    let facts = NetworkFacts {
        vault: network.spec.secret_store.vault.as_ref(),
        store: StoreAnswer::Shows(StoreFacts {
            seal_type: "shamir".into(),
            auditor: AuditorAnswer::NotProvisioned,
        }),
        ..network_facts()
    };
    let found = NETWORK_LINES.iter().map(|line| (line.id, (line.judge)(&facts, now())));
    let violated: Vec<_> = found.filter(|(_, finding)| finding.result == LineResult::Violated).collect();
    assert!(violated.len() > 2, "{violated:?}");
    for (id, finding) in violated {
        let mut world = World::of(vec![line(id, LineResult::Violated, &finding.reason, None)], vec![]);
        world.another_serves = false;
        assert_eq!(world.gate(Widened::Network), format!("{id} +0"), "{finding:?}");
    }
}

fn any_line() -> impl Strategy<Value = LineStatus> {
    let (id, result) = (proptest::sample::select(Line::ALL), proptest::sample::select(LineResult::ALL));
    let ends = [None, Some("2026-12-31T23:00:00Z"), Some("2027-01-01T01:00:00Z")];
    let reasons = vec!["NotAskedYet", "NoCollector", "NoClientCertificate", "Other"];
    (id, result, proptest::sample::select(reasons), proptest::sample::select(ends.to_vec()))
        .prop_map(|(id, result, reason, end)| line(id, result, reason, end))
}

proptest! {
    /// A change is held only by a line that is Violated now, that speaks of what the change widens, and that nobody accepts.
    #[test]
    fn only_a_violation_without_an_exception_holds(
        of_network in prop::collection::vec(any_line(), 0..14),
        of_node in prop::collection::vec(any_line(), 0..7),
        accepted in proptest::sample::select(Line::ALL),
        another_serves in any::<bool>(),
        audit in any::<bool>(),
    ) {
        let mut world = World::of(of_network, of_node);
        let all = [attestation(accepted.as_str(), "Exception", "2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z")];
        world.statements = Statements::that_count(&all, now());
        world.another_serves = another_serves;
        if audit {
            world.mode = Mode::Audit;
        }
        for what in [Widened::Network, Widened::Node] {
            let gate = gate(what, &world.known(), now());
            prop_assert!(!audit || gate.is_free());
            if let Gate::Held(held) = gate {
                let all = [&world.network, &world.node];
                let mut lines = all.into_iter().flatten().flat_map(|checklist| &checklist.lines);
                let is_violated = lines.any(|line| line.id == held.id && line.result_at(now()) == LineResult::Violated);
                prop_assert!(is_violated && held.id != accepted);
            }
        }
    }
}

/// Another store is named while a change is held: until that store was asked, the change is neither released nor held by a line.
#[test]
fn a_held_change_stays_held_while_nobody_has_judged() {
    let known = HeldChange {
        field: "spec.monitoring[x]".into(),
        line: Line::HardwareKeys,
        since: now().to_string().into(),
    };
    let after = |gate: &Gate, before: &[HeldChange]| held_change(known.field.clone(), gate, before, now());
    assert_eq!(after(&Gate::NotJudged, std::slice::from_ref(&known)), Some(known.clone()));
    assert_eq!(after(&Gate::NotJudged, &[]), None, "nothing is said of a change that nobody has judged");
    assert_eq!(after(&Gate::Free, std::slice::from_ref(&known)), None);
}
