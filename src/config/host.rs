//! What a control-plane host tells: where distributions keep etcd's client certificates, and the flags of a running
//! etcd. Looked at only when nobody named an endpoint.
//!
//! The order: kubeadm, kubespray, RKE2, k3s, k0s, OpenShift, a running etcd process, `/etc/default/etcd`. The first
//! whose authority file exists wins, because a host belongs to one distribution; the process comes after them
//! because its flags name server certificates, which need not be good for clients.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::settings::Origin;

/// A host to look at: the real one, or a tree that a test made.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    name: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Values by setting name.
    pub(super) values: BTreeMap<&'static str, (String, Origin)>,
    /// What is there but cannot be used, in words.
    pub unusable: Vec<String>,
}

/// Where a distribution keeps what a client of etcd needs. `{host}` is the host's name.
struct Distribution {
    name: &'static str,
    cacert: &'static str,
    /// Pairs of certificate and key, the best first.
    pairs: &'static [(&'static str, &'static str)],
}

const DISTRIBUTIONS: &[Distribution] = &[
    Distribution {
        name: "kubeadm",
        cacert: "etc/kubernetes/pki/etcd/ca.crt",
        pairs: &[
            (
                "etc/kubernetes/pki/etcd/healthcheck-client.crt",
                "etc/kubernetes/pki/etcd/healthcheck-client.key",
            ),
            ("etc/kubernetes/pki/apiserver-etcd-client.crt", "etc/kubernetes/pki/apiserver-etcd-client.key"),
            ("etc/kubernetes/pki/etcd/server.crt", "etc/kubernetes/pki/etcd/server.key"),
        ],
    },
    Distribution {
        name: "kubespray",
        cacert: "etc/ssl/etcd/ssl/ca.pem",
        pairs: &[
            ("etc/ssl/etcd/ssl/admin-{host}.pem", "etc/ssl/etcd/ssl/admin-{host}-key.pem"),
            ("etc/ssl/etcd/ssl/member-{host}.pem", "etc/ssl/etcd/ssl/member-{host}-key.pem"),
            ("etc/ssl/etcd/ssl/node-{host}.pem", "etc/ssl/etcd/ssl/node-{host}-key.pem"),
        ],
    },
    Distribution {
        name: "RKE2",
        cacert: "var/lib/rancher/rke2/server/tls/etcd/server-ca.crt",
        pairs: &[
            (
                "var/lib/rancher/rke2/server/tls/etcd/client.crt",
                "var/lib/rancher/rke2/server/tls/etcd/client.key",
            ),
            (
                "var/lib/rancher/rke2/server/tls/etcd/server-client.crt",
                "var/lib/rancher/rke2/server/tls/etcd/server-client.key",
            ),
        ],
    },
    Distribution {
        name: "k3s",
        cacert: "var/lib/rancher/k3s/server/tls/etcd/server-ca.crt",
        pairs: &[
            (
                "var/lib/rancher/k3s/server/tls/etcd/client.crt",
                "var/lib/rancher/k3s/server/tls/etcd/client.key",
            ),
            (
                "var/lib/rancher/k3s/server/tls/etcd/server-client.crt",
                "var/lib/rancher/k3s/server/tls/etcd/server-client.key",
            ),
        ],
    },
    Distribution {
        name: "k0s",
        cacert: "var/lib/k0s/pki/etcd/ca.crt",
        pairs: &[
            ("var/lib/k0s/pki/apiserver-etcd-client.crt", "var/lib/k0s/pki/apiserver-etcd-client.key"),
            ("var/lib/k0s/pki/etcd/server.crt", "var/lib/k0s/pki/etcd/server.key"),
        ],
    },
    Distribution {
        name: "OpenShift",
        cacert: "etc/kubernetes/static-pod-resources/etcd-certs/configmaps/etcd-serving-ca/ca-bundle.crt",
        pairs: &[
            (
                "etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-certs/etcd-peer-{host}.crt",
                "etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-certs/etcd-peer-{host}.key",
            ),
            (
                "etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-serving/etcd-serving-{host}.crt",
                "etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-serving/etcd-serving-{host}.key",
            ),
        ],
    },
];

/// Files of `NAME=value` lines that configure a member: kubespray's and Debian's.
const ENV_FILES: &[(&str, &str)] =
    &[("kubespray", "etc/etcd.env"), ("Debian's etcd-server", "etc/default/etcd")];

enum Access {
    Readable,
    Missing,
    Denied(String),
}

impl Host {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        Self { root: PathBuf::from("/"), name }
    }

    /// A tree of files that stands for a host called `name`.
    #[must_use]
    pub fn tree(root: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self { root: root.into(), name: name.into() }
    }

    /// Looks.
    #[must_use]
    pub fn find(&self) -> Found {
        let mut found = Found::default();
        let process = self.process_flags();
        for distribution in DISTRIBUTIONS {
            if self.certificates(distribution, process.as_ref(), &mut found) {
                return found;
            }
        }
        if let Some((pid, flags)) = process {
            self.take_flags(
                &format!("the etcd process {pid}"),
                Path::new(&format!("/proc/{pid}/cmdline")),
                &flags,
                &mut found,
            );
        }
        if found.values.is_empty() {
            for (what, path) in ENV_FILES {
                if let Ok(text) = fs::read_to_string(self.root.join(path)) {
                    self.take_flags(what, &Path::new("/").join(path), &env_file(&text), &mut found);
                }
                if !found.values.is_empty() {
                    break;
                }
            }
        }
        found
    }

    /// Whether this is a host of that distribution.
    fn certificates(&self, d: &Distribution, process: Option<&(u32, Flags)>, found: &mut Found) -> bool {
        let cacert = self.path(d.cacert);
        match Self::access(&cacert) {
            Access::Missing => return false,
            Access::Denied(why) => {
                found.unusable.push(unusable(d.name, &shown(d.cacert), &why));
                return true;
            }
            Access::Readable => {}
        }
        let origin = Origin::Host {
            what: d.name.into(),
            path: shown(d.cacert).parent().map(Path::to_owned).unwrap_or_default(),
        };
        let mut put = |name, value: String| found.values.insert(name, (value, origin.clone()));
        put("cacert", cacert.display().to_string());
        let mut denied = None;
        for (cert, key) in d.pairs {
            let (cert, key) = (
                self.path(&cert.replace("{host}", &self.name)),
                self.path(&key.replace("{host}", &self.name)),
            );
            match (Self::access(&cert), Self::access(&key)) {
                (Access::Readable, Access::Readable) => {
                    put("cert", cert.display().to_string());
                    put("key", key.display().to_string());
                    denied = None;
                    break;
                }
                (Access::Denied(why), _) | (_, Access::Denied(why)) => denied = denied.or(Some((key, why))),
                _ => {}
            }
        }
        put("endpoints", self.endpoints_of(process, d.name));
        if let Some((path, why)) = denied {
            let below_root = path.strip_prefix(&self.root).unwrap_or(&path).to_owned();
            found.unusable.push(unusable(d.name, &Path::new("/").join(below_root), &why));
        }
        true
    }

    /// Where etcd serves clients on this host: what its flags say, else its default port in TLS.
    fn endpoints_of(&self, process: Option<&(u32, Flags)>, distribution: &str) -> String {
        let manifest = fs::read_to_string(self.root.join("etc/kubernetes/manifests/etcd.yaml")).ok();
        let env = fs::read_to_string(self.root.join("etc/etcd.env")).ok();
        let mut sources = vec![];
        if distribution == "kubespray" {
            sources.extend(env.map(|t| env_file(&t)));
        }
        sources.extend(process.map(|(_, f)| f.clone()));
        sources.extend(manifest.map(|t| manifest_flags(&t)));
        sources.iter().find_map(client_urls).unwrap_or_else(|| "https://127.0.0.1:2379".into())
    }

    fn take_flags(&self, what: &str, path: &Path, flags: &Flags, found: &mut Found) {
        let Some(endpoints) = client_urls(flags) else { return };
        let origin = Origin::Host { what: what.into(), path: path.to_owned() };
        let tls = endpoints.contains("https://");
        found.values.insert("endpoints", (endpoints, origin.clone()));
        if !tls {
            return;
        }
        for (name, flag) in [("cacert", "trusted-ca-file"), ("cert", "cert-file"), ("key", "key-file")] {
            let Some(file) = flags.get(flag) else { continue };
            let file = self.path(file.trim_start_matches('/'));
            match Self::access(&file) {
                Access::Readable => {
                    found.values.insert(name, (file.display().to_string(), origin.clone()));
                }
                Access::Missing => {}
                Access::Denied(why) => found.unusable.push(unusable(what, &file, &why)),
            }
        }
        // A certificate without its key is of no use.
        if !(found.values.contains_key("cert") && found.values.contains_key("key")) {
            found.values.remove("cert");
            found.values.remove("key");
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    fn access(path: &Path) -> Access {
        match fs::File::open(path) {
            Ok(_) => Access::Readable,
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                Access::Denied("permission denied; run as root, or copy the files".into())
            }
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Access::Missing,
            Err(e) => Access::Denied(e.to_string()),
        }
    }

    /// The flags of a running etcd; the one with the lowest process id if there are several.
    fn process_flags(&self) -> Option<(u32, Flags)> {
        let mut pids: Vec<u32> = fs::read_dir(self.root.join("proc"))
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        pids.sort_unstable();
        pids.into_iter().find_map(|pid| {
            let folder = self.root.join("proc").join(pid.to_string());
            let line = fs::read(folder.join("cmdline")).ok()?;
            let mut args = line.split(|&b| b == 0).map(|a| String::from_utf8_lossy(a).into_owned());
            let program = args.next()?;
            if Path::new(&program).file_name()? != "etcd" || !is_trusted(&folder) {
                return None;
            }
            let mut flags = parse_args(args);
            // The environment of the process has what the command line leaves out; a flag is stronger.
            if let Ok(environ) = fs::read(folder.join("environ")) {
                let text = String::from_utf8_lossy(&environ).replace('\0', "\n");
                for (name, value) in env_file(&text) {
                    flags.entry(name).or_insert(value);
                }
            }
            if let Some(config) = flags.get("config-file").cloned()
                && let Ok(text) = fs::read_to_string(self.path(config.trim_start_matches('/')))
            {
                for (name, value) in yaml_pairs(&text) {
                    flags.entry(name).or_insert(value);
                }
            }
            Some((pid, flags))
        })
    }
}

/// Whether a process belongs to root, to this user or to a system account. Any user can call a program etcd, and the
/// certificates of whoever runs etcdtop would be shown to the url that it names.
fn is_trusted(process: &Path) -> bool {
    const FIRST_USER: u32 = 1_000;
    process
        .metadata()
        .ok()
        .map(|m| m.uid())
        .is_some_and(|uid| uid < FIRST_USER || uid == rustix::process::geteuid().as_raw())
}

fn shown(below: &str) -> PathBuf {
    Path::new("/").join(below)
}

fn unusable(what: &str, path: &Path, why: &str) -> String {
    format!("found {what}, but {} cannot be read: {why}", path.display())
}

/// etcd's flags by name, without dashes.
type Flags = BTreeMap<String, String>;

fn parse_args(args: impl Iterator<Item = String>) -> Flags {
    let mut flags = Flags::new();
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let Some(name) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else { continue };
        if let Some((name, value)) = name.split_once('=') {
            flags.insert(name.into(), value.into());
        } else if let Some(value) = args.next_if(|next| !next.starts_with('-')) {
            flags.insert(name.into(), value);
        }
    }
    flags
}

/// `ETCD_LISTEN_CLIENT_URLS="..."` lines; the name becomes that of the flag.
fn env_file(text: &str) -> Flags {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            let name = name.strip_prefix("ETCD_")?.to_lowercase().replace('_', "-");
            Some((name, value.trim().trim_matches(['"', '\'']).to_owned()))
        })
        .collect()
}

/// The `- --flag=value` lines of a static pod's manifest.
fn manifest_flags(text: &str) -> Flags {
    parse_args(
        text.lines()
            .filter_map(|l| l.trim().strip_prefix("- "))
            .map(|l| l.trim_matches(['"', '\'']).to_owned()),
    )
}

/// `name: value` lines of etcd's own config file; nested ones (the TLS sections) by their inner name.
fn yaml_pairs(text: &str) -> Flags {
    let mut section = String::new();
    let mut pairs = Flags::new();
    for line in text.lines().filter(|l| !l.trim_start().starts_with('#')) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let indented = name.starts_with(' ');
        let (name, value) = (name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned());
        if !indented {
            section.clone_from(&name);
        }
        if !value.is_empty() && (!indented || section == "client-transport-security") {
            pairs.insert(name, value);
        }
    }
    pairs
}

/// The listen urls, else the advertised ones; a wildcard address becomes loopback.
fn client_urls(flags: &Flags) -> Option<String> {
    let urls = flags.get("listen-client-urls").or_else(|| flags.get("advertise-client-urls"))?;
    let urls: Vec<_> = urls
        .split(',')
        .map(str::trim)
        .filter(|u| !u.is_empty())
        .map(|u| u.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//127.0.0.1:"))
        .collect();
    // One is enough: the member list names the others. Loopback is in most certificates and never behind a firewall.
    urls.iter().find(|u| u.contains("127.0.0.1")).or(urls.first()).cloned()
}
