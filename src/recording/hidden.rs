//! Names, hosts, addresses and ids that must not be readable any more, and what stands for them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::entry::{Entry, Meta};
use super::frame::kind;
use crate::model::{ClusterView, Conflict, MemberId};

/// How names are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// For people: `id-1`, `(address)`.
    Words,
    /// So that what was an id or a host still is one: a recording must be readable.
    Valid,
}

/// What must not be readable any more, and what stands for it.
#[derive(Clone, Debug)]
pub struct Hidden {
    manner: Manner,
    /// What views told.
    names: Vec<(String, String)>,
    /// Names that no view tells; what a view says of them counts more.
    others: Vec<(String, String)>,
    /// All of them, the longest first.
    all: Vec<(String, String)>,
    /// Members in the order in which they were seen.
    members: Vec<MemberId>,
    /// Clusters, hosts of strangers, paths, addresses and ids that nobody told: each with a stand-in of its own.
    strays: BTreeMap<String, String>,
    /// Keys of etcd that were told.
    keys: Vec<(String, String)>,
    /// What the recording had lost of which this makes a copy.
    lost: Vec<String>,
}

/// Fields that hold a word of ours or a figure, never a name: a member may be called `ok`.
const WORDS: [&str; 19] = [
    "state",
    "role",
    "kind",
    "do",
    "end",
    "request",
    "verify",
    "verdict",
    "after_failure",
    "alarm",
    "alarms",
    "version",
    "storage_version",
    "etcd_version",
    "downgrade_target",
    "etcdtop",
    "verified",
    "stand",
    "scenario",
];
/// Fields that hold the name of a file.
const FILES: [&str; 5] = ["file", "path", "parts", "snapshots", "folder"];
/// Fields that hold a SHA-256: who has the file finds it by that.
const SUMS: [&str; 2] = ["sha256", "file_sha256"];
/// So many digits of one are told where there is little room.
const SUM_SHOWN: usize = 12;
/// The key that proves a write where nobody has chosen a prefix: it names nobody.
const OUR_KEY: &str = "etcdtop/proof";
/// Fields that name a person or a host.
const PEOPLE: [&str; 3] = ["by", "host", "held_by"];

impl Hidden {
    /// For a text that people read: what a view names, and these.
    #[must_use]
    pub fn for_people(view: &ClusterView, names: Vec<(String, String)>) -> Self {
        let mut hidden = Self::with(Manner::Words, names);
        hidden.learn(view);
        hidden
    }

    /// For a recording: what its views name, and these.
    #[must_use]
    pub fn for_recording(names: Vec<(String, String)>) -> Self {
        Self::with(Manner::Valid, names)
    }

    fn with(manner: Manner, mut others: Vec<(String, String)>) -> Self {
        others.retain(|(name, _)| !name.is_empty());
        let (names, all) = (Vec::new(), Vec::new());
        let mut hidden = Self {
            manner,
            names,
            others,
            all,
            members: Vec::new(),
            strays: BTreeMap::new(),
            keys: Vec::new(),
            lost: Vec::new(),
        };
        hidden.sort();
        hidden
    }

    fn put(&mut self, name: String, stands: &str) {
        if !name.is_empty() && !self.names.iter().any(|(known, _)| *known == name) {
            // What was met before anybody said what it is goes on being called as it was then.
            let stands = self.strays.get(&name).map_or(stands, String::as_str).to_owned();
            self.names.push((name, stands));
        }
    }

    fn sort(&mut self) {
        self.all.clone_from(&self.names);
        for (name, stands) in &self.others {
            if !self.all.iter().any(|(known, _)| known == name) {
                self.all.push((name.clone(), stands.clone()));
            }
        }
        self.all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    /// Takes the names that a view tells. Who was seen once keeps what stands for him.
    pub fn learn(&mut self, view: &ClusterView) {
        let before = self.names.len();
        for m in &view.members {
            let id = m.id.unwrap_or(MemberId(0));
            let place = self.members.iter().position(|known| *known == id && m.id.is_some());
            let i = place.unwrap_or(self.members.len()) + 1;
            if place.is_none() {
                self.members.push(id);
            }
            let member = format!("member-{i}");
            self.put(m.label(), &member);
            self.put(m.name.raw().to_owned(), &member);
            if let Some(id) = m.id {
                // Metrics and errors of etcd write it in decimal digits.
                let (hex, digits) = match self.manner {
                    Manner::Words => (format!("id-{i}"), format!("id-{i}")),
                    Manner::Valid => (format!("{:x}", 0xa0 + i), (0xa0 + i).to_string()),
                };
                self.put(id.to_string(), &hex);
                self.put(id.0.to_string(), &digits);
            }
            self.put(m.certificate.as_ref().map(|c| c.subject.to_string()).unwrap_or_default(), "(subject)");
            let urls = m.client_urls.iter().chain(&m.peer_urls).map(|u| u.raw().to_owned());
            let endpoints = m.endpoint.iter().chain(&m.also_at).map(|e| e.raw().to_owned());
            for url in urls.chain(endpoints) {
                self.put(host_of(&url), &format!("host-{i}"));
                // Resolvers and TLS say it in lower case.
                self.put(host_of(&url).to_lowercase(), &format!("host-{i}"));
            }
        }
        let cluster = if self.manner == Manner::Words { "cluster" } else { "c1" };
        self.put(view.cluster_id.map(|id| id.to_string()).unwrap_or_default(), cluster);
        for conflict in &view.conflicts {
            if let Conflict::OtherCluster { endpoint, .. } = conflict {
                self.put(host_of(endpoint.raw()), "host-elsewhere");
            }
        }
        if self.names.len() > before {
            self.sort();
        }
    }

    /// Takes the names that an entry of a recording tells. Those of one that comes later are known to all before it if all are
    /// learned from first.
    pub fn learn_from(&mut self, entry: &Entry) {
        match entry {
            Entry::View(view) => self.learn(view),
            Entry::Meta(meta) => self.learn_key(&meta.proof_key),
            Entry::Started(_) | Entry::Operation(_) | Entry::Journal(_) => {
                // What cannot be written down is not written down.
                if let Ok((_, value)) = entry.to_json() {
                    self.learn_keys(&value);
                }
            }
            _ => {}
        }
    }

    /// The recording that is written is a copy of one that had lost this.
    pub fn lost(&mut self, notices: Vec<String>) {
        self.lost = notices;
    }

    /// Keys in the actions of plans, whatever version wrote them.
    fn learn_keys(&mut self, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|v| self.learn_keys(v)),
            Value::Object(map) => {
                if map.get("do").is_some_and(|what| what == "prove_write")
                    && let Some(Value::String(key)) = map.get("key")
                {
                    self.learn_key(key);
                }
                map.values().for_each(|v| self.learn_keys(v));
            }
            _ => {}
        }
    }

    fn learn_key(&mut self, key: &str) {
        if key.is_empty() || key == OUR_KEY || self.keys.iter().any(|(known, _)| known == key) {
            return;
        }
        let n = self.keys.len() + 1;
        self.keys.push((key.to_owned(), format!("key-{n}")));
        // `acme-payments/` names somebody also where it stands without the rest; a letter or two would be found everywhere.
        let prefix = key.strip_suffix("proof").unwrap_or(key);
        let prefix = prefix.trim_matches(|c: char| !c.is_alphanumeric());
        if prefix.len() > 2 && prefix != "etcdtop" && !self.others.iter().any(|(known, _)| known == prefix) {
            self.others.push((prefix.to_owned(), format!("prefix-{n}")));
            self.sort();
        }
    }

    /// Replaces every name in every text, names of fields among them: latencies are kept by the names of peers.
    pub fn hide(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hidden(text),
            Value::Array(list) => list.iter_mut().for_each(|v| self.hide(v)),
            Value::Object(map) => {
                let old = std::mem::take(map);
                for (key, mut v) in old {
                    self.hide(&mut v);
                    map.insert(self.hidden(&key), v);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// An entry of a recording without names, as its kind and JSON; none where that makes something else of it.
    ///
    /// # Errors
    /// As [`Entry::to_json`].
    pub fn entry(&mut self, entry: &Entry) -> serde_json::Result<Option<(u8, Value)>> {
        self.learn_from(entry);
        if let Entry::Meta(meta) = entry {
            let kept = Meta {
                etcdtop: meta.etcdtop.clone(),
                name: "cluster-name".into(),
                read_only: meta.read_only.as_ref().map(|_| "read-only".into()),
                lab: meta.lab,
                interval_ms: meta.interval_ms,
                anonymised: true,
                lost: self.lost.clone(),
                ..Meta::default()
            };
            return Entry::Meta(Box::new(kept)).to_json().map(Some);
        }
        let (kind, mut value) = entry.to_json()?;
        if kind == kind::VERIFIED {
            // Its path comes first; a path in a text ends with the first space.
            self.hide_entry(&mut value[0], "path");
        }
        self.hide_entry(&mut value, "");
        let known = !matches!(kind, kind::END);
        let whole = !known || Entry::from_json(kind, value.clone()).is_ok_and(|e| e.is_some());
        Ok(whole.then_some((kind, value)))
    }

    /// Replaces names where names can stand; fields keep theirs.
    fn hide_entry(&mut self, value: &mut Value, field: &str) {
        match value {
            Value::String(text) if PEOPLE.contains(&field) => "somebody".clone_into(text),
            Value::String(text) if FILES.contains(&field) => *text = self.path(text),
            Value::String(text) if SUMS.contains(&field) => *text = self.sum(text),
            Value::Number(_) if field == "hash" => *value = self.figure("hash", value).into(),
            // Device, inode and nanosecond of a file.
            Value::Array(_) if field == "stamp" => {
                *value = serde_json::json!([0, self.figure("stamp", value), 0]);
            }
            // A snapshot that was verified; of a plan it is how closely.
            Value::String(text) if field == "verify" && !matches!(text.as_str(), "full" | "fast") => {
                *text = self.path(text);
            }
            Value::String(_) if WORDS.contains(&field) => {}
            Value::String(text) => *text = self.hidden(text),
            Value::Array(list) => {
                for v in list {
                    self.hide_entry(v, field);
                }
            }
            Value::Object(map) => {
                let rates = field == "rates";
                let old = std::mem::take(map);
                // What was asked for is a file in a folder, and its name: no member's.
                let in_folder = old.contains_key("folder");
                for (key, mut v) in old {
                    let what = if in_folder && key == "name" { "file" } else { &key };
                    self.hide_entry(&mut v, what);
                    let key = if rates { self.hidden(&key) } else { key };
                    map.insert(key, v);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text with every name replaced where it stands alone, and every address that is left.
    fn hidden(&mut self, text: &str) -> String {
        let mut out = text.to_owned();
        if self.manner == Manner::Valid {
            for (key, stands) in &self.keys {
                out = replace_words(&out, key, stands);
            }
            out = self.without_paths(&out);
            out = self.without_sums(&out);
        }
        for (name, stands) in &self.all {
            out = replace_words(&out, name, stands);
        }
        hide_tokens(&out, |token, what| self.stray(token, what))
    }

    /// What stands for something that no view named.
    fn stray(&mut self, token: &str, what: &str) -> String {
        if self.manner == Manner::Words {
            return format!("({what})");
        }
        let n = self.strays.len() + 1;
        let stands = self.strays.entry(token.to_owned()).or_insert_with(|| match what {
            "id" => format!("{:x}", 0xf000 + n),
            _ => format!("{what}-{n}"),
        });
        stands.clone()
    }

    /// Paths of files, each with a stand-in of its own that keeps how the name ends.
    fn without_paths(&mut self, text: &str) -> String {
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | ')' | '(' | '=');
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(ends) {
            let path = piece.trim_end_matches(ends);
            let bare = path.trim_end_matches(':');
            if bare.starts_with('/') && bare[1..].contains('/') {
                out.push_str(&self.path(bare));
                out.push_str(&piece[bare.len()..]);
            } else {
                out.push_str(piece);
            }
        }
        out
    }

    /// What stands for a SHA-256, or for the first digits of one.
    fn sum(&mut self, digits: &str) -> String {
        let n = self.figure("sum", &Value::from(digits.get(..SUM_SHOWN).unwrap_or(digits)));
        // They differ in their first digits, too; without a letter nobody takes those for an id.
        format!("{:0<1$}", format!("9{n:05}"), digits.len())
    }

    /// What stands for a figure that finds something again: the same for the same.
    fn figure(&mut self, what: &str, value: &Value) -> usize {
        let n = self.strays.len() + 1;
        let stands = self.strays.entry(format!("{what} {value}")).or_insert_with(|| n.to_string());
        stands.parse().unwrap_or_default()
    }

    /// The text without the digits that follow the word.
    fn without_sums(&mut self, text: &str) -> String {
        const WORD: &str = "SHA-256 ";
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(WORD) {
            let (before, after) = rest.split_at(at + WORD.len());
            out.push_str(before);
            let digits = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
            let (digits, after) = after.split_at(digits);
            if digits.len() < SUM_SHOWN {
                out.push_str(digits);
            } else {
                out.push_str(&self.sum(digits));
            }
            rest = after;
        }
        out + rest
    }

    /// What stands for the name of a file: it ends as that does.
    fn path(&mut self, path: &str) -> String {
        let name = path.rsplit('/').next().unwrap_or_default();
        let ending = name.rsplit_once('.').map_or_else(String::new, |(_, ending)| format!(".{ending}"));
        let n = self.strays.len() + 1;
        self.strays.entry(path.to_owned()).or_insert_with(|| format!("/file-{n}{ending}")).clone()
    }
}

/// What stands between `://` and the port or path; of a socket the path.
#[must_use]
pub fn host_of(url: &str) -> String {
    if let Some(path) = url.strip_prefix("unix://").or_else(|| url.strip_prefix("unixs://")) {
        return path.to_owned();
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.to_owned()
}

/// Replaces `name` where no letter, digit or `_` stands beside it.
fn replace_words(text: &str, name: &str, stands: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let alone = !before.chars().next_back().or(out.chars().next_back()).is_some_and(part)
            && !after.chars().next().is_some_and(part);
        out.push_str(before);
        out.push_str(if alone { stands } else { name });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Addresses and ids that no member of the list told: those in errors of the operating system, of members that were removed.
fn hide_tokens(text: &str, mut stands: impl FnMut(&str, &str) -> String) -> String {
    let part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let v4 = |t: &str| t.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4());
    let mut out = String::with_capacity(text.len());
    let mut token = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if part(c) {
            token.push(c);
            continue;
        }
        let bare = token.trim_end_matches(['.', ':']).len();
        let (bare, rest) = token.split_at(bare);
        let hex = bare.chars().all(|c| c.is_ascii_hexdigit());
        let host = bare.rsplit_once(':').map_or(bare, |(host, _)| host);
        // An id has up to 16 digits; a number without a letter in it is a figure.
        if hex && (12..=16).contains(&bare.len()) && bare.contains(|c: char| c.is_ascii_alphabetic()) {
            out.push_str(&stands(bare, "id"));
            out.push_str(rest);
        } else if v4(bare) || v4(host) || bare.matches(':').count() > 1 && bare.parse::<IpAddr>().is_ok() {
            out.push_str(&stands(if v4(host) { host } else { bare }, "address"));
            out.push_str(rest);
        } else {
            out.push_str(&token);
        }
        token.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn names_are_hidden_where_they_stand_alone() {
        assert_eq!(
            replace_words("m1 hung; m1's disk, m10 well", "m1", "member-1"),
            "member-1 hung; member-1's disk, m10 well"
        );
        assert_eq!(replace_words("https://etcd-0.prod:2379", "etcd-0.prod", "host-1"), "https://host-1:2379");
        assert_eq!(replace_words("aa", "a", "b"), "aa");
    }

    #[test]
    fn addresses_are_hidden_and_times_are_not() {
        for (text, expected) in [
            ("connect to 10.1.2.3:2379: refused", "connect to (address): refused"),
            ("at 10.1.2.3.", "at (address)."),
            ("fe80::1 is silent", "(address) is silent"),
            ("to e0844a71dbfcd781, 1795280718717 ms", "to (id), 1795280718717 ms"),
            ("2027-01-15T08:00:00Z, version 3.6.5, 12:30", "2027-01-15T08:00:00Z, version 3.6.5, 12:30"),
        ] {
            assert_eq!(hide_tokens(text, |_, what| format!("({what})")), expected, "{text}");
        }
    }

    #[test]
    fn hosts_of_urls() {
        for (url, host) in [
            ("https://10.0.0.1:2379", "10.0.0.1"),
            ("http://[fe80::1]:2380/x", "fe80::1"),
            ("etcd-1.internal:2379", "etcd-1.internal"),
            ("unix:///run/etcd.sock", "/run/etcd.sock"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
