//! The wiring as YAML to paste, with the remarks as comments before it. [pure]

use std::fmt::Write as _;

use crate::connect::wiring::Wiring;

/// One YAML document: `spec` of the ledger's pod or of its template.
pub(super) fn render(wiring: &Wiring) -> anyhow::Result<String> {
    let mut text = format!(
        "# The client {} of TesseraNode {} (namespace {}): add this to the pod of its ledger, whose container is called ledger here.\n",
        wiring.client, wiring.node, wiring.namespace
    );
    for remark in &wiring.remarks {
        // Writing to a String does not fail.
        let _ = writeln!(text, "# - {remark}.");
    }
    text += &serde_yaml::to_string(&serde_json::json!({"spec": wiring.pod_spec}))?;
    Ok(text)
}
