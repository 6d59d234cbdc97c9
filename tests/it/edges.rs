//! The edges of what can be read and watched, as etcd itself draws them: what the line of revisions says is asked of
//! every version.

use std::time::Duration;

use etcd_client::{Client, CompactionOptions, GetOptions, WatchOptions};
use etcdtop::lab::Spec;
use etcdtop::model::Revision;
use etcdtop::model::revisions::{RevisionLine, Zone};

use crate::support::PATIENCE;
use crate::support::cluster::TestCluster;

/// What a watcher that asks for events from `from` on gets: the revisions of its first events, or the compact revision
/// that it was cancelled with; nothing when none comes for a while.
async fn watched(client: &mut Client, from: i64, wait: Duration) -> Result<Vec<i64>, i64> {
    let options = WatchOptions::new().with_prefix().with_start_revision(from);
    let mut stream = client.watch("k", Some(options)).await.unwrap();
    assert!(stream.message().await.unwrap().unwrap().created());
    match tokio::time::timeout(wait, stream.message()).await {
        Err(_) => Ok(Vec::new()),
        Ok(answer) => {
            let answer = answer.unwrap().unwrap();
            if answer.canceled() {
                return Err(answer.compact_revision());
            }
            Ok(answer.events().iter().filter_map(|e| Some(e.kv()?.mod_revision())).collect())
        }
    }
}

async fn edges(version: &str) {
    let spec = Spec { members: 1, version: Some(version.into()), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let mut client = Client::connect([cluster.endpoints_text()], None).await.unwrap();
    let empty = client.get("k0", None).await.unwrap().header().unwrap().revision();
    assert_eq!(empty, 1, "{version}: an empty store");
    for i in 0..9 {
        client.put(format!("k{}", i % 3), "v", None).await.unwrap();
    }
    let head = client.get("k0", None).await.unwrap().header().unwrap().revision();
    let whole = watched(&mut client, 1, PATIENCE).await;
    assert_eq!(whole, Ok((2..=head).collect()), "{version}: revision 1 has no event");
    let floor = head - 4;
    client.compact(floor, Some(CompactionOptions::new().with_physical())).await.unwrap();
    let line = RevisionLine { floor: Some(Revision(floor)), head: Revision(head) };
    for r in [1, floor - 1, floor, floor + 1, head, head + 1] {
        let zone = line.zone(Revision(r));
        let read = client.get("k", Some(GetOptions::new().with_prefix().with_revision(r))).await;
        let said = line.read_gets(zone).strip_prefix("fails: ");
        match (&read, said) {
            (Ok(_), None) => {}
            (Err(e), Some(why)) => assert!(e.to_string().contains(why), "{version}: read at {r}: {e}"),
            _ => panic!("{version}: read at {r}: {read:?}, said: {said:?}"),
        }
        // Only what is to come is waited for in vain.
        let wait = if zone == Zone::ToCome { Duration::from_millis(300) } else { PATIENCE };
        let events = watched(&mut client, r, wait).await;
        let expected = match zone {
            Zone::Gone => Err(floor),
            Zone::Readable => Ok((r..=head).collect()),
            Zone::ToCome => Ok(Vec::new()),
        };
        assert_eq!(events, expected, "{version}: watch from {r}, floor {floor}, head {head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_of_3_4() {
    Box::pin(edges("3.4")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_of_3_5() {
    Box::pin(edges("3.5")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_of_3_6() {
    Box::pin(edges("3.6")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_of_3_7() {
    Box::pin(edges("3.7")).await;
}
