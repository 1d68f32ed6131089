//! `kubectl tessera audit`: searches a namespace for credentials in clear text, with the person's own rights. It reads what the
//! operator must not: the releases that Helm keeps in Secrets.

mod helm;

use std::fmt::Write as _;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use serde::Serialize;
use serde_json::json;
use tessera_clear_text::{ObjectHit, ObjectScan, RULES, scan_object};

use crate::args::{Audit, Output};
use crate::cluster::Cluster;

/// So many objects are read at a time: a ConfigMap may be a mebibyte.
const PAGE: u32 = 50;
/// The most pages of one kind: a hundred thousand objects.
const MAX_PAGES: usize = 2000;

/// What the search found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    hits: Vec<Found>,
    /// What was not searched, and why.
    not_searched: Vec<String>,
    rules: usize,
    objects: usize,
}

/// A credential: where, and by which rule. Never the credential.
#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    object: String,
    #[serde(flatten)]
    hit: ObjectHit,
}

/// Searches the namespace that `args` name. An error, and so exit code 1, if anything was found or could not be searched.
pub(crate) async fn run(args: &Audit) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let mut report = Report { rules: RULES.len(), ..Report::default() };
    for kind in kinds() {
        search(&cluster, &kind, &mut report).await;
    }
    report.hits.sort();
    report.hits.dedup();
    match args.output {
        Some(Output::Json) => println!("{}", serde_json::to_string_pretty(&report)?),
        None => print!("{}", table(&report)),
    }
    let namespace = cluster.namespace();
    anyhow::ensure!(
        report.hits.is_empty(),
        "{} credentials in clear text in namespace {namespace}",
        report.hits.len()
    );
    anyhow::ensure!(report.not_searched.is_empty(), "namespace {namespace} was not searched whole");
    Ok(())
}

fn kinds() -> [ApiResource; 9] {
    [
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<DaemonSet>(&()),
        ApiResource::erase::<ReplicaSet>(&()),
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<Secret>(&()),
    ]
}

async fn search(cluster: &Cluster, resource: &ApiResource, report: &mut Report) {
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client(), cluster.namespace(), resource);
    let mut params = ListParams::default().limit(PAGE);
    if resource.kind == "Secret" {
        params = params.fields(&format!("type={}", helm::SECRET_TYPE));
    }
    for _ in 0..MAX_PAGES {
        let page = match api.list(&params).await {
            Ok(page) => page,
            Err(error) => return report.not_searched.push(format!("{}s: {error}", resource.kind)),
        };
        for object in page.items {
            report.add(&resource.kind, object);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return,
        }
    }
    report.not_searched.push(format!("{}s: there are too many", resource.kind));
}

impl Report {
    fn add(&mut self, kind: &str, object: DynamicObject) {
        self.objects += 1;
        let owner =
            object.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let name = object.metadata.name.as_deref().unwrap_or_default();
        // What another object makes is named once, by its maker.
        let shown =
            owner.map_or_else(|| format!("{kind}/{name}"), |it| format!("{}/{} ({kind}s)", it.kind, it.name));
        let mut value = object.data;
        value["kind"] = json!(kind);
        value["metadata"] = json!({"annotations": object.metadata.annotations});
        self.take(&shown, scan_object(&value));
        if kind == "Secret" {
            match helm::release(&value) {
                Ok(scan) => self.take(&shown, scan),
                Err(error) => self.not_searched.push(format!("{shown}: {error}")),
            }
        }
    }

    fn take(&mut self, object: &str, scan: ObjectScan) {
        if !scan.complete {
            self.not_searched.push(format!("{object}: a part of it"));
        }
        self.hits.extend(scan.hits.into_iter().map(|hit| Found { object: object.to_owned(), hit }));
    }
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    if !report.hits.is_empty() {
        let width = report.hits.iter().map(|it| it.object.len()).max().unwrap_or_default().max(8) + 2;
        let rules = report.hits.iter().map(|it| it.hit.rule.len()).max().unwrap_or_default().max(4) + 2;
        let _ = writeln!(text, "{:<width$}{:<rules$}PATH", "OBJECT", "RULE");
        for found in &report.hits {
            let _ = writeln!(text, "{:<width$}{:<rules$}{}", found.object, found.hit.rule, found.hit.path);
        }
        text.push('\n');
    }
    for what in &report.not_searched {
        let _ = writeln!(text, "not searched: {what}");
    }
    let _ = writeln!(
        text,
        "{} rules found {} credentials in {} objects",
        report.rules,
        report.hits.len(),
        report.objects
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: serde_json::Value) -> DynamicObject {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_credential_is_shown_by_object_rule_and_path() {
        let mut report = Report { rules: 1, ..Report::default() };
        report.add(
            "ConfigMap",
            object(json!({"metadata": {"name": "app"}, "data": {"DB_PASSWORD": "hunter2"}})),
        );
        let text = table(&report);
        assert!(text.contains("ConfigMap/app  named-value  data.DB_PASSWORD"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        let hit = json!({"object": "ConfigMap/app", "path": "data.DB_PASSWORD", "rule": "named-value"});
        assert_eq!(json["hits"], json!([hit]));
    }

    #[test]
    fn a_secret_that_is_no_release_was_not_searched() {
        let mut report = Report::default();
        report.add("Secret", object(json!({"metadata": {"name": "s"}, "data": {"release": "AAAA"}})));
        assert_eq!(report.not_searched.len(), 1);
    }
}
