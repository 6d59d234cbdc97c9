//! The Debian package: built from this build's program, installed into a scratch root, run there, removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{command, done, files, in_path, name, read, root};
use crate::support::cluster::program;

/// Builds the package; quick rather than small.
fn build(into: &Path) -> PathBuf {
    let made = done(
        Command::new(root().join("scripts/build-deb"))
            .arg("--binary")
            .arg(program())
            .arg(into)
            .env_remove("SOURCE_DATE_EPOCH")
            .env("DPKG_DEB_COMPRESSOR_TYPE", "gzip")
            .env("DPKG_DEB_COMPRESSOR_LEVEL", "1"),
    );
    PathBuf::from(made.trim_end())
}

/// A field of the control file.
fn field(package: &Path, name: &str) -> String {
    done(Command::new("dpkg-deb").arg("--field").arg(package).arg(name)).trim_end().to_owned()
}

#[test]
fn the_package_holds_what_it_must() {
    let folder = tempfile::tempdir().unwrap();
    let package = build(folder.path());
    let version = field(&package, "Version");
    assert_eq!(version.rsplit_once('-').unwrap().0, env!("CARGO_PKG_VERSION"), "packaging/debian/changelog");
    assert!(name(&package).starts_with(&format!("etcdtop_{version}_")), "{}", package.display());
    assert!(field(&package, "Installed-Size").parse::<u64>().unwrap() > 1000);
    let contents = done(Command::new("dpkg-deb").arg("--contents").arg(&package));
    // Mode, owner and path of each.
    let entries: Vec<_> = contents
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            (words[0], words[1], words[5..].join(" "))
        })
        .collect();
    let mode = |path: &str| entries.iter().find(|(_, _, p)| p == path).map(|(mode, _, _)| *mode);
    for (path, wanted) in [
        ("./usr/bin/etcdtop", "-rwxr-xr-x"),
        ("./usr/bin/kubectl-etcdtop -> etcdtop", "lrwxrwxrwx"),
        ("./usr/bin/kubectl_complete-etcdtop", "-rwxr-xr-x"),
        ("./usr/share/man/man1/etcdtop.1.gz", "-rw-r--r--"),
        ("./usr/share/man/man1/etcdtop-snapshot-save.1.gz", "-rw-r--r--"),
        ("./usr/share/man/man1/kubectl-etcdtop.1.gz -> etcdtop.1.gz", "lrwxrwxrwx"),
        ("./usr/share/bash-completion/completions/etcdtop", "-rw-r--r--"),
        ("./usr/share/zsh/vendor-completions/_etcdtop", "-rw-r--r--"),
        ("./usr/share/fish/vendor_completions.d/etcdtop.fish", "-rw-r--r--"),
        ("./usr/share/doc/etcdtop/copyright", "-rw-r--r--"),
        ("./usr/share/doc/etcdtop/changelog.Debian.gz", "-rw-r--r--"),
        ("./usr/share/doc/etcdtop/install.md", "-rw-r--r--"),
        ("./usr/share/doc/etcdtop/examples/kubernetes/base/defrag.yaml", "-rw-r--r--"),
        ("./etc/etcdtop/config.toml", "-rw-r--r--"),
        // A password may come to stand in it.
        ("./etc/etcdtop/environment", "-rw-r-----"),
    ] {
        assert_eq!(mode(path), Some(wanted), "{path} in:\n{contents}");
    }
    for unit in files("assets/systemd").iter().filter(|f| f.extension().is_some()) {
        assert!(mode(&format!("./usr/lib/systemd/system/{}", name(unit))).is_some(), "{}", unit.display());
    }
    for (mode, owner, path) in &entries {
        assert_eq!(*owner, "root/root", "{path}");
        assert!(
            mode.starts_with('l') || !mode[5..].contains('w'),
            "{path} can be written to by others: {mode}"
        );
        // No timer is enabled, and nothing outside of a package's places.
        assert!(!path.contains("timers.target.wants") && !path.starts_with("./usr/local"), "{path}");
    }
    let conffiles = done(Command::new("dpkg-deb").args(["--info"]).arg(&package).arg("conffiles"));
    assert_eq!(
        conffiles.lines().collect::<Vec<_>>(),
        ["/etc/etcdtop/config.toml", "/etc/etcdtop/environment"]
    );
    for script in ["postinst", "prerm", "postrm"] {
        done(Command::new("sh").arg("-n").arg(root().join("packaging/debian").join(script)));
    }
    assert!(read("packaging/debian/copyright").contains("Permission is hereby granted, free of charge"));
}

/// The libraries that the program asks for, in versions that have what it needs.
#[test]
fn it_depends_on_what_the_program_is_linked_with() {
    let folder = tempfile::tempdir().unwrap();
    let package = build(folder.path());
    let depends = field(&package, "Depends");
    let version_of = |library: &str| {
        depends.split(", ").find_map(|d| d.strip_prefix(&format!("{library} (>= "))?.strip_suffix(')'))
    };
    assert!(version_of("libc6").is_some_and(|v| v.starts_with("2.")), "{depends}");
    let Some(shlibdeps) = in_path("dpkg-shlibdeps") else {
        eprintln!("no dpkg-shlibdeps on this machine: the versions were not compared with its");
        return;
    };
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("debian")).unwrap();
    fs::write(
        source.path().join("debian/control"),
        "Source: etcdtop\n\nPackage: etcdtop\nArchitecture: any\n",
    )
    .unwrap();
    let theirs = done(Command::new(shlibdeps).current_dir(source.path()).arg("-O").arg(program()));
    let theirs = theirs.trim().strip_prefix("shlibs:Depends=").unwrap();
    assert_eq!(theirs.split(", ").count(), depends.split(", ").count(), "{theirs}\n{depends}");
    for dependency in theirs.split(", ") {
        let (library, least) = dependency.strip_suffix(')').unwrap().split_once(" (>= ").unwrap();
        let ours = version_of(library).unwrap_or_else(|| panic!("no {library} in {depends}"));
        done(Command::new("dpkg").args(["--compare-versions", ours, "ge", least]));
    }
}

#[test]
fn the_same_program_makes_the_same_package() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, two] = folders.each_ref().map(|f| fs::read(build(f.path())).unwrap());
    assert!(one == two, "two builds differ");
}

/// The files below a folder that dpkg's own are not among.
fn left(root: &Path) -> Vec<String> {
    let found = done(Command::new("find").arg(root).args([
        "-mindepth",
        "1",
        "-not",
        "-type",
        "d",
        "-printf",
        "%P\n",
    ]));
    let mut found: Vec<_> = found.lines().filter(|l| !l.starts_with("var/")).map(str::to_owned).collect();
    found.sort();
    found
}

#[test]
fn it_installs_runs_and_goes_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let package = build(folder.path());
    let scratch = folder.path().join("scratch");
    for place in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/log"] {
        fs::create_dir_all(scratch.join(place)).unwrap();
    }
    for file in ["status", "available"] {
        fs::write(scratch.join("var/lib/dpkg").join(file), "").unwrap();
    }
    let dpkg = |what: &[&str]| {
        done(
            Command::new("dpkg")
                .arg(format!("--root={}", scratch.display()))
                // No libc there, no programs for dpkg and for scripts, and maybe no root here.
                .args([
                    "--force-depends",
                    "--force-script-chrootless",
                    "--force-bad-path",
                    "--force-not-root",
                ])
                .args(["--no-triggers", "--log=/dev/null"])
                .args(what),
        )
    };
    dpkg(&["--install", package.to_str().unwrap()]);
    let status = fs::read_to_string(scratch.join("var/lib/dpkg/status")).unwrap();
    assert!(status.contains("Status: install ok installed"), "{status}");

    // What was installed runs, under both names, and is this program.
    let bin = scratch.join("usr/bin");
    for name in ["etcdtop", "kubectl-etcdtop"] {
        let version = done(command(bin.join(name)).arg("--version"));
        assert_eq!(version, format!("etcdtop {}\n", env!("CARGO_PKG_VERSION")));
    }
    let page = Command::new("gzip")
        .args(["-dc"])
        .arg(scratch.join("usr/share/man/man1/etcdtop.1.gz"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(page.stdout).unwrap(), done(command(bin.join("etcdtop")).arg("man")));
    for (shell, file) in [
        ("bash", "usr/share/bash-completion/completions/etcdtop"),
        ("zsh", "usr/share/zsh/vendor-completions/_etcdtop"),
        ("fish", "usr/share/fish/vendor_completions.d/etcdtop.fish"),
    ] {
        let made = done(command(bin.join("etcdtop")).args(["completions", shell]));
        assert!(fs::read_to_string(scratch.join(file)).unwrap() == made, "{file}");
    }
    done(Command::new("bash").arg("-n").arg(scratch.join("usr/share/bash-completion/completions/etcdtop")));
    let summary = done(command(bin.join("etcdtop")).args(["replay", "--summary", "-o", "json"]));
    assert!(summary.contains("\"events\""), "{summary}");
    // The config that comes with it is one that it takes.
    let config = scratch.join("etc/etcdtop/config.toml");
    done(command(bin.join("etcdtop")).args(["config", "show", "--config"]).arg(&config));

    // What an administrator wrote stays when it is installed again and when it is removed.
    let environment = scratch.join("etc/etcdtop/environment");
    let written = fs::read_to_string(&environment).unwrap() + "ETCDTOP_CONTEXT=ours\n";
    fs::write(&environment, &written).unwrap();
    dpkg(&["--install", package.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&environment).unwrap(), written);
    dpkg(&["--remove", "etcdtop"]);
    assert_eq!(left(&scratch), ["etc/etcdtop/config.toml", "etc/etcdtop/environment"]);
    assert_eq!(fs::read_to_string(&environment).unwrap(), written);
    dpkg(&["--purge", "etcdtop"]);
    assert_eq!(left(&scratch), Vec::<String>::new());
    assert!(!scratch.join("etc/etcdtop").exists());
}

/// A package of another version than the program's would lie.
#[test]
fn it_is_not_built_of_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(root().join("scripts/build-deb"))
        .args(["--binary", "/bin/true"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success() && left(folder.path()).is_empty(), "{}", super::said(&output));
}
