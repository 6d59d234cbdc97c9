//! The units of systemd: read as systemd reads them, their command lines as etcdtop does.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{all_understood, files, flag, in_path, is_setting, name, read, said, seconds, understood};
use crate::support::cluster::program;

/// Name and value of each setting, in order, with its section.
struct Unit {
    name: String,
    settings: Vec<(String, String, String)>,
}

impl Unit {
    fn parse(name: &str, text: &str) -> Self {
        let (mut section, mut settings) = (String::new(), Vec::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut line = line.trim().to_owned();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            while let Some(first) = line.strip_suffix('\\') {
                line = format!("{first} {}", lines.next().unwrap().trim());
            }
            if let Some(heading) = line.strip_prefix('[') {
                heading.strip_suffix(']').unwrap().clone_into(&mut section);
            } else {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
                settings.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Self { name: name.to_owned(), settings }
    }

    fn all(&self, section: &str, key: &str) -> Vec<&str> {
        self.settings
            .iter()
            .filter(|(s, k, _)| s == section && k == key)
            .map(|(_, _, value)| value.as_str())
            .collect()
    }

    fn one(&self, section: &str, key: &str) -> &str {
        let values = self.all(section, key);
        assert_eq!(values.len(), 1, "{}: {key} of [{section}]: {values:?}", self.name);
        values[0]
    }

    /// `Environment=`, and over it what the file says.
    fn environment(&self, file: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for line in self.all("Service", "Environment") {
            for word in words(&specifiers(line)) {
                let (name, value) = word.split_once('=').unwrap();
                found.insert(name.to_owned(), value.to_owned());
            }
        }
        found.extend(file.clone());
        found
    }

    /// The arguments of each program that it starts.
    fn commands(&self, file: &BTreeMap<String, String>) -> Vec<Vec<String>> {
        let environment = self.environment(file);
        self.all("Service", "ExecStart")
            .iter()
            .map(|line| {
                let mut args: Vec<_> =
                    words(&specifiers(line)).iter().flat_map(|w| expanded(w, &environment)).collect();
                assert_eq!(args.remove(0), "/usr/bin/etcdtop", "{}", self.name);
                args
            })
            .collect()
    }
}

fn units(kind: &str) -> Vec<Unit> {
    files("assets/systemd")
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == kind))
        .map(|f| Unit::parse(name(f), &fs::read_to_string(f).unwrap()))
        .collect()
}

/// `%S` and `%%`: all that the units use.
fn specifiers(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '%' { chars.next() } else { None }) {
            ('%', Some('S')) => out.push_str("/var/lib"),
            ('%', Some('%')) => out.push('%'),
            ('%', other) => panic!("{text}: what is %{other:?}?"),
            _ => out.push(c),
        }
    }
    out
}

/// Words by systemd's rules: parted by white space, quotes keep them together and go, a backslash takes the next as it is.
fn words(text: &str) -> Vec<String> {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', _) => word.get_or_insert_default().push(chars.next().unwrap()),
            (c, None) if c.is_whitespace() => found.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "a quote is open: {text}");
    found.extend(word);
    found
}

/// `$NAME` as a word becomes words, `${NAME}` stays in one, `$$` is a dollar.
fn expanded(word: &str, environment: &BTreeMap<String, String>) -> Vec<String> {
    let value = |name: &str| environment.get(name).unwrap_or_else(|| panic!("{word}: {name} is not set"));
    if let Some(name) = word.strip_prefix('$').filter(|name| !name.starts_with(['{', '$'])) {
        return words(value(name));
    }
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = if let Some(braced) = after.strip_prefix('{') {
            let (name, after) = braced.split_once('}').unwrap();
            out.push_str(value(name));
            after
        } else {
            out.push('$');
            after.strip_prefix('$').unwrap_or_else(|| panic!("{word}: a lone $"))
        };
    }
    vec![out + rest]
}

/// The settings that the template offers, as if each had been taken.
fn template() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in read("assets/systemd/environment").lines() {
        let Some(line) = line.strip_prefix("#: ") else {
            assert!(line.is_empty() || line.starts_with("# "), "in force, though it is a template: {line}");
            continue;
        };
        let (name, value) = line.split_once('=').unwrap();
        let [value] = words(value).try_into().unwrap_or_else(|w| panic!("{line}: {w:?}"));
        found.insert(name.to_owned(), value);
    }
    assert!(found.len() > 8, "{found:?}");
    found
}

#[test]
fn etcdtop_understands_every_line() {
    let mut lines = Vec::new();
    for unit in units("service") {
        for (with, file) in [("", BTreeMap::new()), (" with the template", template())] {
            lines.extend(unit.commands(&file).into_iter().map(|args| (format!("{}{with}", unit.name), args)));
        }
    }
    assert!(lines.len() >= 8, "{lines:?}");
    all_understood(&lines);
}

/// What is quoted is one word, what is a list of flags is many.
#[test]
fn words_are_what_systemd_makes_of_them() {
    let defrag = units("service").into_iter().find(|u| u.name == "etcdtop-defrag.service").unwrap();
    let args = &defrag.commands(&BTreeMap::new())[0];
    assert_eq!(
        flag(args, "--rule"),
        Some("(dbQuotaUsage > 0.8 && dbSizeFree > 32*1024*1024) || dbSizeFree > 200*1024*1024")
    );
    assert_eq!(flag(args, "--metrics-file"), Some("/var/lib/etcdtop/defrag.prom"));
    assert_eq!(words(r#"a "b c"  'd "e"' \"f"#), ["a", "b c", "d \"e\"", "\"f"]);
    let file = [("X".to_owned(), "--a 1 --b 2".to_owned())].into();
    assert_eq!(expanded("$X", &file), ["--a", "1", "--b", "2"]);
    assert_eq!(expanded("-${X}$$", &file), ["---a 1 --b 2$"]);
    assert!(understood(&words("snapshot prune --keep-last=1 --keep-forever 2")).is_err());
}

/// A template that names what nobody reads would be believed.
#[test]
fn the_template_offers_what_is_read() {
    let used: String =
        units("service").iter().flat_map(|u| u.settings.iter().map(|s| s.2.clone() + "\n")).collect();
    for variable in template().keys() {
        let in_a_unit = used.contains(&format!("${{{variable}}}")) || used.contains(&format!("${variable}"));
        assert!(is_setting(variable) || in_a_unit, "nobody reads {variable}");
    }
}

#[test]
fn a_step_is_brought_to_its_end() {
    for unit in units("service") {
        let commands = unit.commands(&BTreeMap::new());
        let Some(timeout) = commands.iter().filter_map(|args| flag(args, "--timeout")).map(seconds).max()
        else {
            assert_eq!(unit.name, "etcdtop-diagnose.service", "{} needs --timeout", unit.name);
            continue;
        };
        assert!(seconds(unit.one("Service", "TimeoutStopSec")) > timeout, "{}", unit.name);
        assert_eq!(unit.one("Service", "TimeoutStartSec"), "infinity", "{}", unit.name);
        assert_eq!(unit.one("Service", "KillSignal"), "SIGTERM", "{}", unit.name);
        // To etcdtop alone: what it started is its own affair.
        assert_eq!(unit.one("Service", "KillMode"), "mixed", "{}", unit.name);
        // Ended as asked is no failure; refused (3) and unknown (5) are.
        assert_eq!(unit.one("Service", "SuccessExitStatus"), "143", "{}", unit.name);
    }
}

#[test]
fn services_are_hardened_and_find_their_files() {
    for unit in units("service") {
        for (key, value) in [
            ("Type", "oneshot"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("PrivateDevices", "yes"),
            ("NoNewPrivileges", "yes"),
            ("MemoryDenyWriteExecute", "yes"),
            ("RestrictNamespaces", "yes"),
            ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_NETLINK"),
            ("SystemCallArchitectures", "native"),
            // Reading keys, and nothing that changes anything.
            ("CapabilityBoundingSet", "CAP_DAC_READ_SEARCH"),
            ("StateDirectory", "etcdtop"),
            ("EnvironmentFile", "-/etc/etcdtop/environment"),
        ] {
            assert_eq!(unit.one("Service", key), value, "{}: {key}", unit.name);
        }
        let calls = unit.all("Service", "SystemCallFilter");
        assert_eq!(calls, ["@system-service", "~@privileged @resources"], "{}", unit.name);
        let environment = unit.environment(&BTreeMap::new());
        assert_eq!(environment["XDG_CONFIG_HOME"], "/etc", "{}", unit.name);
        for place in ["XDG_STATE_HOME", "XDG_DATA_HOME"] {
            assert_eq!(environment[place], "/var/lib", "{}: {place}", unit.name);
        }
    }
}

#[test]
fn every_service_has_its_timer() {
    let (services, timers) = (units("service"), units("timer"));
    let stems =
        |of: &[Unit], kind| of.iter().map(|u| u.name.trim_end_matches(kind).to_owned()).collect::<Vec<_>>();
    assert_eq!(stems(&services, ".service"), stems(&timers, ".timer"));
    for timer in timers {
        assert_eq!(timer.one("Install", "WantedBy"), "timers.target", "{}", timer.name);
        // What stalls members is not made up for in the day.
        let made_up_for = if timer.name.starts_with("etcdtop-defrag") { "no" } else { "yes" };
        assert_eq!(timer.one("Timer", "Persistent"), made_up_for, "{}", timer.name);
        assert!(seconds(timer.one("Timer", "RandomizedDelaySec")) >= 60, "{}", timer.name);
        assert!(!timer.one("Timer", "OnCalendar").is_empty());
    }
}

/// The units in a folder of their own, with this build's program, so that systemd finds what they start.
fn laid_out(change: impl Fn(&str) -> String) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for file in files("assets/systemd").iter().filter(|f| f.extension().is_some()) {
        let text = fs::read_to_string(file).unwrap();
        let text = text.replace("=/usr/bin/etcdtop ", &format!("={} ", program().display()));
        let target = folder.path().join(name(file));
        fs::write(&target, change(&text)).unwrap();
        units.push(target);
    }
    (folder, units)
}

/// systemd itself, on machines that have it; what it looks at is looked at above, everywhere.
#[test]
fn systemd_has_nothing_against_them() {
    let Some(analyze) = in_path("systemd-analyze") else {
        eprintln!("no systemd-analyze on this machine: the units were read by this test alone");
        return;
    };
    let verify = |units: &[PathBuf]| {
        let output = Command::new(&analyze).args(["verify", "--man=no"]).args(units).output().unwrap();
        (output.status.success(), said(&output))
    };
    let (_folder, laid) = laid_out(str::to_owned);
    assert_eq!(verify(&laid), (true, String::new()));
    let (_folder, broken) = laid_out(|text| text.replace("ProtectSystem=strict", "ProtectSystem=rather"));
    assert!(!verify(&broken).1.is_empty(), "this check cannot fail");
    for unit in laid.iter().filter(|u| u.extension().is_some_and(|e| e == "service")) {
        // 2.2 of 10 with systemd 252; what is left is in the comments.
        let output = Command::new(&analyze)
            .args(["security", "--offline=true", "--threshold=25", "--no-pager"])
            .arg(unit)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", unit.display(), said(&output));
    }
    for timer in units("timer") {
        let output =
            Command::new(&analyze).arg("calendar").arg(timer.one("Timer", "OnCalendar")).output().unwrap();
        assert!(output.status.success(), "{}: {}", timer.name, said(&output));
    }
}
