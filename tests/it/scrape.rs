//! `/metrics` as no real etcd serves them: missing, cut, huge, slow, hostile, of somebody else, of another time.

use std::time::{Duration, Instant};

use etcd_client::proto::{PbMember, PbMemberListResponse, PbStatusResponse};
use etcdtop::etcd::{Access, Dialer};
use etcdtop::model::Endpoint;
use etcdtop::poll::{Options, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::PATIENCE;
use crate::support::doctor::Doctor;
use crate::support::fake::{Fake, Script, header};

const ID: u64 = 0x8e9e_05c5_2164_694d;

/// One healthy member whose `/metrics` are elsewhere.
async fn member() -> Fake {
    let status = PbStatusResponse {
        header: Some(header(ID, 7)),
        version: "3.6.5".into(),
        leader: ID,
        raft_index: 9,
        raft_applied_index: 9,
        raft_term: 2,
        db_size: 4_096,
        db_size_in_use: 4_096,
        db_size_quota: 1 << 31,
        ..PbStatusResponse::default()
    };
    let member = PbMember { id: ID, name: "m1".into(), ..PbMember::default() };
    let members = PbMemberListResponse { header: None, members: vec![member] };
    Fake::start(Script { status: Some(Ok(status)), members: Some(Ok(members)), ..Script::default() }).await
}

/// A server that says the same to every request.
struct Says {
    address: String,
    task: JoinHandle<()>,
}

impl Says {
    async fn at(address: &str, reply: impl Fn() -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let reply = reply();
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    if reply.is_empty() {
                        // Never.
                        std::future::pending::<()>().await;
                    }
                    let _ = stream.write_all(&reply).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Says {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn http(status: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut reply =
        format!("HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n")
            .into_bytes();
    reply.extend_from_slice(body);
    reply
}

fn access(metrics_url: Option<&str>) -> Access {
    Access {
        metrics_url: metrics_url.map(|address| format!("http://{address}")),
        command_timeout: Duration::from_secs(2),
        ..Access::default()
    }
}

/// Looks until there are metrics, or a reason why not.
async fn told(access: Access, address: &str) -> Result<etcdtop::model::MetricsSample, String> {
    let endpoint = Endpoint::parse(address).unwrap();
    let poll = Poll::start(Options {
        dialer: Dialer::new(access, std::slice::from_ref(&endpoint)).unwrap(),
        endpoints: vec![endpoint],
        interval: Duration::from_millis(250),
        metrics_every: Some(Duration::from_secs(1)),
        patience: Duration::from_secs(2),
        known: Vec::new(),
    });
    let mut views = poll.views();
    let known = |v: &std::sync::Arc<etcdtop::model::ClusterView>| {
        v.members.iter().any(|m| m.metrics.is_some() || m.metrics_error.is_some())
    };
    let view = tokio::time::timeout(PATIENCE, views.wait_for(known)).await.unwrap().unwrap().clone();
    let m = &view.members[0];
    // Whatever /metrics do, the member itself is well.
    assert!(m.state.serves(), "{m:?}");
    match (&m.metrics, &m.metrics_error) {
        (Some(sample), None) => Ok((**sample).clone()),
        (_, error) => Err(error.as_ref().map(ToString::to_string).unwrap_or_default()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_metrics_are_named() {
    const GOOD: &str =
        "etcd_server_quota_backend_bytes 2.1e+09\netcd_server_id{server_id=\"8e9e05c52164694d\"} 1\n";
    let cut =
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\netcd_server_quota_backend_bytes 2.1e+09\n".to_vec();
    let huge = http("200 OK", "", &vec![b'#'; 9 << 20]);
    let endless = [http("200 OK", "", b"").as_slice(), &[b'x'; 64]].concat();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("missing", http("404 Not Found", "", b"no"), "status 404"),
        ("cut", cut, "broke off"),
        ("huge", huge, "larger than 8 MiB"),
        ("silent", Vec::new(), "no answer"),
        ("empty", http("200 OK", "", b""), "no etcd metric"),
        ("not text", http("200 OK", "", b"\xff\xfe\x00\x1b[2J\n"), "no etcd metric"),
        ("a page", http("200 OK", "", b"<html>log in</html>\n"), "no etcd metric"),
        ("endless", endless, "no etcd metric"),
    ];
    for (what, reply, words) in cases {
        let member = member().await;
        let metrics = Says::at("127.0.0.1:0", move || reply.clone()).await;
        let why = told(access(Some(&metrics.address)), &member.address).await.unwrap_err();
        assert!(why.contains(words) && !why.contains('\u{1b}'), "{what}: {why}");
    }
    // One bad line spoils nothing, and a name that would harm a terminal goes nowhere.
    let hostile = format!(
        "{GOOD}grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"\x1b[2J\",grpc_service=\"KV\",grpc_type=\"unary\"}} 9\n\
         etcd_debugging_mvcc_keys_total NaN\nprocess_open_fds -1\n{}\n",
        "etcd_network_peer_sent_failures_total{To=\"1\"} 1\n".repeat(10_000)
    );
    let member = member().await;
    let metrics = Says::at("127.0.0.1:0", move || http("200 OK", "", hostile.as_bytes())).await;
    let sample = told(access(Some(&metrics.address)), &member.address).await.unwrap();
    assert!(sample.quota.is_some() && sample.methods.is_empty() && sample.keys.is_none(), "{sample:?}");
    assert!(sample.send_failures.len() < 100, "{}", sample.send_failures.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_another_member_are_not_taken() {
    let member = member().await;
    let other = || http("200 OK", "", b"etcd_server_id{server_id=\"1\"} 1\nprocess_open_fds 3\n");
    let metrics = Says::at("127.0.0.1:0", other).await;
    let why = told(access(Some(&metrics.address)), &member.address).await.unwrap_err();
    assert!(why.contains("those of member 0000000000000001") || why.contains("those of member 1"), "{why}");
}

/// As kubeadm has it: nothing on the client url, and a plain port 2381.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_looked_for_on_kubeadms_port() {
    let member = member().await;
    // The whole of 127/8 is this host: an address that no other test has.
    let proxy = crate::support::proxy::Proxy::at("127.23.81.1:0", member.address.clone()).await;
    let good = || {
        http(
            "200 OK",
            "",
            b"etcd_server_id{server_id=\"8e9e05c52164694d\"} 1\netcd_server_quota_backend_bytes 5e+08\n",
        )
    };
    let _metrics = Says::at("127.23.81.1:2381", good).await;
    let sample = told(access(None), &proxy.address).await.unwrap();
    assert_eq!(sample.quota, Some(etcdtop::model::Bytes(500_000_000)));
}

/// Clocks are told apart by the dates of answers, though those are whole seconds.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_seconds_apart_are_found() {
    let dated = |ahead: i64, id: &'static str| {
        move || {
            let now = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(ahead)).unwrap();
            let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT");
            http(
                "200 OK",
                &format!("Date: {date}\r\n"),
                format!("etcd_server_id{{server_id=\"{id}\"}} 1\n").as_bytes(),
            )
        }
    };
    // Two members of one cluster, each with a host of its own.
    let mut fakes = Vec::new();
    let ids: [(u64, &'static str); 2] = [(1, "1"), (2, "2")];
    let mut servers = Vec::new();
    for (i, (id, text)) in ids.into_iter().enumerate() {
        let status = PbStatusResponse {
            header: Some(header(id, 7)),
            version: "3.6.5".into(),
            leader: 1,
            raft_term: 2,
            ..PbStatusResponse::default()
        };
        let listed = |id: u64| PbMember { id, name: format!("m{id}"), ..PbMember::default() };
        let members = PbMemberListResponse { header: None, members: vec![listed(1), listed(2)] };
        let fake =
            Fake::start(Script { status: Some(Ok(status)), members: Some(Ok(members)), ..Script::default() })
                .await;
        let host = format!("127.23.82.{}", i + 1);
        let proxy = crate::support::proxy::Proxy::at(&format!("{host}:0"), fake.address.clone()).await;
        let ahead = if i == 0 { 0 } else { 3 };
        servers.push(Says::at(&format!("{host}:9"), dated(ahead, text)).await);
        fakes.push((fake, proxy));
    }
    let endpoints: Vec<_> = fakes.iter().map(|(_, proxy)| Endpoint::parse(&proxy.address).unwrap()).collect();
    let mut doctor = Doctor::visit(&access(Some("*:9")), &endpoints);
    let apart = doctor.until("clocks_differ", |_| true).await;
    assert!(
        apart.line.contains("m2 is at least") && apart.line.ends_with("ahead of that of m1"),
        "{apart:?}"
    );
    // More answers narrow it: from "more than one" towards the three seconds that it is.
    let begun = Instant::now();
    loop {
        doctor.look().await;
        let line =
            doctor.found.iter().find(|f| f.key.rule == "clocks_differ").map(|f| f.line.clone()).unwrap();
        let told: f64 = line.split(' ').find_map(|w| w.parse().ok()).unwrap();
        assert!(told <= 3.05, "never more than it is: {line}");
        if told > 2.2 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{line}");
    }
}
