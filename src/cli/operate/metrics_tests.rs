use jiff::Timestamp;

use super::*;
use crate::cli::operate::report::Result as Outcome;
use crate::testing::noon;

fn report(result: Outcome, exit: u8, ended_at: Timestamp) -> Report<'static> {
    Report {
        command: "defrag",
        result,
        reason: None,
        exit,
        cluster_id: None,
        cluster: "prod \"eu\"\\1",
        plan: None,
        title: None,
        began_at: noon(),
        ended_at,
        seconds: 2.5,
        reclaimed_bytes: 1 << 30,
        steps: Vec::new(),
        skipped: &[],
        checks: &[],
    }
}

#[test]
fn a_failed_run_keeps_when_the_last_one_was_done() {
    let labels = "{cluster=\"prod \\\"eu\\\"\\\\1\",command=\"defrag\"}";
    let first = text(&report(Outcome::Done, 0, noon()), None, "");
    let at = noon().as_second();
    assert!(first.contains(&format!("{LAST_DONE}{labels} {at}\n")), "{first}");
    assert!(first.contains(&format!("etcdtop_run_reclaimed_bytes{labels} 1073741824\n")), "{first}");
    let later = noon().checked_add(std::time::Duration::from_secs(86_400)).unwrap();
    let second = text(&report(Outcome::Failed, 1, later), None, &first);
    assert!(second.contains(&format!("{LAST_DONE}{labels} {at}\n")), "{second}");
    assert!(second.contains(&format!("etcdtop_run_success{labels} 0\n")), "{second}");
    let never = text(&report(Outcome::Failed, 1, later), None, "");
    assert!(!never.contains(LAST_DONE), "what never was is not told: {never}");
}

#[test]
fn every_series_stands_below_its_own_help() {
    let page = text(&report(Outcome::Done, 0, noon()), None, "");
    let mut about = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            about = rest.split(' ').next().unwrap_or_default().to_owned();
            assert_eq!(page.matches(&format!("# HELP {about} ")).count(), 1, "{about} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{about} gauge"));
        } else {
            assert!(line.starts_with(&format!("{about}{{")), "{line} below {about}");
        }
    }
    assert!(page.ends_with('\n') && page.matches("# TYPE ").count() >= 6, "{page}");
}

#[test]
fn the_file_is_replaced_whole_and_can_be_read_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("etcdtop.prom");
    assert!(check(&file).is_ok() && check(folder.path()).is_err());
    // A device or a link would be replaced by a file.
    let link = folder.path().join("link.prom");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for other in [link.as_path(), Path::new("/dev/full"), Path::new("/dev/null")] {
        let refused = check(other).unwrap_err().to_string();
        assert!(refused.contains("no plain file"), "{refused}");
        could_not_begin(other);
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    fs::remove_file(&link).unwrap();
    assert!(check(&folder.path().join("no/where.prom")).unwrap_err().to_string().contains("no folder"));
    write(&file, &report(Outcome::Done, 0, noon()), None);
    write(&file, &report(Outcome::Failed, 1, noon()), None);
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!((mode, left), (0o644, vec!["etcdtop.prom".into()]));
}

#[test]
fn what_could_not_begin_is_no_success() {
    let page = text(&report(Outcome::Done, 0, noon()), None, "");
    let later = noon().checked_add(std::time::Duration::from_secs(60)).unwrap();
    let told = begun_in_vain(&page, later);
    let value = |name: &str| {
        let line = told.lines().find(|l| l.starts_with(&format!("{name}{{"))).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(value("etcdtop_run_success"), "0");
    assert_eq!(value("etcdtop_run_exit_code"), "2");
    assert_eq!(value("etcdtop_run_timestamp_seconds"), later.as_second().to_string());
    assert_eq!(value(LAST_DONE), noon().as_second().to_string());
    assert_eq!(told.lines().count(), page.lines().count());
}
