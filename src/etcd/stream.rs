//! From an endpoint to a byte stream: DNS, TCP or unix socket, TLS, each failure told apart.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::access::Access;
use super::fault::Fault;
use super::tls::{self, FollowedTls, TlsSetupError};
use crate::model::Endpoint;
use crate::model::endpoint::{Address, Transport};
use crate::model::member::PeerCertificate;

/// Reaches the members of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    pub(super) access: Arc<Access>,
    tls: FollowedTls,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("access", &self.access).finish_non_exhaustive()
    }
}

/// Which protocol follows on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// gRPC.
    Http2,
    /// `/metrics`, `/health`.
    Http1,
}

impl Dialer {
    /// Reads certificates and keys. `endpoints` decide whether TLS is needed at all: without a `https`
    /// endpoint and without any TLS setting nothing is read.
    ///
    /// # Errors
    /// A file that cannot be read, is no PEM, or a certificate and key that are no pair.
    pub fn new(access: Access, endpoints: &[Endpoint]) -> Result<Self, TlsSetupError> {
        let wants_tls = access.has_tls() || endpoints.iter().any(|e| e.transport() == Transport::Tls);
        let tls = FollowedTls::default();
        if wants_tls {
            tls.current(&access)?;
        }
        Ok(Self { access: Arc::new(access), tls })
    }

    /// How this dialer was set up.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whether `endpoint` is spoken to in TLS.
    #[must_use]
    pub fn uses_tls(&self, endpoint: &Endpoint) -> bool {
        match endpoint.transport() {
            Transport::Tls => true,
            Transport::Plain => false,
            Transport::Unsaid => self.access.has_tls(),
        }
    }

    /// Only TCP, to see whether somebody accepts; the connection is closed at once.
    ///
    /// # Errors
    /// The fault that kept it from being accepted within `limit`.
    pub async fn accepts(&self, endpoint: &Endpoint, limit: Duration) -> Result<(), Fault> {
        self.raw(endpoint, Instant::now() + limit, limit).await.map(drop)
    }

    /// A stream to `endpoint`, TLS included, within the dial timeout.
    pub(super) async fn stream(&self, endpoint: &Endpoint, protocol: Protocol) -> Result<Stream, Fault> {
        let limit = self.access.dial_timeout;
        let deadline = Instant::now() + limit;
        if !self.uses_tls(endpoint) {
            if self.access.require_tls {
                return Err(Fault::Tls {
                    reason: "plain http is refused by --insecure-transport=false: write https://".into(),
                });
            }
            return self.unchecked_stream(endpoint).await;
        }
        // The member list may name https urls when only http was typed: then TLS is set up late.
        let configs = self.tls.current(&self.access).map_err(|e| Fault::Tls { reason: e.to_string() })?;
        let config = match protocol {
            Protocol::Http2 => configs.h2,
            Protocol::Http1 => configs.http1,
        };
        let name = self.access.server_name.as_deref().unwrap_or_else(|| match endpoint.address() {
            Address::Tcp { host, .. } => host,
            Address::Unix(_) => "localhost",
        });
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| Fault::Tls {
            reason: format!("{name:?} is no name that a certificate can hold: use --server-name"),
        })?;
        let io = self.raw(endpoint, deadline, limit).await?;
        match timeout_at(deadline, TlsConnector::from(config).connect(server_name, io)).await {
            Ok(Ok(stream)) => {
                let certificate =
                    stream.get_ref().1.peer_certificates().and_then(|c| c.first()).and_then(tls::describe);
                let mut wrapped = Stream::new(Box::new(stream), certificate);
                name.clone_into(&mut wrapped.expected_name);
                Ok(wrapped)
            }
            Ok(Err(error)) => Err(tls_fault(&error, name)),
            // TCP was accepted: whoever listens does not get round to answering.
            Err(_) => Err(Fault::Hung { after: limit }),
        }
    }

    /// A stream without TLS, whatever was said about TLS.
    pub(super) async fn unchecked_stream(&self, endpoint: &Endpoint) -> Result<Stream, Fault> {
        let limit = self.access.dial_timeout;
        let io = self.raw(endpoint, Instant::now() + limit, limit).await?;
        Ok(Stream::new(io, None))
    }

    async fn raw(&self, endpoint: &Endpoint, deadline: Instant, limit: Duration) -> Result<Io, Fault> {
        match endpoint.address() {
            Address::Unix(path) => match timeout_at(deadline, UnixStream::connect(path)).await {
                Ok(Ok(stream)) => Ok(Box::new(stream)),
                Ok(Err(e)) => Err(Fault::Unreachable { reason: words(&e) }),
                Err(_) => Err(Fault::ConnectTimeout { after: limit }),
            },
            Address::Tcp { host, port } => {
                let resolve = lookup_host((host.as_str(), *port));
                let resolve_fault = |reason: String| Fault::Resolve { host: host.clone(), reason };
                let addresses: Vec<SocketAddr> = match timeout_at(deadline, resolve).await {
                    Ok(Ok(found)) => found.collect(),
                    Ok(Err(e)) => return Err(resolve_fault(words(&e))),
                    Err(_) => return Err(resolve_fault("the resolver does not answer".into())),
                };
                connect_any(&addresses, deadline, limit)
                    .await
                    .unwrap_or_else(|| Err(resolve_fault("it has no address".into())))
            }
        }
    }
}

/// Tries the addresses one after the other, each with its share of the time that is left. None for no address.
async fn connect_any(
    addresses: &[SocketAddr],
    deadline: Instant,
    limit: Duration,
) -> Option<Result<Io, Fault>> {
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small requests, small replies: waiting to fill a segment costs up to 40 ms of "latency".
                let _ = stream.set_nodelay(true);
                return Some(Ok(Box::new(stream)));
            }
            Ok(Err(e)) => last = Some(Err(connect_fault(&e, *address))),
            Err(_) => last = Some(Err(Fault::ConnectTimeout { after: limit })),
        }
    }
    last
}

fn connect_fault(error: &io::Error, address: SocketAddr) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::Refused { address },
        _ => Fault::Unreachable { reason: words(error) },
    }
}

/// The system's message without Rust's `(os error 111)`.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// What an I/O error during the TLS handshake means.
fn tls_fault(error: &io::Error, name: &str) -> Fault {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(tls) => Fault::Tls { reason: tls::explain(tls, name) },
        None if error.kind() == io::ErrorKind::UnexpectedEof
            || error.kind() == io::ErrorKind::ConnectionReset =>
        {
            Fault::Tls {
                reason: "the server closed the connection in the middle of the TLS handshake".into(),
            }
        }
        None => Fault::Lost { reason: words(error) },
    }
}

trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}
type Io = Box<dyn ReadWrite>;

/// The last I/O error of a stream: HTTP/2 wraps it in so many layers that its kind is lost, and with it the
/// difference between "no client certificate" and "connection lost".
#[derive(Clone, Debug, Default)]
pub(super) struct LastFault(Arc<Mutex<Option<Fault>>>);

impl LastFault {
    pub(super) fn take(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn set(&self, fault: Fault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }
}

/// A connected stream that remembers how it failed.
pub(super) struct Stream {
    io: Io,
    pub(super) certificate: Option<PeerCertificate>,
    pub(super) fault: LastFault,
    expected_name: String,
}

impl Stream {
    fn new(io: Io, certificate: Option<PeerCertificate>) -> Self {
        Self { io, certificate, fault: LastFault::default(), expected_name: String::new() }
    }

    fn note<T>(&self, result: &Poll<io::Result<T>>) {
        if let Poll::Ready(Err(error)) = result {
            let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
            self.fault.set(match tls {
                // TLS 1.3 tells a client that its certificate is missing only after the handshake.
                Some(tls) => Fault::Tls { reason: tls::explain(tls, &self.expected_name) },
                None => Fault::Lost { reason: words(error) },
            });
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        self.note(&result);
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(&result);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
