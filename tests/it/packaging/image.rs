//! The Dockerfile, as far as it can be checked without an engine: what the manifests expect of the image.

use std::process::Command;

use super::{read, root, said};

/// The Dockerfile's instructions, continued lines put together.
fn instructions() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in read("Dockerfile").lines().filter(|l| !l.trim_start().starts_with('#')) {
        let (text, goes_on) = line.strip_suffix('\\').map_or((line, false), |text| (text, true));
        if open {
            found.last_mut().unwrap().1 += text;
        } else if let Some((word, rest)) = text.split_once(' ') {
            found.push((word.to_owned(), rest.to_owned()));
        }
        open = goes_on;
    }
    found
}

/// The one instruction of the last stage.
fn last_stage(word: &str) -> String {
    let all = instructions();
    let stage = all.iter().rposition(|(w, _)| w == "FROM").unwrap();
    let mut of_it = all[stage..].iter().filter(|(w, _)| w == word);
    let (_, text) = of_it.next().unwrap_or_else(|| panic!("no {word} in the last stage"));
    assert!(of_it.next().is_none(), "{word} stands twice");
    text.trim().to_owned()
}

#[test]
fn the_image_is_what_the_manifests_expect() {
    let entrypoint: Vec<String> = serde_json::from_str(&last_stage("ENTRYPOINT")).unwrap();
    assert_eq!(entrypoint, ["/usr/bin/etcdtop"], "the manifests give arguments alone");
    // There is no shell, no loader and no library in it: the program is put where the entry point is, and is static.
    assert_eq!(last_stage("FROM"), "scratch");
    assert_eq!(last_stage("COPY"), "--from=build /image/ /");
    let build: String = instructions().iter().filter(|(w, _)| w == "RUN").map(|(_, t)| t.as_str()).collect();
    for part in [
        &format!("/image{}", entrypoint[0]),
        "+crt-static",
        "statically linked",
        "--locked",
        "/image/etc/ssl/certs/ca-certificates.crt",
    ] {
        assert!(build.contains(part), "{part} is missing in: {build}");
    }
    // The user of the manifests that do without root, by number, and the folder that it writes to.
    assert_eq!(last_stage("USER"), "65532:65532");
    assert!(build.contains("-o 65532 -g 65532 /image/var/lib/etcdtop"), "{build}");
    assert!(read("assets/kubernetes/secret/unprivileged.yaml").contains("runAsUser: 65532"));
    let env = last_stage("ENV");
    for place in ["XDG_STATE_HOME=/var/lib", "XDG_DATA_HOME=/var/lib", "XDG_CONFIG_HOME=/etc"] {
        assert!(env.contains(place), "{place} is missing in: {env}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(last_stage("LABEL").contains(&format!("image.version=\"{version}\"")));
    for base in ["defrag", "snapshot", "diagnose"] {
        assert!(
            read(format!("assets/kubernetes/base/{base}.yaml"))
                .contains(&format!("image: etcdtop:{version}\n"))
        );
    }
}

/// No shell finds a mistake in what it would run.
#[test]
fn its_commands_can_be_read() {
    let mut looked = 0;
    for (_, text) in instructions().iter().filter(|(word, _)| word == "RUN") {
        let output = Command::new("sh").args(["-n", "-c", text]).output().unwrap();
        assert!(output.status.success(), "{text}: {}", said(&output));
        looked += 1;
    }
    assert!(looked >= 3, "{looked}");
}

/// What is kept from the build is not among what it reads.
#[test]
fn the_build_gets_its_sources() {
    let ignored = read(".dockerignore");
    for needed in
        ["src", "assets", "benches", "tests", "examples", "docs", "Cargo.toml", "Cargo.lock", "README.md"]
    {
        assert!(root().join(needed).exists() && !ignored.lines().any(|l| l == needed), "{needed}");
    }
    assert!(ignored.lines().any(|l| l == "target"), "a build of the host would go into the image's context");
}
