//! Precedence, host trees and errors, as tables of cases.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// A config file, an environment and a host, all in a scratch folder.
struct Case {
    dir: TempDir,
    env: HashMap<String, String>,
    flags: Flags,
    context: Option<String>,
}

impl Case {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let env = HashMap::from([("HOME".to_owned(), dir.path().display().to_string())]);
        Self { dir, env, flags: Flags::new(), context: None }
    }

    fn file(self, text: &str) -> Self {
        self.host_file(".config/etcdtop/config.toml", text)
    }

    fn host_file(self, path: &str, text: &str) -> Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    fn flag(mut self, name: &'static str, value: &str) -> Self {
        self.flags.insert(name, value.into());
        self
    }

    fn context(mut self, name: &str) -> Self {
        self.context = Some(name.into());
        self
    }

    fn load(&self) -> Result<Settings, ConfigError> {
        load(&Inputs {
            flags: self.flags.clone(),
            context: self.context.clone(),
            config: None,
            env: &|name| self.env.get(name).cloned(),
            host: Host::tree(self.dir.path(), "node1"),
        })
    }
}

const FILE: &str = "\
theme = \"light\"
current_context = \"prod\"
[contexts.prod]
endpoints = [\"https://ctx:2379\"]
theme = \"mono\"
read_only = true
[contexts.dev]
endpoints = \"dev:2379\"
";

#[test]
fn each_layer_beats_the_next() {
    let shown = |case: &Case| {
        let s = case.load().unwrap();
        (s.endpoints.value[0].raw().to_owned(), s.endpoints.origin.to_string())
    };
    let case = Case::new();
    assert_eq!(shown(&case), ("127.0.0.1:2379".into(), "default".into()));
    let case = case.host_file("etc/default/etcd", "ETCD_LISTEN_CLIENT_URLS=\"http://0.0.0.0:4001\"\n");
    assert_eq!(shown(&case).0, "http://127.0.0.1:4001");
    let case = case.file("endpoints = \"file:2379\"\n");
    assert_eq!(shown(&case), ("file:2379".into(), "line 1 of the config file".into()));
    let case = case.file(FILE);
    assert_eq!(shown(&case), ("https://ctx:2379".into(), "context prod, line 4 of the config file".into()));
    let case = case.context("dev");
    assert_eq!(shown(&case).0, "dev:2379");
    let case = case.env("ETCDCTL_ENDPOINTS", "ctl:2379");
    assert_eq!(shown(&case), ("ctl:2379".into(), "ETCDCTL_ENDPOINTS".into()));
    let case = case.env("ETCDTOP_ENDPOINTS", "top:2379");
    assert_eq!(shown(&case), ("top:2379".into(), "ETCDTOP_ENDPOINTS".into()));
    let case = case.flag("endpoints", "flag:2379");
    assert_eq!(shown(&case), ("flag:2379".into(), "--endpoints".into()));
}

#[test]
fn settings_are_resolved_one_by_one() {
    let settings = Case::new().file(FILE).env("ETCDCTL_DIAL_TIMEOUT", "7s").load().unwrap();
    assert_eq!(settings.theme.value, ThemeName::Mono);
    assert_eq!(settings.dial_timeout.value.as_secs(), 7);
    assert_eq!(settings.command_timeout.origin, Origin::Default);
    assert!(settings.read_only.value);
    assert_eq!(settings.rows.len(), SETTINGS.len(), "config show names every setting once");
}

#[test]
fn read_only_of_a_context_yields_only_to_the_flag() {
    let case = Case::new().file(FILE);
    assert!(case.load().unwrap().read_only.value);
    assert!(!case.flag("read_only", "false").load().unwrap().read_only.value);
}

#[test]
fn passwords_come_from_many_places_and_are_never_shown() {
    let exposed = |case: &Case| {
        let s = case.load().unwrap();
        assert!(!format!("{s:?}").contains("s3cret"), "{s:?}");
        (s.user.unwrap().value, s.password.map(|p| p.value.expose().to_owned()))
    };
    let secret = Some("s3cret:1".to_owned());
    assert_eq!(exposed(&Case::new().env("ETCDCTL_USER", "root:s3cret:1")), ("root".into(), secret.clone()));
    assert_eq!(
        exposed(&Case::new().flag("user", "ro:ot").env("ETCDTOP_PASSWORD", "s3cret:1")),
        ("ro:ot".into(), secret.clone())
    );
    let file = Case::new()
        .file("user = \"root\"\npassword_file = \"pw\"\n")
        .host_file(".config/etcdtop/pw", "s3cret:1\n");
    assert_eq!(exposed(&file), ("root".into(), secret));
    assert_eq!(exposed(&Case::new().flag("user", "root")), ("root".into(), None));
    let settings = file.load().unwrap();
    assert!(settings.warnings.iter().any(|w| w.contains("chmod 600")), "{:?}", settings.warnings);
}

#[test]
fn errors_name_the_thing_the_origin_and_the_remedy() {
    let message = |case: Case| case.load().unwrap_err().to_string();
    for (case, words) in [
        (Case::new().flag("interval", "10ms"), ["interval \"10ms\" (--interval)", "250ms and 1m"]),
        (Case::new().env("ETCDCTL_ENDPOINTS", "ftp://x"), ["(ETCDCTL_ENDPOINTS)", "host:port"]),
        (Case::new().file(FILE).context("prd"), ["no context \"prd\"", "dev, prod"]),
        (Case::new().flag("cacert", "/no/such"), ["cacert /no/such (--cacert)", "no such file"]),
        (Case::new().flag("password", "x"), ["--password", "add --user"]),
        (
            Case::new().flag("insecure_transport", "false").flag("endpoints", "http://a:1"),
            ["http://a:1", "write https://"],
        ),
        (Case::new().file("version = 9\n"), ["line 1", "version"]),
    ] {
        let said = message(case);
        for word in words {
            assert!(said.contains(word), "{said}");
        }
    }
}

/// The files of one distribution, and what must be picked.
type Tree = (&'static str, &'static [&'static str], [&'static str; 3], &'static str);

#[test]
#[allow(clippy::too_many_lines)] // one tree for each distribution
fn control_plane_hosts_are_recognised() {
    let trees: &[Tree] = &[
        (
            "kubeadm",
            &[
                "etc/kubernetes/pki/etcd/ca.crt",
                "etc/kubernetes/pki/etcd/healthcheck-client.crt",
                "etc/kubernetes/pki/etcd/healthcheck-client.key",
            ],
            [
                "etc/kubernetes/pki/etcd/ca.crt",
                "etc/kubernetes/pki/etcd/healthcheck-client.crt",
                "etc/kubernetes/pki/etcd/healthcheck-client.key",
            ],
            "https://127.0.0.1:2379",
        ),
        (
            "kubespray",
            &[
                "etc/ssl/etcd/ssl/ca.pem",
                "etc/ssl/etcd/ssl/admin-node1.pem",
                "etc/ssl/etcd/ssl/admin-node1-key.pem",
            ],
            [
                "etc/ssl/etcd/ssl/ca.pem",
                "etc/ssl/etcd/ssl/admin-node1.pem",
                "etc/ssl/etcd/ssl/admin-node1-key.pem",
            ],
            "https://127.0.0.1:2379",
        ),
        (
            "RKE2",
            &[
                "var/lib/rancher/rke2/server/tls/etcd/server-ca.crt",
                "var/lib/rancher/rke2/server/tls/etcd/client.crt",
                "var/lib/rancher/rke2/server/tls/etcd/client.key",
            ],
            [
                "var/lib/rancher/rke2/server/tls/etcd/server-ca.crt",
                "var/lib/rancher/rke2/server/tls/etcd/client.crt",
                "var/lib/rancher/rke2/server/tls/etcd/client.key",
            ],
            "https://127.0.0.1:2379",
        ),
        (
            "k3s",
            &[
                "var/lib/rancher/k3s/server/tls/etcd/server-ca.crt",
                "var/lib/rancher/k3s/server/tls/etcd/client.crt",
                "var/lib/rancher/k3s/server/tls/etcd/client.key",
            ],
            [
                "var/lib/rancher/k3s/server/tls/etcd/server-ca.crt",
                "var/lib/rancher/k3s/server/tls/etcd/client.crt",
                "var/lib/rancher/k3s/server/tls/etcd/client.key",
            ],
            "https://127.0.0.1:2379",
        ),
        (
            "k0s",
            &[
                "var/lib/k0s/pki/etcd/ca.crt",
                "var/lib/k0s/pki/apiserver-etcd-client.crt",
                "var/lib/k0s/pki/apiserver-etcd-client.key",
            ],
            [
                "var/lib/k0s/pki/etcd/ca.crt",
                "var/lib/k0s/pki/apiserver-etcd-client.crt",
                "var/lib/k0s/pki/apiserver-etcd-client.key",
            ],
            "https://127.0.0.1:2379",
        ),
        (
            "OpenShift",
            &[
                "etc/kubernetes/static-pod-resources/etcd-certs/configmaps/etcd-serving-ca/ca-bundle.crt",
                "etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-certs/etcd-peer-node1.crt",
                "etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-certs/etcd-peer-node1.key",
            ],
            [
                "etc/kubernetes/static-pod-resources/etcd-certs/configmaps/etcd-serving-ca/ca-bundle.crt",
                "etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-certs/etcd-peer-node1.crt",
                "etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-certs/etcd-peer-node1.key",
            ],
            "https://127.0.0.1:2379",
        ),
    ];
    for (name, files, picked, endpoint) in trees {
        let mut case = Case::new();
        for file in *files {
            case = case.host_file(file, "x");
        }
        let s = case.load().unwrap();
        let below = |p: &Option<Sourced<PathBuf>>| {
            p.as_ref().unwrap().value.strip_prefix(case.dir.path()).unwrap().display().to_string()
        };
        assert_eq!([below(&s.cacert), below(&s.cert), below(&s.key)], *picked, "{name}");
        assert_eq!(s.endpoints.value[0].raw(), *endpoint, "{name}");
        assert!(s.access_line().starts_with(&format!("found {name}: /")), "{}", s.access_line());
        // Somebody who names an endpoint gets no certificate from the host along with it.
        let s = case.flag("endpoints", "http://elsewhere:2379").load().unwrap();
        assert!(s.cacert.is_none() && s.cert.is_none(), "{name}");
    }
}

#[test]
fn kubeadms_manifest_and_kubesprays_env_name_the_endpoint() {
    let manifest = "spec:\n  containers:\n  - command:\n    - etcd\n    - --listen-client-urls=https://10.0.0.7:2379,https://127.0.0.1:12379\n";
    let case = Case::new()
        .host_file("etc/kubernetes/pki/etcd/ca.crt", "x")
        .host_file("etc/kubernetes/manifests/etcd.yaml", manifest);
    assert_eq!(case.load().unwrap().endpoints.value[0].raw(), "https://127.0.0.1:12379");
    let case = Case::new()
        .host_file("etc/ssl/etcd/ssl/ca.pem", "x")
        .host_file("etc/etcd.env", "ETCD_LISTEN_CLIENT_URLS=https://10.0.0.8:2379\n");
    assert_eq!(case.load().unwrap().endpoints.value[0].raw(), "https://10.0.0.8:2379");
}

#[test]
fn a_running_etcd_tells_its_flags() {
    let case = Case::new()
        .host_file("proc/12/cmdline", "/usr/bin/bash\0-c\0etcd")
        .host_file("proc/77/cmdline", "/usr/bin/etcd\0--listen-client-urls\0https://0.0.0.0:2399\0--trusted-ca-file=/pki/ca\0--cert-file=/pki/c")
        .host_file("proc/77/environ", "PATH=/bin\0ETCD_KEY_FILE=/pki/k\0")
        .host_file("pki/ca", "x")
        .host_file("pki/c", "x")
        .host_file("pki/k", "x");
    let s = case.load().unwrap();
    assert_eq!(s.endpoints.value[0].raw(), "https://127.0.0.1:2399");
    assert!(s.key.is_some() && s.cert.is_some() && s.cacert.is_some());
    assert!(s.access_line().contains("the etcd process 77"), "{}", s.access_line());
    let config = Case::new()
        .host_file("proc/5/cmdline", "etcd\0--config-file=/etc/etcd.yml")
        .host_file("etc/etcd.yml", "name: m1\nlisten-client-urls: http://127.0.0.1:2377\n");
    assert_eq!(config.load().unwrap().endpoints.value[0].raw(), "http://127.0.0.1:2377");
}

#[test]
fn certificates_that_may_not_be_read_are_said_to_be_there() {
    let case = Case::new().host_file("etc/kubernetes/pki/etcd/ca.crt", "x");
    let locked = case.dir.path().join("etc/kubernetes/pki/etcd/ca.crt");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let warnings = case.load().unwrap().warnings;
    // Root may read anything: then there is nothing to report.
    if fs::File::open(&locked).is_err() {
        assert!(
            warnings[0].contains("found kubeadm, but /etc/kubernetes/pki/etcd/ca.crt cannot be read"),
            "{warnings:?}"
        );
    } else {
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

#[test]
fn discovery_beats_endpoints_of_its_own_layer_and_weaker_ones() {
    let load = |case: Case| case.load().unwrap();
    let s = load(Case::new().flag("discovery_srv", "example.com").env("ETCDCTL_ENDPOINTS", "a:1"));
    assert!(s.endpoints.value.is_empty(), "the flag is stronger");
    assert_eq!((s.access_line(), s.cluster_name()), ("from --discovery-srv".into(), "example.com".into()));
    let s = load(Case::new().env("ETCDCTL_DISCOVERY_SRV", "example.com").flag("endpoints", "a:1"));
    assert_eq!(s.endpoints.value.len(), 1, "the flag is stronger");
    assert_eq!((s.access_line(), s.cluster_name()), ("from --endpoints".into(), "a:1".into()));
}

#[test]
fn a_cluster_has_the_contexts_name_only_if_the_context_names_it() {
    let file = "current_context = \"prod\"\n[contexts.prod]\nendpoints = \"p:1\"\n";
    assert_eq!(Case::new().file(file).load().unwrap().cluster_name(), "prod");
    let elsewhere = Case::new().file(file).flag("endpoints", "lab:1,lab:2").load().unwrap();
    assert_eq!(elsewhere.cluster_name(), "lab:1 +1");
}

#[test]
fn only_the_flag_lifts_read_only() {
    let file = "current_context = \"prod\"\n[contexts.prod]\nendpoints = \"p:1\"\nread_only = true\n";
    let mode = |case: Case| case.load().unwrap().read_only.value;
    assert!(mode(Case::new().file(file)));
    assert!(mode(Case::new().file(file).env("ETCDTOP_READ_ONLY", "false")));
    assert!(!mode(Case::new().file(file).flag("read_only", "false")));
    assert!(mode(Case::new().env("ETCDTOP_READ_ONLY", "true")));
}

#[test]
fn a_password_file_of_a_stronger_layer_wins_and_no_password_is_shown() {
    let file = |case: Case| case.host_file("pw", "from-file\n");
    let s = file(Case::new().flag("user", "root").env("ETCDCTL_PASSWORD", "from-env"));
    let path = s.dir.path().join("pw").display().to_string();
    let s = s.flag("password_file", &path).load().unwrap();
    assert_eq!(s.password.unwrap().value.expose(), "from-file");
    for case in [
        Case::new().env("ETCDCTL_USER", "root:s3cret"),
        Case::new().env("ETCDCTL_USER", "root:s3cret").env("ETCDCTL_PASSWORD", "other"),
    ] {
        let rows = case.load().unwrap().rows;
        assert!(rows.iter().all(|r| !r.value.as_deref().unwrap_or_default().contains("s3cret")), "{rows:?}");
        let password = rows.iter().find(|r| r.setting == "password").unwrap();
        assert_eq!(password.value.as_deref(), Some("***"));
    }
    let error = Case::new().flag("endpoints", "http://root:s3cret@m1:2379").load().unwrap_err().to_string();
    assert!(!error.contains("s3cret") && error.contains("--user"), "{error}");
}

#[test]
fn a_locale_without_utf_8_gets_ascii() {
    let ascii = |case: Case| case.load().unwrap().ascii.value;
    assert!(ascii(Case::new().env("LC_ALL", "C").env("LANG", "en_US.UTF-8")));
    assert!(!ascii(Case::new().env("LANG", "C.UTF-8")));
    assert!(!ascii(Case::new()), "nothing said");
    assert!(!ascii(Case::new().env("LC_ALL", "C").flag("ascii", "false")), "the flag wins");
}
