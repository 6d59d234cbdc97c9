//! What comes with the program.

use std::process::Command;

use crate::support::cluster::program;

/// What comes with the program is what is said of it: out of space, the wrong move, the way out; and no placeholder.
#[test]
fn the_incident_that_comes_with_etcdtop_is_one() {
    let output = Command::new(program()).args(["replay", "--summary", "-o", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines: Vec<_> =
        told["events"].as_array().unwrap().iter().map(|e| e["line"].as_str().unwrap()).collect();
    let at = |words: &str| {
        lines.iter().position(|l| l.contains(words)).unwrap_or_else(|| panic!("no {words:?} in {lines:#?}"))
    };
    let story = [
        at("READ-ONLY (NOSPACE)"),
        at("lab: you: take the alarm back by hand"),
        at("the next put raised it again"),
        at("disarmed"),
        at("lab: solved"),
    ];
    assert!(story.is_sorted(), "{story:?}");
    assert_eq!(told["operations"][0]["result"], "done", "{}", told["operations"]);
    assert!(told["lab"] == true && told["anonymised"] == true);
}
