//! The index of the pages, and links between them.

use super::{folder, page, pages};

#[test]
fn every_page_is_in_the_index() {
    let index = page("README.md");
    for (name, _) in pages() {
        assert!(
            name == "README.md" || index.contains(&format!("]({name})")),
            "docs/README.md does not name {name}"
        );
    }
    let readme = std::fs::read_to_string(folder().join("../README.md")).unwrap();
    assert!(readme.contains("(docs/README.md)"), "nobody finds docs/README.md");
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut looked = 0;
    for (name, text) in pages() {
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.starts_with("http") {
                continue;
            }
            looked += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { folder().join(&name) } else { folder().join(file) };
            assert!(path.exists(), "docs/{name}: {target} is not there");
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&path).unwrap();
                let found = there
                    .lines()
                    .filter(|l| l.starts_with('#'))
                    .any(|l| anchor(l.trim_start_matches('#').trim()) == heading);
                assert!(found, "docs/{name}: no heading for {target}");
            }
        }
    }
    assert!(looked > 30, "only {looked} links");
    assert_eq!(anchor("The members' data differs"), "the-members-data-differs");
}
