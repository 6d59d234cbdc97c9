//! The documents that are made from the tables: what `e` explains is what they say.

use super::FAMILIES;
use crate::model::glossary::GLOSSARY;

/// `docs/findings.md`: every rule.
#[must_use]
pub fn findings() -> String {
    let mut out = String::from(
        "# Findings\n\n\
         Made from the table of rules in `src/diagnose` (`UPDATE_DOCS=1 cargo test --test it house` makes it anew). Each finding\n\
         is on the dashboard (`e` explains it), in `etcdtop diagnose` and in its JSON, under its name.\n\n\
         Severity: **note** is worth knowing, the cluster is healthy with it; **warning** will become a problem; **critical** is\n\
         one. *Mixin* is the public etcd monitoring mixin (`contrib/mixin` of etcd): colours agree with pagers. Where it waits for\n\
         minutes before it pages, etcdtop says it at once; what follows a figure that may flap is shown when it lasted for 10 s and\n\
         goes when it stayed away for 60 s, a note for 5 min (marked *settles slowly*); what a single moment says nothing of is shown when\n\
         it lasted for 10 s and goes at once (*when it lasts*). Latencies of which neither a minute nor a hundred\n\
         observations are known yet are never more than a note.\n",
    );
    for family in FAMILIES {
        out.push_str(&format!("\n## {}\n", family.title));
        for rule in family.rules {
            let slowly = match rule.settles {
                super::Settles::AtOnce => "",
                super::Settles::WhenItLasts => " (when it lasts)",
                super::Settles::Slowly => " (settles slowly)",
            };
            out.push_str(&format!(
                "\n### `{}`{slowly}\n\n{}\n\n- when: {}\n",
                rule.name, rule.meaning, rule.when
            ));
            if !rule.source.is_empty() {
                out.push_str(&format!("- threshold: {}\n", rule.source));
            }
            out.push_str(&format!("- from: {}\n", rule.from));
        }
    }
    out
}

/// `docs/figures.md`: every figure of the screens.
#[must_use]
pub fn figures() -> String {
    let mut out = String::from(
        "# Figures\n\n\
         Made from the glossary in `src/model/glossary.rs` (`UPDATE_DOCS=1 cargo test --test it house` makes it anew). `e` shows\n\
         the same on the dashboard.\n",
    );
    for entry in GLOSSARY {
        out.push_str(&format!("\n## {}\n\n{}\n\n- from: {}\n", entry.term, entry.meaning, entry.source));
        if !entry.threshold.is_empty() {
            out.push_str(&format!("- threshold: {}\n", entry.threshold));
        }
        out.push_str(&format!("- the same elsewhere: `{}`\n", entry.etcdctl));
    }
    out
}
