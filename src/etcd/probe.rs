//! Who is it that listens there? Asked only after a connection failed, to say why in words.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::Fault;
use super::stream::{Dialer, Protocol};
use super::tls::TlsConfigs;
use crate::model::Endpoint;
use crate::model::endpoint::{Address, Transport};
use crate::model::text::printable;

/// The longest that looking may take; it comes on top of a failed attempt.
const LOOK: Duration = Duration::from_millis(800);

impl Dialer {
    /// Looks whether a connection failed because of TLS on one side only, or because no etcd v3 listens
    /// there, and returns the better explanation; `fault` itself when there is none.
    pub async fn explain(&self, endpoint: &Endpoint, fault: Fault) -> Fault {
        if !matches!(fault, Fault::Tls { .. } | Fault::Lost { .. } | Fault::NotEtcd { .. }) {
            return fault;
        }
        let better = if !self.uses_tls(endpoint) {
            self.tls_behind(endpoint).await
        } else if matches!(fault, Fault::Tls { .. }) {
            self.plain_behind(endpoint).await
        } else {
            self.refused_after_handshake(endpoint).await
        };
        better.unwrap_or(fault)
    }

    /// After TLS failed: does the other side speak plain HTTP?
    async fn plain_behind(&self, endpoint: &Endpoint) -> Option<Fault> {
        let reply = self.plain_reply(endpoint).await?;
        if !reply.starts_with("HTTP/") {
            return Some(Fault::NotEtcd { reason: who_replied(&reply) });
        }
        // A Go server that expects TLS answers plain HTTP with this line in plain text: it is a TLS port.
        if reply.contains("HTTP request to an HTTPS server") {
            return None;
        }
        if endpoint.transport() == Transport::Tls {
            return Some(Fault::Tls {
                reason: "the server speaks plain HTTP on this port, not TLS: write http://".into(),
            });
        }
        Some(Fault::Tls {
            reason: "the server speaks plain HTTP on this port, but certificates were given: write http:// before the endpoint".into(),
        })
    }

    /// After a TLS connection broke: TLS 1.3 tells a client only after the handshake that its certificate is missing
    /// or not accepted, and a client that writes first may see the broken pipe before the reason. So: listen only.
    async fn refused_after_handshake(&self, endpoint: &Endpoint) -> Option<Fault> {
        let mut stream = timeout(LOOK, self.stream(endpoint, Protocol::Http2)).await.ok()?.ok()?;
        let _ = timeout(LOOK, stream.read(&mut [0; 64])).await;
        stream.fault.take().filter(|f| matches!(f, Fault::Tls { .. }))
    }

    /// After plain gRPC failed: does the other side speak TLS, or is it no etcd v3?
    async fn tls_behind(&self, endpoint: &Endpoint) -> Option<Fault> {
        let speaks_tls = Fault::Tls {
            reason: "the server speaks TLS on this port: write https:// and name its authority with --cacert"
                .into(),
        };
        if let Some(reply) = self.plain_reply(endpoint).await {
            if reply.contains("HTTP request to an HTTPS server") {
                return Some(speaks_tls);
            }
            return Some(Fault::NotEtcd { reason: who_replied(&reply) });
        }
        let config = TlsConfigs::probe()?;
        let io = self.raw_stream(endpoint).await.ok()?;
        let name = rustls::pki_types::ServerName::try_from("probe.invalid").ok()?;
        match timeout(LOOK, TlsConnector::from(config).connect(name, io)).await.ok()? {
            Ok(_) => Some(speaks_tls),
            // An alert, or a certificate that rustls cannot read, is TLS too.
            Err(e) => {
                let tls = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>())?;
                let spoke = !matches!(tls, rustls::Error::InvalidMessage(_));
                spoke.then_some(speaks_tls)
            }
        }
    }

    /// The first kilobyte that the other side answers to a plain `GET /version`; none if it answers nothing
    /// readable.
    async fn plain_reply(&self, endpoint: &Endpoint) -> Option<String> {
        let Address::Tcp { host, .. } = endpoint.address() else { return None };
        let mut io = self.raw_stream(endpoint).await.ok()?;
        let request = format!("GET /version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let mut reply = Vec::with_capacity(1024);
        // What came until the time was up counts too: not everybody closes the connection after an answer.
        let exchange = async {
            io.write_all(request.as_bytes()).await?;
            (&mut io).take(1024).read_to_end(&mut reply).await
        };
        let _ = timeout(LOOK, exchange).await;
        // A TLS alert (its first byte is 21) is no reply in plain text, though it may pass for one.
        // Neither are the frames of something that speaks HTTP/2 but no etcd.
        let is_text = |r: &String| !r.lines().next().unwrap_or_default().chars().any(char::is_control);
        String::from_utf8(reply).ok().filter(|r| !r.is_empty()).filter(is_text)
    }

    async fn raw_stream(&self, endpoint: &Endpoint) -> Result<super::stream::Stream, Fault> {
        let plain = Endpoint::parse(&format!("http://{}", super::connection::authority(endpoint)))
            .map_err(|e| Fault::Unreachable { reason: e.to_string() })?;
        match timeout(LOOK, self.unchecked_stream(&plain)).await {
            Ok(stream) => stream,
            Err(_) => Err(Fault::ConnectTimeout { after: LOOK }),
        }
    }
}

fn who_replied(reply: &str) -> String {
    let body = reply.split("\r\n\r\n").nth(1).unwrap_or_default();
    let version = body
        .find('{')
        .and_then(|start| {
            serde_json::Deserializer::from_str(&body[start..]).into_iter::<serde_json::Value>().next()
        })
        .and_then(Result::ok)
        .and_then(|json| json.get("etcdserver")?.as_str().map(str::to_owned));
    let line = || printable(reply.lines().next().unwrap_or_default()).into_owned();
    match version {
        // Peers, and --listen-client-http-urls, answer /version as clients' ports do.
        Some(version) if speaks_v3(&version) => format!(
            "a port of etcd {} that serves no clients, such as the one for peers: name its client url, mostly port 2379",
            printable(&version)
        ),
        Some(version) => {
            format!("etcd {} has no API v3 there: etcdtop needs 3.4 or later", printable(&version))
        }
        None if reply.starts_with("HTTP/") => {
            format!("an HTTP server that is no etcd listens there ({})", line())
        }
        None => format!("something that is no etcd listens there, it says \"{}\"", line()),
    }
}

/// Whether a release has the gRPC API that etcdtop speaks, enabled in every setup.
fn speaks_v3(version: &str) -> bool {
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or_default());
    (parts.next(), parts.next()) >= (Some(3), Some(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_etcd_is_named_with_its_version() {
        let reply = "HTTP/1.1 200 OK\r\n\r\n{\"etcdserver\":\"2.3.8\",\"etcdcluster\":\"2.3.0\"}";
        assert!(who_replied(reply).contains("etcd 2.3.8"), "{}", who_replied(reply));
        let reply = "HTTP/1.1 200 OK\r\n\r\n2b\r\n{\"etcdserver\":\"2.3.8\",\"etcdcluster\":\"2.3.0\"}\r\n0";
        assert!(who_replied(reply).contains("etcd 2.3.8"), "{}", who_replied(reply));
    }

    #[test]
    fn the_peers_port_of_a_new_etcd_is_not_called_old() {
        let said =
            who_replied("HTTP/1.1 200 OK\r\n\r\n{\"etcdserver\":\"3.6.16\",\"etcdcluster\":\"3.6.0\"}");
        assert!(said.contains("etcd 3.6.16") && said.contains("peers"), "{said}");
    }

    #[test]
    fn other_servers_are_quoted_escaped() {
        let said = who_replied("HTTP/1.1 404 \u{1b}[2JNot Found\r\n\r\n");
        assert!(said.contains("404") && !said.contains('\u{1b}'), "{said}");
        let said = who_replied("SSH-2.0-OpenSSH_9.2\r\n");
        assert_eq!(said, "something that is no etcd listens there, it says \"SSH-2.0-OpenSSH_9.2\"");
    }
}
