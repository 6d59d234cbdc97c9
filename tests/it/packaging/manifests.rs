//! The manifests for Kubernetes: against its own schemas, strictly, and what they promise about a run's end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use etcdtop::lab::binaries::cache_folder;
use serde::Deserialize;
use serde_json::Value;

use super::{all_understood, done, files, flag, is_setting, root, seconds, tool};

/// Supported by their makers, older ones that are still run, and the newest that there is a schema of.
const VERSIONS: &str = "1.29,1.33,1.35,1.37";

#[derive(Deserialize)]
struct Checked {
    documents: Vec<Value>,
    problems: Vec<String>,
}

/// What the validator says of each file.
fn check(files: &[PathBuf]) -> BTreeMap<String, Checked> {
    let schemas = cache_folder().join("manifests/python");
    assert!(
        schemas.is_dir(),
        "the schemas of Kubernetes are missing: scripts/fetch-tools manifests gets them"
    );
    let report = done(
        Command::new("python3")
            .arg("-B")
            .arg(root().join("tests/manifests/check.py"))
            .arg(VERSIONS)
            .args(files)
            .env("PYTHONPATH", schemas),
    );
    serde_json::from_str(&report).unwrap()
}

/// The objects of files that nothing is said against.
fn objects(files: &[PathBuf]) -> Vec<Value> {
    let checked = check(files);
    let problems: Vec<_> =
        checked.iter().flat_map(|(file, c)| c.problems.iter().map(move |p| format!("{file}: {p}"))).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    checked.into_values().flat_map(|c| c.documents).collect()
}

/// What kustomize makes of a folder.
fn kustomized(folder: &Path) -> Vec<Value> {
    let made = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    fs::write(made.path(), done(Command::new(tool("kubectl")).arg("kustomize").arg(folder))).unwrap();
    objects(&[made.path().to_owned()])
}

fn base() -> &'static [Value] {
    static MADE: OnceLock<Vec<Value>> = OnceLock::new();
    MADE.get_or_init(|| kustomized(&root().join("assets/kubernetes/base")))
}

fn secret() -> &'static [Value] {
    static MADE: OnceLock<Vec<Value>> = OnceLock::new();
    MADE.get_or_init(|| kustomized(&root().join("assets/kubernetes/secret")))
}

fn cronjobs(objects: &[Value]) -> Vec<&Value> {
    let found: Vec<_> = objects.iter().filter(|o| o["kind"] == "CronJob").collect();
    assert_eq!(found.len(), 3, "{objects:?}");
    found
}

fn job(cronjob: &Value) -> &Value {
    &cronjob["spec"]["jobTemplate"]["spec"]
}

fn pod(cronjob: &Value) -> &Value {
    &job(cronjob)["template"]["spec"]
}

/// Those of a pod, in the order in which they run.
fn containers(cronjob: &Value) -> Vec<&Value> {
    ["initContainers", "containers"]
        .iter()
        .filter_map(|kind| pod(cronjob)[kind].as_array())
        .flatten()
        .collect()
}

fn args(container: &Value) -> Vec<String> {
    container["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()).collect()
}

fn label(cronjob: &Value) -> &str {
    cronjob["metadata"]["name"].as_str().unwrap()
}

#[test]
fn kubernetes_would_take_every_file() {
    let mut all = files("assets/kubernetes/base");
    all.push(root().join("assets/kubernetes/secret/state.yaml"));
    assert!(objects(&all).len() >= 6);
    assert_eq!((base().len(), secret().len()), (4, 6));
}

/// The check sees what a typing error makes of a manifest.
#[test]
fn a_broken_manifest_is_refused() {
    let whole = super::read("assets/kubernetes/base/defrag.yaml");
    for (from, to) in [
        ("concurrencyPolicy: Forbid", "concurencyPolicy: Forbid"),
        ("backoffLimit: 0", "backoffLimit: none"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesytem: true"),
        ("apiVersion: batch/v1", "apiVersion: batch/v7"),
        ("concurrencyPolicy: Forbid", "concurrencyPolicy: Forbid\n  concurrencyPolicy: Allow"),
        ("restartPolicy: Never", "restartPolicy: Never\n         x: 1"),
    ] {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        assert!(whole.contains(from));
        fs::write(file.path(), whole.replace(from, to)).unwrap();
        let checked = check(&[file.path().to_owned()]);
        assert!(checked.values().all(|c| !c.problems.is_empty()), "{to:?} was taken");
    }
}

#[test]
fn etcdtop_understands_every_argument() {
    let mut lines = Vec::new();
    for cronjob in cronjobs(base()).into_iter().chain(cronjobs(secret())) {
        for container in containers(cronjob) {
            // The image's entry point is etcdtop, and there is no shell in it.
            assert_eq!(container["command"], Value::Null, "{container}");
            lines.push((format!("{}/{}", label(cronjob), container["name"]), args(container)));
            for variable in container["env"].as_array().unwrap() {
                let name = variable["name"].as_str().unwrap();
                let place =
                    ["XDG_STATE_HOME", "XDG_DATA_HOME"].contains(&name) && variable["value"] == "/var/lib";
                assert!(place || is_setting(name), "nobody reads {name}");
            }
        }
    }
    assert_eq!(lines.len(), 8);
    all_understood(&lines);
}

#[test]
fn a_run_ends_by_itself_and_at_a_safe_point() {
    for cronjob in cronjobs(base()) {
        let spec = &cronjob["spec"];
        assert_eq!(
            (&spec["concurrencyPolicy"], &job(cronjob)["backoffLimit"]),
            (&"Forbid".into(), &0.into())
        );
        assert_eq!(pod(cronjob)["restartPolicy"], "Never");
        assert!(job(cronjob)["ttlSecondsAfterFinished"].as_u64() > Some(86_400));
        let deadline = job(cronjob)["activeDeadlineSeconds"].as_u64().unwrap();
        let grace = pod(cronjob)["terminationGracePeriodSeconds"].as_u64().unwrap();
        let lines: Vec<_> = containers(cronjob).into_iter().map(args).collect();
        let timeout = lines.iter().filter_map(|args| flag(args, "--timeout")).map(seconds).max();
        if let Some(timeout) = timeout {
            assert!(deadline > timeout, "{}: ended from outside before --timeout", label(cronjob));
        } else {
            assert_eq!(label(cronjob), "etcdtop-diagnose");
        }
        let changes = lines.iter().any(|args| args[0] == "defrag");
        if changes {
            assert!(Some(grace) >= timeout, "{}: killed in the middle of a step", label(cronjob));
            assert!(lines[0].contains(&"--lock".into()) && lines[0].contains(&"--yes".into()), "{lines:?}");
        }
    }
}

/// First the new one, and what is old goes only when that succeeded.
#[test]
fn a_snapshot_comes_before_the_removal() {
    let snapshot = cronjobs(base()).into_iter().find(|c| label(c) == "etcdtop-snapshot").unwrap();
    let lines: Vec<_> = containers(snapshot).into_iter().map(args).collect();
    assert_eq!(
        (&lines[0][..2], &lines[1][..2]),
        (&["snapshot".into(), "save".into()][..], &["snapshot".into(), "prune".into()][..])
    );
    assert_eq!(pod(snapshot)["initContainers"].as_array().unwrap().len(), 1);
}

#[test]
fn containers_can_do_nothing_else() {
    for cronjob in cronjobs(base()).into_iter().chain(cronjobs(secret())) {
        assert_eq!(pod(cronjob)["automountServiceAccountToken"], false);
        assert_eq!(pod(cronjob)["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in containers(cronjob) {
            let context = &container["securityContext"];
            assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
            assert_eq!(context["capabilities"]["add"], Value::Null);
            assert_eq!(
                (&context["allowPrivilegeEscalation"], &context["privileged"]),
                (&false.into(), &false.into())
            );
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert!(container["resources"]["limits"]["memory"].is_string());
            // All that it may write to is what it keeps.
            for mount in container["volumeMounts"].as_array().unwrap() {
                let writes = mount["readOnly"] != true;
                assert_eq!(writes, mount["mountPath"] == "/var/lib/etcdtop", "{mount}");
            }
        }
    }
}

/// With kubeadm's own files: three of them, and the authority's key is none.
#[test]
fn the_base_mounts_three_files_of_kubeadm() {
    for cronjob in cronjobs(base()) {
        assert_eq!(pod(cronjob)["hostNetwork"], true);
        let volumes = pod(cronjob)["volumes"].as_array().unwrap();
        let paths: Vec<_> = volumes.iter().map(|v| v["hostPath"]["path"].as_str().unwrap()).collect();
        let pki = "/etc/kubernetes/pki/etcd";
        assert_eq!(
            paths,
            [
                &format!("{pki}/ca.crt"),
                &format!("{pki}/healthcheck-client.crt"),
                &format!("{pki}/healthcheck-client.key"),
                "/var/lib/etcdtop"
            ]
        );
        for volume in &volumes[..3] {
            assert_eq!(volume["hostPath"]["type"], "File");
        }
        assert_eq!(volumes[3]["hostPath"]["type"], "DirectoryOrCreate");
    }
}

/// Without root, and nothing of the host: what the strictest level of Pod Security asks.
#[test]
fn with_a_secret_it_needs_nothing_of_the_host() {
    let objects = secret();
    let namespace = objects.iter().find(|o| o["kind"] == "Namespace").unwrap();
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let endpoints = objects.iter().find(|o| o["kind"] == "ConfigMap").unwrap();
    for cronjob in cronjobs(objects) {
        let pod = pod(cronjob);
        assert_eq!((&pod["hostNetwork"], &pod["affinity"]), (&Value::Null, &Value::Null));
        assert_eq!(
            (&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["runAsUser"]),
            (&true.into(), &65532.into())
        );
        assert_eq!(pod["securityContext"]["fsGroup"], 65532, "the Secret's files are root's otherwise");
        for volume in pod["volumes"].as_array().unwrap() {
            assert_eq!(volume["hostPath"], Value::Null, "{volume}");
        }
        for container in containers(cronjob) {
            assert_eq!(
                container["env"][0]["valueFrom"]["configMapKeyRef"]["name"],
                endpoints["metadata"]["name"]
            );
            assert_eq!(container["volumeMounts"][0]["mountPath"], "/certificates");
            // Where the flags look for the files that the page tells to put into the Secret.
            for (variable, file) in [(1, "ca.crt"), (2, "client.crt"), (3, "client.key")] {
                assert_eq!(container["env"][variable]["value"], format!("/certificates/{file}"));
            }
        }
    }
}

/// The one line that everybody changes changes every container.
#[test]
fn the_image_is_named_in_one_place() {
    let copy = tempfile::tempdir().unwrap();
    for file in files("assets/kubernetes/base") {
        let text = fs::read_to_string(&file)
            .unwrap()
            .replace("newName: etcdtop", "newName: mirror.example/tools/etcdtop");
        fs::write(copy.path().join(super::name(&file)), text).unwrap();
    }
    for cronjob in cronjobs(&kustomized(copy.path())) {
        for container in containers(cronjob) {
            assert_eq!(
                container["image"],
                format!("mirror.example/tools/etcdtop:{}", env!("CARGO_PKG_VERSION"))
            );
        }
    }
}
