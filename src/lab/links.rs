//! The network between the members of a lab: a proxy in front of each one's peer port (and, on wish, of its client port)
//! that can lose or delay what passes, on open connections too, while etcd knows of nothing.
//!
//! Who dials is told by etcd itself: requests of `rafthttp` carry the sender's id (`X-Server-From`), and a connection
//! belongs to one process. So both directions of a member's traffic can be told from that of the others, although each
//! member has but one address. A connection whose first request is a probe does not say it yet: it is looked for until it
//! is found.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::model::MemberId;

/// A member: its place in the lab, and its id, by which it names itself.
type Peer = (usize, MemberId);

/// What is wrong with the network now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trouble {
    /// Nothing passes between this member and its peers.
    isolated: Option<Peer>,
    /// Everything to and from this member takes so much longer.
    slow: Option<(Peer, Duration)>,
}

/// A connection that passes a proxy.
#[derive(Clone, Debug)]
struct Way {
    /// The member behind the proxy.
    to: usize,
    /// The member that dialed, once it said so; a client never does.
    from: Arc<OnceLock<MemberId>>,
    peers: bool,
}

impl Way {
    fn touches(&self, peer: Peer) -> bool {
        self.to == peer.0 || self.from.get() == Some(&peer.1)
    }
}

impl Trouble {
    fn holds(&self, way: &Way) -> bool {
        way.peers && self.isolated.is_some_and(|peer| way.touches(peer))
    }

    fn delay(&self, way: &Way) -> Option<Duration> {
        self.slow.filter(|(peer, _)| way.touches(*peer)).map(|(_, pause)| pause)
    }
}

/// A proxy in front of one port of one member.
#[derive(Debug)]
struct Proxy {
    address: String,
    target: Arc<OnceLock<String>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The network of a lab. Dropping it closes every connection.
#[derive(Debug)]
pub(super) struct Links {
    peers: Vec<Proxy>,
    clients: Vec<Proxy>,
    trouble: watch::Sender<Trouble>,
}

impl Links {
    /// Proxies that listen, and lead nowhere yet: for so many members, with their client ports or without.
    pub(super) async fn lay(members: usize, with_clients: bool) -> io::Result<Self> {
        let trouble = watch::Sender::new(Trouble::default());
        let (mut peers, mut clients) = (Vec::new(), Vec::new());
        for to in 0..members {
            peers.push(Proxy::listen(to, true, trouble.subscribe()).await?);
            if with_clients {
                clients.push(Proxy::listen(to, false, trouble.subscribe()).await?);
            }
        }
        Ok(Self { peers, clients, trouble })
    }

    /// Where each member is to be told to others.
    pub(super) fn peer_addresses(&self) -> impl Iterator<Item = &str> {
        self.peers.iter().map(|p| p.address.as_str())
    }

    /// Where clients find each member, if their way leads through here.
    pub(super) fn client_addresses(&self) -> Vec<&str> {
        self.clients.iter().map(|p| p.address.as_str()).collect()
    }

    /// Where a member really listens for its peers.
    pub(super) fn lead_to(&self, member: usize, target: &str) {
        aim(&self.peers, member, target);
    }

    /// Where a member really listens for clients.
    pub(super) fn lead_client_to(&self, member: usize, target: &str) {
        aim(&self.clients, member, target);
    }

    /// Nothing passes any more between this member and its peers; clients reach it.
    pub(super) fn isolate(&self, member: usize, id: MemberId) {
        self.trouble.send_modify(|t| t.isolated = Some((member, id)));
    }

    /// Everything to and from this member takes so much longer.
    pub(super) fn slow(&self, member: usize, id: MemberId, pause: Duration) {
        self.trouble.send_modify(|t| t.slow = Some(((member, id), pause)));
    }

    /// What ails the links of this member is mended; whether anything did.
    pub(super) fn heal(&self, member: usize) -> bool {
        self.trouble.send_if_modified(|t| {
            let before = t.clone();
            t.isolated = t.isolated.filter(|(i, _)| *i != member);
            t.slow = t.slow.filter(|((i, _), _)| *i != member);
            *t != before
        })
    }
}

fn aim(proxies: &[Proxy], member: usize, target: &str) {
    if let Some(proxy) = proxies.get(member) {
        // Told once, when the members are started.
        let _ = proxy.target.set(target.to_owned());
    }
}

impl Proxy {
    async fn listen(to: usize, peers: bool, trouble: watch::Receiver<Trouble>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let target = Arc::new(OnceLock::new());
        let leads_to = Arc::clone(&target);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => if let Some(target) = leads_to.get() {
                            let way = Way { to, from: Arc::default(), peers };
                            connections.spawn(pass(stream, String::clone(target), way, trouble.clone()));
                        },
                        Err(_) => return,
                    },
                    // Ended ones are not kept.
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, target, task })
    }
}

async fn pass(
    from: TcpStream,
    target: String,
    way: Way,
    mut trouble: watch::Receiver<Trouble>,
) -> io::Result<()> {
    let server = TcpStream::connect(&target).await?;
    let (from_client, to_client) = from.into_split();
    let (from_server, to_server) = server.into_split();
    let (asks, answers) = (trouble.clone(), trouble.clone());
    let broken = async {
        // As in a network that loses packets: nothing, until it is whole again. What was lost in between cannot be made
        // up for: then who spoke begins anew.
        let _ = trouble.wait_for(|t| t.holds(&way)).await;
        let _ = trouble.wait_for(|t| !t.holds(&way)).await;
    };
    tokio::select! {
        () = broken => Ok(()),
        ended = async {
            tokio::try_join!(
                pump(from_client, to_server, asks, &way, true),
                pump(from_server, to_client, answers, &way, false)
            )
        } => ended.map(drop),
    }
}

/// The member that a request says it comes from (`X-Server-From`, in etcd's `rafthttp`).
fn sender(head: &[u8]) -> Option<MemberId> {
    let text = String::from_utf8_lossy(head);
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-server-from").then(|| value.trim().to_owned())
    })?;
    u64::from_str_radix(&value, 16).ok().map(MemberId)
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut trouble: watch::Receiver<Trouble>,
    way: &Way,
    asks: bool,
) -> io::Result<()> {
    let mut bytes = vec![0; 32 << 10];
    loop {
        let n = from.read(&mut bytes).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        if asks
            && way.peers
            && way.from.get().is_none()
            && let Some(sender) = sender(&bytes[..n])
        {
            // Told once.
            let _ = way.from.set(sender);
        }
        let pause = trouble.borrow_and_update().delay(way);
        if let Some(pause) = pause {
            // Over at once when the link is mended.
            let mended = trouble.wait_for(|t| t.delay(way).is_none());
            let _ = tokio::time::timeout(pause, mended).await;
        }
        let _ = trouble.wait_for(|t| !t.holds(way)).await;
        to.write_all(&bytes[..n]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_between_members_says_who_sends_it() {
        let head = b"GET /raft/stream/msgappv2/8e9e05c52164694d HTTP/1.1\r\nHost: x\r\nX-Server-From: fd422379fda50e48\r\n\r\n";
        assert_eq!(sender(head), Some(MemberId(0xfd42_2379_fda5_0e48)));
        assert_eq!(sender(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"), None);
    }

    #[test]
    fn trouble_of_a_member_is_on_every_way_to_and_from_it() {
        let id = |n: usize| MemberId(n as u64 + 10);
        let way = |to, from: Option<usize>, peers| {
            let told = OnceLock::new();
            from.map(|from| told.set(id(from)));
            Way { to, from: Arc::new(told), peers }
        };
        let isolated = Trouble { isolated: Some((1, id(1))), slow: None };
        assert!(isolated.holds(&way(1, Some(0), true)) && isolated.holds(&way(0, Some(1), true)));
        assert!(!isolated.holds(&way(0, Some(2), true)));
        assert!(!isolated.holds(&way(1, None, false)), "clients reach it");
        let slow = Trouble { isolated: None, slow: Some(((2, id(2)), Duration::from_secs(1))) };
        assert!(slow.delay(&way(2, None, false)).is_some() && slow.delay(&way(0, Some(2), true)).is_some());
        assert!(slow.delay(&way(0, None, false)).is_none());
    }
}
