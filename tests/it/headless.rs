//! Commands that change a cluster, as cron and pipelines run them: without a terminal there is no prompt, no colour, no
//! hang, and an exit code that says what was done.

use std::time::Duration;

use etcdtop::lab::Spec;
use etcdtop::model::{Bytes, Endpoint};
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::json;
use crate::mixin::prometheus_reads;
use crate::support::cluster::TestCluster;
use crate::support::job::Job;
use crate::support::operate::fill;
use crate::support::process::send;
use crate::support::proxy::{Fault, Proxy};
use crate::support::pty::Pty;

fn began(event: &Value) -> bool {
    event["event"] == "step_begins"
}

/// Who leads.
fn leader(cluster: &TestCluster) -> String {
    cluster.members()[cluster.leader()].name.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_healthy_cluster_everything_ends_with_0() {
    let cluster = TestCluster::steady("3.5").await;
    fill(&cluster, 4, 12, 100);
    let job = Job::on(cluster.endpoints_text());
    let metrics = job.folder().join("etcdtop.prom").display().to_string();
    let other = ["m1", "m2", "m3"].into_iter().find(|m| *m != leader(&cluster)).unwrap();
    job.ends(0, &["compact", "--keep", "10", "--yes"]).await;
    let defrag = job.ends(0, &["defrag", "--yes", "-o", "json", "--metrics-file", &metrics]).await;
    let report = json(&defrag);
    assert_eq!((&report["result"], &report["exit"]), (&"done".into(), &0.into()), "{report}");
    assert!(report["reclaimed_bytes"].as_u64().unwrap() > 100_000, "{report}");
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    assert!(
        steps.iter().all(|s| s["state"] == "done" && s["after"].as_u64() < s["before"].as_u64()),
        "{report}"
    );
    // What it says is what members say.
    let sizes = cluster.etcdctl(&["endpoint", "status", "-w", "json"]);
    let sizes: Value = serde_json::from_str(&sizes).unwrap();
    for step in steps {
        let is = |e: &&Value| {
            let id = e["Status"]["header"]["member_id"].as_u64().unwrap();
            step["member_id"] == format!("{id:x}")
        };
        let status = &sizes.as_array().unwrap().iter().find(is).unwrap()["Status"];
        assert_eq!(step["after"], status["dbSize"], "{step} {status}");
    }
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(
        text.contains("etcdtop_run_success{")
            && text.matches("etcdtop_defrag_duration_seconds{").count() == 3,
        "{text}"
    );
    assert_eq!(prometheus_reads(&text), Ok(()), "{text}");
    job.ends(0, &["move-leader", other, "--yes"]).await;
    assert_eq!(leader(&cluster), other);
    let saved = job.ends(0, &["snapshot", "save", "--metrics-file", &metrics]).await;
    assert!(std::path::Path::new(saved.out.trim()).exists(), "{}", saved.all());
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(
        text.contains("how=\"full\"} 1") && text.contains("etcdtop_snapshot_timestamp_seconds{"),
        "{text}"
    );
    assert_eq!(prometheus_reads(&text), Ok(()), "{text}");
    let alarms = job.ends(0, &["alarms", "-o", "json"]).await;
    assert_eq!(json(&alarms)["alarms"], Value::Array(Vec::new()));
    let confirmed: Vec<_> = job.journal().into_iter().filter(|e| e["event"] == "confirmed").collect();
    assert_eq!(confirmed.len(), 4, "each is in the journal");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_is_0_and_says_so_in_a_line() {
    let cluster = TestCluster::steady("3.6").await;
    let job = Job::on(cluster.endpoints_text());
    let leader = leader(&cluster);
    for (args, words) in [
        (&["defrag", "--yes", "--rule", "dbSizeFree > 200*1024*1024"][..], "the rule dbSizeFree"),
        (&["compact", "--keep", "1000", "--yes"], "keep fewer"),
        (&["alarms", "disarm", "--yes"], "no alarm is raised"),
        (&["recover", "nospace", "--yes"], "nothing to recover from"),
        (&["move-leader", &leader, "--yes"], "leads already"),
        (&["defrag", "--yes", "--exclude-localhost"], "excluded"),
    ] {
        let ran = job.ends(0, args).await;
        assert!(ran.err.contains("nothing to do") && ran.err.contains(words), "{args:?}: {}", ran.all());
        assert_eq!(ran.out, "", "cron mails what is printed: {args:?}");
    }
    assert!(job.journal().is_empty(), "nothing was confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_command_line_is_2_and_nothing_is_done() {
    let cluster = TestCluster::of("3.7").await;
    let job = Job::on(cluster.endpoints_text());
    for (args, words) in [
        (&["defrag", "--yes", "--no-such-flag"][..], "--no-such-flag"),
        (&["defrag", "--yes", "--rule", "dbsize > 1"], "unknown word"),
        (&["defrag", "--yes", "--window", "2-4"], "02:00-04:00Z"),
        (&["defrag", "--yes", "--member", "nobody"], "there are m1, m2, m3"),
        (&["defrag", "--yes", "--timeout", "0s"], "more than nothing"),
        (&["defrag", "--yes", "--lock", "--auto-disarm"], "keeps no lock"),
        (&["defrag", "--yes", "--disarm-threshold", "90%"], "0.9"),
        (&["defrag", "--yes", "--metrics-file", "/no/where/x.prom"], "no folder /no/where"),
        (&["compact", "--yes"], "--revision"),
        (&["compact", "--yes", "--keep", "1", "--revision", "2"], "cannot be used with"),
        (&["move-leader", "--yes"], "TARGET"),
        (&["recover"], "nospace"),
    ] {
        let ran = job.ends(2, args).await;
        assert!(ran.err.contains(words), "{args:?}: {}", ran.all());
    }
    assert!(job.journal().is_empty(), "nothing was confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_check_refuses_is_3_and_nothing_is_done() {
    let mut cluster = TestCluster::of("3.5").await;
    fill(&cluster, 4, 12, 100);
    let job = Job::on(cluster.endpoints_text());
    // Nobody agreed.
    let ran = job.ends(3, &["defrag"]).await;
    assert!(ran.err.contains("--yes") && ran.out.contains("defragment m1"), "{}", ran.all());
    let ran = job.ends(3, &["defrag", "--confirm", "another"]).await;
    assert!(ran.err.contains("is not"), "{}", ran.all());
    let ran = job.ends(3, &["defrag", "--yes", "--read-only"]).await;
    assert!(ran.err.contains("--read-only"), "{}", ran.all());
    // A plan alone.
    let ran = job.ends(0, &["defrag", "--dry-run", "-o", "json"]).await;
    assert_eq!(json(&ran)["result"], "planned", "{}", ran.all());
    assert_eq!(json(&ran)["steps"].as_array().unwrap().len(), 3);
    // Not now: the window is the hour that begins in two hours.
    let hour = (jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour() + 2) % 24;
    let window = format!("{hour:02}:00-{:02}:00Z", (hour + 1) % 24);
    let ran = job.ends(3, &["defrag", "--yes", "--window", &window]).await;
    assert!(ran.err.contains(&window), "{}", ran.all());
    let ran = job.ends(3, &["compact", "--yes", "--revision", "999999999"]).await;
    assert!(ran.err.contains("in the future"), "{}", ran.all());
    // One member of three is down.
    let down = cluster.follower();
    let words = format!("2 of 3 voters serve, not {}", cluster.members()[down].name);
    cluster.kill(down);
    let metrics = job.folder().join("etcdtop.prom").display().to_string();
    for args in [
        &["defrag", "--yes", "-o", "json", "--metrics-file", &metrics][..],
        &["defrag", "--yes", "--dry-run", "-o", "json"],
        &["defrag", "--yes", "--continue-on-error", "-o", "json"],
    ] {
        let ran = job.ends(3, args).await;
        assert!(ran.err.contains(&words), "{}", ran.all());
        assert_eq!(json(&ran)["result"], "refused");
    }
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(text.contains("} 3\n") && text.contains("etcdtop_run_success"), "{text}");
    // What was only planned is no success, and what could not begin leaves none.
    job.ends(2, &["defrag", "--yes", "--cacert", "/no/ca", "--metrics-file", &metrics]).await;
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(text.contains("} 2\n"), "{text}");
    assert!(job.journal().is_empty(), "nothing was confirmed");
}

#[tokio::test]
async fn nobody_reached_is_4() {
    let job = Job::on("127.0.0.1:1");
    for args in [
        &["defrag", "--yes", "-o", "json"][..],
        &["compact", "--keep", "1", "--yes", "-o", "json"],
        &["recover", "nospace", "--yes", "-o", "json"],
        &["move-leader", "m1", "--yes", "-o", "json"],
        &["snapshot", "save", "-o", "json"],
    ] {
        let ran = job.ends(4, args).await;
        assert_eq!(json(&ran)["result"], "unreachable", "{}", ran.all());
    }
    let ran = job.ends(4, &["alarms", "-o", "json"]).await;
    assert_eq!(json(&ran)["alarms"], Value::Null, "unknown is not none");
}

/// A member whose file cannot be written anew: the folder for the new one is gone. The others are left alone, unless it
/// was told to go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_defragmentation_that_fails_is_1() {
    let mut cluster = TestCluster::steady("3.5").await;
    fill(&cluster, 4, 12, 100);
    cluster.etcdctl(&["compact", "40"]);
    let job = Job::on(cluster.endpoints_text());
    let at = cluster.follower();
    let name = cluster.members()[at].name.clone();
    let snap = cluster.folder().join(&name).join("member/snap");
    let away = cluster.folder().join(&name).join("member/away");
    std::fs::rename(&snap, &away).unwrap();
    let stops = job.run(&["defrag", "--yes", "-o", "json"]).await;
    std::fs::rename(&away, &snap).unwrap();
    // etcd 3.5 dies of the second one that fails so in one life.
    cluster.restart(at).unwrap();
    whole(&cluster).await;
    std::fs::rename(&snap, &away).unwrap();
    let goes_on = job.run(&["defrag", "--yes", "-o", "json", "--continue-on-error"]).await;
    std::fs::rename(&away, &snap).unwrap();
    let states = |report: &Value| {
        let state =
            |s: &Value| (s["title"].as_str().unwrap().to_owned(), s["state"].as_str().unwrap().to_owned());
        report["steps"].as_array().unwrap().iter().map(state).collect::<Vec<_>>()
    };
    let failed = (format!("defragment {name}"), "failed".to_owned());
    assert_eq!((stops.code, goes_on.code), (1, 1), "{}\n{}", stops.all(), goes_on.all());
    let stopped = states(&json(&stops));
    assert!(stopped.contains(&failed), "{stopped:?}");
    assert_eq!(stopped.last().unwrap().1, "not_begun", "the leader is left alone: {stopped:?}");
    let went_on = states(&json(&goes_on));
    assert!(went_on.contains(&failed), "{went_on:?}");
    assert_eq!(went_on.iter().filter(|(_, s)| s == "done").count(), 2, "{went_on:?}");
    assert!(job.last_end().contains("failed"), "{}", job.last_end());
}

/// A member that says nothing any more when it was asked, and a limit: how it ended nobody knows, and that is what it says.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_nobody_knows_is_5_within_the_timeout() {
    let (cluster, proxies) = behind_proxies(None).await;
    let typed: Vec<_> = proxies.iter().map(|p| p.address.clone()).collect();
    let job = Job::on(typed.join(","));
    let (mut tries, mut code, mut last, mut err) = (0, 0, Value::Null, String::new());
    // The answer may be quicker than this test: then it was done, and is asked for again.
    while code != 5 {
        tries += 1;
        // Or this machine took too long, and nothing was sent.
        let again = code == 0 || (code == 1 && last["steps"][0]["state"] == "skipped");
        assert!(tries <= 10 && again, "{code} {last}\n{err}");
        // What is sent takes its time, so that there is a middle.
        proxies[1].set(Fault::Delay(ON_THE_WAY));
        let mut running = job.begin(&["defrag", "--yes", "--member", &typed[1], "--timeout", "15s"]);
        running.until("the step", began).await;
        // Asked it is, and its answer gets lost.
        proxies[1].set(Fault::Deaf);
        (code, last, err) = running.end().await;
        proxies[1].set(Fault::Pass);
        whole(&cluster).await;
    }
    assert_eq!((&last["result"], &last["exit"]), (&"unknown".into(), &5.into()), "{last}");
    let end = job.last_end();
    assert!(end.contains("unknown") && end.contains("--timeout of 15 s is over"), "{end}");
    assert!(last["seconds"].as_f64().unwrap() < 30.0, "{last}");
}

/// How long what is sent takes to arrive.
const ON_THE_WAY: Duration = Duration::from_millis(80);

/// Three members, each behind a proxy of its own, which their clients are told about.
async fn behind_proxies(quota: Option<Bytes>) -> (TestCluster, Vec<Proxy>) {
    let mut proxies = Vec::new();
    for _ in 0..3 {
        proxies.push(Proxy::unaimed().await);
    }
    let advertised = proxies.iter().map(|p| format!("http://{}", p.address)).collect();
    let spec = Spec { version: Some("3.5".into()), advertised, quota, ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    for (proxy, member) in proxies.iter().zip(cluster.members()) {
        proxy.aim(member.client.raw().trim_start_matches("http://").to_owned());
    }
    fill(&cluster, 4, 12, 100);
    (cluster, proxies)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_is_refused_while_the_first_runs() {
    let cluster = TestCluster::of("3.6").await;
    let job = Job::on(cluster.endpoints_text());
    let args = ["defrag", "--yes", "--lock", "--wait", "5s", "--move-leader"];
    let mut first = job.begin(&args);
    first.until("the first step", began).await;
    // On another host, or by another user, the lock in the cluster is seen, too; and respected by who does not take it.
    let (elsewhere, there) = (Job::on(cluster.endpoints_text()), Job::on(cluster.endpoints_text()));
    let (second, third, fourth) = tokio::join!(
        job.ends(3, &["defrag", "--yes"]),
        elsewhere.ends(3, &["compact", "--keep", "1", "--yes", "--lock"]),
        there.ends(3, &["defrag", "--yes"])
    );
    assert!(second.err.contains(&format!("process {}", first.pid())), "{}", second.all());
    assert!(third.err.contains("etcdtop defrag since"), "{}", third.all());
    assert!(fourth.err.contains("etcdtop defrag since"), "{}", fourth.all());
    let (code, last, err) = first.end().await;
    assert_eq!(code, 0, "{last}\n{err}");
    assert_eq!(cluster.etcdctl(&["get", "--prefix", "etcdtop/"]), "", "the lock is given back");
    elsewhere.ends(0, &["defrag", "--yes", "--lock"]).await;
}

/// SIGTERM in the middle of a roll: the running step is brought to its end, and the journal says where it stopped.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_roll_at_the_next_safe_point() {
    let cluster = TestCluster::of("3.6").await;
    fill(&cluster, 4, 12, 100);
    let job = Job::on(cluster.endpoints_text());
    let mut running = job.begin(&["defrag", "--yes", "--wait", "30s", "--timeout", "60s"]);
    running.until("the first step", began).await;
    send(running.pid(), Signal::TERM);
    let (code, last, err) = running.end().await;
    assert_eq!((code, &last["result"]), (143, &"stopped".into()), "{last}\n{err}");
    let states: Vec<_> =
        last["steps"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["done", "not_begun", "not_begun"], "{last}");
    let end = job.last_end();
    assert!(end.contains("cancelled") && end.contains("the program ends"), "{end}");
}

/// Runs a command behind proxies until its first step begins, cuts every member off, sends SIGTERM, and lets the members come
/// back. It ends within its limit, and the journal says how: done where the answer was quicker than the cut, else this. It is
/// asked for until the cut was quicker.
async fn struck(cluster: &TestCluster, job: &Job, proxies: &[Proxy], args: &[&str], expected: (i32, &str)) {
    let set = |fault| proxies.iter().for_each(|p| p.set(fault));
    for _ in 0..10 {
        // Something to compact, and somebody else to lead.
        let _ = cluster.try_etcdctl(&["put", "/more", "of it"]);
        let other = ["m1", "m2", "m3"].into_iter().find(|m| *m != leader(cluster)).unwrap();
        let mut all: Vec<_> = args.iter().map(|a| if *a == "OTHER" { other } else { *a }).collect();
        all.extend(["--timeout", "15s"]);
        if args[0] != "snapshot" {
            all.push("--yes");
        }
        // What is sent takes its time, so that there is a middle.
        set(Fault::Delay(ON_THE_WAY));
        let mut running = job.begin(&all);
        running.until("its first step", began).await;
        set(Fault::Blackhole);
        send(running.pid(), Signal::TERM);
        let (code, last, err) = running.end().await;
        set(Fault::Pass);
        assert!(last["seconds"].as_f64().unwrap() < 30.0, "{args:?}: {last}\n{err}");
        let end = job.last_end();
        whole(cluster).await;
        if code == expected.0 {
            assert!(end.contains(expected.1), "{args:?}: {end}");
            return;
        }
        let done = code == 0 && end == "\"done\"";
        // More steps were ahead, and the first was done; or the look before it was old by then, and nothing was sent.
        let first = last["steps"][0]["state"].as_str().unwrap_or_default();
        let stopped = code == 143 && end.contains("cancelled") && ["done", "skipped"].contains(&first);
        assert!(done || stopped, "{args:?}: {code} {end}\n{err}");
    }
    panic!("{args:?}: ten times it was quicker");
}

/// SIGTERM in the middle of each command, when members have fallen silent: it ends within its limit, and the journal says
/// that what was sent may have been done.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_every_command_within_its_timeout() {
    let (cluster, proxies) = behind_proxies(None).await;
    let typed: Vec<_> = proxies.iter().map(|p| p.address.clone()).collect();
    let job = Job::on(typed.join(","));
    for args in [&["compact", "--keep", "0"][..], &["defrag"], &["move-leader", "OTHER"]] {
        struck(&cluster, &job, &proxies, args, (5, "unknown")).await;
    }
    // It changes nothing, is left at once, and leaves nothing.
    let into = job.folder().join("snapshots");
    let saved = || std::fs::read_dir(&into).into_iter().flatten().flatten();
    let folder = into.display().to_string();
    std::fs::create_dir(&into).unwrap();
    struck(&cluster, &job, &proxies, &["snapshot", "save", &folder], (143, "cancelled")).await;
    assert!(!saved().any(|e| e.path().extension().is_some_and(|e| e == "part")), "a part is left");
}

/// The same for the ways out of NOSPACE.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_ways_out_of_no_space_within_their_timeout() {
    let (cluster, proxies) = behind_proxies(Some(Bytes(16 << 20))).await;
    let typed: Vec<_> = proxies.iter().map(|p| p.address.clone()).collect();
    let job = Job::on(typed.join(","));
    fill(&cluster, 3, 40, 512);
    let recover = ["recover", "nospace", "--no-snapshot", "--keep", "3"];
    struck(&cluster, &job, &proxies, &recover, (5, "unknown")).await;
    // Room, by other means: then the alarm can be taken back.
    job.run(&["compact", "--keep", "2", "--yes"]).await;
    job.ends(0, &["defrag", "--yes"]).await;
    struck(&cluster, &job, &proxies, &["alarms", "disarm"], (5, "unknown")).await;
}

/// Waits until every member serves again.
async fn whole(cluster: &TestCluster) {
    let job = Job::on(cluster.endpoints_text());
    for _ in 0..100 {
        let status = json(&job.run(&["status", "-o", "json"]).await);
        if status["members"].as_array().unwrap().iter().all(|m| m["state"] == "ok" && m["lag"] == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the members do not recover");
}

/// The whole way out of NOSPACE, without a terminal; then a defragmentation that takes the alarm back.
#[tokio::test(flavor = "multi_thread")]
async fn out_of_no_space_by_cron() {
    let spec = Spec { version: Some("3.6".into()), quota: Some(Bytes(16 << 20)), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let job = Job::on(cluster.endpoints_text());
    fill(&cluster, 3, 40, 512);
    let listed = job.ends(0, &["alarms", "list"]).await;
    assert!(listed.out.contains("NOSPACE"), "{}", listed.all());
    // The files are full of history: the alarm would only come again.
    let refused = job.ends(3, &["alarms", "disarm", "--yes"]).await;
    assert!(refused.err.contains("of its quota") && refused.err.contains("compact"), "{}", refused.all());
    let lock = job.ends(3, &["recover", "nospace", "--yes", "--keep", "10", "--lock"]).await;
    assert!(lock.err.contains("takes no writes") && lock.err.contains("without --lock"), "{}", lock.all());
    let ran = job.ends(0, &["recover", "nospace", "--yes", "--keep", "10", "-o", "json"]).await;
    let report = json(&ran);
    let done: Vec<_> =
        report["steps"].as_array().unwrap().iter().map(|s| s["do"].as_str().unwrap()).collect();
    assert_eq!(
        done,
        ["snapshot", "compact", "defragment", "defragment", "defragment", "disarm", "prove_write"],
        "{report}"
    );
    cluster.etcdctl(&["put", "it", "writes"]);
    // Once more, by the flags that etcd-defrag has.
    fill(&cluster, 3, 40, 512);
    let args =
        ["defrag", "--yes", "--compaction", "--keep", "10", "--auto-disalarm", "--disalarm-threshold", "0.8"];
    let ran = job.ends(0, &args).await;
    assert!(ran.out.contains("disarm NOSPACE"), "{}", ran.all());
    cluster.etcdctl(&["put", "it", "writes again"]);
}

/// On a terminal it shows the plan, asks, and shows how far it is.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_asks_and_shows_how_far_it_is() {
    let cluster = TestCluster::of("3.7").await;
    fill(&cluster, 4, 12, 100);
    let endpoints = cluster.endpoints_text();
    tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().display().to_string();
        let env = [("XDG_STATE_HOME", state.as_str())];
        let args = ["defrag", "--endpoints", &endpoints, "--wait", "1s"];
        let name = Endpoint::parse_list(&endpoints).unwrap()[0].to_string();
        let mut no = Pty::with_env(100, 40, &args, &env);
        no.wait("does nothing:");
        no.keys("no\r");
        assert_eq!(no.exit().exit_code(), 3);
        let mut yes = Pty::with_env(100, 40, &args, &env);
        yes.wait("does nothing:");
        yes.keys(&format!("{name} +2\r"));
        yes.wait("] 1/3");
        yes.wait("gave back");
        assert_eq!(yes.exit().exit_code(), 0);
    })
    .await
    .unwrap();
}

/// The terminal goes away in the middle of a roll, as when a connection breaks: nothing can be shown any more, and the step is
/// brought to its end all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_terminal_ends_a_roll_at_the_next_safe_point() {
    let cluster = TestCluster::of("3.7").await;
    fill(&cluster, 4, 12, 100);
    let job = Job::on(cluster.endpoints_text());
    let state = job.folder().join("state").display().to_string();
    let endpoints = cluster.endpoints_text();
    let begun = tokio::task::spawn_blocking(move || {
        let args = ["defrag", "--endpoints", &endpoints, "--yes", "--wait", "30s"];
        let p = Pty::behind_script(100, 40, &args, &[("XDG_STATE_HOME", &state)]);
        p.wait("] 1/3");
        send(p.pid(), Signal::KILL);
    });
    begun.await.unwrap();
    let ended = || job.journal().last().filter(|e| e["event"] == "ended").cloned();
    let ended = crate::support::wait_for_async("its end", ended).await;
    assert!(ended["end"].to_string().contains("the program ends"), "{ended}");
    let done = job.journal().iter().filter(|e| e["event"] == "step_ended" && e["end"] == "done").count();
    assert_eq!(done, 1);
}
