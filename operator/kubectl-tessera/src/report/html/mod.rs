//! The report as one HTML page for an auditor: no script, nothing that is fetched, for the screen and for paper. Pure.
//!
//! `maud` escapes every text that is put in; only the style sheet goes in as it is.

mod lines;
mod people;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use tessera_crds::checklist::LineResult;

use super::model::{Authority, NetworkFacts, Report};
use super::text::visible;

/// What the page may do: show its own styles.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page.
pub(super) fn render(report: &Report) -> String {
    let name = format!("{}/{}", report.network.namespace, report.network.name);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Security checklist of " (name) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (head(report))
                main {
                    (overview(report))
                    (lines::details(report))
                    (lines::nodes(report))
                    (people::statements(report))
                    (legend())
                }
                footer {
                    "Made by " (report.made_by) " at " (report.made_at)
                    " from the status of the objects in the cluster. This page is not signed by itself: check the signature that came with the file."
                }
            }
        }
    };
    in_lines(page.into_string()) + "\n"
}

/// Before each of these the page has a new line, so that two reports can be compared. No text holds them: it is escaped.
const BLOCKS: [&str; 6] = ["<section>", "<article ", "<tr>", "<dt>", "<div class=\"node\">", "<footer>"];

fn in_lines(page: String) -> String {
    BLOCKS.iter().fold(page, |page, block| page.replace(block, &format!("\n{block}")))
}

fn head(report: &Report) -> Markup {
    let network = &report.network;
    html! {
        header {
            p.soft { "Security checklist" }
            h1 { "TesseraNetwork " (network.namespace) "/" (network.name) }
            p {
                b { (report.counts.verified) " of " (report.lines.len()) " lines were observed to hold" }
                "; " (report.summary) " count as satisfied, with those that are in place or stated by a person. Read at " (time(&report.made_at)) "."
            }
            @for notice in &report.notices { p.notice role="note" { (notice) } }
            (facts(network))
        }
    }
}

fn facts(network: &NetworkFacts) -> Markup {
    html! {
        dl.facts {
            dt { "Cluster" } dd { (network.cluster_name.as_deref().unwrap_or("not named")) }
            dt { "Trust domain" } dd { (network.trust_domain) }
            @if let Some(address) = &network.secret_store { dt { "Secret store" } dd { (visible(address)) } }
            dt { "In operation" } dd { "Ready " (network.ready.status) " (" (network.ready.reason) "), which is apart from the checklist" }
            dt { "Object" } dd { code { (network.uid) } ", " (generations(network)) }
            @for authority in &network.authorities { (authority_fact(authority)) }
        }
    }
}

fn generations(network: &NetworkFacts) -> String {
    let number =
        |generation: Option<i64>| generation.map_or_else(|| "none".to_owned(), |number| number.to_string());
    format!("generation {}, judged: {}", number(network.generation), number(network.observed_generation))
}

fn authority_fact(authority: &Authority) -> Markup {
    html! {
        dt { (format!("{:?}", authority.role)) " CA" }
        dd { code { "SHA-256 " (authority.fingerprint) } ", until " (time(&authority.not_after)) }
    }
}

fn overview(report: &Report) -> Markup {
    let counts = report.counts;
    let all = [
        (LineResult::Verified, counts.verified, "observed"),
        (LineResult::Enforced, counts.enforced, "in place, not observed"),
        (LineResult::Attested, counts.attested, "stated by a person"),
        (LineResult::Violated, counts.violated, "observed not to hold"),
        (LineResult::Unknown, counts.unknown, "not observed, or too long ago"),
    ];
    html! {
        section {
            h2 { "Summary" }
            ul.counts {
                @for (result, count, meaning) in all {
                    li class=(result.as_str()) {
                        b { (count) } (result.as_str())
                        br;
                        small.soft { (meaning) }
                        @if result == LineResult::Violated && counts.violated_with_exception > 0 {
                            br;
                            small.soft { (counts.violated_with_exception) " accepted by an exception" }
                        }
                    }
                }
            }
            (lines::overview(report))
        }
    }
}

fn legend() -> Markup {
    html! {
        section {
            h2 { "How to read this" }
            table {
                tbody {
                    (meaning(LineResult::Verified, "It was observed, by something that could have come out otherwise, and the evidence is fresh."))
                    (meaning(LineResult::Enforced, "The objects that bring it about are in place. Whether they do was not observed."))
                    (meaning(LineResult::Attested, "A person states it, for a time. Only of what a cluster cannot see."))
                    (meaning(LineResult::Violated, "It was observed not to hold. An exception says who accepts that and until when; the result stays."))
                    (meaning(LineResult::Unknown, "It could not be observed, or the evidence is older than it may be."))
                }
            }
        }
    }
}

fn meaning(result: LineResult, text: &str) -> Markup {
    html! { tr { th scope="row" { (badge(result)) } td { (text) } } }
}

fn badge(result: LineResult) -> Markup {
    html! { span class=(format!("badge {result}")) { (result.as_str()) } }
}

/// A time as people read it, in UTC; as it is if it cannot be read.
fn time(text: &str) -> Markup {
    html! {
        @if let Ok(time) = text.parse::<jiff::Timestamp>() {
            time datetime=(text) { (time.strftime("%Y-%m-%d %H:%M:%S UTC")) }
        } @else {
            (visible(text))
        }
    }
}
