//! Plain HTTP of a member: `/metrics`, `/health`, `/version`. One kept connection, HTTP/1.1.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::timeout;

use super::connection::authority;
use super::fault::Fault;
use super::stream::{Dialer, Protocol};
use crate::model::Endpoint;

/// The largest body that is read: a real `/metrics` has about 170 KiB.
pub const MAX_BODY: usize = 8 << 20;

/// A kept HTTP/1.1 connection to one member.
#[derive(Debug, Default)]
pub struct HttpConnection {
    sender: Option<SendRequest<Empty<Bytes>>>,
}

/// A body that was read whole.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// What time it is there, in whole seconds.
    pub date: Option<Timestamp>,
    /// The body.
    pub body: Bytes,
}

impl HttpConnection {
    /// `GET path`, on the kept connection or a new one.
    ///
    /// # Errors
    /// The fault that kept it from answering whole within `limit`; a body above [`MAX_BODY`] is one.
    pub async fn get(
        &mut self,
        dialer: &Dialer,
        endpoint: &Endpoint,
        path: &str,
        limit: Duration,
    ) -> Result<Reply, Fault> {
        match timeout(limit, self.exchange(dialer, endpoint, path)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(fault)) => {
                self.sender = None;
                Err(fault)
            }
            Err(_) => {
                self.sender = None;
                Err(Fault::Deadline { after: limit })
            }
        }
    }

    async fn exchange(&mut self, dialer: &Dialer, endpoint: &Endpoint, path: &str) -> Result<Reply, Fault> {
        let lost = |e: hyper::Error| Fault::Lost { reason: e.to_string() };
        let kept = match self.sender.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = if let Some(sender) = kept {
            sender
        } else {
            let stream = dialer.stream(endpoint, Protocol::Http1).await?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(lost)?;
            // Ends by itself when the sender is dropped or the server closes.
            tokio::spawn(connection);
            sender
        };
        let request = Request::get(path)
            .header(hyper::header::HOST, authority(endpoint))
            .header(hyper::header::USER_AGENT, concat!("etcdtop/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|e| Fault::Unreachable { reason: e.to_string() })?;
        let reply = sender.send_request(request).await.map_err(lost)?;
        let status = reply.status();
        let date = reply.headers().get(hyper::header::DATE).and_then(|d| d.to_str().ok()).and_then(date);
        let body = Limited::new(reply.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(|e| {
                let reason = if e.is::<LengthLimitError>() {
                    format!("{path} is larger than {} MiB: not read", MAX_BODY >> 20)
                } else {
                    format!("{path} broke off: {e}")
                };
                Fault::Lost { reason }
            })?
            .to_bytes();
        self.sender = Some(sender);
        Ok(Reply { status, date, body })
    }
}

/// A date of HTTP is one of RFC 2822 with `GMT`.
fn date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let found = date("Fri, 15 Jan 2027 08:00:00 GMT").unwrap();
        assert_eq!(found.as_second(), 1_800_000_000);
        assert_eq!(date("yesterday"), None);
    }
}
