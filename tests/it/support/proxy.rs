//! A TCP proxy that can be told to misbehave while connections are open.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They pass.
    Pass,
    /// They pass, each chunk so much later.
    Delay(Duration),
    /// Connections are accepted, nothing passes.
    Blackhole,
    /// What is asked passes, no answer comes back.
    Deaf,
    /// Connections are closed, new ones as soon as they come.
    Cut,
}

/// A free loopback port, for a server that has to be told where to listen.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A proxy in front of one address; stops when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: String,
    fault: watch::Sender<Fault>,
    target: Arc<OnceLock<String>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `target`.
    pub async fn to(target: String) -> Self {
        let this = Self::unaimed().await;
        this.aim(target);
        this
    }

    /// Listens on an address of this host and forwards to `target`.
    pub async fn at(address: &str, target: String) -> Self {
        let this = Self::listening(TcpListener::bind(address).await.unwrap());
        this.aim(target);
        this
    }

    /// Listens before it is known to whom: an address that can be advertised by a server that is not there yet.
    pub async fn unaimed() -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn listening(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let fault = watch::Sender::new(Fault::Pass);
        let faults = fault.subscribe();
        let target = Arc::new(OnceLock::new());
        let aimed_at = Arc::clone(&target);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if let Some(target) = aimed_at.get() {
                    connections.spawn(forward(client, String::clone(target), faults.clone()));
                }
            }
        });
        Self { address, fault, target, task }
    }

    /// Tells an unaimed one to whom.
    pub fn aim(&self, target: String) {
        self.target.set(target).unwrap();
    }

    /// From now on, on open connections too.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, target: String, faults: watch::Receiver<Fault>) {
    let mut until = faults.clone();
    let cut = async move { until.wait_for(|f| *f == Fault::Cut).await.map(drop) };
    let relay = async move {
        let server = TcpStream::connect(&target).await?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let asked = pump(from_client, to_server, faults.clone(), &[Fault::Blackhole]);
        let answered = pump(from_server, to_client, faults, &[Fault::Blackhole, Fault::Deaf]);
        tokio::try_join!(asked, answered).map(drop)
    };
    tokio::select! {
        _ = cut => {}
        _ = relay => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
    held_by: &[Fault],
) -> std::io::Result<()> {
    let mut bytes = vec![0; 32 << 10];
    loop {
        let n = from.read(&mut bytes).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        let fault = *faults.borrow();
        if let Fault::Delay(pause) = fault {
            tokio::time::sleep(pause).await;
        }
        // Held, not lost: TCP would deliver them after the partition as well.
        let _ = faults.wait_for(|f| !held_by.contains(f)).await;
        to.write_all(&bytes[..n]).await?;
    }
}
